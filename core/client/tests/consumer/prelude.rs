//! What the tests of consumers share: a listener that keeps what it sees, and short ways to send and start.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

pub use std::collections::{BTreeMap, HashMap, HashSet};
pub use std::sync::atomic::{AtomicUsize, Ordering};
pub use std::sync::{Arc, Mutex};
pub use std::time::Duration;

pub use futures_util::future::{BoxFuture, join_all};
pub use mq_client::{
    Client, ClientConfig, CompressType, ConsumeFrom, ConsumeMode, ConsumeResult, ErrorCode, Listener,
    Message, MessageModel, MessageQueue, MessageView, Producer, ProducerConfig, PushConsumerConfig, Target,
    Warning, WarningCode,
};

pub use crate::cluster::Cluster;
pub use crate::support::{until, until_async, within};

/// Keeps what arrives and answers as told.
pub struct Inbox {
    pub seen: Mutex<Vec<MessageView>>,
    answer: Box<dyn Fn(&MessageView) -> ConsumeResult + Send + Sync>,
}

impl Inbox {
    pub fn new(answer: impl Fn(&MessageView) -> ConsumeResult + Send + Sync + 'static) -> Arc<Inbox> {
        Arc::new(Inbox { seen: Mutex::default(), answer: Box::new(answer) })
    }

    pub fn good() -> Arc<Inbox> {
        Inbox::new(|_| ConsumeResult::Success)
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn bodies(&self) -> Vec<String> {
        let text = |m: &MessageView| String::from_utf8(m.body().to_vec()).unwrap();
        self.seen.lock().unwrap().iter().map(text).collect()
    }
}

impl Listener for Inbox {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        let results: Vec<_> = messages.iter().map(|message| (self.answer)(message)).collect();
        self.seen.lock().unwrap().extend(messages);
        Box::pin(async move {
            results
                .into_iter()
                .find(|result| *result != ConsumeResult::Success)
                .unwrap_or(ConsumeResult::Success)
        })
    }
}

pub async fn send_all(producer: &Producer, topic: &str, count: usize) -> HashSet<String> {
    let bodies: Vec<String> = (0..count).map(|n| format!("m{n}")).collect();
    let sends = bodies.iter().map(|body| producer.send(Message::new(topic, body.clone())));
    for receipt in within(join_all(sends)).await {
        receipt.unwrap();
    }
    bodies.into_iter().collect()
}

/// A broker that delivers again after a second, whatever the number of attempts.
pub async fn quick_retries() -> Cluster {
    Cluster::start_with(|config| config.set("messageDelayLevel", "1s 1s 1s 1s 1s").unwrap()).await
}

pub fn first(group: &str, topic: &str) -> PushConsumerConfig {
    let mut config = PushConsumerConfig::new(group).subscribe(topic, "*");
    config.consume_from_where = ConsumeFrom::First;
    config
}
