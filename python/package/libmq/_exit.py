"""Closes what is still open when the interpreter leaves, so that no thread of ours outlives it."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import weakref
from typing import Protocol

from ._errors import Error

TIMEOUT = 3.0
"""Seconds that each open object is given at exit."""


class Closable(Protocol):
    """What can be closed within a time, in seconds, from the main thread."""

    def _close_now(self, timeout: float) -> None: ...


_open: weakref.WeakValueDictionary[int, Closable] = weakref.WeakValueDictionary()
_numbers = itertools.count()


def close_at_exit(thing: Closable) -> None:
    """Have `thing` closed at exit unless it is gone by then; the hook is made with the first such thing."""
    if not _open:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _open[next(_numbers)] = thing


def closed(thing: Closable) -> None:
    """Say that `thing` is closed already."""
    for number, other in list(_open.items()):
        if other is thing:
            _open.pop(number, None)


def _close_all() -> None:
    for _, thing in sorted(_open.items(), key=lambda item: -item[0]):  # the latest first: clients before brokers
        with contextlib.suppress(Error):  # in a forked child: what the parent opened is the parent's to close
            thing._close_now(TIMEOUT)
