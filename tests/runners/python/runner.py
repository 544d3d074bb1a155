"""The Python runner: speaks the protocol of tests/harness/README.md with nothing but the public API of libmq."""

from __future__ import annotations

import asyncio
import base64
import collections
import functools
import json
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import libmq
from libmq import aio, testing

T = TypeVar("T")
Json = dict[str, Any]

OPS = [
    *("hello", "exit", "fork", "log.hook"),
    *("client.open", "client.close", "producer.open", "producer.close", "consumer.open", "consumer.close"),
    *("producer.queues", "send", "send_list", "send_split", "send_file", "send_load"),
    *("consumer.subscribe", "consumer.unsubscribe", "consumer.suspend", "consumer.resume"),
    *("dead_letters.read", "dead_letters.resend"),
    *("pull.open", "pull.assign", "pull.queues", "pull.assignment", "pull.poll", "pull.seek", "pull.offset_for_time"),
    *("pull.pause", "pull.resume", "pull.commit", "pull.committed", "pull.position", "pull.close"),
    *("broker.start", "broker.create_topic", "broker.kill", "broker.restart", "broker.stop"),
    *("broker.fault", "broker.refuse_connections", "broker.clear_faults", "broker.advance_clock"),
]

EPOCH = datetime.fromtimestamp(0, timezone.utc)
LINE_LIMIT = 256 << 20
CHILD_PATIENCE = 20.0

_output = threading.Lock()


def say(line: Json) -> None:
    """Writes one line of the protocol; called from any thread."""
    text = json.dumps(line) + "\n"
    with _output:
        sys.stdout.write(text)
        sys.stdout.flush()


def error_fields(error: BaseException) -> Json:
    """An error as the protocol wants it."""
    kind = type(error).__name__
    if not isinstance(error, libmq.Error):
        error = libmq.Error(repr(error))
    return {
        "code": error.name,
        "message": error.message,
        "retryable": error.retryable,
        "throttled": error.throttled,
        "broker_code": error.broker_code,
        "class": kind,
    }


def to_message(fields: Json, topic: str | None = None) -> libmq.Message:
    """A message of the protocol as the API's."""
    return libmq.Message(
        topic or fields["topic"],
        base64.b64decode(fields["body"]),
        tag=fields.get("tag"),
        keys=fields.get("keys"),
        properties=fields.get("properties"),
        message_group=fields.get("message_group"),
        delay_level=fields.get("delay_level"),
        wait_store=fields.get("wait_store", True),
    )


def from_message(message: libmq.MessageView) -> Json:
    """A received message as the protocol wants it."""
    return {
        "topic": message.topic,
        "body": base64.b64encode(message.body).decode(),
        "tag": message.tag,
        "keys": message.keys,
        "properties": message.properties,
        "message_group": message.message_group,
        "message_id": message.message_id,
        "offset_message_id": message.offset_message_id,
        "queue_id": message.queue_id,
        "queue_offset": message.queue_offset,
        "broker_name": message.broker_name,
        "born_timestamp": message.born_timestamp,
        "store_timestamp": message.store_timestamp,
        "delivery_attempt": message.delivery_attempt,
    }


def to_queue(fields: Json) -> libmq.MessageQueue:
    """A queue of the protocol as the API's."""
    return libmq.MessageQueue(fields["topic"], fields["broker_name"], fields["queue_id"])


def from_queues(queues: list[libmq.MessageQueue]) -> Json:
    """Queues as the protocol wants them."""
    return {"queues": [queue._asdict() for queue in queues]}


def from_receipt(receipt: libmq.SendReceipt) -> Json:
    """A receipt as the protocol wants it."""
    return {
        "message_id": receipt.message_id,
        "offset_message_id": receipt.offset_message_id,
        "queue_id": receipt.queue_id,
        "queue_offset": receipt.queue_offset,
        "status": receipt.status.value,
    }


