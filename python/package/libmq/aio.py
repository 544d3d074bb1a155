"""The asynchronous API, for asyncio: the same names as `libmq`, with ``async`` methods and listeners."""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Optional, TypeVar

from . import _core, _exit, _listening
from ._core import Message, MessageView, SendReceipt
from ._errors import ClosedError, Error
from ._pull import without
from ._types import (
    ConsumeResult,
    ConsumerWarning,
    Duration,
    MessageQueue,
    Place,
    QueueChange,
    SendStatus,
    Setting,
    callback,
    client_settings,
    to_settings,
)

__all__ = [
    "BatchListener",
    "Client",
    "ConsumeResult",
    "DeadLetters",
    "Listener",
    "Message",
    "MessageQueue",
    "MessageView",
    "Producer",
    "PullConsumer",
    "PushConsumer",
    "SendReceipt",
    "SendStatus",
]

Listener = Callable[[MessageView], Awaitable[Optional[ConsumeResult]]]
"""What a consumer calls and awaits with each message."""

BatchListener = Callable[[list[MessageView]], Awaitable[Optional[ConsumeResult]]]
"""What a consumer calls and awaits with several messages of one queue."""

_L = TypeVar("_L", bound=Listener)
_B = TypeVar("_B", bound=BatchListener)
_T = TypeVar("_T")

_WINDOW = 4096
"""Sends of a producer under way at a time; a multiple of what keeps any broker busy."""

_BATCH = 1024
"""Events taken from the core at one wake-up, before other callbacks of the loop get their turn."""


class Client:
    """A connection to one RocketMQ cluster, used from one event loop; see :class:`libmq.Client`.

    It belongs to the loop in which it is first used. Close it, or use it in an ``async with`` block; what is still
    open when the interpreter exits is closed then.
    """

    def __init__(self, namesrv: str | Sequence[str] | None = None, **settings: Setting) -> None:
        """Make a client, which connects to nothing yet; arguments and errors as of :class:`libmq.Client`."""
        self._core = _core.Client(client_settings(namesrv, settings))
        self._bridge = _Bridge()
        self._closing: asyncio.Task[None] | None = None
        _exit.close_at_exit(self)

    def producer(self, group: str | None = None, **settings: Setting) -> Producer:
        """Make a producer; arguments and errors as of :meth:`libmq.Client.producer`.

        No more than the setting ``async_send_max``, here 4096, of its sends are under way at a time: others wait their
        turn, and their timeout begins with it.
        """
        merged: dict[str, Setting] = {"async_send_max": _WINDOW, **settings, "group": group}
        return Producer(self._core.producer(to_settings(merged)), self._bridge)

    def push_consumer(
        self,
        group: str,
        subscriptions: Mapping[str, str],
        *,
        listener: Listener | None = None,
        batch_listener: BatchListener | None = None,
        on_warning: Callable[[ConsumerWarning], object] | None = None,
        **settings: Setting,
    ) -> PushConsumer:
        """Make a consumer, which starts with :meth:`PushConsumer.start` or :meth:`PushConsumer.run`.

        Arguments and errors as of :meth:`libmq.Client.push_consumer`; how many calls of the listener may run at once
        is the setting ``consume_thread_max``.
        """
        merged = to_settings({**settings, "group": group})
        core = _core.PushConsumer(self._core, merged, subscriptions, self._bridge.events)
        consumer = PushConsumer(core, self._bridge, callback(on_warning, "on_warning") or _listening.warn)
        if listener is not None:
            consumer.listen(listener)
        if batch_listener is not None:
            consumer.listen_batch(batch_listener)
        return consumer

    def pull_consumer(
        self, group: str, subscriptions: Mapping[str, str] | None = None, **settings: Setting
    ) -> PullConsumer:
        """Make a consumer to be polled; arguments and errors as of :meth:`libmq.Client.pull_consumer`."""
        merged = to_settings({**settings, "group": group})
        return PullConsumer(_core.PullConsumer(self._core, merged, subscriptions or {}), self._bridge)

    def dead_letters(self, group: str) -> DeadLetters:
        """Make a reader of dead letters; see :meth:`libmq.Client.dead_letters`."""
        return DeadLetters(self._core.dead_letters(group), self._bridge)

    async def close(self, timeout: Duration | None = None) -> None:
        """Close all that was made from this client, then the client itself; does nothing when closed already.

        Called by a listener it returns at once and closes behind its back.

        :param timeout: how long to wait for listeners and for answers to what was sent.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(timeout))
        if not self._bridge.in_listener():
            await asyncio.shield(self._closing)

    async def _close(self, timeout: Duration | None) -> None:
        try:
            await self._bridge.end(self._core.close, timeout)
        finally:
            self._bridge.close()
            _exit.closed(self)

    def _close_now(self, timeout: float) -> None:
        self._bridge.events.close()
        self._core.close(timeout)

    async def __aenter__(self) -> Client:
        """Give the client itself."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the client."""
        await self.close()


