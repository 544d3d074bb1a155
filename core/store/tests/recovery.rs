//! Opening what a crash, a torn write or a careless hand has left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{apache, block_on, config, copy_dir, drain, fast_dir, manual_clock, record, wait_until};
use mq_store::{FlushStatus, KeyQuery, Store, StoreConfig, StoreError};
use std::os::unix::fs::FileExt;
use std::path::Path;

const LOG: u64 = 64 << 10;
const QUEUE: u64 = 1000;
const FIRST: &str = "commitlog/00000000000000000000";

fn bodies(store: &Store, topic: &str, queue: i32) -> Vec<Vec<u8>> {
    drain(store, topic, queue).iter().map(|record| record.body().to_vec()).collect()
}

/// Three records in one queue; returns where the last one stands.
fn three(root: &Path) -> (u64, u64) {
    let store = Store::open(config(root)).unwrap();
    let mut last = None;
    for body in ["one", "two", "three"] {
        last =
            Some(store.append(&record("T", 0, body.as_bytes(), "TAGS\u{1}A\u{2}KEYS\u{1}k\u{2}")).unwrap());
    }
    store.kill();
    let last = last.unwrap();
    (last.physical_offset, last.end)
}

fn write_at(path: &Path, bytes: &[u8], at: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn byte_at(path: &Path, at: u64) -> u8 {
    let mut byte = [0];
    std::fs::File::open(path).unwrap().read_exact_at(&mut byte, at).unwrap();
    byte[0]
}

/// Opens, checks the bodies, appends one more, closes, and lets Apache's rules judge the outcome.
fn opens_with(root: &Path, expected: &[&str]) {
    let store = Store::open(config(root)).unwrap();
    assert_eq!(bodies(&store, "T", 0), expected.iter().map(|body| body.as_bytes()).collect::<Vec<_>>());
    let appended = store.append(&record("T", 0, b"more", "")).unwrap();
    assert_eq!(appended.queue_offset, expected.len() as i64);
    store.close().unwrap();
    let view = apache::open(root, LOG, QUEUE).unwrap();
    assert_eq!(view.end, appended.end);
}

#[test]
fn a_tail_torn_at_any_byte_loses_only_that_record() {
    let dir = fast_dir();
    let origin = dir.path().join("origin");
    let (start, end) = three(&origin);
    for cut in start..=end {
        let root = dir.path().join(format!("cut{cut}"));
        copy_dir(&origin, &root);
        let zeros = vec![0; usize::try_from(end - cut).unwrap()];
        write_at(&root.join(FIRST), &zeros, cut);
        let expected: &[&str] = if cut == end { &["one", "two", "three"] } else { &["one", "two"] };
        opens_with(&root, expected);
        std::fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn a_flipped_bit_never_lets_a_wrong_body_through() {
    let dir = fast_dir();
    let origin = dir.path().join("origin");
    let (start, end) = three(&origin);
    for at in start..end {
        let root = dir.path().join(format!("flip{at}"));
        copy_dir(&origin, &root);
        let path = root.join(FIRST);
        write_at(&path, &[byte_at(&path, at) ^ 0x10], at);
        let store = Store::open(config(&root)).unwrap();
        let found = bodies(&store, "T", 0);
        assert_eq!(found[..2], [b"one".to_vec(), b"two".to_vec()], "{at}");
        assert!(found.len() == 2 || found[2] == b"three", "{at}");
        store.close().unwrap();
        std::fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn damage_before_valid_durable_records_is_reported_and_not_cut_silently() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    let clock = manual_clock(1_700_000_000_000);
    let store = Store::open(StoreConfig { clock: clock.clone(), ..config(&root) }).unwrap();
    let first = store.append(&record("T", 0, b"one", "")).unwrap();
    store.append(&record("T", 0, b"two", "")).unwrap();
    // The checkpoint knows times; what is older than the newest record on the disk is there as well.
    clock.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let last = store.append(&record("T", 0, b"three", "")).unwrap();
    assert_eq!(block_on(store.flushed(last.end)), FlushStatus::Flushed);
    wait_until("the checkpoint", || std::fs::read(root.join("checkpoint")).unwrap()[..8] != [0; 8]);
    store.kill();
    drop(store);
    // As after Apache's broker: without our own note the log is read from its beginning.
    std::fs::remove_file(root.join("mq-recovery")).unwrap();
    let path = root.join(FIRST);
    write_at(&path, &[byte_at(&path, 88) ^ 1], 88);
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(config(&root)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { at: 0, next, .. } if next == first.end), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "nothing was changed");
    let store = Store::open(StoreConfig { accept_damaged_log: true, ..config(&root) }).unwrap();
    let report = store.status().recovery;
    assert_eq!((report.end, report.lost_from), (0, Some(first.end)));
    assert!(report.broken.is_some());
    assert_eq!(bodies(&store, "T", 0).len(), 0);
    assert_eq!(store.append(&record("T", 0, b"new", "")).unwrap().physical_offset, 0);
    store.close().unwrap();
    assert_eq!(apache::open(&root, LOG, QUEUE).unwrap().queues.len(), 1);
}

#[test]
fn stale_records_behind_the_end_never_come_back() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    let store = Store::open(config(&root)).unwrap();
    for n in 0..20 {
        store.append(&record("T", 0, format!("old {n:02}").as_bytes(), "")).unwrap();
    }
    let size = store.append(&record("T", 0, b"old 20", "")).unwrap().size as u64;
    store.kill();
    drop(store);
    std::fs::remove_file(root.join("mq-recovery")).ok();
    // A hole at record 5: what follows is lost, and must not appear again when the hole is filled.
    write_at(&root.join(FIRST), &vec![0; usize::try_from(size).unwrap()], 5 * size);
    let store = Store::open(StoreConfig { accept_damaged_log: true, ..config(&root) }).unwrap();
    assert_eq!(bodies(&store, "T", 0).len(), 5);
    let appended = store.append(&record("T", 0, b"new 05", "")).unwrap();
    assert_eq!(appended.physical_offset, 5 * size);
    store.kill();
    drop(store);
    let store = Store::open(config(&root)).unwrap();
    let all = bodies(&store, "T", 0);
    assert_eq!(all.len(), 6);
    assert_eq!(all[5], b"new 05");
    store.close().unwrap();
}

/// A store with some queues over several files of everything; returns all bodies of queue 0.
fn filled(root: &Path) -> Vec<Vec<u8>> {
    let store = Store::open(config(root)).unwrap();
    for n in 0..1200_u32 {
        let keys = format!("KEYS\u{1}key{n}\u{2}UNIQ_KEY\u{1}ID{n}\u{2}");
        let body = format!("{n} {}", "x".repeat(usize::try_from(n % 97).unwrap()));
        store.append(&record("T", i32::try_from(n % 3).unwrap(), body.as_bytes(), &keys)).unwrap();
        if n % 100 == 0 {
            store.append(&record("Other", 0, b"other", &keys)).unwrap();
        }
    }
    let all = bodies(&store, "T", 0);
    assert_eq!(all.len(), 400);
    store.close().unwrap();
    all
}

fn finds(store: &Store, key: &str) -> usize {
    let query = KeyQuery { topic: "T", key, max: 10, begin: 0, end: i64::MAX };
    store.query(&query).unwrap().records.len()
}

#[test]
fn whatever_is_derived_can_be_lost() {
    let dir = fast_dir();
    let origin = dir.path().join("origin");
    let all = filled(&origin);
    apache::open(&origin, LOG, QUEUE).unwrap();
    let remove: [(&str, &[&str]); 8] = [
        ("nothing", &[]),
        ("queues", &["consumequeue"]),
        ("one queue", &["consumequeue/T/0"]),
        ("a topic", &["consumequeue/T"]),
        ("the index", &["index"]),
        ("checkpoint", &["checkpoint"]),
        ("note", &["mq-recovery"]),
        ("all", &["consumequeue", "index", "checkpoint", "mq-recovery"]),
    ];
    for clean in [true, false] {
        for (what, paths) in &remove {
            let root = dir.path().join("copy");
            copy_dir(&origin, &root);
            if !clean {
                std::fs::write(root.join("abort"), "1").unwrap();
            }
            for path in *paths {
                let path = root.join(path);
                if path.is_dir() {
                    std::fs::remove_dir_all(path).unwrap();
                } else {
                    std::fs::remove_file(path).unwrap();
                }
            }
            let store = Store::open(config(&root)).unwrap();
            assert_eq!(bodies(&store, "T", 0), all, "{what}, clean {clean}");
            assert_eq!(store.max_offset("T", 1), 400, "{what}");
            assert_eq!(store.max_offset("Other", 0), 12, "{what}");
            let end = store.status().max_physical_offset;
            wait_until("the index", || store.status().indexed == end);
            for key in ["key7", "ID7", "key1199", "ID0"] {
                assert_eq!(finds(&store, key), 1, "{what}, clean {clean}, {key}");
            }
            assert_eq!(finds(&store, "key1200"), 0);
            assert_eq!(store.append(&record("T", 0, b"more", "")).unwrap().queue_offset, 400);
            store.close().unwrap();
            let view = apache::open(&root, LOG, QUEUE).unwrap();
            assert_eq!(view.queues[&("T".to_owned(), 0)].len(), 401, "{what}");
            std::fs::remove_dir_all(root).unwrap();
        }
    }
}

#[test]
fn one_missing_queue_without_a_note_is_found_by_its_next_record() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    let all = filled(&root);
    let store = Store::open(config(&root)).unwrap();
    store.append(&record("T", 0, b"after", "")).unwrap();
    store.kill();
    drop(store);
    std::fs::remove_dir_all(root.join("consumequeue/T/0")).unwrap();
    std::fs::remove_file(root.join("mq-recovery")).unwrap();
    let store = Store::open(config(&root)).unwrap();
    assert!(store.status().recovery.rebuilt);
    let found = bodies(&store, "T", 0);
    assert_eq!((&found[..400], &found[400][..]), (&all[..], &b"after"[..]));
    store.close().unwrap();
    apache::open(&root, LOG, QUEUE).unwrap();
}

#[test]
fn a_directory_after_a_kill_is_what_apache_can_repair() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    let store = Store::open(config(&root)).unwrap();
    for n in 0..2000 {
        store
            .append(&record("T", n % 5, &vec![b'x'; usize::try_from(n).unwrap() % 200], "TAGS\u{1}T\u{2}"))
            .unwrap();
    }
    store.kill();
    let view = apache::open(&root, LOG, QUEUE).unwrap();
    assert_eq!(view.queues.len(), 5);
    assert!(view.queues.values().all(|queue| queue.len() == 400));
    drop(store);
    Store::open(config(&root)).unwrap().close().unwrap();
    assert_eq!(apache::open(&root, LOG, QUEUE).unwrap(), view);
}

