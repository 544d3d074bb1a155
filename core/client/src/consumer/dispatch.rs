//! The workers that call the listener: as many calls at a time as there is work for, queues in turn.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use mq_protocol::body::MessageQueue;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::process_queue::{ProcessQueue, Taken};
use super::{ConsumeResult, Inner};
use crate::MessageView;

/// The delay level of messages whose listener call took too long (`ConsumeMessageConcurrentlyService`).
const LEVEL_AFTER_TIMEOUT: i32 = 3;
/// A worker beyond `consume_thread_min` that has nothing to do for so long ends (Java's thread pool: a minute).
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Queues that have messages for the listener.
pub(crate) struct Ready {
    queues: Mutex<VecDeque<Arc<ProcessQueue>>>,
    wake: Notify,
    stopped: watch::Sender<bool>,
    /// Workers, and those of them that have nothing to do.
    workers: AtomicUsize,
    idle: AtomicUsize,
}

impl Default for Ready {
    fn default() -> Ready {
        Ready {
            queues: Mutex::default(),
            wake: Notify::new(),
            stopped: watch::Sender::new(false),
            workers: AtomicUsize::new(0),
            idle: AtomicUsize::new(0),
        }
    }
}

impl Ready {
    fn list(&self, queue: Arc<ProcessQueue>) {
        self.queues.lock().push_back(queue);
        self.wake.notify_one();
    }

    /// Gives out nothing any more.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Number of workers at the moment.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// The next messages; `None` if there are none for `patience`.
    async fn next(&self, max: usize, patience: Duration) -> Option<(Arc<ProcessQueue>, Taken)> {
        loop {
            if let Some(found) = self.try_next(max) {
                return Some(found);
            }
            let _idle = Counted::new(&self.idle);
            // One more look: what was listed before this worker counted as idle.
            if let Some(found) = self.try_next(max) {
                return Some(found);
            }
            timeout(patience, self.wake.notified()).await.ok()?;
        }
    }

    fn try_next(&self, max: usize) -> Option<(Arc<ProcessQueue>, Taken)> {
        while !self.is_stopped() {
            let queue = self.queues.lock().pop_front()?;
            match queue.take(max) {
                Taken::Nothing => {}
                taken => {
                    if let Taken::Messages { more: true, .. } = &taken {
                        // The next worker goes on with the queue that waits longest.
                        self.list(queue.clone());
                    }
                    return Some((queue, taken));
                }
            }
        }
        None
    }

    fn has_work(&self) -> bool {
        !self.queues.lock().is_empty()
    }
}

/// Counts one up while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Counted<'a> {
        counter.fetch_add(1, Ordering::SeqCst);
        Counted(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Inner {
    /// Gives a queue that is not listed to the workers, and them one more if all are busy.
    pub(super) fn list(self: &Arc<Self>, queue: Arc<ProcessQueue>) {
        self.ready.list(queue);
        self.grow();
    }

    /// Begins with the workers that stay.
    pub(super) fn start_workers(self: &Arc<Self>) {
        for _ in 0..self.config.consume_thread_min.min(self.config.consume_thread_max) {
            self.ready.workers.fetch_add(1, Ordering::SeqCst);
            self.tasks.spawn(work(self.clone(), true));
        }
    }

    fn grow(self: &Arc<Self>) {
        let max = self.config.consume_thread_max;
        let busy = self.ready.idle.load(Ordering::SeqCst) == 0;
        if !busy || self.ready.workers() >= max || !self.ready.has_work() {
            return;
        }
        let more = |count: usize| (count < max).then_some(count + 1);
        if self.ready.workers.try_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok() {
            self.tasks.spawn(work(self.clone(), false));
        }
    }
}

/// Calls the listener again and again; a worker that need not stay ends when it has nothing to do.
async fn work(consumer: Arc<Inner>, stays: bool) {
    let max = consumer.config.consume_message_batch_max_size.min(consumer.throttle.largest());
    // The order of a queue would be lost if a call that still runs counted as failed.
    let limit = (!consumer.config.is_orderly()).then_some(consumer.config.consume_timeout);
    let mut alarm = Box::pin(sleep(limit.unwrap_or_default()));
    let mut stopped = consumer.ready.stopped.subscribe();
    loop {
        let (queue, taken) = match consumer.ready.next(max, KEEP_ALIVE).await {
            Some(found) => found,
            None if stays => continue,
            None => break,
        };
        let messages = match taken {
            Taken::Messages { messages, .. } => messages,
            Taken::Unlocked => {
                consumer.relock(queue);
                continue;
            }
            Taken::Nothing => continue,
        };
        consumer.grow();
        let permit = tokio::select! {
            biased;
            permit = consumer.throttle.admit(messages.len()) => permit,
            _ = stopped.wait_for(|stopped| *stopped) => {
                consumer.abandon(&queue, &messages);
                break;
            }
        };
        let started = Instant::now();
        let outcome = call(&consumer, &queue, &messages, alarm.as_mut(), limit).await;
        if outcome == Outcome::Abandon {
            // The sender lives as long as the consumer, which this worker holds.
            let _ = stopped.wait_for(|stopped| *stopped).await;
            consumer.abandon(&queue, &messages);
            break;
        }
        let success = outcome == Outcome::Success;
        queue.stats.consumed(messages.len(), success, started.elapsed());
        drop(permit);
        consumer.settle(&queue, messages, outcome).await;
    }
    consumer.ready.workers.fetch_sub(1, Ordering::SeqCst);
    // What was listed while this one made up its mind.
    consumer.grow();
}

/// What became of a listener call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// Again, at this delay level.
    Later(i32),
    /// Again, after the queue has rested.
    Suspend(Option<Duration>),
    /// By whoever has the queue after the close.
    Abandon,
}

async fn call(
    consumer: &Inner,
    queue: &Arc<ProcessQueue>,
    messages: &[MessageView],
    mut alarm: Pin<&mut Sleep>,
    limit: Option<Duration>,
) -> Outcome {
    if let Some(limit) = limit {
        alarm.as_mut().reset(Instant::now() + limit);
    }
    let _running = Running::new(consumer, queue, messages);
    // Calling the listener is inside the fence too: it may panic before it returns its future.
    let call = AssertUnwindSafe(async { consumer.listener.consume(messages.to_vec()).await }).catch_unwind();
    tokio::select! {
        biased;
        result = call => match result {
            Ok(ConsumeResult::Success) => Outcome::Success,
            Ok(ConsumeResult::Later { delay_level }) => Outcome::Later(delay_level.unwrap_or(0)),
            Ok(ConsumeResult::Suspend { duration }) => Outcome::Suspend(duration),
            Ok(ConsumeResult::Abandon) => Outcome::Abandon,
            Err(panic) => {
                let group = &consumer.group;
                tracing::error!(group, panic = text_of(panic.as_ref()), "the listener panicked; its messages come again later");
                Outcome::Later(0)
            }
        },
        () = alarm, if limit.is_some() => {
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
