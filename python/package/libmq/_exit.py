"""Closes what is still open when the interpreter leaves, so that no thread of ours outlives it."""

from __future__ import annotations

import atexit
import contextlib
import weakref
from typing import Protocol

from ._errors import Error

TIMEOUT = 3.0
"""Seconds that each open object is given at exit."""


class Closable(Protocol):
    """What can be closed within a time, in seconds, from the main thread."""

    def _close_now(self, timeout: float) -> None: ...


_open: weakref.WeakSet[Closable] = weakref.WeakSet()


def close_at_exit(thing: Closable) -> None:
    """Have `thing` closed at exit unless it is gone by then; the hook is made with the first such thing."""
    if not _open:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _open.add(thing)


def closed(thing: Closable) -> None:
    """Say that `thing` is closed already."""
    _open.discard(thing)


def _close_all() -> None:
    for thing in list(_open):
        with contextlib.suppress(Error):  # in a forked child: what the parent opened is the parent's to close
            thing._close_now(TIMEOUT)
