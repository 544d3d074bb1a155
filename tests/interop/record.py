"""A TCP proxy that records remoting frames, and keeps one of each kind."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop import remoting
from tests.interop.remoting import Frame

# Names of the codes as Apache's RequestCode and ResponseCode have them.
REQUESTS = {
    10: "SEND_MESSAGE", 11: "PULL_MESSAGE", 12: "QUERY_MESSAGE", 14: "QUERY_CONSUMER_OFFSET", 15: "UPDATE_CONSUMER_OFFSET",
    17: "UPDATE_AND_CREATE_TOPIC", 21: "GET_ALL_TOPIC_CONFIG", 25: "UPDATE_BROKER_CONFIG", 26: "GET_BROKER_CONFIG",
    28: "GET_BROKER_RUNTIME_INFO", 29: "SEARCH_OFFSET_BY_TIMESTAMP", 30: "GET_MAX_OFFSET", 31: "GET_MIN_OFFSET",
    32: "GET_EARLIEST_MSG_STORETIME", 33: "VIEW_MESSAGE_BY_ID", 34: "HEART_BEAT", 35: "UNREGISTER_CLIENT",
    36: "CONSUMER_SEND_MSG_BACK", 38: "GET_CONSUMER_LIST_BY_GROUP", 40: "NOTIFY_CONSUMER_IDS_CHANGED", 41: "LOCK_BATCH_MQ",
    42: "UNLOCK_BATCH_MQ", 100: "PUT_KV_CONFIG", 101: "GET_KV_CONFIG", 102: "DELETE_KV_CONFIG", 103: "REGISTER_BROKER",
    104: "UNREGISTER_BROKER", 105: "GET_ROUTEINFO_BY_TOPIC", 106: "GET_BROKER_CLUSTER_INFO",
    200: "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP", 201: "GET_ALL_SUBSCRIPTIONGROUP_CONFIG", 202: "GET_TOPIC_STATS_INFO",
    203: "GET_CONSUMER_CONNECTION_LIST", 204: "GET_PRODUCER_CONNECTION_LIST", 205: "WIPE_WRITE_PERM_OF_BROKER",
    206: "GET_ALL_TOPIC_LIST_FROM_NAMESERVER", 207: "DELETE_SUBSCRIPTIONGROUP", 208: "GET_CONSUME_STATS",
    215: "DELETE_TOPIC_IN_BROKER", 216: "DELETE_TOPIC_IN_NAMESRV", 219: "GET_KVLIST_BY_NAMESPACE",
    220: "RESET_CONSUMER_CLIENT_OFFSET", 221: "GET_CONSUMER_STATUS_FROM_CLIENT", 222: "INVOKE_BROKER_TO_RESET_OFFSET",
    224: "GET_TOPICS_BY_CLUSTER", 300: "QUERY_TOPIC_CONSUME_BY_WHO", 301: "REGISTER_FILTER_SERVER",
    304: "GET_SYSTEM_TOPIC_LIST_FROM_NS", 305: "GET_SYSTEM_TOPIC_LIST_FROM_BROKER", 306: "CLEAN_EXPIRED_CONSUMEQUEUE",
    307: "GET_CONSUMER_RUNNING_INFO", 309: "CONSUME_MESSAGE_DIRECTLY", 310: "SEND_MESSAGE_V2", 314: "CLONE_GROUP_OFFSET",
    315: "VIEW_BROKER_STATS_DATA", 316: "CLEAN_UNUSED_TOPIC", 317: "GET_BROKER_CONSUME_STATS", 318: "UPDATE_NAMESRV_CONFIG",
    319: "GET_NAMESRV_CONFIG", 320: "SEND_BATCH_MESSAGE", 321: "QUERY_CONSUME_QUEUE", 322: "QUERY_DATA_VERSION",
    327: "ADD_WRITE_PERM_OF_BROKER", 328: "GET_ALL_PRODUCER_INFO", 343: "QUERY_SUBSCRIPTION_BY_CONSUMER",
    351: "GET_TOPIC_CONFIG", 352: "GET_SUBSCRIPTIONGROUP_CONFIG", 361: "LITE_PULL_MESSAGE", 901: "GET_BROKER_MEMBER_GROUP",
    904: "BROKER_HEARTBEAT", 907: "GET_BROKER_HA_STATUS",
}  # fmt: skip
RESPONSES = {
    0: "SUCCESS", 1: "SYSTEM_ERROR", 3: "REQUEST_CODE_NOT_SUPPORTED", 17: "TOPIC_NOT_EXIST", 19: "PULL_NOT_FOUND",
    20: "PULL_RETRY_IMMEDIATELY", 21: "PULL_OFFSET_MOVED", 22: "QUERY_NOT_FOUND", 24: "SUBSCRIPTION_NOT_EXIST",
    26: "SUBSCRIPTION_GROUP_NOT_EXIST", 206: "CONSUMER_NOT_ONLINE",
}  # fmt: skip


def request_name(code: int) -> str:
    """The code's name, or the number where this file has none."""
    return REQUESTS.get(code, str(code))


@dataclass(frozen=True)
class Kind:
    """What makes two recorded frames alike, so that one of them is enough."""

    request: int
    answer: int | None  # the response code; None for a request
    sender: str  # client, broker or namesrv
    program: str  # who asked: the label of the recording and the language of the request
    encoding: str
    variant: str  # of sends and pulls: the topic and how the bodies are; empty for all others


