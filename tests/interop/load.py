"""A steady load by one client, which knows what was acknowledged and what may or may not have arrived."""

from __future__ import annotations

import threading

from tests.interop.members import SEND_FAILED, Member, text

PAUSE = 0.01
"""Seconds between two messages of a client: it is not speed that is tested."""


class Load(threading.Thread):
    """Sends numbered messages through a member, one at a time, until it is stopped."""

    def __init__(self, member: Member, topic: str, pause: float = PAUSE) -> None:
        super().__init__(name=f"load of {member.kind}", daemon=True)
        self.member = member
        """May be replaced by a new process while this runs."""
        self.acknowledged: list[str] = []
        self.brokers: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self._topic, self._pause = topic, pause
        self._stopped = threading.Event()

    def run(self) -> None:
        """Goes on after failures."""
        number = 0
        while not self._stopped.wait(self._pause):
            number += 1
            body = text(self.member.kind, number)
            try:
                self.brokers.append(self.member.send(self._topic, self.member.kind, number))
                self.acknowledged.append(body)
            except SEND_FAILED as error:
                self.failed.append((body, str(error)[:300]))

    def stop(self) -> None:
        """Returns when the last send has ended."""
        self._stopped.set()
        self.join(60)
