//! Looking at a store that no broker has open: checking all of it, and reading its records. Changes no file.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use mq_protocol::message::MessageRecord;
use serde::Serialize;

use crate::config::{StoreConfig, file_name, file_position};
use crate::error::{IoContext as _, StoreError};
use crate::fs::OpenMode;
use crate::lock::DirLock;
use crate::queue::{UNIT_SIZE, Unit};
use crate::recovery::{abort_path, check_supported};

mod fault;
mod index;
mod log;
mod queues;
mod state;

pub use fault::{Fault, Findings};

use index::IndexCheck;
use log::{Found, LogReader};
use queues::QueueCheck;

/// Topics and ids of queues.
pub(crate) type QueueNames = Vec<(Arc<str>, i32)>;

/// Queue entries that are read at once.
const UNITS_AT_ONCE: u64 = 1024;

/// A store whose broker is stopped; its lock is held while this lives, so that none starts meanwhile.
#[derive(Debug)]
pub struct StoppedStore {
    config: StoreConfig,
    _lock: DirLock,
}

/// What a check has looked at, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckReport {
    /// Whether the last broker stopped cleanly.
    pub clean: bool,
    /// Position of the oldest byte of the log.
    pub log_begin: u64,
    /// Position behind the last record.
    pub log_end: u64,
    /// Files of the log.
    pub log_files: u64,
    /// Records of the log.
    pub records: u64,
    /// Records whose queue was deleted, and perhaps made again, after they were stored.
    pub superseded: u64,
    /// Queues with records or files.
    pub queues: u64,
    /// Entries of all queues.
    pub queue_entries: u64,
    /// Index files.
    pub index_files: u64,
    /// Entries of all index files.
    pub index_entries: u64,
    /// Whether there are records with keys and no index file: right only with `messageIndexEnable=false`.
    pub index_absent: bool,
    /// JSON files of `config`.
    pub config_files: u64,
    /// What is wrong.
    #[serde(skip)]
    pub findings: Findings,
}

impl StoppedStore {
    /// Takes the lock of a store. Nothing is opened, repaired or written.
    ///
    /// # Errors
    /// A broker has the store, there is none, or it is of a kind that is not supported.
    pub fn open(config: StoreConfig) -> Result<StoppedStore, StoreError> {
        let config = config.checked()?;
        let log = config.commit_log_dir();
        if !config.file_system.exists(&log).context("look for", &log)? {
            let what =
                "there is no commit log here; name the directory that holds commitlog (storePathRootDir)"
                    .to_owned();
            return Err(StoreError::Layout { path: config.root.clone(), what });
        }
        let lock = DirLock::take_for_reading(&*config.file_system, &config.root)?;
        check_supported(&config)?;
        Ok(StoppedStore { config, _lock: lock })
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn settings(&self) -> &StoreConfig {
        &self.config
    }

    /// Checks everything: each record, queue entry and index entry, the checkpoint and the files of `config`.
    ///
    /// Reads the log once from its oldest byte; memory is bounded by the number of queues (some 300 bytes and a share of
    /// 32 MiB each) and index slots, not by the number of messages.
    ///
    /// # Errors
    /// A directory cannot be listed. What cannot be read otherwise is a finding.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        Ok(self.examine()?.0)
    }