#[test]
fn recovery_can_be_killed_and_repeated() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    filled(&root);
    for round in 0..5 {
        let store = Store::open(config(&root)).unwrap();
        assert_eq!(store.max_offset("T", 0), 400 + round);
        store.append(&record("T", 0, b"again", "")).unwrap();
        store.kill();
    }
    let store = Store::open(config(&root)).unwrap();
    assert_eq!(store.max_offset("T", 0), 405);
    store.close().unwrap();
    apache::open(&root, LOG, QUEUE).unwrap();
}

#[test]
fn foreign_files_and_wrong_sizes_are_refused_with_their_names() {
    let dir = fast_dir();
    let origin = dir.path().join("origin");
    filled(&origin);
    let refused = |change: &dyn Fn(&Path), name: &str| {
        let root = dir.path().join("copy");
        copy_dir(&origin, &root);
        change(&root);
        let error = Store::open(config(&root)).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        std::fs::remove_dir_all(root).unwrap();
    };
    refused(&|root| std::fs::write(root.join("commitlog/notes.txt"), "x").unwrap(), "notes.txt");
    refused(
        &|root| std::fs::remove_file(root.join("commitlog/00000000000000065536")).unwrap(),
        "00000000000000131072",
    );
    refused(
        &|root| std::fs::File::options().write(true).open(root.join(FIRST)).unwrap().set_len(100).unwrap(),
        "mappedFileSizeCommitLog",
    );
    refused(&|root| std::fs::write(root.join("consumequeue/CURRENT"), "x").unwrap(), "RocksDB");
    refused(&|root| std::fs::create_dir_all(root.join("batchconsumequeue/T")).unwrap(), "BatchCQ");
    refused(&|root| std::fs::write(root.join("consumequeue/T/0/x"), "x").unwrap(), "consumequeue/T/0/x");
    // An empty last file is what a crash leaves between making and sizing it.
    let root = dir.path().join("copy");
    copy_dir(&origin, &root);
    std::fs::write(root.join("commitlog/00000000000000999424"), "").unwrap();
    Store::open(config(&root)).unwrap().close().unwrap();
}

