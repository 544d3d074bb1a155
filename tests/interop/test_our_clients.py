"""Our client in every language is one member of a group, Apache's client the other: they share the queues half and half.

This needs the same order of queues and members in all programs, or two of them would take the same queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.runner import LANGUAGES
from tests.interop import members, remoting
from tests.interop.conftest import Target
from tests.interop.peers import Peer
from tests.interop.test_clients import halves, opened


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest, work: Path) -> Iterator[members.Ours]:
    """Our client in each language."""
    member = members.Ours(request.param, work / f"{request.param}.log")
    yield member
    member.runner.close()


@pytest.mark.parametrize("other", ["java", "go"])
def test_a_group_of_ours_and_theirs(
    target: Target, language: members.Ours, peer: Callable[[str], Peer], java: Peer, unique: str, other: str
) -> None:
    theirs = peer(other)
    remoting.create_topic(target.broker, unique, 8)
    group = f"G-{unique}"
    with (
        opened(java, "producer", target, unique, group=f"P-{unique}"),
        opened(theirs, "consumer", target, f"{unique}-theirs", group=group, topic=unique),
    ):
        language.join(target.namesrv, group, unique)
        halves(java, unique, [lambda: theirs.messages(f"{unique}-theirs"), language.found])
        language.leave()
