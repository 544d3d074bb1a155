//! Opening what another process left: finding the log's end, repairing queues from it, and saying what was found.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use mq_protocol::message::RecordLayout;
use parking_lot::Mutex;

use crate::append::{check_topic, is_queued, unit_tags_code};
use crate::check::Fault;
use crate::checkpoint::{Checkpoint, CheckpointFiles, Note};
use crate::config::StoreConfig;
use crate::deleted::DeletedQueues;
use crate::error::{IoContext as _, StoreError};
use crate::fs::OpenMode;
use crate::log::walk::{Check, Step, Walk, find_valid};
use crate::log::{CommitLog, LogWriter};
use crate::queue::{Lost, Queue, QueueFiles, QueueTable, Unit, WriteError, Written};

/// Units that are held in memory during recovery before they are written.
const UNITS_IN_MEMORY: usize = 256 << 10;
/// Largest queue offset of a record that is believed where nothing confirms it: only bodies have checksums.
const MAX_NUMBER: i64 = 1 << 48;
/// Most offsets in a row that a queue may miss.
const MAX_MISSING: i64 = 1 << 20;

/// What opening the store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the process before stopped cleanly.
    pub clean: bool,
    /// Where reading of the log began.
    pub scanned_from: u64,
    /// Where the log ends.
    pub end: u64,
    /// Records that were read.
    pub records: u64,
    /// Records that were put into queues.
    pub queued: u64,
    /// Records that a queue could not take because their number was used already.
    pub repeated: u64,
    /// Whether all queues were built anew from the oldest record on.
    pub rebuilt: bool,
    /// What the first thing behind the end was, if it was not empty.
    pub broken: Option<String>,
    /// A valid record behind the end, which is lost with it.
    pub lost_from: Option<u64>,
    /// What was not as it must be: repaired, left out, or lost. The first 1000.
    pub faults: Vec<Fault>,
}

impl RecoveryReport {
    /// Keeps a fault and says it in the log.
    pub(crate) fn add(&mut self, fault: Fault) {
        const KEPT: usize = 1000;
        if self.faults.len() < KEPT {
            tracing::warn!(%fault, "found while the store was opened");
            self.faults.push(fault);
        }
    }
}

/// Everything that recovery works on.
pub(crate) struct Recovery<'a> {
    pub(crate) config: &'a StoreConfig,
    pub(crate) log: &'a CommitLog,
    pub(crate) queues: &'a QueueTable,
    pub(crate) files: &'a QueueFiles,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: Option<Note>,
    /// Where these two stand.
    pub(crate) checkpoint_files: &'a Mutex<CheckpointFiles>,
    pub(crate) deleted: &'a DeletedQueues,
    /// Queue files that recovery has written.
    pub(crate) unsynced: RefCell<Vec<(Arc<Queue>, Written)>>,
}

/// The outcome: an open log.
pub(crate) struct Recovered {
    pub(crate) writer: LogWriter,
    /// Store timestamp of the last record.
    pub(crate) timestamp: i64,
    pub(crate) report: RecoveryReport,
    /// Queue units of records before this were on the disk before.
    pub(crate) queued: u64,
    /// Queue files that were written and not synced.
    pub(crate) unsynced: Vec<(Arc<Queue>, Written)>,
}

/// Where reading begins, and from where on records are put into queues.
#[derive(Clone, Copy, Debug)]
struct Start {
    scan: u64,
    dispatch: u64,
    /// Whether queues must be cut back to `dispatch` first.
    cut: bool,
}

/// Why a pass over the log has to begin again at the oldest record.
struct Gap;

/// Path of the file that exists while a broker runs.
pub(crate) fn abort_path(config: &StoreConfig) -> std::path::PathBuf {
    config.path("abort")
}

/// Makes the file that tells the next start of an unclean stop.
pub(crate) fn create_abort(config: &StoreConfig) -> Result<(), StoreError> {
    let path = abort_path(config);
    let file = config.file_system.open(&path, OpenMode::Truncate).context("create", &path)?;
    file.write_at(std::process::id().to_string().as_bytes(), 0).context("write", &path)?;
    file.sync().context("sync", &path)?;
    config.file_system.sync_dir(&config.root).context("sync directory", &config.root)
}

