"""Brokers and NameServers of both kinds work together: ours at Apache's NameServer, Apache's at ours, all in one cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import apache, ours, remoting
from tests.interop.peers import Fields, Peer
from tests.interop.processes import wait_for

LIBMQ = "libmq"
CASES = [
    # Apache's alone: shows that the test is right.
    ("apache-5.5.0", ["apache-5.5.0", "apache-4.9.7"]),
    ("apache-5.5.0", [LIBMQ, "apache-5.5.0"]),
    ("apache-4.9.7", [LIBMQ]),
    (LIBMQ, ["apache-5.5.0", "apache-4.9.7", LIBMQ]),
]


def name_server(kind: str, home: Path) -> apache.NameServer | ours.NameServer:
    """A NameServer of that kind."""
    return ours.NameServer(home) if kind == LIBMQ else apache.NameServer(home, kind.removeprefix("apache-"))


def broker(kind: str, home: Path, namesrv: str, name: str) -> apache.Broker | ours.Broker:
    """A broker of that kind."""
    if kind == LIBMQ:
        return ours.Broker(home, namesrv, name=name)
    return apache.Broker(home, namesrv, kind.removeprefix("apache-"), name=name)


def places(found: list[Fields]) -> set[tuple[str, int, int]]:
    """Where messages are, of deliveries or of receipts."""
    return {(m["broker"], m["queue"], m["offset"]) for m in found}


@pytest.mark.parametrize(("namesrv", "kinds"), CASES, ids=[f"{n}-with-{'-and-'.join(b)}" for n, b in CASES])
def test_one_cluster(java: Peer, go: Peer, work: Path, unique: str, namesrv: str, kinds: list[str]) -> None:
    server = name_server(namesrv, work / "namesrv").start()
    at = server.address
    brokers = {}
    try:
        for number, kind in enumerate(kinds):
            name = f"broker-{'abc'[number]}"
            brokers[name] = broker(kind, work / name, at, name).start()
        registered(at, {name: b.address for name, b in brokers.items()})
        out = java.admin("clusterList", "-n", at)
        assert all(name in out and b.address in out for name, b in brokers.items()), out

        # A topic in the whole cluster: the producer takes the brokers in turn, the consumers hear of all of them.
        java.admin("updateTopic", "-t", unique, "-r", "4", "-w", "4", "-c", "DefaultCluster", "-n", at)
        wait_for("the topic is routed everywhere", lambda: len(routed_by(at, unique)) == len(brokers), 30)
        count = 24 * len(brokers)
        java.call("producer", name=unique, namesrv=at, group=f"P-{unique}")
        receipts = java.send(unique, unique, count=count)
        assert {r["broker"] for r in receipts} == set(brokers)
        for peer in (java, go):
            peer.call("consumer", name=unique, namesrv=at, group=f"G-{unique}-{peer.name}", topic=unique)
            found = peer.wait_messages(unique, lambda found: len(found) >= count)
            assert {(m["broker"], m["queue"], m["offset"]) for m in found} == {
                (r["broker"], r["queue"], r["offset"]) for r in receipts
            }
            peer.call("close", name=unique)
        # A topic that is not there yet is made by sending to it (TBW102).
        java.call("producer", name=unique, namesrv=at, group=f"P-{unique}")
        java.send(unique, f"{unique}-auto")
        wait_for("the new topic is routed", lambda: routed_by(at, f"{unique}-auto"), 60)
        java.call("close", name=unique)

        # A broker that stops is forgotten, one that is killed too; and both are known again when they are back.
        left = {name: b.address for name, b in brokers.items()}
        for name, b in brokers.items():
            if isinstance(b, ours.Broker):
                assert b.stop() == 0, b.process.tail()
            else:
                b.kill()
            del left[name]
            registered(at, left)
        for name, b in brokers.items():
            if isinstance(b, ours.Broker):
                b.start()
                left[name] = b.address
        registered(at, left)
    finally:
        java.call("forget", namesrv=at)
        for b in brokers.values():
            b.kill()
        server.kill()


def registered(namesrv: str, brokers: dict[str, str]) -> None:
    """Waits until a NameServer knows just these brokers: name → address."""

    def known() -> bool:
        return {name: ids.get("0") for name, ids in remoting.cluster(namesrv).items()} == brokers

    wait_for(f"{namesrv} knows just {brokers}", known, 30)


def routed_by(namesrv: str, topic: str) -> list[str]:
    """The brokers to which a topic is routed."""
    return [q["brokerName"] for q in (remoting.route(namesrv, topic) or {"queueDatas": []})["queueDatas"]]
