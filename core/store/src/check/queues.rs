//! Checking consume queues: first each by itself, then entry by entry against the records as the log is walked.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use mq_protocol::message::RecordLayout;

use super::fault::{Fault, Findings};
use super::log::{Found, LogReader};
use crate::append::{check_topic, is_queued, unit_tags_code};
use crate::config::{StoreConfig, file_name, file_position};
use crate::deleted::DeletedQueues;
use crate::error::{IoContext as _, StoreError};
use crate::fs::{File, OpenMode};
use crate::queue::{UNIT_SIZE, Unit};

/// Memory for pieces of all queues together.
const MEMORY: usize = 32 << 20;
/// Descriptors that are kept open.
const OPEN_FILES: usize = 256;
/// Wrong entries that are named for each queue.
const NAMED: usize = 16;

/// One queue and what is known of it so far.
#[derive(Debug)]
struct Checked {
    topic: Arc<str>,
    id: i32,
    /// Queue offsets of the files' first units.
    files: Vec<i64>,
    /// First unit and the one behind the last.
    first: i64,
    next: i64,
    /// Units that point into the log.
    live: u64,
    /// The offset that the next record must have.
    expected: Option<i64>,
    /// Records whose unit is right.
    matched: u64,
    /// Records without a unit: how many, the first one's offset and position, and whether all lie behind the last unit.
    missing: Option<(u64, i64, u64, bool)>,
    wrong: Vec<Fault>,
    wrong_count: u64,
    /// A piece of the queue in memory.
    chunk_at: i64,
    chunk: Vec<u8>,
}

impl Checked {
    fn new(topic: Arc<str>, id: i32) -> Checked {
        Checked {
            topic,
            id,
            files: Vec::new(),
            first: 0,
            next: 0,
            live: 0,
            expected: None,
            matched: 0,
            missing: None,
            wrong: Vec::new(),
            wrong_count: 0,
            chunk_at: 0,
            chunk: Vec::new(),
        }
    }

    fn chunk_unit(&self, offset: i64) -> Option<Unit> {
        let start =
            usize::try_from(offset.checked_sub(self.chunk_at)?).ok()?.checked_mul(UNIT_SIZE as usize)?;
        self.chunk.get(start..)?.first_chunk().map(Unit::decode)
    }

    fn note_wrong(&mut self, fault: Fault) {
        self.wrong_count += 1;
        if self.wrong.len() < NAMED {
            self.wrong.push(fault);
        }
    }
}

/// All queues of a store.
#[derive(Debug)]
pub(super) struct QueueCheck {
    config: StoreConfig,
    units_per_file: i64,
    queues: Vec<Checked>,
    numbers: HashMap<Arc<str>, BTreeMap<i32, usize>>,
    open: HashMap<(usize, i64), Arc<dyn File>>,
    chunk_units: i64,
    log_min: u64,
    deleted: Option<DeletedQueues>,
    /// Records of topics that were deleted and perhaps made again.
    pub(super) superseded: u64,
    pub(super) units: u64,
    /// Files of all queues.
    pub(super) file_count: u64,
}

fn text(unit: &Unit) -> String {
    format!("(at {}, {} bytes, tags code {})", unit.physical_offset, unit.size, unit.tags_code)
}

impl QueueCheck {
    /// Lists all queues and checks each by itself.
    pub(super) fn open(
        config: &StoreConfig,
        log_min: u64,
        clean: bool,
        findings: &mut Findings,
    ) -> Result<QueueCheck, StoreError> {
        let deleted = DeletedQueues::load(config).ok();
        let units_per_file = i64::try_from(config.consume_queue_file_size / UNIT_SIZE).unwrap_or(1).max(1);
        let mut check = QueueCheck {
            config: config.clone(),
            units_per_file,
            queues: Vec::new(),
            numbers: HashMap::new(),
            open: HashMap::new(),
            chunk_units: 2048,
            log_min,
            deleted,
            superseded: 0,
            units: 0,
            file_count: 0,
        };
        let (fs, dir) = (Arc::clone(&config.file_system), config.consume_queue_dir());
        for topic in fs.list(&dir).context("list directory", &dir)? {
            let path = dir.join(&topic.name);
            if !topic.directory {
                let what = "only topics' directories may be here; with storeType=defaultRocksDB the queues are not readable".to_owned();
                findings.add(Fault::File { path, what });
                continue;
            }
            for entry in fs.list(&path).context("list directory", &path)? {
                match entry.name.parse::<i32>().ok().filter(|_| entry.directory) {
                    Some(id) if id.to_string() == entry.name => {
                        check.add_queue(&topic.name, id, clean, findings)?
                    }
                    _ => {
                        let what = "only queues' directories, named by a number, may be here".to_owned();
                        findings.add(Fault::File { path: path.join(&entry.name), what });
                    }
                }
            }
        }
        let share = MEMORY / UNIT_SIZE as usize / check.queues.len().max(1);
        check.chunk_units = i64::try_from(share.clamp(16, 2048)).unwrap_or(16);
        check.queues.iter_mut().for_each(|queue| queue.chunk = Vec::new());
        Ok(check)
    }

