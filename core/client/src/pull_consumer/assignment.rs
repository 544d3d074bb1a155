//! Which queues a pull consumer has: its share of what it subscribes to, or what was assigned by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use mq_protocol::body::MessageQueue;
use mq_protocol::name;
use tokio::time::{Instant, sleep, timeout_at};

use super::Inner;
use super::assigned::Assigned;
use super::fetch::fetch;
use crate::client::Inner as ClientInner;
use crate::consumer::Subscription;
use crate::{Error, ErrorCode, PullConsumerConfig};

/// Time until the next look when the last one could not finish (`rebalance.minInterval`).
const SOON: Duration = Duration::from_secs(1);
/// How long a queue that may come from another member is left alone, so that this one can commit.
const TAKE_OVER: Duration = Duration::from_millis(200);

/// What the application wants to consume; topics are in the client's namespace.
#[derive(Clone)]
pub(super) enum Wish {
    None,
    Topics(BTreeMap<String, Arc<Subscription>>),
    Queues(BTreeMap<MessageQueue, Arc<Subscription>>),
}

impl Wish {
    pub(super) fn of_settings(client: &ClientInner, config: &PullConsumerConfig) -> Result<Wish, Error> {
        let mut topics = BTreeMap::new();
        for (topic, expression) in &config.subscriptions {
            let topic = client.wrap(topic).into_owned();
            topics.insert(topic.clone(), Arc::new(Subscription::new(topic, expression)?));
        }
        Ok(if topics.is_empty() { Wish::None } else { Wish::Topics(topics) })
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Wish::None)
    }

    /// What is subscribed to.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        let topics = if let Wish::Topics(topics) = self { Some(topics) } else { None };
        topics.into_iter().flatten().map(|(_, subscription)| subscription)
    }

    /// Topics that are consumed; one may come twice.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        let queues = if let Wish::Queues(queues) = self { Some(queues) } else { None };
        let by_hand = queues.into_iter().flatten().map(|(queue, _)| queue.topic.as_str());
        self.subscriptions().map(|subscription| subscription.topic.as_str()).chain(by_hand)
    }
}

/// Looks at the division when told to, and from time to time; at the watched topics too.
async fn keep_balance(consumer: Arc<Inner>, mut balanced: bool) {
    let check = consumer.config.topic_metadata_check_interval;
    let mut next_check = Instant::now() + check;
    let mut next_look = Instant::now() + consumer.look_after(balanced);
    loop {
        let told = timeout_at(next_look.min(next_check), consumer.rebalance.notified()).await.is_ok();
        let now = Instant::now();
        if now >= next_check {
            consumer.refresh_watched().await;
            next_check = Instant::now() + check;
        }
        if told || now >= next_look {
            balanced = consumer.rebalance_now().await;
            next_look = Instant::now() + consumer.look_after(balanced);
        }
        consumer.tell_changes();
    }
}

/// Commits from time to time what is done with.
async fn keep_commits(consumer: Arc<Inner>) {
    loop {
        sleep(consumer.config.auto_commit_interval).await;
        let queues: Vec<_> = consumer.queues.lock().values().cloned().collect();
        let poll = consumer.polls.load(Ordering::Relaxed);
        let done = queues
            .iter()
            .filter(|held| !held.is_dropped())
            .filter_map(|held| Some((held.queue.clone(), held.done(poll)?)));
        consumer.offsets.tell(done.collect()).await;
    }
}

/// Has the division made by another task if the caller who makes it gives up in the middle.
struct Unfinished<'a>(Option<&'a Inner>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(consumer) = self.0 {
            consumer.rebalance.notify_one();
        }
    }
}

impl Inner {
    pub(super) async fn begin(self: &Arc<Self>) -> Result<(), Error> {
        let topics: Vec<String> = self.wish.lock().topics().map(str::to_owned).collect();
        for topic in &topics {
            self.learn(topic).await?;
        }
        self.client.beat_all().await;
        let balanced = self.rebalance_now().await;
        self.tasks.spawn(keep_balance(self.clone(), balanced));
        if self.config.auto_commit {
            self.tasks.spawn(keep_commits(self.clone()));
        }
        tracing::info!(group = self.group, queues = self.queues.lock().len(), "pull consumer started");
        Ok(())
    }

