//! Pull consumers: messages are asked for, at the host's own pace, and positions are its own affair.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use mq_client::{Error, ErrorCode, MessageQueue, MessageView, PullConsumerConfig};
use parking_lot::Mutex;

use crate::calls::Calls;
use crate::client::{CLOSE_TIMEOUT, Client};
use crate::closing::{self, Close};
use crate::deadline::deadline;
use crate::event::Event;
use crate::fork::Owned;
use crate::push_consumer::START_TIMEOUT;
use crate::queue::Queue;

mod asynchronous;

/// A consumer that is polled (Java's lite pull consumer). Clones share it; usable from any thread, by several at once, but
/// for [`PullConsumer::poll`], of which one may run at a time.
///
/// It consumes either the topics that it subscribes to, sharing their queues with the other members of its group, or the
/// queues that it was assigned by hand. Each call that asks a broker has a form that blocks and one, `_async`, that
/// gives its result as an event. Dropping the last clone closes it in the background.
#[derive(Clone, Debug)]
pub struct PullConsumer(Arc<Owned<Inner>>);

/// Where a consumer goes on in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    /// At this offset.
    Offset(i64),
    /// At the oldest message that the queue still has.
    Begin,
    /// With what arrives from now on.
    End,
    /// At the first message that was stored at this time or later, in milliseconds since 1970.
    Time(i64),
}

pub(crate) struct Inner {
    client: Client,
    wish: Mutex<Wish>,
    /// From the start on.
    consumer: OnceLock<mq_client::PullConsumer>,
    calls: Arc<Calls>,
    /// Locked while a start or a close goes on.
    stage: tokio::sync::Mutex<()>,
    closed: AtomicBool,
}

/// What was asked for and has its effect later.
struct Wish {
    /// Settings and subscriptions until the start.
    config: PullConsumerConfig,
    /// What was assigned before the start.
    assigned: Vec<MessageQueue>,
    /// Tag expressions by topic, for queues that are assigned by hand.
    expressions: BTreeMap<String, String>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullConsumer").field("group", &self.wish.lock().config.group).finish_non_exhaustive()
    }
}

impl PullConsumer {
    pub(crate) fn new(client: Client, config: PullConsumerConfig) -> PullConsumer {
        let wish = Wish { config, assigned: Vec::new(), expressions: BTreeMap::new() };
        let inner = Inner {
            client,
            wish: Mutex::new(wish),
            consumer: OnceLock::new(),
            calls: Arc::default(),
            stage: tokio::sync::Mutex::new(()),
            closed: AtomicBool::new(false),
        };
        PullConsumer(Arc::new(Owned::new("the pull consumer", inner)))
    }

    pub(crate) fn downgrade(&self) -> Weak<Owned<Inner>> {
        Arc::downgrade(&self.0)
    }

    /// Adds a topic, or changes its expression: `*`, or tags joined by `||`. Before the start it is only noted; after it
    /// the share of the topic's queues is taken when this returns.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::subscribe`]; STATE on a runtime thread, FORKED.
    pub fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Error> {
        self.block("subscribing", |inner| inner.subscribe(topic, expression))
    }

    /// Takes a topic off and gives its queues up.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::unsubscribe`]; STATE on a runtime thread, FORKED.
    pub fn unsubscribe(&self, topic: &str) -> Result<(), Error> {
        self.block("unsubscribing", |inner| inner.unsubscribe(topic))
    }

    /// Consumes these queues and no others, whoever else is in the group; an empty list ends that. Before the start it is
    /// only noted.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::assign`]; STATE on a runtime thread, FORKED.
    pub fn assign(&self, queues: &[MessageQueue]) -> Result<(), Error> {
        self.block("assigning queues", |inner| inner.assign(queues.to_vec()))
    }

    /// Lets queues of this topic that are assigned from now on give out only messages whose tags are in `expression`. No
    /// broker is asked.
    ///
    /// # Errors
    /// ARGUMENT: the topic or the expression is not acceptable. CLOSED, FORKED.
    pub fn filter_assigned(&self, topic: &str, expression: &str) -> Result<(), Error> {
        let inner = self.0.get()?;
        inner.started()?;
        // Checked as a subscription is; a copy, because it is none.
        PullConsumerConfig::default().add_subscription(topic, expression)?;
        inner.wish.lock().expressions.insert(topic.to_owned(), expression.to_owned());
        Ok(())
    }

    /// Joins the group; with subscriptions, takes its share of the queues. Blocks up to `timeout` (10 s if none is
    /// given). After an error it can be started again.
    ///
    /// # Errors
    /// STATE: it was started, another client of this process has the group, or this is a runtime thread. ARGUMENT,
    /// CONFIG, NETWORK, NOT_FOUND, TIMEOUT, CLOSED, FORKED.
    pub fn start(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let deadline = deadline(timeout.unwrap_or(START_TIMEOUT));
        self.block("starting a pull consumer", |inner| inner.start_by(deadline))
    }