class Client:
    """One client of the harness: a synchronous one, and an asynchronous one from its first use on."""

    def __init__(self, namesrv: str, settings: dict[str, str]) -> None:
        self.sync = libmq.Client(namesrv, **settings)
        self._make = functools.partial(aio.Client, namesrv, **settings)
        self._asynchronous: aio.Client | None = None

    @property
    def asynchronous(self) -> aio.Client:
        if self._asynchronous is None:
            self._asynchronous = self._make()
        return self._asynchronous

    async def close(self, off_loop: Callable[..., Awaitable[Any]]) -> None:
        await off_loop(self.sync.close)
        if self._asynchronous is not None:
            await self._asynchronous.close()


class Producer:
    """One producer of the harness, as `Client`."""

    def __init__(self, client: Client, group: str | None, settings: dict[str, str]) -> None:
        self.sync = client.sync.producer(group, **settings)
        self._make: Callable[[], aio.Producer] = lambda: client.asynchronous.producer(group, **settings)
        self._asynchronous: aio.Producer | None = None

    @property
    def asynchronous(self) -> aio.Producer:
        if self._asynchronous is None:
            self._asynchronous = self._make()
        return self._asynchronous

    async def close(self, off_loop: Callable[..., Awaitable[Any]]) -> None:
        await off_loop(self.sync.close)
        # Also one that was not used yet: it must not come to life after the close.
        await self.asynchronous.close()


class Consumer:
    """A consumer with the listener that the harness describes."""

    def __init__(self, name: str, client: Client, request: Json) -> None:
        self.name = name
        self.behaviour: Json = request.get("behaviour") or {}
        self.attempts: collections.Counter[str] = collections.Counter()
        self.received = self.bytes = 0
        self.closed = threading.Event()
        self.lock = threading.Lock()
        self.reporter: asyncio.Task[None] | None = None
        kind = client.asynchronous if self.behaviour.get("async") else client.sync
        self.consumer: libmq.PushConsumer | aio.PushConsumer = kind.push_consumer(
            request["group"], request["subscriptions"], on_warning=self.warn, **(request.get("settings") or {})
        )
        if isinstance(self.consumer, aio.PushConsumer):
            self.consumer.listen_batch(self.listen_async)
        else:
            self.consumer.listen_batch(self.listen)

    def warn(self, warning: libmq.ConsumerWarning) -> None:
        say({"event": "warning", "consumer": self.name, "message": f"{warning.name}: {warning.message}"})

    async def start(self, off_loop: Callable[..., Awaitable[Any]]) -> None:
        if self.behaviour.get("quiet"):
            self.reporter = asyncio.ensure_future(self.report())
        if isinstance(self.consumer, aio.PushConsumer):
            await self.consumer.start()
        else:
            await off_loop(self.consumer.start)

    async def close(self, off_loop: Callable[..., Awaitable[Any]]) -> None:
        try:
            if isinstance(self.consumer, aio.PushConsumer):
                await self.consumer.close()
            else:
                await off_loop(self.consumer.close)
        finally:
            self.closed.set()
            if self.reporter is not None:
                self.reporter.cancel()

    async def report(self) -> None:
        said = -1
        while True:
            if said != self.received:
                said = self.received
                say({"event": "count", "consumer": self.name, "received": said, "bytes": self.bytes})
            await asyncio.sleep(0.2)

    def note(self, messages: list[libmq.MessageView]) -> int:
        """Reports an arrival; tells the how manyth of these messages it is."""
        if self.behaviour.get("quiet"):
            size = sum(len(message.body) for message in messages)
            with self.lock:
                self.received += len(messages)
                self.bytes += size
            return 1
        for message in messages:
            event = {"event": "message", "consumer": self.name, "message": from_message(message)}
            say({**event, "batch": len(messages)})
        with self.lock:
            self.attempts[messages[0].message_id] += 1
            return self.attempts[messages[0].message_id]

    def answer(self, attempt: int) -> libmq.ConsumeResult:
        behaviour = self.behaviour
        if attempt <= behaviour.get("throw_first", 0):
            raise RuntimeError("the listener was told to throw")
        if attempt <= behaviour.get("suspend_first", 0):
            return libmq.ConsumeResult.suspend(behaviour["suspend"] / 1000)
        if attempt <= behaviour.get("later_first", 0) or behaviour.get("always_later"):
            return libmq.ConsumeResult.later(behaviour.get("later_level"))
        return libmq.ConsumeResult.SUCCESS

    def listen(self, messages: list[libmq.MessageView]) -> libmq.ConsumeResult:
        attempt = self.note(messages)
        if self.behaviour.get("hang"):
            self.closed.wait()
        if self.behaviour.get("delay"):
            time.sleep(self.behaviour["delay"] / 1000)
        return self.answer(attempt)

    async def listen_async(self, messages: list[libmq.MessageView]) -> libmq.ConsumeResult:
        attempt = self.note(messages)
        if self.behaviour.get("hang"):
            await asyncio.get_running_loop().create_future()
        if self.behaviour.get("delay"):
            await asyncio.sleep(self.behaviour["delay"] / 1000)
        return self.answer(attempt)


