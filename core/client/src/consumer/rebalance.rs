//! Dividing the queues between the members of the group, and taking over and giving up queues.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use mq_protocol::body::MessageQueue;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use super::process_queue::{Order, ProcessQueue};
use super::subscription::Subscription;
use super::{Inner, pull};
use crate::Error;

/// Time until the next look when the last one could not finish (`rebalance.minInterval`).
const SOON: Duration = Duration::from_secs(1);
/// How long a queue that goes to another member waits for its listener calls, so that these are committed.
const GIVE_UP: Duration = Duration::from_millis(150);
/// How long a queue that may come from another member is left alone, so that this one can commit.
const TAKE_OVER: Duration = Duration::from_millis(200);

/// Looks at the division when told to, and from time to time.
pub(super) async fn keep(consumer: Arc<Inner>, mut balanced: bool) {
    let period = consumer.config.rebalance_interval;
    let mut compared = Instant::now();
    loop {
        let wait = if balanced { period } else { period.min(SOON) };
        let _ = timeout(wait, consumer.rebalance.notified()).await;
        balanced = consumer.rebalance_now().await;
        if consumer.shared.load(Ordering::Relaxed) && compared.elapsed() >= period / 2 {
            consumer.check_consistency().await;
            compared = Instant::now();
        }
    }
}

/// Pause before a queue goes on at an offset that the broker asked for.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// A change of one topic's share.
struct Change {
    subscription: Arc<Subscription>,
    lost: Vec<Arc<ProcessQueue>>,
    won: Vec<MessageQueue>,
    /// Queues that stay, but are consumed under a subscription that was replaced.
    outdated: Vec<Arc<ProcessQueue>>,
    /// Others are in the group, so a queue that is won may just be leaving one of them.
    shared: bool,
}

impl Change {
    fn is_none(&self) -> bool {
        self.lost.is_empty() && self.won.is_empty() && self.outdated.is_empty()
    }
}

impl Inner {
    /// Takes the share that is this member's now; `false` if that did not work out for some topic.
    pub(super) async fn rebalance_now(self: &Arc<Self>) -> bool {
        let _turn = self.rebalancing.lock().await;
        if self.closed.load(Ordering::SeqCst) {
            return true;
        }
        let mut balanced = true;
        let mut changes = Vec::new();
        let subscribed = self.subscribed();
        self.leave_topics_but(&subscribed).await;
        for subscription in subscribed {
            match self.share(&subscription).await {
                Ok(change) if change.is_none() => {}
                Ok(change) => changes.push(change),
                Err(error) => {
                    tracing::debug!(group = self.group, topic = subscription.topic, %error, "queues not divided");
                    balanced = false;
                }
            }
        }
        if changes.is_empty() {
            return balanced;
        }
        self.give_up(changes.iter().flat_map(|change| change.lost.iter().cloned()).collect()).await;
        // Leases count from the question on: when the broker granted them is not known.
        let locked_at = Instant::now();
        if self.needs_locks() {
            let wanted: Vec<_> = changes.iter().flat_map(|change| change.won.iter().cloned()).collect();
            let granted = self.lock(&wanted).await;
            for change in &mut changes {
                let before = change.won.len();
                change.won.retain(|queue| granted.get(queue) == Some(&true));
                // The last owner may be consuming still.
                balanced &= change.won.len() == before;
            }
            changes.retain(|change| !change.is_none());
            if changes.is_empty() {
                return balanced;
            }
        } else if changes.iter().any(|change| change.shared && !change.won.is_empty()) {
            sleep(TAKE_OVER).await;
        }
        let mut begun = Vec::new();
        for change in &changes {
            change.subscription.renew();
            let starts = join_all(change.won.iter().map(|queue| self.start_offset(queue))).await;
            for (queue, start) in change.won.iter().zip(starts) {
                match start {
                    Ok(start) => begun.push((queue.clone(), change.subscription.clone(), start)),
                    Err(error) => {
                        let (topic, id) = (&queue.topic, queue.queue_id);
                        tracing::warn!(group = self.group, topic, queue = id, %error, "start offset unknown; trying again");
                        balanced = false;
                    }
                }
            }
        }
        // Pulls name the version of the subscription, so the brokers have to know it first.
        self.client.beat_all().await;
        for change in &changes {
            for queue in &change.outdated {
                self.resubscribe(queue, &change.subscription);
            }
        }
        let mut left = Vec::new();
        for (queue, subscription, start) in begun {
            if !self.take(queue.clone(), subscription, start, locked_at) {
                left.push(queue);
            }
        }
        if self.needs_locks() && !left.is_empty() {
            self.unlock(&left).await;
        }
        let queues = self.queues.lock().len();
        tracing::info!(group = self.group, queues, "queues divided anew");
        balanced
    }

