"""Pull consumers: what an application asks for itself, with positions of its own."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack

from tests.harness.runner import RunnerError, body_of, message
from tests.harness.scenario import OURS, Puller, World, refused, scenario, wait_until
from tests.interop import remoting
from tests.scenarios.consuming import EVERYWHERE, send_all


def committed(world: World, group: str, topic: str, queues: int) -> int:
    """The sum of what a group has committed of a topic's queues."""
    return sum(remoting.committed(world.broker.broker, group, topic, queue) or 0 for queue in range(queues))


FROM_FIRST = {"consume_from_where": "first"}


@scenario("Pull consumer: subscribe, poll, commit", brokers=EVERYWHERE)
def pull_subscribed(world: World, language: str) -> None:
    """A subscribed pull consumer gets its share of the queues, and goes on where it committed."""
    topic, group = world.topic(), world.name("group")
    bodies = {b"%d" % number for number in range(20)}
    send_all(world, language, topic, sorted(bodies), tag="t")
    for mode, sent in [("sync", bodies), ("async", {b"later"})]:
        if b"later" in sent:
            send_all(world, language, topic, [b"later"], tag="t")
        with world.puller(language, group, {topic: "t || u"}, **FROM_FIRST) as puller:
            found = puller.collect(sent, mode)
            assert len(found) == len(sent), "a message came twice"
            assert all(got["topic"] == topic and got["tag"] == "t" for got in found), found
            assert len(puller.call("assignment")["queues"]) == 4
            puller.call("commit")


@scenario("Pull consumer: queues and positions of one's choice", brokers=EVERYWHERE)
def pull_assigned(world: World, language: str) -> None:
    """Assigned queues, seek to an offset, the begin and the end, offsets by time, committed positions."""
    topic, group = world.topic(queues=2), world.name("group")
    with world.producer(language) as (runner, producer):
        queues = runner.call("producer.queues", producer=producer, topic=topic)["queues"]
        for queue in queues:
            for number in range(10):
                body = b"%d-%d" % (queue["queue_id"], number)
                sent = {"message": message(topic, body), "mode": "sync", "queue": queue}
                runner.call("send", producer=producer, **sent)
    with world.puller(language, group) as puller:
        known = sorted(puller.call("queues", topic=topic)["queues"], key=lambda queue: queue["queue_id"])
        assert [queue["queue_id"] for queue in known] == [0, 1], known
        first, other = known
        # Brokers say 0 for a young queue of which nothing is committed.
        assert puller.call("committed", queue=first)["offset"] in (None, 0)
        puller.call("assign", queues=[first])
        puller.call("seek", queue=first, to="begin")
        found = puller.collect({b"0-%d" % number for number in range(10)})
        assert [got["queue_offset"] for got in found] == list(range(10)), found
        assert puller.call("position", queue=first)["offset"] == 10
        puller.call("seek", queue=first, to=7)
        assert {body_of(got) for got in puller.collect({b"0-9"})} == {b"0-7", b"0-8", b"0-9"}
        puller.call("commit", offsets=[{"queue": first, "offset": 4}])
        assert puller.call("committed", queue=first)["offset"] == 4
        assert (
            puller.call("offset_for_time", queue=first, timestamp=found[0]["store_timestamp"] - 10_000)["offset"] == 0
        )
        puller.call("seek", queue=first, to="end")
        assert puller.poll(timeout=300) == []
        puller.call("assign", queues=[first, other])
        puller.call("seek", queue=other, to=9)
        assert {body_of(got) for got in puller.collect({b"1-9"})} == {b"1-9"}
        try:
            puller.call("seek", queue={**other, "queue_id": 17}, to=0)
        except RunnerError as error:
            assert error.code in ("STATE", "ARGUMENT"), error
        else:
            raise AssertionError("seek in a queue that is not assigned was accepted")


@scenario("Pull consumer: pause and resume")
def pull_paused(world: World, language: str) -> None:
    """A paused queue gives nothing, others go on; after resuming nothing is missing."""
    topic = world.topic(queues=2)
    with world.puller(language, world.name("group")) as puller:
        first, other = sorted(puller.call("queues", topic=topic)["queues"], key=lambda queue: queue["queue_id"])
        puller.call("assign", queues=[first, other])
        puller.call("pause", queues=[first])
        with world.producer(language) as (runner, producer):
            for queue in [first, other]:
                sent = {"message": message(topic, b"in %d" % queue["queue_id"]), "mode": "sync", "queue": queue}
                runner.call("send", producer=producer, **sent)
        assert {body_of(got) for got in puller.collect({b"in 1"})} == {b"in 1"}
        assert puller.poll(timeout=500) == []
        puller.call("resume", queues=[first])
        puller.collect({b"in 0"})


@scenario("Pull consumers share queues and are told of it", brokers=EVERYWHERE)
def pull_shared(world: World, language: str) -> None:
    """Two members have half of the queues each; one leaves, the other one is told and has all."""
    topic, group = world.topic(queues=4), world.name("group")

    def wait_for_queues(puller: Puller, count: int) -> None:
        while True:
            event = puller.runner.event(puller.handle)
            if event["event"] == "queues" and len(event["queues"]) == count:
                return

    with world.puller(language, group, {topic: "*"}) as stays:
        deadline = time.monotonic() + 60
        while len(stays.call("assignment")["queues"]) < 4:
            assert time.monotonic() < deadline, "the only member does not get all queues"
            stays.poll(timeout=100)
        with world.puller(language, group, {topic: "*"}):
            wait_for_queues(stays, 2)
        wait_for_queues(stays, 4)


