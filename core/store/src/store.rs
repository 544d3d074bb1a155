//! The store as its users see it: opening, closing, and one method for each thing it does.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mq_protocol::message::{MessageRecord, NewRecord};
use parking_lot::{Mutex, RwLock};

use crate::append::Appended;
use crate::bell::{Bells, Worker};
use crate::checkpoint::CheckpointFiles;
use crate::config::StoreConfig;
use crate::config_file::ConfigFile;
use crate::deleted::DeletedQueues;
use crate::error::{AppendError, IoContext as _, StoreError};
use crate::flush::{Flush, Flushed};
use crate::fs::{DiskSpace, create_dir_durably};
use crate::gate::Gate;
use crate::index::{Entry, Index, KeyQuery, KeyResult, Left};
use crate::lock::DirLock;
use crate::log::{CommitLog, Hold};
use crate::lookup::{Boundary, QueueEntry};
use crate::queue::{QueueFiles, QueueTable};
use crate::read::{Read, ReadRequest};
use crate::recovery::{Recovered, Recovery, RecoveryReport, abort_path, check_supported, create_abort};
use crate::shared::{Arrival, Progress, Shared, Tip};
use crate::tip::AppendLock;
use crate::workers::QueueWriter;

/// An open store. Clones share it; it closes when [`close`](Store::close) is called or the last clone is dropped.
///
/// All methods may be called from any thread. None waits for a network; those that may wait for the disk say so.
#[derive(Clone, Debug)]
pub struct Store(Arc<Handle>);

/// Batches of records that a query by key indexes itself before it looks.
const QUERY_BATCHES: usize = 64;

/// Rounds of cleaning at any hour that one request is good for (`MAX_MANUAL_DELETE_FILE_TIMES`).
const MANUAL_ROUNDS: u32 = 20;

/// Closes the store with the last clone.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    configs: Mutex<HashMap<String, ConfigFile>>,
    process: u32,
}

/// State of a store at one moment.
#[derive(Clone, Debug)]
pub struct StoreStatus {
    /// Position of the oldest byte of the log.
    pub min_physical_offset: u64,
    /// End of the log.
    pub max_physical_offset: u64,
    /// The log is on the disk up to here.
    pub flushed: u64,
    /// Queue entries of records before this are on the disk.
    pub queued: u64,
    /// Records before this are in the key index.
    pub indexed: u64,
    /// Store timestamp of the newest record.
    pub store_timestamp: i64,
    /// Queue entries that are not in files yet.
    pub pending_entries: usize,
    /// Whether messages are taken.
    pub writable: bool,
    /// Why the store failed, if it did.
    pub failure: Option<String>,
    /// Space of the partition of the log.
    pub commit_log_disk: Option<DiskSpace>,
    /// Space of the partition of everything else.
    pub store_disk: Option<DiskSpace>,
    /// What opening found.
    pub recovery: RecoveryReport,
}

impl Store {
    /// Opens a store: takes its lock, loads and repairs it, starts its threads. Waits for the disk.
    ///
    /// # Errors
    /// A setting is wrong, another process has the store, a file does not fit, or the disk refuses.
    pub fn open(config: StoreConfig) -> Result<Store, StoreError> {
        let store = Store::recover(config)?;
        store.shared().start_threads()?;
        Ok(store)
    }

