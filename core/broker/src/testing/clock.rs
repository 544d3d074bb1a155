//! The broker's clock: the machine's, until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mq_store::{Clock, SystemClock};
use tokio::sync::watch;

/// Farthest that a clock can be moved forward in all, in milliseconds: a hundred years.
const FARTHEST: u64 = 100 * 365 * 86_400_000;

/// The clock of a broker, which can be moved.
///
/// It runs as the machine's clock does, at a distance that [`TestClock::advance`] and [`TestClock::set_millis`] change.
/// Delayed messages and retries, the times that messages carry, the age at which old files are deleted, the silence
/// after which clients count as gone and the life of queue locks all follow it; whoever waits for one of these is woken
/// by a move. Waiting pulls and the time limits of connections and calls do not follow it, since the other side's clock
/// is not moved. A client that still answers is not taken for gone because of a move.
///
/// Clones are the same clock. All methods may be called from any thread and return at once.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Milliseconds by which it is ahead of the machine's clock.
    ahead: AtomicI64,
    /// Milliseconds by which it was moved forward, all moves together.
    passed: AtomicU64,
    moved: watch::Sender<()>,
}

impl Default for TestClock {
    fn default() -> TestClock {
        TestClock(Arc::new(Inner {
            ahead: AtomicI64::new(0),
            passed: AtomicU64::new(0),
            moved: watch::channel(()).0,
        }))
    }
}

impl TestClock {
    /// Milliseconds since the epoch.
    #[must_use]
    pub fn now_millis(&self) -> i64 {
        SystemClock.now_millis().saturating_add(self.0.ahead.load(Ordering::SeqCst))
    }

    /// Lets time pass at once, rounded up to whole milliseconds. More than a hundred years in all are not counted.
    pub fn advance(&self, time: Duration) {
        let millis = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(FARTHEST).min(FARTHEST);
        self.shift(i64::try_from(millis).unwrap_or(i64::MAX));
    }

    /// Sets the time in milliseconds since the epoch, forward or back. Times that messages carry never go back, and what
    /// has expired stays so.
    pub fn set_millis(&self, millis: i64) {
        self.shift(millis.saturating_sub(self.now_millis()));
    }

    fn shift(&self, millis: i64) {
        let add = |ahead: i64| Some(ahead.saturating_add(millis));
        // Neither closure ever gives up.
        let _ = self.0.ahead.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
        if let Ok(forward) = u64::try_from(millis) {
            let pass = |passed: u64| Some(passed.saturating_add(forward).min(FARTHEST));
            let _ = self.0.passed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, pass);
        }
        self.0.moved.send_replace(());
    }

    /// For measuring how long something lasts: never goes back.
    pub(crate) fn instant(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.0.passed.load(Ordering::Relaxed))
    }

    /// Whether it was ever moved forward, so that silence need not mean that somebody is gone.
    pub(crate) fn has_jumped(&self) -> bool {
        self.0.passed.load(Ordering::Relaxed) > 0
    }

    /// Changes whenever the clock is moved.
    pub(crate) fn moves(&self) -> watch::Receiver<()> {
        self.0.moved.subscribe()
    }
}

impl Clock for TestClock {
    fn now_millis(&self) -> i64 {
        TestClock::now_millis(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_both_ways_but_time_spans_only_grow() {
        let clock = TestClock::default();
        let (start, began) = (clock.now_millis(), clock.instant());
        assert!(!clock.has_jumped());
        let moves = clock.moves();
        clock.advance(Duration::from_micros(3_600_000_000));
        assert!(clock.has_jumped() && moves.has_changed().unwrap());
        assert!(clock.now_millis() >= start + 3_600_000);
        assert!(clock.instant() - began >= Duration::from_secs(3600));
        clock.set_millis(1000);
        assert!(clock.now_millis() < 1000 + 60_000);
        assert!(clock.instant() - began >= Duration::from_secs(3600));
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        clock.set_millis(i64::MAX);
        assert!(clock.instant() > began);
    }
}
