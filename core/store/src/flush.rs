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
use crate::config::StoreConfig;

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

/// Wakes those whose wait for the disk is over.
pub trait Wake: std::fmt::Debug + Send + Sync {
    /// Wakes all of them. Called on a thread of the store; must not block and must not drop any of them unwoken.
    fn wake(&self, wakers: Vec<Waker>);
}

/// Wakes one after the other on the thread that knows. For many tasks of one executor, waking them from within it is cheaper.
#[derive(Clone, Copy, Debug, Default)]
pub struct WakeHere;

impl Wake for WakeHere {
    fn wake(&self, wakers: Vec<Waker>) {
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The position up to which the log is on the disk, and who waits for it to move.
#[derive(Debug)]
pub(crate) struct Flush {
    flushed: AtomicU64,
    waiters: Mutex<Waiters>,
    timeout: Duration,
    bells: Arc<Bells>,
    wake: Arc<dyn Wake>,
}

/// One place in the list of those who wait.
#[derive(Debug)]
struct Waiter {
    end: u64,
    deadline: Instant,
    /// `None` once the wait is over; the place then goes with those before it.
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Waiters {
    /// In order of their deadlines, which all have the same distance from their registration. The first of them waits.
    places: VecDeque<Waiter>,
    /// Number of the first place; places are numbered as they come.
    first: u64,
    /// How many wait.
    waiting: usize,
    /// The flusher pauses until so many wait; 0 when it does not.
    wanted: usize,
    /// Set when the store failed or closed: no sync comes any more.
    over: bool,
}

impl Waiters {
    fn add(&mut self, waiter: Waiter) -> u64 {
        self.places.push_back(waiter);
        self.waiting += 1;
        self.first + self.places.len() as u64 - 1
    }

    /// The waker of a place, unless its wait is over.
    fn waker(&mut self, number: u64) -> Option<&mut Option<Waker>> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.places.get_mut(index).map(|place| &mut place.waker).filter(|waker| waker.is_some())
    }

    /// Ends the waits among the first `count` places of which `ends` says so, and returns whom to wake.
    fn end(&mut self, count: usize, ends: impl Fn(&Waiter) -> bool) -> Vec<Waker> {
        let mut wakers = Vec::with_capacity(count.min(self.waiting));
        let places = self.places.iter_mut().take(count).filter(|place| ends(place));
        wakers.extend(places.filter_map(|place| place.waker.take()));
        self.waiting -= wakers.len();
        self.drop_ended();
        wakers
    }

    /// Ends the wait of one who gives up.
    fn leave(&mut self, number: u64) -> Option<Waker> {
        let waker = self.waker(number)?.take();
        self.waiting -= 1;
        self.drop_ended();
        waker
    }

    fn drop_ended(&mut self) {
        while self.places.pop_front_if(|place| place.waker.is_none()).is_some() {
            self.first += 1;
        }
    }
}

/// Who waited when a sync was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Those whom it covered.
    pub(crate) released: usize,
    /// Those who came while it ran.
    pub(crate) waiting: usize,
}

/// How long the flusher lets the next group gather, from what the last sync did.
///
/// Those whom one sync has released come back one by one. If the first of them began the next sync, most would wait for the one
/// after it, in two half-empty groups a round; and once there are two groups, each would begin as the other ends. A lone
/// appender is never kept waiting, for a group of one is complete at once.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// As many as were released may come back to those who wait already.
    wanted: usize,
    /// How many waited at the last look.
    seen: usize,
    /// Looks that are left.
    looks: u32,
    /// Time between two looks.
    pub(crate) step: Duration,
}

impl Gathering {
    /// All looks together last for half of a sync: a group that half of the appenders missed would cost them a whole one.
    const LOOKS: u32 = 4;

    /// After a sync that took a time; `None` if nobody but a lone appender may come.
    pub(crate) fn after(sync: Duration, group: Group) -> Option<Gathering> {
        let wanted = group.released + group.waiting;
        let step = sync / (2 * Gathering::LOOKS);
        (wanted > 1).then_some(Gathering { wanted, seen: 0, looks: Gathering::LOOKS, step })
    }

    /// Whether the group may still grow after one more step, when so many wait now.
    fn goes_on(&mut self, waiting: usize) -> bool {
        self.looks = self.looks.saturating_sub(1);
        // Some came, and then no more: the others have something else to do.
        let ebbed = waiting > 0 && waiting == self.seen;
        self.seen = waiting;
        waiting < self.wanted && self.looks > 0 && !ebbed
    }
}

impl Flush {
    pub(crate) fn new(flushed: u64, config: &StoreConfig, bells: Arc<Bells>) -> Flush {
        Flush {
            flushed: AtomicU64::new(flushed),
            waiters: Mutex::default(),
            timeout: config.sync_flush_timeout,
            bells,
            wake: Arc::clone(&config.wake),
        }
    }

    fn wake(&self, wakers: Vec<Waker>) {
        if !wakers.is_empty() {
            self.wake.wake(wakers);
        }
    }

