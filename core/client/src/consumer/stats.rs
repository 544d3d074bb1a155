//! Counters of one subscription, from which the rates of the last minute follow.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mq_protocol::body::ConsumeStatus;
use parking_lot::Mutex;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Stats {
    pulls: AtomicU64,
    pulled: AtomicU64,
    pull_micros: AtomicU64,
    calls: AtomicU64,
    consumed: AtomicU64,
    failed: AtomicU64,
    consume_micros: AtomicU64,
    samples: Mutex<VecDeque<(Instant, Sample)>>,
}

#[derive(Clone, Copy, Default)]
struct Sample {
    pulls: u64,
    pulled: u64,
    pull_micros: u64,
    calls: u64,
    consumed: u64,
    failed: u64,
    consume_micros: u64,
}

impl Stats {
    pub(crate) fn pulled(&self, messages: usize, took: Duration) {
        add(&self.pulls, 1);
        add(&self.pulled, messages as u64);
        add(&self.pull_micros, micros(took));
    }

    pub(crate) fn consumed(&self, messages: usize, success: bool, took: Duration) {
        add(&self.calls, 1);
        add(if success { &self.consumed } else { &self.failed }, messages as u64);
        add(&self.consume_micros, micros(took));
    }

    fn now(&self) -> Sample {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Sample {
            pulls: get(&self.pulls),
            pulled: get(&self.pulled),
            pull_micros: get(&self.pull_micros),
            calls: get(&self.calls),
            consumed: get(&self.consumed),
            failed: get(&self.failed),
            consume_micros: get(&self.consume_micros),
        }
    }

    /// Keeps the counters of this moment as a beginning for later rates.
    pub(crate) fn sample(&self) {
        let now = Instant::now();
        let mut samples = self.samples.lock();
        samples.push_back((now, self.now()));
        // The oldest sample kept is the youngest one that is older than the window.
        while samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            samples.pop_front();
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "rates for people")]
    pub(crate) fn status(&self) -> ConsumeStatus {
        let samples = self.samples.lock();
        let Some((since, old)) = samples.front() else { return ConsumeStatus::default() };
        let new = self.now();
        let seconds = since.elapsed().as_secs_f64().max(0.001);
        let rate = |new: u64, old: u64| (new - old) as f64 / seconds;
        let mean =
            |micros: u64, count: u64| if count == 0 { 0.0 } else { micros as f64 / count as f64 / 1000.0 };
        ConsumeStatus {
            pull_rt: mean(new.pull_micros - old.pull_micros, new.pulls - old.pulls),
            pull_tps: rate(new.pulled, old.pulled),
            consume_rt: mean(new.consume_micros - old.consume_micros, new.calls - old.calls),
            consume_ok_tps: rate(new.consumed, old.consumed),
            consume_failed_tps: rate(new.failed, old.failed),
            consume_failed_msgs: i64::try_from(new.failed - old.failed).unwrap_or(i64::MAX),
        }
    }
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rates_are_those_of_the_last_minute() {
        let stats = Stats::default();
        stats.sample();
        for _ in 0..30 {
            tokio::time::advance(Duration::from_secs(5)).await;
            stats.pulled(10, Duration::from_millis(4));
            stats.consumed(5, true, Duration::from_millis(2));
            stats.consumed(5, false, Duration::from_millis(4));
            stats.sample();
        }
        assert!(stats.samples.lock().len() <= 14);
        let status = stats.status();
        assert!((status.pull_tps - 2.0).abs() < 0.01 && (status.consume_ok_tps - 1.0).abs() < 0.01);
        assert!((status.pull_rt - 4.0).abs() < 0.01 && (status.consume_rt - 3.0).abs() < 0.01);
        assert_eq!(status.consume_failed_msgs, 65);
    }
}