    /// The next messages, at most `poll_batch_size`, in the order of each queue; none if none arrived within `timeout` (the
    /// setting `poll_timeout` if none is given). A zero timeout takes what is there.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::poll`]; STATE also before the start and on a runtime thread. FORKED.
    pub fn poll(&self, timeout: Option<Duration>) -> Result<Vec<MessageView>, Error> {
        self.block("polling for messages", |inner| inner.poll(timeout))
    }

    /// Goes on elsewhere in a queue: what is polled next of it comes from there.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::seek`]; STATE also before the start and on a runtime thread. FORKED.
    pub fn seek(&self, queue: &MessageQueue, to: Seek) -> Result<(), Error> {
        self.block("seeking", |inner| inner.seek(queue, to))
    }

    /// The offset of the first message that was stored at this time or later, in milliseconds since 1970; the end of the
    /// queue if there is none.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::offset_for_timestamp`]; STATE before the start and on a runtime thread. FORKED.
    pub fn offset_for_timestamp(&self, queue: &MessageQueue, millis: i64) -> Result<i64, Error> {
        self.block("asking for an offset", async |inner| {
            inner.consumer()?.offset_for_timestamp(queue, millis).await
        })
    }

    /// Commits for all queues what polls have given out, the latest one included.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::commit`]; STATE before the start and on a runtime thread. FORKED.
    pub fn commit(&self) -> Result<(), Error> {
        self.block("committing", async |inner| inner.consumer()?.commit().await)
    }

    /// Commits these offsets, each that of the next message to be consumed.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::commit_offsets`]; STATE also before the start and on a runtime thread. FORKED.
    pub fn commit_offsets(&self, offsets: &[(MessageQueue, i64)]) -> Result<(), Error> {
        let offsets: BTreeMap<_, _> = offsets.iter().cloned().collect();
        self.block("committing", async |inner| inner.consumer()?.commit_offsets(&offsets).await)
    }

    /// The offset that is committed for the group; `None` if there is none.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::committed`]; STATE before the start and on a runtime thread. FORKED.
    pub fn committed(&self, queue: &MessageQueue) -> Result<Option<i64>, Error> {
        self.block("asking for an offset", async |inner| inner.consumer()?.committed(queue).await)
    }

    /// The offset of the next message of the queue that a poll gives out.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::position`]; STATE also before the start and on a runtime thread. FORKED.
    pub fn position(&self, queue: &MessageQueue) -> Result<i64, Error> {
        self.block("asking for a position", async |inner| inner.consumer()?.position(queue).await)
    }

    /// All queues of a topic that can be consumed.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::queues`]; STATE before the start and on a runtime thread. FORKED.
    pub fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, Error> {
        self.block("asking for queues", async |inner| inner.consumer()?.queues(topic).await)
    }

    /// Lets an [`Event::QueueChange`] with the number `watch` come on `events` each time the queues of the topic, or those
    /// of them that are assigned here, have changed.
    ///
    /// # Errors
    /// As [`PullConsumer::queues`]; CLOSED also if the queue of events is.
    pub fn watch_queues(&self, topic: &str, events: &Queue, watch: u64) -> Result<(), Error> {
        self.block("asking for queues", |inner| inner.watch_queues(topic, events.clone(), watch))
    }

    /// Polls give out nothing of these queues until [`PullConsumer::resume`]; what is cached is kept. No broker is asked.
    ///
    /// # Errors
    /// As [`mq_client::PullConsumer::pause`]; STATE also before the start. FORKED.
    pub fn pause(&self, queues: &[MessageQueue]) -> Result<(), Error> {
        self.0.get()?.consumer()?.pause(queues)
    }

    /// Gives out messages of these queues again.
    ///
    /// # Errors
    /// As [`PullConsumer::pause`].
    pub fn resume(&self, queues: &[MessageQueue]) -> Result<(), Error> {
        self.0.get()?.consumer()?.resume(queues)
    }

    /// The queues that it has at the moment, in order; none before the start and after the close.
    ///
    /// # Errors
    /// FORKED.
    pub fn assignment(&self) -> Result<Vec<MessageQueue>, Error> {
        let consumer = self.0.get()?.consumer.get();
        Ok(consumer.map(mq_client::PullConsumer::assignment).unwrap_or_default())
    }

    /// Cancels the asynchronous calls made with `queue` and `tag` that are not done: their events are CANCELLED. A poll
    /// that is cancelled loses no message; one whose event is on the queue already has given its messages out. Closing
    /// is not cancelled.
    ///
    /// # Errors
    /// FORKED.
    pub fn cancel(&self, queue: &Queue, tag: u64) -> Result<(), Error> {
        self.0.get()?.calls.cancel(queue, tag);
        Ok(())
    }

    /// Stops pulling, commits what polls have given out if `auto_commit` is set, and leaves the group, within `timeout`
    /// (5 s if none is given). A poll that is running fails with CLOSED. Later calls do nothing.
    ///
    /// # Errors
    /// TIMEOUT: it had to be cut; it is closed all the same. STATE on a runtime thread, FORKED.
    pub fn close(&self, timeout: Option<Duration>) -> Result<(), Error> {
        closing::close(&self.0, timeout)
    }

