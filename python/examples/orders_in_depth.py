"""Order, other topics, broadcast, audit, dead letters: python orders_in_depth.py; it starts a broker itself."""

from __future__ import annotations

import tempfile
import threading
import time

import libmq
from libmq import ConsumeResult, Message


def ship(client: libmq.Client) -> None:
    """Keep the steps of an order in order: one message group, an orderly consumer."""
    producer = client.producer(group="orders")
    for step in ("created", "paid", "shipped"):
        for order in ("order-1", "order-2"):
            producer.send(Message("steps", step.encode(), keys=[order], message_group=order))

    steps: list[tuple[str, str]] = []
    suspended: set[str] = set()
    consumer = client.push_consumer("shipping", {"steps": "*"}, consume_mode="orderly", consume_from_where="first")

    @consumer.listen
    def follow(message: libmq.MessageView) -> ConsumeResult:
        order, step = message.keys[0], message.body.decode()
        if step == "paid" and order not in suspended:
            suspended.add(order)
            return ConsumeResult.suspend(0.1)  # the bank is slow: this queue waits, others go on
        steps.append((order, step))
        if len(steps) == 6:
            consumer.close()
        return ConsumeResult.SUCCESS

    consumer.run()
    print("order-1:", *(step for order, step in steps if order == "order-1"))


def move(client: libmq.Client) -> None:
    """Change what a running consumer is subscribed to."""
    bodies: list[str] = []
    arrived = threading.Semaphore(0)

    def note(message: libmq.MessageView) -> None:
        bodies.append(message.body.decode())
        arrived.release()

    with client.push_consumer("returns", {"steps": "none"}, listener=note) as consumer:
        consumer.subscribe("reports", "sport || weather")  # one more topic
        consumer.unsubscribe("steps")
        client.producer().send(Message("reports", b"rain", tag="weather"))
        arrived.acquire()
        consumer.subscribe("reports", "sport")  # another expression
        for tag in ("weather", "sport"):
            client.producer().send(Message("reports", tag.encode(), tag=tag))
        arrived.acquire()
    print("moved:", *bodies)


def announce(client: libmq.Client) -> None:
    """Give everything to every member of a broadcasting group, here up to ten messages at a time."""
    got = threading.Semaphore(0)

    def note(messages: list[libmq.MessageView]) -> None:
        for _ in messages:
            got.release()

    with tempfile.TemporaryDirectory() as folder:
        members = [
            client.push_consumer(
                f"screens-{number}",
                {"news": "*"},
                batch_listener=note,
                message_model="broadcasting",
                offset_dir=folder,
                consume_message_batch_max_size=10,
            )
            for number in range(2)
        ]
        for member in members:
            member.start()
        client.producer().send([Message("news", b"%d" % number) for number in range(5)])
        for _ in range(10):
            got.acquire()
        for member in members:
            member.close()
    print("5 news on 2 screens")


def audit(client: libmq.Client) -> None:
    """Read a topic from its begin at one's own pace, and commit by hand."""
    with client.pull_consumer("audit", auto_commit=False) as consumer:
        queues = consumer.queues("steps")
        consumer.assign(queues)
        for queue in queues:
            consumer.seek(queue, "begin")
        for number, message in enumerate(consumer, 1):
            consumer.commit({message.queue: message.queue_offset + 1})
            if number == 6:
                break
    print("6 steps audited")


def rescue(client: libmq.Client) -> None:
    """Read what a group has given up, and send it again."""
    refused, picked = threading.Event(), threading.Event()

    def pick(message: libmq.MessageView) -> ConsumeResult | None:
        if not refused.is_set():
            refused.set()
            return ConsumeResult.later(-1)  # to the dead letters at once
        picked.set()
        return None

    with client.push_consumer("picky", {"parcels": "*"}, listener=pick, consume_from_where="first"):
        client.producer().send(Message("parcels", b"a parcel"))
        refused.wait()
        letters = client.dead_letters("picky")
        while not (found := letters.read()):
            time.sleep(0.01)
        letters.resend(found[0])
        picked.wait()
    print(f"rescued {found[0].body.decode()}")


def main() -> None:
    """Do it all on an embedded broker, which has faults and a clock for tests."""
    with libmq.testing.Broker() as broker, libmq.Client(broker.address) as client:
        for topic in ("steps", "reports", "news", "parcels"):
            broker.create_topic(topic, queues=2)
        ship(client)
        move(client)
        announce(client)
        audit(client)
        broker.faults.fail_next("SEND_MESSAGE_V2", code="SYSTEM_BUSY")  # the producer sends again
        rescue(client)
        client.producer().send(Message("parcels", b"tomorrow", delay_level=18))
        broker.clock.advance(hours=2)
        print(f"the broker's clock is {round((broker.clock.now / 1000 - time.time()) / 3600)} hours ahead")


if __name__ == "__main__":
    main()
