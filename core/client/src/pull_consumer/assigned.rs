//! What a pull consumer holds of one queue: messages that wait for a poll, and where it stands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use mq_protocol::body::MessageQueue;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::consumer::Subscription;
use crate::message::now_millis;
use crate::{Error, MessageView};

/// One queue that is assigned to this consumer for the time being.
pub(super) struct Assigned {
    /// In the client's namespace.
    pub(super) queue: MessageQueue,
    pub(super) broker_name: Arc<str>,
    pub(super) subscription: Arc<Subscription>,
    state: Mutex<State>,
    /// Told when there may be room, and when the queue goes on elsewhere.
    pub(super) changed: Notify,
    dropped: AtomicBool,
    fetcher: Mutex<Option<AbortHandle>>,
    /// Why the broker will not be pulled from, as long as that lasts.
    trouble: Mutex<Option<Error>>,
    pub(super) last_pull: AtomicI64,
    pub(super) last_poll: AtomicI64,
}

struct State {
    cache: VecDeque<Entry>,
    bytes: usize,
    /// Where the next pull begins; `None` until it is known.
    next: Option<i64>,
    /// Counts the seeks, so that an answer to an older pull is known as such.
    turn: u64,
    /// The first offset that a poll gave out, and the number of the poll. While that is the latest one, only what
    /// is before the offset is done with for sure.
    given: Option<(i64, u64)>,
    paused: bool,
    /// In the list of queues that have messages for a poll.
    listed: bool,
}

/// A message, or the reason why it cannot be read.
pub(super) struct Entry {
    pub(super) offset: i64,
    pub(super) size: usize,
    pub(super) message: Result<MessageView, Error>,
}

/// Room in the cache that is taken, or free again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// Figures for flow control and admin tools.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) load: Load,
    pub(super) oldest: i64,
    pub(super) newest: i64,
    pub(super) paused: bool,
}

/// What a poll took of a queue.
pub(super) struct Taken {
    pub(super) load: Load,
    /// More wait, so the queue stays listed.
    pub(super) more: bool,
    /// The next message cannot be read.
    pub(super) broken: Option<Error>,
}

impl Assigned {
    pub(super) fn new(queue: MessageQueue, subscription: Arc<Subscription>, start: Option<i64>) -> Assigned {
        Assigned {
            broker_name: queue.broker_name.as_str().into(),
            queue,
            subscription,
            state: Mutex::new(State {
                cache: VecDeque::new(),
                bytes: 0,
                next: start,
                turn: 0,
                given: None,
                paused: false,
                listed: false,
            }),
            changed: Notify::new(),
            dropped: AtomicBool::new(false),
            fetcher: Mutex::new(None),
            trouble: Mutex::new(None),
            last_pull: AtomicI64::new(now_millis()),
            last_poll: AtomicI64::new(0),
        }
    }

    /// The same queue under another subscription, where this one stands.
    pub(super) fn successor(&self, subscription: Arc<Subscription>) -> Assigned {
        let (position, given, paused) = {
            let state = self.state.lock();
            (state.position(), state.given, state.paused)
        };
        let mut next = Assigned::new(self.queue.clone(), subscription, position);
        let state = next.state.get_mut();
        (state.given, state.paused) = (given, paused);
        next
    }

    pub(super) fn set_fetcher(&self, fetcher: AbortHandle) {
        *self.fetcher.lock() = Some(fetcher);
    }

