"""Our push consumer, as `mq consume`, under the eyes of Apache's mqadmin and in ordered groups with Apache's consumers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.runner import Runner, message
from tests.interop import ours, remoting
from tests.interop.conftest import Target
from tests.interop.peers import Fields, Peer
from tests.interop.processes import Process, wait_for
from tests.interop.test_clients import opened
from tests.interop.test_consumers import client_id

# A queue and an offset in it.
Place = tuple[int, int]


class Consumer:
    """A running `mq consume --json`."""

    def __init__(self, target: Target, group: str, topic: str, log: Path, **settings: str) -> None:
        command = [str(ours.binary()), "consume", topic, "--group", group, "--from", "first", "--json", "-n", target.namesrv]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        self.process = Process("mq consume", command, log=log)

    def found(self) -> list[Fields]:
        """What it printed so far."""
        lines = self.process.log.read_text(errors="replace").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    def wait(self, count: int) -> list[Fields]:
        """All messages, once there are so many."""

        def enough() -> list[Fields] | None:
            found = self.found()
            return found if len(found) >= count else None

        return wait_for(f"{count} messages", enough, 60, self.process)


@contextmanager
def consuming(target: Target, group: str, topic: str, log: Path, **settings: str) -> Iterator[Consumer]:
    """Our consumer; it must end well."""
    consumer = Consumer(target, group, topic, log, **settings)
    try:
        yield consumer
    finally:
        status = consumer.process.stop()
    assert status == 0, consumer.process.tail()


def test_mqadmin_asks_our_consumer(target: Target, java: Peer, unique: str, work: Path) -> None:
    group = f"G-{unique}"
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        (sent,) = java.send(unique, unique)
    with consuming(target, group, unique, work / "out", consume_mode="orderly", consume_message_batch_max_size="3") as consumer:
        consumer.wait(1)
        member = client_id(target, java, group)
        out = java.admin("consumerStatus", "-g", group, "-i", member, "-s", "-n", target.namesrv)
        lines = [" ".join(line.split()) for line in out.splitlines()]
        assert "consumeMessageBatchMaxSize : 3" in lines, out
        assert "PROP_CONSUMEORDERLY : true" in lines, out
        assert any("listener calls run" in line for line in lines), "the stack is asked for: " + out
        out = java.admin(
            "queryMsgById", "-t", unique, "-i", sent["offset_msg_id"], "-g", group, "-d", member, "-n", target.namesrv
        )
        assert "CR_SUCCESS" in out, out
        consumer.wait(2)
        java.admin("resetOffsetByTime", "-g", group, "-t", unique, "-s", "0", "-n", target.namesrv)
        found = consumer.wait(3)
    assert {(m["queue_id"], m["queue_offset"]) for m in found} == {(sent["queue"], sent["offset"])}


def test_mqadmin_sees_subscriptions_change(target: Target, java: Peer, unique: str, work: Path) -> None:
    one, two, group = f"{unique}-one", f"{unique}-two", f"G-{unique}"
    for topic in (one, two):
        remoting.create_topic(target.broker, topic, 2)
    runner = Runner("python", work / "python.log")

    def asked(command: str, *arguments: str) -> str:
        return java.admin(command, "-g", group, *arguments, "-n", target.namesrv)

    def subscribed(text: str) -> dict[str, str]:
        """Topics and expressions as either command lists them, the group's own retry topic left out."""
        table = text.partition("#SubExpression")[2].strip("\n").partition("\n\n")[0]
        found = re.findall(r"^(\S+) +(.+)$", table, re.MULTILINE) or re.findall(r"Topic: (\S+) .*SubExpression: (.*)", text)
        return {topic: expression.strip() for topic, expression in found if not topic.startswith("%RETRY%")}

    def progress() -> set[tuple[str, str]]:
        """Topic and consumed offset of each queue that mqadmin counts for the group."""
        rows = [line.split() for line in asked("consumerProgress").splitlines()]
        return {(row[0], row[4]) for row in rows if row[:1] in ([one], [two])}

    try:
        runner.call("client.open", client="c", namesrv=target.namesrv, settings={})
        settings = {"consume_from_where": "first"}
        opened_with = {"client": "c", "group": group, "subscriptions": {one: "*"}, "settings": settings, "behaviour": {}}
        runner.call("consumer.open", consumer="m", **opened_with)
        member = client_id(target, java, group)
        runner.call("consumer.subscribe", consumer="m", topic=two, expression="a || b")
        for text in (asked("consumerConnection"), asked("consumerStatus", "-i", member)):
            assert subscribed(text) == {one: "*", two: "a || b"}, text
        runner.call("consumer.subscribe", consumer="m", topic=two, expression="c")
        runner.call("producer.open", producer="p", client="c", group=f"P-{unique}", settings={})
        queues = runner.call("producer.queues", producer="p", topic=two)["queues"]
        for queue in queues:
            runner.call("send", producer="p", message=message(two, b"x", tag="c"), mode="sync", queue=queue)
        for _ in queues:
            assert runner.event("m")["message"]["topic"] == two
        runner.call("consumer.unsubscribe", consumer="m", topic=one)
        for text in (asked("consumerConnection"), asked("consumerStatus", "-i", member)):
            assert subscribed(text) == {two: "c"}, text
        wait_for("its progress alone is shown", lambda: progress() == {(two, "1")} or None, 30)
        status = asked("consumerStatus", "-i", member)
        assert re.search(rf"^{two} ", status, re.MULTILINE) and not re.search(rf"^{one} ", status, re.MULTILINE), status
        runner.call("consumer.unsubscribe", consumer="m", topic=two)
        for text in (asked("consumerConnection"), asked("consumerStatus", "-i", member)):
            assert subscribed(text) == {}, text
        runner.call("consumer.subscribe", consumer="m", topic=one, expression="*")
        assert subscribed(asked("consumerConnection")) == {one: "*"}
    finally:
        runner.close()


