"""Clients of other languages: ali-ons in JavaScript, which is not Apache's, and Apache's in C++. Each sends to a broker,
consumes from it, and shares a group with Java."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.interop import remoting
from tests.interop.conftest import Target
from tests.interop.peers import Peer, body, sha256
from tests.interop.test_clients import halves, opened

PROPERTIES = {"colour": "blue", "grüße": "Überraschung 🎉"}
CLIENTS = ["node", "cpp"]


@pytest.mark.parametrize("client", CLIENTS)
def test_it_sends(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, client: str) -> None:
    sender = peer(client)
    remoting.create_topic(target.broker, unique, 4)  # ali-ons does not know how to ask for one
    common: dict[str, Any] = {"tags": "TagÄ", "keys": "k{i}", "properties": PROPERTIES, "prefix": "grüß-"}
    with opened(sender, "producer", target, unique, group=f"P-{unique}"):
        receipts = sender.send(unique, unique, count=6, **common)
        sender.send(unique, unique, first=6, size=50_000, **common)  # it compresses this one
    with opened(java, "consumer", target, unique, group=f"G-{unique}", topic=unique):
        found = java.wait_messages(unique, lambda found: len(found) >= 7)
    sizes = [0] * 6 + [50_000]
    assert Counter(m["sha256"] for m in found) == Counter(sha256(body(i, "grüß-", size)) for i, size in enumerate(sizes))
    # The C++ client does not say which queue it was.
    places = {(m.get("queue") if "queue" in receipts[0] else None, m["offset"]) for m in found}
    assert {(r.get("queue"), r["offset"]) for r in receipts} <= places
    if client == "cpp":  # ali-ons reports the id by which the broker finds the message
        assert {r["msg_id"] for r in receipts} <= {m["msg_id"] for m in found}
    for m in found:
        assert m["tags"] == "TagÄ"
        assert m["properties"].items() >= PROPERTIES.items()


@pytest.mark.parametrize("client", CLIENTS)
def test_it_consumes(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, client: str) -> None:
    receiver = peer(client)
    remoting.create_topic(target.broker, unique, 4)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        for tag in ("A", "B"):
            for n in range(4):
                # One in each queue: the C++ client sends all of a pull back when the first of it fails.
                common: dict[str, Any] = {"tags": tag, "keys": "k{i}", "properties": PROPERTIES, "prefix": f"{tag}-"}
                java.send(unique, unique, first=n, queue=n, **common)
    options: dict[str, Any] = {"topic": unique, "expression": "A", "fail_times": 1, "report": list(PROPERTIES)}
    with opened(receiver, "consumer", target, unique, group=f"G-{unique}", **options):
        found = receiver.wait_messages(unique, lambda found: len(found) >= 8)
    # Each comes again once, after it was sent back.
    assert Counter((m["body"], m["reconsume_times"]) for m in found) == Counter(
        (f"A-{n:06d}:", times) for n in range(4) for times in range(2)
    )
    for m in found:
        assert (m["topic"], m["tags"]) == (unique, "A")
        assert m["properties"].items() >= PROPERTIES.items()


@pytest.mark.parametrize("client", CLIENTS)
def test_it_shares_a_group_with_java(target: Target, peer: Callable[[str], Peer], java: Peer, unique: str, client: str) -> None:
    member = peer(client)
    remoting.create_topic(target.broker, unique, 8)
    theirs, its = f"{unique}-java", f"{unique}-{client}"
    with (
        opened(java, "producer", target, unique, group=f"P-{unique}"),
        opened(java, "consumer", target, theirs, group=f"G-{unique}", topic=unique),
        opened(member, "consumer", target, its, group=f"G-{unique}", topic=unique),
    ):
        halves(java, unique, [lambda: java.messages(theirs), lambda: member.messages(its)])


def test_cpp_consumes_in_order(target: Target, cpp: Peer, java: Peer, unique: str) -> None:
    remoting.create_topic(target.broker, unique, 2)
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        for queue in range(2):
            java.send(unique, unique, count=30, queue=queue, prefix=f"{queue}-")
    with opened(cpp, "consumer", target, unique, group=f"G-{unique}", topic=unique, orderly=True):
        found = cpp.wait_messages(unique, lambda found: len(found) >= 60)
    for queue in range(2):
        got = [(m["offset"], m["body"]) for m in found if m["queue"] == queue]
        assert got == [(n, f"{queue}-{n:06d}:") for n in range(30)]
