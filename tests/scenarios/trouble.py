"""Bad input and bad luck: a clear error in every language, no hang, nothing acknowledged is lost."""

from __future__ import annotations

import socket
import threading

from tests.harness.broker import OurBroker
from tests.harness.runner import RunnerError, message
from tests.harness.scenario import OURS, World, refused, scenario, wait_until


@scenario("Clear errors for wrong settings", brokers=OURS)
def wrong_settings(world: World, language: str) -> None:
    """Unknown keys name the nearest one; bad values and addresses say what is expected."""
    runner = world.runner(language)
    opened = {"op": "client.open", "client": world.name("client"), "namesrv": world.namesrv}
    refused(runner, "CONFIG", "heartbeat_intervall", "heartbeat", **opened, settings={"heartbeat_intervall": "1"})
    opened["namesrv"] = "nowhere"
    refused(runner, "CONFIG", "nowhere", **opened, settings={})
    opened["namesrv"] = "127.0.0.1:99999"
    refused(runner, "CONFIG", "99999", **opened, settings={})
    with world.client(language) as (_, client):
        producer = {"op": "producer.open", "producer": world.name("producer"), "client": client, "group": "g"}
        refused(runner, "CONFIG", "send_timeout", "soon", **producer, settings={"send_timeout": "soon"})
        refused(runner, "CONFIG", "sendMsgTimout", "sendMsgTimeout", **producer, settings={"sendMsgTimout": "1"})


@scenario("Clear errors for bad names and messages", brokers=OURS)
def bad_names(world: World, language: str) -> None:
    """Illegal topics, groups, properties and sizes are refused before anything is sent."""
    with world.producer(language) as (runner, producer):
        send = {"op": "send", "producer": producer, "mode": "sync"}
        refused(runner, "ARGUMENT", "topic", **send, message=message("", b"x"))
        refused(runner, "ARGUMENT", "a b", **send, message=message("a b", b"x"))
        refused(runner, "ARGUMENT", "128", **send, message=message("t" * 128, b"x"))
        refused(runner, "ARGUMENT", "body", **send, message=message("t", b""))
        refused(runner, "ARGUMENT", "UNIQ_KEY", **send, message=message("t", b"x", properties={"UNIQ_KEY": "1"}))
        refused(runner, "ARGUMENT", "SCHEDULE_TOPIC_XXXX", **send, message=message("SCHEDULE_TOPIC_XXXX", b"x"))
        refused(runner, "TOO_LARGE", "4194304", **send, message=message("t", b"x" * 4_194_305))
    with world.client(language) as (runner, client):
        for group in ["", "with space", "DEFAULT_CONSUMER", "g" * 256]:
            opened = {"op": "consumer.open", "consumer": "c", "client": client, "settings": {}, "behaviour": {}}
            refused(runner, "ARGUMENT", "group", **opened, group=group, subscriptions={"t": "*"})
            refused(runner, "ARGUMENT", op="producer.open", producer="p", client=client, group=group, settings={})


