//! What a consumer holds of one queue: messages that wait, messages being consumed, and the offset to commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use mq_protocol::body::MessageQueue;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::subscription::Subscription;
use crate::MessageView;
use crate::message::now_millis;

/// One queue that belongs to this consumer for the time being.
pub(crate) struct ProcessQueue {
    pub(crate) queue: MessageQueue,
    pub(crate) broker_name: Arc<str>,
    pub(crate) subscription: Arc<Subscription>,
    state: Mutex<State>,
    /// Tells the puller that there is room again, or that the queue was dropped.
    room: Notify,
    /// Told when no message of this queue is being consumed any more.
    idle: Notify,
    dropped: AtomicBool,
    puller: Mutex<Option<AbortHandle>>,
    pub(crate) last_pull: AtomicI64,
    pub(crate) last_consume: AtomicI64,
}

#[derive(Default)]
struct State {
    /// Not yet given to a listener.
    waiting: VecDeque<MessageView>,
    /// From the oldest unfinished message on, in the order of offsets.
    open: VecDeque<Slot>,
    unfinished: usize,
    bytes: usize,
    /// Given to listeners.
    running: usize,
    /// What to commit when nothing is unfinished.
    next: Option<i64>,
    /// The largest offset that was ever put in.
    newest: i64,
    /// In the dispatcher's list.
    listed: bool,
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
    pub(crate) fn new(queue: MessageQueue, subscription: Arc<Subscription>, start: i64) -> ProcessQueue {
        ProcessQueue {
            broker_name: queue.broker_name.as_str().into(),
            queue,
            subscription,
            state: Mutex::new(State { next: Some(start), newest: -1, ..State::default() }),
            room: Notify::new(),
            idle: Notify::new(),
            dropped: AtomicBool::new(false),
            puller: Mutex::new(None),
            last_pull: AtomicI64::new(now_millis()),
            last_consume: AtomicI64::new(0),
        }
    }

    pub(crate) fn set_puller(&self, puller: AbortHandle) {
        *self.puller.lock() = Some(puller);
    }

    /// Whether the task that pulls has ended although the queue is still ours.
    pub(crate) fn is_stuck(&self) -> bool {
        !self.is_dropped() && self.puller.lock().as_ref().is_some_and(AbortHandle::is_finished)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// The queue is ours no longer: nothing is pulled, given to listeners or committed any more.
    /// Returns the bytes that are held no longer.
    pub(crate) fn drop_now(&self) -> usize {
        self.dropped.store(true, Ordering::Release);
        if let Some(puller) = self.puller.lock().take() {
            puller.abort();
        }
        let mut state = self.state.lock();
        let discarded = std::mem::take(&mut state.waiting);
        discarded.iter().map(MessageView::size).sum()
    }

    /// Stops pulling and giving out; what is being consumed goes on. Returns the bytes held no longer.
    pub(crate) fn stop(&self) -> usize {
        if let Some(puller) = self.puller.lock().take() {
            puller.abort();
        }
        let discarded = std::mem::take(&mut self.state.lock().waiting);
        discarded.iter().map(MessageView::size).sum()
    }

    /// Adds pulled messages, oldest first; `true` if the dispatcher has to list this queue.
    ///
    /// `next` is where the next pull begins. Messages that were put in before are left out. Returns the bytes
    /// that were added, too.
    pub(crate) fn put(&self, messages: Vec<MessageView>, next: i64) -> (bool, usize) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut added = 0;
        if self.is_dropped() {
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
        state.next = Some(next.max(state.newest + 1));
        let list = !state.waiting.is_empty() && !state.listed;
        state.listed |= list;
        (list, added)
    }

    /// Nothing was found up to `next`: commits that far if nothing is unfinished.
    pub(crate) fn passed(&self, next: i64) {
        let mut state = self.state.lock();
        state.next = Some(next.max(state.newest + 1));
    }

    /// Takes up to `max` messages for a listener; tells whether more wait, so that the queue stays listed.
    pub(crate) fn take(&self, max: usize) -> (Vec<MessageView>, bool) {
        let mut state = self.state.lock();
        if self.is_dropped() {
            state.listed = false;
            return (Vec::new(), false);
        }
        let count = max.min(state.waiting.len());
        let taken: Vec<_> = state.waiting.drain(..count).collect();
        state.running += taken.len();
        state.listed = !state.waiting.is_empty();
        (taken, state.listed)
    }

    /// These messages are done with. Returns the bytes that are held no longer.
    pub(crate) fn finish(&self, messages: &[MessageView]) -> usize {
        self.last_consume.store(now_millis(), Ordering::Relaxed);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut freed = 0;
        for message in messages {
            let offset = message.queue_offset();
            let found = state.open.binary_search_by_key(&offset, |slot| slot.offset);
            let Some(slot) = found.ok().and_then(|at| state.open.get_mut(at)).filter(|slot| !slot.done)
            else {
                continue;
            };
            slot.done = true;
            freed += slot.size;
            state.unfinished -= 1;
        }
        state.bytes -= freed;
        while state.open.front().is_some_and(|slot| slot.done) {
            state.open.pop_front();
        }
        state.running -= messages.len().min(state.running);
        let idle = state.running == 0;
        drop(guard);
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

    /// The smallest offset that is not consumed; `None` before anything is known.
    pub(crate) fn commit_offset(&self) -> Option<i64> {
        let state = self.state.lock();
        state.open.front().map(|slot| slot.offset).or(state.next)
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
        let deadline = Instant::now() + limit;
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            idle.as_mut().enable();
            if self.state.lock().running == 0 {
                return true;
            }
            if timeout_at(deadline, idle).await.is_err() {
                return false;
            }
        }
    }
}
