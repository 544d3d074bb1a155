//! Files that are damaged, emptied, missing or foreign: what is whole is there, what is not is said, nothing panics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{copy_dir, drain, fast_dir, read, record};
use mq_protocol::message::MessageRecord;
use mq_store::check::Fault;
use mq_store::fs::{Call, Random, SimulatedFiles};
use mq_store::{FlushDisk, FlushStatus, KeyQuery, ReadStatus, Store, StoreConfig, StoreError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MESSAGES: u32 = 160;

fn config(root: &Path) -> StoreConfig {
    StoreConfig {
        commit_log_file_size: 16 << 10,
        consume_queue_file_size: 20 * 30,
        index_slots: 20,
        index_entries: 100,
        ..common::config(root)
    }
}

fn body(n: u32) -> Vec<u8> {
    format!("message {n} {}", "x".repeat(usize::try_from(n * 7 % 150).unwrap())).into_bytes()
}

/// A store with several files of each kind, stopped cleanly.
fn fill(root: &Path) {
    let store = Store::open(config(root)).unwrap();
    for n in 0..MESSAGES {
        let keys = format!("KEYS\u{1}key{n}\u{2}TAGS\u{1}A\u{2}");
        store.append(&record("T", i32::try_from(n % 2).unwrap(), &body(n), &keys)).unwrap();
    }
    let offsets = store.config("consumerOffset.json");
    offsets.save(br#"{"offsetTable":{"T@G":{"0":1}}}"#).unwrap();
    offsets.save(br#"{"offsetTable":{"T@G":{"0":2}}}"#).unwrap();
    store.close().unwrap();
}

/// All files below a directory, as paths relative to it.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut all, mut open) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.push(path.strip_prefix(root).unwrap().to_path_buf());
            }
        }
    }
    all.sort();
    all
}

/// Does something to each file of a copy of a filled store, after a clean and after an unclean stop.
fn each_file(mut change: impl FnMut(&Path, &Path) -> bool, check: impl Fn(&str, &Path, bool)) {
    let dir = fast_dir();
    let (origin, root) = (dir.path().join("origin"), dir.path().join("copy"));
    fill(&origin);
    for name in files(&origin) {
        for clean in [true, false] {
            copy_dir(&origin, &root);
            if !clean {
                std::fs::write(root.join("abort"), "1").unwrap();
            }
            if change(&root.join(&name), &name) {
                check(&name.to_string_lossy(), &root, clean);
            }
            std::fs::remove_dir_all(&root).unwrap();
        }
    }
}

/// Whether a queue's messages are all there, each with its content.
fn is_complete(store: &Store, queue: u32) -> bool {
    let wanted = (0..MESSAGES).filter(|n| n % 2 == queue).map(body);
    let queue = i32::try_from(queue).unwrap();
    wanted.eq(drain(store, "T", queue).iter().map(|record| record.body().to_vec()))
}

fn finds_all_keys(store: &Store) -> bool {
    (0..MESSAGES).all(|n| {
        let key = format!("key{n}");
        let query = KeyQuery { topic: "T", key: &key, max: 10, begin: 0, end: i64::MAX };
        let found = store.query(&query).unwrap().records;
        found.len() == 1 && found[0].body() == body(n)
    })
}

