//! Pages that the disk cannot give: an error for who asks for them, never the end of the process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{drain, read, record, wait_until};
use mq_store::fs::{Call, SimulatedFiles};
use mq_store::{Boundary, KeyQuery, ReadStatus, Store, StoreConfig};

const EIO: i32 = 5;
const FOREVER: u64 = u64::MAX;
const COUNT: usize = 80;

fn simulated() -> (SimulatedFiles, StoreConfig) {
    let root = Path::new("/store");
    let files = SimulatedFiles::new(1, root);
    let config = StoreConfig {
        commit_log_file_size: 32 << 10,
        consume_queue_file_size: 20 * 50,
        // Several pages, most of which opening does not touch.
        index_slots: 5000,
        index_entries: 2000,
        flush_consume_queue_interval: Duration::from_millis(5),
        file_system: Arc::new(files.clone()),
        ..common::config(root)
    };
    (files, config)
}

fn put(store: &Store, n: usize) {
    let (body, keys) = (vec![b'x'; 600], format!("KEYS\u{1}key{n}\u{2}"));
    store.append(&record("T", 0, &body, &keys)).unwrap();
}

fn key(n: usize) -> String {
    format!("key{n}")
}

fn query(key: &str) -> KeyQuery<'_> {
    KeyQuery { topic: "T", key, max: 10, begin: 0, end: i64::MAX }
}

/// A store that was stopped and opened again, so that nothing of it counts as just written.
fn reopened(config: &StoreConfig) -> Store {
    let store = Store::open(config.clone()).unwrap();
    (0..COUNT).for_each(|n| put(&store, n));
    store.close().unwrap();
    drop(store);
    Store::open(config.clone()).unwrap()
}

#[test]
fn a_message_that_cannot_be_read_is_an_error_and_is_not_passed_over() {
    let (files, config) = simulated();
    let store = reopened(&config);
    files.refuse(Call::PageIn, "commitlog", EIO, FOREVER);
    assert!(!store.is_cached("T", 0, 3));
    let found = read(&store, "T", 0, 3, 16);
    assert_eq!((found.status, found.next_offset, found.count), (ReadStatus::Unreadable, 3, 0));
    assert!(store.record_at(0).unwrap_err().to_string().contains("commitlog"));
    assert!(store.query(&query(&key(1))).is_err());
    assert_eq!(store.store_time("T", 0, 3), None);
    assert_eq!(store.offset_by_time("T", 0, i64::MAX, Boundary::Lower), 0, "nothing is passed over");
    // What is appended meanwhile can be read.
    put(&store, COUNT);
    let found = read(&store, "T", 0, i64::try_from(COUNT).unwrap(), 16);
    assert_eq!((found.status, found.count), (ReadStatus::Found, 1));
    files.allow();
    assert_eq!(drain(&store, "T", 0).len(), COUNT + 1);
    assert_eq!(store.record_at(0).unwrap().unwrap().body().len(), 600);
    assert_eq!(store.query(&query(&key(1))).unwrap().records.len(), 1);
    store.close().unwrap();
}

#[test]
fn an_answer_ends_before_the_first_message_that_cannot_be_read() {
    let (files, config) = simulated();
    let store = reopened(&config);
    // Files of 32 KiB: the second one cannot be read.
    files.refuse(Call::PageIn, "00000000000000032768", EIO, FOREVER);
    let (mut offset, mut count) = (0, 0);
    loop {
        let found = read(&store, "T", 0, offset, 16);
        if found.status != ReadStatus::Found {
            assert_eq!((found.status, found.next_offset), (ReadStatus::Unreadable, offset));
            break;
        }
        offset = found.next_offset;
        count += found.count;
    }
    assert!(count > 0 && count < COUNT && offset == i64::try_from(count).unwrap(), "{count} {offset}");
    files.allow();
    assert_eq!(drain(&store, "T", 0).len(), COUNT);
    store.close().unwrap();
}

#[test]
fn an_index_that_cannot_be_read_is_an_error_and_catches_up() {
    let (files, config) = simulated();
    let store = reopened(&config);
    files.refuse(Call::PageIn, "/index/", EIO, FOREVER);
    assert!(store.query(&query(&key(1))).unwrap_err().to_string().contains("/index/"));
    // Messages are taken, and the failure is not one of the disk's writes.
    put(&store, COUNT);
    assert!(store.query(&query(&key(COUNT))).is_err());
    assert!(store.status().writable && store.status().failure.is_none());
    files.allow();
    wait_until("the index", || store.status().indexed == store.status().max_physical_offset);
    for n in [0, 1, COUNT] {
        assert_eq!(store.query(&query(&key(n))).unwrap().records.len(), 1, "{n}");
    }
    store.close().unwrap();
}

#[test]
fn a_log_that_cannot_be_read_does_not_open_and_loses_nothing() {
    let (files, config) = simulated();
    for clean in [true, false] {
        let store = Store::open(config.clone()).unwrap();
        let before = drain(&store, "T", 0).len();
        (before..before + COUNT).for_each(|n| put(&store, n));
        if clean {
            store.close().unwrap()
        } else {
            store.kill()
        }
        drop(store);
        // Every page that opening reads may be the bad one.
        for good in 0..50 {
            files.refuse(Call::PageIn, "commitlog", 0, good);
            files.refuse(Call::PageIn, "commitlog", EIO, FOREVER);
            let opened = Store::open(config.clone());
            files.allow();
            match opened {
                Err(error) => assert!(error.to_string().contains("commitlog"), "{error}"),
                // So many pages are not read, or not any more: the index may read one later.
                Ok(store) => store.kill(),
            }
        }
        let store = Store::open(config.clone()).unwrap();
        assert_eq!(drain(&store, "T", 0).len(), before + COUNT);
        store.close().unwrap();
    }
}

/// The same with a real mapping: what is behind the end of its file is answered with SIGBUS when it is touched.
#[test]
fn a_file_that_was_cut_under_its_mapping_does_not_end_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { commit_log_file_size: 1 << 20, ..common::config(dir.path()) };
    let store = reopened(&config);
    let path = config.commit_log_dir().join("00000000000000000000");
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap();
    let found = read(&store, "T", 0, 30, 16);
    assert_eq!((found.status, found.next_offset), (ReadStatus::Unreadable, 30));
    assert_eq!(read(&store, "T", 0, 0, 4).status, ReadStatus::Found);
    let at = store.queue_entries("T", 0, 30, 1)[0].physical_offset;
    assert!(store.record_at(at).is_err() && store.record_at(0).unwrap().is_some());
    assert!(store.query(&query(&key(30))).is_err());
    store.kill();
    drop(store);
    // Opening looks at the size first.
    assert!(Store::open(config).is_err());
}
