"""Our broker and Apache's behind one NameServer, one topic over both; each is killed under load and comes back.

Producers go on with the other broker, and consumers catch up: nothing that was acknowledged is lost.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.runner import Runner, RunnerError, message
from tests.interop import members
from tests.interop.conftest import APACHE, OURS
from tests.interop.peers import Peer, PeerFailed
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


PAUSE = 0.01
"""Seconds between two messages of a producer: it is not speed that is tested."""


class Load(threading.Thread):
    """One producer that sends numbered messages, one at a time, until it is stopped."""

    def __init__(self, name: str, send: Callable[[str], str]) -> None:
        super().__init__(name=name, daemon=True)
        self._send = send
        self._stopped = threading.Event()
        self.acknowledged: list[str] = []
        self.brokers: list[str] = []
        self.failed: list[tuple[str, str]] = []

    def run(self) -> None:
        """Notes what was acknowledged and by which broker, and what failed."""
        number = 0
        while not self._stopped.wait(PAUSE):
            number += 1
            text = f"{self.name}-{number}"
            try:
                self.brokers.append(self._send(text))
                self.acknowledged.append(text)
            except (PeerFailed, RunnerError) as error:
                self.failed.append((text, str(error)[:300]))

    def stop(self) -> None:
        """Returns when the last send has ended."""
        self._stopped.set()
        self.join(60)


def through_peer(peer: Peer, name: str, topic: str) -> Callable[[str], str]:
    """Sends with an open producer of a peer."""

    def send(text: str) -> str:
        word, _, number = text.rpartition("-")
        (receipt,) = peer.send(name, topic, prefix=f"{word}-", first=int(number))
        return str(receipt["broker"])

    return send


def through_runner(runner: Runner, topic: str) -> Callable[[str], str]:
    """Sends with an open producer `p` of a runner."""

    def send(text: str) -> str:
        word, _, number = text.rpartition("-")
        sent = message(topic, f"{word}-{int(number):06d}:".encode())
        receipt = runner.call("send", producer="p", message=sent, mode="sync")["receipt"]
        return str(receipt["status"])

    return send


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
        python = Runner("python", work / "python.log")
        stack.callback(python.close)
        python.call("client.open", client="c", namesrv=at, settings={"poll_name_server_interval": "1s"})
        python.call("producer.open", producer="p", client="c", group=f"P-{unique}", settings={"send_timeout": "10s"})
        loads = [Load("python", through_runner(python, unique))]
        for peer in (java, go):
            peer.call("producer", name=unique, namesrv=at, group=f"P-{unique}-{peer.name}")
            stack.callback(peer.call, "forget", namesrv=at)
            stack.callback(peer.call, "close", name=unique)
            loads.append(Load(peer.name, through_peer(peer, unique, unique)))
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
        acknowledged = {body_of_load(text) for load in loads for text in load.acknowledged}
        attempted = acknowledged | {body_of_load(text) for load in loads for text, _ in load.failed}

        def delivered() -> Counter[str]:
            return Counter(m["body"] for member in group for m in member.found())

        wait_for("all that was acknowledged is consumed", lambda: acknowledged <= set(delivered()), 90)
        assert set(delivered()) <= attempted
        # A send that meets a dying broker goes to the other one. Go's client tries the same again while its routes are old.
        failures = {load.name: load.failed for load in loads if load.name != "go"}
        assert all(len(failed) <= 2 for failed in failures.values()), failures


def body_of_load(text: str) -> str:
    """The body of a load's message, by its name and number."""
    word, _, number = text.rpartition("-")
    return f"{word}-{int(number):06d}:"
