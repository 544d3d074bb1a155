//! Offsets of a group: where a queue begins, and telling the brokers what is consumed.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use mq_protocol::body::MessageQueue;
use mq_protocol::header::{
    OffsetResponse, QueryConsumerOffsetRequest, QueueRequest, SearchOffsetRequest,
    UpdateConsumerOffsetRequest,
};
use mq_protocol::{Header, RequestCode, ResponseCode, name};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Inner;
use super::process_queue::ProcessQueue;
use crate::remoting::refusal;
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
    /// Sends the offset of a queue without waiting for an answer, as Java does every five seconds.
    async fn commit_unconfirmed(&self, queue: &ProcessQueue) -> Result<(), Error> {
        let Some(commit_offset) = queue.commit_offset().filter(|_| !queue.is_dropped()) else {
            return Ok(());
        };
        let peer = self.client.broker(&queue.queue.broker_name, 0)?;
        let header = self.commit_header(&queue.queue, commit_offset);
        let code = RequestCode::UPDATE_CONSUMER_OFFSET;
        self.client.remoting.tell(&peer, code, &header, &Bytes::new(), self.client.short()).await
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
        let peer = self.client.broker(&queue.broker_name, 0)?;
        let header = self.commit_header(queue, offset);
        let code = RequestCode::UPDATE_CONSUMER_OFFSET;
        self.client.remoting.ask(&peer, code, &header, &Bytes::new(), self.client.short()).await?;
        Ok(())
    }

    fn commit_header<'a>(&'a self, queue: &'a MessageQueue, offset: i64) -> UpdateConsumerOffsetRequest<'a> {
        UpdateConsumerOffsetRequest {
            consumer_group: &self.group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            commit_offset: offset,
        }
    }

    /// Where a queue that is new to this member begins (`RebalancePushImpl.computePullFromWhere`).
    pub(super) async fn start_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        let code = RequestCode::QUERY_CONSUMER_OFFSET;
        let header = QueryConsumerOffsetRequest {
            consumer_group: &self.group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            set_zero_if_not_found: None,
        };
        let peer = self.client.broker(&queue.broker_name, 0)?;
        let frame =
            self.client.remoting.call(&peer, code, &header, &Bytes::new(), self.client.short()).await?;
        match frame.response_code() {
            ResponseCode::SUCCESS => return Ok(frame.header::<OffsetResponse>()?.offset),
            ResponseCode::QUERY_NOT_FOUND => {}
            _ => return Err(refusal(&frame, code, peer.address())),
        }
        let whole = QueueRequest { topic: &queue.topic, queue_id: queue.queue_id };
        // A retry that was sent before the group had an offset is a message of this group all the same.
        let from = if queue.topic.starts_with(name::RETRY_PREFIX) {
            ConsumeFrom::First
        } else {
            self.config.consume_from_where
        };
        match from {
            ConsumeFrom::First => self.ask_offset(queue, RequestCode::GET_MIN_OFFSET, &whole).await,
            ConsumeFrom::Last => self.ask_offset(queue, RequestCode::GET_MAX_OFFSET, &whole).await,
            ConsumeFrom::Timestamp => {
                let header = SearchOffsetRequest {
                    topic: &queue.topic,
                    queue_id: queue.queue_id,
                    timestamp: self.start_timestamp,
                    boundary_type: None,
                };
                self.ask_offset(queue, RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &header).await
            }
        }
    }

    async fn ask_offset<'h, H: Header<'h> + Sync>(
        &self,
        queue: &MessageQueue,
        code: RequestCode,
        header: &H,
    ) -> Result<i64, Error> {
        let peer = self.client.broker(&queue.broker_name, 0)?;
        let frame = self.client.remoting.ask(&peer, code, header, &Bytes::new(), self.client.short()).await?;
        Ok(frame.header::<OffsetResponse>()?.offset)
    }
}
