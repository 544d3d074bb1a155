"""Sending: every way to send, what the receipt says and what arrives."""

from __future__ import annotations

import json
import socket
import tempfile
from pathlib import Path

from tests.harness.broker import create_topic
from tests.harness.runner import RunnerError, message
from tests.harness.scenario import OURS, Inbox, World, refused, scenario

EVERYWHERE = ("libmq", "apache-5.5.0", "apache-4.9.7")


@scenario("Send, synchronous and asynchronous", brokers=EVERYWHERE)
def send_and_receive(world: World, language: str) -> None:
    """What is sent arrives unchanged, with tag, keys and properties, and the receipt names its place."""
    topic = world.topic()
    bodies = {b"plain", "größe 大".encode(), bytes(range(256)), b"x" * 3000}
    with (
        world.consumer(language, world.name("group"), {topic: "*"}) as inbox,
        world.producer(language) as (runner, producer),
    ):
        receipts = {}
        for number, body in enumerate(sorted(bodies)):
            sent = message(topic, body, tag="paid", keys=["k1", f"n{number}"], properties={"región": "eu", "a": "b=c"})
            mode = "async" if number % 2 else "sync"
            receipt = runner.call("send", producer=producer, message=sent, mode=mode)["receipt"]
            assert receipt["status"].lower() == "ok", receipt
            assert receipt["queue_offset"] >= 0 and 0 <= receipt["queue_id"] < 4, receipt
            assert len(receipt["message_id"]) >= 32 and receipt["message_id"] not in receipts, receipt
            receipts[receipt["message_id"]] = receipt
        inbox.wait_for(bodies)
        for got in inbox.messages:
            receipt = receipts[got["message_id"]]
            for field in ["queue_id", "queue_offset", "offset_message_id"]:
                assert got[field] == receipt[field], (field, got, receipt)
            assert got["topic"] == topic and got["tag"] == "paid" and got["keys"][0] == "k1", got
            assert got["properties"]["región"] == "eu" and got["properties"]["a"] == "b=c", got
            assert got["delivery_attempt"] == 1 and got["store_timestamp"] > 1_600_000_000_000, got
        inbox.expect_quiet()


@scenario("One-way sends")
def send_oneway(world: World, language: str) -> None:
    """A one-way message has no receipt and arrives."""
    topic = world.topic()
    with (
        world.consumer(language, world.name("group"), {topic: "*"}) as inbox,
        world.producer(language) as (runner, producer),
    ):
        for number in range(20):
            answer = runner.call("send", producer=producer, message=message(topic, b"%d" % number), mode="oneway")
            assert not answer.get("receipt"), answer
        inbox.wait_for({b"%d" % number for number in range(20)})


@scenario("Lists of messages in one request", brokers=EVERYWHERE)
def send_list(world: World, language: str) -> None:
    """A list travels as one batch; each message keeps its own tag, keys and id."""
    topic = world.topic()
    with world.consumer(language, world.name("group"), {topic: "odd"}) as odd:
        with (
            world.consumer(language, world.name("group"), {topic: "*"}) as inbox,
            world.producer(language) as (runner, producer),
        ):
            for mode in ["sync", "async"]:
                batch = [
                    message(topic, f"{mode}-{n}".encode(), tag="odd" if n % 2 else "even", keys=[f"key{n}"])
                    for n in range(10)
                ]
                receipt = runner.call("send_list", producer=producer, messages=batch, mode=mode)["receipt"]
                assert receipt["status"].lower() == "ok", receipt
            inbox.wait_for({f"{mode}-{n}".encode() for mode in ["sync", "async"] for n in range(10)})
            assert len({got["message_id"] for got in inbox.messages}) == 20
            odd.wait_for({f"{mode}-{n}".encode() for mode in ["sync", "async"] for n in range(1, 10, 2)})
            odd.expect_quiet()