/// Refuses directories with parts that we cannot keep whole.
pub(crate) fn check_supported(config: &StoreConfig) -> Result<(), StoreError> {
    let log = config.commit_log_dir().to_string_lossy().into_owned();
    if config.commit_log.is_some() && log.contains(',') {
        return Err(StoreError::Config {
            setting: "storePathCommitLog",
            value: log,
            rule: "several directories joined by ',' are not supported; put all files of the log into one directory",
        });
    }
    let refuse =
        |path: &Path, what: &str| StoreError::Layout { path: path.to_path_buf(), what: what.to_owned() };
    let batch = config.path("batchconsumequeue");
    if !config.file_system.list(&batch).context("list directory", &batch)?.is_empty() {
        return Err(refuse(
            &batch,
            "the store has topics of type BatchCQ, which are not supported; open it with Apache's broker",
        ));
    }
    Ok(())
}

impl Recovery<'_> {
    /// Opens the log.
    ///
    /// `lost`: what of the queues' files had to be left out, so that they must be built anew.
    pub(crate) fn run(self, clean: bool, lost: Vec<Lost>) -> Result<Recovered, StoreError> {
        let mut report = RecoveryReport { clean, ..RecoveryReport::default() };
        if self.log.is_empty() {
            if let Some(note) = self.note.filter(|note| note.flushed > 0) {
                let what = format!(
                    "the commit log is empty, but it was on the disk up to {}; is its disk mounted? Bring its files back, \
                     or set acceptDamagedLog=true to begin anew without them",
                    note.flushed
                );
                if !self.config.accept_damaged_log {
                    return Err(StoreError::Layout { path: self.config.commit_log_dir(), what });
                }
                report.add(Fault::File { path: self.config.commit_log_dir(), what });
            }
            if self.files.has_topics()? {
                // Their units point to nothing, and would point to wrong records soon.
                let what = "the commit log is gone: the queues keep their numbering and lose their entries";
                report.add(Fault::File { path: self.config.consume_queue_dir(), what: what.to_owned() });
                for queue in self.queues.all() {
                    self.files
                        .remove_all(&queue)
                        .context("remove queue files in", &self.config.consume_queue_dir())?;
                }
            }
            let writer = self.log.start_writing(0, 0, false)?;
            return Ok(Recovered { writer, timestamp: 0, report, queued: 0, unsynced: Vec::new() });
        }
        let missing = self.note.map_or(0, |note| note.queue_files.saturating_sub(self.files.count()));
        self.finish_deletions()?;
        let mut start = self.start(clean)?;
        if missing > 0 {
            let what = format!("{missing} queue files are missing; all queues are built anew from the log");
            report.add(Fault::File { path: self.config.consume_queue_dir(), what });
        }
        if missing > 0 || !lost.is_empty() {
            start = self.oldest();
        }
        self.step_back(start.dispatch)?;
        for Lost { fault, files } in lost {
            report.add(fault);
            self.files
                .remove_lost(&files)
                .context("remove queue files in", &self.config.consume_queue_dir())?;
        }
        let (end, timestamp) = match self.pass(start, &mut report)? {
            Ok(found) => found,
            Err(Gap) => {
                tracing::warn!("consume queues do not continue; all are built anew from the log");
                start = self.oldest();
                self.step_back(start.dispatch)?;
                // From the oldest record on there is nothing that a gap could be repaired from.
                self.pass(start, &mut report)?.unwrap_or((start.scan, 0))
            }
        };
        let (end, timestamp) = if clean && !start.cut && self.points_behind(end)? {
            let what = "an entry points behind the end of the log; all queues are made again from the log";
            report.add(Fault::File { path: self.config.consume_queue_dir(), what: what.to_owned() });
            start = self.oldest();
            self.step_back(start.dispatch)?;
            self.pass(start, &mut report)?.unwrap_or((start.scan, 0))
        } else {
            (end, timestamp)
        };
        report.rebuilt = start.dispatch == self.log.min() && start.cut;
        report.scanned_from = start.scan;
        report.end = end;
        self.judge_end(end, &mut report)?;
        if !start.cut || end < start.dispatch {
            for queue in self.queues.all() {
                self.files.cut(&queue, end)?;
            }
        }
        let unsynced = self.note.map_or(start.scan, |note| note.flushed.min(end));
        let durable = !clean || unsynced < end || report.broken.is_some();
        let writer = self.log.start_writing(end, unsynced, durable)?;
        let log_min = self.log.min();
        for queue in self.queues.all() {
            self.files
                .correct_min(&queue, log_min)
                .context("read queue files in", &self.config.consume_queue_dir())?;
        }
        let timestamp = timestamp.max(self.checkpoint.log);
        let unsynced = self.unsynced.into_inner();
        Ok(Recovered { writer, timestamp, report, queued: start.dispatch.min(end), unsynced })
    }

    /// Removes what is left of queues whose deletion was noted but not finished, and continues the others' numbering.
    fn finish_deletions(&self) -> Result<(), StoreError> {
        for deleted in self.deleted.all() {
            let queue = self.queues.get_or_create(&deleted.topic, deleted.queue_id);
            let last = self.last_unit(&queue)?;
            if last.is_some_and(|unit| !unit.is_blank() && unit.end() <= deleted.before) {
                if let Some(note) = self.note {
                    // Whoever opens the store after the next crash must not take these files for lost.
                    let note = Note { queue_files: 0, ..note };
                    self.checkpoint_files.lock().write(self.checkpoint, Some(note))?;
                }
                self.files
                    .remove_all(&queue)
                    .context("remove queue files in", &self.config.consume_queue_dir())?;
            }
            if queue.files.lock().is_none() {
                queue.restart(deleted.next_offset);
                queue.set_min(deleted.next_offset);
            }
        }
        Ok(())
    }

    /// Whether the last unit of a queue lies before the one before it: it was never written as a unit.
    fn is_out_of_order(&self, queue: &Queue) -> Result<bool, StoreError> {
        let units = self.files.units(queue, (queue.next() - 2).max(queue.min()), queue.next());
        let units = units.context("read queue files in", &self.config.consume_queue_dir())?;
        let [before, last] = &*units else { return Ok(false) };
        Ok(!before.is_blank() && !last.is_blank() && last.physical_offset < before.physical_offset)
    }

    /// Whether the last unit of a queue is for a record that the log does not have.
    fn points_behind(&self, end: u64) -> Result<bool, StoreError> {
        for queue in self.queues.all() {
            if self.last_unit(&queue)?.is_some_and(|unit| !unit.is_blank() && unit.end() > end) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn last_unit(&self, queue: &Queue) -> Result<Option<Unit>, StoreError> {
        self.files
            .unit(queue, queue.next() - 1)
            .context("read queue files in", &self.config.consume_queue_dir())
    }

    /// Takes back what checkpoint and note say of queues, before these are cut below it.
    fn step_back(&self, dispatch: u64) -> Result<(), StoreError> {
        let checkpoint = Checkpoint { queues: 0, ..self.checkpoint };
        match self.note {
            Some(note) if note.queued <= dispatch => Ok(()),
            Some(note) => {
                let note = Note { queued: dispatch, queue_files: 0, ..note };
                self.checkpoint_files.lock().write(checkpoint, Some(note))
            }
            None if dispatch > self.log.min() => Ok(()),
            None => self.checkpoint_files.lock().write(checkpoint, None),
        }
    }

    /// Everything from the oldest record on.
    fn oldest(&self) -> Start {
        Start { scan: self.log.min(), dispatch: self.log.min(), cut: true }
    }

    fn start(&self, clean: bool) -> Result<Start, StoreError> {
        if let Some(note) = self.note
            && self.is_boundary(note.queued, note.flushed)?
        {
            return Ok(Start { scan: note.queued, dispatch: note.queued, cut: !clean });
        }
        if self.files.count() == 0 {
            return Ok(self.oldest());
        }
        let mut queued_end = 0;
        for queue in self.queues.all() {
            let last = self.last_unit(&queue)?;
            queued_end = queued_end.max(last.filter(|unit| !unit.is_blank()).map_or(0, |unit| unit.end()));
        }
        let safe = self.checkpoint.safe_timestamp();
        for file in self.log.files().iter().rev() {
            let layout = match Walk::new(self.log, file.start, u64::MAX, Check::Layout).step() {
                Step::Record { layout, .. } => layout,
                Step::Unreadable(error) => return Err(error).context("read", file.path()),
                Step::End | Step::Broken(_) => continue,
            };
            let time = layout.store_timestamp;
            if clean && time != 0 && file.start <= queued_end {
                // Queues are complete as far as they go; what they miss is added (`recoverNormally`).
                let dispatch = queued_end.max(file.start);
                return Ok(Start { scan: file.start, dispatch, cut: false });
            }
            if !clean && 0 < time && time <= safe {
                // Everything of older files is on the disk, also in the queues (`isMappedFileMatchedRecover`).
                return Ok(Start { scan: file.start, dispatch: file.start, cut: true });
            }
        }
        Ok(self.oldest())
    }

    /// Whether a record begins at `position`, or the log may end there.
    fn is_boundary(&self, position: u64, flushed: u64) -> Result<bool, StoreError> {
        let files = self.log.files();
        let inside = files.first().is_some_and(|first| first.start <= position)
            && files.last().is_some_and(|last| position <= last.end());
        // Behind what is on the disk for certain anything may stand.
        if !inside || position >= flushed {
            return Ok(inside);
        }
        match Walk::new(self.log, position, u64::MAX, Check::All).step() {
            Step::Unreadable(error) => Err(error).context("read the log in", self.log.dir()),
            step => Ok(matches!(step, Step::Record { .. })),
        }
    }

    /// Reads the log to its end and puts records into queues; returns the end and the last store timestamp.
    fn pass(&self, start: Start, report: &mut RecoveryReport) -> Result<Result<(u64, i64), Gap>, StoreError> {
        (report.records, report.queued, report.repeated) = (0, 0, 0);
        let is_oldest = start.cut && start.dispatch == self.log.min();
        for queue in self.queues.all() {
            // What a pass before this one has left in memory.
            if queue.files.lock().is_some() {
                let written = queue.tail.lock().base();
                queue.restart(written);
            }
            if start.cut {
                self.files.cut(&queue, start.dispatch)?;
            }
            if queue.files.lock().is_none() {
                let deleted = self.deleted.find(&queue.topic, queue.id);
                queue.restart(deleted.map_or(0, |deleted| deleted.next_offset));
            } else if !is_oldest && self.is_out_of_order(&queue)? {
                return Ok(Err(Gap));
            }
        }
        let mut walk = Walk::new(self.log, start.scan, u64::MAX, Check::All);
        let (mut timestamp, mut in_memory) = (0, 0);
        // Each record waits for what stands behind it, because the last one may be torn.
        let mut last: Option<(u64, RecordLayout, Bytes)> = None;
        report.broken = loop {
            let step = walk.step();
            if let Step::End = step
                && let Some((at, layout, bytes)) = &last
                && self.is_torn(*at, layout, bytes)
            {
                walk.at = *at;
                break Some("the last record ends in zeros that its body's CRC does not cover".to_owned());
            }
            if let Some((at, layout, bytes)) = last.take() {
                report.records += 1;
                timestamp = layout.store_timestamp;
                if at >= start.dispatch {
                    if self.dispatch(at, &layout, &bytes, is_oldest, report).is_err() {
                        return Ok(Err(Gap));
                    }
                    in_memory += 1;
                }
                if in_memory >= UNITS_IN_MEMORY {
                    self.write_queues(at + layout.total_size as u64)?;
                    in_memory = 0;
                }
            }
            match step {
                Step::End => break None,
                Step::Broken(what) => break Some(what),
                // What cannot be read is not the end of the log; nothing behind it may be thrown away.
                Step::Unreadable(error) => return Err(error).context("read the log in", self.log.dir()),
                Step::Record { at, layout, bytes } => last = Some((at, layout, bytes)),
            }
        };
        self.write_queues(walk.at)?;
        Ok(Ok((walk.at, timestamp)))
    }

    /// Whether the last record of the log was written in part: only the body has a checksum, and the file's rest is zero.
    fn is_torn(&self, at: u64, layout: &RecordLayout, bytes: &[u8]) -> bool {
        let durable = self.note.is_some_and(|note| at < note.flushed);
        let (topic, properties) = (layout.topic(bytes), layout.properties(bytes));
        !durable && (topic.ends_with('\0') || properties.ends_with('\0'))
    }

    fn dispatch(
        &self,
        at: u64,
        layout: &RecordLayout,
        bytes: &[u8],
        is_oldest: bool,
        report: &mut RecoveryReport,
    ) -> Result<(), Gap> {
        let topic = layout.topic(bytes);
        if !is_queued(layout.sys_flag) || check_topic(topic).is_err() || layout.queue_id < 0 {
            return Ok(());
        }
        let queue = self.queues.get_or_create(topic, layout.queue_id);
        let (number, next) = (layout.queue_offset, queue.next());
        let has_units = queue.files.lock().is_some() || next > queue.tail.lock().base();
        if number < next {
            let deleted = self.deleted.find(topic, layout.queue_id).map_or(0, |deleted| deleted.before);
            if number > 0 || at < deleted {
                report.repeated += 1;
                return Ok(());
            }
            // The topic was deleted and made again while its old records were still in the log.
            tracing::warn!(
                topic,
                queue = layout.queue_id,
                at,
                "the queue's numbering starts again; its older records are left out"
            );
            if self.files.drop_queue(&queue).is_err() {
                return Err(Gap);
            }
        } else if number > next {
            if !is_oldest {
                return Err(Gap);
            }
            let (topic, queue_id) = (topic.to_owned(), layout.queue_id);
            if number > MAX_NUMBER || (has_units && number - next > MAX_MISSING) {
                // As Apache does: the record takes the next place.
                let what = format!(
                    "it says that its offset in {topic}-{queue_id} is {number}, where {next} comes next"
                );
                report.add(Fault::Record { at, what });
            } else if has_units {
                // Later records keep their numbers, which consumers know.
                report.add(Fault::OffsetsMissing { topic, queue_id, expected: next, found: number, at });
                let mut tail = queue.tail.lock();
                (next..number).for_each(|_| _ = queue.push(&mut tail, Unit::BLANK));
            } else {
                queue.restart(number);
            }
        }
        let tags_code = unit_tags_code(
            &self.config.delay_levels,
            topic,
            layout.properties(bytes),
            layout.store_timestamp,
        );
        let unit = Unit {
            physical_offset: layout.physical_offset,
            size: i32::try_from(layout.total_size).unwrap_or(i32::MAX),
            tags_code,
        };
        queue.push(&mut queue.tail.lock(), unit);
        report.queued += 1;
        Ok(())
    }

    fn write_queues(&self, end: u64) -> Result<(), StoreError> {
        for queue in self.queues.all() {
            let mut written = Written::default();
            if let Err(WriteError::Refused(error) | WriteError::Sync(error)) =
                self.files.write(&queue, end, &mut written)
            {
                return Err(error).context("write queue files in", &self.config.consume_queue_dir());
            }
            if written.units > 0 {
                self.unsynced.borrow_mut().push((queue, written));
            }
        }
        Ok(())
    }

    /// Decides whether what stands behind the end may be thrown away.
    fn judge_end(&self, end: u64, report: &mut RecoveryReport) -> Result<(), StoreError> {
        let found = find_valid(self.log, end).context("read the log in", self.log.dir())?;
        if let Some((next, layout)) = found {
            // Times never go down along the log; several records share one.
            let durable = self.note.is_some_and(|note| end < note.flushed)
                || layout.store_timestamp < self.checkpoint.log;
            let what = report.broken.clone().unwrap_or_else(|| "nothing stands there".to_owned());
            if durable && !self.config.accept_damaged_log {
                return Err(StoreError::Damaged { at: end, next, what });
            }
            tracing::error!(end, next, what, "the log is cut although valid records follow");
            report.lost_from = Some(next);
            report.add(Fault::Damaged { at: end, next, what });
        } else if let Some(what) = report.broken.clone() {
            report.add(Fault::Tail { at: end, what });
        }
        if let Some(note) = self.note
            && end < note.flushed
        {
            let flushed = note.flushed;
            tracing::error!(end, flushed, "records are lost that were on the disk safely");
            let what =
                format!("the log was on the disk up to {flushed}, but it ends at {end}: records are lost");
            report.add(Fault::Checkpoint { what });
        }
        Ok(())
    }
}
