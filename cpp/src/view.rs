//! Received messages and queues behind the bridge.

use std::borrow::Cow;
use std::sync::OnceLock;

use mq_binding::{MessageQueue, MessageView};

use crate::ffi;

pub(crate) struct View {
    pub(crate) message: MessageView,
    offset_message_id: OnceLock<String>,
}

/// Messages that came together.
pub(crate) struct Views(Vec<View>);

impl From<Vec<MessageView>> for Views {
    fn from(messages: Vec<MessageView>) -> Views {
        let view = |message| View { message, offset_message_id: OnceLock::new() };
        Views(messages.into_iter().map(view).collect())
    }
}

impl Views {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn view(&self, index: usize) -> &View {
        // The caller counts with `count`.
        &self.0[index]
    }
}

pub(crate) fn names(queues: &[MessageQueue]) -> Vec<ffi::QueueName> {
    let name = |queue: &MessageQueue| ffi::QueueName {
        topic: queue.topic.to_string(),
        broker_name: queue.broker_name.to_string(),
        queue_id: queue.queue_id,
    };
    queues.iter().map(name).collect()
}

impl From<ffi::QueueName> for MessageQueue {
    fn from(name: ffi::QueueName) -> MessageQueue {
        MessageQueue { topic: name.topic, broker_name: name.broker_name, queue_id: name.queue_id }
    }
}

impl View {
    pub(crate) fn topic(&self) -> &str {
        self.message.topic()
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.message.body_ref()
    }

    pub(crate) fn tag(&self) -> &str {
        self.message.tag().unwrap_or_default()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.message.keys().map(str::to_owned).collect()
    }

    pub(crate) fn properties(&self) -> Vec<ffi::Pair> {
        self.message
            .properties()
            .map(|(name, value)| ffi::Pair { name: name.to_owned(), value: value.to_owned() })
            .collect()
    }

    pub(crate) fn property(&self, name: &str) -> String {
        self.message.property(name).unwrap_or_default().to_owned()
    }

    pub(crate) fn message_group(&self) -> &str {
        self.message.message_group().unwrap_or_default()
    }

    pub(crate) fn message_id(&self) -> &str {
        match self.message.message_id() {
            Cow::Borrowed(id) => id,
            // A message without an id of its own goes by its place.
            Cow::Owned(_) => self.offset_message_id(),
        }
    }

    pub(crate) fn offset_message_id(&self) -> &str {
        self.offset_message_id.get_or_init(|| self.message.offset_message_id())
    }

    pub(crate) fn broker_name(&self) -> &str {
        self.message.broker_name()
    }

    pub(crate) fn queue_id(&self) -> i32 {
        self.message.queue_id()
    }

    pub(crate) fn queue_offset(&self) -> i64 {
        self.message.queue_offset()
    }

    pub(crate) fn born_timestamp(&self) -> i64 {
        self.message.born_timestamp()
    }

    pub(crate) fn store_timestamp(&self) -> i64 {
        self.message.store_timestamp()
    }

    pub(crate) fn delivery_attempt(&self) -> i32 {
        self.message.delivery_attempt()
    }

    pub(crate) fn flag(&self) -> i32 {
        self.message.flag()
    }
}
