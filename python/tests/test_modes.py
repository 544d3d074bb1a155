"""Ways to consume: in order, broadcast, in lists, suspended; and what consumers warn of."""

import asyncio
import itertools
import logging
import threading

import libmq
import pytest
from libmq import ConsumeResult, Message, aio
from support import Inbox, eventually, fresh


def fill(client, topic, count):
    """Send as many messages to one queue, numbered from 0."""
    producer = client.producer()
    queue = producer.queues(topic)[0]
    for number in range(count):
        producer.send(Message(topic, b"%d" % number), queue=queue)
    return queue


def test_an_orderly_queue_waits_for_what_was_suspended(client, topic, group):
    fill(client, topic, 5)
    inbox = Inbox()

    def suspend_once(message):
        inbox.put(message)
        return ConsumeResult.suspend(0.05) if inbox.bodies.count(message.body) == 1 else None

    settings = {"consume_mode": "orderly", "consume_from_where": "first"}
    with client.push_consumer(group, {topic: "*"}, listener=suspend_once, **settings):
        inbox.wait(10)
    assert inbox.bodies == [b"%d" % number for number in range(5) for _ in range(2)]


def test_a_list_is_not_overtaken_by_its_rest(client, topic, group):
    fill(client, topic, 8)
    inbox = Inbox()

    def fail_once(message):
        inbox.put(message)
        if message.body == b"2" and inbox.bodies.count(b"2") == 1:
            return ConsumeResult.SUSPEND
        return ConsumeResult.SUCCESS

    settings = {"consume_mode": "orderly", "consume_from_where": "first", "suspend_current_queue_time": "20"}
    with client.push_consumer(group, {topic: "*"}, listener=fail_once, consume_message_batch_max_size=4, **settings):
        eventually(lambda: b"7" in inbox.bodies)
    first_two = inbox.bodies.index(b"2")
    assert inbox.bodies[first_two + 1] != b"3"
    assert inbox.bodies[-6:] == [b"2", b"3", b"4", b"5", b"6", b"7"]


def test_a_listener_of_lists_answers_for_all(client, topic, group):
    fill(client, topic, 30)
    lists = []

    def listen(messages):
        lists.append([message.body for message in messages])

    settings = {"consume_from_where": "first", "consume_message_batch_max_size": 10}
    with client.push_consumer(group, {topic: "*"}, batch_listener=listen, **settings) as consumer:
        eventually(lambda: sum(map(len, lists)) == 30)
        assert [queue.queue_id for queue in consumer.assignment if queue.topic == topic] == [0, 1, 2, 3]
    assert 1 < max(map(len, lists)) <= 10
    assert consumer.assignment == []


def queues_of(consumer, topic):
    return sum(queue.topic == topic for queue in consumer.assignment)


def test_subscriptions_change_while_it_runs(client, broker, topic, group):
    inbox, other, producer = Inbox(), fresh("topic"), client.producer()
    broker.create_topic(other, queues=2)
    with client.push_consumer(group, {topic: "*"}, listener=inbox.put) as consumer:
        consumer.subscribe(other, "a")
        assert (queues_of(consumer, topic), queues_of(consumer, other)) == (4, 2)
        producer.send(Message(other, b"not wanted", tag="x"))
        producer.send(Message(other, b"a", tag="a"))
        inbox.wait(1)
        consumer.subscribe(other, "b || c")
        producer.send(Message(other, b"not wanted any more", tag="a"))
        producer.send(Message(other, b"b", tag="b"))
        inbox.wait(2)
        consumer.unsubscribe(topic)
        consumer.unsubscribe(other)
        consumer.unsubscribe(other)
        assert (queues_of(consumer, topic), queues_of(consumer, other)) == (0, 0)
        producer.send(Message(topic, b"meanwhile"))
        consumer.subscribe(topic)
        inbox.wait(3)
        for illegal, expression in [("a b", "*"), (topic, " || "), (f"%RETRY%{group}", "*")]:
            with pytest.raises(libmq.ArgumentError):
                consumer.subscribe(illegal, expression)
    assert inbox.bodies == [b"a", b"b", b"meanwhile"]
    for change in (consumer.subscribe, consumer.unsubscribe):
        with pytest.raises(libmq.ClosedError):
            change(topic)


def test_a_listener_may_change_the_subscriptions(client, broker, topic, group):
    inbox, other = Inbox(), fresh("topic")
    broker.create_topic(other, queues=2)
    consumer = client.push_consumer(group, {topic: "*"})

    @consumer.listen
    def move_on(message):
        if message.topic == topic:
            consumer.subscribe(other)
            consumer.unsubscribe(topic)
        inbox.put(message)

    with consumer:
        client.producer().send(Message(topic, b"one"))
        inbox.wait(1)
        eventually(lambda: (queues_of(consumer, topic), queues_of(consumer, other)) == (0, 2))
        client.producer().send(Message(other, b"two"))
        assert [message.topic for message in inbox.wait(2)] == [topic, other]


