//! The pull consumer: queues by subscription or by hand, polled at the application's own pace.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mq_protocol::body::MessageQueue;
use mq_protocol::{RequestCode, name};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};

use crate::client::{Inner as ClientInner, Member};
use crate::consumer::{Allocation, Offsets};
use crate::message::{deadline, now_millis};
use crate::tasks::Tasks;
use crate::view::without_namespace;
use crate::{Error, ErrorCode, MessageView, PullConsumerConfig};

mod assigned;
mod assignment;
mod fetch;
mod serve;
mod watch;

use assigned::{Assigned, Entry, Load};
use assignment::Wish;
pub use watch::QueueChange;
use watch::Watchers;

const MEBIBYTE: usize = 1024 * 1024;

/// Consumes by polling (`DefaultLitePullConsumer`): either the topics it subscribes to, divided with the other
/// members of the group, or the queues that are assigned by hand. Clones share one consumer; dropping the last
/// without [`PullConsumer::close`] closes it in the background.
///
/// Messages are pulled ahead into a bounded cache. Offsets are committed by [`PullConsumer::commit`] and, with
/// `auto_commit`, every `auto_commit_interval`: then what a poll gave out counts as consumed from the next poll on.
#[derive(Clone)]
pub struct PullConsumer {
    handle: Arc<Handle>,
}

struct Handle(Arc<Inner>);

pub(crate) struct Inner {
    client: Arc<ClientInner>,
    config: PullConsumerConfig,
    /// In the client's namespace.
    group: String,
    offsets: Offsets,
    allocation: Allocation,
    wish: Mutex<Wish>,
    queues: Mutex<HashMap<MessageQueue, Arc<Assigned>>>,
    /// Queues that have messages for a poll.
    ready: Mutex<VecDeque<Arc<Assigned>>>,
    /// Told when a queue was listed, or the consumer closed.
    arrived: Notify,
    /// One poll at a time.
    polling: tokio::sync::Mutex<()>,
    /// Number of the latest poll, or of the commit by hand after it.
    polls: AtomicU64,
    tasks: Tasks,
    /// Below 0 for a moment if messages are taken before they are counted.
    cached_messages: AtomicIsize,
    cached_bytes: AtomicIsize,
    /// Told when the cache of all queues has room again.
    room: Notify,
    watchers: Watchers,
    /// A broker before 5.0 was met, which does not know LITE_PULL_MESSAGE.
    plain_pull: AtomicBool,
    closed: AtomicBool,
    /// Tells that the division of queues should be looked at now.
    rebalance: Notify,
    rebalancing: tokio::sync::Mutex<()>,
    start_timestamp: i64,
    started_at: i64,
}

impl PullConsumer {
    /// Registers the group; with subscriptions in the settings, takes its share of the queues.
    pub(crate) async fn start(
        client: Arc<ClientInner>,
        config: PullConsumerConfig,
    ) -> Result<PullConsumer, Error> {
        let inner = Arc::new(Inner::new(client, config)?);
        inner.client.add_consumer(Member::Pull(inner.clone()))?;
        let consumer = PullConsumer { handle: Arc::new(Handle(inner.clone())) };
        if let Err(error) = inner.begin().await {
            consumer.close().await;
            return Err(error);
        }
        Ok(consumer)
    }

    /// Adds a topic, or changes its expression: `*`, or tags joined by `||`. When this returns the share of the
    /// topic's queues is taken.
    ///
    /// # Errors
    /// `STATE`: queues were assigned by hand. `ARGUMENT`: topic or expression is not acceptable.
    /// `NETWORK`, `TIMEOUT`: no NameServer answers. `CLOSED`.
    pub async fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Error> {
        let inner = &self.handle.0;
        inner.check_open()?;
        name::check_topic(topic)?;
        inner.subscribe(inner.client.wrap(topic).into_owned(), expression).await
    }

