"""What brokers and admin tools ask of a running consumer, and what it warns of by itself."""

from __future__ import annotations

import json
import re
import tempfile
import time
from pathlib import Path

from tests.harness.runner import message
from tests.harness.scenario import OURS, Inbox, World, refused, scenario, wait_until
from tests.interop import remoting
from tests.scenarios.consuming import send_all

GET_CONSUMER_LIST_BY_GROUP = 38
INVOKE_BROKER_TO_RESET_OFFSET = 222
INVOKE_BROKER_TO_GET_CONSUMER_STATUS = 223
GET_CONSUMER_RUNNING_INFO = 307
CONSUME_MESSAGE_DIRECTLY = 309


def ask(world: World, code: int, **ext: str) -> bytes:
    """What an admin tool asks of a broker; the body of the answer."""
    answer = remoting.call(world.broker.broker, code, ext, timeout=20)
    assert answer.code == 0, (code, ext, answer.code, answer.remark)
    return answer.body


def member(world: World, group: str) -> str:
    """The client id of the only member of a group."""
    ids = json.loads(ask(world, GET_CONSUMER_LIST_BY_GROUP, consumerGroup=group))["consumerIdList"]
    assert len(ids) == 1, ids
    return str(ids[0])


def reset(world: World, group: str, topic: str, timestamp: int) -> None:
    """Lets a group go on with what was stored at a time or later."""
    place = {"topic": topic, "group": group, "timestamp": str(timestamp), "isForce": "true", "isC": "false"}
    ask(world, INVOKE_BROKER_TO_RESET_OFFSET, **place)


def wait_for_warning(inbox: Inbox, name: str, *words: str) -> None:
    """Waits until a consumer tells this warning; the other events until then must be warnings, too."""
    while True:
        event = inbox.runner.event(inbox.handle)
        assert event["event"] == "warning", event
        if event["message"].startswith(f"{name}: ") and all(word in event["message"] for word in words):
            return


@scenario("What admin tools ask of a running consumer")
def administered(world: World, language: str) -> None:
    """Its state and its calls, and what its listener says to a message that is given to it by hand."""
    topic, group = world.topic(queues=1), world.name("group")
    settings = {"consume_message_batch_max_size": "3", "max_reconsume_times": "7", "consume_from_where": "first"}
    settings |= {"consume_mode": "orderly", "suspend_current_queue_time": "20ms"}
    with world.producer(language) as (runner, producer):
        send = {"producer": producer, "mode": "sync"}
        runner.call("send", message=message(topic, b"wanted", tag="a"), **send)
        other = runner.call("send", message=message(topic, b"other", tag="b"), **send)["receipt"]
    with world.consumer(language, group, {topic: "a"}, {"later_first": 1}, **settings) as inbox:
        assert [inbox.take()["delivery_attempt"] for _ in range(2)] == [1, 2]
        who = {"consumerGroup": group, "clientId": member(world, group)}
        info = ask(world, GET_CONSUMER_RUNNING_INFO, jstackEnable="true", **who).decode()
        for part in (
            '"consumeMessageBatchMaxSize":"3"',
            '"maxReconsumeTimes":"7"',
            '"PROP_CONSUME_TYPE":"CONSUME_PASSIVELY"',
            '"subString":"a"',
            f'"topic":"{topic}"',
            "listener calls run",
        ):
            assert part in info, (part, info)
        assert "listener calls run" not in ask(world, GET_CONSUMER_RUNNING_INFO, **who).decode()
        # The listener gets what is given to it by hand, subscribed to or not, and the tool is told what it answered.
        by_hand = {**who, "msgId": other["offset_message_id"], "brokerName": inbox.messages[0]["broker_name"]}
        by_hand["topic"] = topic
        for attempt, expected in enumerate(["CR_LATER", "CR_SUCCESS"]):
            result = json.loads(ask(world, CONSUME_MESSAGE_DIRECTLY, **by_hand))
            assert result["consumeResult"] == expected and result["order"] is True, (attempt, result)
            assert inbox.take()["message_id"] == other["message_id"], inbox.messages[-1]
        status = {"topic": topic, "group": group, "clientAddr": ""}
        assert f'"{who["clientId"]}"' in ask(world, INVOKE_BROKER_TO_GET_CONSUMER_STATUS, **status).decode()