class Producer:
    """Sends messages; made by :meth:`Client.producer`."""

    def __init__(self, core: _core.Producer, bridge: _Bridge) -> None:
        """Made by :meth:`Client.producer`."""
        self._core = core
        self._bridge = bridge
        self._send: Callable[..., SendReceipt] = core.send

    async def send(
        self,
        message: Message | Iterable[Message],
        timeout: Duration | None = None,
        queue: MessageQueue | None = None,
    ) -> SendReceipt:
        """Send a message, or a list of messages of one topic as one batch; see :meth:`libmq.Producer.send`.

        Cancelling stops the waiting: the message may be stored all the same.
        """
        while True:
            future: asyncio.Future[SendReceipt] = self._bridge.future()
            try:
                self._send(message, timeout, queue, (self._bridge.events, future))
                break
            except Error as error:
                if error.name != "QUEUE_FULL":
                    self._bridge.make_room(1)  # for the next in turn: this one needs none
                    raise
            await self._bridge.room()
        return await future

    def split(self, messages: Iterable[Message]) -> list[list[Message]]:
        """Divide messages into lists that :meth:`send` takes; see :meth:`libmq.Producer.split`."""
        return self._core.split(messages)

    async def queues(self, topic: str) -> list[MessageQueue]:
        """Give the queues of a topic that can be sent to; see :meth:`libmq.Producer.queues`."""
        return await self._bridge.call(self._core.queues, topic)

    async def send_oneway(self, message: Message) -> None:
        """Send a message without waiting for an answer, which then nobody learns."""
        await self._bridge.call(self._core.send_oneway, message)

    async def close(self, timeout: Duration | None = None) -> None:
        """Wait for the answers to what was sent, then refuse to send more; does nothing when closed already."""
        await self._bridge.end(self._core.close, timeout)

    async def __aenter__(self) -> Producer:
        """Give the producer itself."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the producer."""
        await self.close()


