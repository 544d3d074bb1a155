//! The push consumer: its share of the group's queues, pulled, bounded and given to a listener.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mq_protocol::body::MessageQueue;
use mq_protocol::name;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::client::{Inner as ClientInner, Member};
use crate::message::now_millis;
use crate::tasks::Tasks;
use crate::{Error, ErrorCode, MessageView, PushConsumerConfig};

mod allocate;
mod consistency;
mod dispatch;
mod listener;
mod lock;
mod offset;
mod offset_file;
mod process_queue;
mod pull;
mod rebalance;
mod retry;
mod serve;
mod settle;
mod stats;
mod subscribing;
mod subscription;
mod throttle;
mod warning;

pub(crate) use allocate::Allocation;
use dispatch::{Call, Ready};
pub use listener::{ConsumeResult, Listener};
pub(crate) use offset::Offsets;
use process_queue::ProcessQueue;
pub(crate) use subscription::{Subscription, check_expression};
use throttle::Throttle;
pub use warning::{Warning, WarningCode};

/// Messages that admin tools may have consumed directly at a time.
const DIRECT_CALLS: usize = 16;

/// Consumes the subscribed topics together with the other members of its group; each message goes to one of
/// them, or to each of them if the group is broadcasting. Clones share one consumer; dropping the last without
/// [`PushConsumer::close`] closes it in the background.
///
/// ```no_run
/// # async fn example(client: mq_client::Client) -> Result<(), mq_client::Error> {
/// use std::sync::Arc;
///
/// use mq_client::{ConsumeMode, ConsumeResult, MessageView, PushConsumerConfig};
///
/// let mut config = PushConsumerConfig::new("billing").subscribe("orders", "paid || refunded");
/// // One message of a queue after the other; one that fails is tried again before the next.
/// config.consume_mode = ConsumeMode::Orderly;
/// let listener = |messages: Vec<MessageView>| async move {
///     match messages.iter().all(|message| message.body().starts_with(b"{")) {
///         true => ConsumeResult::Success,
///         false => ConsumeResult::SUSPEND,
///     }
/// };
/// let consumer = client.push_consumer(config, Arc::new(listener)).await?;
/// // Topics come and go, and their expressions change, while it runs.
/// consumer.subscribe("returns", "*").await?;
/// consumer.unsubscribe("orders").await?;
/// # consumer.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PushConsumer {
    handle: Arc<Handle>,
}

struct Handle(Arc<Inner>);

pub(crate) struct Inner {
    allocation: Allocation,
    offsets: Offsets,
    client: Arc<ClientInner>,
    config: PushConsumerConfig,
    /// In the client's namespace.
    group: String,
    /// By topic, in the client's namespace; the retry topic is among them.
    subscriptions: Mutex<BTreeMap<String, Arc<Subscription>>>,
    listener: Arc<dyn Listener>,
    queues: Mutex<HashMap<MessageQueue, Arc<ProcessQueue>>>,
    ready: Ready,
    throttle: Throttle,
    tasks: Tasks,
    /// Bytes of messages that wait for the listener or are being consumed.
    cached: AtomicIsize,
    total_room: Notify,
    suspended: AtomicBool,
    closed: AtomicBool,
    /// Tells that the division of queues should be looked at now.
    rebalance: Notify,
    rebalancing: tokio::sync::Mutex<()>,
    direct_calls: Arc<Semaphore>,
    /// Warnings about the group that were given.
    warned: Mutex<HashSet<String>>,
    /// The group had other members when it was looked at last.
    shared: AtomicBool,
    /// Listener calls that run, by their number.
    calls: Mutex<BTreeMap<u64, Call>>,
    next_call: AtomicU64,
    start_timestamp: i64,
    started_at: i64,
}

impl PushConsumer {
    /// Registers the group and takes its share of the queues; messages may arrive before this returns.
    pub(crate) async fn start(
        client: Arc<ClientInner>,
        config: PushConsumerConfig,
        listener: Arc<dyn Listener>,
    ) -> Result<PushConsumer, Error> {
        let inner = Arc::new(Inner::new(client, config, listener)?);
        inner.client.add_consumer(Member::Push(inner.clone()))?;
        let consumer = PushConsumer { handle: Arc::new(Handle(inner.clone())) };
        if let Err(error) = inner.begin().await {
            consumer.close().await;
            return Err(error);
        }
        Ok(consumer)
    }

