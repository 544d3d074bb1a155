//! Building all consume queues and index files of a stopped store anew from its log.

use std::path::Path;

use crate::check::{Fault, StoppedStore};
use crate::config::StoreConfig;
use crate::error::{IoContext as _, StoreError};
use crate::fs::FileSystem;
use crate::recovery::{RecoveryReport, create_abort};
use crate::store::Store;

/// What a rebuild did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// What opening the store found.
    pub recovery: RecoveryReport,
    /// Queues that there are now.
    pub queues: usize,
    /// End of the log.
    pub log_end: u64,
}

/// Removes queues, index and what says how far they go, and opens and closes the store, which builds them from the log.
///
/// Queues whose records have all expired stay as they are: only their files remember their numbering. A crash on the way
/// leaves a store whose next start does the same.
///
/// # Errors
/// A broker has the store, the log is damaged in its middle (unless `accept_damaged_log` allows to lose what follows), or
/// the disk refuses.
pub fn rebuild(config: StoreConfig) -> Result<Rebuilt, StoreError> {
    let config = {
        let stopped = StoppedStore::open(config)?;
        let (report, with_records) = stopped.examine()?;
        let damage = report.findings.faults.iter().find_map(|fault| match fault {
            Fault::Damaged { at, next, what } => Some((*at, *next, what.clone())),
            Fault::LogGap { from, to } => Some((*from, *to, "a file is missing".to_owned())),
            _ => None,
        });
        if let Some((at, next, what)) = damage
            && !stopped.settings().accept_damaged_log
        {
            return Err(StoreError::Damaged { at, next, what });
        }
        let config = stopped.settings().clone();
        let fs = &*config.file_system;
        create_abort(&config)?;
        for name in ["mq-recovery", "checkpoint"] {
            let path = config.path(name);
            fs.remove_file(&path).context("remove", &path)?;
        }
        remove_files(fs, &config.path("index"))?;
        for (topic, queue_id) in with_records {
            remove_files(fs, &config.consume_queue_dir().join(&*topic).join(queue_id.to_string()))?;
        }
        config
    };
    let store = Store::open(config)?;
    store.close()?;
    let status = store.status();
    Ok(Rebuilt {
        recovery: status.recovery,
        queues: store.queues().len(),
        log_end: status.max_physical_offset,
    })
}

/// Removes the files of a directory that are named by a number, and makes that durable.
fn remove_files(fs: &dyn FileSystem, dir: &Path) -> Result<(), StoreError> {
    let entries = fs.list(dir).context("list directory", dir)?;
    let ours = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    for entry in entries.iter().filter(|entry| !entry.directory && ours(&entry.name)) {
        let path = dir.join(&entry.name);
        fs.remove_file(&path).context("remove", &path)?;
    }
    if entries.is_empty() { Ok(()) } else { fs.sync_dir(dir).context("sync directory", dir) }
}
