"""Our client in every language is one member of a group, Apache's client the other: they share the queues half and half.

This needs the same order of queues and members in all programs, or two of them would take the same queue.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.runner import LANGUAGES, RUNNERS, Runner, body_of
from tests.interop import remoting
from tests.interop.conftest import Target
from tests.interop.peers import Fields, Peer, PeerFailed
from tests.interop.test_clients import halves, opened


class Ours:
    """A runner of the scenario harness, which delivers as a peer does."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._found: dict[str, list[Fields]] = {}

    def messages(self, consumer: str) -> list[Fields]:
        """All deliveries to a consumer so far."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._take(consumer, 0)
        return self._found.setdefault(consumer, [])

    def _take(self, consumer: str, patience: float) -> None:
        event = self.runner.event(consumer, patience)
        if event["event"] == "message":
            m = event["message"]
            delivery = {"queue": m["queue_id"], "offset": m["queue_offset"], "body": body_of(m).decode()}
            self._found.setdefault(consumer, []).append(delivery)

    def wait_messages(self, consumer: str, enough: Callable[[list[Fields]], bool], seconds: float = 60) -> list[Fields]:
        """Waits until the deliveries to a consumer satisfy `enough`; returns them."""
        deadline = time.monotonic() + seconds
        while not enough(found := self.messages(consumer)):
            if time.monotonic() > deadline:
                raise PeerFailed(f"{self.runner.language}: not within {seconds:.0f} s: enough deliveries; so far {found[:20]}")
            with contextlib.suppress(TimeoutError):
                self._take(consumer, 0.2)
        return found


@pytest.fixture(params=LANGUAGES)
def ours(request: pytest.FixtureRequest, work: Path) -> Iterator[Ours]:
    """The runner of each language."""
    if not (RUNNERS / request.param / "run").exists():
        pytest.skip(f"{request.param} has no runner yet")
    runner = Runner(request.param, work / f"{request.param}.log")
    yield Ours(runner)
    runner.close()


@contextlib.contextmanager
def consuming(ours: Ours, target: Target, name: str, group: str, topic: str) -> Iterator[None]:
    """Our client as a member of the group."""
    runner = ours.runner
    runner.call("client.open", client=name, namesrv=target.namesrv, settings={})
    try:
        runner.call(
            "consumer.open", consumer=name, client=name, group=group, subscriptions={topic: "*"}, settings={}, behaviour={}
        )
        yield
    finally:
        runner.call("client.close", client=name)


@pytest.mark.parametrize("other", ["java", "go"])
def test_a_group_of_ours_and_theirs(
    target: Target, ours: Ours, java: Peer, go: Peer, unique: str, other: str, request: pytest.FixtureRequest
) -> None:
    member: Peer = request.getfixturevalue(other)
    remoting.create_topic(target.broker, unique, 8)
    group = f"G-{unique}"
    with (
        opened(java, "producer", target, unique, group=f"P-{unique}"),
        opened(member, "consumer", target, f"{unique}-theirs", group=group, topic=unique),
        consuming(ours, target, f"{unique}-ours", group, unique),
    ):
        halves(java, unique, [(member, f"{unique}-theirs"), (ours, f"{unique}-ours")])