#[test]
fn a_deleted_topic_is_gone_and_its_numbering_goes_on() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    filled(&root);
    let store = Store::open(config(&root)).unwrap();
    store.delete_topic("T").unwrap();
    assert!(!root.join("consumequeue/T").exists());
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (400, 400));
    assert_eq!(store.append(&record("T", 0, b"new", "")).unwrap().queue_offset, 400);
    assert_eq!(bodies(&store, "T", 0), [b"new"]);
    store.close().unwrap();
    drop(store);
    let store = Store::open(config(&root)).unwrap();
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (400, 401));
    assert_eq!(bodies(&store, "T", 0), [b"new"]);
    assert!(!store.status().recovery.rebuilt);
    store.close().unwrap();
}

#[test]
fn a_deleted_queue_stays_deleted_and_numbered_through_every_kind_of_start() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    filled(&root);
    let store = Store::open(config(&root)).unwrap();
    store.delete_topic("T").unwrap();
    store.close().unwrap();
    drop(store);
    for round in 0..3 {
        let store = Store::open(config(&root)).unwrap();
        assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (400, 400), "{round}");
        assert_eq!(store.max_offset("Other", 0), 12);
        store.kill();
        drop(store);
        if round == 1 {
            // Everything is built anew from a log that still has the records.
            std::fs::remove_dir_all(root.join("consumequeue")).unwrap();
            std::fs::remove_file(root.join("mq-recovery")).unwrap();
        }
    }
    let store = Store::open(config(&root)).unwrap();
    assert_eq!(store.append(&record("T", 0, b"new", "")).unwrap().queue_offset, 400);
    store.kill();
    drop(store);
    std::fs::remove_dir_all(root.join("consumequeue")).unwrap();
    let store = Store::open(config(&root)).unwrap();
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (400, 401));
    assert_eq!(bodies(&store, "T", 0), [b"new"]);
    store.close().unwrap();
}

