"""Settings and errors: checked at once, explained, catchable by kind."""

import builtins
import pickle
from datetime import timedelta

import libmq
import pytest


def test_an_unknown_setting_names_its_neighbour(client):
    with pytest.raises(libmq.ConfigError, match="send_timeout") as caught:
        client.producer("p", send_timeot=3)
    assert (caught.value.code, caught.value.name) == (2, "CONFIG")
    assert isinstance(caught.value, ValueError)
    with pytest.raises(libmq.ConfigError, match="consume_thread_max"):
        client.push_consumer("g", {"t": "*"}, consume_thread_mx=3)
    with pytest.raises(libmq.ConfigError):
        libmq.Client("127.0.0.1:9876", heartbeat_broker_intervall=1)


@pytest.mark.parametrize("value", ["soon", -1, True, timedelta(days=365)])
def test_a_bad_value_is_refused(client, value):
    with pytest.raises(libmq.ConfigError, match="send_timeout"):
        client.producer("p", send_timeout=value)


@pytest.mark.parametrize("address", ["", "nonsense", "host:port", "host:99999", "127.0.0.1:9876;;x"])
def test_a_bad_address_is_refused(address):
    with pytest.raises(libmq.ConfigError):
        libmq.Client(address)


def test_a_client_needs_an_address():
    with pytest.raises(libmq.ConfigError, match="namesrv"):
        libmq.Client()


def test_addresses_may_be_a_list():
    libmq.Client(["127.0.0.1:9876", "127.0.0.1:9877"]).close()


def test_javas_names_and_pythons_values_are_understood(client):
    client.producer(
        "p", sendMsgTimeout=3000, compress_body_over=1 << 20, wait_when_full=False, send_timeout=None
    ).close()
    client.producer("p", retry_response_codes=[1, 2]).close()
    client.producer("p", send_timeout=timedelta(seconds=3)).close()


@pytest.mark.parametrize("group", ["", "a b", "größe", "x" * 256])
def test_illegal_groups_are_refused(client, group):
    with pytest.raises(libmq.ArgumentError):
        client.push_consumer(group, {"t": "*"})


@pytest.mark.parametrize("subscriptions", [{"a b": "*"}, {"": "*"}])
def test_illegal_subscriptions_are_refused(client, subscriptions):
    with pytest.raises(libmq.ArgumentError):
        client.push_consumer("g", subscriptions)


def test_errors_are_one_family():
    kinds = [getattr(libmq, name) for name in libmq.__all__ if name.endswith("Error") and name != "Error"]
    assert len(kinds) == 9
    assert all(issubclass(kind, libmq.Error) for kind in kinds)
    assert issubclass(libmq.TimeoutError, builtins.TimeoutError)


def test_an_error_says_everything_and_survives_pickling():
    error = libmq.ThrottledError("slow down", 9, "THROTTLED", 2, True, True)
    assert str(error) == "THROTTLED: slow down (broker code 2)"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is libmq.ThrottledError
    assert vars(copy) == vars(error)
    assert (copy.code, copy.name, copy.broker_code, copy.retryable, copy.throttled, copy.fatal) == (
        9,
        "THROTTLED",
        2,
        True,
        True,
        False,
    )
    copy = pickle.loads(pickle.dumps(libmq.TimeoutError("late", 4, "TIMEOUT")))
    assert (str(copy), copy.message) == ("TIMEOUT: late", "late")
