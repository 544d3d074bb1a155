//! Power cuts at every kind of moment: thousands of histories, each of which follows from its seed.
//!
//! `MQ_POWER_LOSS_CASES` sets how many there are, `MQ_POWER_LOSS_SEED` repeats one. The threads of the store do not run;
//! a history does their work itself in an order of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[allow(unreachable_pub, reason = "shared with the tests outside the crate")]
#[path = "../tests/common/apache.rs"]
mod apache;

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use mq_protocol::message::{MessageRecord, NewRecord};
use parking_lot::Mutex;

use crate::fs::{Call, Random, SimulatedFiles};
use crate::{
    AppendError, Clock, Filter, FlushDisk, FlushStatus, Flushed, KeyQuery, ReadRequest, Store, StoreConfig,
};

const LOG: u64 = 16 << 10;
const QUEUE: u64 = 20 * 40;
const TOPICS: [&str; 2] = ["Orders", "%RETRY%G"];
const EIO: i32 = 5;

#[derive(Debug, Default)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A message that the store has taken.
#[derive(Debug)]
struct Taken {
    queue: (usize, i32),
    offset: i64,
    at: u64,
    end: u64,
    key: String,
    body: Vec<u8>,
}

/// What must be true of the store, whatever happens.
#[derive(Debug, Default)]
struct Model {
    taken: Vec<Taken>,
    /// Everything before this was said to be on the disk.
    safe: u64,
    /// Everything before this was said to outlive the process.
    stored: u64,
    /// Numbers given to keys.
    keys: u64,
    /// The states that the config file may have: the last one saved, and those that were tried later.
    saved: (u64, u64),
}

impl Model {
    fn next(&self, queue: (usize, i32)) -> i64 {
        self.taken.iter().rev().find(|taken| taken.queue == queue).map_or(0, |last| last.offset + 1)
    }
}

struct History {
    random: Random,
    files: SimulatedFiles,
    clock: Arc<TestClock>,
    config: StoreConfig,
    model: Model,
    /// Whether to tell what happens.
    told: bool,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}, no number")))
}

#[test]
fn nothing_that_was_acknowledged_is_lost() {
    if let Some(seed) = number("MQ_POWER_LOSS_SEED") {
        let history = History { told: true, ..History::new(seed) };
        history.run(seed);
        return;
    }
    let cases = number("MQ_POWER_LOSS_CASES").unwrap_or(500);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8)) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= cases || failed.lock().len() >= 5 {
                        return;
                    }
                    if std::panic::catch_unwind(|| History::new(seed).run(seed)).is_err() {
                        failed.lock().push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    let again = |seed| format!("MQ_POWER_LOSS_SEED={seed} cargo test -p mq-store --lib power_loss");
    let again: Vec<_> = failed.iter().map(again).collect();
    assert!(failed.is_empty(), "histories that end badly; each again:\n{}", again.join("\n"));
}

