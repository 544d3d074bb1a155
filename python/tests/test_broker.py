"""The embedded broker: its addresses, its data, stopping, killing and starting again."""

import os

import libmq
import pytest
from libmq import Message, testing
from support import Inbox


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