@pytest.mark.slow
def test_an_ordered_group_of_ours_and_javas(target: Target, java: Peer, unique: str, work: Path) -> None:
    """Each queue is consumed in order by whoever has its lock, and passes to another without a message lost or twice."""
    queues = 6
    remoting.create_topic(target.broker, unique, queues)
    group, theirs = f"G-{unique}", f"{unique}-theirs"
    settings = {"consume_mode": "orderly", "rebalance_interval": "1s"}
    ours_found: list[Consumer] = []
    sent: list[Fields] = []

    def send() -> None:
        sent.extend(java.send(unique, unique, count=10 * queues))

    def members() -> list[list[Place]]:
        return [
            [(m["queue"], m["offset"]) for m in java.messages(theirs)],
            *([(m["queue_id"], m["queue_offset"]) for m in member.found()] for member in ours_found),
        ]

    def all_consumed() -> bool | None:
        return sum(map(len, members())) >= len(sent) or None

    def share_of(member: Consumer) -> None:
        """Sends until the member, which takes its time to join, has had some."""
        ours_found.append(member)

        def some() -> list[Fields] | None:
            send()
            return member.found() or None

        wait_for("ours has a share", some, 60, member.process)
        send()

    with (
        opened(java, "producer", target, unique, group=f"P-{unique}"),
        opened(java, "consumer", target, theirs, group=group, topic=unique, orderly=True, work_ms=5),
    ):
        send()
        with consuming(target, group, unique, work / "one", **settings) as one:
            share_of(one)
            with consuming(target, group, unique, work / "two", **settings) as two:
                share_of(two)
                wait_for("all are consumed", all_consumed, 90)
        send()
        wait_for("the rest is consumed", all_consumed, 90)
        found = members()
    consumed: dict[int, list[int]] = {queue: [] for queue in range(queues)}
    for places in found:
        own: dict[int, list[int]] = {}
        for queue, offset in places:
            own.setdefault(queue, []).append(offset)
        for queue, offsets in own.items():
            assert offsets == sorted(offsets), (queue, offsets)
            consumed[queue] += offsets
    for queue, offsets in consumed.items():
        assert sorted(offsets) == list(range(len(offsets))), (queue, sorted(offsets))
    assert sum(map(len, consumed.values())) == len(sent)