class PushConsumer:
    """Awaits a listener with each message of its subscriptions; made by :meth:`Client.push_consumer`.

    Each message is a task of the event loop. When the listener returns ``None`` or ``ConsumeResult.SUCCESS`` the
    message is done; when it returns ``ConsumeResult.LATER`` or raises, the message comes again later, and what it
    raised is logged by the logger ``libmq``.
    """

    def __init__(self, core: _core.PushConsumer, bridge: _Bridge, warn: Callable[[ConsumerWarning], object]) -> None:
        """Made by :meth:`Client.push_consumer`."""
        self._core = core
        self._bridge = bridge
        self._warn = warn
        self._listener: BatchListener | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None
        self._gone: asyncio.Future[None] | None = None
        self._started = False

    def listen(self, listener: _L) -> _L:
        """Set the listener, an ``async def``; to be used as a decorator, before the consumer is started."""
        _listening.must_be_callable(listener)

        async def one_by_one(messages: list[MessageView]) -> ConsumeResult | None:
            for number, message in enumerate(messages):
                try:
                    result = await _answer(listener(message))
                except Exception:
                    result = _listening.failed(messages[number:])
                if result is not None:
                    return result  # for all of them: those that come after it in the queue must not overtake it
            return None

        self._listener = one_by_one
        return listener

    def listen_batch(self, listener: _B) -> _B:
        """Set a listener of several messages at once, all of one queue; what it answers holds for all of them."""
        _listening.must_be_callable(listener)
        self._listener = listener
        return listener

    @property
    def assignment(self) -> list[MessageQueue]:
        """The queues that it has now."""
        return self._core.assignment

    async def subscribe(self, topic: str, expression: str = "*") -> None:
        """Subscribe to a topic, or change its expression; see :meth:`libmq.PushConsumer.subscribe`."""
        await self._bridge.call(self._core.subscribe, topic, expression)

    async def unsubscribe(self, topic: str) -> None:
        """Give a topic and its queues up; see :meth:`libmq.PushConsumer.unsubscribe`."""
        await self._bridge.call(self._core.unsubscribe, topic)

    def suspend(self) -> None:
        """Fetch no more until :meth:`resume`, and stay in the group; what was fetched already still comes."""
        self._core.suspend()

    def resume(self) -> None:
        """Fetch again."""
        self._core.resume()

    async def start(self) -> None:
        """Join the group and begin to receive; returns once the group is joined. Does nothing when started already.

        :raises Error: there is no listener (``STATE``), or the cluster cannot be reached.
        """
        if self._listener is None:
            raise Error("the consumer has no listener: set one with @consumer.listen", 14, "STATE")
        self._bridge.consumers[self._core.tag] = self
        try:
            await self._bridge.call(self._core.start)
        except Error as error:
            if error.name != "STATE" or not self._started:
                raise
        self._started = True

    async def run(self) -> None:
        """Start, and stay until :meth:`close` is called or this is cancelled, which closes the consumer."""
        self._gone = self._bridge.future()
        try:
            await self.start()
            await self._gone
        finally:
            await self.close()

    async def close(self, timeout: Duration | None = None) -> None:
        """Stop receiving, let running listeners finish, commit the offsets and leave the group.

        Does nothing when closed already. Called by the listener itself it returns at once and closes behind its back.

        :param timeout: how long to wait for running listeners; those that take longer are cancelled, and their
            messages come again.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(timeout))
        if not self._bridge.in_listener():
            await asyncio.shield(self._closing)

    async def _close(self, timeout: Duration | None) -> None:
        try:
            await self._bridge.end(self._core.close, timeout)
        finally:
            self._finish()

    def _finish(self) -> None:
        self._started = False
        self._bridge.consumers.pop(self._core.tag, None)
        for task in self._tasks:
            task.cancel()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _deliver(self, delivery: _core.Delivery) -> None:
        task = asyncio.ensure_future(self._consume(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _consume(self, delivery: _core.Delivery) -> None:
        assert self._listener is not None  # `start` has looked
        try:
            result = await _answer(self._listener(delivery.messages))
        except Exception:
            result = _listening.failed(delivery.messages)
        delivery.reply(result)

    async def __aenter__(self) -> PushConsumer:
        """Give the consumer itself, started if it has its listener."""
        if self._listener is not None:
            await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the consumer."""
        await self.close()


def _seconds(time: Duration) -> float:
    return time.total_seconds() if isinstance(time, timedelta) else time


async def _answer(answer: Awaitable[object]) -> ConsumeResult | None:
    if not hasattr(answer, "__await__"):
        raise TypeError(f"the listener returned {answer!r}; it must be an async def")
    return _listening.check(await answer)


