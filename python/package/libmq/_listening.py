"""What a listener's answer means, the same for both kinds of consumers."""

from __future__ import annotations

import logging

from . import _core
from ._types import ConsumeResult

_log = logging.getLogger("libmq")


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


def reply(delivery: _core.Delivery, result: ConsumeResult | None) -> None:
    """Answer a delivery; `result` is as `check` gives it."""
    if result is None:
        delivery.reply(True)
    else:
        delivery.reply(False, result.delay_level)


def failed(message: _core.MessageView) -> ConsumeResult:
    """Report the exception being handled; the message comes again later."""
    _log.exception(
        "the listener failed at message %s of topic %s (delivery attempt %d); it will be delivered again later",
        message.message_id,
        message.topic,
        message.delivery_attempt,
    )
    return ConsumeResult.LATER
