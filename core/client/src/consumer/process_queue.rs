//! What a consumer holds of one queue: messages that wait, messages being consumed, and the offset to commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use mq_protocol::body::MessageQueue;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::stats::Stats;
use super::subscription::Subscription;
use crate::MessageView;
use crate::message::now_millis;

/// How long a broker keeps a lock that is not renewed (`rocketmq.broker.rebalance.lockMaxLiveTime`). After that
/// somebody else may have had the queue, even if it can be locked again.
const BROKER_KEEPS_LOCK: Duration = Duration::from_secs(60);

/// One queue that belongs to this consumer for the time being.
pub(crate) struct ProcessQueue {
    pub(crate) queue: MessageQueue,
    pub(crate) broker_name: Arc<str>,
    /// Of the topic.
    pub(crate) stats: Arc<Stats>,
    state: Mutex<State>,
    /// Tells the puller that there is room again, or that the queue was dropped.
    room: Notify,
    /// Told when no message of this queue is being consumed any more.
    idle: Notify,
    /// Nothing is pulled or given to listeners any more.
    stopped: AtomicBool,
    /// Nothing is committed any more either.
    dropped: AtomicBool,
    /// How messages are given out; `None`: side by side.
    order: Option<Order>,
    puller: Mutex<Option<AbortHandle>>,
    pub(crate) last_pull: AtomicI64,
    pub(crate) last_consume: AtomicI64,
}

/// How an ordered queue is given out: one call at a time.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// Without a lock: nobody else can have the queue.
    Free,
    /// As long as the broker's lock was granted no longer ago than this.
    Locked(Duration),
}

/// What a worker gets of a queue.
pub(crate) enum Taken {
    /// For one call of the listener; `more` if the queue has to stay listed.
    Messages { messages: Vec<MessageView>, more: bool },
    /// The lock has to be renewed first; the queue stays with the worker.
    Unlocked,
    /// Nothing waits.
    Nothing,
}

struct State {
    /// What is wanted of the queue now.
    subscription: Arc<Subscription>,
    /// Not yet given to a listener.
    waiting: VecDeque<MessageView>,
    /// From the oldest unfinished message on, in the order of offsets.
    open: VecDeque<Slot>,
    unfinished: usize,
    bytes: usize,
    /// Given to listeners.
    running: usize,
    /// What to commit when nothing is unfinished, and where the next pull begins.
    next: i64,
    /// The largest offset that was ever put in.
    newest: i64,
    /// In the dispatcher's list; of an ordered queue also while a call holds its messages, or it rests.
    listed: bool,
    /// When the broker's lock was asked for that stands now.
    locked_at: Option<Instant>,
    /// The same as milliseconds since 1970, for admin tools.
    last_lock: i64,
}

struct Slot {
    offset: i64,
    size: usize,
    done: bool,
}

/// Figures of one queue, for flow control and admin tools.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) oldest: i64,
    pub(crate) newest: i64,
}

impl Held {
    /// Distance between the oldest and newest offset.
    pub(crate) fn span(self) -> i64 {
        if self.messages == 0 { 0 } else { self.newest - self.oldest }
    }
}

impl ProcessQueue {
    /// A queue that is consumed from `start` on.
    pub(crate) fn new(
        queue: MessageQueue,
        subscription: Arc<Subscription>,
        start: i64,
        order: Option<Order>,
    ) -> ProcessQueue {
        ProcessQueue {
            broker_name: queue.broker_name.as_str().into(),
            queue,
            stats: subscription.stats.clone(),
            state: Mutex::new(State {
                subscription,
                waiting: VecDeque::new(),
                open: VecDeque::new(),
                unfinished: 0,
                bytes: 0,
                running: 0,
                next: start,
                newest: -1,
                listed: false,
                locked_at: None,
                last_lock: 0,
            }),
            room: Notify::new(),
            idle: Notify::new(),
            stopped: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            order,
            puller: Mutex::new(None),
            last_pull: AtomicI64::new(now_millis()),
            last_consume: AtomicI64::new(0),
        }
    }

    /// The task that pulls, in place of the one before.
    pub(crate) fn set_puller(&self, puller: AbortHandle) {
        let old = self.puller.lock().replace(puller);
        if let Some(old) = old {
            old.abort();
        }
        // Whoever stopped the queue meanwhile has not seen this one.
        if self.is_stopped() {
            self.stop_pulling();
        }
    }

    fn stop_pulling(&self) {
        if let Some(puller) = self.puller.lock().take() {
            puller.abort();
        }
    }