/// What a step of a history works on.
struct Running {
    store: Store,
    /// Waits that have not ended, with the end of what they wait for.
    waits: Vec<(u64, Pin<Box<Flushed>>)>,
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = Random::new(seed);
        let files = SimulatedFiles::new(random.number(), Path::new("/store"));
        files.set_write_back(random.percent(70));
        let clock = Arc::new(TestClock(AtomicI64::new(1_700_000_000_000)));
        let config = StoreConfig {
            commit_log_file_size: LOG,
            consume_queue_file_size: QUEUE,
            index_slots: 16,
            index_entries: 60,
            flush_disk: if random.percent(50) { FlushDisk::Sync } else { FlushDisk::Async },
            delete_when: Vec::new(),
            flush_consume_queue_interval: Duration::ZERO,
            delete_file_batch_max: 1,
            clock: clock.clone(),
            file_system: Arc::new(files.clone()),
            ..StoreConfig::at("/store")
        };
        History { random, files, clock, config, model: Model::default(), told: false }
    }

    fn run(mut self, seed: u64) {
        let rounds = 2 + self.random.below(5);
        let mut clean = Some(true);
        for _ in 0..rounds {
            let chance = self.random.below(3) * 15;
            let Some(store) = self.open(clean, chance) else {
                // A start that did not come far enough leaves a clean stop as it is.
                clean = clean.filter(|clean| !clean);
                continue;
            };
            self.files.allow();
            let calls = self.random.below(400) + 1;
            self.files.cut_after(if self.random.percent(85) { calls } else { 0 });
            if self.random.percent(10) {
                let part = ["commitlog", "consumequeue", "index", "checkpoint", "mq-recovery", "config"];
                let part = part[usize::try_from(self.random.below(6)).unwrap()];
                let call = if self.random.percent(80) { Call::Sync } else { Call::SyncDir };
                self.files.refuse(call, part, EIO, 1);
            }
            let mut running = Running { store, waits: Vec::new() };
            for _ in 0..self.random.below(250) {
                self.step(&mut running);
                self.settle(&mut running);
                if self.files.is_off() {
                    break;
                }
            }
            clean = self.stop(running);
        }
        let store = self.open(clean, 0).unwrap();
        assert_eq!(self.files.unreserved_write().unwrap(), None);
        store.close().unwrap();
        drop(store);
        if seed.is_multiple_of(8) {
            // Queues and index are what a rebuild from the log would make.
            let report = crate::check::StoppedStore::open(self.config.clone()).unwrap().check().unwrap();
            assert_eq!(report.findings, crate::check::Findings::default());
            self.compare_with_apache();
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            eprintln!("{}", what());
        }
    }

    /// Ends a round; returns whether the store was closed cleanly, `None` where closing failed on the way.
    fn stop(&mut self, running: Running) -> Option<bool> {
        assert_eq!(self.files.unreserved_write().unwrap(), None);
        let Running { store, .. } = running;
        self.tell(|| {
            let status = store.status();
            let (end, flushed, queued) = (status.max_physical_offset, status.flushed, status.queued);
            let (indexed, failure, off) = (status.indexed, status.failure, self.files.is_off());
            format!(
                "stop at {end}: flushed {flushed}, queued {queued}, indexed {indexed}, {failure:?}, off {off}"
            )
        });
        let mut clean = Some(false);
        match self.random.below(4) {
            0 => store.kill(),
            1 => {
                clean = store.close().is_ok().then_some(true);
                if clean.is_some() {
                    self.model.safe = self.model.taken.last().map_or(self.model.safe, |last| last.end);
                }
            }
            _ => {}
        }
        if self.random.percent(50) {
            self.tell(|| format!("power cut, clean {clean:?}"));
            self.files.cut().unwrap();
        }
        if clean != Some(true) {
            store.kill();
        }
        drop(store);
        clean
    }

    fn restart(&mut self) {
        self.files.restart().unwrap();
        // The machine has gone down, not the process alone.
        self.model.stored = 0;
    }

    /// Opens the store and compares it with the model; `None` if the power was cut meanwhile.
    fn open(&mut self, clean: Option<bool>, cut_chance: u64) -> Option<Store> {
        self.files.allow();
        if self.files.is_off() {
            self.restart();
        }
        self.files.cut_after(if self.random.percent(cut_chance) { self.random.below(150) + 1 } else { 0 });
        let opened = Store::recover(self.config.clone());
        if self.files.is_off() {
            drop(opened);
            self.restart();
            return None;
        }
        self.files.cut_after(0);
        let store = opened.unwrap_or_else(|error| panic!("it does not open: {error}"));
        let recovery = store.status().recovery;
        self.tell(|| format!("open: {recovery:?}, safe {}", self.model.safe));
        assert!(clean != Some(true) || recovery.clean, "a clean stop was forgotten");
        assert!(clean != Some(false) || !recovery.clean, "an unclean stop was forgotten");
        self.compare(&store);
        Some(store)
    }

    /// Whatever is there is right, and what must be there is.
    fn compare(&mut self, store: &Store) {
        let status = store.status();
        let (min, end) = (status.min_physical_offset, status.max_physical_offset);
        let Model { safe, stored, .. } = self.model;
        assert!(end >= safe, "the log ends at {end}, but was on the disk up to {safe}");
        assert!(end >= stored, "the log ends at {end}, but was in the file up to {stored}");
        self.model.taken.retain(|taken| taken.end <= end);
        // What is there now is on the disk: it can be read.
        self.model.safe = self.model.taken.last().map_or(0, |last| last.end);
        let last = self.model.safe;
        assert!(end == last || end == last.next_multiple_of(LOG), "the log ends at {end} behind {last}");
        let mut queues: BTreeMap<(usize, i32), Vec<&Taken>> = BTreeMap::new();
        for taken in &self.model.taken {
            queues.entry(taken.queue).or_default().push(taken);
        }
        for ((topic, id), all) in &queues {
            let name = TOPICS[*topic];
            assert_eq!(store.next_offset(name, *id), all.len() as i64, "{name} {id}");
            assert_eq!(store.max_offset(name, *id), all.len() as i64, "{name} {id}");
            let live: Vec<_> = all.iter().filter(|taken| taken.at >= min).collect();
            let first = live.first().map_or(all.len() as i64, |first| first.offset);
            assert_eq!(store.min_offset(name, *id), first, "{name} {id}");
            let entries = store.queue_entries(name, *id, first, usize::MAX >> 1);
            let found = entries.iter().map(|entry| (entry.offset, entry.physical_offset, entry.size as u64));
            let wanted = live.iter().map(|taken| (taken.offset, taken.at, taken.end - taken.at));
            assert!(found.eq(wanted), "{name} {id}: {entries:?}, wanted {live:?}");
            let found = read_all(store, name, *id);
            assert!(found.iter().map(|record| record.body()).eq(live.iter().map(|taken| &*taken.body)));
        }
        for (topic, id) in store.queues() {
            let known = queues.keys().any(|(known, number)| TOPICS[*known] == &*topic && *number == id);
            assert!(known || store.next_offset(&topic, id) == 0, "{topic} {id} has messages");
        }
        for taken in self.model.taken.iter().filter(|taken| taken.at >= min) {
            let topic = TOPICS[taken.queue.0];
            let found =
                store.query(&KeyQuery { topic, key: &taken.key, max: 64, begin: 0, end: i64::MAX }).unwrap();
            let found: Vec<_> = found.records.iter().map(|record| record.layout().physical_offset).collect();
            assert_eq!(found, [i64::try_from(taken.at).unwrap()], "key {}", taken.key);
        }
        let saved = store.config("counter.json").load_json::<u64>().unwrap().unwrap_or(0);
        assert!((self.model.saved.0..=self.model.saved.1).contains(&saved), "{saved} {:?}", self.model.saved);
        self.model.saved = (saved, saved);
    }

    /// One step of clients, of a thread of the store, or of time.
    fn step(&mut self, running: &mut Running) {
        let shared = Arc::clone(running.store.shared());
        match self.random.below(100) {
            0..45 => self.append(running),
            45..52 => self.append_batch(running),
            52..64 => _ = shared.sync_log(),
            64..74 => _ = shared.write_queues(self.random.percent(50)),
            74..80 => _ = shared.write_pending(&mut shared.queue_writer.lock()),
            80..87 => _ = shared.build_index(shared.visible_end()),
            87..91 => _ = shared.log.prepare(),
            91..93 => {
                self.files.set_used_percent(Some(if self.random.percent(20) { 86 } else { 10 }));
                shared.clean_up(false);
            }
            93..95 => {
                let number = self.model.saved.1 + 1;
                self.model.saved.1 = number;
                if running.store.config("counter.json").save(number.to_string().as_bytes()).is_ok() {
                    self.model.saved = (number, number);
                }
            }
            _ => {
                let millis = [-2000, 1, 1000, 10_000][usize::try_from(self.random.below(4)).unwrap()];
                self.clock.0.fetch_add(millis, Ordering::SeqCst);
            }
        }
    }

    fn message(&mut self) -> (Vec<u8>, String) {
        self.model.keys += 1;
        let length = if self.random.percent(5) { self.random.below(6000) } else { self.random.below(700) };
        let mut body = vec![0; usize::try_from(length).unwrap()];
        body.fill_with(|| self.random.number() as u8);
        (body, format!("k{}", self.model.keys))
    }

    fn queue(&mut self) -> (usize, i32) {
        (usize::try_from(self.random.below(2)).unwrap(), i32::try_from(self.random.below(2)).unwrap())
    }

    fn append(&mut self, running: &mut Running) {
        self.put(running, 1);
    }

    fn append_batch(&mut self, running: &mut Running) {
        let count = self.random.below(6) + 1;
        self.put(running, count);
    }

    fn put(&mut self, running: &mut Running, count: u64) {
        let queue = self.queue();
        let messages: Vec<_> = (0..count).map(|_| self.message()).collect();
        let properties: Vec<_> =
            messages.iter().map(|(_, key)| format!("KEYS\u{1}{key}\u{2}TAGS\u{1}A\u{2}")).collect();
        let whole = Bytes::from(messages.iter().flat_map(|(body, _)| body.clone()).collect::<Vec<_>>());
        let mut rest = &whole[..];
        let records: Vec<_> = messages
            .iter()
            .zip(&properties)
            .map(|((body, _), properties)| {
                let (body, behind) = rest.split_at(body.len());
                rest = behind;
                record(TOPICS[queue.0], queue.1, body, properties)
            })
            .collect();
        let held = self.random.percent(60);
        // Bodies are written from where they are, or from a copy.
        let kept = if self.random.percent(50) { whole.clone() } else { Bytes::new() };
        let appended = match (&*records, held) {
            ([one], false) => running.store.append(one).map(|one| vec![one]),
            (many, false) => running.store.append_batch(many),
            ([one], true) => running.store.append_until_flushed(one, &kept).map(|one| vec![one]),
            (many, true) => running.store.append_batch_until_flushed(many, &kept),
        };
        let appended = match appended {
            Ok(appended) => appended,
            Err(AppendError::Record { .. }) => return,
            Err(error) => {
                let excused = self.files.is_off() || running.store.status().failure.is_some();
                let transient = matches!(error, AppendError::NoSpace(_) | AppendError::Queues(_));
                assert!(excused || transient || matches!(error, AppendError::DiskFull(_)), "{error}");
                return;
            }
        };
        for (appended, (body, key)) in appended.into_iter().zip(messages) {
            assert_eq!(appended.queue_offset, self.model.next(queue));
            let (at, size) = (appended.physical_offset, appended.size as u64);
            let offset = appended.queue_offset;
            self.model.taken.push(Taken { queue, offset, at, end: at + size, key, body });
            if !held || self.config.flush_disk == FlushDisk::Async {
                self.model.stored = at + size;
            }
            if self.random.percent(60) {
                running.waits.push((at + size, Box::pin(running.store.flushed(appended.end))));
            }
        }
    }

    /// Looks which waits have ended.
    fn settle(&mut self, running: &mut Running) {
        let safe = &mut self.model.safe;
        running.waits.retain_mut(|(end, wait)| {
            match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(FlushStatus::Flushed) => *safe = (*safe).max(*end),
                Poll::Ready(_) => {}
                Poll::Pending => return true,
            }
            false
        });
    }

    /// The strict reader finds the same queues, as they are and built anew from the log.
    fn compare_with_apache(&self) {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        self.files.export(dir.path()).unwrap();
        let wanted: BTreeMap<_, _> = self.model.taken.iter().fold(BTreeMap::new(), |mut queues, taken| {
            let (topic, id) = taken.queue;
            queues.entry((TOPICS[topic].to_owned(), id)).or_insert_with(Vec::new).push(taken.at as i64);
            queues
        });
        let view = apache::open(dir.path(), LOG, QUEUE).unwrap();
        for (queue, positions) in &wanted {
            let units = view.queues.get(queue).map_or(&[][..], |units| units);
            for (number, at) in positions.iter().enumerate() {
                // Those of removed files have no unit any more.
                let unit = units.get(number).copied().flatten();
                assert!(unit.is_none_or(|(phy, _, tags)| phy == *at && tags == 65), "{queue:?} {number}");
            }
            assert!(units.is_empty() || units.len() == positions.len(), "{queue:?}");
        }
    }
}

fn record<'a>(topic: &'a str, queue_id: i32, body: &'a [u8], properties: &'a str) -> NewRecord<'a> {
    NewRecord {
        born_timestamp: 1_700_000_000_000,
        born_host: "127.0.0.1:54321".parse().unwrap(),
        properties,
        ..NewRecord::new(topic, queue_id, "127.0.0.1:10911".parse().unwrap(), body)
    }
}

/// Every message of a queue, read as a consumer does.
fn read_all(store: &Store, topic: &str, queue_id: i32) -> Vec<MessageRecord> {
    let (mut offset, mut all) = (store.min_offset(topic, queue_id), Vec::new());
    while offset < store.max_offset(topic, queue_id) {
        let request =
            ReadRequest { topic, queue_id, offset, max_count: 32, max_bytes: None, filter: Filter::All };
        let read = store.read(&request);
        assert!(read.next_offset > offset, "{read:?}");
        offset = read.next_offset;
        all.extend(read.slices.iter().flat_map(|slice| MessageRecord::take_all(slice.clone()).unwrap()));
    }
    all
}