class Puller:
    """A pull consumer of the harness: a synchronous one, and an asynchronous one in its place from its first poll on."""

    def __init__(self, name: str, client: Client, request: Json) -> None:
        self.name = name
        self.arguments: tuple[Any, ...] = (request["group"], request.get("subscriptions"))
        self.settings: Json = request.get("settings") or {}
        self.topics = list(request.get("subscriptions") or {})
        self.sync = client.sync.pull_consumer(*self.arguments, **self.settings)
        self._make: Callable[[], aio.PullConsumer] = lambda: client.asynchronous.pull_consumer(*self.arguments, **self.settings)
        self.asynchronous: aio.PullConsumer | None = None

    async def start(self, off_loop: Callable[..., Awaitable[Any]]) -> None:
        await off_loop(self.sync.start)
        for topic in self.topics:
            await off_loop(self.sync.on_queue_change, topic, self.tell)
        say({"event": "queues", "consumer": self.name, **from_queues(self.sync.assignment)})

    def tell(self, change: libmq.QueueChange) -> None:
        say({"event": "queues", "consumer": self.name, **from_queues(change.assigned)})

    async def poll(self, request: Json, off_loop: Callable[..., Awaitable[Any]]) -> list[libmq.MessageView]:
        timeout = request["timeout"] / 1000
        if request["mode"] == "sync":
            return list(await off_loop(self.sync.poll, timeout))
        if self.asynchronous is None:
            await off_loop(self.sync.close)
            self.asynchronous = self._make()
            await self.asynchronous.start()
        return await self.asynchronous.poll(timeout)

    async def close(self, off_loop: Callable[..., Awaitable[Any]]) -> None:
        await off_loop(self.sync.close)
        if self.asynchronous is not None:
            await self.asynchronous.close()

    async def call(self, off_loop: Callable[..., Awaitable[Any]], method: str, *arguments: Any) -> Any:
        """Calls the one of both that is in use."""
        if self.asynchronous is None:
            return await off_loop(getattr(self.sync, method), *arguments)
        result = getattr(self.asynchronous, method)(*arguments)
        return await result if asyncio.iscoroutine(result) else result


