//! Limits of what the listener is given: messages a second, and messages that calls hold at a time.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

/// Unused time that is made up for: timers are coarser than fast rates need.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Both limits of one consumer.
pub(super) struct Throttle {
    /// `None`: any number a second.
    pace: Option<Pace>,
    /// `None`: any number at a time.
    in_flight: Option<Semaphore>,
    max_in_flight: usize,
}

struct Pace {
    per_second: u32,
    /// When the next message may go.
    next: Mutex<Instant>,
}

impl Throttle {
    /// 0 stands for no limit.
    pub(super) fn new(per_second: u32, max_in_flight: usize) -> Throttle {
        let pace = (per_second > 0).then(|| Pace { per_second, next: Mutex::new(Instant::now()) });
        let in_flight = (max_in_flight > 0).then(|| Semaphore::new(max_in_flight));
        let max_in_flight = if max_in_flight == 0 { usize::MAX } else { max_in_flight };
        Throttle { pace, in_flight, max_in_flight }
    }

    /// The largest batch that can pass.
    pub(super) fn largest(&self) -> usize {
        self.max_in_flight
    }

    /// Waits until so many messages may go, at most [`Throttle::largest`]. The permit is kept while they are held.
    pub(super) async fn admit(&self, messages: usize) -> Option<SemaphorePermit<'_>> {
        let wanted = u32::try_from(messages).unwrap_or(u32::MAX);
        let permit = match &self.in_flight {
            // The semaphore is never closed.
            Some(in_flight) => in_flight.acquire_many(wanted).await.ok(),
            None => None,
        };
        if let Some(pace) = &self.pace {
            let at = {
                let mut next = pace.next.lock();
                let now = Instant::now();
                let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
                let at = (*next).max(earliest);
                *next = at + Duration::from_secs(wanted.into()) / pace.per_second;
                at
            };
            sleep_until(at).await;
        }
        permit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pace_is_kept_and_unused_time_is_not_saved_up() {
        let throttle = Throttle::new(100, 0);
        for pause in [0, 3600] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let started = Instant::now();
            for _ in 0..50 {
                throttle.admit(4).await;
            }
            let took = started.elapsed();
            assert!((1850..=2000).contains(&took.as_millis()), "{took:?}");
        }
    }

    #[tokio::test]
    async fn no_more_than_the_limit_are_held() {
        let throttle = Throttle::new(0, 3);
        assert_eq!(throttle.largest(), 3);
        let two = throttle.admit(2).await;
        let one = throttle.admit(1).await;
        assert!(futures_util::FutureExt::now_or_never(throttle.admit(1)).is_none());
        drop(one);
        assert!(futures_util::FutureExt::now_or_never(throttle.admit(1)).is_some());
        drop(two);
        assert_eq!(Throttle::new(0, 0).largest(), usize::MAX);
    }
}
