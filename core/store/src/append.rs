//! Appending: checks outside the lock, then one short critical section.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mq_protocol::id::tags_code;
use mq_protocol::message::{NewRecord, Place, sys_flag};
use mq_protocol::name::SCHEDULE_TOPIC;
use mq_protocol::property::{self, MAX_PROPERTIES, key};

use crate::bell::Worker;
use crate::config::{DelayLevels, FlushDisk};
use crate::error::AppendError;
use crate::log::{Hold, MIN_BLANK, NoRoom};
use crate::queue::{Queue, Unit};
use crate::shared::{Arrival, HeldArrival, Shared, Tip};

/// Longest topic name in bytes for a `%RETRY%` topic; others have 127 (`DefaultMessageStore.checkMessage`).
const MAX_TOPIC: usize = 255;
/// Queue units that make the queue writer start at once.
const MANY_PENDING: usize = 8192;

/// Where a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Position of its record in the log.
    pub physical_offset: u64,
    /// Size of its record in bytes.
    pub size: usize,
    /// End of its record (of the whole batch for records of a batch): what [`flushed`](crate::Store::flushed) waits for.
    pub end: u64,
    /// Its place in the queue; 0 for half messages of the old kind, which have none.
    pub queue_offset: i64,
    /// Milliseconds since the epoch.
    pub store_timestamp: i64,
}

/// What is known of a record before the lock is taken.
struct Prepared {
    queue: Arc<Queue>,
    size: u64,
    /// Whether it gets a queue unit.
    queued: bool,
    tags: Tags,
}

/// The tags code, or how it follows from the store timestamp.
#[derive(Clone, Copy)]
enum Tags {
    Code(i64),
    DueAfter(i64),
}

impl Tags {
    fn code(self, store_timestamp: i64) -> i64 {
        match self {
            Tags::Code(code) => code,
            Tags::DueAfter(delay) => store_timestamp.saturating_add(delay),
        }
    }
}

/// The tags code of a record's queue unit (`CommitLog.checkMessageAndReturnSize`).
pub(crate) fn unit_tags_code(
    levels: &DelayLevels,
    topic: &str,
    properties: &str,
    store_timestamp: i64,
) -> i64 {
    tags_of(levels, topic == SCHEDULE_TOPIC, properties).code(store_timestamp)
}

fn tags_of(levels: &DelayLevels, scheduled: bool, properties: &str) -> Tags {
    if scheduled
        && let Some(level) =
            property::find(properties, key::DELAY).and_then(|level| level.parse::<i32>().ok())
        && level > 0
    {
        return Tags::DueAfter(levels.delay_millis(level).unwrap_or(1000));
    }
    Tags::Code(tags_code(property::find(properties, key::TAGS)))
}

/// Whether records of these flags stand in queues: half messages of the old kind and rollbacks do not.
pub(crate) fn is_queued(sys_flags: i32) -> bool {
    !matches!(
        sys_flags & sys_flag::TRANSACTION_ROLLBACK,
        sys_flag::TRANSACTION_PREPARED | sys_flag::TRANSACTION_ROLLBACK
    )
}

/// Whether a topic name can be a directory's name and fits into a record.
pub(crate) fn check_topic(topic: &str) -> Result<(), AppendError> {
    let limit = if topic.starts_with(mq_protocol::name::RETRY_PREFIX) { MAX_TOPIC } else { 127 };
    let rule = if topic.is_empty() {
        "it is empty"
    } else if topic.len() > limit {
        "it has more than 127 bytes (255 for a retry topic)"
    } else if topic.contains(['/', '\\', '\0']) || topic == "." || topic == ".." {
        "it is also the name of a directory, so it may hold no '/', '\\' or 0 and may not be '.' or '..'"
    } else {
        return Ok(());
    };
    Err(AppendError::Topic { topic: topic.chars().take(300).collect(), rule })
}

