"""Pull consumers and dead letters: positions of one's own, polling, iteration, cancellation."""

import asyncio
import itertools
import threading
from datetime import datetime, timezone

import libmq
import pytest
from libmq import ConsumeResult, Message, MessageQueue, aio
from support import Inbox, eventually, fresh


def fill(client, topic, count):
    """Send as many messages to each queue; give the queues."""
    producer = client.producer()
    queues = producer.queues(topic)
    for queue, number in itertools.product(queues, range(count)):
        producer.send(Message(topic, b"%d-%d" % (queue.queue_id, number)), queue=queue)
    return queues


def collect(consumer, count):
    """Poll until as many messages have come."""
    found = []
    eventually(lambda: found.extend(consumer.poll(0.5)) or len(found) >= count, f"{count} messages")
    return found


def test_what_was_committed_is_not_given_again(client, topic, group):
    fill(client, topic, 3)
    with client.pull_consumer(group, {topic: "*"}, consume_from_where="first", auto_commit=False) as consumer:
        assert len(consumer.assignment) == 4
        assert len({message.message_id for message in collect(consumer, 12)}) == 12
        consumer.commit()
    with client.pull_consumer(group, {topic: "*"}, consume_from_where="first") as consumer:
        assert consumer.poll(0.5) == []
        client.producer().send(Message(topic, b"new"))
        assert [message.body for message in collect(consumer, 1)] == [b"new"]


def test_queues_and_positions_of_ones_choice(client, topic, group):
    queues = fill(client, topic, 10)
    with client.pull_consumer(group) as consumer:
        assert consumer.queues(topic) == queues and isinstance(queues[0], MessageQueue)
        consumer.assign(queues[:1])
        consumer.seek(queues[0], "begin")
        found = collect(consumer, 10)
        assert [message.queue_offset for message in found] == list(range(10))
        assert {message.queue for message in found} == {queues[0]}
        assert consumer.position(queues[0]) == 10
        consumer.seek(queues[0], 8)
        assert [message.body for message in collect(consumer, 2)] == [b"0-8", b"0-9"]
        consumer.commit({queues[0]: 4})
        assert consumer.committed(queues[0]) == 4
        born = found[0].store_timestamp
        assert consumer.offset_for_time(queues[0], born - 10_000) == 0
        consumer.seek(queues[0], datetime.fromtimestamp(born / 1000 - 10, timezone.utc))
        assert collect(consumer, 10)[0].queue_offset == 0
        consumer.seek(queues[0], "end")
        assert consumer.poll(0.2) == []
        with pytest.raises(libmq.Error) as caught:
            consumer.seek(queues[1], 0)
        assert caught.value.name == "STATE"
        with pytest.raises(libmq.ArgumentError):
            consumer.seek(queues[0], -5)
        with pytest.raises(libmq.ArgumentError, match="middle"):
            consumer.seek(queues[0], "middle")


def test_paused_queues_give_nothing(client, topic, group):
    queues = client.producer().queues(topic)
    with client.pull_consumer(group, {topic: "*"}) as consumer:
        consumer.pause(queues[1:])
        fill(client, topic, 1)
        assert [message.queue_id for message in collect(consumer, 1)] == [0]
        assert consumer.poll(0.3) == []
        consumer.resume(queues)
        assert {message.queue_id for message in collect(consumer, 3)} == {1, 2, 3}


def test_iteration_goes_on_where_it_ended_and_ends_with_the_consumer(client, topic, group):
    fill(client, topic, 5)
    consumer = client.pull_consumer(group, {topic: "*"}, consume_from_where="first")
    some = [message.message_id for message in itertools.islice(consumer, 7)]
    rest = [message.message_id for message in itertools.islice(consumer, 13)]
    assert len(set(some + rest)) == 20
    threading.Timer(0.2, consumer.close).start()
    assert list(consumer) == []
    consumer.close()
    with pytest.raises(libmq.ClosedError):
        consumer.poll()


def test_what_is_subscribed_can_change(client, broker, topic, group):
    other = fresh("topic")
    broker.create_topic(other, queues=1)
    with client.pull_consumer(group, {topic: "*"}) as consumer:
        consumer.subscribe(other, "a || b")
        client.producer().send([Message(other, b"a", tag="a")])
        client.producer().send([Message(other, b"c", tag="c")])
        client.producer().send([Message(other, b"b", tag="b")])
        assert [message.body for message in collect(consumer, 2)] == [b"a", b"b"]
        consumer.unsubscribe(other)
        eventually(lambda: all(queue.topic == topic for queue in consumer.assignment))
        with pytest.raises(libmq.ArgumentError):
            consumer.subscribe("a b")


def test_watchers_are_told_of_queues_that_come_and_go(client, broker, topic, group):
    changes = []
    with client.pull_consumer(group, {topic: "*"}) as consumer:
        consumer.on_queue_change(topic, changes.append)
        with libmq.Client(broker.address) as other, other.pull_consumer(group, {topic: "*"}):
            eventually(lambda: any(len(change.assigned) == 2 for change in changes), "the share of two")
        eventually(lambda: len(changes[-1].assigned) == 4, "the share of one")
        assert changes[-1].topic == topic and len(changes[-1].queues) == 4
        with pytest.raises(libmq.NotFoundError):
            consumer.on_queue_change(fresh("nowhere"), changes.append)


