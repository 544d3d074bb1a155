"""A client that is not Apache's: ali-ons, in JavaScript, sends to a broker, consumes from it, and shares a group with Java."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.interop import remoting
from tests.interop.conftest import Target
from tests.interop.peers import Peer, body, sha256
from tests.interop.test_clients import halves, opened

PROPERTIES = {"colour": "blue", "grüße": "Überraschung 🎉"}


def test_it_sends(target: Target, node: Peer, java: Peer, unique: str) -> None:
    remoting.create_topic(target.broker, unique, 4)  # it does not know how to ask for one
    common: dict[str, Any] = {"tags": "TagÄ", "keys": "k{i}", "properties": PROPERTIES, "prefix": "grüß-"}
    with opened(node, "producer", target, unique, group=f"P-{unique}"):
        receipts = node.send(unique, unique, count=6, **common)
        node.send(unique, unique, first=6, size=50_000, **common)  # it compresses this one
    with opened(java, "consumer", target, unique, group=f"G-{unique}", topic=unique):
        found = java.wait_messages(unique, lambda found: len(found) >= 7)
    sizes = [0] * 6 + [50_000]
    assert Counter(m["sha256"] for m in found) == Counter(sha256(body(i, "grüß-", size)) for i, size in enumerate(sizes))
    assert {(r["queue"], r["offset"]) for r in receipts} <= {(m["queue"], m["offset"]) for m in found}
    for m in found:
        assert m["tags"] == "TagÄ"
        assert m["properties"].items() >= PROPERTIES.items()


def test_it_consumes(target: Target, node: Peer, java: Peer, unique: str) -> None:
    with opened(java, "producer", target, unique, group=f"P-{unique}"):
        for tag in ("A", "B"):
            java.send(unique, unique, count=4, tags=tag, keys="k{i}", properties=PROPERTIES, prefix=f"{tag}-")
    with opened(node, "consumer", target, unique, group=f"G-{unique}", topic=unique, expression="A", fail_times=1):
        found = node.wait_messages(unique, lambda found: len(found) >= 8)
    # Each comes again once, after it was sent back.
    assert Counter((m["body"], m["reconsume_times"]) for m in found) == Counter(
        (f"A-{n:06d}:", times) for n in range(4) for times in range(2)
    )
    for m in found:
        assert (m["topic"], m["tags"]) == (unique, "A")
        assert m["properties"].items() >= PROPERTIES.items()


def test_it_shares_a_group_with_java(target: Target, node: Peer, java: Peer, unique: str) -> None:
    remoting.create_topic(target.broker, unique, 8)
    theirs, its = f"{unique}-java", f"{unique}-node"
    with (
        opened(java, "producer", target, unique, group=f"P-{unique}"),
        opened(java, "consumer", target, theirs, group=f"G-{unique}", topic=unique),
        opened(node, "consumer", target, its, group=f"G-{unique}", topic=unique),
    ):
        halves(java, unique, [lambda: java.messages(theirs), lambda: node.messages(its)])