/// Opens a store whose log is whole: every message is there and can be found, and the next one gets the next number.
fn opens_completely(what: &str, root: &Path) {
    let store = Store::open(config(root)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(is_complete(&store, 0) && is_complete(&store, 1), "{what}");
    assert!(finds_all_keys(&store), "{what}");
    assert_eq!(store.append(&record("T", 0, b"next", "")).unwrap().queue_offset, i64::from(MESSAGES / 2));
    store.close().unwrap();
}

#[test]
fn any_missing_or_empty_file_is_made_again_or_said() {
    let check = |name: &str, root: &Path, clean: bool| {
        let what = format!("{name}, clean {clean}");
        if !name.starts_with("commitlog/") {
            return opens_completely(&what, root);
        }
        let first = name.ends_with("00000");
        match Store::open(config(root)) {
            // The oldest records may have been removed; the newest are known to be lost.
            Ok(store) => {
                let faults = store.status().recovery.faults;
                assert!(!faults.is_empty() || (first && store.status().min_physical_offset > 0), "{what}");
            }
            // A part in the middle, or an empty file that others follow.
            Err(error) => assert!(error.to_string().contains("commitlog"), "{what}: {error}"),
        }
    };
    each_file(|path, _| std::fs::remove_file(path).is_ok(), check);
    each_file(|path, _| std::fs::write(path, b"").is_ok(), check);
}

#[test]
fn flipped_bits_never_bring_a_wrong_message() {
    let mut random = Random::new(7);
    for _ in 0..8 {
        let flip = |path: &Path, _: &Path| {
            let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
            let size = file.metadata().unwrap().len();
            // Half of the flips hit what is written, not the empty rest.
            let anywhere = random.percent(50);
            let at = random.below(if anywhere { size } else { size.min(600) });
            let mut byte = [0];
            if size > 0 {
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ (1 << random.below(8))], at).unwrap();
            }
            true
        };
        each_file(flip, |name, root, clean| {
            let what = format!("{name}, clean {clean}");
            let store = match Store::open(config(root)) {
                Ok(store) => store,
                Err(error) => {
                    return assert!(!name.starts_with("consumequeue/"), "{what}: {error}");
                }
            };
            for queue in 0..2_u32 {
                let id = i32::try_from(queue).unwrap();
                let max = store.max_offset("T", id);
                // After an unclean stop a queue's last entry may as well be of a record that was lost.
                let least = i64::from(MESSAGES / 2) - i64::from(!clean);
                assert!(max >= least || name.starts_with("commitlog/"), "{what}: {max}");
                let mut offset = store.min_offset("T", id);
                while offset < max {
                    let found = read(&store, "T", id, offset, 1);
                    if found.status != ReadStatus::Found {
                        assert!(name.starts_with("commitlog/"), "{what}: {offset}: {:?}", found.status);
                        offset += 1;
                        continue;
                    }
                    let Ok(records) = MessageRecord::take_all(found.slices[0].clone()) else {
                        // A header that is damaged beyond reading: clients say so.
                        assert!(name.starts_with("commitlog/"), "{what}: {offset}");
                        offset = found.next_offset;
                        continue;
                    };
                    // A damaged record may also say a wrong number, or be passed over for the next one.
                    let own = records[0].layout().queue_offset;
                    let right = [offset, own].iter().any(|offset| {
                        let n = u32::try_from(*offset)
                            .map_or(u32::MAX, |n| n.saturating_mul(2).saturating_add(queue));
                        n < MESSAGES && records[0].body() == body(n)
                    });
                    let whole = records[0].layout().check_body(records[0].raw()).is_ok();
                    assert!(!whole || right, "{what}: {offset}: {:?}", records[0].layout());
                    assert!(right || name.starts_with("commitlog/"), "{what}: {offset}");
                    offset = found.next_offset;
                }
            }
            store.close().unwrap();
        });
    }
}

#[test]
fn records_that_were_on_the_disk_and_are_gone_are_said() {
    for clean in [true, false] {
        let dir = fast_dir();
        fill(dir.path());
        let store = Store::open(config(dir.path())).unwrap();
        let end = store.status().max_physical_offset;
        store.close().unwrap();
        drop(store);
        // The newest file is all zeros, as after a disk that lied about its syncs.
        let last = end / (16 << 10) * (16 << 10);
        let file = std::fs::File::create(dir.path().join(format!("commitlog/{last:020}"))).unwrap();
        file.set_len(16 << 10).unwrap();
        // Neither queues nor index are there to miss them.
        std::fs::remove_dir_all(dir.path().join("consumequeue")).unwrap();
        std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        if !clean {
            std::fs::write(dir.path().join("abort"), "1").unwrap();
        }
        let store = Store::open(config(dir.path())).unwrap();
        let report = store.status().recovery;
        assert_eq!(report.end, last, "clean {clean}");
        let said = |fault: &Fault| {
            let Fault::Checkpoint { what } = fault else { return false };
            what.contains(&format!("up to {end},")) && what.contains(&format!("ends at {last}:"))
        };
        assert!(report.faults.iter().any(said), "clean {clean}: {:?}", report.faults);
        store.close().unwrap();
    }
}