    /// Opens a store without its threads: nothing happens by itself.
    pub(crate) fn recover(config: StoreConfig) -> Result<Store, StoreError> {
        let config = config.checked()?;
        let fs = &*config.file_system;
        create_dir_durably(fs, &config.root).context("create directory", &config.root)?;
        let lock = DirLock::take(fs, &config.root)?;
        check_supported(&config)?;
        let clean = !fs.exists(&abort_path(&config)).context("look for", &abort_path(&config))?;
        let log = CommitLog::load(&config)?;
        let (queues, queue_files) = (QueueTable::default(), QueueFiles::new(&config));
        let (checkpoint_files, checkpoint, note) = CheckpointFiles::open(&config)?;
        let complete = if clean { u64::MAX } else { note.map_or(0, |note| note.queued) };
        let lost = queue_files.load(&queues, complete)?;
        let deleted = DeletedQueues::load(&config)?;
        let checkpoint_files = Mutex::new(checkpoint_files);
        // From here on files may change: whoever finds them half done must know.
        create_abort(&config)?;
        let recovery = Recovery {
            config: &config,
            log: &log,
            queues: &queues,
            files: &queue_files,
            checkpoint,
            note,
            checkpoint_files: &checkpoint_files,
            deleted: &deleted,
            unsynced: Vec::new().into(),
        };
        let Recovered { writer, timestamp, mut report, queued, unsynced } = recovery.run(clean, lost)?;
        let left = Left { clean, safe_timestamp: checkpoint.index, noted: note.map(|note| note.index) };
        let (index, whole) = Index::load(&config, &log, left, &mut report)?;
        let index_at = index_start(&index, &log, clean && whole, note.map(|note| note.indexed))?;
        index.start_at(index_at);
        let end = log.end();
        let bells = Arc::new(Bells::default());
        let progress = Progress {
            flushed_timestamp: Mutex::new(timestamp),
            queued_timestamp: Mutex::new(if unsynced.is_empty() { timestamp } else { checkpoint.queues }),
            queued: AtomicU64::new(if unsynced.is_empty() { end } else { queued }),
        };
        let shared = Arc::new(Shared {
            flush: Arc::new(Flush::new(end, &config, Arc::clone(&bells))),
            gate: Gate::new(config.disk_space_warning_level_ratio, config.max_pending_units),
            tip: AppendLock::new(
                Tip { writer, timestamp, ..Tip::default() },
                config.os_page_cache_busy_timeout,
            ),
            queue_writer: Mutex::new(QueueWriter::new(end, timestamp, unsynced)),
            expired_before: AtomicU64::new(0),
            index_synced: AtomicU64::new(index.at()),
            memory_window: memory_window(config.access_in_memory_max_ratio),
            log,
            queues,
            queue_files,
            index,
            bells,
            listeners: RwLock::new([].into()),
            has_listeners: AtomicBool::new(false),
            progress,
            flushing: Mutex::default(),
            checkpoint: checkpoint_files,
            deleted: Mutex::new(deleted),
            queues_hurried: AtomicBool::new(false),
            clean_soon: AtomicBool::new(false),
            rounds_any_hour: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            threads: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            recovery: report,
            config,
        });
        if note.is_some_and(|note| note.flushed > end) {
            // It would be believed again once the log has grown over it.
            shared.write_checkpoint()?;
        }
        let RecoveryReport { clean, scanned_from, end, records, rebuilt, .. } = shared.recovery;
        tracing::info!(clean, scanned_from, end, records, rebuilt, "the store is open");
        Ok(Store(Arc::new(Handle { shared, configs: Mutex::default(), process: std::process::id() })))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Stores a message. Does not wait for the disk, except when blocks must be reserved.
    ///
    /// It outlives this process from now on, in synchronous mode once [`flushed`](Store::flushed) also the machine.
    ///
    /// # Errors
    /// The message cannot be stored; nothing of it is in the log.
    pub fn append(&self, record: &NewRecord<'_>) -> Result<Appended, AppendError> {
        self.shared().append(record, Hold::No)
    }

    /// As [`append`](Store::append), for those who answer only after [`flushed`](Store::flushed): in synchronous mode the
    /// message may be lost with this process until then, and many of them are written together, which is faster.
    ///
    /// If the body is a part of `whole`, it is written from there, and `whole` is kept until then; else it is copied.
    ///
    /// # Errors
    /// As of [`append`](Store::append).
    pub fn append_until_flushed(
        &self,
        record: &NewRecord<'_>,
        whole: &Bytes,
    ) -> Result<Appended, AppendError> {
        self.shared().append(record, Hold::UntilSync(whole))
    }

    /// Stores messages of one queue together: in one file, with consecutive queue offsets, seen by readers all at once.
    ///
    /// # Errors
    /// One of them cannot be stored; nothing of the batch is in the log.
    pub fn append_batch(&self, records: &[NewRecord<'_>]) -> Result<Vec<Appended>, AppendError> {
        self.shared().append_batch(records, Hold::No)
    }

    /// As [`append_batch`](Store::append_batch), for those who answer only after [`flushed`](Store::flushed); see
    /// [`append_until_flushed`](Store::append_until_flushed).
    ///
    /// # Errors
    /// As of [`append_batch`](Store::append_batch).
    pub fn append_batch_until_flushed(
        &self,
        records: &[NewRecord<'_>],
        whole: &Bytes,
    ) -> Result<Vec<Appended>, AppendError> {
        self.shared().append_batch(records, Hold::UntilSync(whole))
    }

    /// Waits until the log is on the disk up to `end` (see [`Appended::end`]), at most `syncFlushTimeout`.
    ///
    /// All waits that one sync covers end together. In asynchronous mode it makes the next sync come at once.
    pub fn flushed(&self, end: u64) -> Flushed {
        self.shared().flush.wait(end)
    }

    /// Reads messages of a queue. May wait for the disk if they are old.
    #[must_use]
    pub fn read(&self, request: &ReadRequest<'_>) -> Read {
        self.shared().read(request)
    }

    /// The record at a position of the log; `None` if none begins there or readers may not see it yet. May wait for the disk.
    ///
    /// # Errors
    /// The disk cannot give it.
    pub fn record_at(&self, physical_offset: u64) -> Result<Option<MessageRecord>, StoreError> {
        let (log, end) = (&self.shared().log, self.shared().visible_end());
        let record = log.record(physical_offset).context("read the log in", log.dir())?;
        Ok(record.filter(|record| physical_offset + record.layout().total_size as u64 <= end))
    }

    /// Whether [`record_at`](Store::record_at) can answer without waiting for the disk; does not wait for it either.
    #[must_use]
    pub fn is_record_cached(&self, physical_offset: u64) -> bool {
        let shared = self.shared();
        physical_offset >= shared.just_now() || shared.log.is_record_cached(physical_offset)
    }

    /// Records of a topic that have a key, those stored a moment ago included.
    ///
    /// Only when the index is far behind, under a flood of messages, the newest may be missing. May wait for the disk.
    ///
    /// # Errors
    /// The disk cannot give a part of the index, or a record that it names.
    pub fn query(&self, query: &KeyQuery<'_>) -> Result<KeyResult, StoreError> {
        self.search(Entry::Key(query.key), query)
    }

    /// Records of a topic whose tag is the query's `key`. Tags are indexed as 5.5.0 does it.
    ///
    /// # Errors
    /// As of [`query`](Store::query).
    pub fn query_tag(&self, query: &KeyQuery<'_>) -> Result<KeyResult, StoreError> {
        self.search(Entry::Tag(query.key), query)
    }

    fn search(&self, entry: Entry<'_>, query: &KeyQuery<'_>) -> Result<KeyResult, StoreError> {
        let shared = self.shared();
        let end = shared.visible_end();
        if shared.config.index_enable {
            // The index thread lets records gather; a query does not wait for it but does the thread's work.
            for _ in 0..QUERY_BATCHES {
                match shared.build_index(end) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the key index cannot be extended; the newest messages are not found");
                        break;
                    }
                }
            }
        }
        shared.index.query(&shared.log, entry, query, end)
    }

    /// Smallest queue offset whose message is still there; 0 for a queue that never had one.
    #[must_use]
    pub fn min_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.shared().min_offset(topic, queue_id)
    }

