"""Consuming, synchronously: listeners, their answers and mistakes, starting and closing."""

import logging
import threading
import time

import libmq
import pytest
from libmq import ConsumeResult, Message, testing
from support import FAST_RETRY, Inbox, eventually, fresh


@pytest.fixture
def producer(client):
    return client.producer("p")


def consume(client, group, topic, **settings):
    return client.push_consumer(group, {topic: "*"}, consume_from_where="first", **settings)


def test_listen_is_a_decorator_that_gives_the_function_back(client, producer, topic, group):
    inbox = Inbox()
    consumer = consume(client, group, topic)

    @consumer.listen
    def handle(message):
        inbox.put(message)

    handle(None)
    with consumer:
        producer.send(Message(topic, b"x"))
        inbox.wait(2)


def test_tags_choose(client, producer, topic, group):
    inbox = Inbox()
    with client.push_consumer(group, {topic: "a || b"}, listener=inbox.put, consume_from_where="first"):
        for tag in "abcab":
            producer.send(Message(topic, tag.encode(), tag=tag))
        inbox.wait(4)
    assert sorted(inbox.bodies) == [b"a", b"a", b"b", b"b"]


def test_a_group_remembers_where_it_was(client, producer, topic, group):
    first, second = Inbox(), Inbox()
    with consume(client, group, topic, listener=first.put):
        producer.send(Message(topic, b"1"))
        first.wait()
    producer.send(Message(topic, b"2"))
    with consume(client, group, topic, listener=second.put):
        second.wait()
    assert second.bodies == [b"2"]


@pytest.mark.parametrize(
    "later", [ConsumeResult.LATER, ConsumeResult.later(delay_level=1), RuntimeError("listener"), "text", False]
)
def test_what_is_not_done_comes_again(client, producer, topic, group, caplog, later):
    inbox = Inbox()

    def handle(message):
        inbox.put(message)
        if message.delivery_attempt > 1:
            return ConsumeResult.SUCCESS
        if isinstance(later, Exception):
            raise later
        return later

    with consume(client, group, topic, listener=handle):
        sent = producer.send(Message(topic, b"x", tag="t", keys=["k"]))
        first, second = inbox.wait(2)
    assert (first.message_id, second.message_id) == (sent.message_id, sent.message_id)
    assert (second.topic, second.tag, second.keys, second.body) == (topic, "t", ["k"], b"x")
    assert (second.delivery_attempt, second.reconsume_times) == (2, 1)
    records = [record for record in caplog.records if record.name == "libmq"]
    if isinstance(later, ConsumeResult):
        assert not records
    else:
        (record,) = records
        assert record.levelno == logging.ERROR and record.exc_info is not None
        assert sent.message_id in record.getMessage()


def test_a_listener_that_exits_does_not_end_the_program(client, producer, topic, group, caplog):
    inbox = Inbox()

    def handle(message):
        inbox.put(message)
        if message.delivery_attempt == 1:
            raise SystemExit(1)

    with consume(client, group, topic, listener=handle):
        producer.send(Message(topic, b"x"))
        inbox.wait(2)


def test_listeners_run_side_by_side(client, producer, topic, group):
    together = threading.Barrier(5)
    inbox = Inbox()

    def handle(message):
        together.wait(30)
        inbox.put(message)

    with consume(client, group, topic, listener=handle, threads=5):
        for n in range(10):
            producer.send(Message(topic, b"%d" % n))
        inbox.wait(10)
    assert len({message.message_id for message in inbox.messages}) == 10


def test_no_more_threads_than_told(client, producer, topic, group):
    names, inbox = set(), Inbox()

    def handle(message):
        names.add(threading.current_thread().name)
        time.sleep(0.001)
        inbox.put(message)

    with consume(client, group, topic, listener=handle, threads=2):
        for n in range(100):
            producer.send_oneway(Message(topic, b"%d" % n))
        inbox.wait(100)
    assert 1 <= len(names) <= 2
    assert all(name.startswith(f"libmq-{group}-") for name in names)


def test_threads_without_work_end(client, producer, topic, group, monkeypatch):
    monkeypatch.setattr("libmq._client.PATIENCE", 0.05)
    together, inbox = threading.Barrier(5), Inbox()

    def threads():
        return [thread for thread in threading.enumerate() if thread.name.startswith(f"libmq-{group}-")]

    def handle(message):
        together.wait(30)
        inbox.put(message)

    with consume(client, group, topic, listener=handle, threads=5):
        for round in (1, 2):  # what has shrunk grows again
            for n in range(5):
                producer.send(Message(topic, b"%d" % n))
            inbox.wait(5 * round)
            eventually(lambda: len(threads()) == 1, "one thread is left")


def test_a_consumer_without_a_listener_does_not_start(client, topic, group):
    consumer = consume(client, group, topic)
    with pytest.raises(libmq.Error, match="listener") as caught:
        consumer.start()
    assert caught.value.name == "STATE"
    consumer.close()


