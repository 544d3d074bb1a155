"""The synchronous API: a client, and consumers whose listeners run in threads."""

from __future__ import annotations

import contextlib
import itertools
import logging
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Optional, TypeVar

from . import _core, _exit, _listening
from ._errors import Error
from ._pull import PullConsumer
from ._types import (
    ConsumeResult,
    ConsumerWarning,
    Duration,
    MessageQueue,
    Setting,
    callback,
    client_settings,
    to_settings,
)

PATIENCE = 60.0
"""Seconds without work after which a listener thread ends, as threads above the least number do in Java."""

Listener = Callable[[_core.MessageView], Optional[ConsumeResult]]
"""What a consumer calls with each message."""

BatchListener = Callable[[list[_core.MessageView]], Optional[ConsumeResult]]
"""What a consumer calls with several messages of one queue."""

_L = TypeVar("_L", bound=Listener)
_B = TypeVar("_B", bound=BatchListener)


class Client:
    """A connection to one RocketMQ cluster; one per process, as a rule.

    Producers and consumers are made from it and share its connections. Making it connects to nothing yet.
    Safe to use from many threads. Close it, or use it in a ``with`` block; what is still open when the
    interpreter exits is closed then.
    """

    def __init__(self, namesrv: str | Sequence[str] | None = None, **settings: Setting) -> None:
        """Make a client.

        :param namesrv: addresses of NameServers, ``"host:port;host:port"`` or a list of ``"host:port"``.
        :param settings: any client setting by its name, e.g. ``heartbeat_broker_interval=timedelta(seconds=10)``;
            Java's names work too.
        :raises ConfigError: a setting is unknown or has a bad value.
        """
        self._core = _core.Client(client_settings(namesrv, settings))
        self._consumers: weakref.WeakSet[PushConsumer | PullConsumer] = weakref.WeakSet()
        _exit.close_at_exit(self)

    def producer(self, group: str | None = None, **settings: Setting) -> _core.Producer:
        """Make a producer.

        :param group: the producer group; only transactions need one of their own.
        :param settings: any producer setting by its name.
        :raises ConfigError: a setting is unknown or has a bad value.
        """
        return self._core.producer(to_settings({"group": group, **settings}))

    def push_consumer(
        self,
        group: str,
        subscriptions: Mapping[str, str],
        *,
        listener: Listener | None = None,
        batch_listener: BatchListener | None = None,
        on_warning: Callable[[ConsumerWarning], object] | None = None,
        threads: int | None = None,
        **settings: Setting,
    ) -> PushConsumer:
        """Make a consumer, which starts with :meth:`PushConsumer.start` or :meth:`PushConsumer.run`.

        :param group: the consumer group; its members share the messages.
        :param subscriptions: for each topic the tags wanted: ``"*"`` or ``"paid || refunded"``.
        :param listener: what to call with each message; or give it to :meth:`PushConsumer.listen`.
        :param batch_listener: instead, what to call with up to ``consume_message_batch_max_size`` messages; or give it
            to :meth:`PushConsumer.listen_batch`.
        :param on_warning: what to call with trouble that does not stop the consumer, such as members of the group that
            subscribe differently; without it the logger ``libmq`` is told.
        :param threads: listener threads at most, 64 unless told otherwise; they are started as they are needed
            and end when they have had nothing to do for a minute.
        :param settings: any consumer setting by its name: ``consume_mode="orderly"`` has one listener at a time for
            each queue and keeps its order; ``message_model="broadcasting"`` with ``offset_dir`` gives each member all.
        :raises ConfigError: a setting is unknown or has a bad value.
        :raises ArgumentError: the group or a topic is not a legal name.
        """
        events = _core.Events()
        pool: dict[str, Setting] = {"consume_thread_min": threads, "consume_thread_max": threads}
        merged = to_settings({**pool, **settings, "group": group})
        core = _core.PushConsumer(self._core, merged, subscriptions, events)
        consumer = PushConsumer(core, events, on_warning, f"libmq-{group}")
        if listener is not None:
            consumer.listen(listener)
        if batch_listener is not None:
            consumer.listen_batch(batch_listener)
        self._consumers.add(consumer)
        return consumer

    def pull_consumer(
        self, group: str, subscriptions: Mapping[str, str] | None = None, **settings: Setting
    ) -> PullConsumer:
        """Make a consumer to be polled; it starts with :meth:`PullConsumer.start`, a ``with`` block or a ``for`` loop.

        :param group: the consumer group, to which offsets belong.
        :param subscriptions: for each topic the tags wanted; :meth:`PullConsumer.assign` takes queues by hand instead.
        :param settings: any setting of pull consumers by its name, e.g. ``auto_commit=False``.
        :raises ConfigError: a setting is unknown or has a bad value.
        :raises ArgumentError: the group or a topic is not a legal name.
        """
        consumer = PullConsumer(self._core, to_settings({**settings, "group": group}), subscriptions or {})
        self._consumers.add(consumer)
        return consumer

    def dead_letters(self, group: str) -> _core.DeadLetters:
        """Make a reader of the messages that a group has given up, which can send them again.

        :raises ArgumentError: the group is not a legal name.
        """
        return self._core.dead_letters(group)

    def close(self, timeout: Duration | None = None) -> None:
        """Close all that was made from this client, then the client itself; does nothing when closed already.

        Called by a listener it returns at once and closes behind its back.

        :param timeout: how long to wait for listeners and for answers to what was sent.
        """
        if any(consumer._in_listener() for consumer in list(self._consumers)):
            threading.Thread(target=self.close, args=(timeout,), name="libmq-close").start()
            return
        try:
            self._core.close(timeout)
        finally:
            for consumer in list(self._consumers):
                consumer._finish()
            _exit.closed(self)

    def _close_now(self, timeout: float) -> None:
        self.close(timeout)
        for consumer in list(self._consumers):
            consumer._join(timeout)

    def __enter__(self) -> Client:
        """Give the client itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the client."""
        self.close()


