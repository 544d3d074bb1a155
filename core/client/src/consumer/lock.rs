//! The broker's locks of ordered queues: taken, renewed, given up, and what happens when one is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use mq_protocol::body::{LockBatchBody, LockOkBody, MessageQueue};
use mq_protocol::{RequestCode, fastjson};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::Inner;
use super::process_queue::ProcessQueue;
use crate::remoting::Bare;
use crate::{Error, ErrorCode, WarningCode};

/// Pause before a lock is asked for again that could not be had.
const AGAIN: Duration = Duration::from_secs(1);
/// How long giving up locks may hold up a close.
const UNLOCK_LIMIT: Duration = Duration::from_secs(1);

/// Renews the locks from time to time.
pub(super) async fn keep(consumer: Arc<Inner>) {
    let period = consumer.config.lock_interval;
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let queues: Vec<_> = consumer.queues.lock().values().filter(|q| !q.is_dropped()).cloned().collect();
        consumer.renew(&queues).await;
    }
}

impl Inner {
    /// Whether queues are consumed under locks.
    pub(super) fn needs_locks(&self) -> bool {
        self.config.is_orderly() && !self.config.is_broadcasting()
    }

    /// Asks for locks. The answer has `true` for each queue that is now this member's, `false` for each that is
    /// another's, and nothing for those whose broker did not answer.
    pub(super) async fn lock(&self, queues: &[MessageQueue]) -> HashMap<MessageQueue, bool> {
        let asked = by_broker(queues).into_iter().map(|(broker, queues)| async move {
            match self.lock_at(broker, queues.clone()).await {
                Ok(granted) => {
                    let answer = |queue: MessageQueue| (granted.contains(&queue), queue);
                    queues.into_iter().map(answer).map(|(ok, queue)| (queue, ok)).collect()
                }
                Err(error) => {
                    tracing::warn!(group = self.group, broker, %error, "queues not locked; trying again");
                    Vec::new()
                }
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn lock_at(&self, broker: &str, queues: Vec<MessageQueue>) -> Result<Vec<MessageQueue>, Error> {
        let code = RequestCode::LOCK_BATCH_MQ;
        let peer = self.client.broker(broker, 0)?;
        let body = self.lock_body(queues)?;
        let frame = self.client.remoting.ask(&peer, code, &Bare, &body, self.client.short()).await?;
        let answer: LockOkBody = fastjson::from_slice(&frame.body).map_err(|error| {
            Error::new(
                ErrorCode::Broker,
                format!("broker '{broker}' answered to locks what cannot be read: {error}"),
            )
        })?;
        Ok(answer.lock_ok_mq_set)
    }

    /// Gives locks up, so that other members need not wait for their end; does not wait for long.
    pub(super) async fn unlock(&self, queues: &[MessageQueue]) {
        let code = RequestCode::UNLOCK_BATCH_MQ;
        let deadline = Instant::now() + self.client.config.request_timeout.min(UNLOCK_LIMIT);
        let asked = by_broker(queues).into_iter().map(|(broker, queues)| async move {
            let unlock = async {
                let peer = self.client.broker(broker, 0)?;
                let body = self.lock_body(queues)?;
                self.client.remoting.ask(&peer, code, &Bare, &body, deadline).await
            };
            if let Err(error) = unlock.await {
                tracing::debug!(group = self.group, broker, %error, "queues not unlocked; their locks end by themselves");
            }
        });
        join_all(asked).await;
    }

    fn lock_body(&self, queues: Vec<MessageQueue>) -> Result<Bytes, Error> {
        let body = LockBatchBody {
            client_id: self.client.client_id.clone(),
            consumer_group: self.group.clone(),
            mq_set: queues,
            only_this_broker: false,
        };
        serde_json::to_vec(&body)
            .map(Bytes::from)
            .map_err(|error| Error::new(ErrorCode::Internal, format!("writing JSON: {error}")))
    }

    async fn renew(self: &Arc<Self>, queues: &[Arc<ProcessQueue>]) {
        let names: Vec<_> = queues.iter().map(|queue| queue.queue.clone()).collect();
        // The lease counts from the question on: when the broker granted it is not known.
        let asked_at = Instant::now();
        let answers = self.lock(&names).await;
        for queue in queues.iter().filter(|queue| !queue.is_dropped()) {
            match answers.get(&queue.queue) {
                Some(true) if queue.may_commit() => queue.locked(asked_at),
                // It is this member's again, but may have been another's in between.
                Some(true) => self.start_over(queue),
                Some(false) => self.lock_lost(queue),
                None => {}
            }
        }
    }

    /// A queue whose lease has run out goes on when its lock is renewed.
    pub(super) fn relock(self: &Arc<Self>, queue: Arc<ProcessQueue>) {
        let weak = Arc::downgrade(self);
        self.tasks.spawn(async move {
            loop {
                let Some(consumer) = weak.upgrade() else { return };
                if queue.is_stopped() {
                    return;
                }
                consumer.renew(std::slice::from_ref(&queue)).await;
                if queue.has_lease() {
                    consumer.next_turn(&queue);
                    return;
                }
                drop(consumer);
                sleep(AGAIN).await;
            }
        });
    }

    fn lock_lost(self: &Arc<Self>, queue: &Arc<ProcessQueue>) {
        let MessageQueue { topic, broker_name, queue_id } = &queue.queue;
        self.warn(
            WarningCode::QueueLockLost,
            format!(
                "queue {queue_id} of topic '{topic}' on '{broker_name}' is locked by another member of group '{}'; what this member was consuming of it may come there again",
                self.config.group
            ),
        );
        self.start_over(queue);
    }

    /// Gives up what is held of a queue without committing it; the next division begins it at what is committed.
    fn start_over(self: &Arc<Self>, queue: &Arc<ProcessQueue>) {
        self.release_bytes(queue.drop_now());
        self.forget_when_idle(queue.clone());
    }

    /// Takes a dropped queue out of the table once no call of the listener holds messages of it, so that no second
    /// call can begin before.
    pub(super) fn forget_when_idle(self: &Arc<Self>, queue: Arc<ProcessQueue>) {
        let weak = Arc::downgrade(self);
        self.tasks.spawn(async move {
            queue.until_idle().await;
            if let Some(consumer) = weak.upgrade() {
                consumer.forget(&queue);
                consumer.rebalance.notify_one();
            }
        });
    }

    /// Gives up a queue that is not this member's any more, when the listener is done with it. Until then the lock of an
    /// ordered one is renewed: no other member may begin.
    pub(super) async fn leave(self: &Arc<Self>, queue: Arc<ProcessQueue>, patience: Duration) {
        self.release_bytes(queue.stop());
        if timeout(patience, queue.until_idle()).await.is_ok() {
            self.left(&queue).await;
            return;
        }
        let weak = Arc::downgrade(self);
        self.tasks.spawn(async move {
            queue.until_idle().await;
            if let Some(consumer) = weak.upgrade() {
                consumer.left(&queue).await;
                consumer.rebalance.notify_one();
            }
        });
    }

    async fn left(&self, queue: &Arc<ProcessQueue>) {
        if !queue.is_dropped() {
            self.persist(std::slice::from_ref(queue)).await;
            self.release_bytes(queue.drop_now());
            if self.needs_locks() {
                self.unlock(std::slice::from_ref(&queue.queue)).await;
            }
        }
        self.forget(queue);
    }
}

fn by_broker(queues: &[MessageQueue]) -> HashMap<&str, Vec<MessageQueue>> {
    let mut brokers = HashMap::<&str, Vec<MessageQueue>>::new();
    for queue in queues {
        brokers.entry(&queue.broker_name).or_default().push(queue.clone());
    }
    brokers
}
