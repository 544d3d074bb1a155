//! What is in the page cache and what is not: a read that would wait for the disk is told from one that would not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::fs;
use std::path::Path;

use common::{drain, record};
use mq_store::{Store, StoreConfig};
use rustix::fs::{Advice, fadvise};

/// File system type of memory, where nothing is ever cold.
const TMPFS: i64 = 0x0102_1994;

/// Takes the files of a closed store out of the page cache.
fn forget(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            forget(&path);
        } else {
            let file = fs::File::open(&path).unwrap();
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
    }
}

#[test]
fn cold_data_is_told_from_hot() {
    // On the disk of the build: one in memory is never cold.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let config = StoreConfig { commit_log_file_size: 8 << 20, ..common::config(&dir.path().join("store")) };
    let store = Store::open(config.clone()).unwrap();
    let body = vec![b'x'; 64 << 10];
    let mut second = 0;
    for n in 0..300 {
        let appended = store.append(&record("T", n % 2, &body, "")).unwrap();
        if n == 1 {
            second = appended.physical_offset;
        }
    }
    assert!(store.is_record_cached(second));
    assert!(store.is_cached("T", 0, 0) && store.is_cached("T", 1, 149), "what was just written is hot");
    store.close().unwrap();
    drop(store);
    forget(&config.root);
    let store = Store::open(config).unwrap();
    if rustix::fs::statfs(dir.path()).unwrap().f_type != TMPFS {
        assert!(!store.is_cached("T", 0, 10), "what is on the disk alone is cold");
        assert!(!store.is_record_cached(second));
    }
    assert!(
        store.record_at(second).unwrap().is_some() && store.is_record_cached(second),
        "reading one makes it hot"
    );
    // Reading makes it hot again.
    let last = drain(&store, "T", 0).iter().map(|record| *record.body().last().unwrap()).collect::<Vec<_>>();
    assert_eq!(last, [b'x'; 150]);
    assert!(store.is_cached("T", 0, 10));
    // Nothing to wait for: no such message, no such queue, no such position, or one inside a body.
    for position in [u64::MAX, store.status().max_physical_offset, second + 100] {
        assert!(store.is_record_cached(position) && store.record_at(position).unwrap().is_none());
    }
    assert!(store.is_cached("T", 0, 150) && store.is_cached("T", 0, 9999) && store.is_cached("U", 0, 0));
    let appended = store.append(&record("T", 0, b"new", "")).unwrap();
    assert!(store.is_cached("T", 0, appended.queue_offset));
    store.close().unwrap();
}
