//! What the store does when the disk refuses: full, failing to sync, failing to write queues.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use bytes::Bytes;
use common::{apache, block_on, config, drain, fast_dir, record, wait_until};
use mq_store::fs::{DirEntry, DiskSpace, File, FileSystem, Mapping, OpenMode, RealFileSystem};
use mq_store::{AppendError, FlushDisk, FlushStatus, Store, StoreConfig, StoreError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// What refuses now.
#[derive(Debug, Default)]
struct Faults {
    reserve: AtomicBool,
    sync_log: AtomicBool,
    /// How long syncs of the log take: until this is false.
    hang_log: AtomicBool,
    /// How long writes to the log take: until this is false.
    hang_log_write: AtomicBool,
    log_writes: AtomicU64,
    write_queues: AtomicBool,
    used_percent: AtomicU8,
    syncs: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct FaultyFiles(Arc<Faults>);

#[derive(Debug)]
struct FaultyFile {
    faults: Arc<Faults>,
    path: PathBuf,
    file: Arc<dyn File>,
}

fn refuse<T>(
    flag: &AtomicBool,
    error: io::ErrorKind,
    otherwise: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    if flag.load(Ordering::SeqCst) { Err(error.into()) } else { otherwise() }
}

impl FaultyFile {
    fn is_log(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "commitlog")
    }

    fn is_queue(&self) -> bool {
        self.path.to_string_lossy().contains("consumequeue")
    }
}

impl FileSystem for FaultyFiles {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealFileSystem.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        RealFileSystem.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = RealFileSystem.open(path, mode)?;
        Ok(Arc::new(FaultyFile { faults: Arc::clone(&self.0), path: path.to_path_buf(), file }))
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
    fn space(&self, _path: &Path) -> io::Result<DiskSpace> {
        let used = u64::from(self.0.used_percent.load(Ordering::SeqCst));
        Ok(DiskSpace { used, usable: 100 - used })
    }
}

impl File for FaultyFile {
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
        if self.is_queue() {
            return refuse(&self.faults.write_queues, io::ErrorKind::StorageFull, || {
                self.file.write_at(data, at)
            });
        }
        if self.is_log() {
            self.faults.log_writes.fetch_add(1, Ordering::SeqCst);
            while self.faults.hang_log_write.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        self.file.write_at(data, at)
    }
    fn sync(&self) -> io::Result<()> {
        if !self.is_log() {
            return self.file.sync();
        }
        self.faults.syncs.fetch_add(1, Ordering::SeqCst);
        while self.faults.hang_log.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        refuse(&self.faults.sync_log, io::ErrorKind::Other, || self.file.sync())
    }
    fn reserve(&self, at: u64, length: u64) -> io::Result<()> {
        refuse(&self.faults.reserve, io::ErrorKind::StorageFull, || self.file.reserve(at, length))
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

fn faulty(root: &Path) -> (Arc<Faults>, StoreConfig) {
    let files = FaultyFiles::default();
    let faults = Arc::clone(&files.0);
    let config = StoreConfig {
        file_system: Arc::new(files),
        reserve_ahead: 64 << 10,
        clean_resource_interval: std::time::Duration::from_millis(20),
        flush_consume_queue_interval: std::time::Duration::from_millis(20),
        ..config(root)
    };
    (faults, config)
}

#[test]
fn a_full_disk_refuses_messages_and_serves_the_rest() {
    let dir = fast_dir();
    let (faults, config) = faulty(dir.path());
    let config = StoreConfig { commit_log_file_size: 256 << 10, ..config };
    let store = Store::open(config.clone()).unwrap();
    let body = [7; 1000];
    store.append(&record("T", 0, &body, "")).unwrap();
    faults.reserve.store(true, Ordering::SeqCst);
    let mut stored = 1;
    let error = loop {
        match store.append(&record("T", 0, &body, "")) {
            Ok(appended) => {
                assert_eq!(appended.queue_offset, stored);
                stored += 1;
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, AppendError::NoSpace(_)), "{error}");
    assert!(stored < 256, "{stored}");
    let end = store.status().max_physical_offset;
    for _ in 0..3 {
        assert!(store.append(&record("T", 0, &body, "")).is_err());
    }
    assert_eq!(store.status().max_physical_offset, end);
    assert_eq!(drain(&store, "T", 0).len() as i64, stored);
    // Room again: it goes on where it stopped, over the end of the file.
    faults.reserve.store(false, Ordering::SeqCst);
    for _ in 0..400 {
        assert_eq!(store.append(&record("T", 0, &body, "")).unwrap().queue_offset, stored);
        stored += 1;
    }
    store.close().unwrap();
    drop(store);
    let view = apache::open(dir.path(), 256 << 10, 1000).unwrap();
    assert_eq!(view.queues[&("T".to_owned(), 0)].len() as i64, stored);
}

#[test]
fn a_failed_sync_is_final() {
    let dir = fast_dir();
    let (faults, config) = faulty(dir.path());
    let store = Store::open(StoreConfig { flush_disk: FlushDisk::Sync, ..config.clone() }).unwrap();
    let first = store.append(&record("T", 0, b"one", "")).unwrap();
    assert_eq!(block_on(store.flushed(first.end)), FlushStatus::Flushed);
    faults.sync_log.store(true, Ordering::SeqCst);
    let second = store.append(&record("T", 0, b"two", "")).unwrap();
    assert_eq!(block_on(store.flushed(second.end)), FlushStatus::Failed);
    faults.sync_log.store(false, Ordering::SeqCst);
    let error = store.append(&record("T", 0, b"three", "")).unwrap_err();
    assert!(matches!(error, AppendError::Failed(_)), "{error}");
    let status = store.status();
    assert!(!status.writable && status.failure.is_some());
    // Readers see what is on the disk, and no more.
    assert_eq!(drain(&store, "T", 0).len(), 1);
    assert!(matches!(store.sync(), Err(StoreError::Failed(_))));
    assert!(matches!(store.close(), Err(StoreError::Failed(_))));
    assert!(dir.path().join("abort").exists());
    drop(store);
    let store = Store::open(config).unwrap();
    assert!(!drain(&store, "T", 0).is_empty());
    store.close().unwrap();
}

#[test]
fn a_slow_disk_ends_waits_in_time_and_one_sync_covers_many() {
    let dir = fast_dir();
    let (faults, config) = faulty(dir.path());
    let timeout = std::time::Duration::from_millis(50);
    let config = StoreConfig { flush_disk: FlushDisk::Sync, sync_flush_timeout: timeout, ..config };
    let store = Store::open(config).unwrap();
    // The first message makes the file, which is synced at once.
    let first = store.append(&record("T", 0, b"first", "")).unwrap();
    assert_eq!(block_on(store.flushed(first.end)), FlushStatus::Flushed);
    let before = faults.syncs.load(Ordering::SeqCst);
    faults.hang_log.store(true, Ordering::SeqCst);
    let second = store.append(&record("T", 0, b"second", "")).unwrap();
    assert_eq!(block_on(store.flushed(second.end)), FlushStatus::Timeout);
    wait_until("the sync", || faults.syncs.load(Ordering::SeqCst) > before);
    let before = faults.syncs.load(Ordering::SeqCst);
    let mut last = second;
    for _ in 0..100 {
        last = store.append(&record("T", 0, b"more", "")).unwrap();
    }
    assert_eq!(store.max_offset("T", 0), 1, "nothing is visible before it is on the disk");
    assert_eq!(store.next_offset("T", 0), 102);
    faults.hang_log.store(false, Ordering::SeqCst);
    wait_until("the second sync", || store.status().flushed >= last.end);
    assert_eq!(store.max_offset("T", 0), 102);
    assert!(faults.syncs.load(Ordering::SeqCst) <= before + 2);
    store.close().unwrap();
}

#[test]
fn what_is_told_at_once_waits_for_what_is_on_its_way_to_the_file() {
    let dir = fast_dir();
    let (faults, config) = faulty(dir.path());
    let store = Store::open(StoreConfig { flush_disk: FlushDisk::Sync, ..config }).unwrap();
    faults.hang_log_write.store(true, Ordering::SeqCst);
    let first = store.append_until_flushed(&record("T", 0, b"first", ""), &Bytes::new()).unwrap();
    wait_until("the write", || faults.log_writes.load(Ordering::SeqCst) > 0);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            store.append(&record("T", 0, b"second", "")).unwrap();
            // Were the process killed here, the first must be there, or the second would not be found behind it.
            faults.hang_log_write.load(Ordering::SeqCst)
        });
        // Time in which it must not come through; one that is late to begin passes, too.
        std::thread::sleep(std::time::Duration::from_millis(50));
        faults.hang_log_write.store(false, Ordering::SeqCst);
        assert!(!second.join().unwrap(), "it was told while the first was not in the file");
    });
    assert_eq!(block_on(store.flushed(first.end)), FlushStatus::Flushed);
    store.close().unwrap();
}

