//! Many threads at once: appenders, readers, a topic that comes and goes, stops in the middle.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use bytes::Bytes;
use common::{apache, block_on, config, drain, fast_dir, read, record, records};
use mq_store::{AppendError, FlushDisk, FlushStatus, ReadStatus, Store, StoreConfig};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

#[test]
fn readers_see_every_message_once_and_in_order_while_many_append() {
    let dir = fast_dir();
    let store = Store::open(config(dir.path())).unwrap();
    let (threads, each) = (6_u32, 800_u32);
    thread::scope(|scope| {
        for thread in 0..threads {
            let store = &store;
            scope.spawn(move || {
                for n in 0..each {
                    let body = [thread.to_be_bytes(), n.to_be_bytes()].concat();
                    if n % 7 == 0 {
                        store.append_batch(&[record("T", 0, &body, "")]).unwrap();
                    } else {
                        store.append(&record("T", 0, &body, "TAGS\u{1}x\u{2}")).unwrap();
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut offset, mut next) = (0, vec![0; threads as usize]);
                while offset < i64::from(threads * each) {
                    let found = read(&store, "T", 0, offset, 32);
                    match found.status {
                        ReadStatus::Found => {}
                        ReadStatus::OffsetOverflowOne
                        | ReadStatus::NoMessageInQueue
                        | ReadStatus::NoMatchedLogicQueue => {
                            thread::yield_now();
                            continue;
                        }
                        other => panic!("{other:?} at {offset}"),
                    }
                    for record in records(&found) {
                        assert_eq!(record.layout().queue_offset, offset);
                        let body = record.body();
                        let thread = u32::from_be_bytes(body[..4].try_into().unwrap());
                        let n = u32::from_be_bytes(body[4..].try_into().unwrap());
                        assert_eq!(n, next[thread as usize]);
                        next[thread as usize] += 1;
                        offset += 1;
                    }
                    assert_eq!(found.next_offset, offset);
                }
            });
        }
    });
    store.close().unwrap();
    apache::open(dir.path(), 64 << 10, 1000).unwrap();
}

#[test]
fn slices_stay_valid_after_their_file_and_the_store_are_gone() {
    let dir = fast_dir();
    let store = Store::open(config(dir.path())).unwrap();
    store.append(&record("T", 0, b"kept", "")).unwrap();
    let found = read(&store, "T", 0, 0, 1);
    store.close().unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.path()).unwrap();
    assert_eq!(&records(&found)[0].body()[..], b"kept");
}

#[test]
fn every_arrival_is_told_once_and_can_be_read_then() {
    for flush_disk in [FlushDisk::Async, FlushDisk::Sync] {
        let dir = fast_dir();
        let store = Store::open(StoreConfig { flush_disk, ..config(dir.path()) }).unwrap();
        let told = Arc::new(Mutex::new(BTreeSet::new()));
        let (into, reader) = (Arc::clone(&told), Arc::new(Mutex::new(Some(store.clone()))));
        let listening = Arc::clone(&reader);
        store.on_arrival(Box::new(move |arrival| {
            let store = listening.lock().unwrap().clone();
            if let Some(store) = store {
                let found = read(&store, arrival.topic, arrival.queue_id, arrival.queue_offset, 1);
                assert_eq!(found.status, ReadStatus::Found);
                assert!(into.lock().unwrap().insert((arrival.queue_id, arrival.queue_offset)));
            }
        }));
        thread::scope(|scope| {
            for queue in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    for _ in 0..100 {
                        store.append(&record("T", queue % 2, b"x", "")).unwrap();
                    }
                });
            }
        });
        common::wait_until("all arrivals", || told.lock().unwrap().len() == 400);
        reader.lock().unwrap().take();
        store.close().unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_a_stop_in_the_middle() {
    let kinds = [FlushDisk::Async, FlushDisk::Sync, FlushDisk::Async, FlushDisk::Sync, FlushDisk::Sync];
    for (round, flush_disk) in kinds.into_iter().enumerate() {
        let dir = fast_dir();
        let store = Store::open(StoreConfig { flush_disk, ..config(dir.path()) }).unwrap();
        let acknowledged = Mutex::new(BTreeSet::new());
        let enough = AtomicU64::new(0);
        thread::scope(|scope| {
            for thread in 0..4_u32 {
                let (store, acknowledged, enough) = (&store, &acknowledged, &enough);
                scope.spawn(move || {
                    for n in 0_u32.. {
                        let body = Bytes::from([thread.to_be_bytes(), n.to_be_bytes()].concat());
                        // Some are answered at once, between others that wait in memory for the disk.
                        let waits = (n + thread) % 4 > 0;
                        let record = record("T", 0, &body, "");
                        let appended = if waits {
                            store.append_until_flushed(&record, &body)
                        } else {
                            store.append(&record)
                        };
                        let appended = match appended {
                            Ok(appended) => appended,
                            Err(AppendError::Closed) => return,
                            Err(error) => panic!("{error}"),
                        };
                        if !waits || block_on(store.flushed(appended.end)) == FlushStatus::Flushed {
                            acknowledged.lock().unwrap().insert((appended.queue_offset, body.to_vec()));
                        }
                        enough.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            common::wait_until("some messages", || enough.load(Ordering::SeqCst) > 300);
            if round == 2 { store.close().unwrap() } else { store.kill() }
        });
        drop(store);
        apache::open(dir.path(), 64 << 10, 1000).unwrap();
        let store = Store::open(config(dir.path())).unwrap();
        assert_eq!(store.status().recovery.clean, round == 2);
        let found: BTreeSet<_> = drain(&store, "T", 0)
            .iter()
            .map(|record| (record.layout().queue_offset, record.body().to_vec()))
            .collect();
        assert!(acknowledged.lock().unwrap().is_subset(&found));
        store.close().unwrap();
    }
}

#[test]
fn deleting_a_topic_under_load_leaves_a_whole_store() {
    let dir = fast_dir();
    let store = Store::open(config(dir.path())).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let appender = scope.spawn(|| {
            for n in 0..3000 {
                store.append(&record("T", n % 2, b"x", "")).unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                store.delete_topic("T").unwrap();
            }
        });
        appender.join().unwrap();
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(store.max_offset("T", 0), 1500);
    let left = drain(&store, "T", 0).len() as i64;
    assert_eq!(left, 1500 - store.min_offset("T", 0));
    store.append(&record("T", 0, b"last", "")).unwrap();
    assert_eq!(drain(&store, "T", 0).last().unwrap().body()[..], *b"last");
    assert!(store.status().pending_entries <= 10_000);
    store.close().unwrap();
    Store::open(config(dir.path())).unwrap().close().unwrap();
}

#[test]
fn thousands_of_queues_need_few_descriptors() {
    let dir = fast_dir();
    let small = StoreConfig { open_queue_files: 16, ..config(dir.path()) };
    let store = Store::open(small.clone()).unwrap();
    for round in 0..2 {
        for queue in 0..2000 {
            let appended = store.append(&record("T", queue, b"x", "")).unwrap();
            assert_eq!(appended.queue_offset, round);
        }
    }
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    common::wait_until("the queues", || store.status().queued == store.status().max_physical_offset);
    for queue in (0..2000).step_by(50) {
        assert_eq!(drain(&store, "T", queue).len(), 2);
    }
    assert!(open() < 500, "{} descriptors", open());
    store.close().unwrap();
    drop(store);
    let store = Store::open(small).unwrap();
    assert_eq!(store.max_offset("T", 1999), 2);
    assert_eq!(drain(&store, "T", 1999).len(), 2);
    store.close().unwrap();
}