#[test]
fn a_log_that_is_gone_is_missed() {
    let dir = fast_dir();
    fill(dir.path());
    std::fs::rename(dir.path().join("commitlog"), dir.path().join("elsewhere")).unwrap();
    let error = Store::open(config(dir.path())).unwrap_err();
    assert!(matches!(error, StoreError::Layout { .. }), "{error}");
    assert!(error.to_string().contains("is its disk mounted"), "{error}");
    assert!(dir.path().join("consumequeue/T/0").exists(), "nothing was removed");
    std::fs::remove_dir_all(dir.path().join("commitlog")).unwrap();
    std::fs::rename(dir.path().join("elsewhere"), dir.path().join("commitlog")).unwrap();
    opens_completely("back again", dir.path());
    std::fs::remove_dir_all(dir.path().join("commitlog")).unwrap();
    let config = StoreConfig { accept_damaged_log: true, ..config(dir.path()) };
    let store = Store::open(config).unwrap();
    assert!(!store.status().recovery.faults.is_empty());
    // Numbers go on, so that no consumer takes a new message for one that it has seen.
    assert_eq!(store.append(&record("T", 1, b"new", "")).unwrap().queue_offset, i64::from(MESSAGES / 2));
}

#[test]
fn several_log_directories_are_refused() {
    let dir = fast_dir();
    let log = PathBuf::from(format!("{0}/a,{0}/b", dir.path().display()));
    let error = Store::open(StoreConfig { commit_log: Some(log), ..config(dir.path()) }).unwrap_err();
    assert!(matches!(error, StoreError::Config { setting: "storePathCommitLog", .. }), "{error}");
    assert!(!dir.path().join("commitlog").exists());
}

#[test]
fn foreign_directories_and_files_are_left_alone() {
    let dir = fast_dir();
    fill(dir.path());
    let foreign =
        ["notes.txt", "lost+found/x", "commitlog/sub/x", "consumequeue/T/zero/x", "index/readme.txt"];
    for name in foreign {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "mine").unwrap();
    }
    opens_completely("foreign files", dir.path());
    assert!(foreign.iter().all(|name| std::fs::read(dir.path().join(name)).unwrap() == b"mine"));
}

#[test]
fn a_file_of_somebody_else_is_named_and_nothing_is_lost() {
    const EACCES: i32 = 13;
    let root = Path::new("/store");
    let files = SimulatedFiles::new(1, root);
    let config =
        StoreConfig { file_system: Arc::new(files.clone()), flush_disk: FlushDisk::Sync, ..config(root) };
    let store = Store::open(config.clone()).unwrap();
    for n in 0..MESSAGES {
        let keys = format!("KEYS\u{1}key{n}\u{2}");
        let appended = store.append(&record("T", i32::try_from(n % 2).unwrap(), &body(n), &keys)).unwrap();
        assert_eq!(common::block_on(store.flushed(appended.end)), FlushStatus::Flushed);
    }
    store.close().unwrap();
    drop(store);
    let parts =
        ["commitlog/", "consumequeue/T/0/", "index/", "/checkpoint", "/mq-recovery", "/lock", "/abort"];
    for part in parts {
        files.refuse(Call::Open, part, EACCES, u64::MAX);
        let error = Store::open(config.clone()).expect_err(part);
        assert!(error.to_string().contains(part.trim_end_matches('/')), "{part}: {error}");
        assert!(error.to_string().contains("denied"), "{error}");
        files.allow();
    }
    let store = Store::open(config).unwrap();
    assert!(is_complete(&store, 0) && is_complete(&store, 1) && finds_all_keys(&store));
    store.close().unwrap();
}
