//! What can go wrong in the store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the store cannot be opened, closed or asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error("cannot {action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot sync {path}: {source}; what was written before may be lost, so it is not tried again")]
    Sync { path: PathBuf, source: io::Error },
    #[error(
        "the store {0} is in use: another broker holds its lock file; stop that broker or choose another directory"
    )]
    Locked(PathBuf),
    #[error("setting {setting} is {value}: {rule}")]
    Config { setting: &'static str, value: String, rule: &'static str },
    #[error("{path}: {what}")]
    Layout { path: PathBuf, what: String },
    #[error(
        "the commit log is damaged at {at}: {what}; but it goes on at {next}, and both were on disk safely. Restore the \
         files from a copy, or set acceptDamagedLog=true to lose everything from {at} on"
    )]
    Damaged { at: u64, next: u64, what: String },
    #[error("{path} cannot be read as JSON, nor can its .bak: {what}; repair one of them or remove both")]
    ConfigFile { path: PathBuf, what: String },
    #[error("the store is closed")]
    Closed,
    #[error("the store failed earlier and takes no more writes: {0}")]
    Failed(Arc<str>),
}

/// Attaches what was tried, and on what, to an operating system's error.
pub(crate) trait IoContext<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { action, path: path.to_path_buf(), source })
    }
}

/// Why a message is not stored. Nothing of it (or of its batch) is then in the log.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum AppendError {
    #[error("topic '{topic}' cannot be stored: {rule}")]
    Topic { topic: String, rule: &'static str },
    #[error("queue id {0} is negative")]
    QueueId(i32),
    #[error("the body has {size} bytes; maxMessageSize allows {max}")]
    Body { size: usize, max: usize },
    #[error("the properties have {size} bytes; at most {max} can be stored")]
    Properties { size: usize, max: usize },
    #[error("the record needs {size} bytes; a commit log file of {file_size} bytes cannot hold it")]
    Record { size: u64, file_size: u64 },
    #[error("the batch is empty")]
    EmptyBatch,
    #[error("the records of a batch must share topic, queue and transaction type")]
    MixedBatch,
    #[error(
        "a record of an inner batch (sysFlag 0x80) needs a topic of type BatchCQ, which this store does not have"
    )]
    InnerBatch,
    #[error("the commit log cannot grow ({0}); the store takes messages again when it can")]
    NoSpace(Arc<str>),
    #[error(
        "the disk of the store is fuller than diskSpaceWarningLevelRatio ({0} %); make room or lower fileReservedTime"
    )]
    DiskFull(u8),
    #[error("consume queues cannot be written ({0}); the store takes messages again when they can")]
    Queues(Arc<str>),
    #[error("{0} consume queue entries wait for the disk, which is too slow; try again")]
    Busy(usize),
    #[error(
        "an append has waited for the disk for {held} ms, longer than osPageCacheBusyTimeOutMills, and this one {waited} ms \
         for it; try again"
    )]
    PageCache { held: u64, waited: u64, waiting: usize },
    #[error("the store failed earlier and takes no more writes: {0}")]
    Failed(Arc<str>),
    #[error("the store is closed")]
    Closed,
}
