//! The workers that call the listener: as many calls at a time as the setting allows, queues in turn.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use mq_protocol::body::MessageQueue;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use super::process_queue::ProcessQueue;
use super::{ConsumeResult, Inner};
use crate::{MessageView, WarningCode};

/// The delay level of messages whose listener call took too long (`ConsumeMessageConcurrentlyService`).
const LEVEL_AFTER_TIMEOUT: i32 = 3;
/// Pause before the listener gets a message again that no broker would take back.
const LOCAL_RETRY: Duration = Duration::from_secs(5);

/// Queues that have messages for the listener.
#[derive(Default)]
pub(crate) struct Ready {
    queues: Mutex<VecDeque<Arc<ProcessQueue>>>,
    wake: Notify,
    stopped: AtomicBool,
}

impl Ready {
    /// Lists a queue; it must not be listed already.
    pub(crate) fn list(&self, queue: Arc<ProcessQueue>) {
        self.queues.lock().push_back(queue);
        self.wake.notify_one();
    }

    /// Gives out nothing any more.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    async fn next(&self, max: usize) -> (Arc<ProcessQueue>, Vec<MessageView>) {
        loop {
            if let Some(found) = self.try_next(max) {
                return found;
            }
            self.wake.notified().await;
        }
    }

    fn try_next(&self, max: usize) -> Option<(Arc<ProcessQueue>, Vec<MessageView>)> {
        while !self.stopped.load(Ordering::Acquire) {
            let queue = self.queues.lock().pop_front()?;
            let (messages, more) = queue.take(max);
            if more {
                // The next worker goes on with the queue that waits longest.
                self.list(queue.clone());
            } else if !self.queues.lock().is_empty() {
                self.wake.notify_one();
            }
            if !messages.is_empty() {
                return Some((queue, messages));
            }
        }
        None
    }
}

/// Calls the listener again and again.
pub(crate) async fn work(consumer: Arc<Inner>) {
    let max = consumer.config.consume_message_batch_max_size;
    let limit = consumer.config.consume_timeout;
    let mut alarm = Box::pin(sleep(limit));
    loop {
        let (queue, messages) = consumer.ready.next(max).await;
        let started = Instant::now();
        let outcome = call(&consumer, &queue, &messages, alarm.as_mut(), limit).await;
        let success = outcome == Outcome::Success;
        queue.subscription.stats.consumed(messages.len(), success, started.elapsed());
        settle(&consumer, &queue, messages, outcome).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Later(i32),
}

async fn call(
    consumer: &Inner,
    queue: &Arc<ProcessQueue>,
    messages: &[MessageView],
    mut alarm: Pin<&mut Sleep>,
    limit: Duration,
) -> Outcome {
    alarm.as_mut().reset(Instant::now() + limit);
    let _running = Running::new(consumer, queue, messages);
    // Calling the listener is inside the fence too: it may panic before it returns its future.
    let call = AssertUnwindSafe(async { consumer.listener.consume(messages.to_vec()).await }).catch_unwind();
    tokio::select! {
        biased;
        result = call => match result {
            Ok(ConsumeResult::Success) => Outcome::Success,
            Ok(ConsumeResult::Later { delay_level }) => Outcome::Later(delay_level.unwrap_or(0)),
            Ok(ConsumeResult::Suspend { .. }) => Outcome::Later(0),
            Err(panic) => {
                let group = &consumer.group;
                tracing::error!(group, panic = text_of(panic.as_ref()), "the listener panicked; its messages come again later");
                Outcome::Later(0)
            }
        },
        () = alarm => {
            let (group, first) = (&consumer.group, messages.first());
            tracing::warn!(group, ?first, ?limit, "the listener takes too long; its messages come again later");
            Outcome::Later(LEVEL_AFTER_TIMEOUT)
        }
    }
}

/// A listener call that runs.
pub(crate) struct Call {
    since: Instant,
    queue: Arc<ProcessQueue>,
    /// Of the first message.
    offset: i64,
    messages: usize,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MessageQueue { topic, broker_name, queue_id } = &self.queue.queue;
        write!(
            f,
            "since {:?}: {} message(s) from offset {} of queue {queue_id} of topic {topic} on {broker_name}",
            self.since.elapsed(),
            self.messages,
            self.offset
        )
    }
}

/// Keeps a call in the consumer's table while it runs.
struct Running<'a> {
    consumer: &'a Inner,
    number: u64,
}

impl<'a> Running<'a> {
    fn new(consumer: &'a Inner, queue: &Arc<ProcessQueue>, messages: &[MessageView]) -> Running<'a> {
        let number = consumer.next_call.fetch_add(1, Ordering::Relaxed);
        let offset = messages.first().map_or(-1, MessageView::queue_offset);
        let call = Call { since: Instant::now(), queue: queue.clone(), offset, messages: messages.len() };
        consumer.calls.lock().insert(number, call);
        Running { consumer, number }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.consumer.calls.lock().remove(&self.number);
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Finishes the messages or sends them back.
async fn settle(
    consumer: &Arc<Inner>,
    queue: &Arc<ProcessQueue>,
    messages: Vec<MessageView>,
    outcome: Outcome,
) {
    let Outcome::Later(level) = outcome else {
        consumer.finish(queue, &messages);
        return;
    };
    if queue.is_dropped() {
        // Another member gets them from the queue itself.
        consumer.finish(queue, &messages);
        return;
    }
    if consumer.config.is_broadcasting() {
        for message in &messages {
            consumer.warn(
                WarningCode::MessageDropped,
                format!(
                    "the listener failed for message {} of topic '{}'; a BROADCASTING consumer does not get it again",
                    message.message_id(),
                    message.topic()
                ),
            );
        }
        consumer.finish(queue, &messages);
        return;
    }
    let mut refused = Vec::new();
    for message in &messages {
        if let Err(error) = consumer.send_back(message, level).await {
            tracing::warn!(group = consumer.group, ?message, %error, "no broker takes the message back; trying again here");
            refused.push(message.clone());
        }
    }
    let returned: Vec<_> = messages
        .into_iter()
        .filter(|m| !refused.iter().any(|r| r.queue_offset() == m.queue_offset()))
        .collect();
    consumer.finish(queue, &returned);
    if !refused.is_empty() {
        queue.rest(refused.len());
        retry_here(consumer, queue.clone(), refused);
    }
}

fn retry_here(consumer: &Arc<Inner>, queue: Arc<ProcessQueue>, messages: Vec<MessageView>) {
    let again: Vec<_> = messages.iter().map(MessageView::again).collect();
    let weak = Arc::downgrade(consumer);
    consumer.tasks.spawn(async move {
        sleep(LOCAL_RETRY).await;
        let Some(consumer) = weak.upgrade() else { return };
        if queue.is_dropped() {
            consumer.finish(&queue, &again);
        } else if queue.give_back(again) {
            consumer.ready.list(queue);
        }
    });
}
