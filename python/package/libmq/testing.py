"""An embedded broker for tests: a NameServer and a broker inside this process, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
from datetime import datetime, timedelta

from . import _core, _exit
from ._errors import ClosedError
from ._types import Duration, Setting, to_settings

__all__ = ["Broker", "Clock", "Faults"]


class Broker:
    """A running broker with its own NameServer, ready as soon as it is made.

    ::

        with libmq.testing.Broker() as broker:
            broker.create_topic("orders", queues=4)
            broker.faults.fail_next("SEND_MESSAGE", code="SYSTEM_BUSY", times=3)
            broker.clock.advance(hours=2)  # what was delayed by two hours arrives now
            client = libmq.Client(broker.address)
    """

    faults: Faults
    """What goes wrong with the next requests; kept over a restart."""
    clock: Clock
    """The broker's time, which tests move; kept over a restart."""

    def __init__(self, data: str | os.PathLike[str] | None = None, **settings: Setting) -> None:
        """Start a broker.

        :param data: the folder of its store, kept afterwards; without it a temporary one, removed by :meth:`close`.
        :param settings: keys of Apache's ``broker.conf``, e.g. ``flushDiskType="SYNC_FLUSH"``.
        :raises ConfigError: a setting is unknown or has a bad value.
        :raises Error: the folder or a port cannot be used (``IO``).
        """
        where = {} if data is None else {"data_dir": os.fspath(data)}
        self._core = _core.Broker(to_settings({**settings, **where}))
        self.faults = Faults(self._core)
        self.clock = Clock(self._core)
        _exit.close_at_exit(self)

    @property
    def address(self) -> str:
        """Address of the NameServer, ``host:port``: what clients are given."""
        return self._core.address

    @property
    def broker_address(self) -> str:
        """Address of the broker itself, ``host:port``."""
        return self._core.broker_address

    @property
    def data_dir(self) -> str:
        """Folder of the store."""
        return self._core.data_dir

    def create_topic(self, name: str, queues: int = 4) -> None:
        """Create a topic, or change its number of queues."""
        self._core.create_topic(name, queues)

    def stop(self) -> None:
        """Stop cleanly; its data stay, also for :meth:`restart`. Does nothing when stopped already."""
        self._core.stop()

    def kill(self) -> None:
        """End as ``kill -9`` does: connections cut, nothing flushed; :meth:`restart` then finds what is on the disk."""
        self._core.kill()

    def restart(self) -> None:
        """Start again on the same data and the same ports, after a clean stop if it is running."""
        self._core.restart()

    def close(self) -> None:
        """Stop, and remove the data if their folder is a temporary one; does nothing when closed already."""
        with contextlib.suppress(ClosedError):
            self._core.stop()
        self._core.close()
        _exit.closed(self)

    def _close_now(self, timeout: float) -> None:
        self.close()

    def __enter__(self) -> Broker:
        """Give the broker itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the broker."""
        self.close()


class Faults:
    """Trouble for a broker's next requests: ``broker.faults``.

    Requests and answers have their names in RocketMQ, such as ``"SEND_MESSAGE"`` and ``"SYSTEM_BUSY"``, or numbers as
    text; ``"SEND_MESSAGE"`` stands for all that send, ``"PULL_MESSAGE"`` for all that pull. Faults of one request apply
    one after the other. All methods raise :class:`libmq.ArgumentError` for a name that is not known.
    """

    def __init__(self, core: _core.Broker) -> None:
        """Made with its broker."""
        self._core = core

    def fail_next(self, request: str, code: str, times: int = 1) -> None:
        """Refuse the next `times` requests with the answer `code`, without carrying them out."""
        self._core.fail_next(request, code, times)

    def delay_next(self, request: str, delay: Duration, times: int = 1) -> None:
        """Handle the next `times` requests only after `delay`; others go on meanwhile."""
        self._core.delay_next(request, delay, times)

    def drop_next(self, request: str, times: int = 1) -> None:
        """Close the connections of the next `times` requests, without carrying them out."""
        self._core.drop_next(request, times)

    def lose_answer_next(self, request: str, times: int = 1) -> None:
        """Carry out the next `times` requests, but do not answer them."""
        self._core.lose_answer_next(request, times)

    def refuse_connections(self, refuse: bool = True) -> None:
        """Close new connections to the broker at once, or no more; its NameServer goes on accepting."""
        self._core.refuse_connections(refuse)

    def clear(self) -> None:
        """Take all faults back."""
        self._core.clear_faults()


class Clock:
    """The time of a broker: ``broker.clock``; it runs on from where it was put."""

    def __init__(self, core: _core.Broker) -> None:
        """Made with its broker."""
        self._core = core

    @property
    def now(self) -> int:
        """The broker's time: milliseconds since 1970 (UTC)."""
        return self._core.clock()

    def advance(self, time: Duration = 0, *, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move the clock forward, by seconds or a timedelta, and what else is given.

        Delayed messages and retries that become due are delivered at once; locks and old files expire; clients that
        answer stay.
        """
        seconds = time if isinstance(time, timedelta) else timedelta(seconds=time)
        self._core.advance_clock(seconds + timedelta(minutes=minutes, hours=hours, days=days))

    def set(self, time: int | datetime) -> None:
        """Put the clock to a time: milliseconds since 1970 (UTC), or a datetime."""
        self._core.set_clock(round(time.timestamp() * 1000) if isinstance(time, datetime) else time)