    /// Whether the task that pulls has ended although the queue is still assigned.
    pub(super) fn is_stuck(&self) -> bool {
        !self.is_dropped() && self.fetcher.lock().as_ref().is_some_and(AbortHandle::is_finished)
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Acquire)
    }

    /// The queue is assigned no longer: nothing is pulled or given out any more; the offsets stay readable.
    pub(super) fn drop_now(&self) -> Load {
        self.dropped.store(true, Ordering::Release);
        if let Some(fetcher) = self.fetcher.lock().take() {
            fetcher.abort();
        }
        let mut state = self.state.lock();
        state.next = state.position();
        state.clear()
    }

    /// Where the next pull begins, and the turn it belongs to.
    pub(super) fn next(&self) -> (Option<i64>, u64) {
        let state = self.state.lock();
        (state.next, state.turn)
    }

    /// Says where the queue begins, unless a seek did so meanwhile.
    pub(super) fn begin(&self, turn: u64, start: i64) {
        let mut state = self.state.lock();
        if state.turn == turn && state.next.is_none() {
            state.next = Some(start);
        }
    }

    /// Adds what a pull of this turn brought; `next` is where the following one begins.
    /// Returns the room taken and whether the queue has to be listed.
    pub(super) fn put(&self, turn: u64, entries: Vec<Entry>, next: i64) -> (Load, bool) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut load = Load::default();
        if self.is_dropped() || state.turn != turn {
            return (load, false);
        }
        // A batch that is stored as one record comes whole, also what is before the offset asked for.
        let from = state.next.unwrap_or(0);
        let mut newest = next;
        for entry in entries.into_iter().filter(|entry| entry.offset >= from) {
            newest = newest.max(entry.offset + 1);
            load.messages += 1;
            load.bytes += entry.size;
            state.cache.push_back(entry);
        }
        state.bytes += load.bytes;
        state.next = Some(newest);
        (load, state.list())
    }

    /// Goes on at `offset`; what is cached is given up.
    pub(super) fn seek(&self, offset: i64) -> Load {
        let load = {
            let mut state = self.state.lock();
            state.turn += 1;
            state.next = Some(offset);
            state.given = None;
            state.clear()
        };
        self.changed.notify_one();
        load
    }

    /// The broker moved the pull of this turn: what is cached stays, later messages begin at `offset`.
    pub(super) fn moved(&self, turn: u64, offset: i64) {
        let mut state = self.state.lock();
        if state.turn == turn {
            state.next = Some(offset);
        }
    }

    /// Moves messages into `into`, up to `max` in it, for this poll.
    pub(super) fn take(&self, poll: u64, max: usize, into: &mut Vec<MessageView>) -> Taken {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut taken = Taken { load: Load::default(), more: false, broken: None };
        state.listed = false;
        if self.is_dropped() || state.paused {
            return taken;
        }
        let before = state.position();
        let room = max.saturating_sub(into.len());
        while taken.load.messages < room {
            // What cannot be read is reported by a poll that has nothing else.
            let reportable = into.is_empty();
            if state.cache.front().is_some_and(|entry| entry.message.is_err() && !reportable) {
                break;
            }
            let Some(entry) = state.cache.pop_front() else { break };
            taken.load.messages += 1;
            taken.load.bytes += entry.size;
            match entry.message {
                Ok(message) => into.push(message),
                Err(error) => {
                    taken.broken = Some(error);
                    break;
                }
            }
        }
        state.bytes -= taken.load.bytes;
        if taken.load.messages > 0 && state.given.is_none_or(|(_, earlier)| earlier != poll) {
            state.given = before.map(|offset| (offset, poll));
        }
        taken.more = state.list();
        drop(guard);
        self.last_poll.store(now_millis(), Ordering::Relaxed);
        self.changed.notify_one();
        taken
    }

    /// Holds messages back, or no longer; `true` if the queue has to be listed.
    pub(super) fn pause(&self, paused: bool) -> bool {
        let list = {
            let mut state = self.state.lock();
            state.paused = paused;
            state.list()
        };
        self.changed.notify_one();
        list
    }

    /// The offset of the next message that a poll gives out.
    pub(super) fn position(&self) -> Option<i64> {
        self.state.lock().position()
    }

    /// The offset before which all is done with; what the latest poll, of this number, gave out is not.
    pub(super) fn done(&self, poll: u64) -> Option<i64> {
        let state = self.state.lock();
        let given = state.given.filter(|(_, number)| *number == poll).map(|(offset, _)| offset);
        given.or_else(|| state.position())
    }

    /// Keeps why the broker will not be pulled from, or that it is again.
    pub(super) fn set_trouble(&self, trouble: Option<Error>) {
        *self.trouble.lock() = trouble;
    }

    pub(super) fn trouble(&self) -> Option<Error> {
        self.trouble.lock().clone()
    }

    pub(super) fn held(&self) -> Held {
        let state = self.state.lock();
        Held {
            load: Load { messages: state.cache.len(), bytes: state.bytes },
            oldest: state.cache.front().map_or(0, |entry| entry.offset),
            newest: state.cache.back().map_or(0, |entry| entry.offset),
            paused: state.paused,
        }
    }
}