    fn queue_dir(&self, queue: &Checked) -> PathBuf {
        self.config.consume_queue_dir().join(&*queue.topic).join(queue.id.to_string())
    }

    fn number_of(&mut self, topic: &str, id: i32) -> usize {
        if let Some(number) = self.numbers.get(topic).and_then(|ids| ids.get(&id)) {
            return *number;
        }
        let name: Arc<str> =
            self.numbers.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| Arc::clone(name));
        let number = self.queues.len();
        self.queues.push(Checked::new(Arc::clone(&name), id));
        self.numbers.entry(name).or_default().insert(id, number);
        number
    }

    fn add_queue(
        &mut self,
        topic: &str,
        id: i32,
        clean: bool,
        findings: &mut Findings,
    ) -> Result<(), StoreError> {
        let number = self.number_of(topic, id);
        let Some(queue) = self.queues.get(number) else { return Ok(()) };
        let dir = self.queue_dir(queue);
        let mut entries = self.config.file_system.list(&dir).context("list directory", &dir)?;
        entries.retain(|entry| !entry.directory);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let (size, last) = (self.config.consume_queue_file_size, entries.len().saturating_sub(1));
        let mut files: Vec<i64> = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let path = dir.join(&entry.name);
            let start =
                file_position(&path).filter(|start| file_name(*start) == entry.name && start % size == 0);
            let mut wrong = |what: String| findings.add(Fault::File { path: path.clone(), what });
            let Some(start) = start else {
                wrong("no consume queue file has such a name".to_owned());
                continue;
            };
            if entry.size != size {
                if entry.size == 0 && at == last {
                    continue;
                }
                wrong(format!("it has {} bytes where all files of consume queues have {size}", entry.size));
                break;
            }
            let first = i64::try_from(start / UNIT_SIZE).unwrap_or(i64::MAX);
            if files.last().is_some_and(|last| last + self.units_per_file != first) {
                wrong("the queue file before it is missing".to_owned());
                break;
            }
            files.push(first);
        }
        if let Some(queue) = self.queues.get_mut(number) {
            queue.first = files.first().copied().unwrap_or(0);
            queue.next = queue.first;
            self.file_count += files.len() as u64;
            queue.files = files;
        }
        self.check_alone(number, clean, findings);
        Ok(())
    }

    /// Reads a queue from its first unit to its last: units follow one another in the log, and nothing stands behind them.
    fn check_alone(&mut self, number: usize, clean: bool, findings: &mut Findings) {
        let Some(queue) = self.queues.get(number) else { return };
        let (topic, id, dir) = (queue.topic.to_string(), queue.id, self.queue_dir(queue));
        let (files, first) = (queue.files.clone(), queue.first);
        let Some(end) = files.last().map(|last| last + self.units_per_file) else { return };
        let path = |offset: i64| dir.join(file_name(bytes_of(offset)));
        let (mut offset, mut before, mut live, mut blank) = (first, 0_u64, 0, true);
        while offset < end {
            let unit = match self.unit(number, offset, end) {
                Ok(Some(unit)) if unit.is_written() => unit,
                Ok(_) => break,
                Err(error) => {
                    let file = offset - (offset - first) % self.units_per_file;
                    findings.add(Fault::Unreadable { path: path(file), what: error.to_string() });
                    break;
                }
            };
            if unit.is_blank() {
                if !blank {
                    let what = "filler stands behind a record's entry".to_owned();
                    findings.add(Fault::EntryPointsAstray {
                        topic: topic.clone(),
                        queue_id: id,
                        offset,
                        at: 0,
                        what,
                    });
                }
            } else {
                blank = false;
                let at = u64::try_from(unit.physical_offset).unwrap_or(0);
                if at < before {
                    let at = unit.physical_offset;
                    findings.add(Fault::EntryOrder { topic: topic.clone(), queue_id: id, offset, at });
                }
                before = unit.end();
                live += u64::from(at >= self.log_min);
            }
            offset += 1;
        }
        // Apache takes the first unit of a file for written, whatever stands there.
        for file in files.iter().filter(|file| **file >= offset) {
            let what = "it holds no entry; Apache's broker would add a wrong one".to_owned();
            findings.add_if(!clean, Fault::File { path: path(*file), what });
        }
        if let Some(file) = files.iter().rev().find(|file| **file < offset)
            && let Ok(handle) = self.file(number, *file)
        {
            let used = bytes_of(offset - file);
            let block = used.next_multiple_of(4096).min(self.config.consume_queue_file_size);
            let mut rest = vec![0; usize::try_from(block - used).unwrap_or(0)];
            let near = handle.read_at(&mut rest, used).is_ok() && rest.iter().any(|byte| *byte != 0);
            let far = matches!(handle.next_data(block), Ok(Some(_))) && self.has_data(&*handle, block);
            if near || far {
                let what = format!("something stands behind its last entry ({})", offset - 1);
                findings.add_if(!clean, Fault::File { path: path(*file), what });
            }
        }
        self.units += u64::try_from(offset - first).unwrap_or(0);
        if let Some(queue) = self.queues.get_mut(number) {
            (queue.next, queue.live) = (offset, live);
        }
        self.open.retain(|(open, _), _| *open != number);
    }

    /// Whether a byte from `from` on is not zero.
    fn has_data(&self, file: &dyn File, from: u64) -> bool {
        let mut at = from;
        while at < self.config.consume_queue_file_size {
            let mut bytes =
                vec![0; usize::try_from(self.config.consume_queue_file_size - at).unwrap_or(0).min(64 << 10)];
            if file.read_at(&mut bytes, at).is_err() {
                return false;
            }
            if bytes.iter().any(|byte| *byte != 0) {
                return true;
            }
            at = match file.next_data(at + bytes.len() as u64) {
                Ok(Some(next)) => next,
                _ => return false,
            };
        }
        false
    }

    fn file(&mut self, number: usize, first: i64) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.open.get(&(number, first)) {
            return Ok(Arc::clone(file));
        }
        let Some(queue) = self.queues.get(number) else { return Err(io::ErrorKind::NotFound.into()) };
        let path = self.queue_dir(queue).join(file_name(bytes_of(first)));
        let file = self.config.file_system.open(&path, OpenMode::Read)?;
        if self.open.len() >= OPEN_FILES {
            self.open.clear();
        }
        self.open.insert((number, first), Arc::clone(&file));
        Ok(file)
    }

    /// The unit at a queue offset before `end`.
    fn unit(&mut self, number: usize, offset: i64, end: i64) -> io::Result<Option<Unit>> {
        let Some(queue) = self.queues.get(number) else { return Ok(None) };
        if offset < queue.first || offset >= end {
            return Ok(None);
        }
        if let Some(unit) = queue.chunk_unit(offset) {
            return Ok(Some(unit));
        }
        let file_first = offset - (offset - queue.first) % self.units_per_file;
        let last = end.min(file_first + self.units_per_file).min(offset + self.chunk_units);
        let file = self.file(number, file_first)?;
        let mut bytes = vec![0; usize::try_from(bytes_of(last - offset)).unwrap_or(0)];
        file.read_at(&mut bytes, bytes_of(offset - file_first))?;
        let Some(queue) = self.queues.get_mut(number) else { return Ok(None) };
        (queue.chunk_at, queue.chunk) = (offset, bytes);
        Ok(queue.chunk_unit(offset))
    }

    /// Compares a record with its queue's unit.
    pub(super) fn record(&mut self, at: u64, layout: &RecordLayout, bytes: &[u8]) {
        let topic = layout.topic(bytes);
        if !is_queued(layout.sys_flag) || check_topic(topic).is_err() || layout.queue_id < 0 {
            return;
        }
        let deleted = self.deleted.as_ref().and_then(|deleted| deleted.find(topic, layout.queue_id));
        if deleted.is_some_and(|deleted| at < deleted.before) {
            self.superseded += 1;
            return;
        }
        let wanted = Unit {
            physical_offset: layout.physical_offset,
            size: i32::try_from(layout.total_size).unwrap_or(i32::MAX),
            tags_code: unit_tags_code(
                &self.config.delay_levels,
                topic,
                layout.properties(bytes),
                layout.store_timestamp,
            ),
        };
        let number = self.number_of(topic, layout.queue_id);
        let Some(queue) = self.queues.get_mut(number) else { return };
        let (offset, queue_id) = (layout.queue_offset, layout.queue_id);
        if let Some(expected) = queue.expected {
            if offset == 0 && expected > 0 {
                // Apache's broker numbers anew when a topic was deleted and made again; the older records are in no queue.
                self.superseded +=
                    queue.matched + queue.wrong_count + queue.missing.map_or(0, |missing| missing.0);
                (queue.matched, queue.wrong_count, queue.missing) = (0, 0, None);
                queue.wrong.clear();
            } else if offset > expected {
                let topic = topic.to_owned();
                queue.note_wrong(Fault::OffsetsMissing { topic, queue_id, expected, found: offset, at });
            } else if offset < expected {
                queue.note_wrong(Fault::OffsetRepeated { topic: topic.to_owned(), queue_id, offset, at });
            }
        }
        queue.expected = Some(offset.saturating_add(1));
        let next = queue.next;
        let found = self.unit(number, offset, next);
        let Some(queue) = self.queues.get_mut(number) else { return };
        match found {
            Ok(Some(unit)) if unit == wanted => queue.matched += 1,
            Ok(Some(unit)) => {
                let (found, wanted) = (text(&unit), text(&wanted));
                queue.note_wrong(Fault::EntryWrong {
                    topic: topic.to_owned(),
                    queue_id,
                    offset,
                    found,
                    wanted,
                });
            }
            _ => {
                let behind = offset >= queue.next;
                let missing = queue.missing.get_or_insert((0, offset, at, true));
                missing.0 += 1;
                missing.3 &= behind;
            }
        }
    }

    /// Says what is wrong once the whole log was walked; looks at units that no record has claimed.
    pub(super) fn finish(&mut self, log: &mut LogReader, end: u64, clean: bool, findings: &mut Findings) {
        for number in 0..self.queues.len() {
            let Some(queue) = self.queues.get_mut(number) else { return };
            let unclaimed = queue.live.saturating_sub(queue.matched);
            queue.wrong.drain(..).for_each(|fault| findings.add(fault));
            findings.fault_count += queue.wrong_count.saturating_sub(NAMED as u64);
            if let Some((count, offset, at, behind)) = queue.missing {
                let topic = queue.topic.to_string();
                let fault = Fault::EntriesMissing { topic, queue_id: queue.id, count, offset, at };
                findings.add_if(!clean && behind, fault);
            }
            if unclaimed > 0 {
                self.find_unclaimed(number, log, end, clean, findings);
            }
            if let Some(queue) = self.queues.get_mut(number) {
                queue.chunk = Vec::new();
            }
        }
    }

    fn find_unclaimed(
        &mut self,
        number: usize,
        log: &mut LogReader,
        end: u64,
        clean: bool,
        findings: &mut Findings,
    ) {
        let Some(queue) = self.queues.get(number) else { return };
        let (topic, id, next) = (Arc::clone(&queue.topic), queue.id, queue.next);
        for offset in queue.first..next {
            let Ok(Some(unit)) = self.unit(number, offset, next) else { continue };
            let at = u64::try_from(unit.physical_offset).unwrap_or(0);
            if unit.is_blank() || at < self.log_min {
                continue;
            }
            let what = if at >= end {
                Some(format!("the log ends at {end}"))
            } else {
                match log.look(&mut at.clone()) {
                    Found::Record { at: found, layout, bytes } if found == at => {
                        let same = layout.topic(bytes) == &*topic
                            && layout.queue_id == id
                            && layout.queue_offset == offset;
                        (!same).then(|| {
                            let other = layout.topic(bytes);
                            format!(
                                "there stands {other}-{} with offset {}",
                                layout.queue_id, layout.queue_offset
                            )
                        })
                    }
                    _ => Some("no record begins there".to_owned()),
                }
            };
            if let Some(what) = what {
                let (topic, at_signed) = (topic.to_string(), unit.physical_offset);
                let fault = Fault::EntryPointsAstray { topic, queue_id: id, offset, at: at_signed, what };
                findings.add_if(!clean && at >= end, fault);
            }
        }
    }

    /// One more than the largest offset of a queue that has or had records.
    pub(super) fn end_of(&self, topic: &str, id: i32) -> Option<i64> {
        let queue =
            self.numbers.get(topic).and_then(|ids| ids.get(&id)).and_then(|number| self.queues.get(*number));
        let known = queue.map(|queue| queue.next.max(queue.expected.unwrap_or(0)));
        let deleted =
            self.deleted.as_ref().and_then(|deleted| deleted.find(topic, id)).map(|queue| queue.next_offset);
        known.max(deleted)
    }

    /// Queues of which the log has records.
    pub(super) fn with_records(&self) -> Vec<(Arc<str>, i32)> {
        let found = self.queues.iter().filter(|queue| queue.expected.is_some());
        found.map(|queue| (Arc::clone(&queue.topic), queue.id)).collect()
    }

    /// Number of queues that are known.
    pub(super) fn count(&self) -> u64 {
        self.queues.len() as u64
    }
}

fn bytes_of(units: i64) -> u64 {
    u64::try_from(units).unwrap_or(0) * UNIT_SIZE
}