    /// Checks everything; also names the queues that have records in the log.
    pub(crate) fn examine(&self) -> Result<(CheckReport, QueueNames), StoreError> {
        let config = &self.config;
        let mut findings = Findings::default();
        let clean =
            !config.file_system.exists(&abort_path(config)).context("look for", &abort_path(config))?;
        let mut log = LogReader::open(config, &mut findings)?;
        let log_begin = log.min();
        let mut queues = QueueCheck::open(config, log_begin, clean, &mut findings)?;
        let mut index = IndexCheck::open(config, log_begin, clean, &mut findings)?;
        let (mut at, mut newest, mut records) = (log_begin, 0, 0);
        loop {
            let what = match log.look(&mut at) {
                Found::Record { at: position, layout, bytes } => {
                    if layout.store_timestamp < newest {
                        let what = format!(
                            "it was stored at {}, before the one before it ({newest})",
                            layout.store_timestamp
                        );
                        findings.add(Fault::Record { at: position, what });
                    }
                    newest = newest.max(layout.store_timestamp);
                    queues.record(position, &layout, bytes);
                    index.record(position, &layout, bytes, &mut findings);
                    records += 1;
                    at = position + layout.total_size as u64;
                    continue;
                }
                Found::End => None,
                Found::Broken(what) => Some(what),
            };
            if let Some(next) = log.gap_at(at) {
                findings.add(Fault::LogGap { from: at, to: next });
                at = next;
                continue;
            }
            if let Some(next) = log.find(at.saturating_add(1)) {
                let what = what.unwrap_or_else(|| "nothing stands there".to_owned());
                findings.add(Fault::Damaged { at, next, what });
                at = next;
                continue;
            }
            if let Some(what) = what {
                findings.add_if(!clean, Fault::Tail { at, what });
            }
            break;
        }
        queues.finish(&mut log, at, clean, &mut findings);
        let index_absent = index.finish(at, &mut findings);
        state::check_checkpoint(config, (at, newest), queues.file_count, clean, &mut findings);
        let config_files = state::check_configs(config, &queues, &mut findings)?;
        let report = CheckReport {
            clean,
            log_begin,
            log_end: at,
            log_files: log.pieces.len() as u64,
            records,
            superseded: queues.superseded,
            queues: queues.count(),
            queue_entries: queues.units,
            index_files: index.files,
            index_entries: index.entries,
            index_absent,
            config_files,
            findings,
        };
        Ok((report, queues.with_records()))
    }

    /// Calls `visit` with each record of the log in order, until it returns `false`. Damaged places are passed over.
    ///
    /// # Errors
    /// The directory of the log cannot be listed.
    pub fn records(&self, mut visit: impl FnMut(MessageRecord) -> bool) -> Result<(), StoreError> {
        let mut log = LogReader::open(&self.config, &mut Findings::default())?;
        let mut at = log.min();
        loop {
            let record = match log.look(&mut at) {
                Found::Record { bytes, .. } => {
                    MessageRecord::take(&mut Bytes::copy_from_slice(bytes)).ok().flatten()
                }
                _ => None,
            };
            if let Some(record) = record {
                at += record.layout().total_size as u64;
                if !visit(record) {
                    return Ok(());
                }
            } else if let Some(next) = log.gap_at(at).or_else(|| log.find(at.saturating_add(1))) {
                at = next;
            } else {
                return Ok(());
            }
        }
    }

    /// Calls `visit` with each record of a queue from a queue offset on, until it returns `false`.
    ///
    /// # Errors
    /// The queue has no files, or one of them cannot be read.
    pub fn queue(
        &self,
        topic: &str,
        queue_id: i32,
        from: i64,
        mut visit: impl FnMut(MessageRecord) -> bool,
    ) -> Result<(), StoreError> {
        let mut log = LogReader::open(&self.config, &mut Findings::default())?;
        self.units(topic, queue_id, from, |unit| {
            let mut position = u64::try_from(unit.physical_offset).unwrap_or(u64::MAX);
            if unit.is_blank() || position < log.min() {
                return true;
            }
            match log.look(&mut position) {
                Found::Record { bytes, .. } => {
                    match MessageRecord::take(&mut Bytes::copy_from_slice(bytes)) {
                        Ok(Some(record)) => visit(record),
                        _ => true,
                    }
                }
                _ => true,
            }
        })
    }