@scenario("Pull consumer: several topics, commits by themselves and by hand", brokers=OURS)
def pull_topics(world: World, language: str) -> None:
    """One consumer has two topics, subscribed or assigned; what polls gave is committed by itself, or by hand alone."""
    one, two, group = world.topic(queues=1), world.topic(queues=2), world.name("group")
    bodies = {b"one", b"two"}
    for topic, body in [(one, b"one"), (two, b"two")]:
        send_all(world, language, topic, [body], tag="t")
    settings = {**FROM_FIRST, "auto_commit": "false"}
    for commit in (False, True):  # what was not committed comes again
        with world.puller(language, group, {one: "t", two: "t || u"}, **settings) as puller:
            found = puller.collect(bodies)
            assert {(got["topic"], body_of(got)) for got in found} == {(one, b"one"), (two, b"two")}, found
            if commit:
                puller.call("commit")
                # A commit is answered by nobody, so the broker is asked for it.
                wait_until(lambda: committed(world, group, one, 1) + committed(world, group, two, 2) == 2, "the commit")
    settings = {**FROM_FIRST, "auto_commit": "true", "auto_commit_interval": "50ms"}
    with world.puller(language, group, {one: "*", two: "*"}, **settings) as puller:
        assert puller.poll(timeout=300) == []
        send_all(world, language, one, [b"more"])
        assert [got["queue_offset"] for got in puller.collect({b"more"})] == [1]
        (queue,) = puller.call("queues", topic=one)["queues"]
        deadline = time.monotonic() + 30
        while puller.call("committed", queue=queue)["offset"] != 2:
            assert time.monotonic() < deadline, "nothing is committed"
            assert puller.poll(timeout=50) == []
    with world.puller(language, world.name("group"), **FROM_FIRST) as puller:
        queues = [queue for topic in (one, two) for queue in puller.call("queues", topic=topic)["queues"]]
        assert len(queues) == 3, queues
        puller.call("assign", queues=queues)
        found = puller.collect({*bodies, b"more"})
        assert {got["topic"] for got in found} == {one, two}, found


@scenario("Pull consumer: a place by time")
def pull_by_time(world: World, language: str) -> None:
    """A time between two messages is the place of the later one; one before all is the begin, one after all the end."""
    topic = world.topic(queues=1)
    receipts = []
    with world.puller(language, world.name("group")) as puller, world.producer(language) as (runner, producer):
        (queue,) = puller.call("queues", topic=topic)["queues"]
        puller.call("assign", queues=[queue])
        puller.call("seek", queue=queue, to="begin")
        times: list[int] = []
        for number in range(4):
            sent = {"message": message(topic, b"%d" % number), "mode": "sync"}
            receipts.append(runner.call("send", producer=producer, **sent)["receipt"])
            times += [got["store_timestamp"] for got in puller.collect({b"%d" % number})]
            deadline = time.monotonic() + 30
            while time.time() * 1000 <= times[-1] + 1:
                assert time.monotonic() < deadline
        for timestamp, offset in [(times[0] - 5000, 0), (times[1] + 1, 2), (times[2], 2), (times[3], 3)]:
            assert puller.call("offset_for_time", queue=queue, timestamp=timestamp)["offset"] == offset, times
            puller.call("seek", queue=queue, to={"time": timestamp})
            found = puller.collect({b"3"})
            assert [got["queue_offset"] for got in found] == list(range(offset, 4)), (timestamp, times, found)
        puller.call("seek", queue=queue, to={"time": times[3] + 3_600_000})
        assert puller.poll(timeout=200) == []


@scenario("How queues are divided is a setting", brokers=OURS)
def allocation(world: World, language: str) -> None:
    """In turns, by a ring of hashes or as each member is told: all queues have one owner."""
    strategies = {
        "AVG_BY_CIRCLE": [[0, 2], [1, 3]],
        "CONSISTENT_HASH": None,
        "CONFIG": [[0], [1, 2, 3]],
    }
    (broker,) = remoting.cluster(world.namesrv)
    for strategy, expected in strategies.items():
        topic, group = world.topic(queues=4), world.name("group")
        settings = {"allocate_strategy": strategy, "rebalance_interval": "50ms"}
        with ExitStack() as stack:
            pullers = []
            for named in ("0", "1-3"):
                if strategy == "CONFIG":
                    settings["allocate_queues"] = f"{topic}:{broker}:{named}"
                pullers.append(stack.enter_context(world.puller(language, group, {topic: "*"}, **settings)))
            deadline = time.monotonic() + 60
            while True:
                shares = sorted(
                    sorted(queue["queue_id"] for queue in puller.call("assignment")["queues"]) for puller in pullers
                )
                if shares == expected or (expected is None and sorted(itertools.chain(*shares)) == [0, 1, 2, 3]):
                    break
                assert time.monotonic() < deadline, (strategy, shares)
                for puller in pullers:
                    puller.poll(timeout=20)
    with world.client(language) as (runner, client):
        opened = {"op": "pull.open", "consumer": "c", "client": client, "group": "g", "subscriptions": {topic: "*"}}
        for strategy, word in [("CONFIG", "allocate_queues"), ("MACHINE_ROOM", "machine_rooms"), ("FAIR", "CIRCLE")]:
            refused(runner, "CONFIG", word, **opened, settings={"allocate_strategy": strategy})
        wrong = {"allocate_strategy": "CONFIG", "allocate_queues": f"{topic}:{broker}:3-1"}
        refused(runner, "CONFIG", "3-1", **opened, settings=wrong)
