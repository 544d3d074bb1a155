//! What went through the broker: totals and rates (`BrokerStats`, `StoreStatsService`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mq_protocol::body::{BrokerStatsData, BrokerStatsItem};
use parking_lot::{Mutex, RwLock};

use super::now_millis;

/// Time between two samples of all counters.
pub(crate) const SAMPLE_PERIOD: Duration = Duration::from_secs(10);
/// Which samples are kept: every so many, and how many of these. A minute, an hour and a day, as Apache's `StatsItem`.
const RINGS: [(u64, usize); 3] = [(1, 7), (60, 7), (360, 25)];
const DAY_MILLIS: i64 = 86_400_000;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A counter that knows its rate.
#[derive(Debug)]
pub(crate) struct Meter {
    total: AtomicU64,
    samples: Mutex<Samples>,
}

/// Values that a counter had.
#[derive(Debug)]
struct Samples {
    first: (Instant, u64),
    rings: [VecDeque<(Instant, u64)>; RINGS.len()],
    taken: u64,
}

impl Default for Meter {
    fn default() -> Meter {
        let samples = Samples { first: (Instant::now(), 0), rings: Default::default(), taken: 0 };
        Meter { total: AtomicU64::new(0), samples: Mutex::new(samples) }
    }
}

impl Meter {
    pub(crate) fn add(&self, count: u64) {
        self.total.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Sum over the last `window`, or over the time since the start if that is shorter, and the seconds it is over.
    fn recent(&self, window: Duration) -> (u64, f64) {
        let total = self.total();
        let samples = self.samples.lock();
        let mut all = samples.rings.iter().flat_map(|ring| ring.iter().rev());
        let old = all.find(|(at, _)| at.elapsed() >= window).or_else(|| samples.oldest());
        let (at, count) = old.unwrap_or(&samples.first);
        (total.saturating_sub(*count), at.elapsed().as_secs_f64())
    }

    /// Average per second over the last `window`, or over the time since the start if that is shorter.
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(crate) fn rate(&self, window: Duration) -> f64 {
        let (sum, seconds) = self.recent(window);
        if seconds > 0.0 { sum as f64 / seconds } else { 0.0 }
    }

    fn sample(&self) {
        let sample = (Instant::now(), self.total());
        let mut samples = self.samples.lock();
        samples.taken += 1;
        let taken = samples.taken;
        for (ring, (every, keep)) in samples.rings.iter_mut().zip(RINGS) {
            if taken.is_multiple_of(every) {
                if ring.len() == keep {
                    ring.pop_front();
                }
                ring.push_back(sample);
            }
        }
    }
}

impl Samples {
    /// The oldest sample, if the start is not remembered any more.
    fn oldest(&self) -> Option<&(Instant, u64)> {
        let ring = self.rings.last()?;
        let (_, keep) = RINGS.last()?;
        ring.front().filter(|_| ring.len() == *keep)
    }
}

/// Messages that went somewhere (`StatsItem`).
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    messages: Meter,
    bytes: Meter,
    /// How many requests they came in.
    times: Meter,
}

impl Traffic {
    fn add(&self, messages: u64, bytes: u64) {
        self.messages.add(messages);
        self.bytes.add(bytes);
        self.times.add(1);
    }

    fn sample(&self) {
        for meter in [&self.messages, &self.bytes, &self.times] {
            meter.sample();
        }
    }

    /// What VIEW_BROKER_STATS_DATA answers, of messages or of bytes.
    #[allow(clippy::cast_precision_loss, reason = "an average for people")]
    fn view(&self, unit: Unit) -> BrokerStatsData {
        let meter = match unit {
            Unit::Messages => &self.messages,
            Unit::Bytes => &self.bytes,
        };
        let item = |window| {
            let (sum, seconds) = meter.recent(window);
            let (times, _) = self.times.recent(window);
            BrokerStatsItem {
                sum: i64::try_from(sum).unwrap_or(i64::MAX),
                tps: if seconds > 0.0 { sum as f64 / seconds } else { 0.0 },
                avgpt: if times > 0 { sum as f64 / times as f64 } else { 0.0 },
            }
        };
        BrokerStatsData { stats_minute: item(MINUTE), stats_hour: item(HOUR), stats_day: item(DAY) }
    }
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Messages,
    Bytes,
}

