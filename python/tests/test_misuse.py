"""What is of a wrong kind is refused at once, with words that say so."""

import asyncio
import logging

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
