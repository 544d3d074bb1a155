//! The background threads: syncing, queue writing, indexing, reserving, cleaning.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::bell::{ALL, Worker};
use crate::checkpoint::{Checkpoint, Note};
use crate::config::FlushDisk;
use crate::error::{IoContext as _, StoreError};
use crate::flush::Gathering;
use crate::queue::{Queue, WriteError, Written};
use crate::shared::{Shared, Synced};

/// Queue files that are synced whenever the shorter interval has passed, whatever the thorough one.
const FEW_FILES: usize = 64;
/// Log bytes after which queue files are synced even if they are many: they bound what recovery reads.
const MUCH_LOG: u64 = 128 << 20;
/// Pause while records gather for the index.
const INDEX_PAUSE: Duration = Duration::from_millis(10);
/// Pause after an error of the disk before the next try.
const ERROR_PAUSE: Duration = Duration::from_secs(1);
/// Stack of a background thread.
const STACK: usize = 512 << 10;

/// Lets this thread wake when its time is over, not up to 50 µs later: looks at a gathering group are as far apart.
fn sleep_precisely() {
    const SLACK_NANOS: libc::c_ulong = 1000;
    // SAFETY: changes an attribute of the calling thread and touches no memory. Where it is refused, looks come later.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, SLACK_NANOS) };
}

/// What the queue thread remembers.
#[derive(Debug)]
pub(crate) struct QueueWriter {
    /// Files that were written and not synced, by queue and first unit.
    unsynced: HashMap<(u64, i64), Arc<Queue>>,
    /// Directories with names that are not durable.
    unsynced_dirs: BTreeSet<PathBuf>,
    /// Everything before this position is written, with the store timestamp of the last record there.
    written: (u64, i64),
    last_synced: Instant,
}

impl QueueWriter {
    /// Goes on behind recovery, which has written everything before `written` but not synced it.
    pub(crate) fn new(written: u64, timestamp: i64, unsynced: Vec<(Arc<Queue>, Written)>) -> QueueWriter {
        let mut writer = QueueWriter {
            unsynced: HashMap::new(),
            unsynced_dirs: BTreeSet::new(),
            written: (written, timestamp),
            last_synced: Instant::now(),
        };
        for (queue, written) in unsynced {
            writer.note(&queue, written);
        }
        writer
    }

    fn note(&mut self, queue: &Arc<Queue>, written: Written) {
        self.unsynced.extend(written.files.into_iter().map(|first| ((queue.key, first), Arc::clone(queue))));
        self.unsynced_dirs.extend(written.dirs);
    }
}

impl Shared {
    /// Starts all threads. On an error those that run are stopped again.
    pub(crate) fn start_threads(self: &Arc<Self>) -> Result<(), StoreError> {
        type Run = fn(&Shared);
        let workers: [(Worker, &str, Run); ALL.len()] = [
            (Worker::Flush, "mq-flush", Shared::run_flush),
            (Worker::Queues, "mq-queues", Shared::run_queues),
            (Worker::Index, "mq-index", Shared::run_index),
            (Worker::Reserve, "mq-reserve", Shared::run_reserve),
            (Worker::Timeouts, "mq-flush-wait", Shared::run_timeouts),
        ];
        for (worker, name, run) in workers {
            if worker == Worker::Index && !self.config.index_enable {
                continue;
            }
            let shared = Arc::clone(self);
            let spawned =
                thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(move || run(&shared));
            match spawned {
                Ok(handle) => self.threads.lock().push(handle),
                Err(error) => {
                    self.stop_threads();
                    return Err(error).context("start a thread for", &self.config.root);
                }
            }
        }
        Ok(())
    }

    /// Stops all threads and waits for them.
    pub(crate) fn stop_threads(&self) {
        self.stopping.store(true, Ordering::Release);
        for worker in ALL {
            self.bells.hurry(worker);
        }
        let threads = std::mem::take(&mut *self.threads.lock());
        for handle in threads {
            // A store may be closed from one of its own listeners, which run on the flushing thread.
            if handle.thread().id() != thread::current().id() && handle.join().is_err() {
                tracing::error!("a background thread of the store panicked");
            }
        }
    }

