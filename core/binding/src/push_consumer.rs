//! Push consumers: messages become events with reply tokens, never more of them than the consumer's permits.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use mq_client::{
    ConsumeResult, Error, ErrorCode, Listener, MessageQueue, MessageView, PushConsumerConfig, Warning,
};
use parking_lot::Mutex;

use crate::calls::Calls;
use crate::client::Client;
use crate::closing::{self, Close};
use crate::deadline::deadline;
use crate::event::{Event, Outcome};
use crate::fork::Owned;
use crate::queue::Queue;
use crate::token::{Replies, ReplyToken};

/// How long starting may take when no time is given.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A member of a consumer group. Clones share it; usable from any thread, by several at once.
///
/// Its messages come as [`Event::Message`] on its queue; no more than `consume_thread_max` of these events are
/// unanswered at any time. Dropping the last clone closes it in the background.
#[derive(Clone, Debug)]
pub struct PushConsumer(Arc<Owned<Inner>>);

pub(crate) struct Inner {
    client: Client,
    queue: Queue,
    tag: u64,
    /// Settings and subscriptions until the start.
    config: Mutex<PushConsumerConfig>,
    close_timeout: Duration,
    replies: Arc<Replies>,
    calls: Arc<Calls>,
    running: Mutex<Running>,
    /// Locked while a start or a close goes on.
    stage: tokio::sync::Mutex<Stage>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Started,
    Closed,
}

#[derive(Default)]
struct Running {
    /// From the start to the close.
    consumer: Option<mq_client::PushConsumer>,
    suspended: bool,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushConsumer").field("group", &self.config.lock().group).finish_non_exhaustive()
    }
}

impl PushConsumer {
    pub(crate) fn new(
        client: Client,
        config: PushConsumerConfig,
        queue: Queue,
        tag: u64,
    ) -> Result<PushConsumer, Error> {
        let inner = Inner {
            client,
            queue,
            tag,
            close_timeout: config.close_timeout,
            config: Mutex::new(config),
            replies: Arc::default(),
            calls: Arc::default(),
            running: Mutex::default(),
            stage: tokio::sync::Mutex::new(Stage::New),
        };
        Ok(PushConsumer(Arc::new(Owned::new("the push consumer", inner))))
    }

    pub(crate) fn downgrade(&self) -> Weak<Owned<Inner>> {
        Arc::downgrade(&self.0)
    }

    /// Subscribes to the messages of a topic whose tags are in `expression` (`*` or empty: all; `a || b`), before the start.
    ///
    /// # Errors
    /// ARGUMENT: an illegal topic or expression. STATE: it was started. FORKED.
    pub fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Error> {
        let inner = self.0.get()?;
        if !matches!(inner.stage.try_lock().as_deref(), Ok(Stage::New)) {
            return Err(Error::new(
                ErrorCode::State,
                "the push consumer was started or closed; subscribe before the start",
            ));
        }
        inner.config.lock().add_subscription(topic, expression)
    }

    /// Joins the group and begins to fetch; blocks up to `timeout` (10 s if none is given). After an error it can be
    /// started again.
    ///
    /// # Errors
    /// STATE: it was started, has no subscription, or this is a runtime thread. CONFIG, ARGUMENT, NETWORK, NOT_FOUND,
    /// TIMEOUT, CLOSED, FORKED.
    pub fn start(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let inner = self.0.get()?;
        let deadline = deadline(timeout.unwrap_or(START_TIMEOUT));
        inner.client.runtime()?.block_on("starting a push consumer", inner.start_by(deadline))?
    }

    /// As [`PushConsumer::start`] without blocking; the end is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// CLOSED: the client or the queue. FORKED.
    pub fn start_async(&self, timeout: Option<Duration>, queue: &Queue, tag: u64) -> Result<(), Error> {
        let inner = self.0.get()?;
        let runtime = inner.client.runtime()?;
        let deadline = deadline(timeout.unwrap_or(START_TIMEOUT));
        let consumer = self.clone();
        inner.calls.spawn(&runtime, queue, tag, async move {
            consumer.0.get()?.start_by(deadline).await?;
            Ok(Outcome::Started)
        })
    }

    /// Answers for the messages of a token that was turned into its number with [`ReplyToken::into_id`]. After the
    /// close it has no effect.
    ///
    /// # Errors
    /// STATE: the token is unknown or was answered. FORKED.
    pub fn reply(&self, token: u64, result: ConsumeResult) -> Result<(), Error> {
        self.0.get()?.replies.reply(token, result)
    }

    /// Fetches no more until [`PushConsumer::resume`]; what was fetched already still comes, and the consumer stays in
    /// its group.
    ///
    /// # Errors
    /// FORKED.
    pub fn suspend(&self) -> Result<(), Error> {
        self.0.get()?.suspend(true);
        Ok(())
    }

    /// Fetches again.
    ///
    /// # Errors
    /// FORKED.
    pub fn resume(&self) -> Result<(), Error> {
        self.0.get()?.suspend(false);
        Ok(())
    }