@scenario("Compression of large bodies", brokers=EVERYWHERE)
def compressed_bodies(world: World, language: str) -> None:
    """A body above 4 KiB is compressed on its way and arrives as it was."""
    topic = world.topic()
    bodies = {(b"%d " % number) * 20_000 for number in range(3)}
    with (
        world.consumer(language, world.name("group"), {topic: "*"}) as inbox,
        world.producer(language) as (runner, producer),
    ):
        for body in bodies:
            runner.call("send", producer=producer, message=message(topic, body), mode="sync")
        inbox.wait_for(bodies)


@scenario("Message groups: one queue a group, in order")
def message_groups(world: World, language: str) -> None:
    """Messages of one message group go to one queue, in the order of their sending."""
    topic = world.topic(queues=8)
    with (
        world.consumer(language, world.name("group"), {topic: "*"}) as inbox,
        world.producer(language) as (runner, producer),
    ):
        queues: dict[str, set[int]] = {}
        for number in range(30):
            group = f"order-{number % 5}"
            sent = message(topic, b"%d" % number, message_group=group)
            receipt = runner.call("send", producer=producer, message=sent, mode="sync")["receipt"]
            queues.setdefault(group, set()).add(receipt["queue_id"])
        assert all(len(used) == 1 for used in queues.values()), queues
        assert len(set().union(*queues.values())) > 1, queues
        inbox.wait_for({b"%d" % number for number in range(30)})


@scenario("Send to a queue of one's choice", brokers=EVERYWHERE)
def send_to_queue(world: World, language: str) -> None:
    """A producer names the queues of a topic and sends to just one of them."""
    topic = world.topic(queues=3)
    with world.producer(language) as (runner, producer):
        queues = runner.call("producer.queues", producer=producer, topic=topic)["queues"]
        assert sorted(queue["queue_id"] for queue in queues) == [0, 1, 2], queues
        for queue in queues:
            for mode in ["sync", "async"]:
                sent = {"message": message(topic, b"x"), "mode": mode, "queue": queue}
                receipt = runner.call("send", producer=producer, **sent)["receipt"]
                assert receipt["queue_id"] == queue["queue_id"], (queue, receipt)


@scenario("Lists too long for one request are divided")
def send_split(world: World, language: str) -> None:
    """A list above the size of a request goes in several batches, in order, nothing left out."""
    topic = world.topic(queues=1)
    with (
        world.consumer(language, world.name("group"), {topic: "*"}) as inbox,
        world.producer(language, max_message_size="4000") as (runner, producer),
    ):
        bodies = [b"%03d" % number + b"." * 500 for number in range(40)]
        messages = [message(topic, body) for body in bodies]
        receipts = runner.call("send_split", producer=producer, messages=messages)["receipts"]
        assert 6 <= len(receipts) <= 12, len(receipts)
        assert all(receipt["status"].lower() == "ok" for receipt in receipts), receipts
        inbox.wait_for(set(bodies))
        assert len(inbox.messages) == len(bodies)


@scenario("Stored, but not safe yet: the status says so")
def statuses(world: World, language: str) -> None:
    """What the broker stored but did not flush or replicate in time is reported so, not as sent and not as failed."""
    with world.own_broker(language) as (runner, broker, address):
        runner.call("broker.create_topic", broker=broker, topic="Status", queues=1)
        with world.producer(language, address) as (_, producer):
            expected = 0
            for code in ("FLUSH_DISK_TIMEOUT", "FLUSH_SLAVE_TIMEOUT", "SLAVE_NOT_AVAILABLE"):
                status = code.replace("_", "").lower()
                for op in ("send", "send_list"):
                    for mode in ("sync", "async"):
                        fault = {"broker": broker, "kind": "fail", "request": "SEND_MESSAGE", "times": 1}
                        runner.call("broker.fault", code=code, **fault)
                        sent = message("Status", b"x")
                        fields = {"message": sent} if op == "send" else {"messages": [sent]}
                        receipt = runner.call(op, producer=producer, mode=mode, **fields)["receipt"]
                        assert receipt["status"].replace("_", "").lower() == status, (op, mode, receipt)
                        assert receipt["queue_offset"] == expected, receipt
                        expected += 1
            after = runner.call("send", producer=producer, message=message("Status", b"x"), mode="sync")["receipt"]
            assert after["status"].lower() == "ok" and after["queue_offset"] == expected, after