    /// Takes a topic off and gives its queues up. Without any topic left, queues may be assigned by hand.
    ///
    /// # Errors
    /// `STATE`: queues were assigned by hand. `CLOSED`.
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), Error> {
        let inner = &self.handle.0;
        inner.check_open()?;
        inner.unsubscribe(&inner.client.wrap(topic)).await
    }

    /// Consumes these queues and no others, whoever else is in the group; an empty list ends that.
    ///
    /// All members of a group should do so, or none: those that subscribe leave this member its share of the queues.
    /// Queues that stay keep their place. A new one begins at the group's offset, or where `consume_from_where` says.
    ///
    /// # Errors
    /// `STATE`: there are subscriptions. `ARGUMENT`: a topic has no such queue. `NOT_FOUND`: there is no such topic.
    /// `NETWORK`, `TIMEOUT`: no NameServer answers. `CLOSED`.
    pub async fn assign(&self, queues: &[MessageQueue]) -> Result<(), Error> {
        self.assign_filtered(queues, &BTreeMap::new()).await
    }

    /// As [`PullConsumer::assign`] with tag expressions by topic (`setSubExpressionForAssign`).
    ///
    /// # Errors
    /// As [`PullConsumer::assign`]; `ARGUMENT` also if an expression is not acceptable.
    pub async fn assign_filtered(
        &self,
        queues: &[MessageQueue],
        expressions: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let inner = &self.handle.0;
        inner.check_open()?;
        inner.assign(queues, expressions).await
    }

    /// The queues that this consumer has at the moment.
    #[must_use]
    pub fn assignment(&self) -> Vec<MessageQueue> {
        let inner = &self.handle.0;
        let mut queues: Vec<_> = inner.queues.lock().keys().map(|queue| inner.shown(queue)).collect();
        queues.sort();
        queues
    }

    /// All queues of a topic that can be consumed.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such topic. `NETWORK`, `TIMEOUT`: no NameServer answers. `CLOSED`.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, Error> {
        let inner = &self.handle.0;
        inner.check_open()?;
        name::check_topic(topic)?;
        let (_, route) = inner.client.route(&inner.client.wrap(topic), None, inner.client.short()).await?;
        Ok(route.subscribe.iter().map(|queue| inner.shown(queue)).collect())
    }

    /// The next messages, at most `poll_batch_size`, in the order of each queue; none if none arrived in time.
    ///
    /// Dropping the future loses no message.
    ///
    /// # Errors
    /// `STATE`: another poll is running, or nothing is subscribed to or assigned. `CLOSED`.
    /// `BROKER`, `TOO_LARGE`: a message cannot be decompressed; the next poll goes on after it. `DENIED`,
    /// `NOT_FOUND`, ...: nothing arrived in time, and a broker refuses to be pulled from.
    pub async fn poll(&self, timeout: Duration) -> Result<Vec<MessageView>, Error> {
        self.handle.0.poll(timeout).await
    }

    /// The setting `poll_timeout`, for callers that have no time limit of their own.
    #[must_use]
    pub fn poll_timeout(&self) -> Duration {
        self.handle.0.config.poll_timeout
    }

    /// Goes on at this offset: the next message of the queue that a poll gives out is this or a later one.
    ///
    /// # Errors
    /// `STATE`: the queue is not assigned. `ARGUMENT`: the queue has no such offset.
    /// `NETWORK`, `TIMEOUT`: the broker does not answer. `CLOSED`.
    pub async fn seek(&self, queue: &MessageQueue, offset: i64) -> Result<(), Error> {
        let inner = &self.handle.0;
        let held = inner.held(queue)?;
        let (min, max) =
            tokio::try_join!(inner.client.min_offset(&held.queue), inner.client.max_offset(&held.queue))?;
        if !(min..=max).contains(&offset) {
            return Err(Error::argument(format!(
                "queue {} of topic '{}' on broker '{}' has the offsets {min} to {max}, {offset} is not among them",
                queue.queue_id, queue.topic, queue.broker_name
            )));
        }
        inner.seek(&held, offset);
        Ok(())
    }

    /// Goes on at the oldest message that the queue still has.
    ///
    /// # Errors
    /// As [`PullConsumer::seek`].
    pub async fn seek_to_begin(&self, queue: &MessageQueue) -> Result<(), Error> {
        let inner = &self.handle.0;
        let held = inner.held(queue)?;
        inner.seek(&held, inner.client.min_offset(&held.queue).await?);
        Ok(())
    }

    /// Goes on with what arrives from now on.
    ///
    /// # Errors
    /// As [`PullConsumer::seek`].
    pub async fn seek_to_end(&self, queue: &MessageQueue) -> Result<(), Error> {
        let inner = &self.handle.0;
        let held = inner.held(queue)?;
        inner.seek(&held, inner.client.max_offset(&held.queue).await?);
        Ok(())
    }

    /// The offset of the first message that was stored at this time or later, in milliseconds since 1970; the
    /// end of the queue if there is none. The queue need not be assigned.
    ///
    /// # Errors
    /// `NOT_FOUND`: no such broker is known. `NETWORK`, `TIMEOUT`: it does not answer. `CLOSED`.
    pub async fn offset_for_timestamp(&self, queue: &MessageQueue, millis: i64) -> Result<i64, Error> {
        let inner = &self.handle.0;
        let queue = inner.reach(queue).await?;
        inner.client.offset_at(&queue, millis).await
    }

    /// Polls give out nothing of these queues until [`PullConsumer::resume`]; what is cached is kept.
    ///
    /// # Errors
    /// `STATE`: one of them is not assigned; none is paused then. `CLOSED`.
    pub fn pause(&self, queues: &[MessageQueue]) -> Result<(), Error> {
        self.handle.0.pause(queues, true)
    }

    /// Gives out messages of these queues again.
    ///
    /// # Errors
    /// As [`PullConsumer::pause`].
    pub fn resume(&self, queues: &[MessageQueue]) -> Result<(), Error> {
        self.handle.0.pause(queues, false)
    }

    /// Commits for all queues what polls have given out, the latest one included.
    ///
    /// # Errors
    /// That of the first broker that did not confirm; all others are asked nevertheless. `CLOSED`.
    pub async fn commit(&self) -> Result<(), Error> {
        let inner = &self.handle.0;
        inner.check_open()?;
        // Who commits is done with what polls gave out, so no later commit may go back behind it.
        inner.polls.fetch_add(1, Ordering::Relaxed);
        let queues: Vec<_> = inner.queues.lock().values().cloned().collect();
        let offsets: Vec<_> =
            queues.iter().filter_map(|held| Some((held.queue.clone(), held.position()?))).collect();
        inner.commit(&offsets).await
    }

    /// Commits these offsets, each that of the next message to be consumed.
    ///
    /// With `auto_commit` a later commit replaces them by what polls have given out.
    ///
    /// # Errors
    /// `STATE`: a queue is not assigned. `ARGUMENT`: an offset is negative. In both cases nothing is committed.
    /// Else as [`PullConsumer::commit`].
    pub async fn commit_offsets(&self, offsets: &BTreeMap<MessageQueue, i64>) -> Result<(), Error> {
        let inner = &self.handle.0;
        let mut checked = Vec::with_capacity(offsets.len());
        for (queue, offset) in offsets {
            if *offset < 0 {
                return Err(Error::argument(format!(
                    "offset {offset} of queue {} of topic '{}' is negative",
                    queue.queue_id, queue.topic
                )));
            }
            checked.push((inner.held(queue)?.queue.clone(), *offset));
        }
        inner.commit(&checked).await
    }

    /// The offset that is committed for the group (for this member, when broadcasting); `None` if there is none.
    /// The queue need not be assigned.
    ///
    /// # Errors
    /// `NOT_FOUND`: no such broker is known. `NETWORK`, `TIMEOUT`: it does not answer. `CLOSED`.
    pub async fn committed(&self, queue: &MessageQueue) -> Result<Option<i64>, Error> {
        let inner = &self.handle.0;
        let queue = inner.reach(queue).await?;
        inner.offsets.committed(&queue).await
    }

    /// The offset of the next message of the queue that a poll gives out.
    ///
    /// # Errors
    /// `STATE`: the queue is not assigned. `NETWORK`, `TIMEOUT`: it has to be asked for, and the broker does not
    /// answer. `CLOSED`.
    pub async fn position(&self, queue: &MessageQueue) -> Result<i64, Error> {
        let inner = &self.handle.0;
        let held = inner.held(queue)?;
        let (_, turn) = held.next();
        if let Some(position) = held.position() {
            return Ok(position);
        }
        let start = inner.start_offset(&held.queue).await?;
        held.begin(turn, start);
        Ok(held.position().unwrap_or(start))
    }

    /// Has `callback` called when the queues of the topic, or those of them that are assigned here, change
    /// (`registerTopicMessageQueueChangeListener`). It must not block; it may be called from any thread.
    ///
    /// The topic need not be subscribed to; it is looked at every `topic_metadata_check_interval`.
    ///
    /// # Errors
    /// As [`PullConsumer::queues`].
    pub async fn on_queue_change(
        &self,
        topic: &str,
        callback: impl Fn(&QueueChange) + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let queues = self.queues(topic).await?;
        self.handle.0.watch(topic, queues, Arc::new(callback));
        Ok(())
    }

    /// Stops pulling, commits what polls have given out if `auto_commit` is set, and leaves the group. A poll
    /// that is running fails with `CLOSED`. Later calls do nothing.
    pub async fn close(&self) {
        self.handle.0.close().await;
    }
}

