"""Client for Apache RocketMQ and compatible brokers.

::

    with libmq.Client("127.0.0.1:9876") as client:
        producer = client.producer(group="orders")
        receipt = producer.send(libmq.Message("orders", b"42 apples", tag="paid", keys=["42"]))

`libmq.aio` has the same names for asyncio, `libmq.testing` an embedded broker for tests. Importing starts nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._client import BatchListener, Client, Listener, PushConsumer
from ._core import DeadLetters, Message, MessageView, Producer, SendReceipt, __version__
from ._errors import (
    ArgumentError,
    ClosedError,
    ConfigError,
    DeniedError,
    Error,
    ForkedError,
    NotFoundError,
    ThrottledError,
    TimeoutError,
    TooLargeError,
)
from ._logs import disable_logging, enable_logging
from ._pull import PullConsumer
from ._types import ConsumeResult, ConsumerWarning, Duration, MessageQueue, Place, QueueChange, SendStatus, Setting

if TYPE_CHECKING:
    from . import aio, testing

__all__ = [
    "ArgumentError",
    "BatchListener",
    "Client",
    "ClosedError",
    "ConfigError",
    "ConsumeResult",
    "ConsumerWarning",
    "DeadLetters",
    "DeniedError",
    "Duration",
    "Error",
    "ForkedError",
    "Listener",
    "Message",
    "MessageQueue",
    "MessageView",
    "NotFoundError",
    "Place",
    "Producer",
    "PullConsumer",
    "PushConsumer",
    "QueueChange",
    "SendReceipt",
    "SendStatus",
    "Setting",
    "ThrottledError",
    "TimeoutError",
    "TooLargeError",
    "__version__",
    "aio",
    "disable_logging",
    "enable_logging",
    "testing",
]


if not TYPE_CHECKING:  # for a type checker every name would exist

    def __getattr__(name: str) -> object:
        """Import `libmq.aio` and `libmq.testing` when first used."""
        if name in ("aio", "testing"):
            return importlib.import_module(f"libmq.{name}")
        raise AttributeError(f"module 'libmq' has no attribute {name!r}")