@scenario("A send is repeated when a broker is busy")
def send_retried(world: World, language: str) -> None:
    """What the broker refuses for a moment is sent again within the timeout; other refusals are reported at once."""
    with world.own_broker(language) as (runner, broker, address):
        runner.call("broker.create_topic", broker=broker, topic="Busy", queues=1)
        with world.producer(language, address) as (_, producer):
            send = {"producer": producer, "message": message("Busy", b"x"), "mode": "sync"}
            runner.call("send", **send)  # the route is known now
            fault = {"broker": broker, "kind": "fail", "request": "SEND_MESSAGE_V2", "times": 2}
            runner.call("broker.fault", code="SYSTEM_BUSY", **fault)
            assert runner.call("send", **send)["receipt"]["queue_offset"] == 1
            runner.call("broker.fault", code="MESSAGE_ILLEGAL", **{**fault, "times": 1})
            try:
                runner.call("send", **send)
            except RunnerError as error:
                assert error.code == "ARGUMENT" and error.fields["broker_code"] == 13, error.fields
            else:
                raise AssertionError("a refused send was reported as sent")
            assert runner.call("send", **send)["receipt"]["queue_offset"] == 2
            runner.call("broker.fault", broker=broker, kind="lose_answer", request="SEND_MESSAGE_V2", times=1)
            try:
                runner.call("send", timeout=500, **send)
            except RunnerError as error:
                assert error.code == "TIMEOUT" and error.fields["retryable"], error.fields
            else:
                raise AssertionError("a send without an answer was reported as sent")


