"""Sends orders and bills them: python orders.py [NAMESRV]; without an address it starts a broker of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import libmq


@contextmanager
def address() -> Iterator[str]:
    """Give the address from the command line, or that of an embedded broker."""
    if len(sys.argv) > 1:
        yield sys.argv[1]
    else:
        with libmq.testing.Broker() as broker:
            broker.create_topic("orders", queues=4)
            yield broker.address


def main() -> None:
    """Send three orders, bill two of them."""
    with address() as namesrv, libmq.Client(namesrv) as client:
        producer = client.producer(group="orders")
        for number, tag in enumerate(["paid", "open", "refunded"], 1):
            receipt = producer.send(libmq.Message("orders", b"42 apples", tag=tag, keys=[f"order-{number}"]))
            print(f"sent {tag} order {number} to queue {receipt.queue_id}: {receipt.status.name}")

        billed: set[str] = set()
        consumer = client.push_consumer("billing", {"orders": "paid || refunded"}, consume_from_where="first")

        @consumer.listen
        def bill(message: libmq.MessageView) -> None:
            billed.update(message.keys)
            print(f"billed {message.keys[0]} ({message.tag}): {message.body.decode()}")
            if len(billed) == 2:
                consumer.close()

        consumer.run()  # until it is closed, here by its listener, or Ctrl-C


if __name__ == "__main__":
    main()
