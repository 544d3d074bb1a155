//! `mq store` as a user runs it: what it prints and how it exits.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Output};

use mq_protocol::id::body_crc;
use mq_protocol::message::NewRecord;
use mq_store::{Store, StoreConfig};
use serde_json::Value;

/// A closed store of forty messages in files of other than the usual sizes.
fn fill(root: &Path) -> StoreConfig {
    let config = StoreConfig {
        commit_log_file_size: 16 << 10,
        consume_queue_file_size: 20 * 8,
        index_slots: 50,
        index_entries: 200,
        ..StoreConfig::at(root)
    };
    let store = Store::open(config.clone()).unwrap();
    for n in 0..40_usize {
        let body = [b"message ".to_vec(), vec![b'a' + u8::try_from(n % 26).unwrap(); 500]].concat();
        let record = NewRecord {
            topic: "orders",
            queue_id: i32::try_from(n % 2).unwrap(),
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000,
            born_host: "127.0.0.1:54321".parse().unwrap(),
            store_host: "127.0.0.1:10911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            body_crc: body_crc(&body),
            properties: "KEYS\u{1}one two\u{2}TAGS\u{1}new\u{2}",
        };
        store.append(&record).unwrap();
    }
    store.close().unwrap();
    config
}

fn mq(arguments: &[&str], dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mq")).arg("store").args(arguments).arg(dir).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_store_is_checked_printed_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let config = fill(&root);
    let good = mq(&["check", "--json"], &root);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let report = json(&good);
    assert_eq!(
        (&report["ok"], &report["records"], &report["queueEntries"]),
        (&true.into(), &40.into(), &40.into())
    );
    assert!(String::from_utf8(mq(&["check"], &root).stdout).unwrap().starts_with("40 records in "));

    let dump = mq(&["dump", "--topic", "orders", "--queue", "1", "--from", "17", "--json"], &root);
    let text = String::from_utf8(dump.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|line| line["queueOffset"].as_i64().unwrap()).collect::<Vec<_>>(),
        [17, 18, 19]
    );
    assert_eq!(lines[0]["properties"]["KEYS"], "one two");
    assert!(lines[0]["body"].as_str().unwrap().starts_with("message "));
    let all = String::from_utf8(mq(&["dump", "--count", "30"], &root).stdout).unwrap();
    assert_eq!(all.lines().count(), 30);

    let queue = root.join("consumequeue/orders/0/00000000000000000000");
    fs::File::options().write(true).open(&queue).unwrap().write_all_at(&[1], 25).unwrap();
    let bad = mq(&["check", "--json"], &root);
    assert_eq!(bad.status.code(), Some(1));
    let report = json(&bad);
    assert_eq!(report["ok"], false);
    let kinds: Vec<_> =
        report["faults"].as_array().unwrap().iter().map(|fault| fault["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"entryWrong"), "{kinds:?}");
    assert!(String::from_utf8(bad.stderr).unwrap().contains("faults are in"));

    let rebuilt = mq(&["rebuild", "--json", "--set", "maxHashSlotNum=50", "--set", "maxIndexNum=200"], &root);
    assert_eq!((rebuilt.status.code(), &json(&rebuilt)["records"]), (Some(0), &40.into()));
    assert_eq!(mq(&["check"], &root).status.code(), Some(0));

    let store = Store::open(config).unwrap();
    for command in ["check", "dump", "rebuild"] {
        let locked = mq(&[command], &root);
        assert_eq!(locked.status.code(), Some(1), "{command}");
        assert!(String::from_utf8(locked.stderr).unwrap().contains("in use"), "{command}");
    }
    store.close().unwrap();
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [&["check"][..], &["dump", "--queue", "1"], &["check", "--set", "x"], &["mend"]] {
        let output = mq(arguments, dir.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
    assert!(
        fs::read_dir(dir.path()).unwrap().next().is_none(),
        "nothing is made in a folder that is no store"
    );
}
