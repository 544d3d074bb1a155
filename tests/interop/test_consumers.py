"""Apache's consumers of each kind: in order, broadcasting, pulling; where they begin, and how an admin moves or asks them."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop import remoting
from tests.interop.conftest import Target
from tests.interop.peers import Fields, Peer
from tests.interop.processes import wait_for
from tests.interop.test_clients import opened

PUSH = ["java", "go", "older"]
PULL = ["java", "older"]


def offsets_by_queue(found: list[Fields]) -> dict[int, list[int]]:
    """Queue → offsets in the order of their delivery."""
    queues: dict[int, list[int]] = {}
    for m in sorted(found, key=lambda m: m["at"]):
        queues.setdefault(m["queue"], []).append(m["offset"])
    return queues


@pytest.mark.parametrize("receiver", PUSH)
def test_in_order(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str) -> None:
    b = peer(receiver)
    remoting.create_topic(target.broker, unique, 4)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        for queue in range(4):
            java.send(unique, unique, queue=queue, count=5)
    with opened(b, "consumer", target, unique, group=f"G-{unique}", topic=unique, orderly=True, fail_times=2):
        found = b.wait_messages(unique, lambda found: len(found) >= 60)
    # A failed message holds up its queue until it succeeds, and nothing comes twice otherwise.
    assert offsets_by_queue(found) == {queue: [offset for offset in range(5) for _ in range(3)] for queue in range(4)}


@pytest.mark.parametrize("receiver", PUSH)
def test_in_order_until_given_up(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str) -> None:
    b = peer(receiver)
    group = f"G-{unique}"
    remoting.create_topic(target.broker, unique, 1)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        java.send(unique, unique, count=2)
    options: dict[str, Any] = {"orderly": True, "fail_times": 99, "max_reconsume": 1}
    times = 3 if receiver == "go" else 2  # Go's client tries once more than it is told to
    with opened(b, "consumer", target, unique, group=group, topic=unique, **options):
        found = b.wait_messages(unique, lambda found: len(found) >= 2 * times)
        with opened(java, "consumer", target, f"{unique}-dead", group=f"{group}-dead", topic=f"%DLQ%{group}"):
            dead = java.wait_messages(f"{unique}-dead", lambda found: len(found) >= 2)
    assert offsets_by_queue(found) == {0: [offset for offset in range(2) for _ in range(times)]}
    assert {m["body"] for m in dead} == {"000000:", "000001:"}
    assert {m["properties"]["RETRY_TOPIC"] for m in dead} == {unique}


# Go's client asks for locks every 20 s.
@pytest.mark.parametrize("pair", [pytest.param(("java", "go"), marks=pytest.mark.slow), ("older", "java")], ids="-".join)
def test_order_is_kept_while_queues_change_hands(
    target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, pair: tuple[str, str]
) -> None:
    first, second = peer(pair[0]), peer(pair[1])
    names = [f"{unique}-1", f"{unique}-2"]
    remoting.create_topic(target.broker, unique, 4)
    options: dict[str, Any] = {"group": f"G-{unique}", "topic": unique, "orderly": True, "work_ms": 2}

    def deliveries() -> list[Fields]:
        return first.messages(names[0]) + second.messages(names[1])

    count = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(opened(java, "producer", target, unique, group=f"P-{unique}"))
        stack.enter_context(opened(first, "consumer", target, names[0], **options))

        def send() -> None:
            nonlocal count
            for queue in range(4):
                java.send(unique, unique, queue=queue, count=10, first=count)
            count += 10

        send()
        first.wait_messages(names[0], lambda found: len(found) >= 40)
        with opened(second, "consumer", target, names[1], **options):
            # The second gets its two queues when the first has given back their locks.

            def shared() -> bool:
                send()
                return len({m["queue"] for m in second.messages(names[1])}) == 2

            wait_for("the second member has its two queues", shared, 60)
            wait_for("all is delivered", lambda: len({(m["queue"], m["offset"]) for m in deliveries()}) == 4 * count, 60)
        # And they go back when it leaves.
        send()
        wait_for("all is delivered", lambda: len({(m["queue"], m["offset"]) for m in deliveries()}) == 4 * count, 60)
    for queue, offsets in offsets_by_queue(deliveries()).items():
        assert sorted(set(offsets)) == list(range(count)), queue
        # A member that is gone may not have committed its last one; nothing is ever delivered behind a later one but so.
        steps = [b - a for a, b in itertools.pairwise(offsets)]
        assert all(step <= 1 for step in steps), (queue, offsets)
        assert sum(step < 1 for step in steps) <= 2, (queue, offsets)


@pytest.mark.parametrize("receiver", PUSH)
def test_broadcasting(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str) -> None:
    b = peer(receiver)
    names = [f"{unique}-1", f"{unique}-2"]
    options: dict[str, Any] = {"group": f"G-{unique}", "topic": unique, "model": "broadcasting", "alone": True}
    if receiver != "go":  # A failed message is not delivered again; Go's client keeps no offset behind one.
        options["fail_times"] = 1
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        java.send(unique, unique, count=8, prefix="one-")
        for round_, prefix in enumerate(("one-", "two-"), 1):
            with contextlib.ExitStack() as stack:
                for name in names:
                    stack.enter_context(opened(b, "consumer", target, name, **options))
                for name in names:
                    b.wait_messages(name, lambda found, n=8 * round_: len(found) >= n)  # type: ignore[misc]
            if prefix == "one-":
                java.send(unique, unique, count=8, prefix="two-")
    # Each of them has all; and in the second round goes on where its own file says.
    for name in names:
        assert Counter(m["body"][:4] for m in b.messages(name)) == {"one-": 8, "two-": 8}


@pytest.mark.parametrize("receiver", PUSH)
@pytest.mark.parametrize("begin", ["last", "timestamp"])
def test_where_a_new_group_begins(
    target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str, begin: str
) -> None:
    """While a queue still has its first message, and that in memory, a broker lets every new group begin with it."""
    b = peer(receiver)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        java.send(unique, unique, count=4, prefix="old-")
        options = {"timestamp": time.strftime("%Y%m%d%H%M%S")} if begin == "timestamp" else {}
        with opened(b, "consumer", target, unique, group=f"G-{unique}", topic=unique, **{"from": begin}, **options):
            b.wait_messages(unique, lambda found: len(found) >= 4)
            java.send(unique, unique, count=4, prefix="new-")
            found = b.wait_messages(unique, lambda found: len(found) >= 8)
    assert Counter(m["body"][:4] for m in found) == {"old-": 4, "new-": 4}


def poll(peer: Peer, name: str, count: int, seconds: float = 30) -> list[Fields]:
    """Polls until there are `count` messages."""
    found: list[Fields] = []

    def enough() -> bool:
        found.extend(peer.call("poll", name=name, timeout_ms=500)["messages"])
        return len(found) >= count

    wait_for(f"{count} messages are polled", enough, seconds)
    return found


@pytest.mark.parametrize("receiver", PULL)
def test_pulling_as_a_group(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str) -> None:
    b = peer(receiver)
    group = {"group": f"G-{unique}", "topic": unique}
    remoting.create_topic(target.broker, unique, 4)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        for queue in range(4):
            java.send(unique, unique, queue=queue, count=5, tags="A" if queue < 2 else "B", prefix="one-")
        with opened(b, "puller", target, f"{unique}-0", expression="A", **group) as puller:
            found = poll(b, puller, 10)
            assert {m["tags"] for m in found} == {"A"}
            b.call("commit", name=puller)
            assert {q: n for q, n in b.call("position", name=puller)["committed"].items() if q in "01"} == {"0": 5, "1": 5}
        # Java's client commits one-way when it closes, and the broker's threads may turn to other requests first.
        for queue in (0, 1):
            wait_for(
                f"the broker knows what was committed of queue {queue}",
                lambda q=queue: remoting.committed(target.broker, group["group"], unique, q) == 5,  # type: ignore[misc]
                30,
            )
        for queue in range(4):
            java.send(unique, unique, queue=queue, count=5, tags="A", prefix="two-")
        # Two members of the group share the queues, and go on behind what was committed.
        names = [f"{unique}-1", f"{unique}-2"]
        with opened(b, "puller", target, names[0], expression="A", auto_commit=True, alone=True, **group), \
                opened(b, "puller", target, names[1], expression="A", auto_commit=True, alone=True, **group):  # fmt: skip
            wait_for("each has two queues", lambda: all(_assigned(b, name) == 2 for name in names), 30)
            found = []

            def all_found() -> bool:
                for name in names:
                    found.extend(b.call("poll", name=name, timeout_ms=200)["messages"])
                return len({(m["queue"], m["offset"]) for m in found}) >= 20

            wait_for("all is polled", all_found, 30)
    assert {m["body"][:4] for m in found} == {"two-"}


def _assigned(peer: Peer, name: str) -> int:
    return len(peer.call("position", name=name)["committed"])


@pytest.mark.parametrize("receiver", PULL)
def test_pulling_from_chosen_queues(
    target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str
) -> None:
    b = peer(receiver)
    remoting.create_topic(target.broker, unique, 4)
    with (
        opened(java, "producer", target, unique, group=f"P-{unique}"),
        opened(b, "puller", target, f"{unique}-0", group=f"G-{unique}", topic=unique, assign=[0, 1]) as puller,
    ):
        for queue in range(3):
            java.send(unique, unique, queue=queue, count=5)
        found = poll(b, puller, 10)
        assert Counter(m["queue"] for m in found) == {0: 5, 1: 5}
        b.call("seek", name=puller, queue=0, offset=3)
        assert [(m["queue"], m["offset"]) for m in poll(b, puller, 2)] == [(0, 3), (0, 4)]
        b.call("seek", name=puller, queue=1)  # to the beginning
        assert [(m["queue"], m["offset"]) for m in poll(b, puller, 5)] == [(1, n) for n in range(5)]
        b.call("seek", name=puller, queue=0, time=found[0]["store_time"] + 3_600_000)  # the end
        b.call("seek", name=puller, queue=1, offset=0)
        b.call("seek", name=puller, queue=1, end=True)
        java.send(unique, unique, queue=1, count=1, prefix="new-")
        assert [m["body"] for m in poll(b, puller, 1)] == ["new-000000:"]
        # A pull that is on its way when its queue is paused still brings what it finds; then the queue waits.
        b.call("pause", name=puller, queues=[0])
        java.send(unique, unique, queue=0, count=1, prefix="under-way-")
        assert [m["body"] for m in poll(b, puller, 1)] == ["under-way-000000:"]
        java.send(unique, unique, queue=0, count=1, prefix="paused-")
        java.send(unique, unique, queue=1, count=1, prefix="free-")
        assert [m["body"] for m in poll(b, puller, 1)] == ["free-000000:"]
        b.call("resume", name=puller, queues=[0])
        assert [m["body"] for m in poll(b, puller, 1)] == ["paused-000000:"]


# A client that is told to move waits ten seconds first.
@pytest.mark.slow
@pytest.mark.parametrize("receiver", PUSH)
def test_an_admin_resets_a_running_group(
    target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str
) -> None:
    b = peer(receiver)
    group = f"G-{unique}"
    remoting.create_topic(target.broker, unique, 2)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        for queue in range(2):
            java.send(unique, unique, queue=queue, count=4, prefix="old-")
        since = wait_for("the clock moves on", lambda: int(time.time() * 1000) + 2, 5)
        wait_for("it is later", lambda: int(time.time() * 1000) > since, 5)
        for queue in range(2):
            java.send(unique, unique, queue=queue, count=4, prefix="new-")
        with opened(b, "consumer", target, unique, group=group, topic=unique):
            b.wait_messages(unique, lambda found: len(found) >= 16)
            out = java.admin("resetOffsetByTime", "-g", group, "-t", unique, "-s", str(since), "-n", target.namesrv)
            assert [row.split()[2] for row in out.splitlines() if row.startswith(target.name)] == ["4", "4"], out
            found = b.wait_messages(unique, lambda found: len(found) >= 24)
            java.send(unique, unique, prefix="end-")
            b.wait_messages(unique, lambda found: any(m["body"].startswith("end-") for m in found))
    counts = Counter(m["body"][:4] for m in b.messages(unique))
    assert counts == {"old-": 8, "new-": 16, "end-": 1}
    assert all(m["body"].startswith("new-") for m in found[16:])


@pytest.mark.slow
def test_an_admin_resets_a_group_that_is_away(target: Target, java: Peer, unique: str) -> None:
    group = f"G-{unique}"
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        java.send(unique, unique, count=8)
        with opened(java, "consumer", target, f"{unique}-1", group=group, topic=unique):
            java.wait_messages(f"{unique}-1", lambda found: len(found) >= 8)
        java.admin("resetOffsetByTime", "-g", group, "-t", unique, "-s", "0", "-n", target.namesrv)
        with opened(java, "consumer", target, f"{unique}-2", group=group, topic=unique):
            found = java.wait_messages(f"{unique}-2", lambda found: len(found) >= 8)
    assert sorted(m["body"] for m in found) == [f"{n:06d}:" for n in range(8)]


def client_id(target: Target, java: Peer, group: str) -> str:
    """The one member of a group, as mqadmin names it."""

    def known() -> str | None:
        out = java.call("admin", args=["consumerConnection", "-g", group, "-n", target.namesrv])["out"]
        ids = [line.split()[0] for line in out.splitlines() if "@" in line.split("  ")[0]]
        return ids[0] if ids else None

    return wait_for("the member is known", known, 60)


@pytest.mark.parametrize("receiver", PUSH)
def test_an_admin_asks_a_consumer(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str) -> None:
    b = peer(receiver)
    group = f"G-{unique}"
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        (sent,) = java.send(unique, unique)
    with opened(b, "consumer", target, unique, group=group, topic=unique):
        b.wait_messages(unique, lambda found: len(found) >= 1)
        member = client_id(target, java, group)
        out = java.admin("consumerStatus", "-g", group, "-i", member, "-n", target.namesrv)
        assert "#Consumer Properties#" in out
        assert unique in out
        # The message is handed to just this listener, whatever its group has consumed.
        out = java.admin(
            "queryMsgById", "-t", unique, "-i", sent["offset_msg_id"], "-g", group, "-d", member, "-n", target.namesrv
        )
        assert "CR_SUCCESS" in out, out
        found = b.wait_messages(unique, lambda found: len(found) >= 2)
    assert {m["body"] for m in found} == {"000000:"}


def test_offsets_by_time(target: Target, java: Peer, unique: str) -> None:
    """The first message of a time or later; the end when there is none."""
    remoting.create_topic(target.broker, unique, 1)
    times = []
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        for number in range(4):
            java.send(unique, unique, count=2, first=2 * number)
            moment = time.time()
            wait_for("the clock moves on", lambda moment=moment: time.time() > moment + 0.005, 5)  # type: ignore[misc]
    with opened(java, "consumer", target, unique, group=f"G-{unique}", topic=unique):
        found = java.wait_messages(unique, lambda found: len(found) >= 8)
    times = [m["store_time"] for m in sorted(found, key=lambda m: m["offset"])]
    for moment in sorted({t + d for t in times for d in (-1, 0, 1)}):
        at = {"topic": unique, "queueId": "0", "timestamp": str(moment)}
        answer = remoting.call(target.broker, 29, at)
        wanted = next((offset for offset, t in enumerate(times) if t >= moment), len(times))
        assert int(answer.ext["offset"]) == wanted, (moment, times)