#[test]
fn queues_that_cannot_be_written_stop_messages_until_they_can() {
    let dir = fast_dir();
    let (faults, config) = faulty(dir.path());
    let store = Store::open(config).unwrap();
    faults.write_queues.store(true, Ordering::SeqCst);
    let mut stored = 0;
    wait_until("a refusal", || match store.append(&record("T", 0, b"x", "")) {
        Ok(_) => false,
        Err(AppendError::Queues(_)) => true,
        Err(error) => panic!("{error}"),
    });
    stored += store.max_offset("T", 0);
    assert_eq!(drain(&store, "T", 0).len() as i64, stored, "what is stored is read from memory");
    faults.write_queues.store(false, Ordering::SeqCst);
    wait_until("messages", || store.append(&record("T", 0, b"x", "")).is_ok());
    stored += 1;
    assert_eq!(drain(&store, "T", 0).len() as i64, stored);
    store.close().unwrap();
    apache::open(dir.path(), 64 << 10, 1000).unwrap();
}

#[test]
fn too_many_unwritten_entries_are_refused() {
    let dir = fast_dir();
    let (_, config) = faulty(dir.path());
    let interval = std::time::Duration::from_secs(3600);
    let config = StoreConfig { max_pending_units: 10, flush_consume_queue_interval: interval, ..config };
    let store = Store::open(config).unwrap();
    let batch = vec![record("T", 0, b"x", ""); 10];
    store.append_batch(&batch).unwrap();
    assert!(matches!(store.append(&record("T", 0, b"x", "")), Err(AppendError::Busy(10))));
    assert_eq!(drain(&store, "T", 0).len(), 10);
    store.close().unwrap();
}