def test_a_watcher_may_fail(client, broker, topic, group, caplog):
    def fail(change):
        raise ValueError("not today")

    with client.pull_consumer(group, {topic: "*"}) as consumer:
        consumer.on_queue_change(topic, fail)
        with libmq.Client(broker.address) as other, other.pull_consumer(group, {topic: "*"}):
            eventually(lambda: "not today" in caplog.text)


def test_settings_and_names_are_checked(client, topic):
    with pytest.raises(libmq.ConfigError, match="auto_commit"):
        client.pull_consumer("g", auto_comit=False)
    with pytest.raises(libmq.ArgumentError):
        client.pull_consumer("a b")
    with pytest.raises(ValueError):
        client.pull_consumer("g").assign([(topic, 1)])
    with pytest.raises(TypeError):
        client.pull_consumer("g").poll("1")


async def test_asyncio_polls_and_iterates(broker, client, topic):
    queues, group = fill(client, topic, 5), fresh("group")
    async with aio.Client(broker.address) as own:
        found = []
        consumer = own.pull_consumer(group, {topic: "*"}, consume_from_where="first", auto_commit=False)
        async for message in consumer:
            found.append(message.message_id)
            if len(found) == 7:
                break
        while len(found) < 20:
            found += [message.message_id for message in await consumer.poll(1)]
        assert len(set(found)) == 20
        await consumer.commit()
        await consumer.commit({queues[0]: 2})
        assert [await consumer.committed(queue) for queue in queues] == [2, 5, 5, 5]
        assert await consumer.position(queues[1]) == 5
        await consumer.seek(queues[1], 3)
        assert [message.queue_offset for message in await consumer.poll(5)] == [3, 4]
        consumer.pause(queues)
        consumer.resume(queues)
        await consumer.seek(queues[2], "begin")
        assert (await consumer.poll(5))[0].queue_id == 2
        await consumer.seek(queues[2], "end")
        await consumer.seek(queues[2], datetime(2020, 1, 1))
        assert await consumer.offset_for_time(queues[2], 0) == 0
        await consumer.close()
        with pytest.raises(libmq.ClosedError):
            await consumer.poll()
        assert [message async for message in consumer] == []


async def test_asyncio_takes_queues_by_hand_and_watches(broker, topic):
    changes, group = [], fresh("group")
    async with aio.Client(broker.address) as client:
        async with client.pull_consumer(group) as consumer:
            queues = await consumer.queues(topic)
            await consumer.assign(queues[2:])
            assert consumer.assignment == queues[2:]
        async with client.pull_consumer(group) as consumer:
            await consumer.subscribe(topic)
            await consumer.on_queue_change(topic, changes.append)
            async with aio.Client(broker.address) as other, other.pull_consumer(group, {topic: "*"}):
                while not any(len(change.assigned) == 2 for change in changes):
                    await asyncio.sleep(0.01)
            await consumer.unsubscribe(topic)


async def test_a_cancelled_poll_loses_nothing(broker, client, topic):
    async with aio.Client(broker.address) as own, own.pull_consumer(fresh("group"), {topic: "*"}) as consumer:
        for number in range(5):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(consumer.poll(30), 0.05)
            await asyncio.to_thread(client.producer().send, Message(topic, b"%d" % number))
            assert [message.body for message in await consumer.poll(30)] == [b"%d" % number]


def refuse(client, topic, group, count):
    """Have as many messages become dead letters of the group."""
    inbox = Inbox()

    def listen(message):
        inbox.put(message)
        return ConsumeResult.later(-1)

    with client.push_consumer(group, {topic: "*"}, listener=listen, consume_from_where="first"):
        for number in range(count):
            client.producer().send(Message(topic, b"%d" % number, tag="bad", keys=["k"], properties={"a": "b"}))
        inbox.wait(count)


def read(letters, count):
    found = []
    eventually(lambda: found.extend(letters.read(2)) or len(found) >= count, f"{count} dead letters")
    return found


def test_dead_letters_are_read_and_sent_again(client, topic, group):
    refuse(client, topic, group, 3)
    letters = client.dead_letters(group)
    found = read(letters, 3)
    assert sorted(letter.body for letter in found) == [b"0", b"1", b"2"]
    assert letters.read() == []
    letters.rewind()
    assert read(letters, 3)[0].message_id == found[0].message_id
    inbox = Inbox()
    with client.push_consumer(group, {topic: "*"}, listener=inbox.put):
        for letter in found:
            assert letters.resend(letter).topic == topic
        again = inbox.wait(3)[0]
    assert (again.topic, again.tag, again.keys, again.properties["a"]) == (topic, "bad", ["k"], "b")


async def test_asyncio_reads_dead_letters(broker, client, topic, group):
    await asyncio.to_thread(refuse, client, topic, group, 1)
    async with aio.Client(broker.address) as own:
        letters = own.dead_letters(group)
        while not (found := await letters.read()):
            await asyncio.sleep(0.01)
        await letters.rewind()
        assert [letter.body for letter in await letters.read(1)] == [b"0"]
        assert (await letters.resend(found[0])).topic == topic


def test_a_group_without_dead_letters(client):
    assert client.dead_letters(fresh("group")).read() == []
    with pytest.raises(libmq.ArgumentError):
        client.dead_letters("a b")
