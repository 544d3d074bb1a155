"""A program that mypy --strict must accept: the public API as its users type it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import libmq
from libmq import ConsumeResult, Message, MessageView, SendReceipt, aio, testing


def synchronous() -> None:
    with testing.Broker(flushDiskType="SYNC_FLUSH") as broker, libmq.Client(broker.address) as client:
        broker.create_topic("t", queues=4)
        broker.faults.fail_next("SEND_MESSAGE", code="SYSTEM_BUSY", times=3)
        broker.faults.delay_next("PULL_MESSAGE", timedelta(seconds=1))
        broker.clock.advance(hours=2)
        broker.clock.set(broker.clock.now + 1000)
        producer: libmq.Producer = client.producer(group="p", send_timeout=timedelta(seconds=3))
        receipt: SendReceipt = producer.send(Message("t", b"x", tag="a", keys=["k"], properties={"p": "v"}), timeout=3)
        receipt = producer.send([Message("t", b"x")], timedelta(seconds=3))
        assert receipt.status is libmq.SendStatus.OK
        producer.send_oneway(Message("t", bytearray(b"x"), keys="k"))
        queues: list[libmq.MessageQueue] = producer.queues("t")
        producer.send(Message("t", b"x", wait_store=False), queue=queues[0])
        for batch in producer.split([Message("t", b"x")]):
            producer.send(batch)
        consumer: libmq.PushConsumer = client.push_consumer("g", {"t": "a || b"}, consume_from_where="first")

        @consumer.listen
        def handle(message: MessageView) -> ConsumeResult | None:
            body: bytes = message.body
            keys: list[str] = message.keys
            return ConsumeResult.later(3) if body and keys else None

        again: ConsumeResult | None = handle(MessageView.__new__(MessageView))
        assert again is not None

        @consumer.listen
        def plain(message: MessageView) -> None:
            print(message.tag or "", message.queue_offset + 1)

        @consumer.listen_batch
        def many(messages: list[MessageView]) -> ConsumeResult:
            return ConsumeResult.suspend(timedelta(seconds=1)) if len(messages) > 1 else ConsumeResult.SUSPEND

        with consumer:
            consumer.suspend()
            consumer.subscribe("u", "a || b")
            consumer.unsubscribe("u")
            consumer.run()
        client.push_consumer("g", {"t": "*"}, batch_listener=many, on_warning=lambda warning: print(warning.name))

        with client.pull_consumer("g", auto_commit=False) as puller:
            puller.assign(queues)
            puller.seek(queues[0], "begin")
            puller.seek(queues[0], datetime.now())
            puller.on_queue_change("t", lambda change: print(change.assigned))
            for message in puller:
                puller.commit({queues[0]: message.queue_offset + 1})
            offset: int | None = puller.committed(puller.assignment[0])
            print(offset, puller.poll(timedelta(seconds=1))[0].body)
        letters: list[MessageView] = client.dead_letters("g").read(3)
        print(letters)


async def asynchronous() -> None:
    async with aio.Client(["127.0.0.1:9876"], request_timeout=3000) as client:
        producer: aio.Producer = client.producer()
        receipts: list[SendReceipt] = await asyncio.gather(*(producer.send(Message("t", b"x")) for _ in range(3)))
        await producer.send(Message("t", receipts[0].message_id.encode()), timeout=1.5)
        consumer = client.push_consumer(group="g", subscriptions={"t": "*"})

        @consumer.listen
        async def handle(message: MessageView) -> ConsumeResult:
            await producer.send_oneway(Message("t", message.body))
            return ConsumeResult.SUCCESS

        await consumer.subscribe("u")
        await consumer.unsubscribe("u")
        async with client.pull_consumer("audit", {"t": "*"}) as puller:
            async for message in puller:
                await puller.commit({(await puller.queues("t"))[0]: message.queue_offset})
            await puller.seek(puller.assignment[0], 7)
            polled: list[MessageView] = await puller.poll(timeout=1)
            await client.dead_letters("g").resend(polled[0])

        try:
            await consumer.run()
        except libmq.TimeoutError as error:
            code: int = error.code
            broker_code: int | None = error.broker_code
            print(code, error.name, broker_code, error.retryable)


libmq.enable_logging()
