"""The asynchronous API: the same promises, and what only asyncio has: cancelling, gathering, other loops."""

import asyncio
import gc

import libmq
import pytest
from libmq import ConsumeResult, Message, aio, testing
from support import PATIENCE, fresh


@pytest.fixture
async def client(broker):
    async with aio.Client(broker.address) as client:
        yield client


class Inbox:
    """Collects what a listener gets."""

    def __init__(self):
        self.messages = []
        self.changed = asyncio.Condition()

    async def put(self, message):
        async with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    async def wait(self, count=1):
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.messages) >= count), PATIENCE)
        return self.messages

    @property
    def bodies(self):
        return [message.body for message in self.messages]


def consume(client, group, topic, **settings):
    return client.push_consumer(group, {topic: "*"}, consume_from_where="first", **settings)


async def test_send_and_consume(client, topic, group):
    inbox = Inbox()
    consumer = consume(client, group, topic)

    @consumer.listen
    async def handle(message):
        await asyncio.sleep(0)
        await inbox.put(message)

    async with consumer, client.producer("p") as producer:
        await consumer.start()
        receipt = await producer.send(Message(topic, b"x", tag="t"))
        (got,) = await inbox.wait()
    assert (got.message_id, got.body, got.tag) == (receipt.message_id, b"x", "t")


async def test_many_at_once_resolve_each_with_its_own_receipt(client, topic):
    producer = client.producer("p")
    receipts = await asyncio.gather(*(producer.send(Message(topic, b"x")) for _ in range(3000)))
    assert len({receipt.message_id for receipt in receipts}) == 3000


async def test_more_than_the_bound_wait_their_turn(client, topic):
    producer = client.producer("p", async_send_max=8)
    tasks = [asyncio.create_task(producer.send(Message(topic, b"x"))) for _ in range(300)]
    await asyncio.sleep(0)
    for task in tasks[8:200]:
        task.cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
    assert sum(isinstance(result, libmq.SendReceipt) for result in results) >= 108


async def test_lists_and_oneway(client, topic, group):
    inbox = Inbox()
    producer = client.producer("p")
    async with consume(client, group, topic, listener=inbox.put):
        receipt = await producer.send([Message(topic, b"1"), Message(topic, b"2")])
        assert receipt.status is libmq.SendStatus.OK
        assert await producer.send_oneway(Message(topic, b"3")) is None
        await inbox.wait(3)
    assert sorted(inbox.bodies) == [b"1", b"2", b"3"]


async def test_errors_are_the_same(client, topic):
    producer = client.producer("p")
    with pytest.raises(libmq.TooLargeError):
        await producer.send(Message(topic, bytes(5 << 20)))
    with pytest.raises(TypeError):
        await producer.send("text")
    with pytest.raises(libmq.ArgumentError):
        await producer.send([])
    with pytest.raises(ValueError):
        await producer.send(Message(topic, b"x"), timeout=-1)
    await producer.close()
    await producer.close()
    with pytest.raises(libmq.ClosedError):
        await producer.send(Message(topic, b"x"))


async def test_a_send_to_nowhere():
    async with aio.Client("127.0.0.1:1") as client:
        with pytest.raises(libmq.Error) as caught:
            await client.producer("p").send(Message("t", b"x"), timeout=2)
        assert caught.value.name in ("NETWORK", "TIMEOUT", "NOT_FOUND")


async def test_cancelling_a_send(client, topic):
    producer = client.producer("p")
    sends = [asyncio.ensure_future(producer.send(Message(topic, b"x"))) for _ in range(100)]
    await asyncio.sleep(0)
    for send in sends:
        send.cancel()
    results = await asyncio.gather(*sends, return_exceptions=True)
    assert {type(result) for result in results} <= {asyncio.CancelledError, libmq.SendReceipt}
    assert (await producer.send(Message(topic, b"x"))).status is libmq.SendStatus.OK


@pytest.mark.parametrize("later", [ConsumeResult.LATER, RuntimeError("listener"), "text"])
async def test_what_is_not_done_comes_again(client, topic, group, caplog, later):
    inbox = Inbox()

    async def handle(message):
        await inbox.put(message)
        if message.delivery_attempt > 1:
            return None
        if isinstance(later, Exception):
            raise later
        return later

    async with consume(client, group, topic, listener=handle):
        await client.producer("p").send(Message(topic, b"x"))
        first, second = await inbox.wait(2)
    assert (first.message_id, second.delivery_attempt) == (second.message_id, 2)
    assert any(record.name == "libmq" for record in caplog.records) != isinstance(later, ConsumeResult)


async def test_a_listener_that_is_not_async_is_told_so(client, topic, group, caplog):
    inbox = Inbox()
    attempts = []

    def handle(message):
        attempts.append(message)
        return inbox.put(message) if len(attempts) > 1 else None

    async with consume(client, group, topic, listener=handle):
        await client.producer("p").send(Message(topic, b"x"))
        await inbox.wait()
    assert "async def" in caplog.text


async def test_listeners_run_side_by_side_up_to_the_setting(client, topic, group):
    running, most, inbox = 0, 0, Inbox()

    async def handle(message):
        nonlocal running, most
        running += 1
        most = max(most, running)
        while most < 5:
            await asyncio.sleep(0.001)
        running -= 1
        await inbox.put(message)

    async with consume(client, group, topic, listener=handle, consume_thread_max=5, consume_thread_min=5):
        producer = client.producer("p")
        await asyncio.gather(*(producer.send(Message(topic, b"x")) for _ in range(50)))
        await inbox.wait(50)
    assert most == 5