    /// The log is on the disk up to here.
    pub(crate) fn flushed(&self) -> u64 {
        self.flushed.load(Ordering::Acquire)
    }

    /// Whether anybody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiters.lock().waiting > 0
    }

    /// Notes a successful sync up to `end` and ends all waits that it covers.
    pub(crate) fn advance(&self, end: u64) -> Group {
        self.flushed.fetch_max(end, Ordering::AcqRel);
        let (done, waiting) = {
            let mut waiters = self.waiters.lock();
            (waiters.end(usize::MAX, |waiter| waiter.end <= end), waiters.waiting)
        };
        let released = done.len();
        self.wake(done);
        Group { released, waiting }
    }

    /// Lets the flusher pause for `limit`, or until so many wait; `false` if the whole time passed.
    pub(crate) fn pause(&self, wanted: usize, limit: Duration) -> bool {
        {
            let mut waiters = self.waiters.lock();
            if waiters.waiting >= wanted {
                return true;
            }
            waiters.wanted = wanted;
        }
        let rung = self.bells.pause(Worker::Flush, limit);
        self.waiters.lock().wanted = 0;
        rung
    }

    /// Lets the flusher wait while a group gathers, unless it is `over` for another reason; returns how many wait then.
    pub(crate) fn gather(&self, mut gathering: Gathering, over: impl Fn() -> bool) -> usize {
        loop {
            let rung = self.pause(gathering.wanted, gathering.step);
            let waiting = self.waiters.lock().waiting;
            if over() || waiting >= gathering.wanted || (!rung && !gathering.goes_on(waiting)) {
                return waiting;
            }
        }
    }

    /// Ends all waits, also future ones, that are not covered yet.
    pub(crate) fn give_up(&self) {
        let waiting = {
            let mut waiters = self.waiters.lock();
            waiters.over = true;
            waiters.end(usize::MAX, |_| true)
        };
        self.wake(waiting);
    }

    /// Ends waits whose time is over; returns how long to wait before the next look, `None` if nobody waits.
    pub(crate) fn expire(&self) -> Option<Duration> {
        let now = Instant::now();
        let (late, next) = {
            let mut waiters = self.waiters.lock();
            let late = waiters.places.partition_point(|waiter| waiter.deadline <= now);
            let late = waiters.end(late, |_| true);
            (late, waiters.places.front().map(|waiter| waiter.deadline.saturating_duration_since(now)))
        };
        self.wake(late);
        next
    }

    /// A wait for `end` to be on the disk.
    pub(crate) fn wait(self: &Arc<Self>, end: u64) -> Flushed {
        Flushed { flush: Arc::clone(self), end, place: None }
    }

    /// Takes a place in the list; `Err` if there is nothing to wait for.
    fn register(&self, end: u64, waker: &Waker) -> Result<u64, FlushStatus> {
        let (place, first, enough);
        {
            let mut waiters = self.waiters.lock();
            if end <= self.flushed() {
                return Err(FlushStatus::Flushed);
            }
            if waiters.over {
                return Err(FlushStatus::Failed);
            }
            let deadline = Instant::now() + self.timeout;
            place = waiters.add(Waiter { end, deadline, waker: Some(waker.clone()) });
            first = waiters.waiting == 1;
            enough = waiters.waiting == waiters.wanted;
        }
        if enough {
            self.bells.hurry(Worker::Flush);
        }
        if first {
            self.bells.ring(Worker::Timeouts as u32);
        }
        Ok(place)
    }

    /// Renews the waker of a place; `Err` if its wait is over.
    fn renew(&self, place: u64, end: u64, waker: &Waker) -> Result<(), FlushStatus> {
        let mut waiters = self.waiters.lock();
        if let Some(known) = waiters.waker(place) {
            let old = known.replace(waker.clone());
            drop(waiters);
            drop(old);
            return Ok(());
        }
        let flushed = end <= self.flushed();
        Err(if flushed {
            FlushStatus::Flushed
        } else if waiters.over {
            FlushStatus::Failed
        } else {
            FlushStatus::Timeout
        })
    }
}

/// A wait for the disk; any executor can drive it. Dropping it ends the wait and nothing else.
#[derive(Debug)]
#[must_use = "nothing waits unless this is awaited"]
pub struct Flushed {
    flush: Arc<Flush>,
    end: u64,
    /// Its place in the list, once it was polled.
    place: Option<u64>,
}

impl Future for Flushed {
    type Output = FlushStatus;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<FlushStatus> {
        if self.end <= self.flush.flushed() {
            return Poll::Ready(FlushStatus::Flushed);
        }
        let waits = match self.place {
            Some(place) => self.flush.renew(place, self.end, context.waker()),
            None => self.flush.register(self.end, context.waker()).map(|place| self.place = Some(place)),
        };
        match waits {
            Ok(()) => Poll::Pending,
            Err(status) => Poll::Ready(status),
        }
    }
}

