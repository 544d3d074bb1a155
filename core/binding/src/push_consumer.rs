//! Push consumers: messages become events with reply tokens, never more of them than the consumer's permits.

use std::fmt;
use std::future::Future;
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

    /// Adds a topic, or changes its expression: `*`, or tags joined by `||`. Before the start it is only noted; after it
    /// the share of the topic's queues is taken when this returns.
    ///
    /// # Errors
    /// As [`mq_client::PushConsumer::subscribe`]; STATE on a runtime thread (but not before the start), FORKED.
    pub fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Error> {
        let inner = self.0.get()?;
        // Noted without a wait: many subscribe in places where they must not block.
        if matches!(inner.stage.try_lock().as_deref(), Ok(Stage::New)) {
            return inner.config.lock().add_subscription(topic, expression);
        }
        inner.client.runtime()?.block_on("subscribing", inner.subscribe(topic, expression))?
    }

    /// As [`PushConsumer::subscribe`] without blocking; the end is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// QUEUE_FULL: too many calls are not done. CLOSED: the client or the queue. FORKED.
    pub fn subscribe_async(
        &self,
        topic: &str,
        expression: &str,
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let (consumer, topic, expression) = (self.clone(), topic.to_owned(), expression.to_owned());
        self.spawn(queue, tag, async move {
            consumer.0.get()?.subscribe(&topic, &expression).await.map(|()| Outcome::Done)
        })
    }

    /// Takes a topic off and gives its queues up: what is consumed is committed. One that is not subscribed to is no
    /// error. What was handed out already still wants its answer.
    ///
    /// # Errors
    /// As [`mq_client::PushConsumer::unsubscribe`]; STATE on a runtime thread, FORKED.
    pub fn unsubscribe(&self, topic: &str) -> Result<(), Error> {
        let inner = self.0.get()?;
        inner.client.runtime()?.block_on("unsubscribing", inner.unsubscribe(topic))?
    }

    /// As [`PushConsumer::unsubscribe`] without blocking; the end is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// As [`PushConsumer::subscribe_async`].
    pub fn unsubscribe_async(&self, topic: &str, queue: &Queue, tag: u64) -> Result<(), Error> {
        let (consumer, topic) = (self.clone(), topic.to_owned());
        self.spawn(
            queue,
            tag,
            async move { consumer.0.get()?.unsubscribe(&topic).await.map(|()| Outcome::Done) },
        )
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
        let (consumer, deadline) = (self.clone(), deadline(timeout.unwrap_or(START_TIMEOUT)));
        self.spawn(queue, tag, async move {
            consumer.0.get()?.start_by(deadline).await.map(|()| Outcome::Started)
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

    /// Cancels a call made with `queue` and `tag` that is not done: its event is CANCELLED. What was to be started can be
    /// started again; a change of subscriptions may have its effect all the same.
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

    fn spawn(
        &self,
        queue: &Queue,
        tag: u64,
        work: impl Future<Output = Result<Outcome, Error>> + Send + 'static,
    ) -> Result<(), Error> {
        let inner = self.0.get()?;
        inner.calls.spawn(&inner.client.runtime()?, queue, tag, work)
    }
}

impl Inner {
    /// The running consumer; `None` before the start, of which `note` makes use.
    async fn running(
        &self,
        note: impl FnOnce(&mut PushConsumerConfig) -> Result<(), Error>,
    ) -> Result<Option<mq_client::PushConsumer>, Error> {
        // Held no longer than this, so that a close need not wait for the brokers.
        let stage = self.stage.lock().await;
        match *stage {
            Stage::New => note(&mut self.config.lock()).map(|()| None),
            Stage::Started => Ok(self.running.lock().consumer.clone()),
            Stage::Closed => Err(closed()),
        }
    }

    async fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Error> {
        match self.running(|config| config.add_subscription(topic, expression)).await? {
            Some(consumer) => consumer.subscribe(topic, expression).await,
            None => Ok(()),
        }
    }

    async fn unsubscribe(&self, topic: &str) -> Result<(), Error> {
        let take_off = |config: &mut PushConsumerConfig| {
            config.remove_subscription(topic);
            Ok(())
        };
        match self.running(take_off).await? {
            Some(consumer) => consumer.unsubscribe(topic).await,
            None => Ok(()),
        }
    }

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
            Stage::Closed => return Err(closed()),
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

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the push consumer is closed; make a new one")
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
