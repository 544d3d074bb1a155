"""Consuming: tags, sharing within a group, retries, dead letters, offsets and what a listener may do."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.harness.runner import message
from tests.harness.scenario import Inbox, World, scenario

EVERYWHERE = ("libmq", "apache-5.5.0", "apache-4.9.7")


def send_all(world: World, language: str, topic: str, bodies: list[bytes], **fields: object) -> None:
    """Sends each body from one language."""
    with world.producer(language) as (runner, producer):
        for body in bodies:
            runner.call("send", producer=producer, message=message(topic, body, **fields), mode="sync")


@scenario("Tag filters", brokers=EVERYWHERE)
def tag_filter(world: World, language: str) -> None:
    """A subscription by tags gets its tags alone, also where hashes of tags collide."""
    topic = world.topic()
    with world.producer(language) as (runner, producer):
        for tag in ["paid", "refunded", "lost", "Aa", "BB", None]:
            fields = {"tag": tag} if tag else {}
            runner.call("send", producer=producer, message=message(topic, str(tag).encode(), **fields), mode="sync")
    with world.consumer(language, world.name("group"), {topic: "paid || refunded||Aa"}) as inbox:
        inbox.wait_for({b"paid", b"refunded", b"Aa"})
        inbox.expect_quiet()


@scenario("Retry of messages that a listener puts off", brokers=EVERYWHERE)
def retry_later(world: World, language: str) -> None:
    """A listener that says Later gets the message again, with its attempts counted and its topic as it was."""
    topic = world.topic()
    with world.consumer(
        language, world.name("group"), {topic: "*"}, {"later_first": 2}, max_reconsume_times="5"
    ) as inbox:
        send_all(world, language, topic, [b"again"], tag="t", keys=["k"])
        attempts = [inbox.take() for _ in range(3)]
        assert [got["delivery_attempt"] for got in attempts] == [1, 2, 3], attempts
        assert {got["topic"] for got in attempts} == {topic}, attempts
        assert len({got["message_id"] for got in attempts}) == 1, attempts
        assert {got["tag"] for got in attempts} == {"t"}
        inbox.expect_quiet(2)


@scenario("A listener that throws means Later")
def listener_throws(world: World, language: str) -> None:
    """An exception in a listener is not lost: the message comes again, others go on."""
    topic = world.topic()
    with world.consumer(language, world.name("group"), {topic: "*"}, {"throw_first": 1}) as inbox:
        send_all(world, language, topic, [b"a", b"b"])
        attempts = [inbox.take() for _ in range(4)]
        assert sorted(got["delivery_attempt"] for got in attempts) == [1, 1, 2, 2], attempts
        inbox.expect_quiet(2)


@scenario("Dead letters after the last retry", brokers=EVERYWHERE)
def dead_letters(world: World, language: str) -> None:
    """A message that is never accepted ends in the group's dead-letter topic and stops coming."""
    topic, group = world.topic(), world.name("group")
    with world.consumer(language, group, {topic: "*"}, {"always_later": True}, max_reconsume_times="1") as inbox:
        send_all(world, language, topic, [b"poison"])
        assert [inbox.take()["delivery_attempt"] for _ in range(2)] == [1, 2]
        with world.consumer(language, world.name("group"), {f"%DLQ%{group}": "*"}) as dead:
            dead.wait_for({b"poison"})
        inbox.expect_quiet(2)


@scenario("A group goes on where it stopped", brokers=EVERYWHERE)
def offsets_survive(world: World, language: str) -> None:
    """Closing commits: a second consumer of the group gets only what came later."""
    topic, group = world.topic(), world.name("group")
    send_all(world, language, topic, [b"1", b"2", b"3"])
    with world.consumer(language, group, {topic: "*"}) as inbox:
        inbox.wait_for({b"1", b"2", b"3"})
    send_all(world, language, topic, [b"4"])
    with world.consumer(language, group, {topic: "*"}) as inbox:
        inbox.wait_for({b"4"})
        inbox.expect_quiet()


@scenario(
    "Asynchronous listeners",
    skip={"php": "PHP has one thread and no event loop of its own", "cpp": "C++17 has no coroutines"},
)
def async_listener(world: World, language: str) -> None:
    """A listener of the language's asynchronous kind works on several messages at a time."""
    topic = world.topic()
    bodies = [b"%d" % number for number in range(20)]
    with world.consumer(language, world.name("group"), {topic: "*"}, {"async": True, "delay": 100}) as inbox:
        send_all(world, language, topic, bodies)
        inbox.wait_for(set(bodies))
        assert len(inbox.messages) == 20


def drain(inboxes: list[Inbox], bodies: set[bytes], patience: float = 60.0) -> None:
    """Takes from all inboxes until every body has come."""
    deadline = time.monotonic() + patience
    seen: set[bytes] = set()
    while bodies - seen:
        assert time.monotonic() < deadline, f"{len(bodies - seen)} messages are missing"
        for inbox in inboxes:
            try:
                inbox.take(0.02)
            except TimeoutError:
                continue
            seen.add(inbox.bodies[-1])


@scenario("One group shared by all languages", together=True, brokers=EVERYWHERE)
def shared_group(world: World) -> None:
    """A group with a member in each language: each message is consumed once, every member has its share."""
    queues = 4 * len(world.languages)
    topic, group = world.topic(queues), world.name("group")
    bodies = {b"%d" % number for number in range(queues * 25)}
    with ExitStack() as stack:
        inboxes = [stack.enter_context(world.consumer(language, group, {topic: "*"})) for language in world.languages]
        first = world.languages[0]
        warm = 0
        deadline = time.monotonic() + 60
        # Members find each other by notification; probes show when each owns its share of the queues.
        with world.producer(first) as (runner, producer):
            while not all(inbox.messages for inbox in inboxes):
                assert time.monotonic() < deadline, {inbox.runner.language: len(inbox.messages) for inbox in inboxes}
                for _ in range(queues):
                    warm += 1
                    runner.call("send", producer=producer, message=message(topic, b"warm %d" % warm), mode="sync")
                probes = {b"warm %d" % number for number in range(1, warm + 1)}
                drain(inboxes, probes - {body for inbox in inboxes for body in inbox.bodies})
        for inbox in inboxes:
            inbox.messages.clear()
        send_all(world, first, topic, sorted(bodies))
        drain(inboxes, bodies)
        counts = {inbox.runner.language: len(inbox.messages) for inbox in inboxes}
        assert sum(counts.values()) == len(bodies), f"a message was consumed twice: {counts}"
        assert min(counts.values()) > 0, counts


@scenario("Members that leave hand over their queues")
def member_leaves(world: World, language: str) -> None:
    """When a member closes, the other one consumes everything; nothing is lost."""
    topic, group = world.topic(8), world.name("group")
    with world.consumer(language, group, {topic: "*"}) as stays:
        with world.consumer(language, group, {topic: "*"}) as leaves:
            first = {b"a%d" % number for number in range(40)}
            send_all(world, language, topic, sorted(first))
            drain([stays, leaves], first)
        second = {b"b%d" % number for number in range(40)}
        send_all(world, language, topic, sorted(second))
        stays.wait_for(second)
