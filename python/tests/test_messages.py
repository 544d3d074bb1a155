"""Messages, receipts and views: what goes in comes out, and what is not allowed is refused when it is made."""

import libmq
import pytest
from support import Inbox


def test_a_message_keeps_what_it_was_given():
    message = libmq.Message("t", b"body", tag="paid", keys=["a", "b"], properties={"región": "eu"}, message_group="g")
    assert (message.topic, message.body, message.tag, message.keys) == ("t", b"body", "paid", ["a", "b"])
    assert message.properties["región"] == "eu"
    assert message.message_group == "g"
    assert repr(message) == "<libmq.Message topic='t' tag='paid' keys=['a', 'b'] body=4 bytes>"


def test_a_plain_message_has_nothing_else():
    message = libmq.Message("t", b"x")
    assert (message.tag, message.keys, message.properties, message.message_group) == (None, [], {}, None)


def test_one_key_may_be_a_string():
    assert libmq.Message("t", b"x", keys="42").keys == ["42"]


@pytest.mark.parametrize("body", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), memoryview(b"_b_y_t_e_s")[1::2]])
def test_any_bytes_like_body_will_do(body):
    assert libmq.Message("t", body).body == bytes(body)


@pytest.mark.parametrize("body", ["text", None, 5, [1, 2]])
def test_other_bodies_are_refused(body):
    with pytest.raises(TypeError, match="bytes, bytearray or memoryview"):
        libmq.Message("t", body)


def test_an_empty_body_is_refused():
    with pytest.raises(libmq.ArgumentError, match="empty"):
        libmq.Message("t", b"")


def test_a_text_as_body_gets_a_hint():
    with pytest.raises(TypeError, match="encode"):
        libmq.Message("t", "text")


@pytest.mark.parametrize("topic", ["", "a b", "größe", "t/x", "x" * 128, "t#x"])
def test_illegal_topics_are_refused(topic):
    with pytest.raises(libmq.ArgumentError) as caught:
        libmq.Message(topic, b"x")
    assert (caught.value.name, caught.value.code) == ("ARGUMENT", 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"tag": ""},
        {"keys": ["a b"]},
        {"keys": [""]},
        {"properties": {"TAGS": "x"}},
        {"properties": {"a\x01": "b"}},
    ],
)
def test_illegal_fields_are_refused(fields):
    with pytest.raises(libmq.ArgumentError):
        libmq.Message("t", b"x", **fields)


def test_what_was_sent_arrives(client, topic, group):
    inbox = Inbox()
    with client.push_consumer(group, {topic: "*"}, listener=inbox.put, consume_from_where="first"):
        message = libmq.Message(topic, bytes(range(256)), tag="paid", keys=["a", "b"], properties={"region": "eu"})
        receipt = client.producer("p").send(message)
        (got,) = inbox.wait()
    assert (got.topic, got.body, got.tag, got.keys) == (topic, bytes(range(256)), "paid", ["a", "b"])
    assert got.properties["region"] == "eu"
    assert got.message_id == receipt.message_id
    assert got.offset_message_id == receipt.offset_message_id
    assert (got.broker_name, got.queue_id, got.queue_offset) == (
        receipt.broker_name,
        receipt.queue_id,
        receipt.queue_offset,
    )
    assert (got.delivery_attempt, got.reconsume_times) == (1, 0)
    assert got.born_timestamp > 0 and got.store_timestamp > 0
    assert got.born_host.startswith("127.0.0.1:") and got.store_host.startswith("127.0.0.1:")
    assert got.body is got.body
    assert got.message_id in repr(got)


def test_a_receipt_says_where_the_message_is(client, topic):
    receipt = client.producer("p").send(libmq.Message(topic, b"x"))
    assert receipt.status is libmq.SendStatus.OK
    assert receipt.topic == topic
    assert len(receipt.message_id) == 32
    assert len(receipt.offset_message_id) == 32
    assert receipt.queue_id in range(4)
    assert receipt.queue_offset == 0
    assert receipt.message_id in repr(receipt)


def test_views_and_receipts_are_made_by_the_library_alone():
    for kind in (libmq.MessageView, libmq.SendReceipt, libmq.Producer):
        with pytest.raises(TypeError):
            kind()


def test_messages_are_immutable():
    with pytest.raises(AttributeError):
        libmq.Message("t", b"x").topic = "u"