    /// Carries a call out on this thread.
    fn block<'a, T, F>(&'a self, what: &str, call: impl FnOnce(&'a Inner) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let inner = self.0.get()?;
        inner.client.runtime()?.block_on(what, call(inner))?
    }
}

impl Inner {
    /// What runs, if it was started.
    fn started(&self) -> Result<Option<&mq_client::PullConsumer>, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the pull consumer is closed; make a new one"));
        }
        Ok(self.consumer.get())
    }

    fn consumer(&self) -> Result<&mq_client::PullConsumer, Error> {
        self.started()?.ok_or_else(|| {
            Error::new(ErrorCode::State, "the pull consumer was not started; start it before this call")
        })
    }

    async fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Error> {
        let _stage = self.stage.lock().await;
        match self.started()? {
            Some(consumer) => consumer.subscribe(topic, expression).await,
            None => self.wish.lock().config.add_subscription(topic, expression),
        }
    }

    async fn unsubscribe(&self, topic: &str) -> Result<(), Error> {
        let _stage = self.stage.lock().await;
        match self.started()? {
            Some(consumer) => consumer.unsubscribe(topic).await,
            None => {
                self.wish.lock().config.subscriptions.remove(topic);
                Ok(())
            }
        }
    }

    async fn assign(&self, queues: Vec<MessageQueue>) -> Result<(), Error> {
        let _stage = self.stage.lock().await;
        match self.started()? {
            Some(consumer) => {
                let expressions = self.wish.lock().expressions.clone();
                consumer.assign_filtered(&queues, &expressions).await
            }
            None => {
                self.wish.lock().assigned = queues;
                Ok(())
            }
        }
    }

    async fn start_by(&self, deadline: Instant) -> Result<(), Error> {
        let late = || {
            Error::new(
                ErrorCode::Timeout,
                "the pull consumer did not start in time; check that brokers answer, then start it again",
            )
        };
        let start = async {
            let _stage = self.stage.lock().await;
            if self.started()?.is_some() {
                return Err(Error::new(
                    ErrorCode::State,
                    "the pull consumer was started before; start it once",
                ));
            }
            let (config, assigned, expressions) = {
                let wish = self.wish.lock();
                (wish.config.clone(), wish.assigned.clone(), wish.expressions.clone())
            };
            let consumer = self.client.inner()?.pull_consumer(config).await?;
            if !assigned.is_empty()
                && let Err(error) = consumer.assign_filtered(&assigned, &expressions).await
            {
                consumer.close().await;
                return Err(error);
            }
            // Empty until now, as this is the only place that fills it, under the lock.
            let _ = self.consumer.set(consumer);
            Ok(())
        };
        tokio::time::timeout_at(deadline.into(), start).await.map_err(|_| late())?
    }

    async fn poll(&self, timeout: Option<Duration>) -> Result<Vec<MessageView>, Error> {
        let consumer = self.consumer()?;
        consumer.poll(timeout.unwrap_or_else(|| consumer.poll_timeout())).await
    }

    async fn seek(&self, queue: &MessageQueue, to: Seek) -> Result<(), Error> {
        let consumer = self.consumer()?;
        match to {
            Seek::Offset(offset) => consumer.seek(queue, offset).await,
            Seek::Begin => consumer.seek_to_begin(queue).await,
            Seek::End => consumer.seek_to_end(queue).await,
            Seek::Time(millis) => {
                let offset = consumer.offset_for_timestamp(queue, millis).await?;
                consumer.seek(queue, offset).await
            }
        }
    }

    async fn watch_queues(&self, topic: &str, events: Queue, watch: u64) -> Result<(), Error> {
        events.check_open()?;
        let tell = move |change: &mq_client::QueueChange| {
            events.push_notice(Event::QueueChange { watch, change: change.clone() });
        };
        self.consumer()?.on_queue_change(topic, tell).await
    }
}

impl Close for Inner {
    const WHAT: &'static str = "closing a pull consumer";

    fn client(&self) -> &Client {
        &self.client
    }

    fn close_timeout(&self) -> Duration {
        CLOSE_TIMEOUT
    }

    async fn close_by(&self, deadline: Instant) -> Result<(), Error> {
        // Calls that are made from now on are refused, those under way fail when the consumer closes.
        self.closed.store(true, Ordering::Release);
        let close = async {
            if let Some(consumer) = self.consumer.get() {
                consumer.close().await;
            }
            let _stage = self.stage.lock().await;
            // A start that was under way has just ended.
            if let Some(consumer) = self.consumer.get() {
                consumer.close().await;
            }
        };
        tokio::time::timeout_at(deadline.into(), close).await.map_err(|_| {
            Error::new(
                ErrorCode::Timeout,
                "closing the pull consumer took too long; what was not committed is delivered again",
            )
        })
    }
}
