//! A message made ready for the wire.

use std::borrow::Cow;

use bytes::Bytes;
use mq_protocol::RequestCode;
use tokio::runtime::Handle;

use crate::client::Inner as ClientInner;
use crate::message::now_millis;
use crate::{Error, ErrorCode, Message, ProducerConfig};

/// From this size on a body is compressed on a thread of its own.
const LARGE: usize = 128 * 1024;

pub(super) struct Outgoing {
    pub(super) code: RequestCode,
    /// In the client's namespace; `None` where that is the topic as it was written.
    pub(super) wrapped_topic: Option<String>,
    /// As the application wrote it.
    pub(super) shown_topic: String,
    pub(super) message_id: String,
    pub(super) properties: String,
    pub(super) body: Bytes,
    pub(super) sys_flag: i32,
    pub(super) flag: i32,
    pub(super) born_timestamp: i64,
}

impl Outgoing {
    pub(super) fn single(
        message: Message,
        client: &ClientInner,
        config: &ProducerConfig,
    ) -> Result<Outgoing, Error> {
        message.check()?;
        check_size(&message.topic, message.body.len(), config)?;
        let born_timestamp = now_millis();
        let message_id = client.ids.next(born_timestamp);
        let properties = message.encode_properties(&message_id, &client.config.namespace)?;
        Ok(Outgoing {
            code: RequestCode::SEND_MESSAGE_V2,
            wrapped_topic: wrapped(client, &message.topic),
            shown_topic: message.topic,
            message_id,
            properties,
            body: message.body,
            sys_flag: 0,
            flag: message.flag,
            born_timestamp,
        })
    }

    /// The topic that the broker knows.
    pub(super) fn topic(&self) -> &str {
        self.wrapped_topic.as_deref().unwrap_or(&self.shown_topic)
    }

    pub(super) fn is_to_be_compressed(&self, config: &ProducerConfig) -> bool {
        self.body.len() >= config.compress_body_over.max(1)
    }

    /// Compresses the body if it gets smaller by that.
    pub(super) async fn compress(&mut self, runtime: &Handle, config: &ProducerConfig) -> Result<(), Error> {
        let (kind, level) = (config.compression(), config.compress_level);
        let body = self.body.clone();
        let pack = move || kind.compress(&body, level);
        let packed = if self.body.len() < LARGE {
            pack()
        } else {
            runtime
                .spawn_blocking(pack)
                .await
                .map_err(|error| Error::new(ErrorCode::Internal, format!("compressing a body: {error}")))?
        };
        let packed = packed
            .map_err(|error| Error::new(ErrorCode::Internal, format!("compressing a body: {error}")))?;
        if packed.len() < self.body.len() {
            self.body = packed.into();
            self.sys_flag |= kind.flags();
        }
        Ok(())
    }
}

pub(super) fn wrapped(client: &ClientInner, topic: &str) -> Option<String> {
    match client.wrap(topic) {
        Cow::Borrowed(_) => None,
        Cow::Owned(wrapped) => Some(wrapped),
    }
}

pub(super) fn check_size(topic: &str, size: usize, config: &ProducerConfig) -> Result<(), Error> {
    if size <= config.max_message_size {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::TooLarge,
        format!(
            "the body for topic '{topic}' has {size} bytes; at most {} are allowed ('max_message_size', and the broker's own limit)",
            config.max_message_size
        ),
    ))
}