    /// What changes for a topic.
    async fn share(&self, subscription: &Arc<Subscription>) -> Result<Change, Error> {
        let topic = &subscription.topic;
        let deadline = self.client.short();
        let (_, route) = self.client.route(topic, None, deadline).await?;
        let (share, shared) = if self.config.is_broadcasting() {
            (route.subscribe.clone(), false)
        } else {
            let members = self.client.members(&self.group, topic).await?;
            let share = self.allocation.share(&route.subscribe, &members, &self.client.client_id);
            self.shared.store(members.len() > 1, Ordering::Relaxed);
            (share, members.len() > 1)
        };
        let (mut lost, mut outdated) = (Vec::new(), Vec::new());
        let mut won = share.clone();
        for (queue, held) in self.queues.lock().iter().filter(|(queue, _)| queue.topic == *topic) {
            if held.is_stopped() {
                // On its way out; the next division can have it back.
                won.retain(|other| other != queue);
            } else if !share.contains(queue) || held.is_stuck() {
                lost.push(held.clone());
            } else {
                won.retain(|other| other != queue);
                if !Arc::ptr_eq(&held.subscription(), subscription) {
                    outdated.push(held.clone());
                }
            }
        }
        Ok(Change { subscription: subscription.clone(), lost, won, outdated, shared })
    }

    /// Gives up the queues of topics that are subscribed to no longer. What the listener is busy with is still committed
    /// or sent back when it is done: no other member waits for these queues.
    async fn leave_topics_but(self: &Arc<Self>, subscribed: &[Arc<Subscription>]) {
        let stays = |topic: &str| subscribed.iter().any(|own| own.topic == topic);
        let held: Vec<_> = self.queues.lock().values().cloned().collect();
        let left = held.into_iter().filter(|held| !held.is_stopped() && !stays(&held.queue.topic));
        join_all(left.map(|held| self.leave(held, GIVE_UP))).await;
    }

    /// Goes on with a queue under the subscription that its topic has now.
    fn resubscribe(self: &Arc<Self>, queue: &Arc<ProcessQueue>, subscription: &Arc<Subscription>) {
        let (next, freed) = queue.resubscribe(subscription.clone());
        self.release_bytes(freed);
        self.start_pulling(queue, subscription.clone(), next);
    }

    fn start_pulling(
        self: &Arc<Self>,
        queue: &Arc<ProcessQueue>,
        subscription: Arc<Subscription>,
        start: i64,
    ) {
        let pulling = pull::pull(self.clone(), queue.clone(), subscription, start);
        if let Some(puller) = self.tasks.start(pulling) {
            queue.set_puller(puller);
        }
    }

