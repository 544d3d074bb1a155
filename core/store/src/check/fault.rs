//! What a check can find wrong, with the place of each.

use std::path::PathBuf;

use serde::Serialize;

/// Findings of each kind that a report keeps; it counts all.
const KEPT: usize = 1000;

/// One thing that is not as it must be. Positions are bytes of the commit log unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error("{path}: cannot be read: {what}", path = path.display())]
    Unreadable { path: PathBuf, what: String },
    #[error("{path}: {what}", path = path.display())]
    File { path: PathBuf, what: String },
    #[error("the commit log misses its bytes from {from} to {to}: a file is gone")]
    LogGap { from: u64, to: u64 },
    #[error("the commit log is damaged at {at}: {what}; valid records go on at {next}")]
    Damaged { at: u64, next: u64, what: String },
    #[error("the commit log ends at {at}, and what stands there is no record: {what}")]
    Tail { at: u64, what: String },
    #[error("the record at {at}: {what}")]
    Record { at: u64, what: String },
    #[error("{topic}-{queue_id}: offsets {expected} to {found} (exclusive) have no record; found at {at}")]
    OffsetsMissing { topic: String, queue_id: i32, expected: i64, found: i64, at: u64 },
    #[error("{topic}-{queue_id}: offset {offset} is used again by the record at {at}")]
    OffsetRepeated { topic: String, queue_id: i32, offset: i64, at: u64 },
    #[error(
        "{topic}-{queue_id}: {count} records have no queue entry; the first has offset {offset} and stands at {at}"
    )]
    EntriesMissing { topic: String, queue_id: i32, count: u64, offset: i64, at: u64 },
    #[error("{topic}-{queue_id}: entry {offset} is {found}; the record with this offset needs {wanted}")]
    EntryWrong { topic: String, queue_id: i32, offset: i64, found: String, wanted: String },
    #[error("{topic}-{queue_id}: entry {offset} points to {at}: {what}")]
    EntryPointsAstray { topic: String, queue_id: i32, offset: i64, at: i64, what: String },
    #[error("{topic}-{queue_id}: entry {offset} points to {at}, before the end of the entry before it")]
    EntryOrder { topic: String, queue_id: i32, offset: i64, at: i64 },
    #[error("the keys of {count} records are not in the index; the first stands at {at}")]
    KeysMissing { count: u64, at: u64 },
    #[error("{path}: entry {entry} is for a record at {at}: {what}", path = path.display())]
    IndexEntry { path: PathBuf, entry: i32, at: i64, what: String },
    #[error("{path}: {what}", path = path.display())]
    Index { path: PathBuf, what: String },
    #[error("checkpoint: {what}")]
    Checkpoint { what: String },
    #[error("{path}: {what}", path = path.display())]
    Config { path: PathBuf, what: String },
    #[error("{file}: {name}, queue {queue_id}, has offset {offset}; the queue ends at {end}")]
    OffsetAhead { file: &'static str, name: String, queue_id: i32, offset: i64, end: i64 },
}

/// Faults that need somebody's decision, and those that the next start of a broker repairs by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Nothing repairs them, or nothing should be wrong after a clean stop. The first 1000.
    pub faults: Vec<Fault>,
    /// How many there are in all.
    pub fault_count: u64,
    /// Left by an unclean stop; the next start repairs them. The first 1000.
    pub repairable: Vec<Fault>,
    /// How many there are in all.
    pub repairable_count: u64,
}

impl Findings {
    pub(super) fn add(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < KEPT {
            self.faults.push(fault);
        }
    }

    /// Adds a fault that the next start repairs if `repairable`.
    pub(super) fn add_if(&mut self, repairable: bool, fault: Fault) {
        if !repairable {
            return self.add(fault);
        }
        self.repairable_count += 1;
        if self.repairable.len() < KEPT {
            self.repairable.push(fault);
        }
    }
}