class Recorder:
    """Keeps the first frame of each kind. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: dict[Kind, bytes] = {}
        self._proxies: list[Proxy] = []
        self.label = ""

    def proxy(self, listen: tuple[str, int], target: tuple[str, int], side: str, label: str | None = None) -> Proxy:
        """A proxy in front of `target`, which is a `side`: broker or namesrv."""
        proxy = Proxy(self, listen, target, side, label)
        self._proxies.append(proxy)
        return proxy

    def close(self) -> None:
        """Stops all proxies."""
        for proxy in self._proxies:
            proxy.close()

    def keep(self, kind: Kind, raw: bytes) -> None:
        """Notes a frame, unless there is one of its kind. A later one with a body replaces one without."""
        with self._lock:
            before = self._frames.get(kind)
            if before is None or (not Frame.decode(before).body and Frame.decode(raw).body):
                self._frames[kind] = raw

    def frames(self) -> dict[Kind, bytes]:
        """All kept so far."""
        with self._lock:
            return dict(self._frames)

    def save(self, folder: Path) -> None:
        """Writes one `.bin` a frame (the raw bytes with the four length bytes) and `index.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        index = []
        seen: set[str] = set()
        for kind, raw in sorted(self.frames().items(), key=lambda item: str(item[0])):
            frame = Frame.decode(raw)
            direction = "request" if kind.answer is None else "response"
            words = [f"{kind.request:04d}", request_name(kind.request), direction, kind.encoding, kind.program, kind.variant]
            if kind.answer:
                words.append(RESPONSES.get(kind.answer, str(kind.answer)))
            name = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(w for w in words if w)) + ".bin"
            if name in seen:
                name = name[:-4] + "-from-" + kind.sender + ".bin"
            seen.add(name)
            (folder / name).write_bytes(raw)
            entry = {
                "file": name,
                "code": kind.request,
                "direction": direction,
                "response_code": kind.answer,
                "encoding": frame.encoding,
                "sender": kind.sender,
                "program": kind.program,
                "language": frame.language,
                "version": frame.version,
            }
            index.append(json.dumps({k: v for k, v in entry.items() if v is not None}))
        (folder / "index.json").write_text("[\n" + ",\n".join(index) + "\n]\n")


class Proxy:
    """Passes bytes both ways, unchanged, and tells the recorder of each whole frame."""

    def __init__(
        self, recorder: Recorder, listen: tuple[str, int], target: tuple[str, int], side: str, label: str | None
    ) -> None:
        self._recorder, self._target, self._side, self._label = recorder, target, side, label
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._server = socket.create_server(listen, backlog=128)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stops listening and cuts all connections."""
        self._closed = True
        with self._lock:
            for s in [self._server, *self._sockets]:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
                s.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                inner, _ = self._server.accept()
            except OSError:
                return
            try:
                outer = socket.create_connection(self._target)
            except OSError:
                inner.close()
                continue
            with self._lock:
                self._sockets |= {inner, outer}
            connection = _Connection(self._recorder, self._side, self._label or self._recorder.label)
            for source, sink, forward in ((inner, outer, True), (outer, inner, False)):
                threading.Thread(target=self._pump, args=(source, sink, connection, forward), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, connection: _Connection, forward: bool) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = remoting.read_exactly(source, 4)
                raw = head + remoting.read_exactly(source, struct.unpack(">I", head)[0])
                connection.saw(raw, forward)  # before it is passed on: its answer must find the request noted
                sink.sendall(raw)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


class _Connection:
    """Pairs the answers of one connection with their requests, in each direction."""

    def __init__(self, recorder: Recorder, side: str, label: str) -> None:
        self._recorder, self._side, self._label = recorder, side, label
        self._asked: dict[tuple[bool, int], Kind] = {}

    def saw(self, raw: bytes, forward: bool) -> None:
        frame = Frame.decode(raw)
        sender = "client" if forward else self._side
        if frame.is_answer:
            asked = self._asked.pop((not forward, frame.opaque), None)
            if asked is None:
                return
            variant = asked.variant
            if asked.request in (11, 361) and frame.code != 0:
                variant = ""
            kind = Kind(asked.request, frame.code, sender, asked.program, frame.encoding.lower(), variant)
        else:
            program = self._label
            kind = Kind(frame.code, None, sender, program, frame.encoding.lower(), _variant(frame))
            self._asked[forward, frame.opaque] = kind
        self._recorder.keep(kind, raw)


def _heartbeat(body: dict[str, Any]) -> str:
    """Who is alive: a producer alone, or a consumer, of some tags or of all."""
    subscriptions = [s for c in body.get("consumerDataSet") or [] for s in c.get("subscriptionDataSet") or []]
    if any(s.get("tagsSet") for s in subscriptions):
        return "tags"
    return "consumer" if subscriptions else ""


# Topics whose messages are of one kind; frames of other topics are all alike.
TOPICS = ("Plain", "Zlib", "Lz4", "Zstd", "Batch", "Props", "Delay")


def _variant(frame: Frame) -> str:
    match frame.code:
        case 10 | 11 | 361:
            topic = frame.ext.get("topic", "")
        case 310 | 320:
            topic = frame.ext.get("b", "")
        case 34:
            return _heartbeat(json.loads(frame.body))
        case 105:
            return "TBW102" if frame.ext.get("topic") == "TBW102" else ""
        case _:
            return ""
    if topic.startswith("%RETRY%"):
        return "retry"
    name = next((t.lower() for t in TOPICS if topic.startswith(t)), "")
    return name + ("-oneway" if frame.is_oneway else "")
