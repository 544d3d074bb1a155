"""Brings the core's log into the `logging` module, when asked."""

from __future__ import annotations

import logging
import threading

from . import _core, _exit

_LEVELS = [logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, 5]
"""The levels of the logging module for the core's, which count from 1 (error) to 5 (trace)."""

_lock = threading.Lock()
_current: _Feed | None = None


def enable_logging(level: int | str = logging.INFO) -> None:
    """Pass what the core logs to the logger ``libmq``, from a thread of its own.

    :param level: the least level wanted, a number or a name of the :mod:`logging` module; less is not even made. Called
        again it changes the level.
    :raises ValueError: there is no level of that name.
    """
    if isinstance(level, str):
        number = logging.getLevelName(level.upper())
        if not isinstance(number, int):
            raise ValueError(f"{level!r} is no level of the logging module; give one such as 'INFO' or logging.INFO")
        level = number
    global _current  # noqa: PLW0603 - the core has one log, and so has the process
    with _lock:
        if _current is not None:
            _current.close()
        _current = _Feed(level)


def disable_logging() -> None:
    """Stop passing the core's log on; does nothing when it is not passed on."""
    global _current  # noqa: PLW0603
    with _lock:
        if _current is not None:
            _current.close()
        _current = None


class _Feed:
    """A thread that hands the core's log lines to the logger."""

    def __init__(self, level: int) -> None:
        self._core = _core.Logs(max(1, sum(number >= level for number in _LEVELS[1:])))
        self._thread = threading.Thread(target=self._work, name="libmq-log", daemon=True)
        self._thread.start()
        _exit.close_at_exit(self)

    def _work(self) -> None:
        logger = logging.getLogger("libmq")
        while (lines := self._core.next()) is not None:
            for number, target, text in lines:
                logger.log(_LEVELS[number], "%s", text, extra={"target": target})

    def close(self) -> None:
        """Hand over what is there, then end the thread."""
        self._core.close()
        if self._thread is not threading.current_thread():
            self._thread.join()
        _exit.closed(self)

    def _close_now(self, timeout: float) -> None:
        self._core.close()
        self._thread.join(timeout)
