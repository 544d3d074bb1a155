//! The parts of an open store, shared by its handles and its threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use crate::bell::{Bells, Worker};
use crate::checkpoint::CheckpointFiles;
use crate::config::{FlushDisk, StoreConfig};
use crate::deleted::DeletedQueues;
use crate::flush::{Flush, Group};
use crate::gate::Gate;
use crate::index::Index;
use crate::lock::DirLock;
use crate::log::{CommitLog, LogWriter};
use crate::queue::{Queue, QueueFiles, QueueTable};
use crate::recovery::RecoveryReport;
use crate::tip::AppendLock;

/// A message that can be read from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its queue.
    pub queue_id: i32,
    /// Its place in the queue.
    pub queue_offset: i64,
    /// Hash of its tag; the due time for `SCHEDULE_TOPIC_XXXX`.
    pub tags_code: i64,
    /// When it was stored, in milliseconds since the epoch.
    pub store_timestamp: i64,
}

/// Called for each message once it can be read.
pub(crate) type Listener = Arc<dyn Fn(&Arrival<'_>) + Send + Sync>;

/// An arrival that waits for its record to be on the disk.
#[derive(Debug)]
pub(crate) struct HeldArrival {
    pub(crate) end: u64,
    pub(crate) queue: Arc<Queue>,
    pub(crate) queue_offset: i64,
    pub(crate) tags_code: i64,
    pub(crate) store_timestamp: i64,
}

/// What the append lock guards.
#[derive(Debug, Default)]
pub(crate) struct Tip {
    pub(crate) writer: LogWriter,
    /// Store timestamp of the last record; the next is not smaller.
    pub(crate) timestamp: i64,
    /// Queues with units that are not in files.
    pub(crate) dirty: Vec<Arc<Queue>>,
    /// In synchronous mode: what readers may learn after the next sync, in order.
    pub(crate) held: VecDeque<HeldArrival>,
}

/// Counters and times that a status shows.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Store timestamp of the newest record that is on the disk.
    pub(crate) flushed_timestamp: Mutex<i64>,
    /// Store timestamp of the newest record whose queue unit is on the disk.
    pub(crate) queued_timestamp: Mutex<i64>,
    /// Position before which all queue units are on the disk.
    pub(crate) queued: AtomicU64,
}

/// An open store.
///
/// Lock order: `thread state` (`flushing`, `queue_writer`, the index) → a queue's `files` → `tip` → a queue's `tail` → leaf
/// locks (flush waiters, gate, prepared file, log files, descriptors, the log's outlet, which is taken with `tip` and kept without
/// it). No listener is called with any of them held.
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    pub(crate) log: CommitLog,
    pub(crate) queues: QueueTable,
    pub(crate) queue_files: QueueFiles,
    pub(crate) index: Index,
    pub(crate) tip: AppendLock,
    pub(crate) gate: Gate,
    pub(crate) flush: Arc<Flush>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) listeners: RwLock<Arc<[Listener]>>,
    pub(crate) has_listeners: AtomicBool,
    pub(crate) progress: Progress,
    /// Held while the log is synced, so that syncs come one after another.
    pub(crate) flushing: Mutex<()>,
    pub(crate) queue_writer: Mutex<crate::workers::QueueWriter>,
    pub(crate) checkpoint: Mutex<CheckpointFiles>,
    pub(crate) deleted: Mutex<DeletedQueues>,
    /// Whether the queue thread was asked to write now and has not begun.
    pub(crate) queues_hurried: AtomicBool,
    /// Whether cleaning was asked for before its time.
    pub(crate) clean_soon: AtomicBool,
    /// Rounds of cleaning that need not wait for their hour.
    pub(crate) rounds_any_hour: AtomicU32,
    pub(crate) stopping: AtomicBool,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) lock: Mutex<Option<DirLock>>,
    pub(crate) recovery: RecoveryReport,
    /// Start of the log when queues and index were last cleared of what is before it.
    pub(crate) expired_before: AtomicU64,
    /// Where indexing stood when the index was last synced.
    pub(crate) index_synced: AtomicU64,
    /// Bytes from the end of the log that count as being in memory.
    pub(crate) memory_window: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("root", &self.config.root)
            .field("end", &self.log.end())
            .finish_non_exhaustive()
    }
}