class PushConsumer:
    """Calls a listener with each message of its subscriptions; made by :meth:`Client.push_consumer`.

    The listener runs in up to `threads` threads at once. When it returns ``None`` or ``ConsumeResult.SUCCESS`` the
    message is done; when it returns ``ConsumeResult.LATER`` or raises, the message comes again later, and what it
    raised is logged by the logger ``libmq``.
    """

    def __init__(
        self,
        core: _core.PushConsumer,
        events: _core.Events,
        on_warning: Callable[[ConsumerWarning], object] | None,
        name: str,
    ) -> None:
        """Made by :meth:`Client.push_consumer`."""
        self._core = core
        self._events = events
        self._listener: BatchListener | None = None
        self._warn = callback(on_warning, "on_warning") or _listening.warn
        self._limit = core.consume_thread_max
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._numbers = itertools.count()
        self._started = False
        self._unfinished = threading.Lock()  # not an Event: what a signal interrupts must not keep a lock that ends it
        self._unfinished.acquire()

    def listen(self, listener: _L) -> _L:
        """Set the listener; to be used as a decorator, before the consumer is started."""
        _listening.must_be_callable(listener)

        def one_by_one(messages: list[_core.MessageView]) -> ConsumeResult | None:
            for number, message in enumerate(messages):
                try:
                    result = _listening.check(listener(message))
                except BaseException:
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

    def subscribe(self, topic: str, expression: str = "*") -> None:
        """Subscribe to a topic, or change its expression: all messages (``"*"``) or the tags of ``"a || b"``.

        Returns when the consumer has its share of the queues. All members of the group should subscribe to the same.
        What was fetched for an older expression alone does not come any more, unless it failed before; what that one
        passed over may be left out.

        :raises ArgumentError: the topic or the expression is illegal, or the topic is the group's own retry topic.
        """
        self._core.subscribe(topic, expression)

    def unsubscribe(self, topic: str) -> None:
        """Give a topic and its queues up: what is consumed is committed, and running listeners go on.

        A topic that is not subscribed to is no error. Without any the consumer stays in its group and gets what failed
        before.
        """
        self._core.unsubscribe(topic)

    def suspend(self) -> None:
        """Fetch no more until :meth:`resume`, and stay in the group; what was fetched already still comes."""
        self._core.suspend()

    def resume(self) -> None:
        """Fetch again."""
        self._core.resume()

    def start(self) -> None:
        """Join the group and begin to receive; returns once the group is joined. Does nothing when started already.

        :raises Error: there is no listener (``STATE``), or the cluster cannot be reached.
        """
        if self._listener is None:
            raise Error("the consumer has no listener: set one with @consumer.listen", 14, "STATE")
        try:
            self._core.start()  # first of all: in a forked child the lock below may be held for ever
        except Error as error:
            if error.name != "STATE" or not self._started:
                raise
            return
        self._started = True
        with self._lock:
            self._add_thread()

    def run(self) -> None:
        """Start, and stay until :meth:`close` is called, Ctrl-C is pressed or, on the main thread, SIGTERM comes.

        Ctrl-C and SIGTERM close the consumer, and this returns. A program's own SIGTERM handler is left alone.
        """
        try:
            with _sigterm_as_interrupt():
                self.start()
                # In slices, because a signal just before a wait does not interrupt it.
                while not self._unfinished.acquire(timeout=0.2):
                    pass
        except KeyboardInterrupt:
            pass
        finally:
            self.close()

    def close(self, timeout: Duration | None = None) -> None:
        """Stop receiving, let running listeners finish, commit the offsets and leave the group.

        Does nothing when closed already. Called by the listener itself it returns at once and closes behind its back.

        :param timeout: how long to wait for running listeners; the messages of those that take longer come again.
        """
        if self._in_listener():
            threading.Thread(target=self.close, args=(timeout,), name=f"{self._name}-close").start()
            return
        try:
            self._core.close(timeout)
        finally:
            self._finish()

    def __enter__(self) -> PushConsumer:
        """Give the consumer itself, started if it has its listener."""
        if self._listener is not None:
            self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Close the consumer."""
        self.close()

    def _finish(self) -> None:
        """End the threads; those whose listener hangs end when it returns."""
        self._started = False
        self._events.close()
        with contextlib.suppress(RuntimeError):  # it was released before
            self._unfinished.release()

    def _in_listener(self) -> bool:
        return threading.current_thread() in self._threads

    def _join(self, timeout: float) -> None:
        """Wait for the threads, so that none is inside the core when the interpreter goes."""
        end = time.monotonic() + timeout
        for thread in list(self._threads):
            thread.join(max(0.0, end - time.monotonic()))

    def _add_thread(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{next(self._numbers)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _is_spare(self) -> bool:
        """Whether this thread, which has had nothing to do, may end, as another one waits; it is forgotten then."""
        with self._lock:
            spare = self._events.idle > 0
            if spare:
                self._threads.remove(threading.current_thread())
            return spare

    def _work(self) -> None:
        listener, events = self._listener, self._events
        assert listener is not None  # `start` has looked
        while True:
            event = events.next(PATIENCE)
            if event is None:
                if not self._started or self._is_spare():
                    return
                continue
            if not events.idle and len(self._threads) < self._limit:
                with self._lock:
                    if not events.idle and len(self._threads) < self._limit:
                        self._add_thread()
            if isinstance(event, _core.Delivery):
                try:
                    result = _listening.check(listener(event.messages))
                except BaseException:  # also SystemExit: it must not end a thread that others count on
                    result = _listening.failed(event.messages)
                event.reply(result)
            elif isinstance(event[1], ConsumerWarning):
                try:
                    self._warn(event[1])
                except Exception:
                    _listening.warn(event[1])
                    logging.getLogger("libmq").exception("the callback for warnings failed")


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt meanwhile, where nobody else has a use for it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
