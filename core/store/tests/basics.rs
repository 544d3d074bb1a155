//! Appending, reading, closing and opening again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{block_on, config, drain, manual_clock, read, record, records};
use mq_protocol::filter::TagFilter;
use mq_store::{
    AppendError, Boundary, Filter, FlushDisk, FlushStatus, ReadRequest, ReadStatus, Store, StoreConfig,
    StoreError,
};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

#[test]
fn what_is_appended_is_read_after_clean_and_unclean_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4 {
        let store = Store::open(config(dir.path())).unwrap();
        assert_eq!(store.status().recovery.clean, round != 1 && round != 3, "{round}");
        for n in 0..700 {
            let body = format!("round {round} message {n} {}", "x".repeat(n % 300));
            let appended = store.append(&record("T", 0, body.as_bytes(), "TAGS\u{1}A\u{2}")).unwrap();
            assert_eq!(appended.queue_offset, expected.len() as i64);
            expected.push(body);
        }
        let bodies: Vec<_> = drain(&store, "T", 0).iter().map(|r| r.body().to_vec()).collect();
        assert!(bodies.iter().map(|b| &b[..]).eq(expected.iter().map(|b| b.as_bytes())));
        if round % 2 == 0 {
            store.kill();
        } else {
            store.close().unwrap();
        }
        assert!(matches!(store.append(&record("T", 0, b"x", "")), Err(AppendError::Closed)));
    }
}

#[test]
fn statuses_and_next_offsets_are_apaches() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let status = |offset| {
        let found = read(&store, "T", 0, offset, 32);
        (found.status, found.next_offset)
    };
    assert_eq!(status(0), (ReadStatus::NoMatchedLogicQueue, 0));
    for n in 0..40_u8 {
        let tag = if n % 2 == 0 { "TAGS\u{1}A\u{2}" } else { "TAGS\u{1}B\u{2}" };
        store.append(&record("T", 0, &[n], tag)).unwrap();
    }
    assert_eq!(status(-1), (ReadStatus::OffsetTooSmall, 0));
    assert_eq!(status(40), (ReadStatus::OffsetOverflowOne, 40));
    assert_eq!(status(41), (ReadStatus::OffsetOverflowBadly, 40));
    assert_eq!(status(0), (ReadStatus::Found, 32));
    assert_eq!(status(32), (ReadStatus::Found, 40));
    let found = read(&store, "T", 0, 0, 5);
    assert_eq!((found.count, found.next_offset, found.min_offset, found.max_offset), (5, 5, 0, 40));
    assert_eq!(found.slices.len(), 1, "neighbours share a slice");
    let filter = |expression: &str, offset| {
        let filter = TagFilter::parse(expression).unwrap();
        let request = ReadRequest {
            topic: "T",
            queue_id: 0,
            offset,
            max_count: 10,
            max_bytes: None,
            filter: Filter::Tags(&filter),
        };
        store.read(&request)
    };
    let found = filter("B", 3);
    assert_eq!(found.status, ReadStatus::Found);
    assert!(records(&found).iter().all(|r| r.body()[0] % 2 == 1 && r.body()[0] >= 3));
    assert_eq!((found.count, found.next_offset), (10, 22));
    let found = filter("C", 3);
    assert_eq!((found.status, found.next_offset, found.count), (ReadStatus::NoMatchedMessage, 40, 0));
}

#[test]
fn a_second_open_is_refused_and_leaves_the_lock_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    for _ in 0..2 {
        assert!(matches!(Store::open(config(dir.path())), Err(StoreError::Locked(_))));
    }
    let child = std::process::Command::new("python3")
        .args(["-c", "import fcntl,sys\nf=open(sys.argv[1],'r+')\ntry:\n fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB,1)\n print('free')\nexcept OSError:\n print('held')"])
        .arg(dir.path().join("lock"))
        .output();
    if let Ok(output) = child {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "held");
    }
    store.close().unwrap();
    Store::open(config(dir.path())).unwrap().close().unwrap();
}

/// Names the directory that the process of `holds_a_store` opens.
const HELD: &str = "MQ_TEST_HELD_STORE";

#[test]
#[ignore = "is run by a_store_of_another_process_is_refused_and_not_touched, in a process of its own"]
fn holds_a_store() {
    let store = Store::open(config(Path::new(&std::env::var(HELD).unwrap()))).unwrap();
    store.append(&record("T", 0, b"held", "")).unwrap();
    println!("\nholding");
    // Until the parent closes it.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    store.close().unwrap();
}

#[test]
fn a_store_of_another_process_is_refused_and_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_store", "--ignored", "--nocapture"])
        .env(HELD, dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(holder.stdout.take().unwrap());
    let mut lines = said.lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "holding"));
    let error = Store::open(config(dir.path())).unwrap_err();
    assert!(matches!(error, StoreError::Locked(_)), "{error}");
    assert!(matches!(mq_store::check::StoppedStore::open(config(dir.path())), Err(StoreError::Locked(_))));
    // Who opens the store writes its number there.
    assert_eq!(std::fs::read_to_string(dir.path().join("abort")).unwrap(), holder.id().to_string());
    drop(holder.stdin.take());
    assert!(lines.any(|line| line.contains("1 passed")) && holder.wait().unwrap().success());
    let store = Store::open(config(dir.path())).unwrap();
    assert!(store.status().recovery.clean);
    assert_eq!(drain(&store, "T", 0).len(), 1);
    store.close().unwrap();
}

#[test]
fn synchronous_mode_shows_only_what_is_flushed_and_releases_waits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig { flush_disk: FlushDisk::Sync, ..config(dir.path()) }).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&seen);
    store.on_arrival(Box::new(move |arrival| listener.lock().unwrap().push(arrival.queue_offset)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let appended = store.append(&record("T", 1, b"durable", "")).unwrap();
                    assert_eq!(block_on(store.flushed(appended.end)), FlushStatus::Flushed);
                    assert!(store.max_offset("T", 1) > appended.queue_offset);
                }
            });
        }
    });
    assert_eq!(drain(&store, "T", 1).len(), 200);
    common::wait_until("all arrivals", || seen.lock().unwrap().len() == 200);
    store.kill();
    assert_eq!(block_on(store.flushed(u64::MAX)), FlushStatus::Failed);
    drop(store);
    let store = Store::open(config(dir.path())).unwrap();
    assert_eq!(drain(&store, "T", 1).len(), 200);
}

#[test]
fn times_find_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let clock = manual_clock(0);
    let store = Store::open(StoreConfig { clock: clock.clone(), ..config(dir.path()) }).unwrap();
    for time in [1000, 2000, 2000, 3000, 500] {
        clock.0.store(time, std::sync::atomic::Ordering::SeqCst);
        store.append(&record("T", 0, b"x", "")).unwrap();
    }
    let lower = |time| store.offset_by_time("T", 0, time, Boundary::Lower);
    let upper = |time| store.offset_by_time("T", 0, time, Boundary::Upper);
    assert_eq!([0, 1000, 1001, 2000, 2001, 3000, 3001].map(lower), [0, 0, 1, 1, 3, 3, 5]);
    assert_eq!([0, 1000, 1999, 2000, 2999, 3000, 9999].map(upper), [0, 0, 0, 2, 2, 4, 4]);
    assert_eq!(store.store_time("T", 0, 4), Some(3000), "time never goes back");
    assert_eq!(store.earliest_store_time("T", 0), Some(1000));
    assert_eq!(store.store_time("T", 0, 5), None);
}