impl Drop for Flushed {
    fn drop(&mut self) {
        // Once flushed, it is off the list or about to be taken off.
        if let Some(place) = self.place
            && self.end > self.flush.flushed()
        {
            let waker = self.flush.waiters.lock().leave(place);
            // Without the lock: it may be the last that holds a task, with other waits in it.
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    fn flush(timeout: Duration) -> Arc<Flush> {
        let config = StoreConfig { sync_flush_timeout: timeout, ..StoreConfig::at("/nowhere") };
        Arc::new(Flush::new(0, &config, Arc::default()))
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

    #[test]
    fn waits_that_end_in_any_order_leave_their_places() {
        let flush = flush(Duration::from_secs(60));
        let mut waits: Vec<_> = [30, 10, 20, 40].map(|end| Some(Box::pin(flush.wait(end)))).into();
        let look = |wait: &mut Option<Pin<Box<Flushed>>>| poll(wait.as_mut().unwrap().as_mut());
        waits.iter_mut().for_each(|wait| assert_eq!(look(wait), Poll::Pending));
        // The second and third are over, behind the first, which goes on.
        assert_eq!(flush.advance(20), Group { released: 2, waiting: 2 });
        assert_eq!(flush.waiters.lock().places.len(), 4);
        assert_eq!(look(&mut waits[0]), Poll::Pending);
        assert_eq!(look(&mut waits[2]), Poll::Ready(FlushStatus::Flushed));
        // The first gives up, and its place goes with those behind it.
        waits[0] = None;
        assert_eq!(flush.waiters.lock().places.len(), 1);
        assert_eq!(look(&mut waits[3]), Poll::Pending);
        let mut later = pin!(flush.wait(50));
        assert_eq!(poll(later.as_mut()), Poll::Pending);
        waits[3] = None;
        assert_eq!(flush.advance(50), Group { released: 1, waiting: 0 });
        assert!(flush.waiters.lock().places.is_empty());
        assert_eq!(poll(later.as_mut()), Poll::Ready(FlushStatus::Flushed));
    }

    /// A time that no test waits for.
    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_sync_waits_for_those_whom_the_last_one_released() {
        let flush = flush(Duration::from_secs(60));
        let mut waits: Vec<_> = (1..=3).map(|end| Box::pin(flush.wait(end))).collect();
        waits.iter_mut().for_each(|wait| assert_eq!(poll(wait.as_mut()), Poll::Pending));
        // One who came too late for it waits already.
        let mut late = pin!(flush.wait(7));
        assert_eq!(poll(late.as_mut()), Poll::Pending);
        let group = flush.advance(3);
        assert_eq!(group, Group { released: 3, waiting: 1 });
        let gathering = Gathering::after(NEVER, group).unwrap();
        let flusher = std::thread::spawn({
            let flush = Arc::clone(&flush);
            move || flush.gather(gathering, || false)
        });
        let mut waits: Vec<_> = (4..=6).map(|end| Box::pin(flush.wait(end))).collect();
        for wait in &mut waits {
            assert_eq!(poll(wait.as_mut()), Poll::Pending);
        }
        // The last one ends it; before that none does.
        assert_eq!(flusher.join().unwrap(), 4);
        assert_eq!(flush.advance(7).released, 4);
    }

    #[test]
    fn a_lone_appender_waits_for_nobody_and_a_stop_ends_any_gathering() {
        let lone = Group { released: 1, waiting: 0 };
        assert!(Gathering::after(NEVER, lone).is_none());
        assert!(Gathering::after(NEVER, Group { released: 0, ..lone }).is_none());
        let flush = flush(Duration::from_secs(60));
        let mut wait = pin!(flush.wait(1));
        assert_eq!(poll(wait.as_mut()), Poll::Pending);
        flush.bells.hurry(Worker::Flush);
        let two = Gathering::after(NEVER, Group { waiting: 1, ..lone }).unwrap();
        assert_eq!(flush.gather(two, || true), 1);
    }

    #[test]
    fn a_group_gathers_for_half_of_a_sync_at_most_and_not_after_its_last_has_come() {
        let sync = Duration::from_millis(80);
        let count = |looks: &[usize]| {
            let mut gathering = Gathering::after(sync, Group { released: 10, waiting: 0 }).unwrap();
            1 + looks.iter().take_while(|waiting| gathering.goes_on(**waiting)).count()
        };
        // Nobody comes; some come again and again; all come; some come and then no more.
        for (looks, steps) in [(&[0; 9], 4), (&[1, 2, 3, 4, 5, 6, 7, 8, 9], 4)] {
            assert_eq!(count(looks), steps, "{looks:?}");
        }
        assert_eq!(count(&[3, 10, 10]), 2);
        assert_eq!(count(&[0, 4, 4, 9]), 3);
        let gathering = Gathering::after(sync, Group { released: 5, waiting: 5 }).unwrap();
        assert_eq!(gathering.step * Gathering::LOOKS, sync / 2);
    }
}
