"""Helpers of the tests: fresh names, inboxes to wait at, conditions with a deadline."""

import itertools
import os
import threading
import time

import libmq

PATIENCE = 30.0
"""Seconds that any wait may take; each ends as soon as its condition holds."""

FAST_RETRY = " ".join(["1s"] * 18)
"""Delay levels of a second each, so that retries need no patience."""

_numbers = itertools.count(1)


def fresh(kind: str) -> str:
    """Give a name that no other test uses."""
    return f"{kind}-{os.getpid()}-{next(_numbers)}"


class Inbox:
    """Collects what a listener gets, and lets a test wait for it."""

    def __init__(self) -> None:
        self.messages: list[libmq.MessageView] = []
        self._changed = threading.Condition()

    def put(self, message: libmq.MessageView) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    @property
    def bodies(self) -> list[bytes]:
        return [message.body for message in self.messages]

    def wait(self, count: int = 1) -> list[libmq.MessageView]:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, PATIENCE):
                raise AssertionError(
                    f"{len(self.messages)} messages within {PATIENCE} s, wanted {count}: {self.bodies}"
                )
            return list(self.messages)


def eventually(condition, what: str = "the condition"):
    """Wait until a condition holds, and give what it gave."""
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {PATIENCE} s"
        time.sleep(0.01)
    return result
