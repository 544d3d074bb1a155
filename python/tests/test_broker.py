"""The embedded broker: its addresses, its data, stopping, killing and starting again."""

import os
from datetime import datetime, timedelta, timezone

import libmq
import pytest
from libmq import ConsumeResult, Message, testing
from support import Inbox, eventually


def receive(broker, inbox):
    with libmq.Client(broker.address) as client:
        consumer = client.push_consumer("g", {"t": "*"}, listener=inbox.put, consume_from_where="first")
        with consumer:
            inbox.wait()


def test_it_is_ready_when_it_is_made():
    with testing.Broker() as broker:
        assert broker.address.startswith("127.0.0.1:") and broker.broker_address.startswith("127.0.0.1:")
        assert broker.address != broker.broker_address
        assert os.path.isdir(broker.data_dir)
        broker.create_topic("orders", queues=2)
        with libmq.Client(broker.address) as client:
            producer = client.producer("p")
            assert {producer.send(Message("orders", b"x")).queue_id for _ in range(8)} == {0, 1}
        data = broker.data_dir
    assert not os.path.exists(data)


def test_two_brokers_do_not_meet():
    with testing.Broker() as one, testing.Broker() as two:
        assert len({one.address, one.broker_address, two.address, two.broker_address}) == 4
        assert one.data_dir != two.data_dir


def test_a_given_folder_is_kept(tmp_path):
    with testing.Broker(tmp_path / "data") as broker, libmq.Client(broker.address) as client:
        broker.create_topic("t", queues=1)
        client.producer("p").send(Message("t", b"kept"))
    assert (tmp_path / "data").is_dir()
    inbox = Inbox()
    with testing.Broker(str(tmp_path / "data")) as broker:
        receive(broker, inbox)
    assert inbox.bodies == [b"kept"]


@pytest.mark.parametrize("way", ["stop", "kill", "restart"])
def test_what_was_acknowledged_is_there_after_a_restart(way):
    inbox = Inbox()
    with testing.Broker(flushDiskType="SYNC_FLUSH") as broker:
        addresses = (broker.address, broker.broker_address)
        broker.create_topic("t", queues=1)
        with libmq.Client(broker.address) as client:
            client.producer("p").send(Message("t", b"acknowledged"))
        if way != "restart":
            getattr(broker, way)()
        broker.restart()
        assert (broker.address, broker.broker_address) == addresses
        receive(broker, inbox)
    assert inbox.bodies == [b"acknowledged"]


def test_stopping_twice_and_after_a_kill():
    broker = testing.Broker()
    broker.kill()
    broker.kill()
    broker.stop()
    broker.stop()
    with pytest.raises(libmq.Error) as caught:
        broker.create_topic("t")
    assert caught.value.name == "STATE"
    broker.close()
    broker.close()
    for call in (broker.restart, broker.stop, broker.kill, lambda: broker.create_topic("t"), lambda: broker.address):
        with pytest.raises(libmq.ClosedError):
            call()


def test_mistakes_are_explained(tmp_path):
    with pytest.raises(libmq.ConfigError, match="flushDiskType"):
        testing.Broker(flushDiskTyp="SYNC_FLUSH")
    with pytest.raises(libmq.ConfigError, match="flushDiskType"):
        testing.Broker(flushDiskType="NEVER")
    (tmp_path / "file").write_text("")
    with pytest.raises(libmq.Error) as caught:
        testing.Broker(tmp_path / "file")
    assert caught.value.name == "IO"
    with testing.Broker() as broker, pytest.raises(libmq.ArgumentError):
        broker.create_topic("a b")


def test_a_folder_belongs_to_one_broker(tmp_path):
    with testing.Broker(tmp_path), pytest.raises(libmq.Error) as caught:
        testing.Broker(tmp_path)
    assert caught.value.name == "IO"


@pytest.fixture
def tested():
    """A broker of a test's own, with a topic, a producer without retries and what its route asks for done."""
    with testing.Broker() as broker, libmq.Client(broker.address) as client:
        broker.create_topic("t", queues=1)
        producer = client.producer("p", retry_times_when_send_failed=0)
        producer.send(Message("t", b"first"))
        yield broker, producer


