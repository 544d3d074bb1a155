"""A program whose marked lines mypy --strict must refuse: types that guard nothing would be worth nothing."""

import libmq
from libmq import Message, aio

client = libmq.Client("127.0.0.1:9876")
producer = client.producer()
Message("t", "text")  # refused
Message("t", b"x", tagg="a")  # refused
Message("t", b"x", keys=[1])  # refused
producer.send("text")  # refused
producer.send(Message("t", b"x"), timeout="3")  # refused
producer.send(Message("t", b"x")).nothing  # refused
producer.send(Message("t", b"x")).queue_id + "x"  # refused
client.push_consumer("g")  # refused
client.push_consumer("g", {"t": "*"}).listen(lambda message: "done")  # refused
aio.Client("127.0.0.1:9876").push_consumer("g", {"t": "*"}, listener=lambda message: None)  # refused
producer.send(Message("t", b"x"), queue=1)  # refused
client.push_consumer("g", {"t": "*"}).listen_batch(lambda messages: "done")  # refused
client.pull_consumer("g").seek(producer.queues("t")[0], "middle")  # refused
libmq.nothing  # refused
