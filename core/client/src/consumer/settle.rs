//! What becomes of messages after a listener call: done, sent back, dropped, or given to the listener once more.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use super::dispatch::Outcome;
use super::process_queue::ProcessQueue;
use crate::{MessageView, WarningCode};

/// Pause before the listener gets a message again that no broker would take back.
const LOCAL_RETRY: Duration = Duration::from_secs(5);
/// Bounds of the rest of an ordered queue (`ConsumeMessageOrderlyService.submitConsumeRequestLater`).
const SHORTEST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(30);

impl Inner {
    pub(super) async fn settle(
        self: &Arc<Self>,
        queue: &Arc<ProcessQueue>,
        messages: Vec<MessageView>,
        outcome: Outcome,
    ) {
        if outcome == Outcome::Success {
            self.finish(queue, &messages);
            if queue.is_orderly() {
                self.next_turn(queue);
            }
        } else if queue.is_orderly() {
            self.rest(queue, messages, outcome).await;
        } else {
            let level = if let Outcome::Later(level) = outcome { level } else { 0 };
            self.give_back(queue, messages, level).await;
        }
    }

    /// The messages are neither done nor to be consumed here: whoever has the queue next gets them.
    pub(super) fn abandon(&self, queue: &ProcessQueue, messages: &[MessageView]) {
        self.release_bytes(queue.abandon(messages));
    }

    /// Sends failed messages back to the broker, which delivers them later.
    async fn give_back(self: &Arc<Self>, queue: &Arc<ProcessQueue>, messages: Vec<MessageView>, level: i32) {
        if queue.is_dropped() {
            // Another member gets them from the queue itself.
            self.finish(queue, &messages);
            return;
        }
        if self.config.is_broadcasting() {
            self.warn_of_dropped(&messages);
            self.finish(queue, &messages);
            return;
        }
        let (mut returned, mut refused) = (Vec::new(), Vec::new());
        for message in messages {
            match self.send_back(&message, level).await {
                Ok(()) => returned.push(message),
                Err(error) => {
                    tracing::warn!(group = self.group, ?message, %error, "no broker takes the message back; trying again here");
                    refused.push(message.again());
                }
            }
        }
        self.finish(queue, &returned);
        if !refused.is_empty() {
            queue.rest(refused.len());
            self.retry_here(queue.clone(), refused);
        }
    }

    fn retry_here(self: &Arc<Self>, queue: Arc<ProcessQueue>, messages: Vec<MessageView>) {
        let weak = Arc::downgrade(self);
        self.tasks.spawn(async move {
            sleep(LOCAL_RETRY).await;
            let Some(consumer) = weak.upgrade() else { return };
            if queue.is_stopped() {
                consumer.abandon(&queue, &messages);
            } else if queue.give_back(messages) {
                consumer.list(queue);
            }
        });
    }

    /// Failed messages of an ordered queue: they come again after a rest, before all others, until they have failed
    /// too often.
    async fn rest(self: &Arc<Self>, queue: &Arc<ProcessQueue>, messages: Vec<MessageView>, outcome: Outcome) {
        let max = match self.config.max_reconsume_times {
            ..0 => i32::MAX,
            max => max,
        };
        let at_once = matches!(outcome, Outcome::Later(..0));
        let (mut done, mut again) = (Vec::new(), Vec::new());
        for message in messages {
            let is_dead = at_once || message.reconsume_times() >= max;
            if queue.is_stopped() || !is_dead {
                again.push(message.again());
            } else if self.config.is_broadcasting() {
                self.warn_of_dropped(std::slice::from_ref(&message));
                done.push(message);
            } else {
                match self.send_to_dead_letters(&message).await {
                    Ok(()) => done.push(message),
                    Err(error) => {
                        tracing::warn!(group = self.group, ?message, %error, "no broker takes the dead letter; the queue waits");
                        again.push(message.again());
                    }
                }
            }
        }
        self.finish(queue, &done);
        if queue.is_stopped() {
            self.abandon(queue, &again);
            return;
        }
        if again.is_empty() {
            self.next_turn(queue);
            return;
        }
        let given = if let Outcome::Suspend(duration) = outcome { duration } else { None };
        let time = given.unwrap_or(self.config.suspend_current_queue_time).clamp(SHORTEST_REST, LONGEST_REST);
        queue.rest(again.len());
        queue.give_back(again);
        let (weak, queue) = (Arc::downgrade(self), queue.clone());
        self.tasks.spawn(async move {
            sleep(time).await;
            if let Some(consumer) = weak.upgrade() {
                consumer.next_turn(&queue);
            }
        });
    }

    /// An ordered queue may go to a worker again, if it has messages.
    pub(super) fn next_turn(self: &Arc<Self>, queue: &Arc<ProcessQueue>) {
        if queue.next_turn() {
            self.list(queue.clone());
        }
    }

    fn warn_of_dropped(&self, messages: &[MessageView]) {
        for message in messages {
            self.warn(
                WarningCode::MessageDropped,
                format!(
                    "the listener failed for message {} of topic '{}'; a BROADCASTING consumer does not get it again",
                    message.message_id(),
                    message.topic()
                ),
            );
        }
    }
}