impl State {
    fn position(&self) -> Option<i64> {
        self.cache.front().map(|entry| entry.offset).or(self.next)
    }

    fn clear(&mut self) -> Load {
        let load = Load { messages: self.cache.len(), bytes: self.bytes };
        self.cache.clear();
        self.bytes = 0;
        load
    }

    fn list(&mut self) -> bool {
        let list = !self.listed && !self.paused && !self.cache.is_empty();
        self.listed |= list;
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::view::tests::view;

    fn entry(offset: i64) -> Entry {
        Entry { offset, size: 10, message: Ok(view("T", offset)) }
    }

    fn assigned() -> Assigned {
        let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 0 };
        Assigned::new(queue, Arc::new(Subscription::new("T".into(), "*").unwrap()), None)
    }

    fn take(queue: &Assigned, poll: u64, max: usize) -> Vec<i64> {
        let mut messages = Vec::new();
        queue.take(poll, max, &mut messages);
        messages.iter().map(MessageView::queue_offset).collect()
    }

    #[test]
    fn positions_follow_what_is_given_out() {
        let queue = assigned();
        assert_eq!((queue.position(), queue.done(0)), (None, None));
        queue.begin(0, 5);
        assert_eq!(queue.position(), Some(5));
        let (load, list) = queue.put(0, (3..9).map(entry).collect(), 12);
        // Those before 5 are not wanted.
        assert_eq!((load, list), (Load { messages: 4, bytes: 40 }, true));
        assert_eq!(take(&queue, 1, 1), [5]);
        assert_eq!(take(&queue, 1, 1), [6]);
        assert_eq!((queue.position(), queue.done(1)), (Some(7), Some(5)));
        assert_eq!(queue.done(2), Some(7));
        assert_eq!(take(&queue, 2, 9), [7, 8]);
        // Nobody wants 9, 10 and 11.
        assert_eq!((queue.position(), queue.done(2)), (Some(12), Some(7)));
        assert_eq!(queue.held().load, Load::default());
        queue.drop_now();
        assert_eq!((queue.position(), queue.done(2)), (Some(12), Some(7)));
        let next = queue.successor(queue.subscription.clone());
        assert_eq!((next.position(), next.done(2), next.done(3)), (Some(12), Some(7), Some(12)));
    }

    #[test]
    fn a_seek_makes_older_pulls_void() {
        let queue = assigned();
        queue.begin(0, 0);
        queue.put(0, vec![entry(0), entry(1)], 2);
        assert_eq!(queue.seek(1), Load { messages: 2, bytes: 20 });
        assert_eq!(queue.put(0, vec![entry(2)], 3), (Load::default(), false));
        queue.moved(0, 70);
        queue.begin(0, 80);
        assert_eq!(queue.next(), (Some(1), 1));
        // It is listed still: the poll that finds it empty takes it off.
        assert_eq!(take(&queue, 1, 9), [] as [i64; 0]);
        assert!(queue.put(1, vec![entry(1)], 2).1);
        assert_eq!(take(&queue, 1, 9), [1]);
    }

    #[test]
    fn paused_queues_keep_what_they_have() {
        let queue = assigned();
        queue.begin(0, 0);
        assert!(!queue.pause(true));
        assert!(!queue.put(0, vec![entry(0)], 1).1);
        assert_eq!(take(&queue, 1, 9), [] as [i64; 0]);
        assert_eq!(queue.position(), Some(0));
        assert!(queue.pause(false));
        assert_eq!(take(&queue, 1, 9), [0]);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_a_poll_of_its_own() {
        let queue = assigned();
        queue.begin(0, 0);
        let broken = || Entry { offset: 1, size: 10, message: Err(Error::argument("broken")) };
        queue.put(0, vec![entry(0), broken(), entry(2)], 3);
        let mut messages = Vec::new();
        let taken = queue.take(1, 9, &mut messages);
        assert!(taken.broken.is_none() && taken.more && messages.len() == 1);
        messages.clear();
        let taken = queue.take(1, 9, &mut messages);
        assert_eq!(taken.broken.map(|error| error.code()), Some(ErrorCode::Argument));
        assert!(taken.more && messages.is_empty());
        assert_eq!(take(&queue, 1, 9), [2]);
    }
}