/// Traffic of things that have names.
type Named = RwLock<HashMap<String, Arc<Traffic>>>;

fn named(traffic: &Named, name: &str, messages: u64, bytes: u64) {
    if let Some(traffic) = traffic.read().get(name) {
        traffic.add(messages, bytes);
        return;
    }
    traffic.write().entry(name.to_owned()).or_default().add(messages, bytes);
}

/// All counters of a broker.
#[derive(Debug)]
pub(crate) struct Stats {
    /// Start of the broker in milliseconds since the epoch.
    pub(crate) boot: i64,
    /// Messages stored for clients.
    put: Traffic,
    pub(crate) put_failed: Meter,
    /// Longest time of a send in the broker, in milliseconds.
    pub(crate) put_max_millis: AtomicU64,
    /// Messages handed to consumers.
    got: Traffic,
    /// Pulls that found messages, and those that did not.
    pub(crate) found: Meter,
    pub(crate) missed: Meter,
    topic_put: Named,
    /// By `topic@group`.
    group_got: Named,
    /// Messages that came back, by `topic@group`.
    sent_back: Named,
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
            put: Traffic::default(),
            put_failed: Meter::default(),
            put_max_millis: AtomicU64::new(0),
            got: Traffic::default(),
            found: Meter::default(),
            missed: Meter::default(),
            topic_put: Named::default(),
            group_got: Named::default(),
            sent_back: Named::default(),
            days: Mutex::new(Days { day: boot / DAY_MILLIS, ..Days::default() }),
        }
    }

    pub(crate) fn stored(&self, topic: &str, messages: u64, bytes: u64) {
        self.put.add(messages, bytes);
        named(&self.topic_put, topic, messages, bytes);
    }

    pub(crate) fn put_took(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        if millis > self.put_max_millis.load(Ordering::Relaxed) {
            self.put_max_millis.fetch_max(millis, Ordering::Relaxed);
        }
    }

    pub(crate) fn handed_out(
        &self,
        topic: &str,
        group: &str,
        messages: u64,
        bytes: u64,
        scratch: &mut String,
    ) {
        self.found.add(1);
        self.got.add(messages, bytes);
        named(&self.group_got, topic_at_group(topic, group, scratch), messages, bytes);
    }

    /// A message of `topic` came back from a group.
    pub(crate) fn came_back(&self, topic: &str, group: &str, bytes: u64, scratch: &mut String) {
        named(&self.sent_back, topic_at_group(topic, group, scratch), 1, bytes);
    }

    /// Messages stored for clients, and their bytes.
    pub(crate) fn puts(&self) -> (&Meter, &Meter) {
        (&self.put.messages, &self.put.bytes)
    }

    /// Messages handed to consumers.
    pub(crate) fn gets(&self) -> &Meter {
        &self.got.messages
    }

    /// A counter by Apache's name and key (`BrokerStatsManager.getStatsItem`); `None` if nothing was counted there.
    pub(crate) fn view(&self, cluster: &str, name: &str, key: &str) -> Option<BrokerStatsData> {
        let of = |named: &Named, unit| named.read().get(key).map(|traffic| traffic.view(unit));
        match name {
            "TOPIC_PUT_NUMS" => of(&self.topic_put, Unit::Messages),
            "TOPIC_PUT_SIZE" => of(&self.topic_put, Unit::Bytes),
            "GROUP_GET_NUMS" => of(&self.group_got, Unit::Messages),
            "GROUP_GET_SIZE" => of(&self.group_got, Unit::Bytes),
            "SNDBCK_PUT_NUMS" => of(&self.sent_back, Unit::Messages),
            "BROKER_PUT_NUMS" if key == cluster => Some(self.put.view(Unit::Messages)),
            "BROKER_GET_NUMS" if key == cluster => Some(self.got.view(Unit::Messages)),
            _ => None,
        }
    }

    /// Messages per second into a topic over the last minute.
    pub(crate) fn topic_put_rate(&self, topic: &str) -> f64 {
        let meter = self.topic_put.read().get(topic).cloned();
        meter.map_or(0.0, |traffic| traffic.messages.rate(MINUTE))
    }

    /// Messages per second of a topic to a group over the last minute.
    pub(crate) fn group_get_rate(&self, topic: &str, group: &str) -> f64 {
        let meter = self.group_got.read().get(&format!("{topic}@{group}")).cloned();
        meter.map_or(0.0, |traffic| traffic.messages.rate(MINUTE))
    }

    /// Forgets the counters of a topic.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.topic_put.write().remove(topic);
        let of_topic = |key: &str| key.split_once('@').is_some_and(|(name, _)| name == topic);
        self.group_got.write().retain(|key, _| !of_topic(key));
        self.sent_back.write().retain(|key, _| !of_topic(key));
    }

    /// Forgets the counters of a group.
    pub(crate) fn forget_group(&self, group: &str) {
        let of_group = |key: &str| key.split_once('@').is_some_and(|(_, name)| name == group);
        self.group_got.write().retain(|key, _| !of_group(key));
        self.sent_back.write().retain(|key, _| !of_group(key));
    }

    pub(crate) fn days(&self) -> Days {
        *self.days.lock()
    }

    /// Takes one sample of everything; called each [`SAMPLE_PERIOD`].
    pub(crate) fn sample(&self) {
        for meter in [&self.put_failed, &self.found, &self.missed] {
            meter.sample();
        }
        for traffic in [&self.put, &self.got] {
            traffic.sample();
        }
        for named in [&self.topic_put, &self.group_got, &self.sent_back] {
            let all: Vec<Arc<Traffic>> = named.read().values().cloned().collect();
            for traffic in all {
                traffic.sample();
            }
        }
        let mut days = self.days.lock();
        let today = now_millis() / DAY_MILLIS;
        if days.day != today {
            *days = Days {
                day: today,
                put_yesterday: days.put_today,
                put_today: self.put.messages.total(),
                got_yesterday: days.got_today,
                got_today: self.got.messages.total(),
            };
        }
    }
}

