"""What a scenario is, and the world it plays in: one broker and the runners of the languages."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .broker import ApacheBroker, OurBroker, create_topic
from .runner import LANGUAGES, Runner, RunnerError, body_of

Broker = OurBroker | ApacheBroker
NAMES = itertools.count(1)
OURS = ("libmq",)
"""The brokers of scenarios in which it is no matter whose broker it is."""


@dataclass
class Scenario:
    """One thing that users rely on, played in one language or in all together."""

    name: str
    feature: str
    play: Callable[..., None]
    together: bool = False
    """Played once with all languages, not once in each."""
    brokers: tuple[str, ...] = ("libmq", "apache-5.5.0")
    skip: dict[str, str] = field(default_factory=dict)
    """Language → why it cannot be played there."""


SCENARIOS: list[Scenario] = []


def scenario(feature: str, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a scenario; ``feature`` is its line in the feature table."""

    def register(play: Callable[..., None]) -> Callable[..., None]:
        SCENARIOS.append(Scenario(play.__name__, feature, play, **options))
        return play

    return register


class World:
    """One broker and one runner for each language, started when first asked for."""

    def __init__(self, broker: Broker, logs: Path, languages: list[str] | None = None) -> None:
        self.broker = broker
        self.languages = languages or LANGUAGES
        self._logs = logs
        self._runners: dict[str, Runner] = {}

    @property
    def namesrv(self) -> str:
        return self.broker.namesrv

    def runner(self, language: str) -> Runner:
        found = self._runners.get(language)
        if found is None or not found.alive:
            found = self._runners[language] = Runner(language, self._logs / f"{language}.log")
        return found

    def name(self, what: str) -> str:
        """A name that no other scenario uses."""
        return f"{what}-{os.getpid()}-{next(NAMES)}"

    def topic(self, queues: int = 4) -> str:
        name = self.name("topic")
        create_topic(self.namesrv, name, queues)
        return name

    @contextmanager
    def client(self, language: str, namesrv: str | None = None, **settings: str) -> Iterator[tuple[Runner, str]]:
        runner, handle = self.runner(language), self.name("client")
        runner.call("client.open", client=handle, namesrv=namesrv or self.namesrv, settings=settings)
        try:
            yield runner, handle
        finally:
            if runner.alive:
                runner.call("client.close", client=handle)

    @contextmanager
    def producer(self, language: str, namesrv: str | None = None, **settings: str) -> Iterator[tuple[Runner, str]]:
        with self.client(language, namesrv) as (runner, client):
            handle = self.name("producer")
            runner.call("producer.open", producer=handle, client=client, group=self.name("senders"), settings=settings)
            yield runner, handle

    @contextmanager
    def consumer(
        self,
        language: str,
        group: str,
        subscriptions: dict[str, str],
        behaviour: dict[str, Any] | None = None,
        client_settings: dict[str, str] | None = None,
        namesrv: str | None = None,
        **settings: str,
    ) -> Iterator[Inbox]:
        with self.client(language, namesrv, **(client_settings or {})) as (runner, client):
            handle = self.name("consumer")
            runner.call(
                "consumer.open",
                consumer=handle,
                client=client,
                group=group,
                subscriptions=subscriptions,
                settings=settings,
                behaviour=behaviour or {},
            )
            try:
                yield Inbox(runner, handle)
            finally:
                if runner.alive:
                    runner.call("consumer.close", consumer=handle)

    @contextmanager
    def puller(
        self,
        language: str,
        group: str,
        subscriptions: dict[str, str] | None = None,
        namesrv: str | None = None,
        **settings: str,
    ) -> Iterator[Puller]:
        """A pull consumer, subscribed or yet without queues."""
        with self.client(language, namesrv) as (runner, client):
            handle = self.name("puller")
            opened: dict[str, Any] = {"client": client, "group": group, "settings": settings}
            runner.call(
                "pull.open", consumer=handle, **opened, **({"subscriptions": subscriptions} if subscriptions else {})
            )
            try:
                yield Puller(runner, handle)
            finally:
                if runner.alive:
                    runner.call("pull.close", consumer=handle)

    @contextmanager
    def own_broker(self, language: str, **settings: str) -> Iterator[tuple[Runner, str, str]]:
        """A broker embedded in the runner itself: (runner, handle, address)."""
        runner, handle = self.runner(language), self.name("broker")
        started = runner.call("broker.start", broker=handle, settings=settings)
        try:
            yield runner, handle, started["address"]
        finally:
            if runner.alive:
                runner.call("broker.stop", broker=handle)

    def close(self) -> None:
        for runner in self._runners.values():
            runner.close()


class Puller:
    """A pull consumer in some language."""

    def __init__(self, runner: Runner, handle: str) -> None:
        self.runner = runner
        self.handle = handle

    def call(self, op: str, **fields: Any) -> dict[str, Any]:
        """``pull.<op>`` of this consumer."""
        return self.runner.call(f"pull.{op}", consumer=self.handle, **fields)

    def poll(self, mode: str = "sync", timeout: int = 1000) -> list[dict[str, Any]]:
        """The messages of one poll; none after ``timeout`` milliseconds."""
        return list(self.call("poll", timeout=timeout, mode=mode)["messages"])

    def collect(self, bodies: set[bytes], mode: str = "sync", patience: float = 60.0) -> list[dict[str, Any]]:
        """Polls until each of ``bodies`` has come; returns all that came."""
        deadline = time.monotonic() + patience
        found: list[dict[str, Any]] = []
        while missing := bodies - {body_of(got) for got in found}:
            assert time.monotonic() < deadline, f"{self.runner.language}: {len(missing)} of {len(bodies)} are missing"
            found += self.poll(mode)
        return found


class Inbox:
    """What one consumer has received."""

    def __init__(self, runner: Runner, handle: str) -> None:
        self.runner = runner
        self.handle = handle
        self.messages: list[dict[str, Any]] = []

    @property
    def bodies(self) -> list[bytes]:
        return [body_of(message) for message in self.messages]

    def take(self, patience: float = 60.0) -> dict[str, Any]:
        """The next message."""
        event = self.runner.event(self.handle, patience)
        self.messages.append(event["message"])
        return event["message"]

    def wait_for(self, bodies: set[bytes], patience: float = 60.0) -> None:
        """Waits until each of ``bodies`` has arrived; names what is missing otherwise."""
        deadline = time.monotonic() + patience
        missing = bodies - set(self.bodies)
        while missing:
            try:
                missing.discard(body_of(self.take(max(0.01, deadline - time.monotonic()))))
            except TimeoutError:
                sample = sorted(missing)[:3]
                raise AssertionError(
                    f"{self.runner.language}: {len(missing)} of {len(bodies)} messages are missing, e.g. {sample}"
                ) from None

    def expect_quiet(self, seconds: float = 1.0) -> None:
        """Fails if one more message arrives within ``seconds``."""
        try:
            extra = self.take(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"{self.runner.language}: an unexpected message arrived: {extra}")


def refused(runner: Runner, code: str, *words: str, op: str, **fields: object) -> RunnerError:
    """Asks for something that must fail with ``code`` and a message that has all ``words``."""
    try:
        answer = runner.call(op, **fields)
    except RunnerError as error:
        assert error.code == code, f"{op}: expected {code}, got {error}"
        for word in words:
            assert word in error.message, f"'{word}' is missing in: {error.message}"
        return error
    raise AssertionError(f"{op} was accepted: {answer}")


def wait_until(condition: object, what: str, patience: float = 60.0) -> None:
    """Waits for a condition with a deadline."""
    assert callable(condition)
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience} s for {what}"
        time.sleep(0.01)
