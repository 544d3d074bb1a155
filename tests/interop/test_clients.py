"""Apache's Java and Go clients send to a broker and consume from it, in all ways and in all pairs."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.interop import remoting
from tests.interop.conftest import Target
from tests.interop.peers import Fields, Peer, body, sha256
from tests.interop.processes import wait_for

PROPERTIES = {"colour": "blue", "grüße": "Überraschung 🎉"}


@contextlib.contextmanager
def opened(peer: Peer, op: str, target: Target, name: str, **options: Any) -> Iterator[str]:
    """A producer or consumer of a peer, closed afterwards."""
    peer.call(op, name=name, namesrv=target.namesrv, **options)
    try:
        yield name
    finally:
        peer.call("close", name=name)


def once_each(found: list[Fields], count: int) -> bool:
    """True when at least `count` different places were delivered."""
    return len({(m["broker"], m["queue"], m["offset"]) for m in found}) >= count


@pytest.mark.parametrize(
    ("sender", "receiver"),
    [
        ("java", "java"),
        ("java", "go"),
        ("go", "java"),
        ("go", "go"),
        ("binary", "go"),
        ("go", "binary"),
        ("older", "go"),
        ("go", "older"),
    ],
)
def test_each_way_of_sending(target: Target, peer: Callable[[str], Peer], unique: str, sender: str, receiver: str) -> None:
    a, b = peer(sender), peer(receiver)
    prefix = "grüß-"
    with opened(a, "producer", target, unique, group=f"P-{unique}"):
        common: dict[str, Any] = {"prefix": prefix, "tags": "TagÄ", "keys": "k{i} common", "properties": PROPERTIES, "size": 90}
        receipts = a.send(unique, unique, count=10, **common)
        receipts += a.send(unique, unique, mode="async", count=10, first=10, **common)
        a.send(unique, unique, mode="oneway", count=5, first=20, **common)
        batch = a.send(unique, unique, mode="batch", count=7, batch=7, first=25, **common)
    with opened(b, "consumer", target, unique, group=f"G-{unique}", topic=unique):
        found = b.wait_messages(unique, lambda found: len(found) >= 32)
    assert Counter(m["sha256"] for m in found) == Counter(sha256(body(i, prefix, 90)) for i in range(32))
    for m in found:
        number = int(m["body"].removeprefix(prefix)[:6])
        assert (m["topic"], m["tags"], m["reconsume_times"], m["broker"]) == (unique, "TagÄ", 0, target.name)
        assert m["keys"].split() == [f"k{number}", "common"]
        assert m["properties"].items() >= PROPERTIES.items()
        if number < 20:  # where the receipt said
            r = receipts[number]
            assert (m["msg_id"], m["queue"], m["offset"]) == (r["msg_id"], r["queue"], r["offset"])
    places: dict[int, list[int]] = {}
    for m in found:
        places.setdefault(m["queue"], []).append(m["offset"])
    assert all(sorted(offsets) == list(range(len(offsets))) for offsets in places.values())
    of_batch = sorted((m["offset"], m["body"]) for m in found if int(m["body"].removeprefix(prefix)[:6]) >= 25)
    assert [offset for offset, _ in of_batch] == list(range(batch[0]["offset"], batch[0]["offset"] + 7)), "one queue, in order"
    assert [text for _, text in of_batch] == [body(i, prefix, 90).decode() for i in range(25, 32)]


@pytest.mark.parametrize(
    ("sender", "kind"), [("java", "ZLIB"), ("java", "LZ4"), ("java", "ZSTD"), ("binary", "ZSTD"), ("go", None)]
)
def test_compressed_bodies(
    target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, sender: str, kind: str | None
) -> None:
    a = peer(sender)
    options = {"compress_type": kind} if kind else {}
    with opened(a, "producer", target, unique, group=f"P-{unique}", **options):
        a.send(unique, unique, count=3, size=100_000)
    with opened(java, "consumer", target, unique, group=f"G-{unique}", topic=unique):
        found = java.wait_messages(unique, lambda found: len(found) >= 3)
    assert Counter(m["sha256"] for m in found) == Counter(sha256(body(i, "", 100_000)) for i in range(3))


def test_a_large_body(target: Target, java: Peer, go: Peer, unique: str) -> None:
    size = 4 << 20  # the largest that a client sends
    with opened(java, "producer", target, unique, group=f"P-{unique}", compress_over=1 << 30):
        java.send(unique, unique, size=size)
    with opened(go, "consumer", target, unique, group=f"G-{unique}", topic=unique):
        (found,) = go.wait_messages(unique, lambda found: len(found) >= 1)
    assert (found["size"], found["sha256"]) == (size, sha256(body(0, "", size)))


@pytest.mark.parametrize("receiver", ["java", "go"])
def test_only_the_tags_asked_for(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str) -> None:
    b = peer(receiver)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        for tag in ("A", "B", "C", None):
            java.send(unique, unique, count=4, prefix=f"{tag}-", **({"tags": tag} if tag else {}))
        with opened(b, "consumer", target, unique, group=f"G-{unique}", topic=unique, expression="A || C"):
            b.wait_messages(unique, lambda found: len(found) >= 8)
            # What is sent while the consumer waits takes the other way, through a held pull.
            for tag in ("B", "C"):
                java.send(unique, unique, count=4, tags=tag, prefix=f"late-{tag}-")
            found = b.wait_messages(unique, lambda found: len(found) >= 12)
    assert Counter(m["tags"] for m in found) == {"A": 4, "C": 8}


@pytest.mark.parametrize("receiver", ["java", "go", "binary", "older"])
def test_a_failed_delivery_comes_again(
    target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str
) -> None:
    b = peer(receiver)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        sent = {r["msg_id"] for r in java.send(unique, unique, count=4, tags="T", keys="k{i}")}
    with opened(b, "consumer", target, unique, group=f"G-{unique}", topic=unique, expression="T", fail_times=2, retry_level=1):
        # A client whose request to send one back gets no answer in time sends it once more, so the whole may be more than 12.
        wanted = {(body(i).decode(), times) for i in range(4) for times in range(3)}
        found = b.wait_messages(unique, lambda found: {(m["body"], m["reconsume_times"]) for m in found} >= wanted)
    assert {(m["body"], m["reconsume_times"]) for m in found} == wanted
    for m in found:
        assert (m["topic"], m["tags"]) == (unique, "T")
        assert m["sha256"] in {sha256(body(i)) for i in range(4)}
        assert m["msg_id"] in sent  # the same message for its consumer


@pytest.mark.parametrize("receiver", ["java", "go", "older"])
def test_given_up_messages_go_to_the_dead_letter_queue(
    target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str
) -> None:
    b = peer(receiver)
    group = f"G-{unique}"
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        java.send(unique, unique, count=2)
    with opened(b, "consumer", target, unique, group=group, topic=unique, fail_times=99, retry_level=1, max_reconsume=1):
        b.wait_messages(unique, lambda found: len(found) >= 4)
        dead = f"{unique}-dead"
        with opened(java, "consumer", target, dead, group=f"{group}-dead", topic=f"%DLQ%{group}"):
            found = java.wait_messages(dead, lambda found: len(found) >= 2)
    assert {m["sha256"] for m in found} == {sha256(body(0)), sha256(body(1))}
    assert {m["properties"]["RETRY_TOPIC"] for m in found} == {unique}


def test_delayed_delivery(target: Target, java: Peer, go: Peer, unique: str) -> None:
    with (
        opened(java, "producer", target, unique, group=f"P-{unique}"),
        opened(go, "producer", target, unique, group=f"P-{unique}"),
    ):
        java.send(unique, unique, delay_level=2, prefix="second-")
        go.send(unique, unique, delay_level=1, prefix="first-")
    with opened(java, "consumer", target, unique, group=f"G-{unique}", topic=unique):
        found = java.wait_messages(unique, lambda found: len(found) >= 2)
    assert {m["body"] for m in found} == {"first-000000:", "second-000000:"}
    for m in found:
        delay = {"1": 1000, "2": 2000}[m["properties"]["DELAY"]]
        assert m["store_time"] - m["born_time"] >= delay, m


def test_a_group_goes_on_where_it_stopped(target: Target, java: Peer, go: Peer, unique: str) -> None:
    group = f"G-{unique}"
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        java.send(unique, unique, count=8, prefix="one-")
        with opened(java, "consumer", target, f"{unique}-1", group=group, topic=unique):
            java.wait_messages(f"{unique}-1", lambda found: len(found) >= 8)
        java.send(unique, unique, count=8, prefix="two-")
        with opened(go, "consumer", target, f"{unique}-2", group=group, topic=unique):
            found = go.wait_messages(f"{unique}-2", lambda found: len(found) >= 8)
        assert {m["body"][:4] for m in found} == {"two-"}, "the second member begins where the first had committed"
        java.send(unique, unique, count=8, prefix="three-")
        with opened(java, "consumer", target, f"{unique}-3", group=group, topic=unique):
            found = java.wait_messages(f"{unique}-3", lambda found: len(found) >= 8)
        assert {m["body"][:6] for m in found} == {"three-"}


def halves(sender: Peer, topic: str, members: Sequence[Callable[[], list[Fields]]]) -> None:
    """Two members of a group, told by their deliveries, share eight queues: four each, every message once."""

    def by_member(prefix: str) -> list[Counter[int]]:
        return [Counter(m["queue"] for m in found() if m["body"].startswith(prefix)) for found in members]

    numbers = itertools.count()

    def settled() -> bool:
        # A probe into every queue shows who has which; while the queues still change hands one may come twice.
        prefix = f"probe-{next(numbers)}-"
        for queue in range(8):
            sender.send(topic, topic, queue=queue, prefix=prefix)
        wait_for("each queue is consumed", lambda: len(set().union(*by_member(prefix))) == 8, 60)
        first, second = by_member(prefix)
        return len(first) == len(second) == 4 and not set(first) & set(second)

    # Clients share queues out again every second; each of the two may be at it at another time.
    wait_for("the queues are shared half and half", settled, 45)
    for queue in range(8):
        sender.send(topic, topic, queue=queue, count=10, prefix="real-")
    wait_for("all is consumed", lambda: sum(map(Counter.total, by_member("real-"))) >= 80, 60)
    first, second = by_member("real-")
    assert first | second == Counter(dict.fromkeys(range(8), 10)), (first, second)
    assert len(first) == len(second) == 4


@pytest.mark.parametrize("pair", [("java", "go"), ("java", "binary"), ("older", "go")])
def test_members_of_one_group_share_its_queues(
    target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, pair: tuple[str, str]
) -> None:
    remoting.create_topic(target.broker, unique, 8)
    with contextlib.ExitStack() as stack:
        stack.enter_context(opened(java, "producer", target, unique, group=f"P-{unique}"))
        for name in pair:
            stack.enter_context(opened(peer(name), "consumer", target, f"{unique}-{name}", group=f"G-{unique}", topic=unique))
        first, second = pair
        halves(
            java,
            unique,
            [lambda: peer(first).messages(f"{unique}-{first}"), lambda: peer(second).messages(f"{unique}-{second}")],
        )
