"""Sending, synchronously: one, many, one-way, and every way in which it fails."""

import threading
from datetime import timedelta

import libmq
import pytest
from libmq import testing
from support import Inbox, eventually, fresh


@pytest.fixture
def producer(client):
    with client.producer("p") as producer:
        yield producer


def test_a_list_is_one_batch(client, producer, topic, group):
    inbox = Inbox()
    with client.push_consumer(group, {topic: "*"}, listener=inbox.put, consume_from_where="first"):
        receipt = producer.send(
            [libmq.Message(topic, b"%d" % n, tag="even" if n % 2 == 0 else "odd") for n in range(10)]
        )
        got = inbox.wait(10)
    assert sorted(inbox.bodies) == [b"%d" % n for n in range(10)]
    assert {message.queue_id for message in got} == {receipt.queue_id}
    assert {message.message_id for message in got} == set(receipt.message_id.split(","))


def test_any_iterable_of_messages_is_a_list(producer, topic):
    assert producer.send(tuple(libmq.Message(topic, b"x") for _ in range(2))).status is libmq.SendStatus.OK
    assert producer.send(libmq.Message(topic, b"x") for _ in range(2)).status is libmq.SendStatus.OK


def test_lists_that_cannot_be_one_batch_are_refused(producer, topic):
    with pytest.raises(libmq.ArgumentError):
        producer.send([])
    with pytest.raises(libmq.ArgumentError, match="topic"):
        producer.send([libmq.Message(topic, b"x"), libmq.Message("other", b"x")])
    with pytest.raises(TypeError, match="Message"):
        producer.send([b"bytes"])
    with pytest.raises(TypeError, match="Message"):
        producer.send(b"bytes")


def test_oneway(client, producer, topic, group):
    inbox = Inbox()
    with client.push_consumer(group, {topic: "*"}, listener=inbox.put, consume_from_where="first"):
        assert producer.send_oneway(libmq.Message(topic, b"x")) is None
        inbox.wait()


def test_a_message_group_stays_in_one_queue(producer, topic):
    receipts = [producer.send(libmq.Message(topic, b"x", message_group="g")) for _ in range(8)]
    assert len({receipt.queue_id for receipt in receipts}) == 1
    assert [receipt.queue_offset for receipt in receipts] == list(range(8))


def test_a_large_body_is_compressed_and_comes_out_whole(client, producer, topic, group):
    inbox = Inbox()
    body = b"0123456789" * 20_000
    with client.push_consumer(group, {topic: "*"}, listener=inbox.put, consume_from_where="first"):
        producer.send(libmq.Message(topic, body))
        inbox.wait()
    assert inbox.bodies == [body]


def test_many_threads_share_a_producer(producer, topic):
    ids: list[str] = []

    def send():
        for _ in range(50):
            ids.append(producer.send(libmq.Message(topic, b"x")).message_id)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 400


@pytest.mark.parametrize("timeout", [3, 3.0, timedelta(seconds=3), None])
def test_timeouts_are_seconds_or_timedeltas(producer, topic, timeout):
    assert producer.send(libmq.Message(topic, b"x"), timeout).queue_offset >= 0
    assert producer.send(libmq.Message(topic, b"x"), timeout=timeout).queue_offset >= 0


@pytest.mark.parametrize("timeout", [-1, -0.5, float("nan"), timedelta(seconds=-1)])
def test_impossible_timeouts_are_refused(producer, topic, timeout):
    with pytest.raises(ValueError):
        producer.send(libmq.Message(topic, b"x"), timeout)


def test_a_body_over_the_limit_is_too_large(producer, topic):
    with pytest.raises(libmq.TooLargeError) as caught:
        producer.send(libmq.Message(topic, bytes(4 * 1024 * 1024 + 1)))
    assert caught.value.name == "TOO_LARGE"
    assert not caught.value.retryable


def test_a_topic_that_nobody_has_is_not_found():
    with testing.Broker(autoCreateTopicEnable=False) as broker, libmq.Client(broker.address) as client:
        producer = client.producer("p")
        with pytest.raises(libmq.NotFoundError, match="nowhere"):
            producer.send(libmq.Message("nowhere", b"x"))


