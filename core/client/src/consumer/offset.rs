//! Offsets of a group: where a queue begins, and telling the brokers what is consumed.

use std::sync::Arc;

use futures_util::future::join_all;
use mq_protocol::body::MessageQueue;
use mq_protocol::name;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Inner;
use super::process_queue::ProcessQueue;
use crate::{ConsumeFrom, Error};

/// Commits from time to time.
pub(super) async fn keep(consumer: Arc<Inner>) {
    let period = consumer.client.config.persist_consumer_offset_interval;
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let queues: Vec<_> = consumer.queues.lock().values().cloned().collect();
        for queue in queues {
            if let Err(error) = consumer.commit_unconfirmed(&queue).await {
                tracing::debug!(group = consumer.group, topic = queue.queue.topic, %error, "offset not sent");
            }
        }
        for subscription in consumer.subscriptions.values() {
            subscription.stats.sample();
        }
    }
}

impl Inner {
    async fn commit_unconfirmed(&self, queue: &ProcessQueue) -> Result<(), Error> {
        let Some(offset) = queue.commit_offset().filter(|_| !queue.is_dropped()) else {
            return Ok(());
        };
        self.client.commit_unconfirmed(&self.group, &queue.queue, offset).await
    }

    /// Sends the offsets of queues that are given up and waits until the brokers have them.
    pub(super) async fn persist(&self, queues: &[Arc<ProcessQueue>]) {
        let commits = queues.iter().map(|queue| async {
            let Some(offset) = queue.commit_offset().filter(|_| !queue.is_dropped()) else { return };
            if let Err(error) = self.commit(&queue.queue, offset).await {
                let (topic, id) = (&queue.queue.topic, queue.queue.queue_id);
                tracing::warn!(group = self.group, topic, queue = id, offset, %error, "offset not committed; messages may come again");
            }
        });
        join_all(commits).await;
    }

    /// Commits an offset and waits for the answer.
    pub(super) async fn commit(&self, queue: &MessageQueue, offset: i64) -> Result<(), Error> {
        self.client.commit_offset(&self.group, queue, offset).await
    }

    /// Where a queue that is new to this member begins (`RebalancePushImpl.computePullFromWhere`).
    pub(super) async fn start_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        if let Some(offset) = self.client.committed_offset(&self.group, queue).await? {
            return Ok(offset);
        }
        // A retry that was sent before the group had an offset is a message of this group all the same.
        let from = if queue.topic.starts_with(name::RETRY_PREFIX) {
            ConsumeFrom::First
        } else {
            self.config.consume_from_where
        };
        match from {
            ConsumeFrom::First => self.client.min_offset(queue).await,
            ConsumeFrom::Last => self.client.max_offset(queue).await,
            ConsumeFrom::Timestamp => self.client.offset_at(queue, self.start_timestamp).await,
        }
    }
}
