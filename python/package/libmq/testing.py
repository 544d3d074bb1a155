"""An embedded broker for tests: a NameServer and a broker inside this process, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os

from . import _core, _exit
from ._errors import ClosedError
from ._types import Setting, to_settings

__all__ = ["Broker"]


class Broker:
    """A running broker with its own NameServer, ready as soon as it is made.

    ::

        with libmq.testing.Broker() as broker:
            broker.create_topic("orders", queues=4)
            client = libmq.Client(broker.address)
    """

    def __init__(self, data: str | os.PathLike[str] | None = None, **settings: Setting) -> None:
        """Start a broker.

        :param data: the folder of its store, kept afterwards; without it a temporary one, removed by :meth:`close`.
        :param settings: keys of Apache's ``broker.conf``, e.g. ``flushDiskType="SYNC_FLUSH"``.
        :raises ConfigError: a setting is unknown or has a bad value.
        :raises Error: the folder or a port cannot be used (``IO``).
        """
        where = {} if data is None else {"data_dir": os.fspath(data)}
        self._core = _core.Broker(to_settings({**settings, **where}))
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