class LogEvents(logging.Handler):
    """Passes log records on as events."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        say({"event": "log", "level": level, "message": record.getMessage()})


class Runner:
    """Answers requests; each op is a method."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.producers: dict[str, Producer] = {}
        self.consumers: dict[str, Consumer] = {}
        self.brokers: dict[str, testing.Broker] = {}
        self.pullers: dict[str, Puller] = {}
        self.threads = ThreadPoolExecutor(64, thread_name_prefix="runner")
        self.ended = asyncio.Event()

    async def off_loop(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs a blocking call in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, functools.partial(function, *arguments))

    async def answer(self, request: Json) -> None:
        try:
            if request["op"] not in OPS:
                raise libmq.Error(f"this runner has no op '{request['op']}'", 15, "UNSUPPORTED")
            op = getattr(self, "op_" + request["op"].replace(".", "_"))
            result: Json = {"ok": await op(request) or {}}
        except Exception as error:
            result = {"error": error_fields(error)}
            if not isinstance(error, libmq.Error):
                logging.getLogger("runner").exception("op %s failed", request.get("op"))
        say({"id": request.get("id"), **result})

    async def op_hello(self, request: Json) -> Json:
        return {"language": "python", "version": libmq.__version__, "features": [*OPS, "async_listener"]}

    async def op_exit(self, request: Json) -> None:
        self.ended.set()

    async def op_client_open(self, request: Json) -> None:
        self.clients[request["client"]] = Client(request["namesrv"], request.get("settings") or {})

    async def op_client_close(self, request: Json) -> None:
        await self.clients[request["client"]].close(self.off_loop)

    async def op_producer_open(self, request: Json) -> None:
        client = self.clients[request["client"]]
        self.producers[request["producer"]] = Producer(client, request.get("group"), request.get("settings") or {})

    async def op_producer_close(self, request: Json) -> None:
        await self.producers[request["producer"]].close(self.off_loop)

    async def op_send(self, request: Json) -> Json | None:
        producer = self.producers[request["producer"]]
        message = to_message(request["message"])
        timeout = request["timeout"] / 1000 if request.get("timeout") is not None else None
        if request["mode"] == "oneway":
            await self.off_loop(producer.sync.send_oneway, message)
            return None
        queue = to_queue(request["queue"]) if request.get("queue") else None
        if request["mode"] == "async":
            receipt = await producer.asynchronous.send(message, timeout, queue)
        else:
            receipt = await self.off_loop(producer.sync.send, message, timeout, queue)
        return {"receipt": from_receipt(receipt)}

    async def op_producer_queues(self, request: Json) -> Json:
        producer = self.producers[request["producer"]].sync
        return from_queues(await self.off_loop(producer.queues, request["topic"]))

    async def op_send_split(self, request: Json) -> Json:
        producer = self.producers[request["producer"]].sync
        lists = producer.split([to_message(fields) for fields in request["messages"]])
        return {"receipts": [from_receipt(await self.off_loop(producer.send, batch)) for batch in lists]}

    async def op_send_list(self, request: Json) -> Json:
        producer = self.producers[request["producer"]]
        messages = [to_message(fields) for fields in request["messages"]]
        if request["mode"] == "async":
            receipt = await producer.asynchronous.send(messages)
        else:
            receipt = await self.off_loop(producer.sync.send, messages)
        return {"receipt": from_receipt(receipt)}

    async def op_send_file(self, request: Json) -> Json:
        with open(request["path"], encoding="utf-8") as lines:
            messages = (to_message(json.loads(line), request["topic"]) for line in lines)
            return await send_all(self.producers[request["producer"]].asynchronous, messages, request["window"])

    async def op_send_load(self, request: Json) -> Json:
        producer = self.producers[request["producer"]]
        message = libmq.Message(request["topic"], b"x" * request["size"])
        messages = (message for _ in range(request["count"]))
        start, cpu = time.perf_counter(), time.process_time()
        if request["mode"] == "async":
            result = await send_all(producer.asynchronous, messages, request["window"])
        else:
            result = await self.off_loop(send_one_by_one, producer.sync, messages)
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        return {**result, "seconds": seconds, "cpu_seconds": cpu_seconds}

    async def op_consumer_open(self, request: Json) -> None:
        consumer = Consumer(request["consumer"], self.clients[request["client"]], request)
        self.consumers[request["consumer"]] = consumer
        await consumer.start(self.off_loop)

    async def op_consumer_close(self, request: Json) -> None:
        await self.consumers[request["consumer"]].close(self.off_loop)

    async def op_consumer_subscribe(self, request: Json) -> None:
        await self.change(request, "subscribe", request["topic"], request["expression"])

    async def op_consumer_unsubscribe(self, request: Json) -> None:
        await self.change(request, "unsubscribe", request["topic"])

    async def change(self, request: Json, call: str, *arguments: str) -> None:
        consumer = self.consumers[request["consumer"]].consumer
        change = getattr(consumer, call)
        await (change(*arguments) if isinstance(consumer, aio.PushConsumer) else self.off_loop(change, *arguments))

    async def op_consumer_suspend(self, request: Json) -> None:
        self.consumers[request["consumer"]].consumer.suspend()

    async def op_consumer_resume(self, request: Json) -> None:
        self.consumers[request["consumer"]].consumer.resume()

    async def op_pull_open(self, request: Json) -> None:
        puller = Puller(request["consumer"], self.clients[request["client"]], request)
        self.pullers[request["consumer"]] = puller
        await puller.start(self.off_loop)

    async def pull(self, request: Json, method: str, *arguments: Any) -> Any:
        return await self.pullers[request["consumer"]].call(self.off_loop, method, *arguments)

    async def op_pull_assign(self, request: Json) -> None:
        await self.pull(request, "assign", [to_queue(queue) for queue in request["queues"]])

    async def op_pull_queues(self, request: Json) -> Json:
        return from_queues(await self.pull(request, "queues", request["topic"]))

    async def op_pull_assignment(self, request: Json) -> Json:
        puller = self.pullers[request["consumer"]]
        return from_queues((puller.asynchronous or puller.sync).assignment)

    async def op_pull_poll(self, request: Json) -> Json:
        polled = await self.pullers[request["consumer"]].poll(request, self.off_loop)
        return {"messages": [from_message(message) for message in polled]}

    async def op_pull_seek(self, request: Json) -> None:
        to = request["to"]
        place = EPOCH + timedelta(milliseconds=to["time"]) if isinstance(to, dict) else to
        await self.pull(request, "seek", to_queue(request["queue"]), place)

    async def op_pull_offset_for_time(self, request: Json) -> Json:
        queue = to_queue(request["queue"])
        return {"offset": await self.pull(request, "offset_for_time", queue, request["timestamp"])}

    async def op_pull_pause(self, request: Json) -> None:
        await self.pull(request, "pause", [to_queue(queue) for queue in request["queues"]])

    async def op_pull_resume(self, request: Json) -> None:
        await self.pull(request, "resume", [to_queue(queue) for queue in request["queues"]])

    async def op_pull_commit(self, request: Json) -> None:
        offsets = request.get("offsets")
        given = None if offsets is None else {to_queue(each["queue"]): each["offset"] for each in offsets}
        await self.pull(request, "commit", given)

    async def op_pull_committed(self, request: Json) -> Json:
        return {"offset": await self.pull(request, "committed", to_queue(request["queue"]))}

    async def op_pull_position(self, request: Json) -> Json:
        return {"offset": await self.pull(request, "position", to_queue(request["queue"]))}

    async def op_pull_close(self, request: Json) -> None:
        await self.pullers[request["consumer"]].close(self.off_loop)

    async def op_dead_letters_read(self, request: Json) -> Json:
        letters = self.clients[request["client"]].sync.dead_letters(request["group"])
        return {"messages": [from_message(letter) for letter in await self.off_loop(letters.read, request["max"])]}

    async def op_dead_letters_resend(self, request: Json) -> Json:
        letters = self.clients[request["client"]].sync.dead_letters(request["group"])
        read = await self.off_loop(letters.read, request["max"])
        return {"receipts": [from_receipt(await self.off_loop(letters.resend, letter)) for letter in read]}

    async def op_broker_start(self, request: Json) -> Json:
        settings = request.get("settings") or {}
        start = functools.partial(testing.Broker, request.get("data"), **settings)
        self.brokers[request["broker"]] = await self.off_loop(start)
        return self.about(request)

    async def op_broker_create_topic(self, request: Json) -> None:
        broker = self.brokers[request["broker"]]
        await self.off_loop(broker.create_topic, request["topic"], request["queues"])

    async def op_broker_kill(self, request: Json) -> Json:
        await self.off_loop(self.brokers[request["broker"]].kill)
        return self.about(request)

    async def op_broker_restart(self, request: Json) -> Json:
        await self.off_loop(self.brokers[request["broker"]].restart)
        return self.about(request)

    async def op_broker_stop(self, request: Json) -> Json:
        await self.off_loop(self.brokers[request["broker"]].stop)
        return self.about(request)

    async def op_broker_fault(self, request: Json) -> None:
        faults, name, times = self.brokers[request["broker"]].faults, request["request"], request["times"]
        if request["kind"] == "fail":
            faults.fail_next(name, request["code"], times)
        elif request["kind"] == "delay":
            faults.delay_next(name, request["delay"] / 1000, times)
        elif request["kind"] == "drop":
            faults.drop_next(name, times)
        else:
            faults.lose_answer_next(name, times)

    async def op_broker_refuse_connections(self, request: Json) -> None:
        self.brokers[request["broker"]].faults.refuse_connections(request["refuse"])

    async def op_broker_clear_faults(self, request: Json) -> None:
        self.brokers[request["broker"]].faults.clear()

    async def op_broker_advance_clock(self, request: Json) -> Json:
        clock = self.brokers[request["broker"]].clock
        clock.advance(request["by"] / 1000)
        return {"now": clock.now}

    def about(self, request: Json) -> Json:
        broker = self.brokers[request["broker"]]
        return {"address": broker.address, "broker_address": broker.broker_address, "data": broker.data_dir}

    async def op_log_hook(self, request: Json) -> None:
        logger = logging.getLogger("libmq")
        logger.addHandler(LogEvents())
        logger.propagate = False
        level = {"TRACE": 5, "WARN": logging.WARNING}.get(request["level"]) or getattr(logging, request["level"])
        logger.setLevel(level)
        libmq.enable_logging(level)

    async def op_fork(self, request: Json) -> Json:
        producer, message = self.producers[request["producer"]].sync, to_message(request["message"])
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                answer: Json = {"ok": {"receipt": from_receipt(producer.send(message))}}
            except BaseException as error:
                answer = {"error": error_fields(error)}
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
        os.close(writer)
        text = await self.off_loop(read_all, reader, child)
        return {"child": json.loads(text)}

    async def close(self) -> None:
        """Closes what is open, consumers first."""
        things: list[Consumer | Puller | Producer | Client] = [
            *self.consumers.values(),
            *self.pullers.values(),
            *self.producers.values(),
            *self.clients.values(),
        ]
        for thing in things:
            try:
                await thing.close(self.off_loop)
            except libmq.Error as error:
                logging.getLogger("runner").warning("closing: %s", error)
        for broker in self.brokers.values():
            await self.off_loop(broker.stop)


