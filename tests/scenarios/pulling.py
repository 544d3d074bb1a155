"""Pull consumers: what an application asks for itself, with positions of its own."""

from __future__ import annotations

import time

from tests.harness.runner import RunnerError, body_of, message
from tests.harness.scenario import Puller, World, scenario
from tests.scenarios.consuming import EVERYWHERE, send_all

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
