//! Group commit: waits for the disk, all of which one sync ends.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::bell::{Bells, Worker};

/// How a wait for the disk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushStatus {
    /// The bytes are on the disk.
    Flushed,
    /// They were not after `syncFlushTimeout`; they are in the log and may still get there.
    Timeout,
    /// The disk failed or the store was closed first; whether they are on the disk is not known.
    Failed,
}

#[derive(Debug)]
struct Waiter {
    end: u64,
    deadline: Instant,
    state: Mutex<WaiterState>,
}

#[derive(Debug)]
enum WaiterState {
    Waiting(Option<Waker>),
    Done(FlushStatus),
}

impl Waiter {
    fn finish(&self, status: FlushStatus) {
        let before = std::mem::replace(&mut *self.state.lock(), WaiterState::Done(status));
        match before {
            WaiterState::Waiting(Some(waker)) => waker.wake(),
            WaiterState::Waiting(None) => {}
            // Whoever came first decided.
            WaiterState::Done(first) => *self.state.lock() = WaiterState::Done(first),
        }
    }
}

/// The position up to which the log is on the disk, and who waits for it to move.
#[derive(Debug)]
pub(crate) struct Flush {
    flushed: AtomicU64,
    waiters: Mutex<Waiters>,
    timeout: Duration,
    bells: Arc<Bells>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// In order of their deadlines, which all have the same distance from their registration.
    waiting: VecDeque<Arc<Waiter>>,
    /// Set when the store failed or closed: no sync comes any more.
    over: bool,
}

impl Flush {
    pub(crate) fn new(flushed: u64, timeout: Duration, bells: Arc<Bells>) -> Flush {
        Flush { flushed: AtomicU64::new(flushed), waiters: Mutex::default(), timeout, bells }
    }

    /// The log is on the disk up to here.
    pub(crate) fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Acquire)
    }

    /// Whether anybody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.waiters.lock().waiting.is_empty()
    }

    /// Notes a successful sync up to `end` and ends all waits that it covers.
    pub(crate) fn advance(&self, end: u64) {
        self.flushed.fetch_max(end, Ordering::AcqRel);
        let mut done = Vec::new();
        {
            let mut waiters = self.waiters.lock();
            waiters.waiting.retain(|waiter| {
                let covered = waiter.end <= end;
                if covered {
                    done.push(Arc::clone(waiter));
                }
                !covered
            });
        }
        done.iter().for_each(|waiter| waiter.finish(FlushStatus::Flushed));
    }

    /// Ends all waits, also future ones, that are not covered yet.
    pub(crate) fn give_up(&self) {
        let waiting = {
            let mut waiters = self.waiters.lock();
            waiters.over = true;
            std::mem::take(&mut waiters.waiting)
        };
        waiting.iter().for_each(|waiter| waiter.finish(FlushStatus::Failed));
    }

    /// Ends waits whose time is over; returns how long to wait before the next look, `None` if nobody waits.
    pub(crate) fn expire(&self) -> Option<Duration> {
        let now = Instant::now();
        let (late, next) = {
            let mut waiters = self.waiters.lock();
            let late = waiters.waiting.partition_point(|waiter| waiter.deadline <= now);
            let late: Vec<_> = waiters.waiting.drain(..late).collect();
            (late, waiters.waiting.front().map(|waiter| waiter.deadline.saturating_duration_since(now)))
        };
        late.iter().for_each(|waiter| waiter.finish(FlushStatus::Timeout));
        next
    }

    /// A wait for `end` to be on the disk.
    pub(crate) fn wait(self: &Arc<Self>, end: u64) -> Flushed {
        Flushed { flush: Arc::clone(self), end, waiter: None }
    }

    fn register(&self, end: u64, waker: Waker) -> Option<Arc<Waiter>> {
        let waiter;
        {
            let mut waiters = self.waiters.lock();
            if waiters.over || end <= self.flushed() {
                return None;
            }
            waiter = Arc::new(Waiter {
                end,
                deadline: Instant::now() + self.timeout,
                state: Mutex::new(WaiterState::Waiting(Some(waker))),
            });
            waiters.waiting.push_back(Arc::clone(&waiter));
        }
        self.bells.hurry(Worker::Flush);
        self.bells.ring(Worker::Timeouts as u32);
        Some(waiter)
    }
}

/// A wait for the disk; any executor can drive it. Dropping it ends the wait and nothing else.
#[derive(Debug)]
#[must_use = "nothing waits unless this is awaited"]
pub struct Flushed {
    flush: Arc<Flush>,
    end: u64,
    waiter: Option<Arc<Waiter>>,
}

impl Future for Flushed {
    type Output = FlushStatus;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<FlushStatus> {
        if self.end <= self.flush.flushed() {
            return Poll::Ready(FlushStatus::Flushed);
        }
        let Some(waiter) = &self.waiter else {
            self.waiter = self.flush.register(self.end, context.waker().clone());
            return match self.waiter {
                Some(_) => Poll::Pending,
                None if self.end <= self.flush.flushed() => Poll::Ready(FlushStatus::Flushed),
                None => Poll::Ready(FlushStatus::Failed),
            };
        };
        match &mut *waiter.state.lock() {
            WaiterState::Done(status) => Poll::Ready(*status),
            WaiterState::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Flushed {
    fn drop(&mut self) {
        if let Some(waiter) = &self.waiter
            && matches!(*waiter.state.lock(), WaiterState::Waiting(_))
        {
            let mut waiters = self.flush.waiters.lock();
            waiters.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn flush(timeout: Duration) -> Arc<Flush> {
        Arc::new(Flush::new(0, timeout, Arc::default()))
    }

    fn poll(future: Pin<&mut Flushed>) -> Poll<FlushStatus> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_sync_ends_all_waits_that_it_covers() {
        let flush = flush(Duration::from_secs(60));
        let (mut a, mut b) = (pin!(flush.wait(10)), pin!(flush.wait(20)));
        assert_eq!((poll(a.as_mut()), poll(b.as_mut())), (Poll::Pending, Poll::Pending));
        flush.advance(15);
        assert_eq!(poll(a.as_mut()), Poll::Ready(FlushStatus::Flushed));
        assert_eq!(poll(b.as_mut()), Poll::Pending);
        flush.give_up();
        assert_eq!(poll(b.as_mut()), Poll::Ready(FlushStatus::Failed));
        assert_eq!(poll(pin!(flush.wait(15))), Poll::Ready(FlushStatus::Flushed));
        assert_eq!(poll(pin!(flush.wait(16))), Poll::Ready(FlushStatus::Failed));
    }

    #[test]
    fn late_waits_end_and_dropped_ones_leave_nothing() {
        let flush = flush(Duration::ZERO);
        let mut a = pin!(flush.wait(10));
        assert_eq!(poll(a.as_mut()), Poll::Pending);
        assert_eq!(flush.expire(), None);
        assert_eq!(poll(a.as_mut()), Poll::Ready(FlushStatus::Timeout));
        {
            let mut b = pin!(flush.wait(10));
            assert_eq!(poll(b.as_mut()), Poll::Pending);
            assert!(flush.is_awaited());
        }
        assert!(!flush.is_awaited());
    }
}