    /// Where a queue that is new to this member begins.
    async fn start_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        self.offsets.start(queue, self.config.consume_from_where, self.start_timestamp).await
    }

    /// Keeps what is consumed of these queues and waits until it is kept.
    pub(super) async fn persist(&self, queues: &[Arc<ProcessQueue>]) {
        self.offsets.commit_all(progress(queues)).await;
    }

    /// Gives queues up: nothing more is consumed of them, and what was is committed.
    async fn give_up(self: &Arc<Self>, lost: Vec<Arc<ProcessQueue>>) {
        if lost.is_empty() {
            return;
        }
        if self.config.is_orderly() {
            join_all(lost.into_iter().map(|queue| self.leave(queue, GIVE_UP))).await;
            return;
        }
        for queue in &lost {
            self.release_bytes(queue.stop());
        }
        let deadline = Instant::now() + GIVE_UP;
        join_all(lost.iter().map(|queue| queue.idle(deadline.saturating_duration_since(Instant::now()))))
            .await;
        self.persist(&lost).await;
        for queue in &lost {
            self.release_bytes(queue.drop_now());
            self.forget(queue);
        }
    }

    /// Begins with a queue; `false` if the consumer was closed meanwhile.
    fn take(
        self: &Arc<Self>,
        queue: MessageQueue,
        subscription: Arc<Subscription>,
        start: i64,
        locked_at: Instant,
    ) -> bool {
        tracing::debug!(
            group = self.group,
            topic = queue.topic,
            queue = queue.queue_id,
            start,
            "queue taken"
        );
        let order = match self.config.is_orderly() {
            true if self.needs_locks() => Some(Order::Locked(self.config.lock_max_live_time)),
            true => Some(Order::Free),
            false => None,
        };
        let held = Arc::new(ProcessQueue::new(queue.clone(), subscription.clone(), start, order));
        if self.needs_locks() {
            held.locked(locked_at);
        }
        {
            let mut queues = self.queues.lock();
            // Whoever closes looks at the table after setting the flag.
            if self.closed.load(Ordering::SeqCst) {
                return false;
            }
            queues.insert(queue, held.clone());
        }
        self.start_pulling(&held, subscription, start);
        true
    }

    /// Takes a queue out of the table, if it is still this one.
    pub(super) fn forget(&self, queue: &Arc<ProcessQueue>) {
        let mut queues = self.queues.lock();
        if queues.get(&queue.queue).is_some_and(|held| Arc::ptr_eq(held, queue)) {
            queues.remove(&queue.queue);
        }
    }

    /// Goes on with a queue at another offset; what is held of it is given up. Called by the queue's own puller, which
    /// ends by this.
    pub(super) fn restart_queue(self: &Arc<Self>, queue: Arc<ProcessQueue>, offset: i64) {
        // At once: a division that finds the puller at its end would commit the old offset and begin there.
        self.release_bytes(queue.drop_now());
        let consumer = self.clone();
        self.tasks.spawn(async move {
            consumer.set_offset(&queue, offset).await;
            // A broker that moves the offset each time must not keep both sides busy.
            sleep(RESTART_PAUSE).await;
            consumer.let_go(queue);
        });
    }

    /// The next division begins this queue at `offset`.
    pub(super) async fn restart_at(self: &Arc<Self>, queue: Arc<ProcessQueue>, offset: i64) {
        self.release_bytes(queue.drop_now());
        self.set_offset(&queue, offset).await;
        self.let_go(queue);
    }

    async fn set_offset(&self, queue: &ProcessQueue, offset: i64) {
        if let Err(error) = self.offsets.commit(&queue.queue, offset).await {
            let (topic, id) = (&queue.queue.topic, queue.queue.queue_id);
            tracing::warn!(group = self.group, topic, queue = id, offset, %error, "offset not set");
        }
    }

    /// Lets the next division have a dropped queue.
    fn let_go(self: &Arc<Self>, queue: Arc<ProcessQueue>) {
        if queue.is_orderly() {
            self.forget_when_idle(queue);
        } else {
            self.forget(&queue);
            self.rebalance.notify_one();
        }
    }
}

/// What is consumed of queues that are still ours.
fn progress(queues: &[Arc<ProcessQueue>]) -> Vec<(MessageQueue, i64)> {
    let ours = queues.iter().filter(|queue| !queue.is_dropped() && queue.may_commit());
    ours.map(|queue| (queue.queue.clone(), queue.commit_offset())).collect()
}

/// Commits from time to time.
pub(super) async fn keep_offsets(consumer: Arc<Inner>) {
    let period = consumer.client.config.persist_consumer_offset_interval;
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let queues: Vec<_> = consumer.queues.lock().values().cloned().collect();
        if consumer.offsets.are_at_brokers() {
            // Looked at one by one: a queue may be given up, or its offset set, while others are being told.
            for queue in &queues {
                consumer.offsets.tell(progress(std::slice::from_ref(queue))).await;
            }
        } else {
            consumer.offsets.tell(progress(&queues)).await;
        }
        for subscription in consumer.subscribed() {
            subscription.stats.sample();
        }
    }
}
