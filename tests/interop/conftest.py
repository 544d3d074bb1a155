"""What the interop tests share: the peers, one of each for the whole run, and a broker of each kind to try them on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop import apache, ours, peers, processes
from tests.interop.peers import Peer
from tests.interop.processes import Workspace

APACHE, OURS = "apache", "libmq"
# Delivery is tried again after a second, and there is a level of two to tell levels apart.
CONF = {"messageDelayLevel": "1s 2s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s"}

# Where our clients take part, also against Apache's broker.
WITH_OURS = {"test_our_clients", "test_our_push_consumer", "test_mixed_groups", "test_ipv6"}

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Target:
    """A running broker with its NameServer."""

    kind: str
    namesrv: str
    broker: str
    name: str = "broker-a"
    cluster: str = "DefaultCluster"


def pytest_addoption(parser: pytest.Parser) -> None:
    """--controls: see README.md."""
    parser.addoption("--controls", action="store_true", help="run slow cases against Apache's broker too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Slow cases run against ours alone unless --controls is given; see README.md for those that may run twice."""

    def against_apache(item: pytest.Item) -> bool:
        callspec = getattr(item, "callspec", None)
        return bool(callspec and APACHE in callspec.params.values())

    for item in items:
        if against_apache(item) and "target" in item.fixturenames and item.path.stem not in WITH_OURS:  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.flaky(reruns=1))
    if not config.getoption("--controls"):
        slow = [item for item in items if item.get_closest_marker("slow") and against_apache(item)]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session", autouse=True)
def _nothing_left() -> Iterator[None]:
    processes.handle_signals()
    yield
    processes.stop_all()


@pytest.fixture(scope="session")
def java() -> Iterator[Peer]:
    """Apache's Java client with JSON headers, and mqadmin."""
    peer = peers.java_peer()
    yield peer
    peer.close()


@pytest.fixture(scope="session")
def binary() -> Iterator[Peer]:
    """Apache's Java client with ROCKETMQ headers."""
    peer = peers.java_peer(encoding="ROCKETMQ")
    yield peer
    peer.close()


@pytest.fixture(scope="session")
def older() -> Iterator[Peer]:
    """Apache's Java client of the 4.9 line."""
    peer = peers.java_peer(version=peers.OLDER)
    yield peer
    peer.close()


@pytest.fixture
def node() -> Iterator[Peer]:
    """A client in JavaScript that is not Apache's. One for each test: it does not survive that a cluster goes away."""
    peer = peers.node_peer()
    yield peer
    peer.close()


@pytest.fixture
def cpp() -> Iterator[Peer]:
    """Apache's C++ client. One for each test, as `node`."""
    peer = peers.cpp_peer()
    yield peer
    peer.close()


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Callable[[str], Peer]:
    """A peer by its name: java, binary, older, go, node or cpp."""
    return request.getfixturevalue


@pytest.fixture(scope="session")
def go() -> Iterator[Peer]:
    """Apache's Go client."""
    peer = peers.go_peer()
    yield peer
    peer.close()


@pytest.fixture(scope="session", params=[APACHE, OURS])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """Each test with this fixture runs against Apache's broker, which shows that the test is right, and against ours."""
    if request.param == APACHE:
        with apache.Cluster(conf=CONF) as cluster:
            yield Target(APACHE, cluster.namesrv.address, cluster.broker.address)
    else:
        workspace = Workspace()
        broker = ours.Broker(workspace.path / "broker", conf=CONF).start()
        yield Target(OURS, broker.namesrv, broker.address)
        status = broker.stop()
        tail = broker.process.tail()
        workspace.remove()
        assert status == 0, f"exit status {status}\n{tail}"


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder for one test."""
    workspace = Workspace()
    yield workspace.path
    workspace.remove()


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A word for topics and groups that no other test uses."""
    name = re.sub(r"[^a-z]+", "-", request.node.originalname.removeprefix("test_"))
    return f"{name}-{next(_numbers)}"
