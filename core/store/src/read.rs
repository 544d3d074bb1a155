//! Reading: consume queue range → slices of the log, with the statuses that clients depend on.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use mq_protocol::filter::TagFilter;
use mq_protocol::message::{MessageRecord, PHYSICAL_OFFSET_AT};

use crate::append::unit_tags_code;
use crate::log::walk::{Check, Step, Walk};
use crate::lookup::NEAR;
use crate::queue::{Queue, UNIT_SIZE, Unit};
use crate::shared::Shared;

/// Largest answer in bytes, whatever is asked (`MAX_PULL_MSG_SIZE`).
const MAX_READ: usize = 128 << 20;
/// Queue bytes that are looked at while filtering, unless more messages are asked (`maxFilterMessageSize`).
const MAX_FILTERED: u64 = 16_000;
/// Entries before a wrong one in which a good one is looked for.
const MENDED_ENTRIES: usize = 64;
/// Records that are looked at for a wrong entry's record.
const MENDED_RECORDS: usize = 100_000;
/// Tags codes below every hash are addresses in a `ConsumeQueueExt`.
const MIN_HASH: i64 = i32::MIN as i64;

/// Which messages a read returns.
#[derive(Clone, Copy)]
pub enum Filter<'a> {
    /// All.
    All,
    /// Those whose tag has one of the filter's codes.
    Tags(&'a TagFilter),
    /// Those whose tags code is accepted.
    Code(&'a dyn Fn(i64) -> bool),
    /// Those whose record is accepted.
    Record(&'a dyn Fn(&MessageRecord) -> bool),
}

impl std::fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Filter::All => f.write_str("All"),
            Filter::Tags(tags) => f.debug_tuple("Tags").field(tags).finish(),
            Filter::Code(_) => f.write_str("Code(..)"),
            Filter::Record(_) => f.write_str("Record(..)"),
        }
    }
}

impl Filter<'_> {
    fn matches_code(&self, code: i64) -> bool {
        match self {
            Filter::All | Filter::Record(_) => true,
            Filter::Tags(tags) => tags.matches_code(code),
            Filter::Code(accept) => accept(code),
        }
    }
}

/// A question for messages of one queue.
#[derive(Clone, Copy, Debug)]
pub struct ReadRequest<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// First queue offset that is wanted.
    pub offset: i64,
    /// How many messages at most; the limits of the settings apply as well.
    pub max_count: usize,
    /// How many bytes at most, if it matters; one message is returned whatever its size.
    pub max_bytes: Option<usize>,
    /// Which messages.
    pub filter: Filter<'a>,
}

/// What a read found (`GetMessageStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in Apache's store")]
pub enum ReadStatus {
    Found,
    /// Messages were looked at and none was wanted.
    NoMatchedMessage,
    /// The queue points to records that are deleted already.
    MessageWasRemoving,
    /// The queue's files have a hole.
    OffsetFoundNull,
    /// Far behind the end.
    OffsetOverflowBadly,
    /// At the end: the next message is not there yet.
    OffsetOverflowOne,
    /// Before the oldest message.
    OffsetTooSmall,
    NoMatchedLogicQueue,
    NoMessageInQueue,
    /// Ours: the disk fails, be it at the queue or at the message, or no descriptor is free. The next offset is the one to
    /// try again.
    Unreadable,
}

impl ReadStatus {
    /// The name that answers carry as their remark.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ReadStatus::Found => "FOUND",
            ReadStatus::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            ReadStatus::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            ReadStatus::OffsetFoundNull => "OFFSET_FOUND_NULL",
            ReadStatus::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            ReadStatus::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            ReadStatus::OffsetTooSmall => "OFFSET_TOO_SMALL",
            ReadStatus::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            ReadStatus::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
            ReadStatus::Unreadable => {
                "UNREADABLE: the broker cannot read the queue or its messages from its disk; its log says why"
            }
        }
    }
}

/// Answer to a [`ReadRequest`].
#[derive(Clone, Debug)]
pub struct Read {
    /// What was found.
    pub status: ReadStatus,
    /// Where to read next.
    pub next_offset: i64,
    /// Smallest queue offset whose message is still there.
    pub min_offset: i64,
    /// The queue offset that the next visible message gets.
    pub max_offset: i64,
    /// The records in order, as stored; neighbours in the log share a slice.
    pub slices: Vec<Bytes>,
    /// Bytes of all slices.
    pub bytes: usize,
    /// Number of records.
    pub count: usize,
    /// Whether the reader is further behind than memory reaches, so that a slave should serve it.
    pub suggest_slave: bool,
}

