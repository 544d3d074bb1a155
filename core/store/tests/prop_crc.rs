//! `enabledAppendPropCRC` and `forceVerifyPropCRC`: each record closes with a CRC of all of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use common::{drain, record};
use mq_protocol::message::PROP_CRC_LENGTH;
use mq_protocol::property::{self, MAX_PROPERTIES};
use mq_store::check::StoppedStore;
use mq_store::{AppendError, Store, StoreConfig};

const COUNT: usize = 6;

fn config(root: &Path) -> StoreConfig {
    StoreConfig { append_prop_crc: true, ..common::config(root) }
}

/// A store with records that have the CRC, single and in a batch; closed properties and open ones.
fn filled(config: &StoreConfig) {
    let store = Store::open(config.clone()).unwrap();
    for properties in ["", "a\u{1}b", "a\u{1}b\u{2}"] {
        store.append(&record("T", 0, b"body", properties)).unwrap();
        store.append_batch(&[record("T", 0, b"batch", properties)]).unwrap();
    }
    store.close().unwrap();
}

/// Changes one byte of the last record's topic, which no other checksum covers. Returns where.
fn damage(config: &StoreConfig) -> u64 {
    let store = Store::open(config.clone()).unwrap();
    let last = store.queue_entries("T", 0, i64::try_from(COUNT).unwrap() - 1, 1)[0];
    let bytes = store.record_at(last.physical_offset).unwrap().unwrap().raw().clone();
    let at = last.physical_offset + bytes.iter().position(|byte| *byte == b'T').unwrap() as u64;
    store.close().unwrap();
    let path = config.commit_log_dir().join("00000000000000000000");
    std::fs::File::options().write(true).open(path).unwrap().write_all_at(b"U", at).unwrap();
    last.physical_offset
}

#[test]
fn every_record_has_it_and_every_reader_finds_it_right() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    filled(&config);
    let report = StoppedStore::open(config.clone()).unwrap().check().unwrap();
    assert_eq!(report.findings, mq_store::check::Findings::default());
    let store = Store::open(StoreConfig { force_verify_prop_crc: true, ..config }).unwrap();
    let found = drain(&store, "T", 0);
    assert_eq!(found.len(), COUNT);
    for record in &found {
        assert_eq!(record.layout().check_prop_crc(record.raw()), Ok(true));
        assert_eq!(property::find(record.properties(), "__CRC32#").unwrap().len(), 10);
    }
    store.close().unwrap();
}

#[test]
fn recovery_and_check_see_damage_that_the_bodys_crc_does_not_cover() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    filled(&config);
    let at = damage(&config);
    let findings = StoppedStore::open(config.clone()).unwrap().check().unwrap().findings;
    assert!(format!("{findings:?}").contains("__CRC32#"), "{findings:?}");
    // As after an unclean stop before anything of it was known to be on the disk.
    for name in ["checkpoint", "mq-recovery"] {
        std::fs::remove_file(config.root.join(name)).unwrap();
    }
    std::fs::write(config.root.join("abort"), "1").unwrap();
    let store = Store::open(config).unwrap();
    let recovery = store.status().recovery;
    assert_eq!(recovery.end, at, "{recovery:?}");
    assert!(recovery.broken.unwrap().contains("__CRC32#"));
    assert_eq!(drain(&store, "T", 0).len(), COUNT - 1);
    store.close().unwrap();
}

#[test]
fn a_record_without_it_is_damage_only_when_that_is_demanded() {
    let dir = tempfile::tempdir().unwrap();
    let plain = common::config(dir.path());
    filled(&plain);
    std::fs::write(plain.root.join("abort"), "1").unwrap();
    for name in ["checkpoint", "mq-recovery"] {
        std::fs::remove_file(plain.root.join(name)).unwrap();
    }
    let store = Store::open(config(dir.path())).unwrap();
    assert_eq!(drain(&store, "T", 0).len(), COUNT);
    store.append(&record("T", 0, b"with it", "")).unwrap();
    store.kill();
    drop(store);
    let error = Store::open(StoreConfig { force_verify_prop_crc: true, ..plain.clone() });
    let told = error.map_or_else(|error| error.to_string(), |store| format!("{:?}", store.status().recovery));
    assert!(told.contains("forceVerifyPropCRC"), "{told}");
}

#[test]
fn its_room_counts_among_the_properties() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(config(dir.path())).unwrap();
    let long = format!("a\u{1}{}\u{2}", "b".repeat(MAX_PROPERTIES - PROP_CRC_LENGTH - 3));
    store.append(&record("T", 0, b"", &long)).unwrap();
    let longer = long.replace("\u{2}", "b\u{2}");
    let error = store.append(&record("T", 0, b"", &longer)).unwrap_err();
    assert!(matches!(error, AppendError::Properties { size, .. } if size == MAX_PROPERTIES + 1), "{error}");
    store.close().unwrap();
}