@scenario("Clear errors without a broker", brokers=OURS)
def nobody_there(world: World, language: str) -> None:
    """Nobody listens, somebody listens and never answers, or a topic has no route: an error within the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        free = socket.create_server(("127.0.0.1", 0))
        closed = free.getsockname()[1]
        free.close()
        with world.producer(language, f"127.0.0.1:{closed}") as (runner, producer):
            refused(
                runner, "NETWORK", str(closed), op="send", producer=producer, message=message("t", b"x"), mode="sync"
            )
        with world.producer(language, f"127.0.0.1:{silent.getsockname()[1]}", send_timeout="1s") as (runner, producer):
            for mode in ["sync", "async"]:
                error = refused(
                    runner, "TIMEOUT", op="send", producer=producer, message=message("t", b"x"), mode=mode, timeout=500
                )
                assert error.fields["retryable"], error.fields
    broker = OurBroker(world._logs / "strict.log", {"autoCreateTopicEnable": "false"})
    try:
        with world.producer(language, broker.namesrv) as (runner, producer):
            refused(
                runner,
                "NOT_FOUND",
                "missing",
                op="send",
                producer=producer,
                message=message("missing", b"x"),
                mode="sync",
            )
    finally:
        broker.stop()


@scenario("Use after close is an error", brokers=OURS)
def use_after_close(world: World, language: str) -> None:
    """What was closed says so; closing twice is fine; closing the client closes all."""
    topic = world.topic()
    with world.client(language) as (runner, client):
        for number in range(2):
            runner.call("producer.open", producer=f"p{number}", client=client, group="senders", settings={})
        send = {"op": "send", "message": message(topic, b"x")}
        runner.call("producer.close", producer="p0")
        runner.call("producer.close", producer="p0")
        for mode in ["sync", "async"]:
            refused(runner, "CLOSED", **send, producer="p0", mode=mode)
        runner.call("client.close", client=client)
        refused(runner, "CLOSED", **send, producer="p1", mode="sync")
        runner.call("client.close", client=client)


@scenario("Closing while busy", brokers=OURS)
def close_while_busy(world: World, language: str) -> None:
    """A client that is closed in the middle of a load ends soon; every send gets its result."""
    topic = world.topic()
    with world.client(language) as (runner, client):
        runner.call("producer.open", producer="busy", client=client, group="senders", settings={})
        load = runner.start("send_load", producer="busy", topic=topic, count=50_000, size=64, mode="async", window=64)
        if "concurrent" in runner.call("hello")["features"]:
            runner.call("client.close", client=client)
        answer = load.result(120)
        if "ok" in answer:
            done = answer["ok"]
            assert done["sent"] + done["failed"] == 50_000, done
        else:
            assert answer["error"]["code"] == "CLOSED", answer


@scenario("A listener that never returns", brokers=OURS)
def listener_hangs(world: World, language: str) -> None:
    """A stuck listener does not keep the consumer from closing, and its message is not lost.

    Closing tells of it with TIMEOUT, unless the language could end the listener (.NET cancels it) or has none running
    while it closes (PHP has one thread).
    """
    topic, group = world.topic(), world.name("group")
    with world.producer(language) as (runner, producer):
        runner.call("send", producer=producer, message=message(topic, b"stuck"), mode="sync")
    try:
        with world.consumer(language, group, {topic: "*"}, {"hang": True}, close_timeout="1s") as inbox:
            inbox.wait_for({b"stuck"})
    except RunnerError as error:
        assert error.code == "TIMEOUT", error
    with world.consumer(language, group, {topic: "*"}) as inbox:
        inbox.wait_for({b"stuck"})


@scenario("A broker that dies and comes back", brokers=OURS)
def broker_restarts(world: World, language: str) -> None:
    """The broker is killed under load and starts again: what was acknowledged arrives, both sides go on."""
    broker = OurBroker(world._logs / "restart.log")
    try:
        topic = world.name("topic")
        acknowledged: set[bytes] = set()
        stop = threading.Event()
        failures: list[str] = []
        with world.client(language, broker.namesrv) as (runner, client):
            runner.call(
                "producer.open", producer="restart", client=client, group="senders", settings={"send_timeout": "1s"}
            )

            def load() -> None:
                number = 0
                while not stop.is_set():
                    number += 1
                    body = b"%d" % number
                    try:
                        runner.call("send", producer="restart", message=message(topic, body), mode="sync")
                        acknowledged.add(body)
                    except RunnerError as error:
                        failures.append(error.code)

            sender = threading.Thread(target=load)
            sender.start()
            try:
                wait_until(lambda: len(acknowledged) > 100, "100 sends before the kill")
                broker.kill()
                wait_until(lambda: len(failures) > 0, "a failed send while the broker is down")
                broker.restart()
                before = len(acknowledged)
                wait_until(lambda: len(acknowledged) > before + 100, "100 sends after the restart")
            finally:
                stop.set()
                sender.join()
            assert set(failures) <= {"NETWORK", "TIMEOUT", "THROTTLED", "BROKER", "NOT_FOUND"}, set(failures)
            runner.call(
                "consumer.open",
                consumer="restart",
                client=client,
                group="readers",
                subscriptions={topic: "*"},
                settings={},
                behaviour={},
            )
            from tests.harness.scenario import Inbox

            Inbox(runner, "restart").wait_for(acknowledged)
            runner.call("consumer.close", consumer="restart")
    finally:
        broker.stop()


@scenario(
    "A forked child gets an error, not a hang",
    brokers=OURS,
    skip={"node": "Node.js cannot fork a running process", "dotnet": ".NET cannot fork a running process"},
)
def forked_child(world: World, language: str) -> None:
    """A producer made before fork says FORKED in the child and goes on in the parent."""
    topic = world.topic()
    with world.producer(language) as (runner, producer):
        child = runner.call("fork", producer=producer, message=message(topic, b"x"))["child"]
        assert child.get("error", {}).get("code") == "FORKED", child
        runner.call("send", producer=producer, message=message(topic, b"x"), mode="sync")


@scenario("The embedded broker for tests", brokers=OURS)
def embedded_broker(world: World, language: str) -> None:
    """A broker inside the process: started on free ports, killed, restarted on its data, stopped."""
    runner = world.runner(language)
    started = runner.call("broker.start", broker="b", settings={})
    runner.call("broker.create_topic", broker="b", topic="inside", queues=2)
    with world.client(language, started["address"]) as (_, client):
        runner.call("producer.open", producer="inside", client=client, group="senders", settings={})
        receipt = runner.call("send", producer="inside", message=message("inside", b"kept"), mode="sync")["receipt"]
        assert 0 <= receipt["queue_id"] < 2
    runner.call("broker.kill", broker="b")
    again = runner.call("broker.restart", broker="b")
    with world.client(language, again["address"]) as (_, client):
        opened = {
            "client": client,
            "group": "readers",
            "subscriptions": {"inside": "*"},
            "settings": {},
            "behaviour": {},
        }
        runner.call("consumer.open", consumer="inside", **opened)
        assert runner.event("inside")["message"]["body"] == message("", b"kept")["body"]
        runner.call("consumer.close", consumer="inside")
    runner.call("broker.stop", broker="b")
    host, _, port = again["address"].rpartition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return
    raise AssertionError("the broker still listens after it was stopped")


@scenario("Log events reach the host", brokers=OURS)
def log_hook(world: World, language: str) -> None:
    """What the core logs arrives in the host's own logging."""
    runner = world.runner(language)
    runner.call("log.hook", level="DEBUG")
    with world.producer(language) as (_, producer):
        runner.call("send", producer=producer, message=message(world.topic(), b"x"), mode="sync")
    event = runner.event("log")
    assert event["message"] and event["level"] in {"TRACE", "DEBUG", "INFO", "WARN", "ERROR"}, event
