//! Checking and rebuilding stopped stores: Apache's, ours, and damaged ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{config, copy_dir, drain, fast_dir, record, vector};
use mq_store::check::{CheckReport, Fault, StoppedStore, sizes_of_files};
use mq_store::{Store, StoreConfig, StoreError, rebuild};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const KEYS: &str =
    "UNIQ_KEY\u{1}7F00000100002A9F4C6E18B4AAC20000\u{2}KEYS\u{1}one two\u{2}TAGS\u{1}TagA\u{2}";

fn check(config: &StoreConfig) -> CheckReport {
    StoppedStore::open(config.clone()).unwrap().check().unwrap()
}

/// A store with several files of each kind, closed.
fn filled(root: &Path) -> StoreConfig {
    let config = config(root);
    let store = Store::open(config.clone()).unwrap();
    for n in 0..600_usize {
        let body = vec![u8::try_from(n % 251).unwrap(); 10 + n * 7 % 900];
        let properties = if n % 3 == 0 { "" } else { KEYS };
        store
            .append(&record(["A", "B", "%RETRY%G"][n % 3], i32::try_from(n % 2).unwrap(), &body, properties))
            .unwrap();
    }
    let batch: Vec<_> = (0..5).map(|_| record("Batch", 3, b"together", KEYS)).collect();
    store.append_batch(&batch).unwrap();
    store.config("consumerOffset.json").save(br#"{"offsetTable":{"A@G":{0:7,1:100}}}"#).unwrap();
    store.close().unwrap();
    config
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

fn flip(path: &Path, at: u64) {
    let mut byte = [0];
    fs::File::open(path).unwrap().read_exact_at(&mut byte, at).unwrap();
    overwrite(path, at, &[byte[0] ^ 0x10]);
}

#[test]
fn whole_stores_have_no_fault() {
    let dir = fast_dir();
    for name in ["clean", "killed"] {
        let root = dir.path().join(name);
        let (expected, config) = vector(name, &root);
        let report = check(&config);
        assert_eq!(report.findings.faults, [], "{name}");
        assert_eq!(report.clean, name == "clean");
        assert_eq!(report.log_end, expected["log_end"].as_u64().unwrap());
        assert_eq!(report.records, expected["messages"].as_array().unwrap().len() as u64);
        assert!(report.queue_entries > 0 && report.index_entries > 0 && report.config_files > 5);
    }
    let config = filled(&dir.path().join("ours"));
    let report = check(&config);
    assert_eq!(
        (report.findings.faults.as_slice(), report.findings.repairable.as_slice()),
        (&[][..], &[][..])
    );
    assert_eq!((report.clean, report.records, report.queue_entries), (true, 605, 605));
    assert!(report.log_files > 3 && report.index_files > 1);
    let sizes = sizes_of_files(StoreConfig::at(&config.root)).unwrap();
    assert_eq!(sizes.commit_log_file_size, config.commit_log_file_size);
    assert_eq!(sizes.consume_queue_file_size, config.consume_queue_file_size);
}

#[test]
fn checking_changes_nothing_and_keeps_brokers_out() {
    let dir = fast_dir();
    let config = filled(&dir.path().join("store"));
    let before = common::tree(&config.root);
    let stopped = StoppedStore::open(config.clone()).unwrap();
    assert!(matches!(Store::open(config.clone()), Err(StoreError::Locked(_))));
    stopped.check().unwrap();
    drop(stopped);
    assert!(before == common::tree(&config.root));
    let store = Store::open(config.clone()).unwrap();
    assert!(matches!(StoppedStore::open(config.clone()), Err(StoreError::Locked(_))));
    store.kill();
    drop(store);
    let nothing = StoppedStore::open(StoreConfig::at(dir.path().join("nothing")));
    assert!(nothing.unwrap_err().to_string().contains("nothing"));
}

/// Damages a copy of a store and returns what is found.
fn damaged(origin: &StoreConfig, work: &Path, damage: impl FnOnce(&Path)) -> Vec<Fault> {
    let root = work.join("damaged");
    let _ = fs::remove_dir_all(&root);
    copy_dir(&origin.root, &root);
    damage(&root);
    let report = check(&StoreConfig { root, ..origin.clone() });
    assert_eq!(report.findings.fault_count, report.findings.faults.len() as u64);
    report.findings.faults
}

#[test]
fn each_kind_of_damage_is_found_where_it_is() {
    let dir = fast_dir();
    let origin = filled(&dir.path().join("store"));
    let broken = |damage: &dyn Fn(&Path)| damaged(&origin, dir.path(), damage);
    assert_eq!(broken(&|_| {}), []);

    let faults = broken(&|root| flip(&root.join("commitlog/00000000000000065536"), 95));
    assert!(matches!(faults[0], Fault::Damaged { at: 65536, next, .. } if next > 65536), "{faults:?}");
    assert!(
        faults.iter().any(|fault| matches!(fault, Fault::EntryPointsAstray { at: 65536, .. })),
        "{faults:?}"
    );

    // A hole in the middle, and a file that is gone.
    let faults = broken(&|root| overwrite(&root.join("commitlog/00000000000000065536"), 0, &[0; 4096]));
    assert!(matches!(faults[0], Fault::Damaged { at: 65536, .. }), "{faults:?}");
    let faults = broken(&|root| fs::remove_file(root.join("commitlog/00000000000000065536")).unwrap());
    assert!(faults.contains(&Fault::LogGap { from: 65536, to: 131_072 }), "{faults:?}");
    let faults = broken(&|root| fs::write(root.join("commitlog/README"), b"x").unwrap());
    assert!(matches!(&faults[..], [Fault::File { path, .. }] if path.ends_with("README")), "{faults:?}");
    let faults = broken(&|root| {
        let file = fs::File::options().write(true).open(files(&root.join("commitlog"))[1].clone()).unwrap();
        file.set_len(60_000).unwrap();
    });
    assert!(matches!(&faults[0], Fault::File { what, .. } if what.contains("60000")), "{faults:?}");

    // A flipped bit in each field of a unit.
    for at in [5, 11, 19] {
        let faults = broken(&|root| flip(&root.join("consumequeue/A/0/00000000000000000000"), 20 * 3 + at));
        let found = |fault: &Fault| matches!(fault, Fault::EntryWrong { topic, queue_id: 0, offset: 3, .. } if topic == "A");
        assert!(faults.iter().any(found), "{at}: {faults:?}");
    }
    let faults = broken(&|root| fs::remove_dir_all(root.join("consumequeue/B")).unwrap());
    let missing = |fault: &&Fault| matches!(fault, Fault::EntriesMissing { count: 100, offset: 0, .. });
    assert_eq!(faults.iter().filter(missing).count(), 2, "{faults:?}");
    assert!(faults.iter().any(|fault| matches!(fault, Fault::Checkpoint { .. })), "{faults:?}");
    let faults =
        broken(&|root| overwrite(&root.join("consumequeue/A/0/00000000000000001000"), 20 * 49, &[0; 20]));
    assert!(faults.iter().any(|fault| matches!(fault, Fault::EntriesMissing { .. })), "{faults:?}");
    let faults = broken(&|root| {
        let last = files(&root.join("consumequeue/Batch/3")).pop().unwrap();
        overwrite(&last, 20 * 5, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0]);
    });
    assert!(faults.iter().any(|fault| matches!(fault, Fault::EntryOrder { offset: 5, .. })), "{faults:?}");

    // Index: an entry's fields, a slot, the header, the whole file.
    let index = |root: &Path, at: u64| flip(&files(&root.join("index"))[0], at);
    let entry = 40 + 4 * u64::from(origin.index_slots) + 20 * 7;
    for at in [entry + 3, entry + 11, entry + 15, entry + 19, 40 + 3, 40 + 4 * 50 + 3, 31, 35] {
        assert!(!broken(&|root| index(root, at)).is_empty(), "nothing is found at {at} of the index");
    }
    let faults = broken(&|root| fs::remove_file(&files(&root.join("index"))[0]).unwrap());
    assert!(matches!(faults[..], [Fault::KeysMissing { at: 0..2000, .. }]), "{faults:?}");

    let faults = broken(&|root| overwrite(&root.join("checkpoint"), 0, &i64::MAX.to_be_bytes()));
    assert!(matches!(faults[..], [Fault::Checkpoint { .. }]), "{faults:?}");
    let faults = broken(&|root| fs::write(root.join("config/topics.json"), b"{\"dataVersion\":").unwrap());
    assert!(
        matches!(&faults[..], [Fault::Config { path, .. }] if path.ends_with("topics.json")),
        "{faults:?}"
    );
    let faults = broken(&|root| {
        fs::write(root.join("config/consumerOffset.json"), br#"{"offsetTable":{"A@G":{0:101,1:100}}}"#)
            .unwrap();
    });
    assert!(
        matches!(faults[..], [Fault::OffsetAhead { queue_id: 0, offset: 101, end: 100, .. }]),
        "{faults:?}"
    );
}

#[test]
fn every_flipped_bit_of_the_log_is_found() {
    let dir = fast_dir();
    let origin = filled(&dir.path().join("store"));
    let end = check(&origin).log_end;
    let file = origin.commit_log_file_size;
    let root = dir.path().join("damaged");
    copy_dir(&origin.root, &root);
    let config = StoreConfig { root: root.clone(), ..origin.clone() };
    let mut unnoticed = Vec::new();
    let mut at = 3;
    while at < end {
        let path = root.join("commitlog").join(format!("{:020}", at / file * file));
        flip(&path, at % file);
        let report = check(&config);
        if report.findings.faults.is_empty() {
            unnoticed.push(at);
        }
        flip(&path, at % file);
        at += 1987;
    }
    // Without a property CRC nothing covers flags, times, hosts and the text of properties, nor the blanks' rest: what does
    // must be found.
    for at in unnoticed {
        let stopped = StoppedStore::open(origin.clone()).unwrap();
        let mut covered = false;
        stopped
            .records(|record| {
                let layout = record.layout();
                let begin = layout.physical_offset.cast_unsigned();
                let inside = (begin..begin + layout.total_size as u64).contains(&at);
                let body = record.raw().len()
                    - record.body().len()
                    - record.topic().len()
                    - record.properties().len();
                let field = at.saturating_sub(begin);
                // Size, magic, CRC, queue and offsets, and the body.
                let checked = field < 16 || (20..36).contains(&field);
                let in_body = (88..88 + record.body().len() as u64).contains(&field);
                covered |= inside && (checked || in_body);
                assert!(body >= 91);
                !inside
            })
            .unwrap();
        assert!(!covered, "a flipped bit at {at} is not found");
    }
}

#[test]
fn what_an_unclean_stop_leaves_is_no_fault() {
    let dir = fast_dir();
    let config = config(&dir.path().join("store"));
    let store = Store::open(config.clone()).unwrap();
    for _ in 0..50 {
        store.append(&record("A", 0, b"body", KEYS)).unwrap();
    }
    store.kill();
    drop(store);
    let report = check(&config);
    assert_eq!(report.findings.faults, []);
    assert!(!report.clean && report.records == 50);
    // The next start repairs what is behind.
    Store::open(config.clone()).unwrap().close().unwrap();
    let report = check(&config);
    assert_eq!(
        (report.findings.fault_count, report.findings.repairable_count, report.queue_entries),
        (0, 0, 50)
    );
}

#[test]
fn a_rebuild_makes_the_same_files() {
    let dir = fast_dir();
    let (expected, apache) = vector("clean", &dir.path().join("apache"));
    let ours = filled(&dir.path().join("ours"));
    for config in [apache, ours] {
        let before = common::tree(&config.root);
        let derived = |(path, _): &(PathBuf, Vec<u8>)| {
            path.starts_with("consumequeue") || path.starts_with("commitlog")
        };
        let rebuilt = rebuild(config.clone()).unwrap();
        assert!(rebuilt.recovery.rebuilt);
        assert_eq!(check(&config).findings.faults, []);
        let after = common::tree(&config.root);
        let pick = |tree: &[(PathBuf, Vec<u8>)]| {
            tree.iter().filter(|file| derived(file)).cloned().collect::<Vec<_>>()
        };
        assert!(pick(&before) == pick(&after), "{}", config.root.display());
        // Names of index files are times.
        let index = |tree: &[(PathBuf, Vec<u8>)]| {
            tree.iter()
                .filter(|(path, _)| path.starts_with("index"))
                .map(|(_, bytes)| bytes.clone())
                .collect::<Vec<_>>()
        };
        assert!(index(&before) == index(&after), "{}", config.root.display());
    }
    assert!(expected["log_end"].as_u64().is_some());
}

#[test]
fn a_rebuild_mends_queues_and_refuses_a_damaged_log() {
    let dir = fast_dir();
    let config = filled(&dir.path().join("store"));
    flip(&config.root.join("consumequeue/A/0/00000000000000000000"), 65);
    fs::remove_dir_all(config.root.join("index")).unwrap();
    assert_ne!(check(&config).findings.fault_count, 0);
    rebuild(config.clone()).unwrap();
    assert_eq!(check(&config).findings.faults, []);
    flip(&config.root.join("commitlog/00000000000000065536"), 95);
    let before = common::tree(&config.root);
    assert!(matches!(rebuild(config.clone()), Err(StoreError::Damaged { at: 65536, .. })));
    assert!(before == common::tree(&config.root));
    let rebuilt = rebuild(StoreConfig { accept_damaged_log: true, ..config.clone() }).unwrap();
    assert_eq!((rebuilt.log_end, rebuilt.recovery.lost_from.is_some()), (65536, true));
}

#[test]
fn records_are_dumped_by_log_and_by_queue() {
    let dir = fast_dir();
    let config = filled(&dir.path().join("store"));
    let stopped = StoppedStore::open(config.clone()).unwrap();
    let mut by_log = Vec::new();
    stopped
        .records(|record| {
            if record.topic() == "B" && record.layout().queue_id == 1 {
                by_log.push(record);
            }
            true
        })
        .unwrap();
    let mut by_queue = Vec::new();
    stopped
        .queue("B", 1, 0, |record| {
            by_queue.push(record);
            true
        })
        .unwrap();
    assert_eq!(by_log.len(), 100);
    assert!(by_log == by_queue);
    let mut few = Vec::new();
    stopped
        .queue("B", 1, 60, |record| {
            few.push(record.layout().queue_offset);
            few.len() < 3
        })
        .unwrap();
    assert_eq!(few, [60, 61, 62]);
    assert!(stopped.queue("B", 9, 0, |_| true).is_err());
    drop(stopped);
    let store = Store::open(config).unwrap();
    assert!(drain(&store, "B", 1) == by_log);
}

#[test]
fn queue_entries_that_lie_give_readers_no_garbage() {
    let dir = fast_dir();
    let config = filled(&dir.path().join("store"));
    // Units 2 to 4: a position inside a record, a wrong size, and a record of another place.
    let queue = config.root.join("consumequeue/A/0/00000000000000000000");
    overwrite(&queue, 20 * 2 + 7, &[0xFF]);
    overwrite(&queue, 20 * 3 + 8, &[0, 0, 0, 95]);
    overwrite(&queue, 20 * 4, &(1_i64 << 40).to_be_bytes());
    let store = Store::open(config).unwrap();
    let offsets: Vec<_> = drain(&store, "A", 0).iter().map(|record| record.layout().queue_offset).collect();
    // The records themselves are whole: they are found in the log.
    assert_eq!(offsets, (0..100).collect::<Vec<_>>());
}
