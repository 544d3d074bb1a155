//! Retention: what goes, when, and what goes with it; the clock is moved by hand.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{ManualClock, drain, manual_clock, read, record, wait_until};
use mq_store::fs::SimulatedFiles;
use mq_store::{AppendError, KeyQuery, ReadStatus, Store, StoreConfig};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const LOG: u64 = 16 << 10;
const HOUR: i64 = 3_600_000;
const START: i64 = 1_700_000_000_000;

struct Life {
    files: SimulatedFiles,
    clock: Arc<ManualClock>,
    store: Store,
    stored: usize,
}

impl Life {
    /// A store that keeps files for 48 hours.
    fn new(change: impl FnOnce(StoreConfig) -> StoreConfig) -> Life {
        let root = Path::new("/store");
        let files = SimulatedFiles::new(1, root);
        files.set_used_percent(Some(10));
        files.set_now(START);
        let clock = manual_clock(START);
        let config = StoreConfig {
            commit_log_file_size: LOG,
            consume_queue_file_size: 20 * 30,
            index_slots: 20,
            index_entries: 80,
            file_reserved_time: Duration::from_secs(48 * 3600),
            delete_when: (0..24).collect(),
            flush_interval: Duration::from_millis(5),
            flush_consume_queue_interval: Duration::from_millis(5),
            clean_resource_interval: Duration::from_millis(10),
            clock: clock.clone(),
            file_system: Arc::new(files.clone()),
            ..StoreConfig::at(root)
        };
        let store = Store::open(change(config)).unwrap();
        Life { files, clock, store, stored: 0 }
    }

    /// Moves the time of messages and of files.
    fn pass(&self, millis: i64) {
        let now = self.clock.0.fetch_add(millis, Ordering::SeqCst) + millis;
        self.files.set_now(now);
    }

    /// Stores messages, and waits until the log and its queues are on the disk.
    fn put(&mut self, count: usize) {
        for _ in 0..count {
            let keys = format!("KEYS\u{1}key{}\u{2}", self.stored);
            let appended = self.store.append(&record("T", 0, &[7; 300], &keys)).unwrap();
            assert_eq!(appended.queue_offset, i64::try_from(self.stored).unwrap());
            self.stored += 1;
        }
        let end = self.store.status().max_physical_offset;
        wait_until("the disk", || {
            let status = self.store.status();
            status.flushed >= end && status.queued >= end && status.indexed >= end
        });
    }

    fn min(&self) -> u64 {
        self.store.status().min_physical_offset
    }

    /// Rounds of cleaning go by.
    fn rounds(&self) {
        let calls = self.files.calls();
        // Each round asks for the space of two partitions.
        wait_until("some rounds", || self.files.calls() > calls + 40);
    }

    fn paths(&self, part: &str) -> usize {
        self.files.paths().iter().filter(|path| path.to_string_lossy().contains(part)).count()
    }

    fn finds(&self, n: usize) -> bool {
        let key = format!("key{n}");
        let query = KeyQuery { topic: "T", key: &key, max: 8, begin: 0, end: i64::MAX };
        self.store.query(&query).unwrap().records.len() == 1
    }
}

