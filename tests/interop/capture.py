"""Captures the golden frames of tests/vectors/wire: Apache's own clients and tools talk to Apache's own servers through a
recording proxy.

    python3 -m tests.interop.capture FOLDER

The broker advertises 127.0.0.2, where the proxy listens, and listens itself on 127.0.0.1; so all clients pass the proxy and no
frame has to be changed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tests.interop import peers, processes
from tests.interop.apache import Broker, NameServer
from tests.interop.peers import Peer
from tests.interop.processes import HOST, Workspace, free_port, wait_for
from tests.interop.record import TOPICS, Recorder

PROXY = "127.0.0.2"
FILL = 5000  # above the 4096 bytes from which clients compress


class Capture:
    """One NameServer and one broker behind proxies; what passes goes to `recorder`."""

    def __init__(self, recorder: Recorder, encoding: str) -> None:
        self.recorder = recorder
        self.encoding = encoding
        self.folder = Workspace("capture-").path
        self.server = NameServer(self.folder / "namesrv", encoding=encoding).start()
        self.namesrv = f"{PROXY}:{self.server.port}"
        recorder.proxy((PROXY, self.server.port), (HOST, self.server.port), "namesrv")
        self.broker = self._broker("5.5.0", "broker-a", {"timerWheelEnable": "true"})
        recorder.proxy((PROXY, self.broker.port), (HOST, self.broker.port), "broker")
        self._broker_address = f"{PROXY}:{self.broker.port}"

    def _broker(self, version: str, name: str, conf: dict[str, object], label: str = "") -> Broker:
        """A broker that talks to the NameServer through a proxy of its own, so that its frames bear its name."""
        port = free_port(host=PROXY)
        self.recorder.proxy((PROXY, port), (HOST, self.server.port), "namesrv", label or f"broker-{version}")
        conf = {"brokerIP1": PROXY, "enablePropertyFilter": "true"} | conf
        home = self.folder / name
        return Broker(home, f"{PROXY}:{port}", version, conf, name=name, encoding=self.encoding).start()

    def old_brokers(self) -> None:
        """How 4.9 registers: plain, and compressed with a question first whether anything has changed."""
        self._broker("4.9.7", "broker-b", {}).stop()
        conf: dict[str, object] = {"compressedRegister": "true", "forceRegister": "false"}
        broker = self._broker("4.9.7", "broker-c", conf, "broker-4.9.7-compressed")
        wait_for("the broker asks for the data version", lambda: self._seen(322, "broker-4.9.7-compressed"), 40)
        broker.stop()

    def client(self, peer: Peer, label: str) -> None:
        """All that a client does: sends of each kind, consumption, retries, orderly consumption."""
        self.recorder.label = label
        at: dict[str, Any] = {"namesrv": self.namesrv}
        fill = {"size": FILL, "prefix": "golden-"}
        tag = f"{label}-{self.encoding.lower()}".replace(".", "-")
        topics = {t: f"{t}-{tag}" for t in TOPICS}
        java = peer.name == "java"
        peer.call("producer", name="plain", group=f"P-{tag}", **at)
        for mode in ("sync", "async", "oneway"):
            peer.send("plain", topics["Plain"], mode=mode, count=2, tags="TagA", keys="key-{i}", prefix="golden-", size=64)
        peer.send("plain", topics["Batch"], mode="batch", count=5, batch=5, tags="TagB", keys="batch-{i}", prefix="golden-")
        properties = {"colour": "blue", "number": "7", "grüße": "Überraschung 🎉"}
        peer.send("plain", topics["Props"], tags="TagÄ", keys="key one", properties=properties, prefix="body ü ", size=80)
        peer.send("plain", topics["Delay"], delay_level=1, prefix="late-")
        if java:
            for kind in ("ZLIB", "LZ4", "ZSTD"):
                peer.call("producer", name=kind, group=f"P-{kind}-{tag}", compress_type=kind, **at)
                peer.send(kind, topics[kind.capitalize()], count=2, **fill)
            peer.call("offsets", name="plain", topic=topics["Plain"], queue=0, time=int(time.time() * 1000))
            peer.call("query", name="plain", topic=topics["Plain"], key="key-1")
            receipt = peer.send("plain", topics["Plain"], prefix="looked-up-")[0]
            peer.call("query", name="plain", topic=topics["Plain"], msg_id=receipt["offset_msg_id"])
        else:
            peer.send("plain", topics["Zlib"], count=2, **fill)
        for topic in topics.values():
            if not java and topic.startswith(("Lz4", "Zstd")):
                continue
            peer.call("consumer", name=topic, group=f"G-{topic}", topic=topic, **at)
            peer.wait_messages(topic, lambda found: len(found) >= 1)
            peer.call("close", name=topic)
        plain = topics["Plain"]
        peer.call("consumer", name="tags", group=f"G-tags-{tag}", topic=plain, expression="TagA || TagB", **at)
        peer.wait_messages("tags", lambda found: len(found) >= 4)
        peer.call("consumer", name="retry", group=f"G-retry-{tag}", topic=plain, fail_times=1, retry_level=1, **at)
        peer.wait_messages("retry", lambda found: any(m["reconsume_times"] == 1 for m in found))
        peer.call("consumer", name="dlq", group=f"G-dlq-{tag}", topic=plain, fail_times=9, retry_level=1, max_reconsume=0, **at)
        peer.wait_messages("dlq", lambda found: len(found) >= 4)
        # Two members of one group: the broker tells the first of the second (code 40), and queues change hands.
        peer.call("consumer", name="order1", group=f"G-order-{tag}", topic=plain, orderly=True, alone=True, **at)
        peer.wait_messages("order1", lambda found: len(found) >= 4)
        peer.call("consumer", name="order2", group=f"G-order-{tag}", topic=plain, orderly=True, alone=True, **at)
        wait_for("code 40 is seen", lambda: self._seen(40, label), 30)
        for name in ("tags", "retry", "dlq", "order2", "order1", "plain"):
            peer.call("close", name=name)

    def _seen(self, code: int, label: str) -> bool:
        kinds = self.recorder.frames()
        return any(k.request == code and k.program == label and k.encoding == self.encoding.lower() for k in kinds)

    def admin(self, java: Peer) -> None:
        """mqadmin, while a consumer and a producer of the same program are connected."""
        label = "mqadmin-5.5.0"
        self.recorder.label = "java-5.5.0"
        at: dict[str, Any] = {"namesrv": self.namesrv}
        topic, group = "PlainAdmin", "G-admin"
        java.call("producer", name="admin", group="P-admin", **at)
        receipt = java.send("admin", topic, count=3, tags="TagA", keys="key-{i}", prefix="golden-")[0]
        java.call("consumer", name="admin", group=group, topic=topic, **at)
        java.wait_messages("admin", lambda found: len(found) >= 3)
        client = wait_for("the consumer is known", lambda: self._client_id(java, group), 30)
        self.recorder.label = label
        offset_id, unique_id = receipt["offset_msg_id"], receipt["msg_id"]
        broker = self._broker_address
        later = str(int(time.time() * 1000))
        for line in (
            "updateTopic -t Made -r 3 -w 3 -b BROKER",
            "updateTopic -t MadeInCluster -r 2 -w 2 -c DefaultCluster",
            f"topicRoute -t {topic}",
            "topicRoute -t NoSuchTopic",
            f"topicStatus -t {topic}",
            "topicList",
            "topicList -c",
            "clusterList",
            "clusterList -m",
            f"topicClusterList -t {topic}",
            "brokerStatus -b BROKER",
            "getBrokerConfig -b BROKER",
            "updateBrokerConfig -b BROKER -k maxErrorRateOfBloomFilter -v 20",
            "getNamesrvConfig",
            "updateNamesrvConfig -k orderMessageEnable -v true",
            f"sendMessage -t {topic} -p hello -k keyA -c TagA",
            f"queryMsgByKey -t {topic} -k key-1",
            f"queryMsgById -t {topic} -i {offset_id}",
            f"queryMsgById -t {topic} -i {offset_id} -g {group} -d {client}",
            f"queryMsgByUniqueKey -t {topic} -i {unique_id}",
            f"queryMsgByOffset -t {topic} -b broker-a -i {receipt['queue']} -o {receipt['offset']}",
            f"queryCq -t {topic} -q 0 -i 0 -c 2 -b BROKER",
            f"consumerProgress -g {group}",
            "consumerProgress",
            f"consumerConnection -g {group}",
            f"producerConnection -g P-admin -t {topic}",
            "producer -b BROKER",
            f"consumerStatus -g {group} -s",
            "brokerConsumeStats -b BROKER",
            "statsAll -a",
            "haStatus -b BROKER",
            f"updateSubGroup -g G-made -b {broker}",
            "getConsumerConfig -g G-made",
            "deleteSubGroup -g G-made -b BROKER",
            "updateKvConfig -s space -k key -v value",
            "deleteKvConfig -s space -k key",
            f"updateOrderConf -t {topic} -m put -v broker-a:4",
            f"updateOrderConf -t {topic} -m get",
            f"resetOffsetByTime -g {group} -t {topic} -s {later}",
            f"skipAccumulatedMessage -g {group} -t {topic}",
            f"updateSubGroup -g G-clone -b {broker}",
            f"cloneGroupOffset -s {group} -d G-clone -t {topic} -o false",
            "wipeWritePerm -b broker-a",
            "addWritePerm -b broker-a",
            "cleanExpiredCQ -b BROKER",
            "cleanUnusedTopic -b BROKER",
            f"printMsg -t {topic}",
            "deleteTopic -t Made -c DefaultCluster",
        ):
            args = line.replace("BROKER", broker).split()
            print("  mqadmin", line, file=sys.stderr)
            answer = java.call("admin", args=[*args, "-n", self.namesrv])
            if "Exception" in answer["out"] + answer["failure"] and "NoSuchTopic" not in line:
                print(answer["out"][:600], answer["failure"][:600], file=sys.stderr)
        java.call("close", name="admin")

    def _client_id(self, java: Peer, group: str) -> str | None:
        """The id of the group's one member."""
        out = java.call("admin", args=["consumerConnection", "-g", group, "-n", self.namesrv])["out"]
        ids = [line.split()[0] for line in out.splitlines() if "@" in line]
        return ids[0] if ids else None

    def close(self) -> None:
        """Stops the broker, which unregisters, and the NameServer."""
        self.broker.stop()
        self.server.kill()


def main() -> int:
    """The program."""
    processes.handle_signals()
    recorder = Recorder()
    capture = Capture(recorder, "JSON")
    capture.old_brokers()
    java = peers.java_peer()
    capture.client(java, "java-5.5.0")
    capture.admin(java)
    java.close()
    go = peers.go_peer()
    capture.client(go, "go-2.1.2")
    go.close()
    capture.close()
    capture = Capture(recorder, "ROCKETMQ")
    binary = peers.java_peer(encoding="ROCKETMQ")
    capture.client(binary, "java-5.5.0")
    binary.close()
    capture.close()
    recorder.close()
    recorder.save(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
