//! Lists of messages that travel as one request: what may be in one, and how a long one is divided.

use bytes::BytesMut;
use mq_protocol::message::batch::BatchElement;
use mq_protocol::property::{key, push_pair};
use mq_protocol::{RequestCode, name};

use super::outgoing::{Outgoing, check_size, wrapped};
use crate::client::Inner as ClientInner;
use crate::message::{Delivery, now_millis};
use crate::{Error, ErrorCode, Message, ProducerConfig};

/// As long as the longest unique id, that of a host with an IPv6 address.
const LONGEST_ID: &str = "00000000000000000000000000000000000000000000000000000000";

impl Outgoing {
    /// A list as one request (`MessageBatch`).
    pub(super) fn batch(
        messages: &[Message],
        client: &ClientInner,
        config: &ProducerConfig,
    ) -> Result<Outgoing, Error> {
        let Some(first) = messages.first() else {
            return Err(Error::argument("the list of messages is empty; give at least one"));
        };
        let born_timestamp = now_millis();
        let mut ids = String::new();
        let mut body = BytesMut::new();
        for message in messages {
            message.check()?;
            check_batchable(message)?;
            if let Some(odd) = difference(first, message) {
                return Err(Error::argument(format!(
                    "a list to topic '{}' contains a message with {odd}; send that one by itself, or divide the list with split_batch",
                    first.topic
                )));
            }
            let id = client.ids.next(born_timestamp);
            let properties = message.encode_properties(&id, &client.config.namespace)?;
            let element = BatchElement { flag: message.flag, body: &message.body, properties: &properties };
            check_size(&first.topic, body.len() + element.encoded_len(), config)?;
            element.encode(&mut body);
            if !ids.is_empty() {
                ids.push(',');
            }
            ids.push_str(&id);
        }
        let mut properties = String::new();
        if !first.wait_store {
            push_pair(&mut properties, key::WAIT, "false");
        }
        push_pair(&mut properties, key::UNIQ_KEY, &client.ids.next(born_timestamp));
        Ok(Outgoing {
            code: RequestCode::SEND_BATCH_MESSAGE,
            wrapped_topic: wrapped(client, &first.topic),
            shown_topic: first.topic.clone(),
            message_id: ids,
            properties,
            body: body.freeze(),
            sys_flag: 0,
            flag: 0,
            born_timestamp,
        })
    }
}

/// Divides messages into lists of at most `limit` bytes as they are encoded, their order kept.
///
/// A list ends where the next message has another topic, message group or wait flag.
///
/// # Errors
/// `ARGUMENT`: a message is not acceptable or has a delivery time. `TOO_LARGE`: one alone is over the limit.
pub fn split_batch(messages: Vec<Message>, limit: usize) -> Result<Vec<Vec<Message>>, Error> {
    split(messages, limit, "")
}

/// As [`split_batch`] for messages of a namespace.
pub(super) fn split(
    messages: Vec<Message>,
    limit: usize,
    namespace: &str,
) -> Result<Vec<Vec<Message>>, Error> {
    let mut lists: Vec<Vec<Message>> = Vec::new();
    let mut size = 0;
    for message in messages {
        message.check()?;
        check_batchable(&message)?;
        let properties = message.encode_properties(LONGEST_ID, namespace)?;
        let element = BatchElement { flag: message.flag, body: &message.body, properties: &properties };
        let own = element.encoded_len();
        if own > limit {
            return Err(Error::new(
                ErrorCode::TooLarge,
                format!(
                    "one message to topic '{}' needs {own} bytes of a list; at most {limit} are allowed",
                    message.topic
                ),
            ));
        }
        match lists.last_mut() {
            Some(list)
                if size + own <= limit
                    && list.first().is_some_and(|first| difference(first, &message).is_none()) =>
            {
                size += own;
                list.push(message);
            }
            _ => {
                size = own;
                lists.push(vec![message]);
            }
        }
    }
    Ok(lists)
}

fn check_batchable(message: &Message) -> Result<(), Error> {
    if message.topic.starts_with(name::RETRY_PREFIX) {
        return Err(Error::argument(format!(
            "topic '{}' is a retry topic, which takes no lists; send the messages one by one",
            message.topic
        )));
    }
    if message.delivery != Delivery::Now {
        return Err(Error::argument(format!(
            "a list to topic '{}' contains a message with a delivery time; send that one by itself",
            message.topic
        )));
    }
    Ok(())
}

/// What keeps a message out of the list that begins with `first`.
fn difference(first: &Message, message: &Message) -> Option<String> {
    if message.topic != first.topic {
        Some(format!("topic '{}'", message.topic))
    } else if message.message_group != first.message_group {
        Some("another message group".to_owned())
    } else if message.wait_store != first.wait_store {
        Some("another wait flag".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(lists: &[Vec<Message>]) -> Vec<usize> {
        lists.iter().map(Vec::len).collect()
    }

    #[test]
    fn lists_are_divided_by_encoded_size_and_keep_their_order() {
        let message = |n: usize| Message::new("T", vec![b'x'; 100]).property("n", n.to_string());
        // 22 bytes of head, 100 of body, "n" with one digit 4, the id 66.
        let lists = split_batch((0..10).map(message).collect(), 3 * 192).unwrap();
        assert_eq!(sizes(&lists), [3, 3, 3, 1]);
        let order: Vec<_> = lists.concat().into_iter().map(|m| m.properties[0].1.clone()).collect();
        assert_eq!(order, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(sizes(&split_batch((0..10).map(message).collect(), 3 * 192 - 1).unwrap()), [2; 5]);
        assert!(split_batch(Vec::new(), 10).unwrap().is_empty());
        let error = split_batch(vec![message(1)], 191).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooLarge);
    }

    #[test]
    fn lists_end_where_messages_cannot_share_a_request() {
        let plain = || Message::new("T", "x");
        let messages = vec![
            plain(),
            plain().message_group("g"),
            plain().message_group("g"),
            Message::new("U", "x"),
            plain(),
            plain().wait_store(false),
        ];
        assert_eq!(sizes(&split_batch(messages, 1000).unwrap()), [1, 2, 1, 1, 1]);
        for bad in [plain().delay_level(1), Message::new("%RETRY%g", "x"), plain().tag(" ")] {
            assert_eq!(split_batch(vec![bad], 1000).unwrap_err().code(), ErrorCode::Argument);
        }
    }
}
