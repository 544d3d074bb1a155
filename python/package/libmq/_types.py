"""Values shared by the synchronous and the asynchronous API."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Union

Duration = Union[int, float, timedelta]
"""A length of time: seconds, or a :class:`datetime.timedelta`."""

Setting = Union[str, int, float, bool, timedelta, Sequence[int], None]
"""A value of a setting; ``None`` leaves the default, durations are timedeltas or as the setting's text has them."""


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


@dataclass(frozen=True)
class ConsumeResult:
    """What a listener answers: ``SUCCESS`` (as does ``None``), ``LATER`` or ``later(delay_level=…)``."""

    success: bool
    delay_level: int | None = None

    SUCCESS: ClassVar[ConsumeResult]
    """The message is done."""
    LATER: ClassVar[ConsumeResult]
    """Deliver the message again after the broker's growing delay."""

    @staticmethod
    def later(delay_level: int | None = None) -> ConsumeResult:
        """Deliver the message again after the broker's delay level 1 to 18 (1 s to 2 h); -1: to the dead letters."""
        return ConsumeResult(False, delay_level)


ConsumeResult.SUCCESS = ConsumeResult(True)
ConsumeResult.LATER = ConsumeResult(False)


def to_settings(settings: Mapping[str, Setting]) -> dict[str, str]:
    """Give settings as the strings that the core's table understands; the core checks names and values."""
    return {name: _to_text(value) for name, value in settings.items() if value is not None}


def client_settings(namesrv: str | Sequence[str] | None, settings: Mapping[str, Setting]) -> dict[str, str]:
    """Give a client's settings, its addresses among them, as strings."""
    addresses = namesrv if namesrv is None or isinstance(namesrv, str) else ";".join(namesrv)
    return to_settings({"namesrv": addresses, **settings})


def _to_text(value: Setting) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return f"{round(value / timedelta(milliseconds=1))}ms"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)