def test_subscriptions_change_while_it_runs_in_asyncio(broker, topic, group):
    other = fresh("topic")
    broker.create_topic(other, queues=2)

    async def play():
        bodies = asyncio.Queue()
        async with aio.Client(broker.address) as client:
            consumer = client.push_consumer(group, {topic: "*"})
            producer = client.producer()

            @consumer.listen
            async def listen(message):
                await bodies.put(message.body)

            async with consumer:
                await consumer.subscribe(other, "a")
                await consumer.unsubscribe(topic)
                assert (queues_of(consumer, topic), queues_of(consumer, other)) == (0, 2)
                await producer.send(Message(topic, b"nobody's"))
                await producer.send(Message(other, b"not wanted", tag="b"))
                await producer.send(Message(other, b"a", tag="a"))
                assert await asyncio.wait_for(bodies.get(), 30) == b"a"
                with pytest.raises(libmq.ArgumentError):
                    await consumer.subscribe("a b")
            with pytest.raises(libmq.ClosedError):
                await consumer.subscribe(topic)
            with pytest.raises(libmq.ClosedError):
                await consumer.unsubscribe(topic)
            assert bodies.empty()

    asyncio.run(play())


def test_a_suspended_consumer_rests(client, topic, group):
    inbox = Inbox()
    with client.push_consumer(group, {topic: "*"}, listener=inbox.put) as consumer:
        client.producer().send(Message(topic, b"before"))
        inbox.wait()
        consumer.suspend()
        consumer.suspend()
        consumer.resume()
        client.producer().send(Message(topic, b"after"))
        assert inbox.wait(2)[1].body == b"after"
    consumer.suspend()  # closed: nothing to suspend


def test_broadcasting_keeps_offsets_in_a_folder_and_warns_of_what_it_drops(client, broker, topic, group, tmp_path):
    one, two, warnings = Inbox(), Inbox(), []
    settings = {"message_model": "broadcasting", "consume_from_where": "first"}

    def fail(message):
        one.put(message)
        raise ValueError("not today")

    failing = {"listener": fail, "on_warning": warnings.append, "offset_dir": str(tmp_path / "one")}
    with (
        client.push_consumer(group, {topic: "*"}, **failing, **settings),
        libmq.Client(broker.address) as other,
        other.push_consumer(group, {topic: "*"}, listener=two.put, offset_dir=str(tmp_path / "two"), **settings),
    ):
        client.producer().send(Message(topic, b"to everyone"))
        one.wait()
        two.wait()
        warning = eventually(lambda: warnings and warnings[0])
    assert warning.name == "MESSAGE_DROPPED" and two.messages[0].message_id in warning.message
    assert list((tmp_path / "one").rglob("*")) and list((tmp_path / "two").rglob("*"))
    with pytest.raises(libmq.Error, match="offset_dir"):
        client.push_consumer(group, {topic: "*"}, listener=two.put, message_model="broadcasting").start()


@pytest.mark.parametrize("own", [{}, {"on_warning": lambda warning: 1 / 0}])
def test_warnings_that_no_callback_takes_are_logged(client, topic, group, tmp_path, caplog, own):
    done = threading.Event()

    def fail(message):
        done.set()
        raise ValueError("not today")

    settings = {"message_model": "broadcasting", "consume_from_where": "first", "offset_dir": str(tmp_path)}
    with (
        caplog.at_level(logging.WARNING, "libmq"),
        client.push_consumer(group, {topic: "*"}, listener=fail, **settings),
    ):
        client.producer().send(Message(topic, b"x"))
        assert done.wait(30)
        eventually(lambda: any("MESSAGE_DROPPED" in record.getMessage() for record in caplog.records))


async def test_asyncio_has_it_all(broker, topic, tmp_path):
    lists, warnings = [], []
    async with aio.Client(broker.address) as client:
        producer = client.producer()
        queue = (await producer.queues(topic))[0]
        for number in range(12):
            await producer.send(Message(topic, b"%d" % number), queue=queue)
        settings = {"consume_mode": "orderly", "consume_from_where": "first", "consume_message_batch_max_size": 4}
        consumer = client.push_consumer(fresh("group"), {topic: "*"}, **settings)

        @consumer.listen_batch
        async def handle(messages):
            await asyncio.sleep(0)
            lists.append([int(message.body) for message in messages])
            return ConsumeResult.suspend(0.02) if len(lists) == 1 else None

        async with consumer:
            while sum(map(len, lists)) < 12 + len(lists[0] if lists else []):
                await asyncio.sleep(0.01)
            assert [queue.queue_id for queue in consumer.assignment if queue.topic == topic] == [0, 1, 2, 3]
            consumer.suspend()
            consumer.resume()
        assert lists[0][0] == lists[1][0] == 0 and [*itertools.chain(*lists[1:])] == list(range(12))

        async def fail(message):
            raise ValueError("not today")

        broadcast = {"message_model": "broadcasting", "offset_dir": str(tmp_path), "on_warning": warnings.append}
        async with client.push_consumer(
            fresh("group"), {topic: "*"}, listener=fail, consume_from_where="first", **broadcast
        ):
            while not warnings:
                await asyncio.sleep(0.01)
        assert warnings[0].name == "MESSAGE_DROPPED"
