//! Store directories that Apache's broker 5.5.0 wrote (`tests/vectors/store`): opened, read, rebuilt, handed back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{apache, drain, fast_dir, record, vector};
use mq_protocol::id::body_crc;
use mq_protocol::property;
use mq_store::{ConfigFile, KeyQuery, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const QUEUE_FILE: u64 = 6_000_000;

/// Everything that the vector says is found, by queue, by position and by key.
fn check(store: &Store, expected: &Value) {
    assert_eq!(store.status().max_physical_offset, expected["log_end"].as_u64().unwrap());
    let mut found = BTreeMap::new();
    for (topic, queues) in expected["queues"].as_object().unwrap() {
        for (queue, next) in queues.as_object().unwrap() {
            let queue: i32 = queue.parse().unwrap();
            assert_eq!(store.max_offset(topic, queue), next.as_i64().unwrap(), "{topic}-{queue}");
            for record in drain(store, topic, queue) {
                found.insert(record.layout().physical_offset, record);
            }
        }
    }
    let end = store.status().max_physical_offset;
    common::wait_until("the index", || store.status().indexed == end);
    let messages = expected["messages"].as_array().unwrap();
    assert_eq!(found.len(), messages.len());
    for message in messages {
        let position = message["offset"].as_i64().unwrap();
        let record = &found[&position];
        let layout = record.layout();
        assert_eq!(record.topic(), message["topic"]);
        assert_eq!(layout.total_size as u64, message["size"].as_u64().unwrap());
        assert_eq!(i64::from(layout.queue_id), message["queue"].as_i64().unwrap());
        assert_eq!(layout.queue_offset, message["queue_offset"].as_i64().unwrap());
        assert_eq!(layout.store_timestamp, message["store_time"].as_i64().unwrap());
        assert_eq!(layout.store_host.to_string(), message["store_host"]);
        assert_eq!(i64::from(layout.reconsume_times), message["reconsume_times"].as_i64().unwrap());
        assert_eq!(u64::from(body_crc(&record.body())), message["body_crc"].as_u64().unwrap());
        let properties: BTreeMap<_, _> = property::pairs(record.properties()).collect();
        let wanted = message["properties"].as_object().unwrap();
        assert!(wanted.iter().all(|(name, value)| properties[name.as_str()] == *value));
        assert_eq!(store.record_at(position.cast_unsigned()).unwrap().as_ref(), Some(record));
        let keys = message["keys"].as_str().into_iter().flat_map(|keys| keys.split(' '));
        for key in keys.chain(properties.get("UNIQ_KEY").copied()).filter(|key| !key.is_empty()) {
            let query = KeyQuery { topic: record.topic(), key, max: 64, begin: 0, end: i64::MAX };
            let result = store.query(&query).unwrap();
            assert!(result.records.contains(record), "{key} of {position}");
        }
        if let Some(tag) = properties.get("TAGS") {
            let query = KeyQuery { topic: record.topic(), key: tag, max: 64, begin: 0, end: i64::MAX };
            assert!(store.query_tag(&query).unwrap().records.contains(record), "{tag} of {position}");
        }
    }
}

fn json_files(config: &Path, store: &Store) -> usize {
    let names =
        std::fs::read_dir(config).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: Vec<ConfigFile> =
        names.filter(|name| !name.ends_with(".bak")).map(|name| store.config(&name)).collect();
    for file in &files {
        let value: Value = file.load_json().unwrap().unwrap();
        assert!(value.is_object(), "{}", file.path().display());
    }
    files.len()
}

#[test]
fn apaches_stores_open_and_go_back() {
    for name in ["clean", "killed"] {
        let dir = fast_dir();
        let root = dir.path().join("store");
        let (expected, config) = vector(name, &root);
        let log_file = config.commit_log_file_size;
        let store = Store::open(config.clone()).unwrap();
        assert_eq!(store.status().recovery.clean, name == "clean");
        check(&store, &expected);
        assert!(json_files(&root.join("config"), &store) >= 5);
        let offsets: Value = store.config("consumerOffset.json").load_json().unwrap().unwrap();
        for (group, queues) in expected["consumer_offsets"].as_object().unwrap() {
            assert_eq!(&offsets["offsetTable"][group], queues, "{group}");
        }
        let first = &expected["messages"][0];
        let (topic, queue) =
            (first["topic"].as_str().unwrap(), i32::try_from(first["queue"].as_i64().unwrap()).unwrap());
        let next = store.next_offset(topic, queue);
        let appended = store.append(&record(topic, queue, b"ours", "KEYS\u{1}ours\u{2}")).unwrap();
        assert_eq!(appended.queue_offset, next);
        store.close().unwrap();
        drop(store);
        let store = Store::open(config.clone()).unwrap();
        assert!(store.status().recovery.clean);
        assert_eq!(store.record_at(appended.physical_offset).unwrap().unwrap().body(), &b"ours"[..]);
        store.close().unwrap();
        drop(store);
        let view = apache::open(&root, log_file, QUEUE_FILE).unwrap();
        assert_eq!(view.end, appended.end);
    }
}

#[test]
fn what_we_rebuild_has_the_bytes_that_apache_wrote() {
    let dir = fast_dir();
    let (theirs, ours) = (dir.path().join("theirs"), dir.path().join("ours"));
    vector("clean", &theirs);
    let (expected, config) = vector("clean", &ours);
    std::fs::remove_dir_all(ours.join("consumequeue")).unwrap();
    std::fs::remove_dir_all(ours.join("index")).unwrap();
    std::fs::remove_file(ours.join("checkpoint")).unwrap();
    std::fs::write(ours.join("abort"), "1").unwrap();
    let store = Store::open(config).unwrap();
    assert!(store.status().recovery.rebuilt);
    check(&store, &expected);
    store.close().unwrap();
    let mut compared = 0;
    for topic in std::fs::read_dir(theirs.join("consumequeue")).unwrap() {
        for queue in std::fs::read_dir(topic.unwrap().path()).unwrap() {
            for file in std::fs::read_dir(queue.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let same = ours.join(path.strip_prefix(&theirs).unwrap());
                assert!(std::fs::read(&path).unwrap() == std::fs::read(&same).unwrap(), "{}", same.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 10);
    // Names of index files are times, their contents follow from the log.
    let index = |root: &Path| {
        let mut files: Vec<_> =
            std::fs::read_dir(root.join("index")).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    assert!(index(&theirs) == index(&ours), "index files differ");
    for name in ["00000000000000000000", "00000000000000196608"] {
        let read = |root: &Path| std::fs::read(root.join("commitlog").join(name)).unwrap();
        assert!(read(&theirs) == read(&ours), "{name} was changed");
    }
}