class PullConsumer:
    """Gives messages when it is polled; made by :meth:`Client.pull_consumer`. See :class:`libmq.PullConsumer`.

    ::

        async with client.pull_consumer("audit", {"orders": "*"}) as consumer:
            async for message in consumer:
                print(message.body)
    """

    def __init__(self, core: _core.PullConsumer, bridge: _Bridge) -> None:
        """Made by :meth:`Client.pull_consumer`."""
        self._core = core
        self._bridge = bridge
        self._polling: asyncio.Future[list[MessageView]] | None = None
        self._one_poll = asyncio.Lock()
        self._rest: collections.deque[MessageView] = collections.deque()
        self._started = False

    async def start(self) -> None:
        """Join the group and begin to fetch; does nothing when started already."""
        if not self._started:
            await self._bridge.call(self._core.start)
            self._started = True

    async def subscribe(self, topic: str, expression: str = "*") -> None:
        """Subscribe to a topic; see :meth:`libmq.PullConsumer.subscribe`."""
        await self._bridge.call(self._core.subscribe, topic, expression)

    async def unsubscribe(self, topic: str) -> None:
        """Give a topic and its queues up."""
        await self._bridge.call(self._core.unsubscribe, topic)

    async def assign(self, queues: Sequence[MessageQueue]) -> None:
        """Take these queues, in place of those assigned before, whatever other members of the group do."""
        await self._bridge.call(self._core.assign, queues)

    async def poll(self, timeout: Duration | None = None) -> list[MessageView]:
        """Wait for messages and give those that are there, none when the time is over.

        Without a timeout the setting ``poll_timeout`` counts. What a cancelled poll would have given, the next gives.
        """
        limit = None if timeout is None else _seconds(timeout)
        async with self._one_poll:
            if self._rest:
                rest, self._rest = list(self._rest), collections.deque()
                return rest
            if self._polling is None:
                self._polling = asyncio.ensure_future(self._bridge.call(self._core.poll, timeout))
                # Seen, also when nobody polls again.
                self._polling.add_done_callback(lambda polled: polled.cancelled() or polled.exception())
            elif limit is not None:  # what a poll that was cancelled has begun may take longer
                await asyncio.wait({self._polling}, timeout=limit)
                if not self._polling.done():
                    return []
            await asyncio.wait({self._polling})
            polled, self._polling = self._polling, None
        return await polled

    async def seek(self, queue: MessageQueue, to: Place) -> None:
        """Go on at another place of a queue that the consumer has; see :meth:`libmq.PullConsumer.seek`."""
        await self._bridge.call(self._core.seek, queue, to)
        self._rest = without(self._rest, queue)

    async def offset_for_time(self, queue: MessageQueue, time: datetime | int) -> int:
        """Give the offset of the first message stored at a time (a datetime, or milliseconds since 1970) or later."""
        return await self._bridge.call(self._core.offset_for_time, queue, time)

    def pause(self, queues: Sequence[MessageQueue]) -> None:
        """Fetch no more from these queues and give out none of their messages until :meth:`resume`."""
        self._core.pause(queues)

    def resume(self, queues: Sequence[MessageQueue]) -> None:
        """Fetch from these queues again."""
        self._core.resume(queues)

    async def commit(self, offsets: Mapping[MessageQueue, int] | None = None) -> None:
        """Commit what was given out of all queues, or the offsets given; see :meth:`libmq.PullConsumer.commit`."""
        await self._bridge.call(self._core.commit, offsets)

    async def committed(self, queue: MessageQueue) -> int | None:
        """Give the offset that the group has committed for a queue, ``None`` when there is none."""
        return await self._bridge.call(self._core.committed, queue)

    async def position(self, queue: MessageQueue) -> int:
        """Give the offset of the message of a queue that the next poll would give out."""
        return await self._bridge.call(self._core.position, queue)

    async def queues(self, topic: str) -> list[MessageQueue]:
        """Give the queues of a topic that can be read."""
        return await self._bridge.call(self._core.queues, topic)

    @property
    def assignment(self) -> list[MessageQueue]:
        """The queues that it has now."""
        return self._core.assignment

    async def on_queue_change(self, topic: str, callback: Callable[[QueueChange], object]) -> None:
        """Have `callback` called when the queues of a topic or the consumer's share of them change."""
        _listening.must_be_callable(callback)
        future: asyncio.Future[int] = self._bridge.future()
        watch = self._core._watch(topic, self._bridge.events, (self._bridge.events, future))
        self._bridge.watchers[watch] = callback
        await future

    async def close(self, timeout: Duration | None = None) -> None:
        """Commit, if it commits by itself, and leave the group; does nothing when closed already."""
        await self._bridge.end(self._core._close, timeout)

    def __aiter__(self) -> PullConsumer:
        """Give one message after the other until the consumer is closed; see :meth:`libmq.PullConsumer.__iter__`."""
        return self

    async def __anext__(self) -> MessageView:
        """Start or poll if need be, and give the next message."""
        try:
            await self.start()
            while not self._rest:
                self._rest.extend(await self.poll())
        except ClosedError:
            raise StopAsyncIteration from None
        return self._rest.popleft()

    async def __aenter__(self) -> PullConsumer:
        """Give the consumer itself, started."""
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close the consumer."""
        await self.close()


class DeadLetters:
    """Reads the dead letters of a group and sends them again; made by :meth:`Client.dead_letters`."""

    def __init__(self, core: _core.DeadLetters, bridge: _Bridge) -> None:
        """Made by :meth:`Client.dead_letters`."""
        self._core = core
        self._bridge = bridge

    async def read(self, max: int = 32) -> list[MessageView]:
        """Give up to `max` dead letters, oldest first; see :meth:`libmq.DeadLetters.read`."""
        return await self._bridge.call(self._core.read, max)

    async def rewind(self) -> None:
        """Begin again with the oldest one."""
        await self._bridge.call(self._core.rewind)

    async def resend(self, message: MessageView) -> SendReceipt:
        """Send a dead letter to the topic that it was first sent to; see :meth:`libmq.DeadLetters.resend`."""
        return await self._bridge.call(self._core.resend, message)


class _Bridge:
    """Carries completions and messages from the core into the event loop, many at each wake-up."""

    def __init__(self) -> None:
        self.events = _core.Events()
        self.consumers: dict[int, PushConsumer] = {}
        self.watchers: dict[int, Callable[[QueueChange], object]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: collections.deque[asyncio.Future[None]] = collections.deque()

    def future(self) -> asyncio.Future[_T]:
        """Make a future of the running loop, to which the bridge is bound from the first call on."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._bind(loop)
        return loop.create_future()

    async def call(self, start: Callable[..., _T], *arguments: object) -> _T:
        """Make a call of the core and wait for its end."""
        future: asyncio.Future[_T] = self.future()
        start(*arguments, _into=(self.events, future))
        return await future

    async def end(self, close: Callable[..., object], timeout: Duration | None) -> None:
        """Close something and wait for it; a client that is closed meanwhile has closed it."""
        with contextlib.suppress(ClosedError):
            await self.call(close, timeout)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            raise Error("this client belongs to another event loop: make one client per loop", 14, "STATE")
        try:
            loop.add_reader(self.events.fd(), self._drain)
        except NotImplementedError:  # a loop that watches no file descriptors: wake it through its own queue
            self.events.wake(lambda: loop.call_soon_threadsafe(self._drain_all))
        self._loop = loop

    async def room(self) -> None:
        """Wait in turn until a call under way has ended, when as many as allowed are."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # its turn had come: it is the next one's
                self.make_room(1)
            raise

    def make_room(self, count: int) -> None:
        """Let the next `count` of those that wait in `room` try again."""
        while count > 0 and self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                count -= 1

    def in_listener(self) -> bool:
        """Whether a listener of this client is running this."""
        task = asyncio.current_task()
        return any(task in consumer._tasks for consumer in self.consumers.values())

    def close(self) -> None:
        """Detach from the loop; no future is resolved and no listener called from here on."""
        for consumer in list(self.consumers.values()):
            consumer._finish()
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.remove_reader(self.events.fd())
            except NotImplementedError:
                self.events.wake(None)
        self.events.close()
        self.make_room(len(self._waiters))

    def _drain(self) -> bool:
        events, count = self.events.drain(_BATCH)
        self.make_room(count)
        for event in events:
            if isinstance(event, _core.Delivery):
                consumer = self.consumers.get(event.consumer)
                if consumer is not None:  # closed meanwhile: what is not answered comes again
                    consumer._deliver(event)
            else:
                self._tell(*event)
        return count == _BATCH

    def _tell(self, tag: int, notice: ConsumerWarning | QueueChange) -> None:
        assert self._loop is not None  # who drains is bound
        if isinstance(notice, ConsumerWarning):
            consumer = self.consumers.get(tag)
            if consumer is not None:
                self._loop.call_soon(consumer._warn, notice)
        else:
            self._loop.call_soon(self.watchers[tag], notice)

    def _drain_all(self) -> None:
        if self._drain() and self._loop is not None:
            self._loop.call_soon(self._drain_all)
