//! What the store's tests share: small files, messages, waiting for a future.

#![allow(unreachable_pub, reason = "shared by test binaries")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails the test"
)]
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod apache;

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use mq_protocol::message::{MessageRecord, NewRecord};
use mq_store::{Clock, Filter, Read, ReadRequest, Store, StoreConfig};

/// A clock that tests move.
#[derive(Debug, Default)]
pub struct ManualClock(pub AtomicI64);

impl Clock for ManualClock {
    fn now_millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn manual_clock(now: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock(AtomicI64::new(now)))
}

/// Small files, so that borders come soon.
pub fn config(root: &Path) -> StoreConfig {
    StoreConfig {
        commit_log_file_size: 64 << 10,
        consume_queue_file_size: 20 * 50,
        index_slots: 100,
        index_entries: 1000,
        // Tests do the same at any hour of the day.
        delete_when: Vec::new(),
        ..StoreConfig::at(root)
    }
}

pub fn record<'a>(topic: &'a str, queue_id: i32, body: &'a [u8], properties: &'a str) -> NewRecord<'a> {
    NewRecord {
        born_timestamp: 1_700_000_000_000,
        born_host: "127.0.0.1:54321".parse().unwrap(),
        properties,
        ..NewRecord::new(topic, queue_id, "127.0.0.1:10911".parse().unwrap(), body)
    }
}

pub fn read(store: &Store, topic: &str, queue_id: i32, offset: i64, max_count: usize) -> Read {
    store.read(&ReadRequest { topic, queue_id, offset, max_count, max_bytes: None, filter: Filter::All })
}

pub fn records(read: &Read) -> Vec<MessageRecord> {
    read.slices.iter().flat_map(|slice| MessageRecord::take_all(slice.clone()).unwrap()).collect()
}

/// All messages of a queue, read to its end.
pub fn drain(store: &Store, topic: &str, queue_id: i32) -> Vec<MessageRecord> {
    let mut all = Vec::new();
    let mut offset = store.min_offset(topic, queue_id);
    while offset < store.max_offset(topic, queue_id) {
        let found = read(store, topic, queue_id, offset, 32);
        assert!(found.next_offset > offset, "{found:?}");
        offset = found.next_offset;
        all.extend(records(&found));
    }
    all
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits until a condition holds; fails after a long while.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what} did not happen");
        thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Copies a directory, holes and all.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// A directory in memory where there is one: tests that open hundreds of stores need no disk.
pub fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Folder of the stores that Apache's broker wrote.
fn vectors() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/store")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Copies a vector and gives its files the sizes that they had.
pub fn vector(name: &str, root: &Path) -> (serde_json::Value, StoreConfig) {
    let origin = vectors().join(name);
    copy_dir(&origin.join("store"), root);
    let sizes = json(&root.join("sizes.json"));
    for (path, size) in sizes.as_object().unwrap() {
        let file = std::fs::File::options().write(true).open(root.join(path)).unwrap();
        file.set_len(size.as_u64().unwrap()).unwrap();
    }
    std::fs::remove_file(root.join("sizes.json")).unwrap();
    let expected = json(&origin.join("expected.json"));
    let number = |name: &str| expected["settings"][name].as_u64().unwrap();
    let config = StoreConfig {
        commit_log_file_size: number("mappedFileSizeCommitLog"),
        index_slots: u32::try_from(number("maxHashSlotNum")).unwrap(),
        index_entries: u32::try_from(number("maxIndexNum")).unwrap(),
        delay_levels: mq_store::DelayLevels::parse(
            expected["settings"]["messageDelayLevel"].as_str().unwrap(),
        )
        .unwrap(),
        // As old as the checkout, and not to be deleted.
        delete_when: Vec::new(),
        ..StoreConfig::at(root)
    };
    (expected, config)
}

/// Every file below a directory with its content, by path.
pub fn tree(root: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    fn walk(root: &Path, dir: &Path, all: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, all);
            } else {
                all.push((path.strip_prefix(root).unwrap().to_path_buf(), std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut all = Vec::new();
    walk(root, root, &mut all);
    all.sort();
    all
}
