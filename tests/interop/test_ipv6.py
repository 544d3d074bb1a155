"""A NameServer and a broker on ::1, Apache's and ours: Java, Go and our client send and consume over IPv6."""

from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.interop import apache, ours
from tests.interop.conftest import APACHE, OURS, Target
from tests.interop.peers import Peer
from tests.interop.test_clients import opened

LOOPBACK = "::1"
# The longest form of an offset message id: an address of 16 bytes, a port and an offset.
ID_LENGTH = 56


def _has_ipv6() -> bool:
    try:
        with closing(socket.create_server((LOOPBACK, 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


pytestmark = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture(params=[APACHE, OURS])
def cluster(request: pytest.FixtureRequest, work: Path) -> Iterator[Target]:
    """As `target`, on ::1."""
    if request.param == APACHE:
        namesrv = apache.NameServer(work / "namesrv", conf={"bindAddress": LOOPBACK}).start()
        # The address that clients are told is put together as text.
        conf = {"bindAddress": LOOPBACK, "brokerIP1": f"[{LOOPBACK}]", "brokerIP2": f"[{LOOPBACK}]"}
        broker = apache.Broker(work / "broker", namesrv.address, conf=conf).start()
        yield Target(APACHE, namesrv.address, broker.address)
        broker.kill()
        namesrv.kill()
    else:
        own = ours.Broker(work / "broker", conf={"bindAddress": LOOPBACK}).start()
        yield Target(OURS, own.namesrv, own.address)
        assert own.stop() == 0


def mq(cluster: Target, *arguments: str) -> str:
    """What a command of ours prints."""
    command = [str(ours.binary()), *arguments, "-n", cluster.namesrv]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_everything_goes_over_ipv6(cluster: Target, java: Peer, go: Peer, unique: str) -> None:
    for peer in (java, go):
        with opened(peer, "producer", cluster, f"{unique}-{peer.name}", group=f"P-{unique}-{peer.name}"):
            sent = peer.send(f"{unique}-{peer.name}", unique, count=4, prefix=f"{peer.name}-")
            assert all(len(receipt["offset_msg_id"]) == ID_LENGTH for receipt in sent)
    mq(cluster, "produce", unique, "ours-1", "ours-2")
    expected = Counter([f"{name}-{n:06d}:" for name in ("java", "go") for n in range(4)] + ["ours-1", "ours-2"])

    for peer in (java, go):
        with opened(peer, "consumer", cluster, f"{unique}-{peer.name}", group=f"G-{unique}-{peer.name}", topic=unique):
            found = peer.wait_messages(f"{unique}-{peer.name}", lambda found: len(found) >= expected.total())
        assert Counter(m["body"] for m in found) == expected
        if peer is java:  # Go reads 4 bytes of an address and shows 0.0.0.0
            assert all(LOOPBACK in m["born_host"] or "0:0:1]" in m["born_host"] for m in found)
    read = mq(cluster, "consume", unique, "--group", f"G-{unique}-ours", "--from", "first", "--max", "10", "--json")
    messages = [json.loads(line) for line in read.splitlines()]
    assert Counter(m["body"] for m in messages) == expected
    java.call("forget", namesrv=cluster.namesrv)
