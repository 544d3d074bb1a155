//! The store's `lock` file: one broker at a time, ours or Apache's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{IoContext as _, StoreError};
use crate::fs::{File, FileSystem, OpenMode};

/// Directories that are open in this process. A record lock does not conflict with its own process, and closing any
/// descriptor of the file would lift it, so a second open must not even touch the file.
static OPEN: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    directory: (u64, u64),
    /// The only descriptor of the file in this process.
    file: Option<Arc<dyn File>>,
}

impl DirLock {
    /// Takes the lock on a store directory without waiting.
    pub(crate) fn take(fs: &dyn FileSystem, root: &Path) -> Result<DirLock, StoreError> {
        let directory = fs.identity(root).context("look at", root)?;
        if !OPEN.lock().insert(directory) {
            return Err(StoreError::Locked(root.to_path_buf()));
        }
        // From here on dropping gives the directory free again.
        let mut lock = DirLock { directory, file: None };
        let path: PathBuf = root.join("lock");
        let file = fs.open(&path, OpenMode::Create).context("open", &path)?;
        if !file.try_lock().context("lock", &path)? {
            return Err(StoreError::Locked(root.to_path_buf()));
        }
        file.write_at(b"lock", 0).context("write", &path)?;
        lock.file = Some(file);
        Ok(lock)
    }

    /// Takes the lock on a directory in which nothing shall change: where there is no lock file, or it may not be written,
    /// only other users in this process are kept out.
    pub(crate) fn take_for_reading(fs: &dyn FileSystem, root: &Path) -> Result<DirLock, StoreError> {
        let directory = fs.identity(root).context("look at", root)?;
        if !OPEN.lock().insert(directory) {
            return Err(StoreError::Locked(root.to_path_buf()));
        }
        let mut lock = DirLock { directory, file: None };
        let path: PathBuf = root.join("lock");
        let file = match fs.open(&path, OpenMode::Write) {
            Ok(file) => file,
            Err(error) => {
                tracing::debug!(%error, "the lock file cannot be opened; nothing is locked");
                return Ok(lock);
            }
        };
        if !file.try_lock().context("lock", &path)? {
            return Err(StoreError::Locked(root.to_path_buf()));
        }
        lock.file = Some(file);
        Ok(lock)
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // The descriptor first: once the directory is free here, another open may take the record lock.
        self.file = None;
        OPEN.lock().remove(&self.directory);
    }
}
