"""The synchronous pull consumer: what the extension module has, iteration and watchers."""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping

from . import _core
from ._errors import ClosedError
from ._listening import must_be_callable
from ._types import Duration, MessageQueue, Place, QueueChange


def without(
    messages: collections.deque[_core.MessageView], queue: MessageQueue
) -> collections.deque[_core.MessageView]:
    """Give the messages of other queues."""
    return collections.deque(message for message in messages if message.queue != queue)


class PullConsumer(_core.PullConsumer):
    """Gives messages when it is polled; made by :meth:`Client.pull_consumer`.

    ::

        with client.pull_consumer("audit", {"orders": "*"}) as consumer:
            for message in consumer:
                print(message.body)

    Its positions are committed by themselves, every ``auto_commit_interval``, unless it is made with
    ``auto_commit=False``. Usable from many threads, one of which polls at a time.
    """

    def __init__(self, client: _core.Client, settings: Mapping[str, str], subscriptions: Mapping[str, str]) -> None:
        """Made by :meth:`Client.pull_consumer`."""
        self._started = False
        self._rest: collections.deque[_core.MessageView] = collections.deque()
        self._events: _core.Events | None = None
        self._watchers: dict[int, Callable[[QueueChange], object]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="libmq-queues", daemon=True)

    def start(self) -> None:
        """Join the group and begin to fetch; does nothing when started already.

        :raises Error: the cluster cannot be reached.
        """
        if not self._started:
            super().start()
            self._started = True

    def poll(self, timeout: Duration | None = None) -> list[_core.MessageView]:
        """Wait for messages and give those that are there, none when the time is over.

        With ``auto_commit`` the messages of a poll count as consumed from the next poll on. One poll at a time.

        :param timeout: how long to wait; without it the setting ``poll_timeout`` counts.
        """
        if self._rest:
            rest, self._rest = list(self._rest), collections.deque()
            return rest
        return super().poll(timeout)

    def __iter__(self) -> PullConsumer:
        """Start if need be, and give one message after the other until the consumer is closed.

        Who leaves the loop goes on with the next message later. ``commit()`` counts all messages of the poll that a
        message came with; to count it alone, commit its offset + 1.
        """
        with contextlib.suppress(ClosedError):  # then there is nothing to give
            self.start()
        return self

    def __next__(self) -> _core.MessageView:
        """Poll if need be, and give the next message."""
        try:
            while not self._rest:
                self._rest.extend(super().poll())
        except ClosedError:
            raise StopIteration from None
        return self._rest.popleft()

    def seek(self, queue: MessageQueue, to: Place) -> None:
        """Go on at another place of a queue that the consumer has; what was fetched of the queue is dropped.

        :raises Error: the consumer does not have the queue (``STATE``).
        """
        super().seek(queue, to)
        self._rest = without(self._rest, queue)

    def on_queue_change(self, topic: str, callback: Callable[[QueueChange], object]) -> None:
        """Have `callback` called, in a thread of its own, when the queues of a topic or the consumer's share change.

        :raises NotFoundError: there is no such topic.
        :raises Error: the consumer is not started (``STATE``).
        """
        must_be_callable(callback)
        if self._events is None:
            self._events = _core.Events()
            self._thread.start()
        with self._lock:  # so that the thread finds it, however early the first change is
            self._watchers[self._watch(topic, self._events)] = callback

    def close(self, timeout: Duration | None = None) -> None:
        """Commit, if it commits by itself, and leave the group; does nothing when closed already."""
        try:
            self._close(timeout)
        finally:
            self._started = False
            self._finish()

    def __enter__(self) -> PullConsumer:
        """Give the consumer itself, started."""
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Close the consumer."""
        self.close()

    def _finish(self) -> None:
        if self._events is not None:
            self._events.close()

    def _in_listener(self) -> bool:
        return threading.current_thread() is self._thread

    def _join(self, timeout: float) -> None:
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _work(self) -> None:
        assert self._events is not None  # made before the thread
        while (event := self._events.next()) is not None:
            if not isinstance(event, _core.Delivery) and isinstance(event[1], QueueChange):
                with self._lock:
                    callback = self._watchers[event[0]]
                try:
                    callback(event[1])
                except Exception:
                    logging.getLogger("libmq").exception("a watcher of the queues of topic %s failed", event[1].topic)
