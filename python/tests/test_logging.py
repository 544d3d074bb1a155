"""The core's log in the logging module: only when asked, at the level asked, no more when told."""

import logging

import libmq
import pytest
from support import eventually


@pytest.fixture(autouse=True)
def quiet():
    yield
    libmq.disable_logging()


def use(broker):
    with libmq.Client(broker.address) as client:
        client.producer("p").send(libmq.Message("logged", b"x"))


def records(caplog):
    return [record for record in caplog.records if record.name == "libmq"]


def test_nothing_comes_unasked(broker, caplog):
    with caplog.at_level(0):
        use(broker)
    assert records(caplog) == []


def test_what_is_asked_for_comes(broker, caplog):
    with caplog.at_level(5, "libmq"):
        libmq.enable_logging(5)
        use(broker)
        eventually(lambda: records(caplog), "a record")
        libmq.disable_logging()
        count = len(records(caplog))
        use(broker)
    assert len(records(caplog)) == count
    assert all(record.target.startswith("mq_") and record.getMessage() for record in records(caplog))


def test_the_level_is_kept(caplog):
    with caplog.at_level(0):
        libmq.enable_logging(logging.DEBUG)
        libmq.enable_logging(logging.WARNING)
        caplog.clear()  # the shared broker may have said something before
        with libmq.Client("127.0.0.1:1") as client, pytest.raises(libmq.Error):
            client.producer("p").send(libmq.Message("t", b"x"), timeout=1)
        libmq.disable_logging()
    assert all(record.levelno >= logging.WARNING for record in records(caplog))


def test_disabling_twice_is_no_matter():
    libmq.disable_logging()
    libmq.disable_logging()


def test_a_level_above_all_is_the_errors():
    libmq.enable_logging(logging.CRITICAL)