def read_all(reader: int, child: int) -> bytes:
    """All that a child writes before it ends; a child that hangs is killed."""
    parts = []
    with open(reader, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], CHILD_PATIENCE)[0]:
            part = pipe.read(65536)
            if not part:
                break
            parts.append(part)
        else:
            os.kill(child, 9)
            parts.append(json.dumps({"error": {"code": "TIMEOUT", "message": "the child hangs"}}).encode())
    os.waitpid(child, 0)
    return b"".join(parts)


def send_one_by_one(producer: libmq.Producer, messages: Any) -> Json:
    """Sends each message and waits for its receipt."""
    sent = failed = 0
    for message in messages:
        try:
            producer.send(message)
            sent += 1
        except libmq.Error as error:
            failed += 1
            logging.getLogger("runner").warning("send: %s", error)
    return {"sent": sent, "failed": failed}


async def send_all(producer: aio.Producer, messages: Any, window: int) -> Json:
    """Sends the messages with at most `window` in flight."""
    sent = failed = 0

    async def work() -> None:
        nonlocal sent, failed
        for message in messages:
            try:
                await producer.send(message)
                sent += 1
            except libmq.Error as error:
                failed += 1
                logging.getLogger("runner").warning("send: %s", error)

    await asyncio.gather(*(work() for _ in range(window)))
    return {"sent": sent, "failed": failed}


async def main() -> None:
    """Answers until stdin ends or ``exit`` comes."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    runner = Runner()
    tasks: set[asyncio.Task[None]] = set()
    ended = asyncio.ensure_future(runner.ended.wait())
    while True:
        line = asyncio.ensure_future(reader.readline())
        await asyncio.wait([line, ended], return_when=asyncio.FIRST_COMPLETED)
        if not line.done() or not line.result():
            line.cancel()
            break
        task = asyncio.ensure_future(runner.answer(json.loads(line.result())))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    ended.cancel()
    await runner.close()
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())
