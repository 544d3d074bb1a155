"""What is done to a running soak, each fault one function; they leave everything running again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.soak.__main__ import Soak


def broker_killed(soak: Soak) -> None:
    """SIGKILL; it comes back on the same store and ports after a moment."""
    soak.broker.kill()
    _away(soak, 1.5)
    soak.broker.start()


def broker_stopped(soak: Soak) -> None:
    """A clean stop, which must succeed, and a new start."""
    status = soak.broker.stop()
    if status != 0:
        raise AssertionError(f"the broker ended with status {status}\n{soak.broker.process.tail()}")
    _away(soak, 0.5)
    soak.broker.start()


def broker_frozen(soak: Soak) -> None:
    """It stands still for less than the time limit of a send."""
    _frozen(soak, soak.broker.process.pid)


def client_killed(soak: Soak) -> None:
    """SIGKILL of one client; a new process takes its place."""
    kind = soak.rng.choice(sorted(soak.members))
    member = soak.members[kind]
    soak.collect(member)
    member.end()
    soak.collect(member)  # what it had told before it died
    _away(soak, 0.5)
    soak.replace(kind)


def client_frozen(soak: Soak) -> None:
    """One client stands still for a while."""
    _frozen(soak, soak.members[soak.rng.choice(sorted(soak.members))].pid)


def client_leaves_and_joins(soak: Soak) -> None:
    """One client closes its consumer and opens another."""
    member = soak.members[soak.rng.choice(sorted(soak.members))]
    member.leave()
    _away(soak, 1)
    member.join(soak.namesrv, "G-all", "Soak")


def _frozen(soak: Soak, pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        _away(soak, 2)
    finally:
        os.kill(pid, signal.SIGCONT)


def _away(soak: Soak, most: float) -> None:
    time.sleep(soak.rng.uniform(0, most))


FAULTS: list[tuple[str, Callable[[Soak], None]]] = [
    ("broker killed", broker_killed),
    ("broker stopped", broker_stopped),
    ("broker frozen", broker_frozen),
    ("client killed", client_killed),
    ("client frozen", client_frozen),
    ("client leaves and joins", client_leaves_and_joins),
]
"""Each is as likely as another."""