#[test]
fn a_topic_that_apache_deleted_and_made_again_has_only_its_new_messages() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    for body in ["old 0", "old 1", "old 2"] {
        let store = Store::open(config(&root)).unwrap();
        store.append(&record("T", 0, body.as_bytes(), "")).unwrap();
        store.close().unwrap();
    }
    // Apache's deletion: the queue is gone, and numbering starts again.
    std::fs::remove_dir_all(root.join("consumequeue/T")).unwrap();
    std::fs::remove_file(root.join("mq-recovery")).unwrap();
    std::fs::remove_file(root.join("checkpoint")).unwrap();
    let store = Store::open(config(&root)).unwrap();
    // Without any queue all is built anew: nothing tells that the topic was deleted.
    assert_eq!(store.max_offset("T", 0), 3);
    store.append(&record("Other", 0, b"x", "")).unwrap();
    store.close().unwrap();
    drop(store);
    std::fs::remove_dir_all(root.join("consumequeue/T")).unwrap();
    std::fs::remove_file(root.join("mq-recovery")).unwrap();
    let store = Store::open(config(&root)).unwrap();
    let again = store.append(&record("T", 0, b"new 0", "")).unwrap();
    assert_eq!(again.queue_offset, 0);
    store.append(&record("T", 0, b"new 1", "")).unwrap();
    store.kill();
    drop(store);
    std::fs::remove_dir_all(root.join("consumequeue")).unwrap();
    let store = Store::open(config(&root)).unwrap();
    assert_eq!(bodies(&store, "T", 0), [b"new 0", b"new 1"]);
    store.close().unwrap();
}

#[test]
fn expired_files_go_with_what_points_into_them() {
    let dir = fast_dir();
    let root = dir.path().join("store");
    filled(&root);
    let config = StoreConfig {
        file_reserved_time: std::time::Duration::ZERO,
        delete_when: (0..24).collect(),
        clean_resource_interval: std::time::Duration::from_millis(20),
        ..config(&root)
    };
    let store = Store::open(config).unwrap();
    let last = store.status().max_physical_offset / LOG * LOG;
    wait_until("deletion", || store.status().min_physical_offset == last);
    wait_until("the queues", || store.min_offset("T", 0) > 300);
    let min = store.min_offset("T", 0);
    assert!(min < 400);
    assert_eq!(drain(&store, "T", 0).len(), usize::try_from(400 - min).unwrap());
    assert!(drain(&store, "T", 0)[0].layout().physical_offset >= i64::try_from(last).unwrap());
    assert!(store.record_at(0).unwrap().is_none());
    store.close().unwrap();
    drop(store);
    assert_eq!(std::fs::read_dir(root.join("commitlog")).unwrap().count(), 1);
    apache::open(&root, LOG, QUEUE).unwrap();
    // The same once more from the log alone: queues begin with blanks.
    std::fs::remove_dir_all(root.join("consumequeue")).unwrap();
    let store = Store::open(common::config(&root)).unwrap();
    assert_eq!((store.min_offset("T", 0), store.max_offset("T", 0)), (min, 400));
    store.close().unwrap();
    apache::open(&root, LOG, QUEUE).unwrap();
}
