"""What is of a wrong kind is refused at once, with words that say so."""

import asyncio
import functools
import logging
import queue
from datetime import date, timedelta

import libmq
import pytest
from libmq import aio
from support import fresh


@pytest.mark.parametrize("address", [5, [1], b"127.0.0.1:9876", {"host": 1}])
def test_addresses_are_texts(address):
    for kind in (libmq.Client, aio.Client):
        with pytest.raises(TypeError, match="namesrv is"):
            kind(address)


@pytest.mark.parametrize("value", [b"name", {"a": 1}, object()])
def test_settings_have_values_that_mean_something(client, value):
    with pytest.raises(TypeError, match="'instance_name'"):
        libmq.Client("127.0.0.1:9", instance_name=value)


@pytest.mark.parametrize("what", [5, "print", ["f"]])
def test_callbacks_can_be_called(client, group, what):
    with pytest.raises(TypeError, match="listener is"):
        client.push_consumer(group, {"t": "*"}, listener=what)
    with pytest.raises(TypeError, match="listener is"):
        client.push_consumer(group, {"t": "*"}, batch_listener=what)
    with pytest.raises(TypeError, match="on_warning is"):
        client.push_consumer(group, {"t": "*"}, on_warning=what)
    with pytest.raises(TypeError, match="listener is"):
        client.push_consumer(group, {"t": "*"}).listen(what)
    with client.pull_consumer(group) as consumer, pytest.raises(TypeError, match="listener is"):
        consumer.on_queue_change("t", what)


async def test_callbacks_of_asyncio_can_be_called(broker, group):
    async with aio.Client(broker.address) as client:
        for arguments in ({"listener": 5}, {"batch_listener": 5}, {"on_warning": 5}):
            with pytest.raises(TypeError, match="is 5"):
                client.push_consumer(group, {"t": "*"}, **arguments)
        async with client.pull_consumer(group) as consumer:
            with pytest.raises(TypeError, match="is 5"):
                await consumer.on_queue_change("t", 5)


@pytest.mark.parametrize("level", ["x", 1.5, True])
def test_delay_levels_are_numbers(level):
    with pytest.raises(TypeError, match=f"delay level is {level!r}"):
        libmq.ConsumeResult.later(level)


@pytest.mark.parametrize("level", [-2, 1 << 31])
def test_delay_levels_can_be_told_to_a_broker(level):
    with pytest.raises(libmq.ArgumentError, match=str(level)):
        libmq.ConsumeResult.later(level)


def test_rests_are_times():
    for wrong in ("soon", True):
        with pytest.raises(TypeError, match="duration is"):
            libmq.ConsumeResult.suspend(wrong)
    for wrong in (float("nan"), -1, timedelta(seconds=-1)):
        with pytest.raises(libmq.ArgumentError, match="duration is"):
            libmq.ConsumeResult.suspend(wrong)
    assert libmq.ConsumeResult.suspend(timedelta(seconds=1)).duration == timedelta(seconds=1)


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_answer_that_cannot_be_told_is_the_listeners_failure(broker, topic, group, caplog, is_async):
    """It must not end the thread that others count on."""
    attempts = queue.Queue()

    def listener(message):
        attempts.put(message.delivery_attempt)
        return libmq.ConsumeResult.later("soon") if message.delivery_attempt == 1 else None

    async def async_listener(message):
        return listener(message)

    settings = {"consume_from_where": "first", "consume_mode": "orderly", "suspend_current_queue_time": "20ms"}
    with libmq.Client(broker.address) as client:
        for _ in range(3):
            client.producer().send(libmq.Message(topic, b"x", message_group="one"))
        take = functools.partial(asyncio.get_running_loop().run_in_executor, None, attempts.get, True, 20)
        if is_async:
            async with (
                aio.Client(broker.address) as other,
                other.push_consumer(group, {topic: "*"}, listener=async_listener, **settings),
            ):
                assert [await take() for _ in range(6)] == [1, 2, 1, 2, 1, 2]
        else:
            with client.push_consumer(group, {topic: "*"}, listener=listener, threads=1, **settings):
                assert [await take() for _ in range(6)] == [1, 2, 1, 2, 1, 2]
    assert "delay level is 'soon'" in caplog.text


@pytest.mark.parametrize("place", [1.5, None, date(2026, 1, 31), 1 << 80, [1]])
def test_places_in_a_queue_are_what_they_must_be(client, topic, group, place):
    with client.pull_consumer(group) as consumer:
        (first, *_) = queues = consumer.queues(topic)
        consumer.assign(queues)
        with pytest.raises(TypeError, match="no place in a queue"):
            consumer.seek(first, place)
        with pytest.raises(TypeError, match="the time is"):
            consumer.offset_for_time(first, place)


def test_levels_may_be_names():
    with pytest.raises(ValueError, match="'LOUD'"):
        libmq.enable_logging("LOUD")
    try:
        libmq.enable_logging("warning")
        libmq.enable_logging(logging.INFO)
    finally:
        libmq.disable_logging()


def test_a_closed_pull_consumer_starts_no_more(client, topic, group):
    consumer = client.pull_consumer(group, {topic: "*"})
    consumer.start()
    consumer.close()
    with pytest.raises(libmq.ClosedError):
        consumer.start()
    assert list(consumer) == []


async def test_a_poll_keeps_to_its_time_after_a_cancelled_one(broker):
    topic, group = fresh("topic"), fresh("group")
    broker.create_topic(topic, queues=1)
    async with aio.Client(broker.address) as client, client.pull_consumer(group, {topic: "*"}) as consumer:
        long = asyncio.ensure_future(consumer.poll(300))
        await asyncio.sleep(0)
        while consumer._polling is None:
            await asyncio.sleep(0.01)
        long.cancel()
        with pytest.raises(asyncio.CancelledError):
            await long
        assert await asyncio.wait_for(consumer.poll(0.05), 60) == []
        await client.producer().send(libmq.Message(topic, b"then"))
        assert [message.body for message in await consumer.poll(60)] == [b"then"]