    /// Adds a topic, or changes its expression: `*`, or tags joined by `||`. When this returns the share of the topic's
    /// queues is taken, so what is sent from then on arrives. All members of the group should do the same.
    ///
    /// A changed expression holds for what waits here as well: nothing is given to the listener any more that only
    /// the old one wanted, but for calls that run and messages that failed before. It goes on where the queues are, so
    /// what the old one passed over may be left out. Dropping the future does not undo it. A listener may call this.
    ///
    /// # Errors
    /// `ARGUMENT`: topic or expression is not acceptable, or the topic is the retry topic of the group itself.
    /// `NETWORK`, `TIMEOUT`: no NameServer answers; nothing has changed then. `CLOSED`.
    pub async fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Error> {
        self.handle.0.subscribe(topic, expression).await
    }

    /// Takes a topic off and gives its queues up: what is consumed is committed, the rest stays for whoever subscribes
    /// again. A topic that is not subscribed to is no error (as in Java). Without any topic left the consumer stays in
    /// its group, whose retry topic it consumes: messages that failed before still come, of topics taken off, too.
    ///
    /// Listener calls that run go on. Dropping the future does not undo it. A listener may call this.
    ///
    /// # Errors
    /// `ARGUMENT`: the topic is the retry topic of the group itself. `CLOSED`.
    pub async fn unsubscribe(&self, topic: &str) -> Result<(), Error> {
        self.handle.0.unsubscribe(topic).await
    }

    /// Pulls no more until [`PushConsumer::resume`]; what was pulled already is still consumed, what a waiting pull brings
    /// meanwhile is held back.
    pub fn suspend(&self) {
        self.handle.0.suspended.store(true, Ordering::Relaxed);
    }

    /// Pulls again.
    pub fn resume(&self) {
        self.handle.0.suspended.store(false, Ordering::Relaxed);
        self.handle.0.total_room.notify_waiters();
    }

    /// Whether it is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.handle.0.is_suspended()
    }

    /// The queues that this member has at the moment.
    #[must_use]
    pub fn queues(&self) -> Vec<MessageQueue> {
        let mut queues: Vec<_> = self.handle.0.queues.lock().keys().cloned().collect();
        queues.sort();
        queues
    }

    /// Stops pulling, lets listener calls finish (up to `close_timeout`), commits and leaves the group.
    /// Later calls do nothing. A listener must not wait for this.
    pub async fn close(&self) {
        self.handle.0.close().await;
    }

    /// As [`PushConsumer::close`] with a time of its own for the listener calls; tells whether all of them finished.
    pub async fn close_within(&self, limit: Duration) -> bool {
        self.handle.0.close_within(limit).await
    }
}