impl Read {
    fn empty(status: ReadStatus, next_offset: i64, min_offset: i64, max_offset: i64) -> Read {
        let slices = Vec::new();
        Read { status, next_offset, min_offset, max_offset, slices, bytes: 0, count: 0, suggest_slave: false }
    }

    /// Adds a record of `size` bytes. With `joined` the slice also holds what the last slice holds and takes its place.
    fn push_run(&mut self, slice: Bytes, size: usize, joined: bool) {
        self.bytes += size;
        self.count += 1;
        match self.slices.last_mut() {
            Some(last) if joined => *last = slice,
            _ => self.slices.push(slice),
        }
    }
}

impl Shared {
    pub(crate) fn read(&self, request: &ReadRequest<'_>) -> Read {
        let Some(queue) = self.queues.get(request.topic, request.queue_id) else {
            return Read::empty(ReadStatus::NoMatchedLogicQueue, 0, 0, 0);
        };
        let (min, max) = (queue.min(), queue.max(self.visible_limit()));
        let offset = request.offset;
        let empty = |status, next| Read::empty(status, next, min, max);
        if max == 0 {
            return empty(ReadStatus::NoMessageInQueue, 0);
        }
        if offset < min {
            return empty(ReadStatus::OffsetTooSmall, min);
        }
        if offset == max {
            return empty(ReadStatus::OffsetOverflowOne, offset);
        }
        if offset > max {
            return empty(ReadStatus::OffsetOverflowBadly, max);
        }
        let mut read = empty(ReadStatus::NoMatchedMessage, offset);
        let scan = MAX_FILTERED.max(UNIT_SIZE * request.max_count as u64) / UNIT_SIZE;
        let last = max.min(offset.saturating_add(i64::try_from(scan).unwrap_or(i64::MAX)));
        // Most reads want few units; the rest is fetched when filtering passed those over.
        let mut piece = i64::try_from(request.max_count.clamp(1, 64)).unwrap_or(1);
        let hot = self.just_now();
        let mut state = Collecting { run: None, removed_before: None, position: None, hot, reached: 0..0 };
        while read.next_offset < last {
            let from = read.next_offset;
            let units = match self.queue_files.units(&queue, from, last.min(from + piece)) {
                Ok(units) => units,
                Err(error) => {
                    tracing::warn!(topic = request.topic, queue = request.queue_id, offset = from, %error, "a consume queue cannot be read");
                    if read.count == 0 {
                        read.status = ReadStatus::Unreadable;
                    }
                    break;
                }
            };
            if units.is_empty() {
                if read.count == 0 {
                    read.status = ReadStatus::OffsetFoundNull;
                    // The hole may end with the file.
                    read.next_offset =
                        (self.queue_files.file_of(from) + self.queue_files.file_units()).min(max);
                }
                break;
            }
            let whole = (0..units.len()).try_for_each(|number| {
                let units = units.get(number..).unwrap_or_default();
                self.collect(request, units, &queue, &mut read, &mut state)
            });
            match whole {
                Ok(()) => {}
                Err(Stop::Full) => break,
                Err(Stop::Unreadable(error)) => {
                    let offset = read.next_offset;
                    tracing::warn!(topic = request.topic, queue = request.queue_id, offset, %error, "a message cannot be read");
                    if read.count == 0 {
                        read.status = ReadStatus::Unreadable;
                    }
                    break;
                }
            }
            piece = 400;
        }
        if let Some(position) = state.position {
            read.suggest_slave = !self.is_in_memory(position);
        }
        read
    }

