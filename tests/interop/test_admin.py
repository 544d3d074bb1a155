"""Apache's mqadmin, and the lookups of the Java client."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.interop import remoting
from tests.interop.conftest import Target
from tests.interop.peers import Fields, Peer, body, sha256
from tests.interop.processes import wait_for


@pytest.fixture
def sent(target: Target, java: Peer, unique: str) -> Iterator[list[Fields]]:
    """Receipts of eight messages in topic `unique`, from a producer `unique` that is still open."""
    java.call("producer", name=unique, namesrv=target.namesrv, group=f"P-{unique}")
    yield java.send(unique, unique, count=8, tags="TagA", keys="key-{i} shared", prefix="body-")
    java.call("close", name=unique)


def table(text: str) -> list[list[str]]:
    """The rows of what mqadmin printed, without heads and empty lines."""
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("where", ["broker", "cluster"])
def test_update_topic(target: Target, java: Peer, unique: str, where: str) -> None:
    at = ["-b", target.broker] if where == "broker" else ["-c", target.cluster]
    out = java.admin("updateTopic", "-t", unique, "-r", "3", "-w", "2", *at, "-n", target.namesrv)
    assert f"create topic to {target.broker} success" in out
    route = wait_for("the topic is routed", lambda: remoting.route(target.namesrv, unique), 60)
    (queues,) = route["queueDatas"]
    assert (queues["brokerName"], queues["readQueueNums"], queues["writeQueueNums"], queues["perm"]) == (target.name, 3, 2, 6)
    java.admin("updateTopic", "-t", unique, "-r", "5", "-w", "5", *at, "-n", target.namesrv)
    wait_for("the change is routed", lambda: _queues(target, unique) == (5, 5), 60)


def _queues(target: Target, topic: str) -> tuple[int, int]:
    (queues,) = (remoting.route(target.namesrv, topic) or {})["queueDatas"]
    return queues["readQueueNums"], queues["writeQueueNums"]


def test_topic_list(target: Target, java: Peer, unique: str, sent: list[Fields]) -> None:
    assert sent
    topics = java.admin("topicList", "-n", target.namesrv).split()
    assert {unique, "TBW102"} <= set(topics)
    assert [target.cluster, unique] in [row[:2] for row in table(java.admin("topicList", "-c", "-n", target.namesrv))]


def test_topic_route(target: Target, java: Peer, unique: str, sent: list[Fields]) -> None:
    assert sent
    out = java.admin("topicRoute", "-t", unique, "-n", target.namesrv)
    route = remoting.loads(re.sub(r"\s", "", out).encode())
    (broker,) = route["brokerDatas"]
    assert (broker["brokerAddrs"], broker["brokerName"], broker["cluster"]) == (
        {"0": target.broker},
        target.name,
        target.cluster,
    )
    assert [(q["brokerName"], q["readQueueNums"]) for q in route["queueDatas"]] == [(target.name, 4)]
    answer = java.call("admin", args=["topicRoute", "-t", "NoSuchTopic", "-n", target.namesrv])
    assert "CODE: 17" in answer["out"] + answer["failure"]


def test_topic_status(target: Target, java: Peer, unique: str, sent: list[Fields]) -> None:
    rows = table(java.admin("topicStatus", "-t", unique, "-n", target.namesrv))
    status = {int(row[1]): (int(row[2]), int(row[3])) for row in rows if row[0] == target.name}
    ends = {queue: (0, sum(r["queue"] == queue for r in sent)) for queue in range(4)}
    assert status == ends


def test_cluster_list(target: Target, java: Peer) -> None:
    rows = table(java.admin("clusterList", "-n", target.namesrv))
    assert [row[:4] for row in rows] == [[target.cluster, target.name, "0", target.broker]]


def test_send_message(target: Target, java: Peer, unique: str, sent: list[Fields]) -> None:
    assert sent
    out = java.admin("sendMessage", "-t", unique, "-p", "by-mqadmin", "-k", "admin-key", "-c", "TagZ", "-n", target.namesrv)
    (row,) = [row for row in table(out) if "SEND_OK" in row]  # the client may log beside it
    assert (row[0], row[2]) == (target.name, "SEND_OK")
    message = java.call("query", name=unique, topic=unique, msg_id=row[3])["messages"][0]
    assert (message["body"], message["tags"], message["keys"]) == ("by-mqadmin", "TagZ", "admin-key")


def test_query_by_key(target: Target, java: Peer, unique: str, sent: list[Fields]) -> None:
    (row,) = table(java.admin("queryMsgByKey", "-t", unique, "-k", "key-3", "-n", target.namesrv))
    assert row[:3] == [sent[3]["msg_id"], str(sent[3]["queue"]), str(sent[3]["offset"])]
    by_key = java.call("query", name=unique, topic=unique, key="shared")["messages"]
    assert {m["sha256"] for m in by_key} == {sha256(body(i, "body-")) for i in range(8)}
    assert java.call("query", name=unique, topic=unique, key="key-5")["messages"][0]["msg_id"] == sent[5]["msg_id"]
    newest = java.call("query", name=unique, topic=unique, key="shared", max=3)["messages"]
    assert len(newest) == 3


def test_query_by_id(target: Target, java: Peer, unique: str, sent: list[Fields]) -> None:
    for kind in ("offset_msg_id", "msg_id"):
        message = java.call("query", name=unique, topic=unique, msg_id=sent[2][kind])["messages"][0]
        assert (message["body"], message["queue"], message["offset"]) == ("body-000002:", sent[2]["queue"], sent[2]["offset"])
    out = java.admin("queryMsgById", "-t", unique, "-i", sent[2]["offset_msg_id"], "-n", target.namesrv)
    fields = dict(re.findall(r"^(\w[\w ]+):\s+(.*)$", out, re.M))
    assert (fields["Topic"], fields["Tags"], fields["Queue Offset"]) == (unique, "[TagA]", str(sent[2]["offset"]))


def test_offsets_of_a_queue(target: Target, java: Peer, unique: str) -> None:
    remoting.create_topic(target.broker, unique, 4)
    java.call("producer", name=unique, namesrv=target.namesrv, group=f"P-{unique}")
    java.send(unique, unique, queue=1, count=3)
    # Times of messages are whole milliseconds.
    between = wait_for("the clock moves on", lambda: int(time.time() * 1000) + 2, 5)
    wait_for("it is later", lambda: int(time.time() * 1000) > between, 5)
    java.send(unique, unique, queue=1, count=2)
    found = java.call("offsets", name=unique, topic=unique, queue=1, time=between)
    assert (found["min"], found["max"], found["at_time"]) == (0, 5, 3)
    assert found["earliest"] <= between
    assert java.call("offsets", name=unique, topic=unique, queue=1, time=0)["at_time"] == 0
    assert java.call("offsets", name=unique, topic=unique, queue=1, time=between + 3_600_000)["at_time"] == 5
    empty = java.call("offsets", name=unique, topic=unique, queue=2)
    assert (empty["min"], empty["max"]) == (0, 0)
    java.call("close", name=unique)


def test_consumer_progress(target: Target, java: Peer, unique: str, sent: list[Fields]) -> None:
    group = f"G-{unique}"
    consumer = f"{unique}-consumer"
    java.call("consumer", name=consumer, namesrv=target.namesrv, group=group, topic=unique)
    java.wait_messages(consumer, lambda found: len(found) >= 8)
    java.call("close", name=consumer)  # commits
    java.send(unique, unique, queue=0, count=2)
    rows = table(java.admin("consumerProgress", "-g", group, "-n", target.namesrv))
    progress = {int(row[2]): tuple(map(int, row[3:6])) for row in rows if row[0] == unique}
    counts = {queue: sum(r["queue"] == queue for r in sent) for queue in range(4)}
    assert progress == {q: (n + 2 * (q == 0), n, 2 * (q == 0)) for q, n in counts.items()}


def test_consumer_connection(target: Target, java: Peer, go: Peer, unique: str, sent: list[Fields]) -> None:
    assert sent
    for peer in (java, go):
        peer.call("consumer", name=f"{unique}-{peer.name}", namesrv=target.namesrv, group=f"G-{unique}", topic=unique)
    out = java.admin("consumerConnection", "-g", f"G-{unique}", "-n", target.namesrv)
    for peer in (java, go):
        peer.call("close", name=f"{unique}-{peer.name}")
    assert {row[2] for row in table(out) if "@" in row[0]} == {"JAVA", "GO"}
    assert unique in out


def test_brokers_know_their_version(target: Target) -> None:
    """What a client reads from the answer to its heartbeat decides what it dares to ask."""
    heartbeat = {"clientID": "127.0.0.1@1", "producerDataSet": [{"groupName": "P"}], "consumerDataSet": []}
    answer = remoting.call(target.broker, 34, body=json.dumps(heartbeat).encode())
    assert answer.code == 0
    assert answer.version >= 413


def test_unknown_requests_are_refused(target: Target) -> None:
    for address in (target.namesrv, target.broker):
        assert remoting.call(address, 9999).code == 3