    /// Cancels a [`PushConsumer::start_async`] made with `queue` and `tag` that is not done: its event is CANCELLED, and
    /// it can be started again.
    ///
    /// # Errors
    /// FORKED.
    pub fn cancel(&self, queue: &Queue, tag: u64) -> Result<(), Error> {
        self.0.get()?.calls.cancel(queue, tag);
        Ok(())
    }

    /// The queues that it has at the moment, in order, those of its group's retry topic among them; none before the
    /// start and after the close.
    ///
    /// # Errors
    /// FORKED.
    pub fn assignment(&self) -> Result<Vec<MessageQueue>, Error> {
        let running = self.0.get()?.running.lock();
        Ok(running.consumer.as_ref().map(mq_client::PushConsumer::queues).unwrap_or_default())
    }

    /// Fetches no more, takes back what waits on the queue, waits for the answers owed up to `timeout` (the setting
    /// `close_timeout` if none is given), commits and leaves the group. Later calls do nothing.
    ///
    /// # Errors
    /// TIMEOUT: it had to be cut, and unanswered messages are delivered again; it is closed all the same. STATE on a
    /// runtime thread, FORKED.
    pub fn close(&self, timeout: Option<Duration>) -> Result<(), Error> {
        closing::close(&self.0, timeout)
    }

    /// As [`PushConsumer::close`] without blocking; the end is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// CLOSED: the queue is. FORKED.
    pub fn close_async(&self, timeout: Option<Duration>, queue: &Queue, tag: u64) -> Result<(), Error> {
        closing::close_async(&self.0, timeout, queue, tag)
    }
}

impl Inner {
    async fn start_by(&self, deadline: Instant) -> Result<(), Error> {
        let late = || {
            Error::new(
                ErrorCode::Timeout,
                "the push consumer did not start in time; check that brokers answer, then start it again",
            )
        };
        let stage = tokio::time::timeout_at(deadline.into(), self.stage.lock()).await;
        let mut stage = stage.map_err(|_| late())?;
        match *stage {
            Stage::New => {}
            Stage::Started => {
                return Err(Error::new(
                    ErrorCode::State,
                    "the push consumer was started before; start it once",
                ));
            }
            Stage::Closed => {
                return Err(Error::new(ErrorCode::Closed, "the push consumer is closed; make a new one"));
            }
        }
        let config = self.config.lock().clone();
        if config.subscriptions.is_empty() {
            return Err(Error::new(
                ErrorCode::State,
                "the push consumer has no subscription; subscribe to a topic before the start",
            ));
        }
        let (queue, tag, replies) = (self.queue.clone(), self.tag, Arc::clone(&self.replies));
        let start = self.client.inner()?.push_consumer(config, Arc::new(ToQueue { queue, tag, replies }));
        let consumer = tokio::time::timeout_at(deadline.into(), start).await.map_err(|_| late())??;
        *stage = Stage::Started;
        let mut running = self.running.lock();
        if running.suspended {
            consumer.suspend();
        }
        running.consumer = Some(consumer);
        Ok(())
    }

    fn suspend(&self, suspended: bool) {
        let mut running = self.running.lock();
        running.suspended = suspended;
        match &running.consumer {
            Some(consumer) if suspended => consumer.suspend(),
            Some(consumer) => consumer.resume(),
            None => {}
        }
    }
}

impl Close for Inner {
    const WHAT: &'static str = "closing a push consumer";

    fn client(&self) -> &Client {
        &self.client
    }

    fn close_timeout(&self) -> Duration {
        self.close_timeout
    }

    async fn close_by(&self, deadline: Instant) -> Result<(), Error> {
        let late = || {
            Error::new(
                ErrorCode::Timeout,
                "closing the push consumer took too long; unanswered messages are delivered again",
            )
        };
        let stage = tokio::time::timeout_at(deadline.into(), self.stage.lock()).await;
        let mut stage = stage.map_err(|_| late())?;
        *stage = Stage::Closed;
        let Some(consumer) = self.running.lock().consumer.take() else { return Ok(()) };
        self.replies.withdraw(&self.queue);
        // After the answers it commits and leaves the group, whose requests have short timeouts of their own.
        let answered = consumer.close_within(deadline.saturating_duration_since(Instant::now())).await;
        self.replies.close();
        if answered { Ok(()) } else { Err(late()) }
    }
}

/// The listener: puts messages on the queue and waits for the answer.
struct ToQueue {
    queue: Queue,
    tag: u64,
    replies: Arc<Replies>,
}

impl Listener for ToQueue {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        let (token, answer) = ReplyToken::new(&self.replies);
        self.queue.push(Event::Message { consumer: self.tag, messages, token }, None);
        if self.replies.is_closing() {
            self.replies.withdraw(&self.queue);
        }
        // A token that was dropped is an answer too.
        Box::pin(async { answer.await.unwrap_or(ConsumeResult::LATER) })
    }

    fn warning(&self, warning: Warning) {
        self.queue.push_notice(Event::Warning { consumer: self.tag, warning });
    }
}