async def test_closing_waits_for_the_listener_or_cancels_it(client, topic, group):
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(message):
        entered.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    consumer = consume(client, group, topic, listener=handle)
    await consumer.start()
    await client.producer("p").send(Message(topic, b"x"))
    await asyncio.wait_for(entered.wait(), PATIENCE)
    with pytest.raises(libmq.TimeoutError):
        await consumer.close(timeout=0.2)
    await asyncio.wait_for(cancelled.wait(), PATIENCE)
    inbox = Inbox()
    async with consume(client, group, topic, listener=inbox.put):
        await inbox.wait()
    assert inbox.bodies == [b"x"]


async def test_run_ends_when_it_is_cancelled_or_closed(client, topic, group):
    inbox = Inbox()
    producer = client.producer("p")
    consumer = consume(client, group, topic, listener=inbox.put)
    running = asyncio.create_task(consumer.run())
    await producer.send(Message(topic, b"x"))
    await inbox.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(libmq.ClosedError):
        await consumer.start()
    consumer = consume(client, group, topic, listener=inbox.put)
    running = asyncio.create_task(consumer.run())
    await producer.send(Message(topic, b"y"))
    await inbox.wait(2)
    await consumer.close()
    await asyncio.wait_for(running, PATIENCE)


async def test_a_listener_may_close_its_consumer_and_its_client(broker, topic, group):
    client = aio.Client(broker.address)
    consumer = consume(client, group, topic)

    @consumer.listen
    async def handle(message):
        await consumer.close()
        await client.close()

    await client.producer("p").send(Message(topic, b"x"))
    await asyncio.wait_for(consumer.run(), PATIENCE)
    await client.close()


async def test_a_client_and_what_it_made_may_be_closed_at_once(broker, topic):
    async def done(message):
        pass

    for _ in range(6):
        client = aio.Client(broker.address)
        pulling = [client.pull_consumer(fresh("group"), {topic: "*"}) for _ in range(5)]
        pushing = [consume(client, fresh("group"), topic, listener=done) for _ in range(5)]
        all_of_them = [*pulling, *pushing, client.producer("p")]
        await asyncio.gather(*(consumer.start() for consumer in pulling + pushing))
        await asyncio.gather(*(one.close() for one in all_of_them), client.close())


async def test_closing_while_busy_resolves_every_send(broker, topic):
    client = aio.Client(broker.address)
    producer = client.producer("p")
    sends = [asyncio.ensure_future(producer.send(Message(topic, b"x" * 1000))) for _ in range(2000)]
    await asyncio.sleep(0)
    await client.close()
    results = await asyncio.wait_for(asyncio.gather(*sends, return_exceptions=True), PATIENCE)
    assert {type(result) for result in results} <= {libmq.SendReceipt, libmq.ClosedError}
    with pytest.raises(libmq.ClosedError):
        await producer.send(Message(topic, b"x"))


async def test_closing_from_many_tasks_at_once(broker):
    client = aio.Client(broker.address)
    await asyncio.wait_for(asyncio.gather(*(client.close() for _ in range(5))), PATIENCE)
    await client.close()


def test_a_client_belongs_to_one_loop(broker, topic):
    client = aio.Client(broker.address)
    producer = client.producer("p")
    asyncio.run(producer.send(Message(topic, b"x")))
    with pytest.raises(libmq.Error, match="event loop") as caught:
        asyncio.run(producer.send(Message(topic, b"x")))
    assert caught.value.name == "STATE"
    client._close_now(3)


def test_a_loop_that_ends_with_sends_under_way(broker, topic):
    client = aio.Client(broker.address)

    async def leave():
        producer = client.producer("p")
        sends = [asyncio.ensure_future(producer.send(Message(topic, b"x"))) for _ in range(100)]
        await asyncio.sleep(0)
        assert sends

    asyncio.run(leave())
    client._close_now(3)
    gc.collect()


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """A loop that watches no file descriptors of others, as some platforms' loops."""

    def add_reader(self, fd, callback, *args):
        raise NotImplementedError

    def remove_reader(self, fd):
        raise NotImplementedError


def test_a_loop_without_readers(broker, topic):
    async def work():
        inbox = Inbox()
        async with aio.Client(broker.address) as client:
            producer = client.producer("p")
            async with consume(client, fresh("group"), topic, listener=inbox.put):
                await asyncio.gather(*(producer.send(Message(topic, b"x")) for _ in range(3000)))
                await inbox.wait(3000)

    loop = LoopWithoutReaders()
    try:
        loop.run_until_complete(asyncio.wait_for(work(), PATIENCE))
    finally:
        loop.close()


async def test_a_broker_that_goes_in_the_middle():
    broker = testing.Broker()
    async with aio.Client(broker.address) as client:
        producer = client.producer("p")
        await producer.send(Message("t", b"x"))
        sends = [asyncio.ensure_future(producer.send(Message("t", b"x"), timeout=2)) for _ in range(200)]
        broker.kill()
        results = await asyncio.wait_for(asyncio.gather(*sends, return_exceptions=True), PATIENCE)
        failed = [result for result in results if isinstance(result, BaseException)]
        assert all(isinstance(error, libmq.Error) for error in failed)
        assert {error.name for error in failed} <= {"NETWORK", "TIMEOUT", "NOT_FOUND"}
    broker.stop()