    /// One more than the largest queue offset that can be read; 0 for a queue that never had a message.
    #[must_use]
    pub fn max_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.shared().max_offset(topic, queue_id)
    }

    /// The queue offset that the next message gets, also when readers do not see all before it yet.
    #[must_use]
    pub fn next_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.shared().queues.get(topic, queue_id).map_or(0, |queue| queue.next())
    }

    /// Queue offset at a time in milliseconds since the epoch, always from the smallest to the largest offset.
    #[must_use]
    pub fn offset_by_time(&self, topic: &str, queue_id: i32, time: i64, boundary: Boundary) -> i64 {
        self.shared().offset_by_time(topic, queue_id, time, boundary)
    }

    /// When the message at a queue offset was stored.
    #[must_use]
    pub fn store_time(&self, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        self.shared().store_time(topic, queue_id, offset)
    }

    /// When the oldest message of a queue was stored.
    #[must_use]
    pub fn earliest_store_time(&self, topic: &str, queue_id: i32) -> Option<i64> {
        self.shared().earliest_store_time(topic, queue_id)
    }

    /// Entries of a queue from an offset (or its smallest) on, at most `max`.
    #[must_use]
    pub fn queue_entries(&self, topic: &str, queue_id: i32, from: i64, max: usize) -> Vec<QueueEntry> {
        self.shared().queue_entries(topic, queue_id, from, max)
    }

    /// Whether a message is taken to be in memory because it is near the log's end.
    #[must_use]
    pub fn in_memory(&self, topic: &str, queue_id: i32, offset: i64) -> bool {
        self.shared().in_memory(topic, queue_id, offset)
    }

    /// Whether a read from an offset on can begin without waiting for the disk: its first messages are in the page cache.
    ///
    /// Does not wait for the disk itself. What is not there to be read needs no disk.
    #[must_use]
    pub fn is_cached(&self, topic: &str, queue_id: i32, offset: i64) -> bool {
        self.shared().is_cached(topic, queue_id, offset)
    }

    /// All queues that have or had messages.
    #[must_use]
    pub fn queues(&self) -> Vec<(Arc<str>, i32)> {
        self.shared().queues.all().iter().map(|queue| (Arc::clone(&queue.topic), queue.id)).collect()
    }

    /// Calls `listener` for each message once it can be read, on the appending or the syncing thread, with no lock held.
    ///
    /// It must be quick and must not panic.
    pub fn on_arrival(&self, listener: Box<dyn Fn(&Arrival<'_>) + Send + Sync>) {
        let mut listeners = self.shared().listeners.write();
        *listeners = listeners.iter().cloned().chain([listener.into()]).collect();
        drop(listeners);
        self.shared().has_listeners.store(true, Ordering::Release);
    }

    /// Removes the queues of a topic. Its records stay in the log until they expire; the numbering of its queues goes on.
    ///
    /// # Errors
    /// The disk refuses; some queues may be gone then.
    pub fn delete_topic(&self, topic: &str) -> Result<(), StoreError> {
        self.shared().delete_topic(topic)
    }

    /// Has expired files looked for soon rather than at the next regular time; with `any_hour` they go whatever
    /// `delete_when` says, in this round and the next 19 (`CleanCommitLogService.executeDeleteFilesManually`): a file stays
    /// while its messages' queue entries are not on the disk, and one round removes `delete_file_batch_max` files at most.
    /// Returns at once.
    pub fn clean_soon(&self, any_hour: bool) {
        let shared = self.shared();
        if any_hour {
            shared.rounds_any_hour.store(MANUAL_ROUNDS, Ordering::Release);
        }
        shared.clean_soon.store(true, Ordering::Release);
        shared.bells.hurry(Worker::Queues);
    }

    /// State of the store now.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let shared = self.shared();
        let (commit_log_disk, store_disk) = shared.disk_space();
        let (end, store_timestamp) = {
            let tip = shared.tip.lock();
            (tip.writer.at, tip.timestamp)
        };
        StoreStatus {
            min_physical_offset: shared.log.min(),
            max_physical_offset: end,
            flushed: shared.flush.flushed(),
            queued: shared.progress.queued.load(Ordering::Acquire),
            indexed: shared.index.at(),
            store_timestamp,
            pending_entries: shared.gate.pending.load(Ordering::Relaxed),
            writable: shared.gate.is_open(),
            failure: shared.gate.failure().map(|why| why.to_string()),
            commit_log_disk,
            store_disk,
            recovery: shared.recovery.clone(),
        }
    }

    /// How long the append that is at work now has held the append lock; zero if there is none. Does not wait.
    #[must_use]
    pub fn append_lock_held(&self) -> Duration {
        self.shared().tip.held()
    }

    /// A file of the `config` directory, such as `topics.json`.
    #[must_use]
    pub fn config(&self, file: &str) -> ConfigFile {
        let shared = self.shared();
        let mut configs = self.0.configs.lock();
        let new = || {
            ConfigFile::new(Arc::clone(&shared.config.file_system), shared.config.path("config").join(file))
        };
        configs.entry(file.to_owned()).or_insert_with(new).clone()
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn settings(&self) -> &StoreConfig {
        &self.shared().config
    }

    /// Syncs everything that was appended before the call. Waits for the disk.
    ///
    /// # Errors
    /// The disk failed; the store takes no more messages.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.shared().sync_log().map(|_| ())
    }

    /// Stops cleanly: everything goes to the disk, then the lock is released. Later calls fail or find nothing new.
    ///
    /// A second call does nothing. Waits for the disk.
    ///
    /// # Errors
    /// Something did not reach the disk; the next opening then repairs as after a crash.
    pub fn close(&self) -> Result<(), StoreError> {
        self.shared().close()
    }

    /// Stops as if the process had been killed: nothing more is written, the next opening has to recover.
    pub fn kill(&self) {
        let shared = self.shared();
        {
            // Appends that hold the lock finish, later ones are refused.
            let _tip = shared.tip.lock();
            if !shared.gate.close() {
                return;
            }
        }
        shared.stop_threads();
        shared.flush.give_up();
        shared.lock.lock().take();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // In a forked child the threads and the lock belong to the parent.
        if self.process == std::process::id()
            && let Err(error) = self.shared.close()
        {
            tracing::error!(%error, "the store could not be closed cleanly");
        }
    }
}

