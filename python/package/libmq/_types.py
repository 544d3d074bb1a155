"""Values shared by the synchronous and the asynchronous API."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, Union

from ._errors import ArgumentError

Duration = Union[int, float, timedelta]
"""A length of time: seconds, or a :class:`datetime.timedelta`."""

Setting = Union[str, int, float, bool, timedelta, Sequence[int], None]
"""A value of a setting; ``None`` leaves the default, durations are timedeltas or as the setting's text has them."""


_C = TypeVar("_C", bound=Callable[..., Any])

Place = Union[int, Literal["begin", "end"], datetime]
"""A place in a queue: an offset, its begin, its end, or the first message stored at a time or later."""


class SendStatus(enum.Enum):
    """What the broker says of a message that it has taken."""

    OK = "OK"
    """Stored as the broker's flush mode promises."""
    FLUSH_DISK_TIMEOUT = "FLUSH_DISK_TIMEOUT"
    """Stored, but the disk did not confirm in time."""
    FLUSH_SLAVE_TIMEOUT = "FLUSH_SLAVE_TIMEOUT"
    """Stored, but the slave did not confirm in time."""
    SLAVE_NOT_AVAILABLE = "SLAVE_NOT_AVAILABLE"
    """Stored on the master alone."""


class MessageQueue(NamedTuple):
    """One queue of a topic."""

    topic: str
    broker_name: str
    queue_id: int


class QueueChange(NamedTuple):
    """What a watcher of a pull consumer is told when the queues of a topic change."""

    topic: str
    queues: list[MessageQueue]
    """All that the topic has now."""
    assigned: list[MessageQueue]
    """Those that the consumer has of them."""


class ConsumerWarning(NamedTuple):
    """Something that is wrong around a consumer, although it goes on."""

    name: str
    """The kind of trouble, such as ``"INCONSISTENT_SUBSCRIPTION"``."""
    message: str
    """What was found and what to do about it."""


@dataclass(frozen=True)
class ConsumeResult:
    """What a listener answers: ``SUCCESS`` (as does ``None``), ``LATER``, ``SUSPEND``, ``later(…)``, ``suspend(…)``."""

    success: bool
    delay_level: int | None = None
    suspended: bool = False
    duration: Duration | None = None

    def __post_init__(self) -> None:
        """Refuse in the listener what could not be told to the broker."""
        level, duration = self.delay_level, self.duration
        if level is not None and (isinstance(level, bool) or not isinstance(level, int)):
            raise TypeError(f"the delay level is {level!r}; give a number from 1 to 18, or -1 for the dead letters")
        if level is not None and not -1 <= level < 1 << 31:
            raise ArgumentError(f"the delay level is {level}; give 1 to 18, or -1 for the dead letters", 3, "ARGUMENT")
        if isinstance(duration, timedelta):
            duration = duration.total_seconds()
        if duration is not None and (isinstance(duration, bool) or not isinstance(duration, (int, float))):
            raise TypeError(f"the duration is {duration!r}; give seconds or a timedelta")
        if duration is not None and not duration >= 0:
            raise ArgumentError(f"the duration is {duration} seconds; give 0.01 to 30", 3, "ARGUMENT")

    SUCCESS: ClassVar[ConsumeResult]
    """The message is done."""
    LATER: ClassVar[ConsumeResult]
    """Deliver the message again after the broker's growing delay."""
    SUSPEND: ClassVar[ConsumeResult]
    """Of an orderly consumer: deliver the message again, before all others of its queue, after a rest of the queue."""

    @staticmethod
    def later(delay_level: int | None = None) -> ConsumeResult:
        """Deliver the message again after the broker's delay level 1 to 18 (1 s to 2 h); -1: to the dead letters."""
        return ConsumeResult(False, delay_level)

    @staticmethod
    def suspend(duration: Duration | None = None) -> ConsumeResult:
        """As ``SUSPEND`` with a rest of 10 ms to 30 s; without it the setting ``suspend_current_queue_time`` counts."""
        return ConsumeResult(False, suspended=True, duration=duration)


ConsumeResult.SUCCESS = ConsumeResult(True)
ConsumeResult.LATER = ConsumeResult(False)
ConsumeResult.SUSPEND = ConsumeResult(False, suspended=True)


def to_settings(settings: Mapping[str, Setting]) -> dict[str, str]:
    """Give settings as the strings that the core's table understands; the core checks names and values."""
    return {name: _to_text(name, value) for name, value in settings.items() if value is not None}


def client_settings(namesrv: str | Sequence[str] | None, settings: Mapping[str, Setting]) -> dict[str, str]:
    """Give a client's settings, its addresses among them, as strings."""
    if namesrv is not None and not isinstance(namesrv, str):
        if not isinstance(namesrv, Sequence) or not all(isinstance(address, str) for address in namesrv):
            raise TypeError(f"namesrv is {namesrv!r}; give 'host:port' or a list of them")
        namesrv = ";".join(namesrv)
    return to_settings({"namesrv": namesrv, **settings})


def callback(value: _C | None, what: str) -> _C | None:
    """Give what is to be called later, if it can be."""
    if value is not None and not callable(value):
        raise TypeError(f"{what} is {value!r}; give a function")
    return value


def _to_text(name: str, value: Setting) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return f"{round(value / timedelta(milliseconds=1))}ms"
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return ",".join(map(str, value))
    raise TypeError(f"the setting {name!r} is {value!r}; give a text, a number, a timedelta or a list of numbers")