impl std::fmt::Debug for PullConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullConsumer").field("group", &self.handle.0.config.group).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.0.closed.load(Ordering::SeqCst) {
            let inner = self.0.clone();
            inner.client.runtime.clone().spawn(async move { inner.close().await });
        }
    }
}

impl Inner {
    fn new(client: Arc<ClientInner>, config: PullConsumerConfig) -> Result<Inner, Error> {
        config.check()?;
        let group = client.wrap(&config.group).into_owned();
        let wish = Wish::of_settings(&client, &config)?;
        let allocation = config.allocation(|topic| client.wrap(topic).into_owned())?;
        let offsets = if config.is_broadcasting() {
            Offsets::in_directory(client.clone(), &group, Path::new(config.offset_dir.trim()))?
        } else {
            Offsets::at_brokers(client.clone(), &group)
        };
        Ok(Inner {
            group,
            offsets,
            allocation,
            wish: Mutex::new(wish),
            queues: Mutex::default(),
            ready: Mutex::default(),
            arrived: Notify::new(),
            polling: tokio::sync::Mutex::new(()),
            polls: AtomicU64::new(0),
            tasks: Tasks::new(client.runtime.clone()),
            cached_messages: AtomicIsize::new(0),
            cached_bytes: AtomicIsize::new(0),
            room: Notify::new(),
            watchers: Watchers::default(),
            plain_pull: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            rebalance: Notify::new(),
            rebalancing: tokio::sync::Mutex::new(()),
            start_timestamp: config.start_timestamp()?,
            started_at: now_millis(),
            client,
            config,
        })
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::closed("the pull consumer"));
        }
        self.client.check_open()
    }

    async fn poll(&self, timeout: Duration) -> Result<Vec<MessageView>, Error> {
        self.check_open()?;
        let deadline = deadline(timeout);
        let Ok(_turn) = self.polling.try_lock() else {
            return Err(Error::new(
                ErrorCode::State,
                "another poll of this consumer is running; poll from one task at a time, or make a consumer for each",
            ));
        };
        // Who polls again is done with what the last poll gave out.
        self.polls.fetch_add(1, Ordering::Relaxed);
        if self.wish.lock().is_none() {
            return Err(Error::new(
                ErrorCode::State,
                "the consumer has neither subscriptions nor assigned queues; subscribe or assign before polling",
            ));
        }
        loop {
            let messages = self.take()?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            self.check_open()?;
            if timeout_at(deadline, self.arrived.notified()).await.is_err() {
                return self.trouble().map_or(Ok(Vec::new()), Err);
            }
        }
    }

    /// The answer of a broker that will not be pulled from, and says so in a way that waiting does not mend.
    fn trouble(&self) -> Option<Error> {
        self.queues.lock().values().find_map(|held| held.trouble())
    }

    /// What is cached, up to the size of one poll.
    fn take(&self) -> Result<Vec<MessageView>, Error> {
        let poll = self.polls.load(Ordering::Relaxed);
        let max = self.config.poll_batch_size;
        let mut messages = Vec::new();
        while messages.len() < max {
            let Some(queue) = self.ready.lock().pop_front() else { break };
            let taken = queue.take(poll, max, &mut messages);
            self.release(taken.load);
            if taken.more {
                self.ready.lock().push_back(queue);
            }
            if let Some(error) = taken.broken {
                return Err(error);
            }
            if taken.more {
                // The batch is full, or the next message of the queue can only be reported as unreadable.
                break;
            }
        }
        Ok(messages)
    }

    /// Caches what a pull brought.
    fn keep(&self, queue: &Arc<Assigned>, turn: u64, entries: Vec<Entry>, next: i64) {
        let (load, list) = queue.put(turn, entries, next);
        self.cached_messages.fetch_add(load.messages.cast_signed(), Ordering::Relaxed);
        self.cached_bytes.fetch_add(load.bytes.cast_signed(), Ordering::Relaxed);
        if list {
            self.list(queue.clone());
        }
    }

    fn list(&self, queue: Arc<Assigned>) {
        self.ready.lock().push_back(queue);
        self.arrived.notify_one();
    }

    fn release(&self, load: Load) {
        if load == Load::default() {
            return;
        }
        let full = !self.has_room();
        self.cached_messages.fetch_sub(load.messages.cast_signed(), Ordering::Relaxed);
        self.cached_bytes.fetch_sub(load.bytes.cast_signed(), Ordering::Relaxed);
        if full {
            self.room.notify_waiters();
        }
    }

    /// Whether the cache of all queues has room.
    fn has_room(&self) -> bool {
        let bytes = self.config.pull_threshold_size_total * MEBIBYTE;
        self.cached_messages.load(Ordering::Relaxed) < self.config.pull_threshold_for_all.cast_signed()
            && self.cached_bytes.load(Ordering::Relaxed) < bytes.cast_signed()
    }

    fn pull_code(&self) -> RequestCode {
        if self.plain_pull.load(Ordering::Relaxed) {
            RequestCode::PULL_MESSAGE
        } else {
            RequestCode::LITE_PULL_MESSAGE
        }
    }

    fn pull_plainly(&self) {
        self.plain_pull.store(true, Ordering::Relaxed);
    }

    fn seek(&self, queue: &Assigned, offset: i64) {
        self.release(queue.seek(offset));
    }

    fn pause(&self, queues: &[MessageQueue], paused: bool) -> Result<(), Error> {
        let held = queues.iter().map(|queue| self.held(queue)).collect::<Result<Vec<_>, _>>()?;
        for queue in held {
            if queue.pause(paused) {
                self.list(queue);
            }
        }
        Ok(())
    }

    /// A queue that is assigned now.
    fn held(&self, queue: &MessageQueue) -> Result<Arc<Assigned>, Error> {
        self.check_open()?;
        self.queues.lock().get(&self.wrapped(queue)).cloned().ok_or_else(|| {
            Error::new(
                ErrorCode::State,
                format!(
                    "queue {} of topic '{}' on broker '{}' is not assigned to this consumer (any more)",
                    queue.queue_id, queue.topic, queue.broker_name
                ),
            )
        })
    }

    /// A queue whose broker is known.
    async fn reach(&self, queue: &MessageQueue) -> Result<MessageQueue, Error> {
        self.check_open()?;
        name::check_topic(&queue.topic)?;
        let queue = self.wrapped(queue);
        self.client.route(&queue.topic, None, self.client.short()).await?;
        Ok(queue)
    }

    /// A queue of the application in the client's namespace.
    fn wrapped(&self, queue: &MessageQueue) -> MessageQueue {
        MessageQueue { topic: self.client.wrap(&queue.topic).into_owned(), ..queue.clone() }
    }

    /// The reverse of [`Inner::wrapped`].
    fn shown(&self, queue: &MessageQueue) -> MessageQueue {
        let topic = without_namespace(&self.client.config.namespace, &queue.topic).into_owned();
        MessageQueue { topic, ..queue.clone() }
    }

    async fn commit(&self, offsets: &[(MessageQueue, i64)]) -> Result<(), Error> {
        let commits = offsets.iter().map(|(queue, offset)| self.offsets.commit(queue, *offset));
        join_all(commits).await.into_iter().collect()
    }

    pub(crate) async fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.arrived.notify_one();
        // A division that is being made ends first, unless the brokers keep it waiting; it then takes no more.
        let turn = timeout(self.client.config.request_timeout, self.rebalancing.lock()).await;
        let queues: Vec<_> = self.queues.lock().values().cloned().collect();
        drop(turn);
        for queue in &queues {
            self.release(queue.drop_now());
        }
        if self.config.auto_commit {
            self.persist(&queues, Assigned::position).await;
        }
        self.client.remove_consumer(&self.group);
        self.client.unregister(&[], Some(&self.group)).await;
        let topics: Vec<String> = self.wish.lock().topics().map(str::to_owned).collect();
        self.forget(&topics);
        tracing::info!(group = self.group, "pull consumer closed");
        self.tasks.close(Duration::ZERO).await;
        self.offsets.release();
        self.queues.lock().clear();
        // A callback may hold a handle of this consumer.
        self.watchers.clear();
    }

    /// Commits offsets of queues that are given up and waits until they are kept.
    async fn persist(&self, queues: &[Arc<Assigned>], offset: impl Fn(&Assigned) -> Option<i64>) {
        let offsets = queues.iter().filter_map(|held| Some((held.queue.clone(), offset(held)?)));
        self.offsets.commit_all(offsets.collect()).await;
    }
}
