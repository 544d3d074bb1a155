"""Where a new group begins in a queue that has lost its first messages: there, unlike in a young one, the setting counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.interop import apache, ours, remoting
from tests.interop.conftest import APACHE, OURS, Target
from tests.interop.peers import Peer
from tests.interop.processes import Workspace, wait_for
from tests.interop.test_clients import opened

# Files of which a broker deletes all but the last when it is told to.
CONF = {"mappedFileSizeCommitLog": 128 << 10, "fileReservedTime": 0, "cleanResourceInterval": 1000}
TOPIC = "old"
GET_MIN_OFFSET = 31


@dataclass(frozen=True)
class Old:
    """A topic of one queue, from `first` to `end`; `moment` is a time between `middle - 1` and `middle`."""

    target: Target
    first: int
    middle: int
    end: int
    moment: str


@pytest.fixture(scope="module", params=[APACHE, OURS])
def old(request: pytest.FixtureRequest, java: Peer) -> Iterator[Old]:
    """Such a topic on each broker. Apache's deletes files a minute after its start at the earliest."""
    if request.param == APACHE:
        with apache.Cluster(conf=CONF) as cluster:
            yield _aged(Target(APACHE, cluster.namesrv.address, cluster.broker.address), java)
    else:
        workspace = Workspace()
        broker = ours.Broker(workspace.path / "broker", conf=CONF).start()
        yield _aged(Target(OURS, broker.namesrv, broker.address), java)
        broker.stop()
        workspace.remove()


def _aged(target: Target, java: Peer) -> Old:
    remoting.create_topic(target.broker, TOPIC, 1)
    java.call("producer", name=TOPIC, namesrv=target.namesrv, group=f"P-{TOPIC}", compress_over=1 << 20)
    java.send(TOPIC, TOPIC, count=300, size=1000)
    java.admin("deleteExpiredCommitLog", "-b", target.broker, "-n", target.namesrv)

    def first() -> int:
        return int(remoting.call(target.broker, GET_MIN_OFFSET, {"topic": TOPIC, "queueId": "0"}).ext["offset"])

    wait_for("old files are deleted", first, 120)
    # The setting is told in whole seconds.
    second = int(time.time()) + 1
    wait_for("the next second", lambda: time.time() > second + 0.01, 5)
    java.send(TOPIC, TOPIC, count=5, prefix="recent-")
    java.call("close", name=TOPIC)
    return Old(target, first(), 300, 305, time.strftime("%Y%m%d%H%M%S", time.localtime(second)))


@pytest.mark.slow
@pytest.mark.parametrize("receiver", ["java", "go", "older"])
@pytest.mark.parametrize("begin", ["first", "timestamp", "last"])
def test_where_it_begins(old: Old, peer: Callable[[str], Peer], java: Peer, unique: str, receiver: str, begin: str) -> None:
    b, target = peer(receiver), old.target
    probes: list[int] = []

    def consumed() -> bool:
        if begin == "last":  # It begins behind what was there when it looked, so one of these is its first.
            probes.append(java.send(f"{unique}-p", TOPIC)[0]["offset"])
        return len(b.messages(unique)) > 0

    with (
        opened(java, "producer", target, f"{unique}-p", group=f"P-{unique}"),
        opened(b, "consumer", target, unique, group=f"G-{unique}", topic=TOPIC, **{"from": begin, "timestamp": old.moment}),
    ):
        # Clients that ask for an offset which is no longer there wait ten seconds before they take the one they are told.
        wait_for("it consumes", consumed, 60)
        # The client's threads tell of messages in any order.
        first = {"first": old.first, "timestamp": old.middle}.get(begin) or min(m["offset"] for m in b.messages(unique))
        rest = set(range(first, probes[-1] + 1 if probes else old.end))
        found = b.wait_messages(unique, lambda found: {m["offset"] for m in found} >= rest)
    assert min(m["offset"] for m in found) in (probes or [first])
