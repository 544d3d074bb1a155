"""The same with asyncio: python orders_asyncio.py [NAMESRV]; without an address it starts a broker of its own."""

import asyncio
import sys
from contextlib import nullcontext

import libmq
from libmq import Message, MessageView


async def work(namesrv: str) -> None:
    """Send a hundred orders at once, bill them all."""
    async with libmq.aio.Client(namesrv) as client:
        producer = client.producer(group="orders")
        receipts = await asyncio.gather(*(producer.send(Message("orders", b"%d apples" % n)) for n in range(100)))
        print(f"sent {len(receipts)} orders")

        billed: set[str] = set()
        consumer = client.push_consumer("billing", {"orders": "*"}, consume_from_where="first")

        @consumer.listen
        async def bill(message: MessageView) -> None:
            await asyncio.sleep(0.001)  # a database, perhaps
            billed.add(message.message_id)
            if len(billed) == len(receipts):
                await consumer.close()

        await consumer.run()
        print(f"billed {len(billed)} orders")


def main() -> None:
    """Use the address from the command line, or an embedded broker."""
    own = nullcontext(None) if len(sys.argv) > 1 else libmq.testing.Broker()
    with own as broker:
        asyncio.run(work(sys.argv[1] if broker is None else broker.address))


if __name__ == "__main__":
    main()
