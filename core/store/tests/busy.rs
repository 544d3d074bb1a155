//! An append that the disk keeps waiting: others are refused once it has lasted, and not before.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{drain, record, wait_until};
use mq_store::fs::{DirEntry, DiskSpace, File, FileSystem, Mapping, OpenMode, RealFileSystem};
use mq_store::{AppendError, Store, StoreConfig};
use parking_lot::{Mutex, RwLock};

/// The machine's files, with reservations of the log's blocks that wait while somebody holds the gate.
#[derive(Debug)]
struct Slow {
    gate: Arc<Mutex<()>>,
    shut: Arc<RwLock<bool>>,
}

#[derive(Debug)]
struct SlowFile {
    file: Arc<dyn File>,
    gate: Option<Arc<Mutex<()>>>,
    shut: Arc<RwLock<bool>>,
}

impl FileSystem for Slow {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        RealFileSystem.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = RealFileSystem.open(path, mode)?;
        let gate = path.to_string_lossy().contains("commitlog").then(|| Arc::clone(&self.gate));
        Ok(Arc::new(SlowFile { file, gate, shut: Arc::clone(&self.shut) }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFileSystem.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFileSystem.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.sync_dir(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        RealFileSystem.exists(path)
    }
    fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
        RealFileSystem.identity(path)
    }
    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        RealFileSystem.space(path)
    }
}

impl File for SlowFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_at(out, at)
    }
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.file.write_at(data, at)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn reserve(&self, at: u64, length: u64) -> io::Result<()> {
        if let Some(gate) = self.gate.as_ref().filter(|_| *self.shut.read()) {
            drop(gate.lock());
        }
        self.file.reserve(at, length)
    }
    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        self.file.zero(at, length)
    }
    fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        self.file.next_data(at)
    }
    fn map(&self, writable: bool) -> io::Result<Mapping> {
        self.file.map(writable)
    }
    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

fn opened(dir: &Path, limit: Duration) -> (Store, Arc<Mutex<()>>, Arc<RwLock<bool>>) {
    let (gate, shut) = (Arc::new(Mutex::new(())), Arc::new(RwLock::new(false)));
    let config = StoreConfig {
        os_page_cache_busy_timeout: limit,
        commit_log_file_size: 4 << 20,
        // As little as can be; `put` needs more.
        reserve_ahead: 0,
        file_system: Arc::new(Slow { gate: Arc::clone(&gate), shut: Arc::clone(&shut) }),
        ..common::config(dir)
    };
    (Store::open(config).unwrap(), gate, shut)
}

/// Appends so much that its blocks cannot have been reserved ahead.
fn put(store: &Store) -> Result<(), AppendError> {
    store.append(&record("T", 0, &[b'x'; 200 << 10], "")).map(|_| ())
}

#[test]
fn appends_are_refused_while_one_waits_for_the_disk_for_too_long() {
    let dir = tempfile::tempdir().unwrap();
    let (store, gate, shut) = opened(dir.path(), Duration::from_millis(100));
    put(&store).unwrap();
    assert_eq!(store.append_lock_held(), Duration::ZERO);
    let held = gate.lock();
    *shut.write() = true;
    let stalled = std::thread::spawn({
        let store = store.clone();
        move || put(&store)
    });
    wait_until("an append in the lock", || store.append_lock_held() > Duration::ZERO);
    // It waits for the lock as long as the limit, and is refused.
    let error = put(&store).unwrap_err();
    assert!(matches!(error, AppendError::PageCache { held: 101.., waiting: 1, .. }), "{error:?}");
    // From then on nobody waits.
    let error = put(&store).unwrap_err();
    assert!(matches!(error, AppendError::PageCache { held: 101.., .. }), "{error:?}");
    assert!(store.append_batch(&[record("T", 0, b"y", "")]).is_err());
    *shut.write() = false;
    drop(held);
    stalled.join().unwrap().unwrap();
    put(&store).unwrap();
    assert_eq!((store.append_lock_held(), drain(&store, "T", 0).len()), (Duration::ZERO, 3));
    store.close().unwrap();
}

#[test]
fn a_short_wait_for_the_disk_refuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (store, gate, shut) = opened(dir.path(), Duration::from_secs(3600));
    let held = gate.lock();
    *shut.write() = true;
    let stalled: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || put(&store))
        })
        .collect();
    wait_until("an append in the lock", || store.append_lock_held() > Duration::ZERO);
    *shut.write() = false;
    drop(held);
    stalled.into_iter().for_each(|append| append.join().unwrap().unwrap());
    assert_eq!(drain(&store, "T", 0).len(), 3);
    store.close().unwrap();
}