impl Shared {
    fn close(&self) -> Result<(), StoreError> {
        {
            let _tip = self.tip.lock();
            if !self.gate.close() {
                return Ok(());
            }
        }
        self.stop_threads();
        let result = self.write_everything();
        self.flush.give_up();
        let result = result.and_then(|()| {
            let path = abort_path(&self.config);
            self.config.file_system.remove_file(&path).context("remove", &path)?;
            self.config.file_system.sync_dir(&self.config.root).context("sync directory", &self.config.root)
        });
        self.lock.lock().take();
        result
    }

    /// The log, then what is derived from it, then what says so.
    fn write_everything(&self) -> Result<(), StoreError> {
        self.sync_log()?;
        if self.config.index_enable {
            while self.build_index(self.log.end())? {}
            self.index.sync(self.flush.flushed())?;
            self.index.finish_all();
        }
        self.write_queues(true)?;
        self.log.drop_prepared()
    }

    fn delete_topic(&self, topic: &str) -> Result<(), StoreError> {
        let queues = self.queues.of_topic(topic);
        let dir = self.config.consume_queue_dir().join(topic);
        let mut writer = self.queue_writer.lock();
        self.sync_queues(&mut writer)?;
        let mut deleted = self.deleted.lock();
        deleted.note(&queues, self.log.min(), self.log.end())?;
        self.queue_files.set_removing(true);
        let removed = self.write_checkpoint().and_then(|()| {
            queues.iter().try_for_each(|queue| {
                let dropped = self.queue_files.remove_all(queue).context("remove queue files in", &dir)?;
                self.gate.pending.fetch_sub(dropped, Ordering::Relaxed);
                Ok(())
            })
        });
        self.queue_files.set_removing(false);
        removed?;
        // Once more: messages may have come meanwhile.
        let end = self.log.end();
        deleted.note(&queues, self.log.min(), end)
    }
}

/// Where index building goes on after loading.
fn index_start(index: &Index, log: &CommitLog, whole: bool, note: Option<u64>) -> Result<u64, StoreError> {
    let (min, end) = (log.min(), log.end());
    if whole {
        return match note {
            Some(indexed) if indexed <= end => Ok(indexed.max(min)),
            // Apache stops cleanly only when everything is indexed, but then there are files.
            None if index.file_count() > 0 => Ok(end),
            _ => {
                index.clear()?;
                Ok(min)
            }
        };
    }
    // Keys of the last record may be incomplete; it is looked at again.
    let last = index.last_record().filter(|last| (min..end).contains(last));
    let known = last.map_or(Ok(None), |last| log.record(last)).context("read the log in", log.dir())?;
    Ok(last.filter(|_| known.is_some()).unwrap_or(min))
}

/// How many bytes from its end the log is taken to occupy in memory.
fn memory_window(percent: u8) -> u64 {
    let info = rustix::system::sysinfo();
    let total = info.totalram.saturating_mul(u64::from(info.mem_unit));
    total / 100 * u64::from(percent)
}
