"""The C++ peer: Apache's C++ client (librocketmq, as the Python package `rocketmq` of 2019 ships it), driven by JSON lines.

The protocol is described in ../peers.py. The first argument is the folder where the package is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from typing import Any

sys.path.insert(0, sys.argv[1])
from rocketmq.client import Message, MessageModel, Producer, PushConsumer, RecvMessage, ffi_check
from rocketmq.ffi import dll

TEXT_LIMIT = 256
SUCCESS, LATER = 0, 1
MODELS = {"broadcasting": MessageModel.BROADCASTING, None: MessageModel.CLUSTERING}

_writing = threading.Lock()
# Its libraries write to stdout; the lines of this protocol go where that went before.
_out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def emit(**fields: Any) -> None:
    """One line; called from any thread."""
    with _writing:
        _out.write(json.dumps(fields) + "\n")
        _out.flush()


def body(c: dict[str, Any], number: int) -> bytes:
    """The same rule as peers.body."""
    head = f"{c.get('prefix', '')}{number:06d}:".encode()
    return head + bytes(97 + (number + i) % 26 for i in range(len(head), c.get("size", 0)))


def message(c: dict[str, Any], number: int) -> Message:
    """Message `number` of a command."""
    made = Message(c["topic"])
    made.set_body(body(c, number))
    if c.get("tags"):
        made.set_tags(c["tags"])
    if c.get("keys"):
        made.set_keys(c["keys"].replace("{i}", str(number)))
    for key, value in c.get("properties", {}).items():
        made.set_property(key, value)
    if c.get("delay_level"):
        made.set_delay_time_level(c["delay_level"])
    return made


class Peer:
    """What is open, by name."""

    def __init__(self) -> None:
        self.producers: dict[str, Producer] = {}
        self.consumers: dict[str, PushConsumer] = {}

    def producer(self, c: dict[str, Any]) -> None:
        """Opens a producer."""
        made = Producer(c["group"], timeout=c.get("timeout_ms", 30_000))
        made.set_namesrv_addr(c["namesrv"])
        made.start()
        self.producers[c["name"]] = made

    def send(self, c: dict[str, Any]) -> dict[str, Any]:
        """Sends; its receipts name no broker and no queue."""
        producer, mode = self.producers[c["name"]], c.get("mode", "sync")
        messages = [message(c, c.get("first", 0) + i) for i in range(c.get("count", 1))]
        if mode == "oneway":
            for each in messages:
                producer.send_oneway(each)
            return {"sent": []}
        if mode == "orderly":
            queue = c["queue"]
            results = [producer.send_orderly(each, queue, queue_selector=lambda *_: queue) for each in messages]
        else:
            results = [producer.send_sync(each) for each in messages]
        return {"sent": [{"status": f"SEND_{r.status.name}", "msg_id": r.msg_id, "offset": r.offset} for r in results]}

    def consumer(self, c: dict[str, Any]) -> None:
        """Opens a push consumer; a new group begins where the client says, at the end of old queues."""
        made = PushConsumer(c["group"], orderly=c.get("orderly", False), message_model=MODELS[c.get("model")])
        made.set_namesrv_addr(c["namesrv"])
        made.set_instance_name(f"cpp-{os.getpid()}-{c['name']}")
        ffi_check(dll.Subscribe(made._handle, c["topic"].encode(), c.get("expression", "*").encode()))

        def deliver(_consumer: Any, handle: Any) -> int:
            m = RecvMessage(handle)
            text = bytes(m.body)
            failed = m.reconsume_times < c.get("fail_times", 0)
            fields = {"topic": m.topic, "msg_id": m.id, "queue": m.queue_id, "offset": m.queue_offset}
            fields |= {"tags": m.tags, "keys": m.keys, "reconsume_times": m.reconsume_times, "size": len(text)}
            fields = {k: v.decode() if isinstance(v, bytes) else v for k, v in fields.items()}
            if len(text) <= TEXT_LIMIT:
                fields["body"] = text.decode()
            properties = {key: m.get_property(key) for key in c.get("report", [])}
            properties = {k: v.decode() if isinstance(v, bytes) else v for k, v in properties.items()}
            digest = hashlib.sha256(text).hexdigest()
            emit(event="message", consumer=c["name"], failed=failed, sha256=digest, properties=properties, **fields)
            return LATER if failed else SUCCESS

        made._register_callback(deliver)
        made.start()
        self.consumers[c["name"]] = made

    def close(self, c: dict[str, Any]) -> None:
        """Shuts one down."""
        name = c["name"]
        made = self.producers.pop(name) if name in self.producers else self.consumers.pop(name)
        made.shutdown()
        made._handle = None  # it is not destroyed: that crashes while its threads end

    def forget(self, c: dict[str, Any]) -> None:
        """Nothing is shared."""


def main() -> None:
    """Answers until stdin ends."""
    peer = Peer()
    emit(event="ready", program="rocketmq-client-cpp")
    for line in sys.stdin:
        c = json.loads(line)
        try:
            emit(**(getattr(peer, c["op"])(c) or {}), id=c["id"], ok=True)
        except Exception as error:
            emit(id=c["id"], ok=False, error=repr(error))
    for name in [*peer.consumers, *peer.producers]:
        peer.close({"name": name})
    os._exit(0)  # threads of the client that are still there must not hold the process, nor crash it


if __name__ == "__main__":
    main()
