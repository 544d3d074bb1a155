//! The bytes that the store writes, compared with verified ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{apache, config, manual_clock, record};
use mq_store::{Store, StoreConfig};

const PROPERTIES: &str = "KEYS\u{1}KEY1\u{2}UNIQ_KEY\u{1}7F00000100002A9F4C6E18B4AAC20000\u{2}TAGS\u{1}TagA\u{2}CLUSTER\u{1}DefaultCluster\u{2}";

/// The record of topic TopicTest, queue 3, queue offset 0, at the start of the log.
const RECORD: &str = "\
    000000bedaa320a73610a68600000003000000000000000000000000\
    0000000000000000\
    000000000000018bcfe568007f0000010000d4310000018bcfe5687b\
    7f00000100002a9f0000000000000000000000000000000568656c6c6f09546f\
    70696354657374005\
    54b455953014b45593102554e49515f4b4559013746303030303031303030303241394634\
    433645313842344141433230303030025441475301546167410\
    2434c55535445520144656661756c74436c757374657202";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn log_queue_index_and_checkpoint_have_apaches_bytes() {
    let dir = common::fast_dir();
    let clock = manual_clock(1_700_000_000_123);
    let config = StoreConfig {
        consume_queue_file_size: 6_000_000,
        commit_log_file_size: 1 << 20,
        clock,
        ..config(dir.path())
    };
    let store = Store::open(config.clone()).unwrap();
    let appended = store.append(&record("TopicTest", 3, b"hello", PROPERTIES)).unwrap();
    assert_eq!((appended.physical_offset, appended.size, appended.end), (0, 190, 190));
    let delayed = format!("{PROPERTIES}DELAY\u{1}3\u{2}");
    store.append(&record("SCHEDULE_TOPIC_XXXX", 2, b"hello", &delayed)).unwrap();
    store.close().unwrap();

    let log = std::fs::read(dir.path().join("commitlog/00000000000000000000")).unwrap();
    assert_eq!(log.len(), 1 << 20);
    assert_eq!(hex(&log[..190]), RECORD.replace(' ', ""));
    let queue = std::fs::read(dir.path().join("consumequeue/TopicTest/3/00000000000000000000")).unwrap();
    assert_eq!(queue.len(), 6_000_000);
    assert_eq!(hex(&queue[..20]), "0000000000000000000000be000000000027a807");
    assert!(queue[20..].iter().all(|b| *b == 0));
    let scheduled =
        std::fs::read(dir.path().join("consumequeue/SCHEDULE_TOPIC_XXXX/2/00000000000000000000")).unwrap();
    assert_eq!(hex(&scheduled[12..20]), "0000018bcfe58f8b");
    let checkpoint = std::fs::read(dir.path().join("checkpoint")).unwrap();
    assert_eq!(checkpoint.len(), 4096);
    assert_eq!(
        hex(&checkpoint[..40]),
        "0000018bcfe5687b0000018bcfe5687b0000018bcfe5687b00000000000000000000000000000000"
    );
    assert_eq!(std::fs::read(dir.path().join("lock")).unwrap(), b"lock");
    assert!(!dir.path().join("abort").exists());
    let files: Vec<_> = std::fs::read_dir(dir.path().join("commitlog")).unwrap().collect();
    assert_eq!(files.len(), 1, "the prepared file is gone");
    let index: Vec<_> = std::fs::read_dir(dir.path().join("index")).unwrap().map(|e| e.unwrap()).collect();
    assert_eq!(index.len(), 1);
    assert_eq!(index[0].metadata().unwrap().len(), 40 + 4 * 100 + 20 * 1000);
    assert_eq!(index[0].file_name().len(), 17);
    let view = apache::open(dir.path(), 1 << 20, 6_000_000).unwrap();
    assert_eq!(view.queues[&("TopicTest".to_owned(), 3)], [Some((0, 190, 2_598_919))]);
}

#[test]
fn a_full_file_ends_in_a_blank_and_no_record_crosses() {
    let dir = common::fast_dir();
    let size = 1 << 20;
    let store = Store::open(StoreConfig { commit_log_file_size: size, ..config(dir.path()) }).unwrap();
    let first = store.append(&record("TopicTest", 0, b"hello", PROPERTIES)).unwrap();
    let body = vec![7; usize::try_from(size).unwrap() - 91 - 1 - 190];
    let second = store.append(&record("T", 0, &body, "")).unwrap();
    assert_eq!(second.physical_offset, size);
    store.close().unwrap();
    let log = std::fs::read(dir.path().join("commitlog/00000000000000000000")).unwrap();
    let rest = u32::try_from(size).unwrap() - 190;
    assert_eq!(first.end, 190);
    assert_eq!(log[190..198], [rest.to_be_bytes(), 0xCBD4_3194_u32.to_be_bytes()].concat());
    assert!(log[198..].iter().all(|b| *b == 0));
    let view = apache::open(dir.path(), size, 1000).unwrap();
    assert_eq!(view.end, second.end);
}

#[test]
fn while_it_runs_the_abort_file_names_the_process() {
    let dir = common::fast_dir();
    let store = Store::open(config(dir.path())).unwrap();
    let abort = std::fs::read_to_string(dir.path().join("abort")).unwrap();
    assert_eq!(abort, std::process::id().to_string());
    store.kill();
    assert!(dir.path().join("abort").exists());
}
