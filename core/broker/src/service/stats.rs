//! What went through the broker: totals and rates (`BrokerStats`, `StoreStatsService`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::now_millis;

/// Time between two samples of all counters.
pub(crate) const SAMPLE_PERIOD: Duration = Duration::from_secs(10);
/// Samples kept: ten minutes.
const SAMPLES: usize = 61;
const DAY_MILLIS: i64 = 86_400_000;

/// A counter that knows its rate.
#[derive(Debug)]
pub(crate) struct Meter {
    total: AtomicU64,
    samples: Mutex<VecDeque<(Instant, u64)>>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { total: AtomicU64::new(0), samples: Mutex::new(VecDeque::from([(Instant::now(), 0)])) }
    }
}

impl Meter {
    pub(crate) fn add(&self, count: u64) {
        self.total.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Average per second over the last `window`, or over the time since the start if that is shorter.
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(crate) fn rate(&self, window: Duration) -> f64 {
        let total = self.total();
        let samples = self.samples.lock();
        let old = samples.iter().rev().find(|(at, _)| at.elapsed() >= window).or(samples.front());
        old.map_or(0.0, |(at, count)| {
            let seconds = at.elapsed().as_secs_f64();
            if seconds > 0.0 { total.saturating_sub(*count) as f64 / seconds } else { 0.0 }
        })
    }

    fn sample(&self) {
        let mut samples = self.samples.lock();
        if samples.len() == SAMPLES {
            samples.pop_front();
        }
        samples.push_back((Instant::now(), self.total()));
    }
}

/// Meters of things that have names.
type Named = RwLock<HashMap<String, Arc<Meter>>>;

fn named(meters: &Named, name: &str, count: u64) {
    if let Some(meter) = meters.read().get(name) {
        meter.add(count);
        return;
    }
    meters.write().entry(name.to_owned()).or_default().add(count);
}

/// All counters of a broker.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Start of the broker in milliseconds since the epoch.
    pub(crate) boot: i64,
    /// Messages stored for clients, and their bytes.
    pub(crate) put: Meter,
    pub(crate) put_bytes: Meter,
    pub(crate) put_failed: Meter,
    /// Longest time of a send in the broker, in milliseconds.
    pub(crate) put_max_millis: AtomicU64,
    /// Messages handed to consumers.
    pub(crate) got: Meter,
    /// Pulls that found messages, and those that did not.
    pub(crate) found: Meter,
    pub(crate) missed: Meter,
    topic_put: Named,
    /// By `topic@group`.
    group_got: Named,
    days: Mutex<Days>,
}

/// Totals at the last two midnights (UTC).
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Days {
    day: i64,
    pub(crate) put_yesterday: u64,
    pub(crate) put_today: u64,
    pub(crate) got_yesterday: u64,
    pub(crate) got_today: u64,
}

impl Stats {
    pub(crate) fn new() -> Stats {
        let boot = now_millis();
        Stats {
            boot,
            put: Meter::default(),
            put_bytes: Meter::default(),
            put_failed: Meter::default(),
            put_max_millis: AtomicU64::new(0),
            got: Meter::default(),
            found: Meter::default(),
            missed: Meter::default(),
            topic_put: Named::default(),
            group_got: Named::default(),
            days: Mutex::new(Days { day: boot / DAY_MILLIS, ..Days::default() }),
        }
    }

    pub(crate) fn stored(&self, topic: &str, messages: u64, bytes: u64) {
        self.put.add(messages);
        self.put_bytes.add(bytes);
        named(&self.topic_put, topic, messages);
    }

    pub(crate) fn put_took(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        if millis > self.put_max_millis.load(Ordering::Relaxed) {
            self.put_max_millis.fetch_max(millis, Ordering::Relaxed);
        }
    }

    pub(crate) fn handed_out(&self, topic: &str, group: &str, messages: u64, scratch: &mut String) {
        self.found.add(1);
        self.got.add(messages);
        scratch.clear();
        scratch.push_str(topic);
        scratch.push('@');
        scratch.push_str(group);
        named(&self.group_got, scratch, messages);
    }

    /// Messages per second into a topic over the last minute.
    pub(crate) fn topic_put_rate(&self, topic: &str) -> f64 {
        let meter = self.topic_put.read().get(topic).cloned();
        meter.map_or(0.0, |meter| meter.rate(Duration::from_secs(60)))
    }

    /// Messages per second of a topic to a group over the last minute.
    pub(crate) fn group_get_rate(&self, topic: &str, group: &str) -> f64 {
        let meter = self.group_got.read().get(&format!("{topic}@{group}")).cloned();
        meter.map_or(0.0, |meter| meter.rate(Duration::from_secs(60)))
    }

    /// Forgets the counters of a topic.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.topic_put.write().remove(topic);
        let of_topic = |key: &str| key.split_once('@').is_some_and(|(name, _)| name == topic);
        self.group_got.write().retain(|key, _| !of_topic(key));
    }

    pub(crate) fn days(&self) -> Days {
        *self.days.lock()
    }

    /// Takes one sample of everything; called each [`SAMPLE_PERIOD`].
    pub(crate) fn sample(&self) {
        for meter in [&self.put, &self.put_bytes, &self.put_failed, &self.got, &self.found, &self.missed] {
            meter.sample();
        }
        for meters in [&self.topic_put, &self.group_got] {
            let all: Vec<Arc<Meter>> = meters.read().values().cloned().collect();
            for meter in all {
                meter.sample();
            }
        }
        let mut days = self.days.lock();
        let today = now_millis() / DAY_MILLIS;
        if days.day != today {
            *days = Days {
                day: today,
                put_yesterday: days.put_today,
                put_today: self.put.total(),
                got_yesterday: days.got_today,
                got_today: self.got.total(),
            };
        }
    }
}