    fn run_flush(&self) {
        if self.config.flush_disk == FlushDisk::Sync {
            sleep_precisely();
        }
        let mut gathering: Option<Gathering> = None;
        while !self.is_stopping() {
            if let Some(gathering) = gathering.take() {
                self.flush.gather(gathering, || self.is_stopping() || !self.write_early());
            }
            self.bells
                .sleep(Worker::Flush, None, || self.is_stopping() || self.log.end() > self.flush.flushed());
            if self.config.flush_disk == FlushDisk::Async && !self.is_stopping() {
                self.flush.pause(1, self.config.flush_interval);
            }
            if self.is_stopping() {
                return;
            }
            match self.sync_log() {
                Ok(Synced { took, group }) if self.config.flush_disk == FlushDisk::Sync => {
                    gathering = Gathering::after(took, group);
                }
                Ok(_) => {}
                // Noted by the gate; nothing is synced any more.
                Err(_) => return,
            }
        }
    }

    fn run_timeouts(&self) {
        while !self.is_stopping() {
            match self.flush.expire() {
                Some(next) => {
                    self.bells.pause(Worker::Timeouts, next);
                }
                None => {
                    self.bells.sleep(Worker::Timeouts, None, || self.is_stopping() || self.flush.is_awaited())
                }
            }
        }
    }

    fn run_reserve(&self) {
        while !self.is_stopping() {
            self.bells.sleep(Worker::Reserve, None, || self.is_stopping() || self.log.wants_preparation());
            if self.is_stopping() {
                return;
            }
            if let Err(error) = self.log.prepare() {
                tracing::warn!(%error, "disk blocks for the commit log cannot be reserved ahead");
                self.bells.pause(Worker::Reserve, ERROR_PAUSE);
            }
        }
    }