impl Shared {
    fn prepare(&self, record: &NewRecord<'_>) -> Result<Prepared, AppendError> {
        check_topic(record.topic)?;
        if record.queue_id < 0 {
            return Err(AppendError::QueueId(record.queue_id));
        }
        if record.body.len() > self.config.max_message_size {
            return Err(AppendError::Body { size: record.body.len(), max: self.config.max_message_size });
        }
        let more = if self.config.append_prop_crc { record.prop_crc_room() } else { 0 };
        if record.properties.len() + more > MAX_PROPERTIES {
            return Err(AppendError::Properties {
                size: record.properties.len() + more,
                max: MAX_PROPERTIES,
            });
        }
        if record.sys_flag & sys_flag::INNER_BATCH != 0 {
            return Err(AppendError::InnerBatch);
        }
        let queue = self.queues.get_or_create(record.topic, record.queue_id);
        Ok(Prepared {
            size: (record.encoded_len() + more) as u64,
            queued: is_queued(record.sys_flag),
            tags: tags_of(&self.config.delay_levels, queue.scheduled, record.properties),
            queue,
        })
    }

    fn check_size(&self, size: u64) -> Result<(), AppendError> {
        let file_size = self.log.file_size;
        if size + MIN_BLANK > file_size { Err(AppendError::Record { size, file_size }) } else { Ok(()) }
    }

    fn no_room(NoRoom(error): NoRoom) -> AppendError {
        tracing::warn!(%error, "the commit log cannot grow");
        AppendError::NoSpace(error.to_string().into())
    }

    /// Writes one record for which there is room. The append lock is held.
    fn place(
        &self,
        tip: &mut Tip,
        record: &NewRecord<'_>,
        prepared: &Prepared,
        queue_offset: i64,
        end: u64,
        hold: Hold<'_>,
    ) -> Appended {
        let physical_offset = tip.writer.at;
        let store_timestamp = tip.timestamp;
        let position = i64::try_from(physical_offset).unwrap_or(i64::MAX);
        let place = Place { queue_offset, physical_offset: position, store_timestamp };
        if self.config.append_prop_crc {
            self.log.write(&mut tip.writer, prepared.size, |out| record.encode_with_crc(place, out));
        } else if let Some(body) = hold.body(record.body).filter(|_| tip.writer.is_staging()) {
            self.log
                .write_around(&mut tip.writer, body, prepared.size, |out| record.encode_around(place, out));
        } else {
            self.log.write(&mut tip.writer, prepared.size, |out| record.encode(place, out));
        }
        let size = usize::try_from(prepared.size).unwrap_or(usize::MAX);
        Appended { physical_offset, size, end, queue_offset, store_timestamp }
    }

    /// Shows records in their queue that are published in the log. The append lock is held.
    fn enqueue<'a>(
        &self,
        tip: &mut Tip,
        queue: &Arc<Queue>,
        units: impl Iterator<Item = (&'a Appended, i64)>,
    ) {
        let mut tail = queue.tail.lock();
        let before = tail.next();
        for (appended, tags_code) in units {
            let physical_offset = i64::try_from(appended.physical_offset).unwrap_or(i64::MAX);
            let size = i32::try_from(appended.size).unwrap_or(i32::MAX);
            queue.push(&mut tail, Unit { physical_offset, size, tags_code });
        }
        let added = usize::try_from(tail.next() - before).unwrap_or(0);
        self.gate.pending.fetch_add(added, Ordering::Relaxed);
        if !tail.listed {
            tail.listed = true;
            tip.dirty.push(Arc::clone(queue));
        }
    }

    /// In synchronous mode keeps the arrival until the record is on the disk. The append lock is held.
    fn hold(&self, tip: &mut Tip, prepared: &Prepared, appended: &Appended, tags_code: i64) {
        if self.config.flush_disk == FlushDisk::Sync && self.has_listeners.load(Ordering::Relaxed) {
            tip.held.push_back(HeldArrival {
                end: appended.physical_offset + appended.size as u64,
                queue: Arc::clone(&prepared.queue),
                queue_offset: appended.queue_offset,
                tags_code,
                store_timestamp: appended.store_timestamp,
            });
        }
    }

    /// Wakes who has something to do now. No lock is held.
    fn after_append(&self, reserve: bool) {
        let mut mask = Worker::Flush as u32 | Worker::Queues as u32 | Worker::Index as u32;
        if reserve {
            mask |= Worker::Reserve as u32;
        }
        self.bells.ring(mask);
        if self.gate.pending.load(Ordering::Relaxed) > MANY_PENDING {
            self.hurry_queues();
        }
    }

