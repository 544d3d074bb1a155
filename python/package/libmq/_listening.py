"""What a listener's answer means, the same for both kinds of consumers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from . import _core
from ._types import ConsumeResult, ConsumerWarning

_log = logging.getLogger("libmq")


def must_be_callable(listener: Callable[..., object]) -> None:
    """Refuse what can be no listener, before messages come."""
    if not callable(listener):
        raise TypeError(f"the listener is {listener!r}; give a function")


def check(result: object) -> ConsumeResult | None:
    """Give what the listener answered when it is not plain success; anything unknown is the listener's error."""
    if result is None:
        return None
    if isinstance(result, ConsumeResult):
        return None if result.success else result
    raise TypeError(
        f"the listener returned {result!r}; return None or ConsumeResult.SUCCESS when the message is done, "
        "ConsumeResult.LATER to get it again"
    )


def failed(messages: Sequence[_core.MessageView]) -> ConsumeResult:
    """Report the exception being handled; the messages come again later."""
    _log.exception(
        "the listener failed at message %s of topic %s (delivery attempt %d); it will be delivered again later",
        messages[0].message_id,
        messages[0].topic,
        messages[0].delivery_attempt,
    )
    return ConsumeResult.LATER


def warn(warning: ConsumerWarning) -> None:
    """Log a warning: what consumers do without an `on_warning` of the program's own."""
    _log.warning("%s: %s", *warning)
