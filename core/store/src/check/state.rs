//! Checking the checkpoint, our note beside it, and the JSON files of `config`.

use std::collections::BTreeMap;
use std::path::Path;

use mq_protocol::body::{GroupTable, TopicTable};
use mq_protocol::fastjson;
use mq_protocol::name::SCHEDULE_TOPIC;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fault::{Fault, Findings};
use super::queues::QueueCheck;
use crate::checkpoint::{Checkpoint, Note, SIZE};
use crate::config::StoreConfig;
use crate::error::{IoContext as _, StoreError};
use crate::fs::OpenMode;

/// Larger JSON files are not read.
const MAX_JSON: u64 = 256 << 20;
/// Files of `config` that are JSON without saying so.
const JSON_NAMES: [&str; 2] = ["transactionMetrics", "timermetrics"];

/// `consumerOffset.json`, as far as it is compared.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConsumerOffsets {
    offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// `delayOffset.json`, as far as it is compared.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DelayOffsets {
    offset_table: BTreeMap<i32, i64>,
}

fn read(config: &StoreConfig, path: &Path) -> Result<Option<Vec<u8>>, String> {
    let fs = &*config.file_system;
    if !fs.exists(path).map_err(|error| error.to_string())? {
        return Ok(None);
    }
    let file = fs.open(path, OpenMode::Read).map_err(|error| error.to_string())?;
    let size = file.size().map_err(|error| error.to_string())?;
    if size > MAX_JSON {
        return Err(format!("{size} bytes are too many"));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_at(&mut bytes, 0).map_err(|error| error.to_string())?;
    Ok(Some(bytes))
}

/// Compares checkpoint and note with the log and the number of queue files.
pub(super) fn check_checkpoint(
    config: &StoreConfig,
    (end, newest): (u64, i64),
    queue_files: u64,
    clean: bool,
    findings: &mut Findings,
) {
    let mut wrong = |what: String| findings.add(Fault::Checkpoint { what });
    let bytes = match read(config, &config.path("checkpoint")) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(what) => return wrong(what),
    };
    let Some(head) = bytes.first_chunk::<SIZE>().filter(|_| bytes.len() == SIZE) else {
        return wrong(format!("it has {} bytes where it must have {SIZE}", bytes.len()));
    };
    let checkpoint = Checkpoint::decode(head);
    for (name, time) in [("log", checkpoint.log), ("queues", checkpoint.queues), ("index", checkpoint.index)]
    {
        if time > newest || time < 0 {
            wrong(format!("the time of the {name} is {time}; the newest record was stored at {newest}"));
        }
    }
    let note = match read(config, &config.path("mq-recovery")) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(what) => return wrong(format!("mq-recovery: {what}")),
    };
    // A note of another checkpoint does not count, and neither does a torn one.
    let note = Note::find(&note, &checkpoint).1;
    let Some(note) = note else { return };
    if note.flushed > end {
        wrong(format!(
            "the log was on the disk up to {}, but it ends at {end}: records are lost",
            note.flushed
        ));
    }
    if note.queued > note.flushed {
        wrong(format!("queues are noted up to {}, the log only up to {}", note.queued, note.flushed));
    }
    if note.queue_files != queue_files && clean {
        let noted = note.queue_files;
        wrong(format!("queues had {noted} files when it was written, {queue_files} are there now"));
    }
}

/// Reads every JSON file of `config`, and compares offsets with the queues. Returns how many there are.
pub(super) fn check_configs(
    config: &StoreConfig,
    queues: &QueueCheck,
    findings: &mut Findings,
) -> Result<u64, StoreError> {
    let dir = config.path("config");
    let mut count = 0;
    for entry in config.file_system.list(&dir).context("list directory", &dir)? {
        let name = entry.name.strip_suffix(".bak").unwrap_or(&entry.name);
        if entry.directory || !(name.ends_with(".json") || JSON_NAMES.contains(&name)) {
            continue;
        }
        count += 1;
        let path = dir.join(&entry.name);
        let bytes = match read(config, &path) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(what) => {
                findings.add(Fault::Unreadable { path, what });
                continue;
            }
        };
        let parsed = match name {
            "topics.json" => fastjson::from_slice::<TopicTable>(&bytes).map(drop),
            "subscriptionGroup.json" => fastjson::from_slice::<GroupTable>(&bytes).map(drop),
            "consumerOffset.json" => fastjson::from_slice::<ConsumerOffsets>(&bytes)
                .map(|offsets| check_consumers(&offsets, queues, findings)),
            "delayOffset.json" => fastjson::from_slice::<DelayOffsets>(&bytes)
                .map(|offsets| check_delays(&offsets, queues, findings)),
            _ => fastjson::from_slice::<IgnoredAny>(&bytes).map(drop),
        };
        if let Err(error) = parsed {
            findings.add(Fault::Config { path, what: format!("it is not readable as JSON: {error}") });
        }
    }
    Ok(count)
}

fn check_consumers(offsets: &ConsumerOffsets, queues: &QueueCheck, findings: &mut Findings) {
    for (name, table) in &offsets.offset_table {
        let topic = name.split('@').next().unwrap_or_default();
        for (id, offset) in table {
            // A queue of which nothing is left says nothing about offsets.
            if let Some(end) = queues.end_of(topic, *id).filter(|end| offset > end) {
                let (file, name) = ("consumerOffset.json", name.clone());
                findings.add(Fault::OffsetAhead { file, name, queue_id: *id, offset: *offset, end });
            }
        }
    }
}

fn check_delays(offsets: &DelayOffsets, queues: &QueueCheck, findings: &mut Findings) {
    for (level, offset) in &offsets.offset_table {
        let queue_id = level.saturating_sub(1);
        if let Some(end) = queues.end_of(SCHEDULE_TOPIC, queue_id).filter(|end| offset > end) {
            let (file, name) = ("delayOffset.json", format!("level {level}"));
            findings.add(Fault::OffsetAhead { file, name, queue_id, offset: *offset, end });
        }
    }
}