    fn run_index(&self) {
        while !self.is_stopping() {
            self.bells
                .sleep(Worker::Index, None, || self.is_stopping() || self.index.at() < self.visible_end());
            loop {
                if self.is_stopping() {
                    return;
                }
                match self.build_index(self.visible_end()) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // No sync is tried again, and without one no new file can begin.
                    Err(StoreError::Sync { .. }) => return,
                    Err(error) => {
                        tracing::warn!(%error, "the key index cannot be extended; it catches up when it can");
                        self.bells.pause(Worker::Index, ERROR_PAUSE);
                    }
                }
            }
            self.bells.pause(Worker::Index, INDEX_PAUSE);
            if self.index.at() >= self.visible_end() {
                self.index.release();
            }
        }
    }

    fn run_queues(&self) {
        let mut last_clean = Instant::now();
        while !self.is_stopping() {
            let pending = || self.gate.pending.load(Ordering::Relaxed) > 0;
            let unsynced = !self.queue_writer.lock().unsynced.is_empty();
            if !unsynced {
                let limit = Some(self.config.clean_resource_interval);
                self.bells.sleep(Worker::Queues, limit, || {
                    self.is_stopping() || pending() || self.clean_soon.load(Ordering::Acquire)
                });
            }
            if (unsynced || pending()) && !self.is_stopping() {
                self.bells.pause(Worker::Queues, self.config.flush_consume_queue_interval);
            }
            if self.is_stopping() {
                return;
            }
            // A quiet moment is used to bring everything to the disk, so that a later recovery has little to read.
            let quiet = !pending();
            if quiet {
                self.log.release();
            }
            if let Err(error) = self.write_queues(quiet) {
                if self.gate.failure().is_some() {
                    // Nothing is written or removed any more; the gate has said why.
                    return;
                }
                tracing::warn!(%error, "consume queues cannot be written");
                self.bells.pause(Worker::Queues, ERROR_PAUSE);
            }
            let asked = self.clean_soon.swap(false, Ordering::AcqRel);
            let due = asked || last_clean.elapsed() >= self.config.clean_resource_interval;
            if due && !self.is_stopping() {
                last_clean = Instant::now();
                self.clean_round();
            }
        }
    }

    /// Writes queue units that wait, syncs queue files when it is time (always if `thorough`), writes the checkpoint.
    pub(crate) fn write_queues(&self, thorough: bool) -> Result<(), StoreError> {
        if let Some(why) = self.gate.failure() {
            return Err(StoreError::Failed(why));
        }
        let mut writer = self.queue_writer.lock();
        self.queues_hurried.store(false, Ordering::Release);
        let result = self.write_pending(&mut writer);
        self.gate.set_queues(result.as_ref().err().map(ToString::to_string));
        result?;
        let since = writer.last_synced.elapsed();
        let due = (writer.unsynced.len() <= FEW_FILES && since >= self.config.flush_consume_queue_interval)
            || since >= self.config.flush_consume_queue_thorough_interval
            || writer.written.0.saturating_sub(self.progress.queued.load(Ordering::Acquire)) >= MUCH_LOG;
        if thorough || due {
            self.sync_queues(&mut writer)?;
            if thorough
                || self.index.at().saturating_sub(self.index_synced.load(Ordering::Relaxed)) >= MUCH_LOG
            {
                let at = self.index.at();
                let synced = self.index.sync(self.flush.flushed());
                synced.inspect_err(|error| {
                    if let StoreError::Sync { .. } = error {
                        self.fail(error);
                    }
                })?;
                self.index_synced.store(at, Ordering::Relaxed);
            }
            self.write_checkpoint()?;
        }
        Ok(())
    }

    /// Indexes some records before `end`; `false` if there are none left.
    pub(crate) fn build_index(&self, end: u64) -> Result<bool, StoreError> {
        if let Some(why) = self.gate.failure() {
            return Err(StoreError::Failed(why));
        }
        let result = self.index.build(&self.log, end);
        if let Err(error @ StoreError::Sync { .. }) = &result {
            self.fail(error);
        }
        result
    }

    pub(crate) fn write_pending(&self, writer: &mut QueueWriter) -> Result<(), StoreError> {
        // In synchronous mode units follow the sync, so that queues never run ahead of the log on the disk.
        let flushed = (self.flush.flushed(), *self.progress.flushed_timestamp.lock());
        let (dirty, written) = {
            let mut tip = self.tip.lock();
            (std::mem::take(&mut tip.dirty), (tip.writer.at, tip.timestamp))
        };
        let written = if self.config.flush_disk == FlushDisk::Sync { flushed } else { written };
        let mut again = Vec::new();
        let (mut result, mut failed) = (Ok(()), false);
        for queue in dirty {
            if result.is_ok() {
                let mut done = Written::default();
                let dir = || self.config.consume_queue_dir().join(&*queue.topic).join(queue.id.to_string());
                match self.queue_files.write(&queue, written.0, &mut done) {
                    Ok(()) => {}
                    Err(WriteError::Refused(error)) => {
                        result = Err(error).context("write queue files in", &dir());
                    }
                    Err(WriteError::Sync(error)) => {
                        result = Err(error).context("sync queue files in", &dir());
                        failed = true;
                    }
                }
                self.gate.pending.fetch_sub(done.units, Ordering::Relaxed);
                writer.note(&queue, done);
            }
            let mut tail = queue.tail.lock();
            tail.listed = tail.next() > tail.base();
            if tail.listed {
                drop(tail);
                again.push(queue);
            }
        }
        if !again.is_empty() {
            self.tip.lock().dirty.extend(again);
        }
        if let (Err(error), true) = (&result, failed) {
            self.fail(error);
        }
        result?;
        if written.0 > writer.written.0 {
            writer.written = written;
        }
        Ok(())
    }

    pub(crate) fn sync_queues(&self, writer: &mut QueueWriter) -> Result<(), StoreError> {
        let dir = self.config.consume_queue_dir();
        let sync = |writer: &QueueWriter| {
            writer.unsynced_dirs.iter().try_for_each(|dir| self.queue_files.sync_dir(dir))?;
            writer.unsynced.iter().try_for_each(|((_, first), queue)| self.queue_files.sync(queue, *first))
        };
        if let Err(error) = sync(writer).context("sync queue files in", &dir) {
            self.fail(&error);
            return Err(error);
        }
        writer.unsynced.clear();
        writer.unsynced_dirs.clear();
        writer.last_synced = Instant::now();
        self.progress.queued.store(writer.written.0, Ordering::Release);
        *self.progress.queued_timestamp.lock() = writer.written.1;
        Ok(())
    }

    /// Writes the checkpoint and our note from what is on the disk.
    pub(crate) fn write_checkpoint(&self) -> Result<(), StoreError> {
        let flushed = self.flush.flushed();
        let mut files = self.checkpoint.lock();
        let checkpoint = Checkpoint {
            log: *self.progress.flushed_timestamp.lock(),
            queues: *self.progress.queued_timestamp.lock(),
            index: self.index.finished_timestamp(),
            ..files.last()
        };
        let queued = self.progress.queued.load(Ordering::Acquire);
        let note = Note {
            flushed,
            queued: queued.min(flushed),
            indexed: self.index.at(),
            // Files with entries behind the log's end on the disk may have to go.
            queue_files: if queued <= flushed { self.queue_files.count() } else { 0 },
            index: self.index.durable(),
        };
        files.write(checkpoint, Some(note))
    }
}
