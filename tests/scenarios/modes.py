"""Ways to consume: in order, broadcast, in batches, slowly, suspended."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from typing import Any

from tests.harness.broker import OurBroker, create_topic
from tests.harness.runner import RunnerError, body_of, message
from tests.harness.scenario import OURS, Inbox, World, scenario, wait_until
from tests.interop import remoting
from tests.scenarios.consuming import EVERYWHERE, send_all

DELETE_EXPIRED_COMMITLOG = 329
GET_MIN_OFFSET = 31


def in_order(inbox: Inbox, per_queue: int, queues: int) -> None:
    """Waits for all and checks the order within each queue, leaving out what came again."""
    highest: dict[int, int] = {}
    while sum(highest.values()) < queues * (per_queue - 1) or len(highest) < queues:
        got = inbox.take()
        queue, offset = got["queue_id"], got["queue_offset"]
        assert offset <= highest.get(queue, -1) + 1, f"queue {queue}: {offset} came before {highest.get(queue, -1) + 1}"
        highest[queue] = max(offset, highest.get(queue, -1))


@scenario("Ordered messages", brokers=EVERYWHERE)
def orderly(world: World, language: str) -> None:
    """An orderly consumer sees each queue in order, one message at a time, also when a listener suspends the queue."""
    topic, group = world.topic(queues=3), world.name("group")
    behaviour = {"suspend_first": 1, "suspend": 50}
    with world.consumer(language, group, {topic: "*"}, behaviour, consume_mode="orderly") as inbox:
        with world.producer(language) as (runner, producer):
            queues = runner.call("producer.queues", producer=producer, topic=topic)["queues"]
            for number in range(8):
                for queue in queues:
                    sent = {"message": message(topic, b"%d" % number), "mode": "sync", "queue": queue}
                    runner.call("send", producer=producer, **sent)
        in_order(inbox, 8, 3)
        # Each message came twice, and nothing came between.
        for queue in queues:
            offsets = [got["queue_offset"] for got in inbox.messages if got["queue_id"] == queue["queue_id"]]
            assert offsets[:-1] == sorted(offsets[:-1]), offsets


@scenario("Order is kept when members come and go")
def orderly_handed_over(world: World, language: str) -> None:
    """A second member takes queues over only when the first one has left them; no message overtakes another."""
    topic, group = world.topic(queues=4), world.name("group")
    total = 120
    with world.consumer(language, group, {topic: "*"}, {"delay": 5}, consume_mode="orderly") as stays:
        with world.producer(language) as (runner, producer):
            for number in range(total):
                sent = message(topic, b"%d" % number, message_group=f"order-{number % 7}")
                runner.call("send", producer=producer, message=sent, mode="sync")
            with world.consumer(language, group, {topic: "*"}, {"delay": 5}, consume_mode="orderly") as leaves:
                for number in range(total, 2 * total):
                    sent = message(topic, b"%d" % number, message_group=f"order-{number % 7}")
                    runner.call("send", producer=producer, message=sent, mode="sync")
                wanted = {b"%d" % number for number in range(2 * total)}
                deadline = time.monotonic() + 60
                while wanted - set(stays.bodies) - set(leaves.bodies):
                    assert time.monotonic() < deadline, "messages are missing"
                    for inbox in (stays, leaves):
                        try:
                            inbox.take(0.05)
                        except TimeoutError:
                            continue
        for inbox in (stays, leaves):
            for group_number in range(7):
                numbers = [
                    int(body_of(got)) for got in inbox.messages if got["message_group"] == f"order-{group_number}"
                ]
                assert numbers == sorted(numbers), numbers


@scenario("Ordered messages that fail rest, then go to the dead letters", brokers=OURS)
def orderly_gives_up(world: World, language: str) -> None:
    """A failed message comes again before the next one, after the pause that is set, and no oftener than is set."""
    topic, group = world.topic(queues=1), world.name("group")
    send_all(world, language, topic, [b"first", b"second"], tag="t", keys=["k"])
    settings = {"consume_mode": "orderly", "consume_from_where": "first", "max_reconsume_times": "1"}
    settings["suspend_current_queue_time"] = "200ms"
    began = time.monotonic()
    with world.consumer(language, group, {topic: "*"}, {"always_later": True}, **settings) as inbox:
        came = [(body_of(got), got["delivery_attempt"]) for got in (inbox.take() for _ in range(4))]
        assert came == [(body, attempt) for body in (b"first", b"second") for attempt in (1, 2)], came
        # A rest of each message before its last delivery; a machine can only add to them.
        assert time.monotonic() - began >= 0.4
        with world.client(language) as (runner, client):
            ask = {"client": client, "group": group, "max": 10}
            found: list[dict[str, Any]] = []
            deadline = time.monotonic() + 30
            while len(found) < 2:
                assert time.monotonic() < deadline, f"dead letters are missing: {found}"
                found = runner.call("dead_letters.read", **ask)["messages"]
        assert [body_of(letter) for letter in found] == [b"first", b"second"], found
        for letter, got in zip(found, [inbox.messages[0], inbox.messages[2]]):
            properties = letter["properties"]
            assert properties["RETRY_TOPIC"] == topic and letter["tag"] == "t" and letter["keys"] == ["k"], letter
            assert properties["ORIGIN_MESSAGE_ID"] == got["offset_message_id"], (letter, got)
        inbox.expect_quiet(0.5)


@scenario("Broadcasting", brokers=EVERYWHERE)
def broadcasting(world: World, language: str) -> None:
    """Every member gets every message; offsets stay in a folder of the user, from where a later member goes on."""
    topic, group = world.topic(), world.name("group")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        settings = {"message_model": "broadcasting"}
        with (
            world.consumer(language, group, {topic: "*"}, offset_dir=one, **settings) as first,
            world.consumer(language, group, {topic: "*"}, offset_dir=two, **settings) as second,
        ):
            send_all(world, language, topic, [b"a", b"b"])
            for inbox in (first, second):
                inbox.wait_for({b"a", b"b"})
        send_all(world, language, topic, [b"c"])
        with world.consumer(language, group, {topic: "*"}, offset_dir=one, **settings) as again:
            again.wait_for({b"c"})
            again.expect_quiet()


@scenario("Where a new group begins", brokers=EVERYWHERE)
def consume_from_where(world: World, language: str) -> None:
    """From the first message, from the last one, or from a time."""
    topic = world.topic(queues=1)
    send_all(world, language, topic, [b"old"])
    with world.consumer(language, world.name("group"), {topic: "*"}, consume_from_where="first") as inbox:
        inbox.wait_for({b"old"})
    hour = time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() - 3600))
    early = {"consume_from_where": "timestamp", "consume_timestamp": hour}
    with world.consumer(language, world.name("group"), {topic: "*"}, **early) as inbox:
        inbox.wait_for({b"old"})


@scenario("Where a new group begins in an old topic", together=True, brokers=OURS)
def old_beginnings(world: World) -> None:
    """Where first messages are gone, brokers let a new group begin as it wants: at the first, at a time, at the end."""
    conf = {"mappedFileSizeCommitLog": str(128 << 10), "fileReservedTime": "0", "cleanResourceInterval": "100"}
    broker = OurBroker(world._logs / "old.log", conf)
    try:
        create_topic(broker.namesrv, "old", 1)
        with world.producer(world.languages[0], broker.namesrv) as (runner, producer):
            load = {"topic": "old", "count": 300, "size": 1000, "mode": "sync", "window": 1}
            assert runner.call("send_load", producer=producer, **load)["failed"] == 0
            assert remoting.call(broker.broker, DELETE_EXPIRED_COMMITLOG).code == 0

            def first() -> int:
                answer = remoting.call(broker.broker, GET_MIN_OFFSET, {"topic": "old", "queueId": "0"})
                return int(answer.ext["offset"])

            wait_until(lambda: first() > 0, "old files are deleted")
            moment = int(time.time() * 1000) + 2
            wait_until(lambda: time.time() * 1000 > moment, "the clock goes on")
            recent = runner.call("send", producer=producer, message=message("old", b"recent"), mode="sync")["receipt"]
            assert recent["queue_offset"] == 300, recent
        newest = recent["queue_offset"]
        pushed: list[int] = []
        pulled: list[int] = []
        for language in world.languages:
            for begin, expected in (("first", first()), ("timestamp", 300), ("last", None)):
                settings = {"consume_from_where": begin, "consume_timestamp": str(moment)}
                groups = [world.name("group"), world.name("group")]
                # In order, so that what is told first is the first one.
                push = {"namesrv": broker.namesrv, "consume_mode": "orderly", **settings}
                with (
                    world.consumer(language, groups[0], {"old": "*"}, **push) as inbox,
                    world.puller(language, groups[1], {"old": "*"}, namesrv=broker.namesrv, **settings) as puller,
                    world.producer(language, broker.namesrv) as (runner, producer),
                ):
                    if expected is not None:
                        pushed = [inbox.take()["queue_offset"]]
                        pulled = [got["queue_offset"] for got in puller.collect({b"recent"})]
                        latest = max(expected, first()) if begin == "first" else expected
                        for found in (pushed, pulled):
                            assert expected <= found[0] <= latest, (language, begin, expected, found, latest)
                        continue
                    # It begins behind what was there when it looked, so one of these is its first.
                    before = newest
                    pushed, pulled = [], []
                    deadline = time.monotonic() + 60
                    while not pushed or not pulled:
                        assert time.monotonic() < deadline, (language, pushed, pulled)
                        probe = message("old", b"probe")
                        sent = runner.call("send", producer=producer, message=probe, mode="sync")
                        newest = sent["receipt"]["queue_offset"]
                        pulled += [got["queue_offset"] for got in puller.poll(timeout=100)]
                        try:
                            pushed.append(inbox.take(0.1)["queue_offset"])
                        except TimeoutError:
                            continue
                    assert min(pushed + pulled) > before, (language, before, pushed, pulled)
    finally:
        broker.stop()


@scenario("Batches of messages to the listener")
def listener_batches(world: World, language: str) -> None:
    """A listener gets as many messages at once as it wants, and answers for all of them."""
    topic, group = world.topic(queues=1), world.name("group")
    send_all(world, language, topic, [b"%d" % number for number in range(30)])
    settings = {"consume_from_where": "first", "consume_message_batch_max_size": "10"}
    with world.consumer(language, group, {topic: "*"}, **settings) as inbox:
        sizes = []
        while len(inbox.messages) < 30:
            event = inbox.runner.event(inbox.handle)
            inbox.messages.append(event["message"])
            sizes.append(event["batch"])
        assert max(sizes) > 1 and max(sizes) <= 10, sizes
        inbox.expect_quiet()


@scenario("Subscriptions that change while a consumer runs", brokers=EVERYWHERE)
def subscriptions_change(world: World, language: str) -> None:
    """Topics come and go and expressions change, in every way to consume; what was left goes on where it was."""
    for settings in [{}, {"consume_mode": "orderly"}, {"message_model": "broadcasting"}]:
        one, two, group = world.topic(queues=2), world.topic(queues=2), world.name("group")
        with ExitStack() as stack:
            if "message_model" in settings:
                settings = {**settings, "offset_dir": stack.enter_context(tempfile.TemporaryDirectory())}
            inbox = stack.enter_context(world.consumer(language, group, {one: "*"}, **settings))

            def change(call: str, topic: str, inbox: Inbox = inbox, **fields: str) -> None:
                inbox.runner.call(f"consumer.{call}", consumer=inbox.handle, topic=topic, **fields)

            send_all(world, language, one, [b"one"])
            inbox.wait_for({b"one"})
            change("subscribe", two, expression="a || b")
            send_all(world, language, two, [b"unwanted"], tag="x")
            send_all(world, language, two, [b"two"], tag="a")
            inbox.wait_for({b"two"})
            change("subscribe", two, expression="b || c")
            send_all(world, language, two, [b"wanted no more"], tag="a")
            send_all(world, language, two, [b"wanted now"], tag="c")
            inbox.wait_for({b"wanted now"})
            change("unsubscribe", one)
            send_all(world, language, one, [b"left", b"behind"])
            send_all(world, language, two, [b"still"], tag="b")
            inbox.wait_for({b"still"})
            change("unsubscribe", two)
            change("unsubscribe", two)
            send_all(world, language, two, [b"later"], tag="b")
            inbox.expect_quiet()
            change("subscribe", two, expression="b || c")
            change("subscribe", one, expression="*")
            inbox.wait_for({b"left", b"behind", b"later"})
            send_all(world, language, one, [b"end"])
            inbox.wait_for({b"end"})
            inbox.expect_quiet(0.5)
            wanted = [b"one", b"two", b"wanted now", b"still", b"left", b"behind", b"later", b"end"]
            came = list(inbox.bodies)
            # Its call may still run when its topic is left. The commits before and after its end are one-way, and a
            # broker with several threads may take them in either order: then it comes again, as at-least-once allows.
            if came.count(b"still") == 2:
                came.remove(b"still")
            assert sorted(came) == sorted(wanted), inbox.bodies
        try:
            change("subscribe", one, expression="*")
        except RunnerError as error:
            assert error.code == "CLOSED", error
        else:
            raise AssertionError("a closed consumer was subscribed")


@scenario("Suspend and resume a consumer")
def suspend_and_resume(world: World, language: str) -> None:
    """A suspended consumer gets nothing new and keeps its queues; after resuming nothing is missing."""
    topic = world.topic()
    with world.consumer(language, world.name("group"), {topic: "*"}) as inbox:
        send_all(world, language, topic, [b"before"])
        inbox.wait_for({b"before"})
        inbox.runner.call("consumer.suspend", consumer=inbox.handle)
        send_all(world, language, topic, [b"while"])
        inbox.expect_quiet(1.5)
        inbox.runner.call("consumer.resume", consumer=inbox.handle)
        inbox.wait_for({b"while"})


@scenario("Bounds on what is in work")
def in_flight_bound(world: World, language: str) -> None:
    """Never more messages at the listeners than the consumer allows."""
    topic, group = world.topic(), world.name("group")
    bodies = {b"%d" % number for number in range(12)}
    with world.consumer(language, group, {topic: "*"}, {"delay": 200}, max_in_flight="2") as inbox:
        began = time.monotonic()
        send_all(world, language, topic, sorted(bodies))
        inbox.wait_for(bodies)
        # 12 messages of 200 ms, two at a time: the last one cannot have started before five rounds were over.
        assert time.monotonic() - began >= 0.9


@scenario("A listener call that takes too long has failed", brokers=OURS)
def listener_timeout(world: World, language: str) -> None:
    """After the time limit the message comes again, whatever the call answers later, until it is a dead letter."""
    topic, group = world.topic(queues=1), world.name("group")
    settings = {"consume_timeout": "100ms", "max_reconsume_times": "1"}
    with world.consumer(language, group, {topic: "*"}, {"delay": 400}, **settings) as inbox:
        send_all(world, language, topic, [b"slow"])
        assert [inbox.take()["delivery_attempt"] for _ in range(2)] == [1, 2]
        with world.consumer(language, world.name("group"), {f"%DLQ%{group}": "*"}) as dead:
            dead.wait_for({b"slow"})
        inbox.expect_quiet(0.3)


@scenario("Messages a second, and calls at a time, up to a bound", brokers=OURS)
def pace_and_calls(world: World, language: str) -> None:
    """The listeners get messages no faster than is set; their calls become more while there is work, up to the most."""
    topic = world.topic(queues=2)
    send_all(world, language, topic, [b"%d" % number for number in range(12)])
    start = {"consume_from_where": "first"}
    pace = {"max_messages_per_second": "15", **start}
    began = time.monotonic()
    with world.consumer(language, world.name("group"), {topic: "*"}, {"async": True}, **pace) as inbox:
        while len(inbox.messages) < 12:
            inbox.take()
        # Eleven pauses of 67 ms, less what may be caught up; a machine can only add to them.
        assert time.monotonic() - began >= 0.5
    stuck = {"hang": True, "async": language in ("python", "node", "dotnet")}
    threads = {"consume_thread_min": "1", "consume_thread_max": "3", "close_timeout": "10ms"}
    try:
        with world.consumer(language, world.name("group"), {topic: "*"}, stuck, **threads, **start) as inbox:
            for _ in range(3):
                inbox.take()
            inbox.expect_quiet(0.3)
    except RunnerError as error:
        assert error.code == "TIMEOUT", error


@scenario("Dead letters are read and sent again")
def dead_letters_again(world: World, language: str) -> None:
    """The dead letters of a group are read with their origin, and go back to their topic."""
    topic, group = world.topic(), world.name("group")
    with world.consumer(language, group, {topic: "*"}, {"later_first": 2}, max_reconsume_times="1") as inbox:
        send_all(world, language, topic, [b"poison"])
        for _ in range(2):
            inbox.take()
        with world.client(language) as (runner, client):
            ask = {"client": client, "group": group, "max": 10}
            deadline = time.monotonic() + 30
            while not (found := runner.call("dead_letters.read", **ask)["messages"]):
                assert time.monotonic() < deadline, "no dead letter came"
            assert [body_of(letter) for letter in found] == [b"poison"], found
            assert len(runner.call("dead_letters.resend", **ask)["receipts"]) == 1
        again = inbox.take()
        assert body_of(again) == b"poison" and again["topic"] == topic, again


@scenario("Time that tests move")
def movable_clock(world: World, language: str) -> None:
    """Delayed messages and retries of an embedded broker come when its clock is moved, not before."""
    with world.own_broker(language) as (runner, broker, address):
        runner.call("broker.create_topic", broker=broker, topic="Later", queues=1)
        with world.client(language, address) as (_, client):
            opened = {"client": client, "group": "hours", "settings": {}}
            runner.call("producer.open", producer="hours", **opened)
            behaviour = {"later_first": 1, "later_level": 18}
            runner.call("consumer.open", consumer="hours", subscriptions={"Later": "*"}, behaviour=behaviour, **opened)
            inbox = Inbox(runner, "hours")
            sent = message("Later", b"two hours", delay_level=18)
            runner.call("send", producer="hours", message=sent, mode="sync")
            inbox.expect_quiet()
            runner.call("broker.advance_clock", broker=broker, by=2 * 3600 * 1000 + 1000)
            assert inbox.take()["delivery_attempt"] == 1
            inbox.expect_quiet(2)  # the retry, too, is two hours away
            runner.call("broker.advance_clock", broker=broker, by=2 * 3600 * 1000 + 1000)
            assert inbox.take()["delivery_attempt"] == 2
