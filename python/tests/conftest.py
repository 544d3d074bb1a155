"""What all tests share: one broker, fresh topics and groups, a client."""

from collections.abc import Iterator

import libmq
import pytest
from libmq import testing
from support import FAST_RETRY, fresh


@pytest.fixture(scope="session")
def broker() -> Iterator[testing.Broker]:
    with testing.Broker(messageDelayLevel=FAST_RETRY) as broker:
        yield broker


@pytest.fixture
def topic(broker: testing.Broker) -> str:
    name = fresh("topic")
    broker.create_topic(name, queues=4)
    return name


@pytest.fixture
def group() -> str:
    return fresh("group")


@pytest.fixture
def client(broker: testing.Broker) -> Iterator[libmq.Client]:
    with libmq.Client(broker.address) as client:
        yield client