    /// Takes the first of some units into the answer, unless that is full or the unit's record cannot be read.
    fn collect(
        &self,
        request: &ReadRequest<'_>,
        units: &[Unit],
        queue: &Queue,
        read: &mut Read,
        state: &mut Collecting,
    ) -> Result<(), Stop> {
        let Some(unit) = units.first() else { return Ok(()) };
        let position = u64::try_from(unit.physical_offset).unwrap_or(0);
        let size = usize::try_from(unit.size).unwrap_or(0);
        if self.is_full(request, read, size, self.is_in_memory(position)) {
            return Err(Stop::Full);
        }
        state.position = Some(position);
        let offset = read.next_offset;
        let is_address = unit.tags_code < MIN_HASH && !queue.scheduled;
        let removed = state.removed_before.is_some_and(|end| position < end);
        if removed || (!is_address && !request.filter.matches_code(unit.tags_code)) {
            read.next_offset += 1;
            return Ok(());
        }
        self.reach(units, state)?;
        let mut bytes = self.log.bytes(position, size as u64).filter(|_| !unit.is_blank());
        let (mut position, mut end) = (position, position + size as u64);
        if bytes.is_none() && (unit.is_blank() || position < self.log.min()) {
            if read.count == 0 {
                read.status = ReadStatus::MessageWasRemoving;
            }
            state.removed_before = (!unit.is_blank()).then(|| self.log.next_file_start(position));
            read.next_offset += 1;
            return Ok(());
        }
        if !bytes.as_ref().is_some_and(|record| self.is_its_record(queue, offset, unit, record)) {
            let (topic, queue_id) = (request.topic, request.queue_id);
            let Some(true_unit) = self.true_unit(queue, offset)? else {
                tracing::error!(
                    topic,
                    queue_id,
                    offset,
                    "a queue entry is wrong and its record is not in the log"
                );
                read.next_offset += 1;
                return Ok(());
            };
            tracing::warn!(
                topic,
                queue_id,
                offset,
                "a queue entry is wrong; its record was found in the log"
            );
            position = u64::try_from(true_unit.physical_offset).unwrap_or(0);
            end = true_unit.end();
            bytes = self.log.bytes(position, end.saturating_sub(position));
        }
        read.next_offset += 1;
        let Some(bytes) = bytes else { return Ok(()) };
        let size = bytes.len();
        let follows = state.run.filter(|(_, end)| *end == position && self.same_file(position));
        let start = follows.map_or(position, |(start, _)| start);
        if (is_address || matches!(request.filter, Filter::Record(_)))
            && !self.accepts(&request.filter, &bytes)
        {
            return Ok(());
        }
        let joined = follows.and_then(|_| self.log.bytes(start, end - start));
        let follows = joined.is_some();
        read.push_run(joined.unwrap_or(bytes), size, follows);
        state.run = Some((if follows { start } else { position }, end));
        state.removed_before = None;
        read.status = ReadStatus::Found;
        Ok(())
    }

    /// Brings the record of the first unit into memory, and with it those of its neighbours that the answer may take.
    fn reach(&self, units: &[Unit], state: &mut Collecting) -> io::Result<()> {
        let Some(first) = units.first().filter(|unit| !unit.is_blank()) else { return Ok(()) };
        let (start, mut end) = (u64::try_from(first.physical_offset).unwrap_or(0), first.end());
        // What the queue says may be wrong, and what is not in the log needs no disk.
        if start >= state.hot
            || end > self.log.end()
            || (state.reached.start <= start && end <= state.reached.end)
        {
            return Ok(());
        }
        let most = start + self.config.max_transfer_bytes_in_memory as u64;
        for unit in units.iter().skip(1).filter(|unit| !unit.is_blank()) {
            let position = u64::try_from(unit.physical_offset).unwrap_or(0);
            if !(end..=end + NEAR).contains(&position) || unit.end() > most.min(state.hot) {
                break;
            }
            end = unit.end();
        }
        self.log.reach(start, end)?;
        state.reached = start..end;
        Ok(())
    }

    /// Whether the bytes that a unit points to are the record of its queue that belongs at its place.
    ///
    /// A queue's file may be damaged, and what is no record is nothing that a client can read.
    fn is_its_record(&self, queue: &Queue, offset: i64, unit: &Unit, record: &[u8]) -> bool {
        let int = |at: usize| record.get(at..)?.first_chunk().map(|bytes| i32::from_be_bytes(*bytes));
        let long = |at: usize| record.get(at..)?.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        // A light queue points to the records of other queues.
        let own = int(12) == Some(queue.id) || queue.topic.starts_with("%LMQ%");
        if int(0) != Some(unit.size) || long(PHYSICAL_OFFSET_AT) != Some(unit.physical_offset) || !own {
            return false;
        }
        if long(20) == Some(offset) || queue.topic.starts_with("%LMQ%") {
            return true;
        }
        // Apache gives a record the next place when the queue misses some; then its neighbours are still in order.
        let near = |offset: i64| {
            let inside = (queue.min()..queue.next()).contains(&offset);
            let unit = inside.then(|| self.queue_files.unit(queue, offset).ok().flatten()).flatten();
            unit.filter(|unit| !unit.is_blank())
        };
        near(offset - 1).is_none_or(|before| before.physical_offset < unit.physical_offset)
            && near(offset + 1).is_none_or(|behind| behind.physical_offset > unit.physical_offset)
    }