    /// Makes the queue thread write at once, which it is asked only once for the same units.
    #[cold]
    fn hurry_queues(&self) {
        if !self.queues_hurried.swap(true, Ordering::AcqRel) {
            self.bells.hurry(Worker::Queues);
        }
    }

    fn announce_now(&self, prepared: &Prepared, appended: &Appended, tags_code: i64) {
        if prepared.queued
            && self.config.flush_disk == FlushDisk::Async
            && self.has_listeners.load(Ordering::Relaxed)
        {
            self.announce(&Arrival {
                topic: &prepared.queue.topic,
                queue_id: prepared.queue.id,
                queue_offset: appended.queue_offset,
                tags_code,
                store_timestamp: appended.store_timestamp,
            });
        }
    }

    pub(crate) fn append(&self, record: &NewRecord<'_>, hold: Hold<'_>) -> Result<Appended, AppendError> {
        let prepared = self.prepare(record)?;
        self.check_size(prepared.size)?;
        let now = self.config.clock.now_millis();
        let mut tip = self.tip.append()?;
        self.gate.check(1)?;
        self.log.make_room(&mut tip.writer, prepared.size, hold).map_err(Shared::no_room)?;
        tip.timestamp = tip.timestamp.max(now);
        let end = tip.writer.at + prepared.size;
        let queue_offset = if prepared.queued { prepared.queue.next() } else { 0 };
        let appended = self.place(&mut tip, record, &prepared, queue_offset, end, hold);
        let code = prepared.tags.code(appended.store_timestamp);
        // The log first: whoever finds the queue's unit must find the record.
        let reserve = self.log.publish(&mut tip.writer);
        if prepared.queued {
            self.enqueue(&mut tip, &prepared.queue, [(&appended, code)].into_iter());
            self.hold(&mut tip, &prepared, &appended, code);
        }
        drop(tip);
        self.after_append(reserve);
        self.announce_now(&prepared, &appended, code);
        Ok(appended)
    }

    pub(crate) fn append_batch(
        &self,
        records: &[NewRecord<'_>],
        hold: Hold<'_>,
    ) -> Result<Vec<Appended>, AppendError> {
        let Some(first) = records.first() else { return Err(AppendError::EmptyBatch) };
        let one_queue = |other: &NewRecord<'_>| {
            other.topic == first.topic
                && other.queue_id == first.queue_id
                && is_queued(other.sys_flag) == is_queued(first.sys_flag)
        };
        if !records.iter().all(one_queue) {
            return Err(AppendError::MixedBatch);
        }
        let prepared = records.iter().map(|record| self.prepare(record)).collect::<Result<Vec<_>, _>>()?;
        let total = prepared.iter().fold(0_u64, |total, one| total.saturating_add(one.size));
        self.check_size(total)?;
        let (queue, queued) =
            (self.queues.get_or_create(first.topic, first.queue_id), is_queued(first.sys_flag));
        let mut all = Vec::with_capacity(records.len());
        let now = self.config.clock.now_millis();
        let mut tip = self.tip.append()?;
        self.gate.check(records.len())?;
        self.log.make_room(&mut tip.writer, total, hold).map_err(Shared::no_room)?;
        tip.timestamp = tip.timestamp.max(now);
        let end = tip.writer.at + total;
        let mut queue_offset = if queued { queue.next() } else { 0 };
        for (record, prepared) in records.iter().zip(&prepared) {
            all.push(self.place(&mut tip, record, prepared, queue_offset, end, hold));
            queue_offset += i64::from(queued);
        }
        // All at once: a reader sees the whole batch or nothing of it.
        let reserve = self.log.publish(&mut tip.writer);
        if queued {
            let codes = prepared.iter().map(|one| one.tags.code(tip.timestamp)).collect::<Vec<_>>();
            self.enqueue(&mut tip, &queue, all.iter().zip(codes));
            for (prepared, appended) in prepared.iter().zip(&all) {
                self.hold(&mut tip, prepared, appended, prepared.tags.code(appended.store_timestamp));
            }
        }
        drop(tip);
        self.after_append(reserve);
        for (prepared, appended) in prepared.iter().zip(&all) {
            self.announce_now(prepared, appended, prepared.tags.code(appended.store_timestamp));
        }
        Ok(all)
    }
}