def test_an_address_where_nobody_is():
    with libmq.Client("127.0.0.1:1") as client, pytest.raises(libmq.Error) as caught:
        client.producer("p").send(libmq.Message("t", b"x"), timeout=2)
    assert caught.value.name in ("NETWORK", "TIMEOUT", "NOT_FOUND")
    assert "127.0.0.1:1" in str(caught.value)


def test_a_broker_that_goes_and_comes_back():
    with testing.Broker() as broker, libmq.Client(broker.address) as client:
        topic = fresh("topic")
        broker.create_topic(topic)
        producer = client.producer("p")
        producer.send(libmq.Message(topic, b"before"))
        broker.kill()
        with pytest.raises(libmq.Error) as caught:
            producer.send(libmq.Message(topic, b"meanwhile"), timeout=1)
        assert caught.value.name in ("NETWORK", "TIMEOUT", "NOT_FOUND")
        broker.restart()

        def works():
            try:
                return producer.send(libmq.Message(topic, b"after"))
            except libmq.Error:
                return None

        eventually(works, "sending again")


def test_closing_is_final_and_may_be_repeated(client, topic):
    producer = client.producer("p")
    producer.close()
    producer.close()
    with pytest.raises(libmq.ClosedError):
        producer.send(libmq.Message(topic, b"x"))
    with pytest.raises(libmq.ClosedError):
        producer.send_oneway(libmq.Message(topic, b"x"))


def test_closing_the_client_closes_what_it_made(broker, topic):
    client = libmq.Client(broker.address)
    producer = client.producer("p")
    producer.send(libmq.Message(topic, b"x"))
    client.close()
    client.close()
    with pytest.raises(libmq.ClosedError) as caught:
        producer.send(libmq.Message(topic, b"x"))
    assert caught.value.fatal
    with pytest.raises(libmq.ClosedError):
        client.producer("p")
    with pytest.raises(libmq.ClosedError):
        client.push_consumer("g", {topic: "*"})


def test_closing_while_busy(broker, topic):
    client = libmq.Client(broker.address)
    producer = client.producer("p")
    results: list[object] = []
    started = threading.Barrier(5)

    def send():
        started.wait()
        try:
            while True:
                producer.send(libmq.Message(topic, b"x" * 1000))
        except libmq.Error as error:
            results.append(error.name)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    client.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert results == ["CLOSED"] * 4


def test_queues_are_chosen_by_hand(client, topic):
    producer = client.producer()
    queues = producer.queues(topic)
    assert [queue.queue_id for queue in queues] == [0, 1, 2, 3] and {queue.topic for queue in queues} == {topic}
    for queue in queues:
        receipt = producer.send(libmq.Message(topic, b"x"), queue=queue)
        assert (receipt.topic, receipt.broker_name, receipt.queue_id) == queue
    with pytest.raises(TypeError):
        producer.send([libmq.Message(topic, b"x")], queue=queues[0])
    with pytest.raises(TypeError):
        producer.send(libmq.Message(topic, b"x"), queue=0)
    with pytest.raises(libmq.Error):
        producer.send(libmq.Message(topic, b"x"), queue=queues[0]._replace(broker_name="nobody"), timeout=2)
    with pytest.raises(libmq.ArgumentError):
        producer.queues("a b")
    producer.close()
    with pytest.raises(libmq.ClosedError):
        producer.queues(topic)


def test_long_lists_are_divided(client, topic):
    producer = client.producer(max_message_size=4000)
    messages = [libmq.Message(topic, b"%03d" % number + b"." * 500) for number in range(40)]
    lists = producer.split(messages)
    assert 6 <= len(lists) <= 12
    assert [message.body for batch in lists for message in batch] == [message.body for message in messages]
    for batch in lists:
        assert producer.send(batch).status is libmq.SendStatus.OK
    with pytest.raises(libmq.TooLargeError):
        producer.send(messages)
    with pytest.raises(libmq.TooLargeError):
        producer.split([libmq.Message(topic, b"." * 5000)])
    with pytest.raises(TypeError):
        producer.split(messages[0])


def test_a_message_need_not_wait_for_the_disk(client, topic):
    assert client.producer().send(libmq.Message(topic, b"x", wait_store=False)).queue_offset == 0
