"""The exceptions of libmq: one class with everything the core knows, subclasses where programs catch them."""

from __future__ import annotations

import builtins


class Error(Exception):
    """Any failure that libmq reports.

    The message says what was wrong, with what value, and what to do about it.
    """

    code: int
    """Number in the error table shared by all languages, e.g. ``4``."""
    name: str
    """Name in the error table, e.g. ``"TIMEOUT"``."""
    message: str
    """The text alone, without the name."""
    broker_code: int | None
    """The broker's response code when a broker refused, else ``None``."""
    retryable: bool
    """Whether the same call may well succeed when repeated."""
    throttled: bool
    """Whether the broker asked for a slower pace."""
    fatal: bool
    """Whether the object that raised it is of no more use."""

    def __init__(
        self,
        message: str,
        code: int = 1,
        name: str = "INTERNAL",
        broker_code: int | None = None,
        retryable: bool = False,
        throttled: bool = False,
        fatal: bool = False,
    ) -> None:
        """Make an error; programs catch these rather than make them."""
        super().__init__(message)
        self.message = message
        self.code = code
        self.name = name
        self.broker_code = broker_code
        self.retryable = retryable
        self.throttled = throttled
        self.fatal = fatal

    def __str__(self) -> str:
        """Give ``NAME: message``, with the broker's code where there is one."""
        broker = "" if self.broker_code is None else f" (broker code {self.broker_code})"
        return f"{self.name}: {self.message}{broker}"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all attributes, so that errors cross process borders whole."""
        fields = (self.code, self.name, self.broker_code, self.retryable, self.throttled, self.fatal)
        return type(self), (self.message, *fields)


class ConfigError(Error, ValueError):
    """An unknown setting or a bad value of one."""


class ArgumentError(Error, ValueError):
    """A topic, group, message or other argument that RocketMQ's rules do not allow."""


class TimeoutError(Error, builtins.TimeoutError):
    """No answer within the time given; what was asked may still have happened."""


class ClosedError(Error):
    """The client, producer, consumer or broker was closed."""


class NotFoundError(Error):
    """The topic, or a route to it, does not exist."""


class DeniedError(Error):
    """The broker refuses it to this caller."""


class ThrottledError(Error):
    """The broker is busy or limits the rate: try again, later and slower."""


class TooLargeError(Error):
    """The message is over the limit of the client or the broker."""


class ForkedError(Error):
    """The object was made before ``fork``; the child must make its own."""


_BY_NAME: dict[str, type[Error]] = {
    "CONFIG": ConfigError,
    "ARGUMENT": ArgumentError,
    "TIMEOUT": TimeoutError,
    "CLOSED": ClosedError,
    "NOT_FOUND": NotFoundError,
    "DENIED": DeniedError,
    "THROTTLED": ThrottledError,
    "TOO_LARGE": TooLargeError,
    "FORKED": ForkedError,
}


def _make(
    message: str,
    code: int,
    name: str,
    broker_code: int | None,
    retryable: bool,
    throttled: bool,
    fatal: bool,
) -> Error:
    """Make the exception for an error of the core; called by the extension module."""
    return _BY_NAME.get(name, Error)(message, code, name, broker_code, retryable, throttled, fatal)
