//! Consume queues: for each topic and queue id the places of its records in order (`ConsumeQueue`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

mod files;
mod load;
mod table;

pub(crate) use files::{QueueFiles, WriteError, Written};
pub(crate) use load::Lost;
pub(crate) use table::QueueTable;

/// Bytes of a unit.
pub(crate) const UNIT_SIZE: u64 = 20;
/// Size field of a unit that stands for offsets which the queue never had.
pub(crate) const BLANK_SIZE: i32 = i32::MAX;

/// A consume queue unit as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) physical_offset: i64,
    pub(crate) size: i32,
    pub(crate) tags_code: i64,
}

impl Unit {
    /// Fills the offsets before the first record of a queue whose numbering does not begin at 0.
    pub(crate) const BLANK: Unit = Unit { physical_offset: 0, size: BLANK_SIZE, tags_code: 0 };

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.physical_offset.to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&self.tags_code.to_be_bytes());
    }

    pub(crate) fn decode(bytes: &[u8; UNIT_SIZE as usize]) -> Unit {
        let [a, b, c, d, e, f, g, h, i, j, k, l, tags @ ..] = *bytes;
        Unit {
            physical_offset: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            size: i32::from_be_bytes([i, j, k, l]),
            tags_code: i64::from_be_bytes(tags),
        }
    }

    /// Whether something was written here (`ConsumeQueue.recover`).
    pub(crate) fn is_written(&self) -> bool {
        self.physical_offset >= 0 && self.size > 0
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.size == BLANK_SIZE
    }

    /// End of the record in the log.
    pub(crate) fn end(&self) -> u64 {
        u64::try_from(self.physical_offset.saturating_add(i64::from(self.size))).unwrap_or(0)
    }
}

/// What of a queue is not in its files yet, and where its numbering stands.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Queue offset of the first unit in `units`.
    base: i64,
    units: VecDeque<Unit>,
    /// Whether the queue is on the list of those that must be written.
    pub(crate) listed: bool,
}

impl Tail {
    /// The queue offset that the next record gets.
    pub(crate) fn next(&self) -> i64 {
        self.base + i64::try_from(self.units.len()).unwrap_or(i64::MAX)
    }

    /// First queue offset that is not in the files.
    pub(crate) fn base(&self) -> i64 {
        self.base
    }

    pub(crate) fn push(&mut self, unit: Unit) {
        self.units.push_back(unit);
    }

    /// Units in memory from a queue offset on, in order.
    pub(crate) fn from(&self, offset: i64) -> impl Iterator<Item = &Unit> {
        let skip = usize::try_from(offset - self.base).unwrap_or(0).min(self.units.len());
        self.units.range(skip..)
    }

    /// First queue offset whose record does not end at or before `end`.
    fn visible(&self, end: u64) -> i64 {
        let seen = self.units.partition_point(|unit| unit.end() <= end);
        self.base + i64::try_from(seen).unwrap_or(i64::MAX)
    }

    /// Lets go of the first `count` units, which are in the files now.
    fn written(&mut self, count: usize) {
        let count = count.min(self.units.len());
        self.units.drain(..count);
        self.base += i64::try_from(count).unwrap_or(0);
        if self.units.is_empty() && self.units.capacity() > 64 {
            self.units = VecDeque::new();
        }
    }

    /// Begins anew at a queue offset with nothing in memory.
    fn reset(&mut self, next: i64) {
        self.units = VecDeque::new();
        self.base = next;
    }
}

/// Which files a queue has, as queue offsets of their first units; both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRange {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// One consume queue.
///
/// Locks: `files` before `tail`; the append lock before `tail`. `files` is held while files are written or removed.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) topic: Arc<str>,
    pub(crate) id: i32,
    /// Tells it from all other queues of this process.
    pub(crate) key: u64,
    /// Whether tags codes are due times (`SCHEDULE_TOPIC_XXXX`).
    pub(crate) scheduled: bool,
    pub(crate) tail: Mutex<Tail>,
    pub(crate) files: Mutex<Option<FileRange>>,
    min: AtomicI64,
    next: AtomicI64,
}

impl Queue {
    pub(crate) fn new(topic: Arc<str>, id: i32) -> Queue {
        static KEYS: AtomicU64 = AtomicU64::new(0);
        Queue {
            scheduled: &*topic == mq_protocol::name::SCHEDULE_TOPIC,
            topic,
            id,
            key: KEYS.fetch_add(1, Ordering::Relaxed),
            tail: Mutex::default(),
            files: Mutex::default(),
            min: AtomicI64::new(0),
            next: AtomicI64::new(0),
        }
    }

    /// Adds the unit of the next record to a tail that the caller has locked; returns its queue offset.
    pub(crate) fn push(&self, tail: &mut Tail, unit: Unit) -> i64 {
        let offset = tail.next();
        tail.push(unit);
        self.next.store(offset + 1, Ordering::Release);
        offset
    }

    /// Smallest queue offset whose record is still there; equal to the next one if there is none.
    pub(crate) fn min(&self) -> i64 {
        self.min.load(Ordering::Acquire)
    }

    pub(crate) fn set_min(&self, min: i64) {
        self.min.store(min, Ordering::Release);
    }

    /// The queue offset that the next record gets.
    pub(crate) fn next(&self) -> i64 {
        self.next.load(Ordering::Acquire)
    }

    /// First queue offset that readers may not see yet, where they see the log up to `end`; `None`: all of it.
    pub(crate) fn max(&self, end: Option<u64>) -> i64 {
        match end {
            None => self.next(),
            Some(end) => self.tail.lock().visible(end),
        }
    }

    /// Sets the numbering of a queue that has nothing in memory.
    pub(crate) fn restart(&self, next: i64) {
        let mut tail = self.tail.lock();
        tail.reset(next);
        self.next.store(next, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_apaches_layout() {
        let mut out = Vec::new();
        Unit { physical_offset: 0, size: 190, tags_code: 2_598_919 }.encode(&mut out);
        Unit::BLANK.encode(&mut out);
        let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "0000000000000000000000be000000000027a807\
             00000000000000007fffffff0000000000000000"
        );
        let unit = Unit::decode(out.first_chunk().unwrap());
        assert_eq!(unit, Unit { physical_offset: 0, size: 190, tags_code: 2_598_919 });
        assert!(unit.is_written() && !unit.is_blank());
        assert!(!Unit::decode(&[0; 20]).is_written());
    }

    #[test]
    fn a_tail_numbers_shows_and_lets_go() {
        let queue = Queue::new("T".into(), 0);
        let mut tail = queue.tail.lock();
        for n in 0..5 {
            let unit = Unit { physical_offset: n * 100, size: 100, tags_code: n };
            assert_eq!(queue.push(&mut tail, unit), n);
        }
        assert_eq!(tail.visible(250), 2);
        assert_eq!(tail.visible(300), 3);
        tail.written(2);
        assert_eq!((tail.base(), tail.next()), (2, 5));
        assert_eq!(tail.from(3).map(|unit| unit.tags_code).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(tail.from(9).count(), 0);
        drop(tail);
        assert_eq!(queue.max(Some(350)), 3);
        assert_eq!(queue.max(None), 5);
    }
}
