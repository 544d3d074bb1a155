"""Our broker and Apache's behind one NameServer, one topic over both; each is killed under load and comes back.

Producers go on with the other broker, and consumers catch up: nothing that was acknowledged is lost.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import pytest

from tests.interop import members
from tests.interop.conftest import APACHE, OURS
from tests.interop.load import Load
from tests.interop.peers import Peer
from tests.interop.processes import wait_for
from tests.interop.test_registration import broker, name_server, registered, routed_by

# The NameServer and the two brokers; Apache's alone show that the test is right.
CLUSTERS = [
    pytest.param(APACHE, [APACHE, APACHE], id="apache-with-apache-and-apache"),
    pytest.param(APACHE, [OURS, APACHE], id="apache-with-libmq-and-apache"),
    pytest.param(OURS, [OURS, APACHE], id="libmq-with-libmq-and-apache"),
]
MORE = 40
"""Messages that each producer must get acknowledged before the next thing happens."""


@pytest.mark.parametrize(("namesrv", "kinds"), CLUSTERS)
@pytest.mark.slow
def test_a_broker_is_killed_and_returns(go: Peer, java: Peer, work: Path, unique: str, namesrv: str, kinds: list[str]) -> None:
    def kind_of(kind: str) -> str:
        return "apache-5.5.0" if kind == APACHE else kind

    with contextlib.ExitStack() as stack:
        server = name_server(kind_of(namesrv), work / "namesrv").start()
        stack.callback(server.kill)
        at = server.address
        brokers = {}
        for name, kind in zip(("broker-a", "broker-b"), kinds, strict=True):
            brokers[name] = broker(kind_of(kind), work / name, at, name).start()
            stack.callback(brokers[name].kill)
        everyone = {name: b.address for name, b in brokers.items()}
        registered(at, everyone)
        java.admin("updateTopic", "-t", unique, "-r", "4", "-w", "4", "-c", "DefaultCluster", "-n", at)
        wait_for("the topic is routed to both", lambda: len(routed_by(at, unique)) == 2, 30)

        group = [members.make("older", work), members.make("node", work)]
        for member in group:
            stack.callback(member.end)
            member.join(at, f"G-{unique}", unique)
        loads: list[Load] = []
        python = members.make("python", work)
        stack.callback(python.end)
        for producer in (python, members.Theirs(java), members.Theirs(go)):
            stack.callback(producer.stop_producing)
            producer.produce(at, f"P-{unique}-{producer.kind}")
            loads.append(Load(producer, unique))
        stack.callback(java.call, "forget", namesrv=at)
        for load in loads:
            load.start()
            stack.callback(load.stop)

        def more() -> None:
            before = {load: len(load.acknowledged) for load in loads}
            enough = "each producer goes on"
            wait_for(enough, lambda: all(len(load.acknowledged) >= n + MORE for load, n in before.items()), 60)

        more()
        for name, b in brokers.items():
            b.kill()
            more()
            registered(at, {other: address for other, address in everyone.items() if other != name})
            b.start()
            registered(at, everyone)
            more()
            back = len(loads[1].brokers)
            wait_for("the returned broker is sent to", lambda name=name, back=back: name in loads[1].brokers[back:], 60)
        for load in loads:
            load.stop()
        acknowledged = {text for load in loads for text in load.acknowledged}
        attempted = acknowledged | {text for load in loads for text, _ in load.failed}

        def delivered() -> Counter[str]:
            return Counter(m["body"] for member in group for m in member.found())

        wait_for("all that was acknowledged is consumed", lambda: acknowledged <= set(delivered()), 90)
        assert set(delivered()) <= attempted
        # A send that meets a dying broker goes to the other one. Go's client tries the same again while its routes are old.
        failures = {load.member.kind: load.failed for load in loads if load.member.kind != "go"}
        assert all(len(failed) <= 2 for failed in failures.values()), failures