/// What a sync of the log did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Synced {
    /// How long the disk took.
    pub(crate) took: Duration,
    /// Who waited for it, and who waits now.
    pub(crate) group: Group,
}

impl Shared {
    /// Up to where readers see the log: in synchronous mode only what is on the disk.
    pub(crate) fn visible_end(&self) -> u64 {
        match self.config.flush_disk {
            FlushDisk::Async => self.log.end(),
            FlushDisk::Sync => self.flush.flushed(),
        }
    }

    /// The limit that [`Queue::max`] needs; `None` where everything is visible.
    pub(crate) fn visible_limit(&self) -> Option<u64> {
        match self.config.flush_disk {
            FlushDisk::Async => None,
            FlushDisk::Sync => Some(self.flush.flushed()),
        }
    }

    /// Whether a record that ends at `end` counts as being in memory (`estimateInMemByCommitOffset`).
    pub(crate) fn is_in_memory(&self, position: u64) -> bool {
        self.log.end().saturating_sub(position) <= self.memory_window
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Takes no more messages and ends all waits, because a sync failed: the kernel may have dropped what it could not
    /// write, so that a second sync would lie. Only recovery finds out what the disk has, and writes it again.
    pub(crate) fn fail(&self, error: &crate::StoreError) {
        self.gate.fail(&error.to_string());
        self.flush.give_up();
    }

    /// Tells listeners; no lock may be held.
    pub(crate) fn announce(&self, arrival: &Arrival<'_>) {
        let listeners = Arc::clone(&self.listeners.read());
        for listener in &*listeners {
            listener(arrival);
        }
    }

    /// Syncs everything that was appended before the call, and shows it to readers in synchronous mode.
    pub(crate) fn sync_log(&self) -> Result<Synced, crate::StoreError> {
        let one = self.flushing.lock();
        if let Some(why) = self.gate.failure() {
            return Err(crate::StoreError::Failed(why));
        }
        let (staged, end, timestamp) = {
            let mut tip = self.tip.lock();
            (self.log.take_staged(&mut tip.writer), tip.writer.at, tip.timestamp)
        };
        if let Some(mut staged) = staged {
            staged.write().inspect_err(|error| self.fail(error))?;
            staged.pad();
        }
        let flushed = self.flush.flushed();
        let mut took = Duration::ZERO;
        if end > flushed {
            let began = Instant::now();
            if let Err(error) = self.log.sync(flushed, end) {
                self.fail(&error);
                return Err(error);
            }
            took = began.elapsed();
            *self.progress.flushed_timestamp.lock() = timestamp;
        }
        let group = self.flush.advance(end);
        drop(one);
        self.release_held(end);
        Ok(Synced { took, group })
    }

    /// Writes what waits of a group that still gathers, so that the disk has less to do at its end; `false` if it failed.
    pub(crate) fn write_early(&self) -> bool {
        let staged = {
            let mut tip = self.tip.lock();
            self.log.take_many_staged(&mut tip.writer)
        };
        let Some(mut staged) = staged else { return true };
        let written = staged.write().inspect_err(|error| self.fail(error)).is_ok();
        staged.begin_sync();
        written
    }

    fn release_held(&self, end: u64) {
        if self.config.flush_disk == FlushDisk::Async {
            return;
        }
        let held: Vec<HeldArrival> = {
            let mut tip = self.tip.lock();
            let count = tip.held.partition_point(|arrival| arrival.end <= end);
            tip.held.drain(..count).collect()
        };
        for HeldArrival { queue, queue_offset, tags_code, store_timestamp, .. } in &held {
            self.announce(&Arrival {
                topic: &queue.topic,
                queue_id: queue.id,
                queue_offset: *queue_offset,
                tags_code: *tags_code,
                store_timestamp: *store_timestamp,
            });
        }
        self.bells.ring(Worker::Index as u32);
    }
}
