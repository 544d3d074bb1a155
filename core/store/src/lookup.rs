//! Looking things up: offsets by time, store times, raw queue entries.

use std::io;

use mq_protocol::message::MessageRecord;

use crate::queue::Queue;
use crate::shared::Shared;

/// Messages of a read that are looked for in the page cache.
const LOOKED_AHEAD: i64 = 32;
/// Bytes at the end of the log that are taken to be in the page cache without asking.
const JUST_NOW: u64 = 64 << 20;
/// Records that are no further apart than this are looked for with one call; a page between them that is not cached only
/// sends the read to another thread.
pub(crate) const NEAR: u64 = 64 << 10;

/// Which of several offsets a search by time returns (`BoundaryType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// The first message at that time or later.
    #[default]
    Lower,
    /// The last message at that time or earlier.
    Upper,
}

/// A unit of a consume queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// Place in the queue.
    pub offset: i64,
    /// Position of the record in the log.
    pub physical_offset: u64,
    /// Size of the record in bytes.
    pub size: usize,
    /// Hash of the tag; the due time for `SCHEDULE_TOPIC_XXXX`.
    pub tags_code: i64,
}

impl Shared {
    /// First and last-but-one offset of what can be read; `None` if there is no such queue.
    fn bounds(&self, topic: &str, queue_id: i32) -> Option<(std::sync::Arc<Queue>, i64, i64)> {
        let queue = self.queues.get(topic, queue_id)?;
        let max = queue.max(self.visible_limit());
        let min = queue.min().min(max);
        Some((queue, min, max))
    }

    pub(crate) fn min_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.bounds(topic, queue_id).map_or(0, |(_, min, _)| min)
    }

    pub(crate) fn max_offset(&self, topic: &str, queue_id: i32) -> i64 {
        self.bounds(topic, queue_id).map_or(0, |(_, _, max)| max)
    }

    /// The record at a queue offset; `None` if it is gone.
    fn record_of(&self, queue: &Queue, offset: i64) -> io::Result<Option<MessageRecord>> {
        let unit = self.queue_files.unit(queue, offset)?.filter(|unit| !unit.is_blank());
        let at = unit.and_then(|unit| u64::try_from(unit.physical_offset).ok());
        at.map_or(Ok(None), |at| self.log.record(at))
    }

    fn time_of(&self, queue: &Queue, offset: i64) -> io::Result<Option<i64>> {
        let record = self.record_of(queue, offset).inspect_err(|error| {
            tracing::warn!(topic = %queue.topic, queue = queue.id, offset, %error, "a consume queue cannot be read");
        })?;
        Ok(record.map(|record| record.layout().store_timestamp))
    }

    pub(crate) fn store_time(&self, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        let (queue, min, max) = self.bounds(topic, queue_id)?;
        (min..max).contains(&offset).then(|| self.time_of(&queue, offset).ok().flatten()).flatten()
    }

    pub(crate) fn earliest_store_time(&self, topic: &str, queue_id: i32) -> Option<i64> {
        let (queue, min, max) = self.bounds(topic, queue_id)?;
        (min < max).then(|| self.time_of(&queue, min).ok().flatten()).flatten()
    }

    /// Binary search: store timestamps never decrease along a queue.
    pub(crate) fn offset_by_time(&self, topic: &str, queue_id: i32, time: i64, boundary: Boundary) -> i64 {
        let Some((queue, min, max)) = self.bounds(topic, queue_id) else { return 0 };
        let (mut low, mut high) = (min, max);
        while low < high {
            let middle = low + (high - low) / 2;
            // A record that was removed meanwhile is older than all others; where the disk fails nothing may be passed over.
            let before = self.time_of(&queue, middle).is_ok_and(|found| {
                found.is_none_or(|found| match boundary {
                    Boundary::Lower => found < time,
                    Boundary::Upper => found <= time,
                })
            });
            if before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match boundary {
            Boundary::Lower => low,
            Boundary::Upper => (low - 1).max(min),
        }
    }

    /// From where on the log is taken to be in the page cache, because it was appended a moment ago.
    pub(crate) fn just_now(&self) -> u64 {
        self.log.end().saturating_sub(JUST_NOW).max(self.recovery.end)
    }

    pub(crate) fn queue_entries(&self, topic: &str, queue_id: i32, from: i64, max: usize) -> Vec<QueueEntry> {
        let Some((queue, min, end)) = self.bounds(topic, queue_id) else { return Vec::new() };
        let from = from.max(min);
        let to = end.min(from.saturating_add(i64::try_from(max).unwrap_or(i64::MAX)));
        if from >= to {
            return Vec::new();
        }
        let units = self.queue_files.units(&queue, from, to).unwrap_or_else(|error| {
            tracing::warn!(topic, queue = queue_id, offset = from, %error, "a consume queue cannot be read");
            Vec::new()
        });
        let entry = |(offset, unit): (i64, &crate::queue::Unit)| QueueEntry {
            offset,
            physical_offset: u64::try_from(unit.physical_offset).unwrap_or(0),
            size: usize::try_from(unit.size).unwrap_or(0),
            tags_code: unit.tags_code,
        };
        (from..).zip(&units).filter(|(_, unit)| !unit.is_blank()).map(entry).collect()
    }

    pub(crate) fn in_memory(&self, topic: &str, queue_id: i32, offset: i64) -> bool {
        let Some((queue, min, max)) = self.bounds(topic, queue_id) else { return false };
        (min..max).contains(&offset)
            && self
                .queue_files
                .unit(&queue, offset)
                .ok()
                .flatten()
                .is_some_and(|unit| self.is_in_memory(u64::try_from(unit.physical_offset).unwrap_or(0)))
    }

    /// Whether a read from an offset on finds its first messages in the page cache; says so without waiting for the disk.
    pub(crate) fn is_cached(&self, topic: &str, queue_id: i32, offset: i64) -> bool {
        let Some((queue, min, max)) = self.bounds(topic, queue_id) else { return true };
        if !(min..max).contains(&offset) {
            return true;
        }
        let to = max.min(offset.saturating_add(LOOKED_AHEAD));
        let Some(units) = self.queue_files.cached_units(&queue, offset, to) else { return false };
        let just_now = self.just_now();
        let (mut bytes, mut run) = (0, None::<(u64, u64)>);
        for unit in &units {
            let (position, end) = (u64::try_from(unit.physical_offset).unwrap_or(0), unit.end());
            if unit.is_blank()
                || position >= just_now
                || bytes >= self.config.max_transfer_bytes_in_memory as u64
            {
                break;
            }
            bytes += end.saturating_sub(position);
            // Neighbours are asked for together: records of one queue stand between those of others.
            run = match run {
                Some((start, last))
                    if (last..=last + NEAR).contains(&position) && end <= self.log.next_file_start(start) =>
                {
                    Some((start, end))
                }
                Some((start, last)) if !self.log.is_cached(start, last) => return false,
                _ => Some((position, end)),
            };
        }
        run.is_none_or(|(start, end)| self.log.is_cached(start, end))
    }
}