    /// Whether the task that pulls has ended although the queue is still ours.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.is_dropped() && self.puller.lock().as_ref().is_some_and(AbortHandle::is_finished)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// Whether nothing is given out any more: it is dropped, or about to be.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn is_orderly(&self) -> bool {
        self.order.is_some()
    }

    /// The broker granted the lock that was asked for at this time.
    pub(crate) fn locked(&self, asked_at: Instant) {
        let mut state = self.state.lock();
        state.locked_at = Some(asked_at);
        state.last_lock = now_millis();
    }

    /// How long ago the lock was asked for that stands now.
    pub(crate) fn lock_age(&self) -> Option<Duration> {
        self.state.lock().locked_at.map(|at| at.elapsed())
    }

    /// Whether nobody else can have committed offsets meanwhile, as far as the broker's locks tell.
    pub(crate) fn may_commit(&self) -> bool {
        match self.order {
            Some(Order::Locked(_)) => self.lock_age().is_some_and(|age| age < BROKER_KEEPS_LOCK),
            _ => true,
        }
    }

    /// When the lock was granted last, in milliseconds since 1970; 0 for never.
    pub(crate) fn last_lock(&self) -> i64 {
        self.state.lock().last_lock
    }

    /// Whether messages may be consumed as far as locks go.
    pub(crate) fn has_lease(&self) -> bool {
        self.has_lease_in(&self.state.lock())
    }

    fn has_lease_in(&self, state: &State) -> bool {
        match self.order {
            Some(Order::Locked(lease)) => state.locked_at.is_some_and(|at| at.elapsed() < lease),
            _ => true,
        }
    }

    /// The queue is ours no longer: nothing is pulled, given to listeners or committed any more.
    /// Returns the bytes that are held no longer.
    pub(crate) fn drop_now(&self) -> usize {
        self.dropped.store(true, Ordering::Release);
        self.stop()
    }

    /// Stops pulling and giving out; what is being consumed goes on. Returns the bytes held no longer.
    pub(crate) fn stop(&self) -> usize {
        self.stopped.store(true, Ordering::Release);
        self.stop_pulling();
        let discarded = std::mem::take(&mut self.state.lock().waiting);
        discarded.iter().map(MessageView::size).sum()
    }

    /// Adds pulled messages, oldest first; `true` if the dispatcher has to list this queue.
    ///
    /// `next` is where the next pull begins. Messages that were put in before are left out, and all if they were
    /// pulled for a subscription that is not this queue's any more. Returns the bytes that were added, too.
    pub(crate) fn put(
        &self,
        subscription: &Arc<Subscription>,
        messages: Vec<MessageView>,
        next: i64,
    ) -> (bool, usize) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut added = 0;
        if self.is_stopped() || !Arc::ptr_eq(&state.subscription, subscription) {
            return (false, 0);
        }
        for message in messages {
            let (offset, size) = (message.queue_offset(), message.size());
            if offset <= state.newest {
                continue;
            }
            state.newest = offset;
            state.open.push_back(Slot { offset, size, done: false });
            state.unfinished += 1;
            state.bytes += size;
            added += size;
            state.waiting.push_back(message);
        }
        state.next = next.max(state.newest + 1);
        let list = !state.waiting.is_empty() && !state.listed;
        state.listed |= list;
        (list, added)
    }

    /// Nothing that this subscription wants was found up to `next`: commits that far if nothing is unfinished.
    pub(crate) fn passed(&self, subscription: &Arc<Subscription>, next: i64) {
        let mut state = self.state.lock();
        if Arc::ptr_eq(&state.subscription, subscription) {
            state.next = next.max(state.newest + 1);
        }
    }

    /// What is wanted of the queue now.
    pub(crate) fn subscription(&self) -> Arc<Subscription> {
        self.state.lock().subscription.clone()
    }

    /// Goes on under another subscription of the topic: what waits and is not wanted any more counts as done, but for
    /// messages that failed before. Pulls under way become void. Returns where the next pull begins, and the bytes
    /// that are held no longer.
    pub(crate) fn resubscribe(&self, subscription: Arc<Subscription>) -> (i64, usize) {
        self.stop_pulling();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let stays = |message: &MessageView| subscription.wants(message) || message.reconsume_times() > 0;
        let (waiting, unwanted): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.waiting).into_iter().partition(stays);
        state.waiting = waiting.into();
        state.subscription = subscription;
        let freed = state.done(&unwanted);
        (state.next, freed)
    }

    /// Takes up to `max` messages for a listener.
    pub(crate) fn take(&self, max: usize) -> Taken {
        let mut state = self.state.lock();
        if self.is_stopped() || state.waiting.is_empty() {
            state.listed = false;
            return Taken::Nothing;
        }
        if !self.has_lease_in(&state) {
            return Taken::Unlocked;
        }
        let count = max.min(state.waiting.len());
        let messages: Vec<_> = state.waiting.drain(..count).collect();
        state.running += messages.len();
        if self.is_orderly() {
            return Taken::Messages { messages, more: false };
        }
        state.listed = !state.waiting.is_empty();
        Taken::Messages { messages, more: state.listed }
    }

    /// An ordered queue's call is over, its rest has ended, or its lock is renewed; `true` if it has to be listed.
    pub(crate) fn next_turn(&self) -> bool {
        let mut state = self.state.lock();
        state.listed = !self.is_stopped() && !state.waiting.is_empty();
        state.listed
    }

    /// These messages are neither done nor to be given out here. Returns the bytes that are held no longer.
    pub(crate) fn abandon(&self, messages: &[MessageView]) -> usize {
        self.rest(messages.len());
        messages.iter().map(MessageView::size).sum()
    }

    /// These messages are done with. Returns the bytes that are held no longer.
    pub(crate) fn finish(&self, messages: &[MessageView]) -> usize {
        self.last_consume.store(now_millis(), Ordering::Relaxed);
        let mut state = self.state.lock();
        let freed = state.done(messages);
        state.running -= messages.len().min(state.running);
        let idle = state.running == 0;
        drop(state);
        self.room.notify_one();
        if idle {
            self.idle.notify_waiters();
        }
        freed
    }

    /// This many messages are not with the listener any more, although they are not done with.
    pub(crate) fn rest(&self, messages: usize) {
        let idle = {
            let mut state = self.state.lock();
            state.running -= messages.min(state.running);
            state.running == 0
        };
        if idle {
            self.idle.notify_waiters();
        }
    }

    /// Resting messages are to be given to the listener once more; `true` if the queue has to be listed.
    pub(crate) fn give_back(&self, messages: Vec<MessageView>) -> bool {
        let mut state = self.state.lock();
        for message in messages.into_iter().rev() {
            state.waiting.push_front(message);
        }
        let list = !state.waiting.is_empty() && !state.listed;
        state.listed |= list;
        list
    }

    /// The smallest offset that is not consumed.
    pub(crate) fn commit_offset(&self) -> i64 {
        let state = self.state.lock();
        state.open.front().map_or(state.next, |slot| slot.offset)
    }

    pub(crate) fn held(&self) -> Held {
        let state = self.state.lock();
        Held {
            messages: state.unfinished,
            bytes: state.bytes,
            oldest: state.open.front().map_or(0, |slot| slot.offset),
            newest: state.open.back().map_or(0, |slot| slot.offset),
        }
    }

    /// Resolves when messages were finished since the last call.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Waits until no message is being consumed, up to `limit`.
    pub(crate) async fn idle(&self, limit: Duration) -> bool {
        timeout(limit, self.until_idle()).await.is_ok()
    }

    /// Waits until no message is being consumed.
    pub(crate) async fn until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.state.lock().running == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl State {
    /// These messages are done with. Returns the bytes that are held no longer.
    fn done(&mut self, messages: &[MessageView]) -> usize {
        let mut freed = 0;
        for message in messages {
            let offset = message.queue_offset();
            let found = self.open.binary_search_by_key(&offset, |slot| slot.offset);
            let Some(slot) = found.ok().and_then(|at| self.open.get_mut(at)).filter(|slot| !slot.done) else {
                continue;
            };
            slot.done = true;
            freed += slot.size;
            self.unfinished -= 1;
        }
        self.bytes -= freed;
        while self.open.front().is_some_and(|slot| slot.done) {
            self.open.pop_front();
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::view::tests::{tagged, view};

    fn queue(order: Option<Order>, offsets: impl IntoIterator<Item = i64>) -> ProcessQueue {
        let name = MessageQueue { topic: "T".to_owned(), broker_name: "b".to_owned(), queue_id: 0 };
        let queue = ProcessQueue::new(name, subscription("*"), 0, order);
        let messages = offsets.into_iter().map(|offset| view("T", offset)).collect();
        put(&queue, messages, 100);
        queue
    }

    fn subscription(expression: &str) -> Arc<Subscription> {
        Arc::new(Subscription::new("T".to_owned(), expression).unwrap())
    }

    fn put(queue: &ProcessQueue, messages: Vec<MessageView>, next: i64) -> bool {
        queue.put(&queue.subscription(), messages, next).0
    }

    fn take(queue: &ProcessQueue, max: usize) -> Vec<MessageView> {
        match queue.take(max) {
            Taken::Messages { messages, .. } => messages,
            Taken::Unlocked | Taken::Nothing => Vec::new(),
        }
    }

    #[test]
    fn the_oldest_unfinished_message_holds_the_offset_back() {
        let queue = queue(None, [0, 1, 2, 5]);
        let (first, rest) = (take(&queue, 1), take(&queue, 9));
        assert_eq!((first.len(), rest.len(), queue.commit_offset()), (1, 3, 0));
        queue.finish(&rest);
        assert_eq!(queue.commit_offset(), 0);
        queue.finish(&first);
        assert_eq!((queue.commit_offset(), queue.held().bytes), (100, 0));
    }

    #[test]
    fn an_ordered_queue_is_listed_once_at_a_time_and_gives_failed_messages_first() {
        let queue = queue(Some(Order::Free), 0..3);
        let first = take(&queue, 1);
        assert!(!put(&queue, vec![view("T", 100)], 101), "a call holds messages");
        queue.rest(1);
        queue.give_back(vec![first[0].again()]);
        assert!(queue.next_turn());
        let again = take(&queue, 2);
        assert_eq!(again.iter().map(MessageView::queue_offset).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(again[0].delivery_attempt(), first[0].delivery_attempt() + 1);
        queue.finish(&again);
        assert!(queue.next_turn());
        queue.finish(&take(&queue, 9));
        assert!(!queue.next_turn());
        assert!(put(&queue, vec![view("T", 101)], 102), "it rests, so it is listed anew");
    }

    #[test]
    fn what_a_stopped_queue_gets_back_is_left_to_the_next_owner() {
        let queue = queue(Some(Order::Free), 0..3);
        let first = take(&queue, 1);
        assert!(queue.stop() > 0);
        assert_eq!(queue.abandon(&first), first[0].size());
        assert!(!queue.next_turn() && take(&queue, 1).is_empty());
        assert_eq!(queue.commit_offset(), 0);
    }

    #[test]
    fn another_subscription_leaves_out_what_it_does_not_want_and_loses_no_count() {
        let tags = ["a", "b", "a", "b", "a"];
        let queue = queue(None, []);
        let old = queue.subscription();
        let messages: Vec<_> = (0..).zip(tags).map(|(offset, tag)| tagged("T", offset, tag)).collect();
        let size = messages[0].size();
        queue.put(&old, messages, 5);
        let running = take(&queue, 1);
        let new = subscription("b");
        assert_eq!(queue.resubscribe(new.clone()), (5, 2 * size));
        assert_eq!((queue.held().messages, queue.held().bytes, queue.commit_offset()), (3, 3 * size, 0));
        // A pull that was made for the old one brings nothing, and passes over nothing.
        assert_eq!(queue.put(&old, vec![tagged("T", 5, "b")], 6), (false, 0));
        queue.passed(&old, 50);
        assert_eq!(queue.put(&new, vec![tagged("T", 5, "b")], 6), (false, size), "it is listed still");
        let rest = take(&queue, 9);
        assert_eq!(rest.iter().map(MessageView::queue_offset).collect::<Vec<_>>(), [1, 3, 5]);
        queue.finish(&rest);
        assert_eq!(queue.commit_offset(), 0, "the call for the old one is not over");
        queue.finish(&running);
        queue.passed(&new, 9);
        assert_eq!((queue.commit_offset(), queue.held().bytes), (9, 0));
    }

    #[test]
    fn what_failed_comes_again_under_another_subscription() {
        let queue = queue(Some(Order::Free), []);
        put(&queue, vec![tagged("T", 0, "a"), tagged("T", 1, "a")], 2);
        let first = take(&queue, 1);
        queue.rest(1);
        queue.give_back(vec![first[0].again()]);
        queue.resubscribe(subscription("b"));
        assert!(queue.next_turn());
        let again = take(&queue, 9);
        assert_eq!(again.iter().map(MessageView::queue_offset).collect::<Vec<_>>(), [0]);
        queue.finish(&again);
        assert!(!queue.next_turn());
        assert_eq!(queue.commit_offset(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn leases_end_and_so_does_the_right_to_commit() {
        let queue = queue(Some(Order::Locked(Duration::from_secs(30))), 0..3);
        assert!(!queue.has_lease() && !queue.may_commit());
        queue.locked(Instant::now());
        assert_eq!(take(&queue, 1).len(), 1);
        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(matches!(queue.take(1), Taken::Unlocked) && queue.may_commit());
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(!queue.may_commit());
        queue.locked(Instant::now());
        assert_eq!(take(&queue, 1).len(), 1);
    }
}