#[test]
fn files_go_when_their_time_is_over_and_all_that_points_to_them_follows() {
    let mut life = Life::new(|config| config);
    life.put(150);
    life.pass(24 * HOUR);
    life.put(150);
    let (queues, indexes) = (life.paths("/consumequeue/"), life.paths("/index/"));
    life.rounds();
    assert_eq!(life.min(), 0, "nothing is 48 hours old");
    life.pass(25 * HOUR);
    wait_until("the first files", || life.min() > 0);
    life.rounds();
    let min = life.min();
    let offset = life.store.min_offset("T", 0);
    // A file is made before it is needed, so the one that the second half began in is old as well.
    assert!((100..=210).contains(&offset), "{offset}");
    // Readers of what is gone are sent to what is there.
    let found = read(&life.store, "T", 0, 3, 8);
    assert_eq!(
        (found.status, found.next_offset, found.min_offset),
        (ReadStatus::OffsetTooSmall, offset, offset)
    );
    let left = drain(&life.store, "T", 0);
    assert_eq!(left.len(), 300 - usize::try_from(offset).unwrap());
    assert!(left[0].layout().physical_offset >= i64::try_from(min).unwrap());
    assert!(life.paths("/consumequeue/") < queues && life.paths("/index/") < indexes);
    assert!(!life.finds(0) && life.finds(299));
    // The last file stays, however old.
    life.pass(1000 * HOUR);
    let last = life.store.status().max_physical_offset / LOG * LOG;
    wait_until("all but the last", || life.min() == last);
    life.rounds();
    assert_eq!((life.min(), life.paths("/commitlog/") <= 2), (last, true));
    life.put(1);
    life.store.close().unwrap();
}

#[test]
fn expired_files_wait_for_their_hour_unless_the_disk_fills_up() {
    // No hour is in the list.
    let mut life = Life::new(|config| StoreConfig { delete_when: Vec::new(), ..config });
    life.put(200);
    life.pass(100 * HOUR);
    life.rounds();
    assert_eq!(life.min(), 0);
    life.files.set_used_percent(Some(75));
    life.rounds();
    assert_eq!(life.min(), 0, "75 is not above diskMaxUsedSpaceRatio");
    life.files.set_used_percent(Some(76));
    wait_until("deletion", || life.min() > 0);
    life.store.close().unwrap();
}

#[test]
fn expired_files_go_at_any_hour_when_somebody_asks_for_it() {
    let mut life = Life::new(|config| StoreConfig { delete_when: Vec::new(), ..config });
    life.put(200);
    life.pass(100 * HOUR);
    life.store.clean_soon(false);
    life.rounds();
    assert_eq!(life.min(), 0, "that request is for the usual hours");
    life.store.clean_soon(true);
    wait_until("deletion", || life.min() > 0);
    life.store.close().unwrap();
}

#[test]
fn a_filling_disk_takes_young_files_then_refuses_and_then_serves_again() {
    let mut life = Life::new(|config| StoreConfig { delete_file_batch_max: 1, ..config });
    life.put(300);
    life.files.set_used_percent(Some(85));
    life.rounds();
    assert_eq!(life.min(), 0, "85 is not above diskSpaceCleanForciblyRatio");
    life.files.set_used_percent(Some(86));
    wait_until("forced deletion", || life.min() > 0);
    life.put(1);
    life.files.set_used_percent(Some(91));
    let refused = || matches!(life.store.append(&record("U", 0, b"x", "")), Err(AppendError::DiskFull(90)));
    wait_until("a refusal", refused);
    let status = life.store.status();
    assert!(!status.writable && status.failure.is_none());
    // What is there is read all the same.
    let min = life.store.min_offset("T", 0);
    assert!(!drain(&life.store, "T", 0).is_empty() && min > 0);
    life.files.set_used_percent(Some(50));
    wait_until("room", || life.store.append(&record("U", 0, b"x", "")).is_ok());
    life.store.close().unwrap();
}

#[test]
fn nothing_is_deleted_by_force_where_that_is_forbidden() {
    let mut life = Life::new(|config| StoreConfig { clean_file_forcibly_enable: false, ..config });
    life.put(200);
    life.files.set_used_percent(Some(95));
    wait_until("a refusal", || life.store.append(&record("U", 0, b"x", "")).is_err());
    life.rounds();
    assert_eq!(life.min(), 0);
    life.store.close().unwrap();
}

#[test]
fn a_clock_that_jumps_back_keeps_files_longer_and_no_less() {
    let mut life = Life::new(|config| config);
    life.put(150);
    life.pass(-500 * HOUR);
    life.put(50);
    life.rounds();
    assert_eq!(life.min(), 0);
    // Back at the old time, no file is old yet: the newest has the early time and is the last one.
    life.pass(500 * HOUR);
    life.rounds();
    assert!(life.store.offset_by_time("T", 0, START, mq_store::Boundary::Lower) == 0);
    life.store.close().unwrap();
}

