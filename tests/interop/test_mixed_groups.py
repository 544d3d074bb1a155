"""One group of Java, Go and our five languages; its members come and go, are killed, are frozen and return.

Every message is consumed, the shares are those of Apache's algorithm, and what comes twice is within at-least-once delivery.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.runner import LANGUAGES
from tests.interop import apache, members, ours, remoting
from tests.interop.conftest import APACHE, OURS, Target
from tests.interop.members import Member
from tests.interop.peers import Peer
from tests.interop.processes import Workspace, wait_for

QUEUES = 16
ROUND = 64
"""Messages sent at a time."""


class Group:
    """A group under load: what was sent, who is in it, and what each member ever had."""

    def __init__(self, java: Peer, target: Target, name: str) -> None:
        self.java, self.target, self.topic = java, target, name
        self.group = f"G-{name}"
        self.members: dict[str, Member] = {}
        self.everybody: list[Member] = []
        self.sent = 0
        self.probes = 0
        self.changes = 0

    def add(self, member: Member, quick: bool = False) -> None:
        """A member comes."""
        self.changes += 1
        self.members[member.kind] = member
        if member not in self.everybody:
            self.everybody.append(member)
        member.join(self.target.namesrv, self.group, self.topic, quick)

    def remove(self, kind: str) -> Member:
        """A member goes, or is about to be killed."""
        self.changes += 1
        return self.members.pop(kind)

    def send(self) -> None:
        """A round of load."""
        self.java.send(self.topic, self.topic, count=ROUND, first=self.sent, prefix="load-")
        self.sent += ROUND

    def settle(self, seconds: float = 90) -> None:
        """Waits until each member gets just what Apache's algorithm gives it; there is load before and after."""

        def settled() -> bool:
            self.probes += 1
            prefix = f"probe-{self.probes}-"
            for queue in range(QUEUES):
                self.java.send(self.topic, self.topic, queue=queue, prefix=prefix)
            ids = members.ids_of(self.target.broker, self.group)
            if len(ids) != len(self.members):
                return False

            def owners() -> dict[str, set[int]]:
                return {
                    kind: {m["queue"] for m in member.found() if m["body"].startswith(prefix)}
                    for kind, member in self.members.items()
                }

            wait_for("each queue is consumed", lambda: set().union(*owners().values()) == set(range(QUEUES)), seconds)
            by_id = members.shares(QUEUES, ids)
            wanted = {kind: by_id[next(i for i in ids if member.mark in i)] for kind, member in self.members.items()}
            return owners() == wanted

        self.send()
        wait_for(f"the shares of {sorted(self.members)} are Apache's", settled, seconds)
        self.send()

    def deliveries(self) -> Counter[str]:
        """How often each message of the load was delivered, to whomever."""
        return Counter(m["body"] for member in self.everybody for m in member.found() if m["body"].startswith("load-"))

    def wait_all(self, seconds: float = 60) -> Counter[str]:
        """Waits until everything that was sent is consumed."""
        wait_for(f"all {self.sent} messages are consumed", lambda: len(self.deliveries()) == self.sent, seconds)
        return self.deliveries()


@pytest.fixture
def group(java: Peer, target: Target, unique: str) -> Iterator[Group]:
    """A group without members, over a topic of its own."""
    remoting.create_topic(target.broker, unique, QUEUES)
    java.call("producer", name=unique, namesrv=target.namesrv, group=f"P-{unique}")
    group = Group(java, target, unique)
    yield group
    for member in group.everybody:
        member.end()
    java.call("close", name=unique)


@pytest.mark.slow
def test_members_come_and_go(group: Group, work: Path, record_property: Callable[[str, object], None]) -> None:
    for kind in ("java", "go", *LANGUAGES):
        group.add(members.make(kind, work))
    group.settle()
    # One leaves as it should, one is killed.
    node = group.remove("node")
    node.leave()
    group.settle()
    group.remove("go").end()
    group.settle()
    # One stands still for a while: its queues wait for it, the others' do not.
    frozen = group.members["cpp"]
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        group.send()
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    group.wait_all()
    # And they come back, one as a new process.
    group.add(node)
    group.add(members.make("go", work))
    group.settle()
    counts = group.wait_all()
    again = sum(counts.values()) - len(counts)
    record_property("messages", group.sent)
    record_property("delivered again", again)
    # A queue that changes hands may bring again what its last owner had not committed, at each change.
    assert max(counts.values()) <= 1 + group.changes, counts.most_common(5)


@pytest.fixture(params=[APACHE, OURS])
def forgetful(request: pytest.FixtureRequest) -> Iterator[Target]:
    """A broker that forgets a silent member after a few seconds instead of two minutes."""
    conf = {"channelExpiredTimeout": 5000}
    if request.param == APACHE:
        with apache.Cluster(conf=conf) as cluster:
            yield Target(APACHE, cluster.namesrv.address, cluster.broker.address)
    else:
        workspace = Workspace()
        broker = ours.Broker(workspace.path / "broker", conf=conf).start()
        yield Target(OURS, broker.namesrv, broker.address)
        broker.stop()
        workspace.remove()


@pytest.mark.slow
def test_a_frozen_member_is_replaced_and_returns(forgetful: Target, java: Peer, work: Path, unique: str) -> None:
    remoting.create_topic(forgetful.broker, unique, QUEUES)
    quick = {"alone": True, "heartbeat_ms": 1000}  # else it is forgotten as well
    java.call("producer", name=unique, namesrv=forgetful.namesrv, group=f"P-{unique}", **quick)
    group = Group(java, forgetful, unique)
    try:
        for kind in ("java", "python", "cpp"):
            group.add(members.make(kind, work), quick=True)
        group.settle()
        frozen = group.remove("cpp")
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            group.settle()
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        group.members["cpp"] = frozen
        group.changes += 1
        group.settle()
        counts = group.wait_all()
        assert max(counts.values()) <= 1 + group.changes, counts.most_common(5)
    finally:
        for member in group.everybody:
            member.end()
        java.call("close", name=unique)
        java.call("forget", namesrv=forgetful.namesrv)