@scenario("Offsets are reset while a consumer runs", brokers=OURS)
def reset_while_running(world: World, language: str) -> None:
    """Back to the begin and to a time in the middle; what comes again comes in order."""
    topic, group = world.topic(queues=1), world.name("group")
    send_all(world, language, topic, [b"0", b"1"])
    first = {"consume_from_where": "first"}
    with world.consumer(language, group, {topic: "*"}, **first) as inbox:
        for count in (2, 4, 6):
            while len(inbox.messages) < count:
                inbox.take()
            if count < 6:
                reset(world, group, topic, 0)
        assert sorted(inbox.bodies) == [b"0"] * 3 + [b"1"] * 3, inbox.bodies
        middle = max(got["store_timestamp"] for got in inbox.messages) + 1
    wait_until(lambda: time.time() * 1000 > middle, "the clock goes on")
    send_all(world, language, topic, [b"2", b"3"])
    group = world.name("group")
    with world.consumer(language, group, {topic: "*"}, {"async": True}, consume_mode="orderly", **first) as inbox:
        assert [inbox.take()["queue_offset"] for _ in range(4)] == [0, 1, 2, 3]
        for timestamp, expected in [(0, [0, 1, 2, 3]), (middle, [2, 3])]:
            reset(world, group, topic, timestamp)
            assert [inbox.take()["queue_offset"] for _ in expected] == expected, inbox.bodies
    group = world.name("group")
    with world.puller(language, group, {topic: "*"}, consume_from_where="first") as puller:
        puller.collect({b"0", b"1", b"2", b"3"})
        info = ask(world, GET_CONSUMER_RUNNING_INFO, consumerGroup=group, clientId=member(world, group)).decode()
        assert '"PROP_CONSUME_TYPE":"CONSUME_ACTIVELY"' in info, info
        reset(world, group, topic, middle)
        again = puller.collect({b"2", b"3"})
        assert [got["queue_offset"] for got in again] == [2, 3], again


@scenario("Members that subscribe differently are warned of", brokers=OURS)
def inconsistent_subscriptions(world: World, language: str) -> None:
    """Other expressions and other topics in one group are told as a warning event; agreement is not."""
    one, two, group = world.topic(queues=1), world.topic(queues=1), world.name("group")
    often = {"rebalance_interval": "50ms"}
    # Members are compared when queues are divided; the broker knows what the last heartbeat said: that of the others.
    of_client = {"heartbeat_broker_interval": "50ms"}
    with world.consumer(language, group, {one: "a"}, **often) as first:
        with world.consumer(language, group, {one: "a"}, {"async": True}, of_client, **often) as second:
            first.expect_quiet(0.3)
            second.runner.call("consumer.subscribe", consumer=second.handle, topic=one, expression="a || b")
            wait_for_warning(first, "INCONSISTENT_SUBSCRIPTION", f"'{one}'", group, "a || b")
        other = {one: "a", two: "*"}
        with world.consumer(language, group, other, client_settings=of_client, **often):
            wait_for_warning(first, "INCONSISTENT_SUBSCRIPTION", f"'{two}'", group)


@scenario("Broadcasting keeps its offsets as Apache does and repeats nothing", brokers=OURS)
def broadcasting_drops(world: World, language: str) -> None:
    """What fails does not come again but is warned of; the offsets are in the named directory, in Apache's format."""
    topic, group = world.topic(queues=1), world.name("group")
    name = world.name("instance")
    of_client = {"client_ip": "10.0.0.7", "instance_name": name, "persist_consumer_offset_interval": "100ms"}
    with tempfile.TemporaryDirectory() as folder:
        settings = {"message_model": "broadcasting", "offset_dir": f"{folder}/not/yet"}
        with world.consumer(language, group, {topic: "*"}, {"always_later": True}, of_client, **settings) as inbox:
            send_all(world, language, topic, [b"lost"])
            assert inbox.take()["delivery_attempt"] == 1
            wait_for_warning(inbox, "MESSAGE_DROPPED", topic)
            file = Path(folder, "not", "yet", f"10.0.0.7@{name}", group, "offsets.json")

            def offset() -> str | None:
                text = file.read_text() if file.exists() else ""
                table = re.search(r'"offsetTable":\{(\{[^}]*\}):(\d+)\}', re.sub(r"\s", "", text))
                if table is None:
                    return None
                queue = json.loads(table[1])
                assert (queue["topic"], queue["queueId"]) == (topic, 0) and queue["brokerName"], text
                return table[2]

            wait_until(lambda: offset() == "1", "the offset is in the file")
            inbox.expect_quiet(1.2)
        with world.client(language) as (runner, client):
            opened = {"op": "consumer.open", "consumer": world.name("consumer"), "client": client, "group": group}
            opened = {**opened, "subscriptions": {topic: "*"}, "behaviour": {}}
            refused(runner, "CONFIG", "offset_dir", **opened, settings={"message_model": "broadcasting"})
            taken = {"message_model": "broadcasting", "offset_dir": str(file)}
            refused(runner, "CONFIG", "offset_dir", str(file), **opened, settings=taken)