impl std::fmt::Debug for PushConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConsumer").field("group", &self.handle.0.config.group).finish_non_exhaustive()
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
    fn new(
        client: Arc<ClientInner>,
        config: PushConsumerConfig,
        listener: Arc<dyn Listener>,
    ) -> Result<Inner, Error> {
        config.check()?;
        if config.subscriptions.is_empty() {
            return Err(Error::new(
                ErrorCode::Config,
                format!("consumer group '{}' subscribes to nothing; name at least one topic", config.group),
            ));
        }
        let group = client.wrap(&config.group).into_owned();
        let mut subscriptions = BTreeMap::new();
        let own =
            config.subscriptions.iter().map(|(topic, text)| (client.wrap(topic).into_owned(), text.as_str()));
        // What fails does not come again when each member has each message.
        let retry = (!config.is_broadcasting()).then(|| (name::retry_topic(&group), "*"));
        for (topic, text) in own.chain(retry) {
            let subscription = Subscription::new(topic.clone(), text)?;
            subscriptions.insert(topic, Arc::new(subscription));
        }
        let offsets = if config.is_broadcasting() {
            Offsets::in_directory(client.clone(), &group, Path::new(config.offset_dir.trim()))?
        } else {
            Offsets::at_brokers(client.clone(), &group)
        };
        Ok(Inner {
            allocation: config.allocation(|topic| client.wrap(topic).into_owned())?,
            offsets,
            group,
            subscriptions: Mutex::new(subscriptions),
            listener,
            queues: Mutex::default(),
            ready: Ready::default(),
            throttle: Throttle::new(config.max_messages_per_second, config.max_in_flight),
            tasks: Tasks::new(client.runtime.clone()),
            cached: AtomicIsize::new(0),
            total_room: Notify::new(),
            suspended: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            rebalance: Notify::new(),
            rebalancing: tokio::sync::Mutex::new(()),
            calls: Mutex::default(),
            next_call: AtomicU64::new(0),
            warned: Mutex::default(),
            shared: AtomicBool::new(config.is_broadcasting()),
            direct_calls: Arc::new(Semaphore::new(DIRECT_CALLS)),
            start_timestamp: config.start_timestamp()?,
            started_at: now_millis(),
            client,
            config,
        })
    }

    async fn begin(self: &Arc<Self>) -> Result<(), Error> {
        for subscription in self.subscribed() {
            self.learn(&subscription.topic).await?;
        }
        for (topic, old) in &self.config.replaced_subscriptions {
            let new = self.config.subscriptions.get(topic).map_or("", String::as_str);
            self.warn(
                WarningCode::DuplicateSubscription,
                format!(
                    "group '{}' subscribed to topic '{topic}' with '{old}' and then with '{new}'; only the last counts, so join what is wanted with '||'",
                    self.config.group
                ),
            );
        }
        self.client.beat_all().await;
        self.start_workers();
        let balanced = self.rebalance_now().await;
        self.tasks.spawn(rebalance::keep(self.clone(), balanced));
        self.tasks.spawn(rebalance::keep_offsets(self.clone()));
        if self.needs_locks() {
            self.tasks.spawn(lock::keep(self.clone()));
        }
        tracing::info!(group = self.group, queues = self.queues.lock().len(), "consumer started");
        Ok(())
    }

    async fn close_within(&self, limit: Duration) -> bool {
        if self.closed.swap(true, Ordering::SeqCst) {
            return true;
        }
        // A division that is being made ends first, unless the brokers keep it waiting; it then takes no more.
        let turn = timeout(self.config.close_timeout, self.rebalancing.lock()).await;
        let queues: Vec<_> = self.queues.lock().values().cloned().collect();
        drop(turn);
        self.ready.stop();
        for queue in &queues {
            self.release_bytes(queue.stop());
        }
        let idle = join_all(queues.iter().map(|queue| queue.idle(limit))).await;
        let finished = !idle.contains(&false);
        if !finished {
            tracing::warn!(group = self.group, ?limit, "listener calls still run; their messages come again");
        }
        self.persist(&queues).await;
        let mut unlocked = Vec::new();
        for (queue, is_idle) in queues.iter().zip(&idle) {
            // Another member may begin at once, but not beside a call that still runs here.
            if self.needs_locks() && *is_idle && !queue.is_dropped() {
                unlocked.push(queue.queue.clone());
            }
            queue.drop_now();
        }
        self.unlock(&unlocked).await;
        self.client.remove_consumer(&self.group);
        self.client.unregister(&[], Some(&self.group)).await;
        for subscription in self.subscribed() {
            self.unlearn(&subscription.topic);
        }
        tracing::info!(group = self.group, "consumer closed");
        self.tasks.close(Duration::ZERO).await;
        self.offsets.release();
        self.queues.lock().clear();
        finished
    }

    /// Tells log and application.
    fn warn(&self, code: WarningCode, message: String) {
        tracing::warn!(group = self.group, %code, "{message}");
        let tell = AssertUnwindSafe(|| self.listener.warning(Warning { code, message }));
        if std::panic::catch_unwind(tell).is_err() {
            tracing::error!(group = self.group, "the listener panicked when it was warned");
        }
    }

    fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Relaxed)
    }

    /// Number of queues of a topic that this member has; at least 1.
    fn queues_of(&self, topic: &str) -> usize {
        self.queues.lock().keys().filter(|queue| queue.topic == topic).count().max(1)
    }

    /// Hands pulled messages to the workers.
    fn deliver(
        self: &Arc<Self>,
        queue: &Arc<ProcessQueue>,
        subscription: &Arc<Subscription>,
        messages: Vec<MessageView>,
        next: i64,
    ) {
        let (list, added) = queue.put(subscription, messages, next);
        self.cached.fetch_add(added.cast_signed(), Ordering::Relaxed);
        if list {
            self.list(queue.clone());
        }
    }

    fn finish(&self, queue: &ProcessQueue, messages: &[MessageView]) {
        self.release_bytes(queue.finish(messages));
    }

    fn release_bytes(&self, bytes: usize) {
        let before = self.cached.fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
        if before >= self.cache_limit() {
            self.total_room.notify_waiters();
        }
    }

    /// Bytes of all queues that may be held.
    fn cache_limit(&self) -> isize {
        (self.config.pull_threshold_size_total << 20).cast_signed()
    }
}
