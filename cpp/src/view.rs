//! Received messages and queues behind the bridge.

use mq_binding::{MessageQueue, MessageView};

use crate::ffi;

pub(crate) struct View {
    pub(crate) message: MessageView,
    body: bytes::Bytes,
    message_id: String,
    offset_message_id: String,
}

impl From<MessageView> for View {
    fn from(message: MessageView) -> View {
        View {
            body: message.body(),
            message_id: message.message_id().into_owned(),
            offset_message_id: message.offset_message_id(),
            message,
        }
    }
}

/// Messages that were asked for.
pub(crate) struct Views(pub(crate) Vec<MessageView>);

impl Views {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn view(&self, index: usize) -> Box<View> {
        // The caller counts with `count`.
        Box::new(View::from(self.0[index].clone()))
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
        &self.body
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
        &self.message_id
    }

    pub(crate) fn offset_message_id(&self) -> &str {
        &self.offset_message_id
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