#[test]
fn queues_and_index_shrink_after_a_restart_too() {
    let mut life = Life::new(|config| StoreConfig { delete_when: Vec::new(), ..config });
    life.put(300);
    let config = life.store.settings().clone();
    life.store.close().unwrap();
    let Life { files, clock, store, .. } = life;
    drop(store);
    // Somebody has removed the oldest files of the log, as a broker before us did whose queues stayed.
    let store = {
        use mq_store::fs::FileSystem as _;
        for start in [0, LOG] {
            files.remove_file(Path::new(&format!("/store/commitlog/{start:020}"))).unwrap();
        }
        Store::open(config).unwrap()
    };
    assert_eq!(store.status().min_physical_offset, 2 * LOG);
    let min = store.min_offset("T", 0);
    assert!(min > 0);
    assert_eq!(drain(&store, "T", 0).len(), usize::try_from(300 - min).unwrap());
    let left = || files.paths().iter().filter(|path| path.starts_with("/store/consumequeue/T/0")).count();
    wait_until("the queue's files", || left() == 10 - usize::try_from(min).unwrap() / 30);
    store.close().unwrap();
    drop(clock);
}

#[test]
fn a_topic_is_deleted_or_is_whole_wherever_the_power_is_cut() {
    let (mut calls, mut done, mut stayed) = (0, false, 0);
    while !done {
        calls += 1;
        let mut life = Life::new(|config| StoreConfig { delete_when: Vec::new(), ..config });
        life.put(70);
        let config = life.store.settings().clone();
        life.files.cut_after(calls);
        let deleted = life.store.delete_topic("T").is_ok();
        done = deleted && !life.files.is_off();
        life.store.kill();
        let Life { files, store, .. } = life;
        drop(store);
        files.restart().unwrap();
        // Twice: what the first start had to finish must not surprise the second one.
        Store::open(config.clone()).unwrap().kill();
        let store = Store::open(config).unwrap();
        let faults = store.status().recovery.faults;
        let lost = faults.iter().any(|fault| fault.to_string().contains("missing"));
        assert!(!lost, "cut at call {calls}: files that were removed are taken for lost: {faults:?}");
        let left = drain(&store, "T", 0).len();
        let range = (store.min_offset("T", 0), store.max_offset("T", 0));
        let whole = left == 70 && range == (0, 70);
        assert!(whole || (left == 0 && range == (70, 70)), "cut at call {calls}: {left} in {range:?}");
        assert!(!whole || !deleted, "cut at call {calls}");
        stayed += usize::from(whole);
        assert_eq!(store.append(&record("T", 0, b"new", "")).unwrap().queue_offset, 70);
        store.close().unwrap();
    }
    assert!(stayed > 0 && calls > 10, "{stayed} of {calls}");
}

#[test]
fn what_is_kept_of_a_deleted_topic_goes_with_its_last_record() {
    let mut life = Life::new(|config| config);
    life.put(100);
    life.store.delete_topic("T").unwrap();
    let noted =
        || String::from_utf8(life.store.config("mq-deletedQueues.json").load().unwrap().unwrap()).unwrap();
    assert!(noted().contains("\"T\""));
    for _ in 0..100 {
        life.store.append(&record("U", 0, &[7; 300], "")).unwrap();
    }
    life.store.delete_topic("U").unwrap();
    assert!(noted().contains("\"T\"") && noted().contains("\"U\""), "its records are still in the log");
    life.store.sync().unwrap();
    life.pass(1000 * HOUR);
    let last = life.store.status().max_physical_offset / LOG * LOG;
    wait_until("all but the last file", || life.min() == last);
    life.store.append(&record("V", 0, b"x", "")).unwrap();
    life.store.delete_topic("V").unwrap();
    assert!(noted().contains("\"V\"") && !noted().contains("\"T\""), "{}", noted());
    life.store.close().unwrap();
}