    /// Keeps the route of a subscribed topic fresh; the topic may be made later.
    async fn learn(&self, topic: &str) -> Result<(), Error> {
        self.client.routes.subscribe(topic, true);
        match self.client.route(topic, None, self.client.short()).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == ErrorCode::NotFound => {
                tracing::warn!(group = self.group, topic, "subscribed topic does not exist yet");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn look_after(&self, balanced: bool) -> Duration {
        let period = self.config.rebalance_interval;
        if balanced { period } else { period.min(SOON) }
    }

    pub(super) async fn subscribe(self: &Arc<Self>, topic: String, expression: &str) -> Result<(), Error> {
        let subscription = Arc::new(Subscription::new(topic.clone(), expression)?);
        let by_hand = || mixed("queues were assigned by hand; assign none first");
        if matches!(&*self.wish.lock(), Wish::Queues(_)) {
            return Err(by_hand());
        }
        if let Err(error) = self.learn(&topic).await {
            self.forget(std::slice::from_ref(&topic));
            return Err(error);
        }
        {
            let mut wish = self.wish.lock();
            match &mut *wish {
                Wish::Queues(_) => return Err(by_hand()),
                Wish::Topics(topics) => {
                    topics.insert(topic, subscription);
                }
                Wish::None => *wish = Wish::Topics(BTreeMap::from([(topic, subscription)])),
            }
        }
        self.client.beat_all().await;
        if !self.rebalance_now().await {
            // The task that keeps the balance tries again soon.
            self.rebalance.notify_one();
        }
        self.tell_changes();
        Ok(())
    }

    pub(super) async fn unsubscribe(self: &Arc<Self>, topic: &str) -> Result<(), Error> {
        {
            let mut wish = self.wish.lock();
            match &mut *wish {
                Wish::Queues(_) => return Err(mixed("queues were assigned by hand; assign none instead")),
                Wish::Topics(topics) => {
                    topics.remove(topic);
                    if topics.is_empty() {
                        *wish = Wish::None;
                    }
                }
                Wish::None => return Ok(()),
            }
        }
        self.forget(&[topic.to_owned()]);
        self.rebalance_now().await;
        self.client.beat_all().await;
        self.tell_changes();
        Ok(())
    }

    pub(super) async fn assign(
        self: &Arc<Self>,
        queues: &[MessageQueue],
        expressions: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let mut filters: BTreeMap<&str, Arc<Subscription>> = BTreeMap::new();
        let mut wanted = BTreeMap::new();
        for queue in queues {
            name::check_topic(&queue.topic)?;
            let own = self.wrapped(queue);
            let (_, route) = self.client.route(&own.topic, None, self.client.short()).await?;
            if !route.subscribe.contains(&own) {
                return Err(Error::argument(format!(
                    "topic '{}' has no queue {} on broker '{}' that can be read",
                    queue.topic, queue.queue_id, queue.broker_name
                )));
            }
            let filter = match filters.get(queue.topic.as_str()) {
                Some(filter) => filter.clone(),
                None => {
                    let expression = expressions.get(&queue.topic).map_or("*", String::as_str);
                    let filter = Arc::new(Subscription::new(own.topic.clone(), expression)?);
                    filters.insert(&queue.topic, filter.clone());
                    filter
                }
            };
            wanted.insert(own, filter);
        }
        let subscribed = || mixed("topics are subscribed to; unsubscribe them first");
        if matches!(&*self.wish.lock(), Wish::Topics(_)) {
            return Err(subscribed());
        }
        for queue in wanted.keys() {
            self.client.routes.subscribe(&queue.topic, true);
        }
        let before: Vec<String> = {
            let mut wish = self.wish.lock();
            if matches!(&*wish, Wish::Topics(_)) {
                return Err(subscribed());
            }
            let new = if wanted.is_empty() { Wish::None } else { Wish::Queues(wanted) };
            std::mem::replace(&mut *wish, new).topics().map(str::to_owned).collect()
        };
        self.forget(&before);
        self.client.beat_all().await;
        self.rebalance_now().await;
        self.tell_changes();
        Ok(())
    }

    /// Takes what is this consumer's now; `false` if that did not work out for some topic.
    async fn rebalance_now(self: &Arc<Self>) -> bool {
        let _turn = self.rebalancing.lock().await;
        if self.closed.load(Ordering::SeqCst) {
            return true;
        }
        let mut unfinished = Unfinished(Some(self));
        let balanced = self.divide().await;
        unfinished.0 = None;
        balanced
    }

    async fn divide(self: &Arc<Self>) -> bool {
        let wish = self.wish.lock().clone();
        let mut balanced = true;
        let mut shared = false;
        let mut wanted: BTreeMap<MessageQueue, Arc<Subscription>> = BTreeMap::new();
        let mut undecided: Vec<&str> = Vec::new();
        match &wish {
            Wish::None => {}
            Wish::Queues(queues) => wanted.clone_from(queues),
            Wish::Topics(topics) => {
                for (topic, subscription) in topics {
                    match self.share(topic).await {
                        Ok((queues, others)) => {
                            shared |= others;
                            wanted.extend(queues.into_iter().map(|queue| (queue, subscription.clone())));
                        }
                        Err(error) => {
                            tracing::debug!(group = self.group, topic, %error, "queues not divided");
                            undecided.push(topic);
                            balanced = false;
                        }
                    }
                }
            }
        }
        let mut lost = Vec::new();
        for (queue, held) in self.queues.lock().iter() {
            if undecided.contains(&queue.topic.as_str()) {
                continue;
            }
            let stays =
                wanted.get(queue).is_some_and(|subscription| subscription.text == held.subscription.text)
                    && !held.is_stuck();
            if stays {
                wanted.remove(queue);
            } else {
                lost.push(held.clone());
            }
        }
        if lost.is_empty() && wanted.is_empty() {
            return balanced;
        }
        self.give_up(&lost).await;
        if shared && !wanted.is_empty() {
            sleep(TAKE_OVER).await;
        }
        let starts = join_all(wanted.into_iter().map(|(queue, subscription)| {
            // One that stays under another expression, or whose task ended, goes on where it was.
            let old = lost.iter().find(|held| held.queue == queue);
            async move {
                subscription.renew();
                match old.filter(|old| old.position().is_some()) {
                    Some(old) => old.successor(subscription),
                    None => {
                        // If this fails the task that pulls asks again.
                        let start = self.start_offset(&queue).await.ok();
                        Assigned::new(queue, subscription, start)
                    }
                }
            }
        }));
        for queue in starts.await {
            self.begin_queue(queue);
        }
        self.client.beat_all().await;
        tracing::info!(group = self.group, queues = self.queues.lock().len(), "queues divided anew");
        balanced
    }

    /// This member's share of a topic, and whether others are in the group.
    async fn share(&self, topic: &str) -> Result<(Vec<MessageQueue>, bool), Error> {
        let (_, route) = self.client.route(topic, None, self.client.short()).await?;
        if self.config.is_broadcasting() {
            return Ok((route.subscribe.clone(), false));
        }
        let members = self.client.members(&self.group, topic).await?;
        let share = self.allocation.share(&route.subscribe, &members, &self.client.client_id);
        Ok((share, members.len() > 1))
    }

    /// Gives queues up: nothing more of them is given out, and what is done with is committed.
    async fn give_up(&self, lost: &[Arc<Assigned>]) {
        for held in lost {
            self.release(held.drop_now());
        }
        if self.config.auto_commit {
            let poll = self.polls.load(Ordering::Relaxed);
            self.persist(lost, |held| held.done(poll)).await;
        }
        let mut queues = self.queues.lock();
        for held in lost {
            if queues.get(&held.queue).is_some_and(|other| Arc::ptr_eq(other, held)) {
                queues.remove(&held.queue);
            }
        }
    }

    fn begin_queue(self: &Arc<Self>, queue: Assigned) {
        let (topic, id) = (&queue.queue.topic, queue.queue.queue_id);
        tracing::debug!(group = self.group, topic, queue = id, start = queue.position(), "queue taken");
        let held = Arc::new(queue);
        {
            let mut queues = self.queues.lock();
            // Whoever closes looks at the table after setting the flag.
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            queues.insert(held.queue.clone(), held.clone());
        }
        if let Some(fetcher) = self.tasks.start(fetch(self.clone(), held.clone())) {
            held.set_fetcher(fetcher);
        }
    }

    /// Keeps topics fresh no longer that no consumer of the client wants.
    pub(super) fn forget(&self, topics: &[String]) {
        for topic in topics.iter().filter(|topic| !self.client.is_subscribed(topic)) {
            self.client.routes.subscribe(topic, false);
        }
    }

    /// Where a queue that is new to this consumer begins.
    pub(super) async fn start_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        self.offsets.start(queue, self.config.consume_from_where, self.start_timestamp).await
    }
}

fn mixed(why: &str) -> Error {
    Error::new(
        ErrorCode::State,
        format!("a pull consumer has either subscriptions or assigned queues: {why}"),
    )
}