#[test]
fn a_nearly_full_partition_deletes_old_files_and_then_refuses() {
    let dir = fast_dir();
    let (faults, config) = faulty(dir.path());
    let store = Store::open(StoreConfig { delete_when: Vec::new(), ..config }).unwrap();
    for _ in 0..300 {
        store.append(&record("T", 0, &[1; 1000], "")).unwrap();
    }
    assert_eq!(store.status().min_physical_offset, 0);
    faults.used_percent.store(86, Ordering::SeqCst);
    wait_until("forced deletion", || store.status().min_physical_offset > 0);
    store.append(&record("T", 0, b"x", "")).unwrap();
    faults.used_percent.store(91, Ordering::SeqCst);
    wait_until("a refusal", || {
        matches!(store.append(&record("T", 0, b"x", "")), Err(AppendError::DiskFull(90)))
    });
    assert!(!store.status().writable);
    faults.used_percent.store(50, Ordering::SeqCst);
    wait_until("room", || store.append(&record("T", 0, b"x", "")).is_ok());
    let min = store.min_offset("T", 0);
    assert_eq!(drain(&store, "T", 0).len() as i64, store.max_offset("T", 0) - min);
    store.close().unwrap();
    apache::open(dir.path(), 64 << 10, 1000).unwrap();
}