    /// Calls `visit` with each written unit of a queue from a queue offset on, until it returns `false`.
    fn units(
        &self,
        topic: &str,
        queue_id: i32,
        from: i64,
        mut visit: impl FnMut(Unit) -> bool,
    ) -> Result<(), StoreError> {
        let fs = &*self.config.file_system;
        let dir = self.config.consume_queue_dir().join(topic).join(queue_id.to_string());
        let entries = fs.list(&dir).context("list directory", &dir)?;
        let files = entries.iter().filter(|entry| !entry.directory && entry.size > 0);
        let mut starts: Vec<u64> = files.filter_map(|entry| file_position(&dir.join(&entry.name))).collect();
        starts.sort_unstable();
        let Some(first) = starts.first().copied() else {
            return Err(StoreError::Layout {
                path: dir,
                what: "there is no such queue, or it has no entry".to_owned(),
            });
        };
        let mut at = (u64::try_from(from).unwrap_or(0) * UNIT_SIZE).max(first);
        let mut bytes = Vec::new();
        for start in starts {
            let (path, end) = (dir.join(file_name(start)), start + self.config.consume_queue_file_size);
            if at >= end {
                continue;
            }
            let file = fs.open(&path, OpenMode::Read).context("open", &path)?;
            while at < end {
                let units = (end - at).min(UNITS_AT_ONCE * UNIT_SIZE);
                bytes.resize(usize::try_from(units).unwrap_or(0), 0);
                file.read_at(&mut bytes, at - start).context("read", &path)?;
                for unit in bytes.as_chunks::<{ UNIT_SIZE as usize }>().0.iter().map(Unit::decode) {
                    if !unit.is_written() || !visit(unit) {
                        return Ok(());
                    }
                }
                at += units;
            }
        }
        Ok(())
    }

    /// Queues that have a directory, with their ids in order.
    ///
    /// # Errors
    /// A directory cannot be listed.
    pub fn queues(&self) -> Result<Vec<(String, Vec<i32>)>, StoreError> {
        let (fs, dir) = (&*self.config.file_system, self.config.consume_queue_dir());
        let mut all = Vec::new();
        for topic in
            fs.list(&dir).context("list directory", &dir)?.into_iter().filter(|entry| entry.directory)
        {
            let path = dir.join(&topic.name);
            let entries = fs.list(&path).context("list directory", &path)?;
            let mut ids: Vec<i32> = entries.iter().filter_map(|entry| entry.name.parse().ok()).collect();
            ids.sort_unstable();
            all.push((topic.name, ids));
        }
        all.sort();
        Ok(all)
    }
}

/// Settings with the sizes that the files of a store have, where they differ from `config`.
///
/// Slots and entries of an index file follow from its size only if they have Apache's ratio of 1 to 4.
///
/// # Errors
/// A directory cannot be listed.
pub fn sizes_of_files(mut config: StoreConfig) -> Result<StoreConfig, StoreError> {
    let fs = Arc::clone(&config.file_system);
    let sizes = |dir: PathBuf| -> Result<Vec<u64>, StoreError> {
        let entries = fs.list(&dir).context("list directory", &dir)?;
        let files =
            entries.iter().filter(|entry| !entry.directory && entry.name.bytes().all(|b| b.is_ascii_digit()));
        Ok(files.map(|entry| entry.size).filter(|size| *size > 0).collect())
    };
    if let Some(size) = most_common(sizes(config.commit_log_dir())?) {
        config.commit_log_file_size = size;
    }
    let dir = config.consume_queue_dir();
    let mut of_queues = Vec::new();
    'topics: for topic in
        fs.list(&dir).context("list directory", &dir)?.iter().filter(|entry| entry.directory)
    {
        let path = dir.join(&topic.name);
        for queue in fs.list(&path).context("list directory", &path)?.iter().filter(|entry| entry.directory) {
            of_queues.extend(sizes(path.join(&queue.name))?);
            if of_queues.len() > 100 {
                break 'topics;
            }
        }
    }
    if let Some(size) = most_common(of_queues) {
        config.consume_queue_file_size = size;
    }
    let of_config = 40 + 4 * u64::from(config.index_slots) + 20 * u64::from(config.index_entries);
    if let Some(size) = most_common(sizes(config.path("index"))?)
        && size != of_config
        && let Some(rest) = size.checked_sub(40)
        && rest.is_multiple_of(84)
        && let Ok(slots) = u32::try_from(rest / 84)
        && slots > 0
    {
        (config.index_slots, config.index_entries) = (slots, slots.saturating_mul(4));
    }
    Ok(config)
}

/// The value that is there most often; the largest of those.
fn most_common(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.chunk_by(|a, b| a == b).max_by_key(|same| same.len()).and_then(|same| same.first().copied())
}