@scenario("When a send is repeated is a setting", brokers=OURS)
def send_settings(world: World, language: str) -> None:
    """Codes after which a send is repeated, and how often; NameServers that are away; no wait for the disk."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        away = f"127.0.0.1:{free.getsockname()[1]}"
    with world.own_broker(language) as (runner, broker, address):
        runner.call("broker.create_topic", broker=broker, topic="Set", queues=1)
        send = {"op": "send", "message": message("Set", b"x", wait_store=False), "mode": "sync"}
        fault = {"op": "broker.fault", "broker": broker, "kind": "fail", "request": "SEND_MESSAGE_V2", "times": 1}
        with world.producer(language, f"{away};{address}", retry_response_codes="13") as (_, producer):
            runner.call(**send, producer=producer)
            runner.call(**fault, code="MESSAGE_ILLEGAL")
            assert runner.call(**send, producer=producer)["receipt"]["queue_offset"] == 1
            runner.call(**fault, code="SYSTEM_BUSY")
            refused(runner, "THROTTLED", **send, producer=producer)
        with world.producer(language, address, retry_times_when_send_failed="0") as (_, producer):
            runner.call(**send, producer=producer)
            runner.call(**fault, code="SYSTEM_BUSY")
            refused(runner, "THROTTLED", **send, producer=producer)
        first = {"consume_from_where": "first"}
        with world.consumer(language, "all", {"Set": "*"}, namesrv=f"{away};{address}", **first) as inbox:
            assert [inbox.take()["properties"]["WAIT"] for _ in range(3)] == ["false"] * 3


@scenario("A window of messages that is full", brokers=OURS)
def full_window(world: World, language: str) -> None:
    """More than the window allows wait, or fail at once with QUEUE_FULL, as the producer is set."""
    with world.own_broker(language) as (runner, broker, address):
        runner.call("broker.create_topic", broker=broker, topic="Full", queues=1)
        load = {"op": "send_load", "topic": "Full", "size": 10, "mode": "async"}
        # Where nobody waits, every send is held up at the broker, so that most of many find the window full.
        for wait, count, held_up in (("true", 6, 2), ("false", 60, 60)):
            with world.producer(language, address, max_in_flight="2", wait_when_full=wait) as (_, producer):
                runner.call("send", producer=producer, message=message("Full", b"x"), mode="sync")
                fault = {"kind": "delay", "request": "SEND_MESSAGE_V2", "times": held_up, "delay": 300}
                runner.call("broker.fault", broker=broker, **fault)
                done = runner.call(**load, producer=producer, count=count, window=count)
                assert done["sent"] + done["failed"] == count and done["sent"] >= 2, done
                assert (done["failed"] > 0) == (wait == "false"), done
                runner.call("broker.clear_faults", broker=broker)


@scenario("IPv6", brokers=OURS)
def over_ipv6(world: World, language: str) -> None:
    """A broker and a NameServer at an IPv6 address are sent to and consumed from."""
    with world.own_broker(language, bindAddress="::1") as (runner, broker, address):
        assert address.startswith("[::1]:"), address
        runner.call("broker.create_topic", broker=broker, topic="Six", queues=1)
        with world.consumer(language, "six", {"Six": "*"}, namesrv=address) as inbox:
            with world.producer(language, address) as (_, producer):
                sent = runner.call("send", producer=producer, message=message("Six", b"six"), mode="sync")["receipt"]
            assert inbox.take()["offset_message_id"] == sent["offset_message_id"]


@scenario("Compression by choice", brokers=EVERYWHERE)
def compression_types(world: World, language: str) -> None:
    """zlib, lz4 and zstd are read again by every consumer."""
    topic = world.topic()
    bodies = {kind: f"{kind} ".encode() * 3000 for kind in ["zlib", "lz4", "zstd"]}
    with world.consumer(language, world.name("group"), {topic: "*"}) as inbox:
        for kind, body in bodies.items():
            with world.producer(language, compress_type=kind) as (runner, producer):
                runner.call("send", producer=producer, message=message(topic, body), mode="sync")
        inbox.wait_for(set(bodies.values()))


@scenario("Namespaces keep names apart", brokers=EVERYWHERE)
def namespaces(world: World, language: str) -> None:
    """Clients of one namespace see each other under plain names; the topic's real name has the namespace in it."""
    topic = world.name("topic")
    create_topic(world.namesrv, f"blue%{topic}", 2)
    with world.client(language, namespace="blue") as (runner, client):
        handle = world.name("consumer")
        opened = {"client": client, "settings": {}, "group": world.name("group")}
        runner.call("consumer.open", consumer=handle, subscriptions={topic: "*"}, behaviour={}, **opened)
        inbox = Inbox(runner, handle)
        runner.call("producer.open", producer="blue", **opened)
        runner.call("send", producer="blue", message=message(topic, b"seen"), mode="sync")
        inbox.wait_for({b"seen"})
        assert inbox.messages[0]["topic"] == topic, inbox.messages
    with world.consumer(language, world.name("group"), {f"blue%{topic}": "*"}) as outside:
        outside.wait_for({b"seen"})


@scenario("Many messages in flight")
def send_file(world: World, language: str) -> None:
    """Thousands of messages with a window in flight: each arrives once and unchanged."""
    topic = world.topic(queues=8)
    count = 2000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages"
        path.write_text("".join(json.dumps({**message("", b"line %d" % n), "tag": "t"}) + "\n" for n in range(count)))
        with (
            world.consumer(language, world.name("group"), {topic: "*"}) as inbox,
            world.producer(language) as (runner, producer),
        ):
            answer = runner.call("send_file", producer=producer, topic=topic, path=str(path), window=256)
            assert (answer["sent"], answer["failed"]) == (count, 0), answer
            inbox.wait_for({b"line %d" % n for n in range(count)})
            assert len(inbox.messages) == count, "a message arrived twice"


@scenario("Send from every language, receive in every language", together=True, brokers=EVERYWHERE)
def everyone_to_everyone(world: World) -> None:
    """One topic, a producer in each language, a group in each language: all read what all sent."""
    topic = world.topic(queues=8)
    sent = {f"{language}-{n}".encode() for language in world.languages for n in range(20)}
    for language in world.languages:
        with world.producer(language) as (runner, producer):
            for n in range(20):
                body = f"{language}-{n}".encode()
                runner.call("send", producer=producer, message=message(topic, body, tag=language), mode="sync")
    for language in world.languages:
        with world.consumer(language, world.name("group"), {topic: "*"}) as inbox:
            inbox.wait_for(sent)
            assert len(inbox.messages) == len(sent)
