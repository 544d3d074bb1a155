//! A small store of which one file comes from the fuzzer: checked, opened, read, written to and closed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mq_protocol::id::body_crc;
use mq_protocol::message::{NewRecord, RecordLayout, peek};
use mq_store::check::StoppedStore;
use mq_store::{Filter, KeyQuery, ReadRequest, Store, StoreConfig};

const LOG_FILE: u64 = 4096;

/// Which file of the store comes from the fuzzer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first file of the commit log.
    CommitLog,
    /// The first file of a consume queue.
    ConsumeQueue,
    /// The index file.
    Index,
    /// The checkpoint, and behind its 40 bytes our note.
    Checkpoint,
    /// A file of `config`; the first byte says which.
    Config,
}

const CONFIGS: [&str; 5] = [
    "mq-deletedQueues.json",
    "consumerOffset.json",
    "delayOffset.json",
    "topics.json",
    "subscriptionGroup.json",
];

fn config(root: &Path) -> StoreConfig {
    StoreConfig {
        commit_log_file_size: LOG_FILE,
        consume_queue_file_size: 20 * 10,
        index_slots: 20,
        index_entries: 80,
        ..StoreConfig::at(root)
    }
}

fn append(store: &Store, queue_id: i32, body: &[u8]) -> Option<u64> {
    let record = NewRecord {
        topic: "T",
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: "127.0.0.1:54321".parse().ok()?,
        store_host: "127.0.0.1:10911".parse().ok()?,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        body_crc: body_crc(body),
        properties: "KEYS\u{1}key\u{2}TAGS\u{1}tag\u{2}",
    };
    store.append(&record).ok().map(|appended| appended.physical_offset)
}

fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder can be made")
}

/// The files of a closed store, by their paths in it.
fn files() -> &'static [(PathBuf, Vec<u8>)] {
    static FILES: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    FILES.get_or_init(|| {
        let dir = fast_dir();
        let root = dir.path().join("store");
        let store = Store::open(config(&root)).expect("an empty store opens");
        for n in 0..24_i32 {
            append(&store, n % 2, &vec![b'x'; 40]);
        }
        for name in CONFIGS.iter().skip(1) {
            store.config(name).save(b"{}").expect("a config is saved");
        }
        store.close().expect("it closes");
        let mut all = Vec::new();
        let mut dirs = vec![root.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir).expect("a folder is listed") {
                let path = entry.expect("a folder is listed").path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    let bytes = fs::read(&path).expect("a file is read");
                    all.push((path.strip_prefix(&root).unwrap_or(&path).to_path_buf(), bytes));
                }
            }
        }
        all
    })
}

/// Overwrites the front of a file, which keeps its size.
fn over(file: &mut [u8], data: &[u8]) {
    for (out, byte) in file.iter_mut().zip(data) {
        *out = *byte;
    }
}

/// Makes the store with `data` in one of its files, and does with it what brokers and people do.
pub fn store_with(part: Part, data: &[u8]) {
    let dir = fast_dir();
    let root = dir.path().join("store");
    for (path, bytes) in files() {
        let mut bytes = bytes.clone();
        let name = path.to_string_lossy();
        match part {
            Part::CommitLog if name == "commitlog/00000000000000000000" => over(&mut bytes, data),
            Part::ConsumeQueue if name == "consumequeue/T/0/00000000000000000000" => over(&mut bytes, data),
            Part::Index if name.starts_with("index/") => over(&mut bytes, data),
            Part::Checkpoint if name == "checkpoint" => over(&mut bytes, data.get(..40).unwrap_or(data)),
            Part::Checkpoint if name == "mq-recovery" => over(&mut bytes, data.get(40..).unwrap_or_default()),
            _ => {}
        }
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&root)).expect("a folder is made");
        fs::write(path, bytes).expect("a file is written");
    }
    if let (Part::Config, Some((which, text))) = (part, data.split_first()) {
        let name = CONFIGS[usize::from(*which) % CONFIGS.len()];
        fs::write(root.join("config").join(name), text).expect("a file is written");
    }
    // Half of all inputs are found as after a crash.
    if data.last().is_some_and(|byte| byte % 2 == 1) {
        fs::write(root.join("abort"), "1").expect("a file is written");
    }
    use_it(config(&root));
}

fn use_it(config: StoreConfig) {
    if let Ok(stopped) = StoppedStore::open(config.clone()) {
        let _ = stopped.check();
        let _ = stopped.queue("T", 0, 0, |_| true);
    }
    let Ok(store) = Store::open(config.clone()) else { return };
    for name in CONFIGS {
        let _ = store.config(name).load();
    }
    for (topic, queue_id) in store.queues() {
        let mut offset = store.min_offset(&topic, queue_id);
        let mut asked = 0;
        while offset < store.max_offset(&topic, queue_id) && asked < 1000 {
            let filter = Filter::All;
            let request =
                ReadRequest { topic: &topic, queue_id, offset, max_count: 32, max_bytes: None, filter };
            let read = store.read(&request);
            assert!(
                read.next_offset > offset,
                "a read of {topic}-{queue_id} at {offset} does not go on: {read:?}"
            );
            for slice in read.slices {
                // Whole records by their sizes; what is inside them was not looked at when the stop was clean.
                let mut rest = &slice[..];
                while let Some((size, _)) = peek(rest) {
                    let size = usize::try_from(size).expect("a record has a size");
                    let (record, behind) = rest.split_at_checked(size).expect("a record is whole");
                    let _ = RecordLayout::parse(record).map(|layout| layout.check_body(record));
                    rest = behind;
                }
                assert!(rest.is_empty(), "something stands behind the records");
            }
            offset = read.next_offset;
            asked += 1;
        }
    }
    let _ = store.query(&KeyQuery { topic: "T", key: "key", max: 64, begin: 0, end: i64::MAX });
    if let Some(position) = append(&store, 0, b"new") {
        let record = store.record_at(position).expect("the disk works").expect("what was appended is there");
        assert_eq!(record.body(), &b"new"[..]);
    }
    if store.close().is_ok() {
        drop(store);
        let again = Store::open(config);
        assert!(again.is_ok(), "a store that was closed cleanly does not open: {again:?}");
    }
}