fn topic_at_group<'a>(topic: &str, group: &str, scratch: &'a mut String) -> &'a str {
    scratch.clear();
    scratch.push_str(topic);
    scratch.push('@');
    scratch.push_str(group);
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_apaches_names() {
        let stats = Stats::new();
        let mut scratch = String::new();
        stats.stored("T", 3, 300);
        stats.stored("T", 1, 100);
        stats.handed_out("T", "g", 2, 200, &mut scratch);
        stats.came_back("T", "g", 100, &mut scratch);
        let view =
            |name, key| stats.view("C", name, key).map(|data| (data.stats_day.sum, data.stats_day.avgpt));
        assert_eq!(view("TOPIC_PUT_NUMS", "T"), Some((4, 2.0)));
        assert_eq!(view("TOPIC_PUT_SIZE", "T"), Some((400, 200.0)));
        assert_eq!(view("GROUP_GET_NUMS", "T@g"), Some((2, 2.0)));
        assert_eq!(view("SNDBCK_PUT_NUMS", "T@g"), Some((1, 1.0)));
        assert_eq!(view("BROKER_PUT_NUMS", "C"), Some((4, 2.0)));
        assert_eq!(view("BROKER_GET_NUMS", "C"), Some((2, 2.0)));
        assert_eq!(view("BROKER_GET_NUMS", "other"), None);
        assert_eq!(view("QUEUE_PUT_NUMS", "T@0"), None);
        stats.forget_group("g");
        assert_eq!(view("GROUP_GET_NUMS", "T@g"), None);
        stats.forget_topic("T");
        assert_eq!(view("TOPIC_PUT_NUMS", "T"), None);
    }

    #[test]
    fn samples_for_a_day_and_for_minutes_are_bounded() {
        let meter = Meter::default();
        meter.add(5);
        assert_eq!(meter.recent(DAY).0, 5);
        for _ in 0..20_000 {
            meter.add(1);
            meter.sample();
        }
        assert_eq!(meter.samples.lock().rings.each_ref().map(VecDeque::len), [7, 7, 25]);
        assert_eq!(meter.recent(DAY).0, 20_005 - meter.samples.lock().rings[2][0].1);
    }
}
