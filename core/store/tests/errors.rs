//! Disks that are full, failing, read-only or out of descriptors: senders are told, reads go on, nothing is half there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use bytes::Bytes;
use common::{block_on, drain, manual_clock, read, record, wait_until};
use mq_store::check::Fault;
use mq_store::fs::{Call, FileSystem as _, OpenMode, SimulatedFiles};
use mq_store::{AppendError, FlushDisk, FlushStatus, ReadStatus, Store, StoreConfig, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const FOREVER: u64 = u64::MAX;

fn simulated(seed: u64) -> (SimulatedFiles, StoreConfig) {
    let root = Path::new("/store");
    let files = SimulatedFiles::new(seed, root);
    let config = StoreConfig {
        commit_log_file_size: 32 << 10,
        consume_queue_file_size: 20 * 50,
        index_slots: 50,
        index_entries: 200,
        flush_disk: FlushDisk::Sync,
        flush_consume_queue_interval: Duration::from_millis(5),
        clean_resource_interval: Duration::from_millis(20),
        file_system: Arc::new(files.clone()),
        ..common::config(root)
    };
    (files, config)
}

fn put(store: &Store, n: usize) -> Result<(), AppendError> {
    let (body, keys) = (Bytes::from(body(n)), format!("KEYS\u{1}key{n}\u{2}"));
    let record = record("T", 0, &body, &keys);
    let appended = match n % 3 {
        0 => store.append(&record)?,
        1 => store.append_until_flushed(&record, &body)?,
        _ => store.append_until_flushed(&record, &Bytes::new())?,
    };
    assert_eq!(appended.queue_offset, i64::try_from(n).unwrap(), "{:?}", store.status());
    match block_on(store.flushed(appended.end)) {
        FlushStatus::Flushed => Ok(()),
        other => panic!("{other:?}"),
    }
}

fn body(n: usize) -> Vec<u8> {
    format!("{n} {}", "x".repeat(n * 31 % 700)).into_bytes()
}

fn has_exactly(store: &Store, count: usize) {
    let found: Vec<_> = drain(store, "T", 0).iter().map(|record| record.body().to_vec()).collect();
    assert_eq!(found.len(), count);
    assert!(found.iter().enumerate().all(|(n, found)| *found == body(n)));
}

#[test]
fn a_full_disk_refuses_reads_go_on_and_space_brings_everything_back() {
    let (files, config) = simulated(1);
    // No file is old enough to be deleted, and none is deleted by force.
    files.set_used_percent(Some(10));
    let store = Store::open(config.clone()).unwrap();
    put(&store, 0).unwrap();
    let mut stored = 1;
    for round in 1..4 {
        files.set_capacity(files.used() + (64 << 10));
        wait_until("a refusal", || match put(&store, stored) {
            Ok(()) => {
                stored += 1;
                false
            }
            Err(error) => {
                let told = matches!(
                    error,
                    AppendError::NoSpace(_) | AppendError::DiskFull(_) | AppendError::Queues(_)
                );
                assert!(told, "{error}");
                true
            }
        });
        assert_eq!(store.next_offset("T", 0), i64::try_from(stored).unwrap());
        has_exactly(&store, stored);
        assert_eq!(files.unreserved_write().unwrap(), None, "what is written has its place on the disk");
        files.set_capacity(1 << 40);
        wait_until("room again", || put(&store, stored).is_ok());
        stored += 1;
        assert!(store.status().failure.is_none(), "{round}");
    }
    store.close().unwrap();
    let store = Store::open(config).unwrap();
    assert!(store.status().recovery.clean);
    has_exactly(&store, stored);
}

#[test]
fn messages_that_wait_in_memory_and_cannot_be_written_are_told_and_gone() {
    let (files, config) = simulated(3);
    let store = Store::open(config.clone()).unwrap();
    (0..4).for_each(|n| put(&store, n).unwrap());
    files.refuse(Call::Write, "commitlog", EIO, FOREVER);
    let body = Bytes::from(body(4));
    let appended = store.append_until_flushed(&record("T", 0, &body, ""), &body).unwrap();
    assert_eq!(block_on(store.flushed(appended.end)), FlushStatus::Failed);
    let error = store.append(&record("T", 0, &body, "")).unwrap_err();
    assert!(matches!(error, AppendError::Failed(_)), "{error}");
    assert!(store.status().failure.is_some());
    has_exactly(&store, 4);
    assert!(store.close().is_err());
    drop(store);
    files.allow();
    let store = Store::open(config).unwrap();
    has_exactly(&store, 4);
    put(&store, 4).unwrap();
    store.close().unwrap();
}

#[test]
fn calls_that_fail_for_a_while_are_told_and_then_forgotten() {
    // Whatever refuses for a while, senders get an error or an answer, and all is well again afterwards.
    let cases = [
        (Call::Reserve, "commitlog", ENOSPC),
        (Call::Reserve, "commitlog", EIO),
        (Call::Open, "commitlog", EMFILE),
        (Call::Open, "commitlog", EROFS),
        (Call::SetSize, "commitlog", ENOSPC),
        (Call::Map, "commitlog", EMFILE),
        (Call::Open, "consumequeue", EMFILE),
        (Call::Write, "consumequeue", EIO),
        (Call::Write, "consumequeue", ENOSPC),
        (Call::Rename, "consumequeue", EROFS),
        (Call::CreateDir, "consumequeue", EROFS),
        (Call::Open, "index", EMFILE),
        (Call::Reserve, "index", ENOSPC),
        (Call::Map, "index", ENOSPC),
        (Call::Write, "checkpoint", EIO),
        (Call::Sync, "checkpoint", EIO),
        (Call::Write, "mq-recovery", ENOSPC),
        (Call::Sync, "mq-recovery", EIO),
        (Call::List, "commitlog", EMFILE),
    ];
    for (seed, (call, part, error)) in (1..).zip(cases) {
        let (files, config) = simulated(seed);
        let store = Store::open(config.clone()).unwrap();
        let mut stored = 0;
        while stored < 40 {
            put(&store, stored).unwrap();
            stored += 1;
        }
        files.refuse(call, part, error, 1);
        wait_until("many messages", || {
            match put(&store, stored) {
                Ok(()) => stored += 1,
                Err(AppendError::NoSpace(_) | AppendError::Queues(_)) => {}
                Err(error) => panic!("{call:?} {part}: {error}"),
            }
            stored >= 200
        });
        has_exactly(&store, stored);
        files.allow();
        assert!(store.status().failure.is_none(), "{call:?} {part}: {:?}", store.status().failure);
        store.kill();
        drop(store);
        files.cut().unwrap();
        files.restart().unwrap();
        let store = Store::open(config).unwrap_or_else(|error| panic!("{call:?} {part}: {error}"));
        has_exactly(&store, stored);
        store.close().unwrap();
    }
}

#[test]
fn a_failed_sync_of_anything_but_notes_is_final_and_loses_nothing_acknowledged() {
    for (seed, (call, part)) in (50..).zip([
        (Call::Sync, "commitlog"),
        (Call::Sync, "consumequeue"),
        (Call::SyncDir, "consumequeue"),
        (Call::Sync, "index"),
    ]) {
        let (files, config) = simulated(seed);
        let store = Store::open(config.clone()).unwrap();
        let mut stored = 0;
        while stored < 60 {
            put(&store, stored).unwrap();
            stored += 1;
        }
        // A file that cannot be made is made anew later; what is refused here is a sync of one that is there.
        wait_until("the index", || store.status().indexed >= store.status().flushed);
        files.refuse(call, part, EIO, 1);
        let mut unknown = 0;
        wait_until("the failure", || {
            if stored % 40 == 0 && part == "commitlog" {
                files.refuse(call, part, EIO, 1);
            }
            let (body, keys) = (body(stored), format!("KEYS\u{1}key{stored}\u{2}"));
            match store.append(&record("T", 0, &body, &keys)) {
                Ok(appended) if block_on(store.flushed(appended.end)) == FlushStatus::Flushed => {
                    stored += 1;
                    false
                }
                Ok(_) => {
                    unknown = 1;
                    true
                }
                // The file that could not be begun is begun anew.
                Err(AppendError::NoSpace(_)) => false,
                Err(AppendError::Failed(_)) => true,
                Err(error) => panic!("{call:?} {part}: {error}"),
            }
        });
        wait_until("the state", || store.status().failure.is_some());
        // The disk works again, but nobody knows what it has.
        assert!(matches!(store.append(&record("T", 0, b"x", "")), Err(AppendError::Failed(_))));
        assert!(matches!(store.sync(), Err(StoreError::Failed(_))));
        assert!(matches!(store.close(), Err(StoreError::Failed(_))));
        drop(store);
        files.allow();
        // Recovery writes again what the disk may not have; then even a power cut takes nothing.
        let store = Store::open(config.clone()).unwrap();
        assert!(!store.status().recovery.clean);
        store.kill();
        drop(store);
        files.cut().unwrap();
        files.restart().unwrap();
        let store = Store::open(config).unwrap();
        let found = usize::try_from(store.max_offset("T", 0)).unwrap();
        assert!((stored..=stored + unknown).contains(&found), "{call:?} {part}: {found} of {stored}");
        has_exactly(&store, found);
        store.close().unwrap();
    }
}

#[test]
fn queues_that_cannot_be_read_are_not_passed_over() {
    for (call, error) in [(Call::Read, EIO), (Call::Open, EMFILE)] {
        let (files, config) = simulated(3);
        let store = Store::open(StoreConfig { open_queue_files: 1, ..config.clone() }).unwrap();
        for n in 0..200 {
            put(&store, n).unwrap();
        }
        wait_until("the queue's files", || store.status().pending_entries == 0);
        store.close().unwrap();
        drop(store);
        let store = Store::open(StoreConfig { open_queue_files: 1, ..config }).unwrap();
        files.refuse(call, "consumequeue", error, FOREVER);
        // Of a file that is not open at this moment.
        let found = read(&store, "T", 0, 70, 16);
        assert_eq!((found.status, found.next_offset, found.count), (ReadStatus::Unreadable, 70, 0));
        assert!(store.queue_entries("T", 0, 70, 5).is_empty());
        let searched = store.offset_by_time("T", 0, i64::MAX, mq_store::Boundary::Lower);
        assert!(searched < 200, "nothing is passed over");
        files.allow();
        assert_eq!(read(&store, "T", 0, 70, 16).status, ReadStatus::Found);
        has_exactly(&store, 200);
        store.close().unwrap();
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_said_at_the_start() {
    let (files, config) = simulated(4);
    let store = Store::open(config.clone()).unwrap();
    for n in 0..100 {
        put(&store, n).unwrap();
    }
    store.close().unwrap();
    drop(store);
    for (call, error) in
        [(Call::Write, EROFS), (Call::Open, EROFS), (Call::Open, EMFILE), (Call::Write, ENOSPC)]
    {
        files.refuse(call, "/store/", error, FOREVER);
        let error = Store::open(config.clone()).unwrap_err();
        assert!(error.to_string().contains("/store/"), "{error}");
        files.allow();
    }
    let store = Store::open(config).unwrap();
    has_exactly(&store, 100);
    put(&store, 100).unwrap();
    store.close().unwrap();
}

#[test]
fn recovery_reads_what_came_after_the_last_note_however_long_the_log_is() {
    let mut read = Vec::new();
    for messages in [200, 2000] {
        let (_, config) = simulated(5);
        let store = Store::open(config.clone()).unwrap();
        for n in 0..messages {
            put(&store, n).unwrap();
        }
        let end = store.status().max_physical_offset;
        wait_until("a quiet moment", || store.status().queued == end);
        // The note follows the sync of the queues.
        wait_until("the note", || {
            let before = store.status().queued;
            store.sync().unwrap();
            before == end
        });
        put(&store, messages).unwrap();
        store.kill();
        drop(store);
        let store = Store::open(config).unwrap();
        let report = store.status().recovery;
        assert!(!report.clean && !report.rebuilt);
        read.push((report.records, report.end - report.scanned_from));
        has_exactly(&store, messages + 1);
        store.close().unwrap();
    }
    // A handful of records each time: what the queue thread had not noted yet.
    assert!(read.iter().all(|(records, bytes)| *records <= 100 && *bytes <= 64 << 10), "{read:?}");
}

#[test]
fn what_a_start_shows_after_a_failed_sync_is_on_the_disk() {
    let (files, config) = simulated(8);
    let store = Store::open(config.clone()).unwrap();
    (0..5).for_each(|n| put(&store, n).unwrap());
    files.refuse(Call::Sync, "commitlog", EIO, 1);
    let bodies: Vec<_> = (5..45).map(body).collect();
    let batch: Vec<_> = bodies.iter().map(|body| record("T", 0, body, "")).collect();
    let appended = store.append_batch(&batch).unwrap();
    assert_eq!(block_on(store.flushed(appended[0].end)), FlushStatus::Failed);
    store.kill();
    drop(store);
    // The kernel takes the pages for clean; only what is written again gets to the disk with the next sync.
    let store = Store::open(config.clone()).unwrap();
    has_exactly(&store, 45);
    files.cut().unwrap();
    store.kill();
    drop(store);
    files.restart().unwrap();
    let store = Store::open(config).unwrap();
    has_exactly(&store, 45);
    store.close().unwrap();
}

#[test]
fn recovery_does_not_look_at_what_stands_before_the_last_note() {
    let mut read = Vec::new();
    for (messages, clean) in [(200, false), (2000, false), (200, true), (2000, true)] {
        let (files, config) = simulated(7);
        let store = Store::open(config.clone()).unwrap();
        for n in 0..messages {
            put(&store, n).unwrap();
        }
        let end = store.status().max_physical_offset;
        wait_until("a quiet moment", || store.status().queued == end && store.status().indexed == end);
        if clean {
            store.close().unwrap()
        } else {
            store.kill()
        }
        drop(store);
        // Where this one begins to read, the next one does not begin earlier.
        let store = Store::open(config.clone()).unwrap();
        let from = store.status().recovery.scanned_from;
        assert!(end - from <= 64 << 10, "{from} of {end}");
        if clean {
            store.close().unwrap()
        } else {
            store.kill()
        }
        drop(store);
        // Whoever looked there would find nothing that is a record.
        for start in (0..from).step_by(32 << 10) {
            let path = config.root.join(format!("commitlog/{start:020}"));
            let file = files.open(&path, OpenMode::Write).unwrap();
            let length = usize::try_from((from - start).min(32 << 10)).unwrap();
            file.write_at(&vec![0xEE; length], 0).unwrap();
            file.sync().unwrap();
        }
        let before = files.bytes_read();
        let store = Store::open(config).unwrap();
        read.push(files.bytes_read() - before);
        let report = store.status().recovery;
        assert!(report.scanned_from >= from && report.clean == clean && !report.rebuilt, "{report:?}");
        // After a kill the newest index file may be made again, behind the store's back.
        assert!(report.faults.iter().all(|fault| matches!(fault, Fault::Index { .. })), "{report:?}");
        assert_eq!(report.end, end);
        assert_eq!(store.next_offset("T", 0), i64::try_from(messages).unwrap());
        put(&store, messages).unwrap();
        let found = common::records(&common::read(&store, "T", 0, i64::try_from(messages).unwrap(), 1));
        assert_eq!(found[0].body()[..], body(messages));
        store.close().unwrap();
    }
    // Queue and index files are read by calls: of a long log no more than of a short one.
    assert!(read[1] <= 2 * read[0].max(16 << 10) && read[3] <= 2 * read[2].max(16 << 10), "{read:?}");
}

#[test]
fn a_clock_that_jumps_changes_no_order() {
    let (_, config) = simulated(6);
    let clock = manual_clock(1_700_000_000_000);
    let store = Store::open(StoreConfig { clock: clock.clone(), ..config.clone() }).unwrap();
    let mut times = Vec::new();
    for (n, jump) in [0, 5000, -3_600_000, 1, 7_200_000, -1].into_iter().enumerate() {
        clock.0.fetch_add(jump, Ordering::SeqCst);
        put(&store, n).unwrap();
        times.push(store.store_time("T", 0, i64::try_from(n).unwrap()).unwrap());
    }
    assert!(times.is_sorted(), "{times:?}");
    store.close().unwrap();
    drop(store);
    // Not even over a restart.
    clock.0.store(1_000, Ordering::SeqCst);
    let store = Store::open(StoreConfig { clock, ..config }).unwrap();
    put(&store, 6).unwrap();
    assert!(store.store_time("T", 0, 6).unwrap() >= *times.last().unwrap());
    store.close().unwrap();
}