    /// Finds the record of a queue offset in the log, from the next good entry before it on.
    ///
    /// # Errors
    /// The disk cannot give a part of it.
    fn true_unit(&self, queue: &Queue, offset: i64) -> io::Result<Option<Unit>> {
        let mut begin = self.log.min();
        for before in (queue.min()..offset).rev().take(MENDED_ENTRIES) {
            let Some(unit) = self.queue_files.unit(queue, before)? else { continue };
            let position = u64::try_from(unit.physical_offset).unwrap_or(u64::MAX);
            let Some(record) = self.log.bytes(position, unit.end().saturating_sub(position)) else {
                continue;
            };
            self.log.reach(position, unit.end())?;
            if self.is_its_record(queue, before, &unit, &record) {
                begin = begin.max(unit.end());
                break;
            }
        }
        let mut walk = Walk::new(&self.log, begin, self.visible_end(), Check::Layout);
        for _ in 0..MENDED_RECORDS {
            let (layout, bytes) = match walk.step() {
                Step::Record { layout, bytes, .. } => (layout, bytes),
                Step::Unreadable(error) => return Err(error),
                Step::End | Step::Broken(_) => return Ok(None),
            };
            if layout.queue_id != queue.id || layout.topic(&bytes) != &*queue.topic {
                continue;
            }
            if layout.queue_offset == offset {
                let (levels, time) = (&self.config.delay_levels, layout.store_timestamp);
                return Ok(Some(Unit {
                    physical_offset: layout.physical_offset,
                    size: i32::try_from(layout.total_size).unwrap_or(i32::MAX),
                    tags_code: unit_tags_code(levels, &queue.topic, layout.properties(&bytes), time),
                }));
            }
        }
        Ok(None)
    }

    /// Whether a record is not the first of its file.
    fn same_file(&self, position: u64) -> bool {
        !position.is_multiple_of(self.log.file_size)
    }

    /// Asks the record itself where the queue's unit cannot tell.
    fn accepts(&self, filter: &Filter<'_>, bytes: &Bytes) -> bool {
        let Ok(Some(record)) = MessageRecord::take(&mut bytes.clone()) else { return false };
        if let Filter::Record(accept) = filter {
            return accept(&record);
        }
        let time = record.layout().store_timestamp;
        filter.matches_code(unit_tags_code(
            &self.config.delay_levels,
            record.topic(),
            record.properties(),
            time,
        ))
    }

    /// `DefaultMessageStore.isTheBatchFull`.
    fn is_full(&self, request: &ReadRequest<'_>, read: &Read, size: usize, in_memory: bool) -> bool {
        if read.count == 0 {
            return false;
        }
        let (count, bytes) = (read.count + 1, read.bytes.saturating_add(size));
        let config = &self.config;
        let (max_count, max_bytes) = if in_memory {
            (config.max_transfer_count_in_memory, config.max_transfer_bytes_in_memory)
        } else {
            (config.max_transfer_count_on_disk, config.max_transfer_bytes_on_disk)
        };
        let asked_bytes = request.max_bytes.unwrap_or(MAX_READ).clamp(100, MAX_READ);
        count > request.max_count || bytes > asked_bytes || bytes > max_bytes || count > max_count
    }
}

/// What collecting remembers from one unit to the next.
struct Collecting {
    /// Start and end in the log of the last slice.
    run: Option<(u64, u64)>,
    /// Records before this are gone.
    removed_before: Option<u64>,
    /// Of the last record that was looked at.
    position: Option<u64>,
    /// What stands from here on in the log is taken to be in memory.
    hot: u64,
    /// Part of the log that was brought into memory.
    reached: Range<u64>,
}

/// Why an answer takes no further unit.
enum Stop {
    Full,
    Unreadable(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Unreadable(error)
    }
}