def test_starting_twice_is_no_matter_but_after_the_close_it_is(client, producer, topic, group):
    inbox = Inbox()
    consumer = consume(client, group, topic, listener=inbox.put)
    consumer.start()
    consumer.start()
    producer.send(Message(topic, b"x"))
    inbox.wait()
    consumer.close()
    consumer.close()
    with pytest.raises(libmq.ClosedError):
        consumer.start()


def test_closing_waits_for_the_listener(client, producer, topic, group):
    entered, leave, finished = threading.Event(), threading.Event(), []

    def handle(message):
        entered.set()
        leave.wait(30)
        finished.append(message.body)

    consumer = consume(client, group, topic, listener=handle)
    consumer.start()
    producer.send(Message(topic, b"x"))
    assert entered.wait(30)
    closing = threading.Thread(target=consumer.close)
    closing.start()
    leave.set()
    closing.join(30)
    assert finished == [b"x"]
    again = Inbox()
    with consume(client, group, topic, listener=again.put):
        producer.send(Message(topic, b"y"))
        again.wait()
    assert again.bodies == [b"y"]


def test_a_listener_that_never_returns_does_not_hold_the_close_up(client, producer, topic, group):
    entered, never = threading.Event(), threading.Event()

    def handle(message):
        entered.set()
        never.wait()

    consumer = consume(client, group, topic, listener=handle)
    consumer.start()
    producer.send(Message(topic, b"x"))
    assert entered.wait(30)
    with pytest.raises(libmq.TimeoutError):
        consumer.close(timeout=0.2)
    again = Inbox()
    with consume(client, group, topic, listener=again.put):
        again.wait()
    assert again.bodies == [b"x"]
    never.set()


def test_a_listener_may_close_its_consumer(client, producer, topic, group):
    consumer = consume(client, group, topic)
    done = []

    @consumer.listen
    def handle(message):
        done.append(message.body)
        consumer.close()

    producer.send(Message(topic, b"x"))
    consumer.run()
    assert done == [b"x"]


def test_a_listener_may_close_its_client(broker, topic, group):
    client = libmq.Client(broker.address)
    client.producer("p").send(Message(topic, b"x"))
    consumer = consume(client, group, topic, listener=lambda message: client.close())
    consumer.run()
    with pytest.raises(libmq.ClosedError):
        client.producer("p")


def test_run_ends_when_another_thread_closes(client, producer, topic, group):
    inbox = Inbox()
    consumer = consume(client, group, topic, listener=inbox.put)
    running = threading.Thread(target=consumer.run)
    running.start()
    producer.send(Message(topic, b"x"))
    inbox.wait()
    consumer.close()
    running.join(30)
    assert not running.is_alive()


def test_nothing_is_called_after_the_close(client, producer, topic, group):
    inbox = Inbox()
    with consume(client, group, topic, listener=inbox.put):
        producer.send(Message(topic, b"x"))
        inbox.wait()
    before = set(threading.enumerate())
    for _ in range(20):
        producer.send(Message(topic, b"y"))
    assert len(inbox.messages) == 1
    eventually(
        lambda: not [t for t in threading.enumerate() if t.name.startswith(f"libmq-{group}-")], "the end of the threads"
    )
    assert before >= set(threading.enumerate())


def test_batches_come_message_by_message(client, producer, topic, group):
    inbox = Inbox()
    producer.send([Message(topic, b"%d" % n) for n in range(50)])
    with consume(client, group, topic, listener=inbox.put, consume_message_batch_max_size=16):
        inbox.wait(50)
    assert sorted(inbox.bodies) == sorted(b"%d" % n for n in range(50))


def test_two_members_share_a_group(broker, topic, group):
    inbox, other = Inbox(), Inbox()
    with libmq.Client(broker.address) as one, libmq.Client(broker.address) as two:
        producer = one.producer("p")
        with consume(one, group, topic, listener=inbox.put), consume(two, group, topic, listener=other.put):

            def both_have_some():
                producer.send(Message(topic, b"x"))
                return inbox.messages and other.messages

            eventually(both_have_some, "a shared group")
    ids = [message.message_id for message in inbox.messages + other.messages]
    assert len(ids) == len(set(ids))


def test_a_broker_that_goes_and_comes_back_loses_nothing():
    with testing.Broker(messageDelayLevel=FAST_RETRY) as broker, libmq.Client(broker.address) as client:
        topic, inbox = fresh("topic"), Inbox()
        broker.create_topic(topic)
        producer = client.producer("p")
        with consume(client, fresh("group"), topic, listener=inbox.put):
            sent = {producer.send(Message(topic, b"%d" % n)).message_id for n in range(5)}
            inbox.wait(5)
            broker.stop()
            broker.restart()

            def sends():
                try:
                    return producer.send(Message(topic, b"after")).message_id
                except libmq.Error:
                    return None

            sent.add(eventually(sends, "sending again"))
            eventually(lambda: sent <= {message.message_id for message in inbox.messages}, "all messages")