def test_requests_fail_as_told(tested):
    broker, producer = tested
    broker.faults.fail_next("SEND_MESSAGE", code="SYSTEM_BUSY", times=2)
    for _ in range(2):
        with pytest.raises(libmq.ThrottledError) as caught:
            producer.send(Message("t", b"refused"))
        assert caught.value.broker_code == 2
    assert producer.send(Message("t", b"taken")).queue_offset == 1
    broker.faults.fail_next("310", code="16")
    with pytest.raises(libmq.Error) as caught:
        producer.send(Message("t", b"refused"))
    assert caught.value.broker_code == 16


def test_answers_are_late_or_lost_and_connections_cut(tested):
    broker, producer = tested
    broker.faults.lose_answer_next("SEND_MESSAGE")
    with pytest.raises(libmq.TimeoutError):
        producer.send(Message("t", b"stored"), timeout=0.3)
    assert producer.send(Message("t", b"after")).queue_offset == 2
    broker.faults.delay_next("SEND_MESSAGE", timedelta(seconds=30))
    with pytest.raises(libmq.TimeoutError):
        producer.send(Message("t", b"late"), timeout=0.3)
    broker.faults.drop_next("SEND_MESSAGE")
    with pytest.raises(libmq.Error) as caught:
        producer.send(Message("t", b"cut"), timeout=3)
    assert caught.value.name == "NETWORK" and caught.value.retryable


def test_faults_are_taken_back_and_outlive_a_restart(tested):
    broker, producer = tested
    broker.faults.fail_next("SEND_MESSAGE", "SYSTEM_BUSY", times=1000)
    broker.restart()
    with pytest.raises(libmq.ThrottledError):
        eventually(lambda: not _network_error(producer), "the broker is back")
    broker.faults.clear()
    producer.send(Message("t", b"x"))
    broker.faults.refuse_connections()
    with libmq.Client(broker.address) as other, pytest.raises(libmq.Error) as caught:
        other.producer("q").send(Message("t", b"x"), timeout=1)
    assert caught.value.retryable
    broker.faults.refuse_connections(False)
    with libmq.Client(broker.address) as other:
        other.producer("q").send(Message("t", b"x"))


def _network_error(producer):
    try:
        producer.send(Message("t", b"x"))
    except libmq.Error as error:
        if error.name not in ("NETWORK", "TIMEOUT"):
            raise
        return True
    return False


def test_faults_that_do_not_exist():
    with testing.Broker() as broker:
        with pytest.raises(libmq.ArgumentError, match="SEND_MESAGE"):
            broker.faults.fail_next("SEND_MESAGE", code="SYSTEM_BUSY")
        with pytest.raises(libmq.ArgumentError, match="TOO_BUSY"):
            broker.faults.fail_next("SEND_MESSAGE", code="TOO_BUSY")
        for wrong in (-1, 2**32, 0.5):
            with pytest.raises((OverflowError, TypeError)):
                broker.faults.drop_next("SEND_MESSAGE", times=wrong)
    for call in (broker.faults.clear, lambda: broker.clock.now, lambda: broker.clock.advance(1)):
        with pytest.raises(libmq.ClosedError):
            call()


def test_the_clock_moves_and_what_is_due_comes():
    with testing.Broker() as broker, libmq.Client(broker.address) as client:
        broker.create_topic("t", queues=1)
        inbox = Inbox()

        def later_once(message):
            inbox.put(message)
            return ConsumeResult.later(18) if message.delivery_attempt == 1 else None

        with client.push_consumer("g", {"t": "*"}, listener=later_once):
            before = broker.clock.now
            client.producer("p").send(Message("t", b"in two hours", delay_level=18))
            broker.clock.advance(hours=1, minutes=59)
            assert inbox.messages == []
            broker.clock.advance(timedelta(seconds=61))
            assert inbox.wait(1)[0].delivery_attempt == 1
            assert broker.clock.now - before >= 2 * 3600 * 1000
            eventually(lambda: (broker.clock.advance(hours=2), len(inbox.messages) == 2)[1], "the retry")
            assert inbox.messages[1].delivery_attempt == 2
        broker.clock.set(datetime(2040, 1, 1, tzinfo=timezone.utc))
        assert 0 <= broker.clock.now - 2_208_988_800_000 < 60_000
        broker.clock.set(broker.clock.now + 5000)
        assert broker.clock.now > 2_208_988_804_000
        with pytest.raises(libmq.ArgumentError):
            broker.clock.advance(-1)
