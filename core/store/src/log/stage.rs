//! Records that wait in memory for the sync which writes them to the file together.
//!
//! With `SYNC_FLUSH` nobody sees a record before it is on the disk, so it need not be in the file before the sync begins. One
//! write for the whole group spares a page fault for each of its pages, and the sync the work of taking every page out of the
//! mapping again, which on a virtual machine costs more than the disk does.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::LogFile;
use crate::error::{IoContext as _, StoreError};

/// Bytes that wait at most; a longer record goes to the file at once.
const CAPACITY: usize = 1 << 20;
/// Zeros are written ahead up to multiples of this.
const AHEAD: u64 = 256 << 10;
/// Groups up to this size have zeros written ahead.
const SMALL_GROUP: usize = 64 << 10;
/// Bytes that are written while the group still gathers.
const MANY: usize = 64 << 10;

/// The last bytes of the log, as far as they are not in the file. Lives behind the append lock.
#[derive(Debug, Default)]
pub(super) struct Stage(Records);

/// Records one behind the other. Bodies that can stay where they came from are not copied.
#[derive(Debug, Default)]
struct Records {
    /// All but those bodies.
    bytes: Vec<u8>,
    used: usize,
    /// Bodies, each with the place in `bytes` before which it belongs.
    bodies: Vec<(usize, Bytes)>,
    /// Of all together.
    length: usize,
}

impl Records {
    fn take(&mut self, length: usize) -> Option<&mut [u8]> {
        let end = self.used.checked_add(length)?;
        if self.bytes.len() < end {
            self.bytes.resize(end.next_power_of_two(), 0);
        }
        let room = self.bytes.get_mut(self.used..end);
        self.used = end;
        self.length += length;
        room
    }

    /// Writes all to the file, where it ends at `end` of the log.
    fn write(&self, file: &LogFile, end: u64) -> io::Result<()> {
        let at = || end - self.length as u64 - file.start;
        if self.bodies.is_empty() {
            let bytes = self.bytes.get(..self.used).unwrap_or_default();
            return if bytes.is_empty() { Ok(()) } else { file.write_at(bytes, at()) };
        }
        let mut parts = Vec::with_capacity(2 * self.bodies.len() + 1);
        let mut from = 0;
        for (before, body) in &self.bodies {
            parts.push(IoSlice::new(self.bytes.get(from..*before).unwrap_or_default()));
            parts.push(IoSlice::new(body));
            from = *before;
        }
        parts.push(IoSlice::new(self.bytes.get(from..self.used).unwrap_or_default()));
        file.write_parts_at(&mut parts, at())
    }

    fn clear(&mut self) {
        self.bodies.clear();
        self.used = 0;
        self.length = 0;
    }
}

/// Where what waited is written to the file. Its lock is taken with the append lock held, and then kept without it: so whoever
/// holds both knows that everything before the stage is in the file.
#[derive(Debug, Default)]
pub(super) struct Outlet(Mutex<Out>);

#[derive(Debug, Default)]
struct Out {
    records: Records,
    /// Log position before which zeros were written ahead.
    padded: u64,
}

/// What waited and is on its way to the file.
#[must_use = "it is lost unless it is written"]
pub(crate) struct Staged<'a> {
    out: MutexGuard<'a, Out>,
    file: Arc<LogFile>,
    /// Where it ends in the log.
    end: u64,
}

impl Stage {
    /// Whether so many bytes can wait here at all.
    pub(super) fn can_hold(length: u64) -> bool {
        length <= CAPACITY as u64
    }

    /// Whether so many bytes more can wait now.
    pub(super) fn has_room(&self, length: u64) -> bool {
        self.0.length as u64 + length <= CAPACITY as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.length == 0
    }

    /// Whether so much waits that it should be written before the group is complete.
    pub(super) fn is_long(&self) -> bool {
        self.0.length >= MANY
    }

    /// Room for the next bytes, which wait from now on; `None` if there is not enough.
    pub(super) fn take(&mut self, length: u64) -> Option<&mut [u8]> {
        if !self.has_room(length) {
            return None;
        }
        self.0.take(usize::try_from(length).ok()?)
    }

    /// Takes a record of `length` bytes of which `encode` writes all but the body, and returns before which of these bytes
    /// that belongs; `false` if there is not enough room.
    pub(super) fn take_around(
        &mut self,
        body: Bytes,
        length: u64,
        encode: impl FnOnce(&mut &mut [u8]) -> usize,
    ) -> bool {
        let start = self.0.used;
        let around = usize::try_from(length).ok().and_then(|length| length.checked_sub(body.len()));
        let room = around.filter(|_| self.has_room(length)).and_then(|around| self.0.take(around));
        let Some(mut room) = room else { return false };
        let before = start + encode(&mut room);
        self.0.length += body.len();
        self.0.bodies.push((before, body));
        true
    }

    /// Writes all that waits to the file, where it ends at `end` of the log, behind what is on its way already.
    ///
    /// On an error it goes on waiting.
    pub(super) fn write_out(&mut self, outlet: &Outlet, file: &LogFile, end: u64) -> io::Result<()> {
        let _others_are_done = outlet.0.lock();
        self.0.write(file, end)?;
        self.0.clear();
        Ok(())
    }

    /// Takes all that waits, to be written without the append lock.
    pub(super) fn take_all<'a>(&mut self, outlet: &'a Outlet, file: &Arc<LogFile>, end: u64) -> Staged<'a> {
        let mut out = outlet.0.lock();
        out.records.clear();
        std::mem::swap(&mut out.records, &mut self.0);
        Staged { out, file: Arc::clone(file), end }
    }
}

impl Staged<'_> {
    /// Writes it to the file.
    ///
    /// # Errors
    /// The disk refuses. It is lost then, so no sync may succeed any more.
    pub(crate) fn write(&mut self) -> Result<(), StoreError> {
        let written = self.out.records.write(&self.file, self.end);
        // They hold buffers of connections.
        self.out.records.bodies.clear();
        written.context("write to", self.file.path())
    }

    /// Lets the disk begin with it; a hint.
    pub(crate) fn begin_sync(&self) {
        let length = self.out.records.length as u64;
        self.file.begin_sync(self.end - length - self.file.start, length);
    }

    /// Writes zeros behind a small group, so that the next syncs find blocks that were written before.
    ///
    /// The first write of a reserved block changes the file system's own records, and a sync must wait for their journal too,
    /// which takes longer than the sync of a small group. What stands there reads as zeros already, so nothing changes, and
    /// nobody else writes there while the outlet is locked. Only for speed: a disk that refuses this will refuse the sync.
    pub(crate) fn pad(&mut self) {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        if self.out.records.length > SMALL_GROUP || self.end <= self.out.padded {
            return;
        }
        let mut at = self.end - self.file.start;
        let to = (at + 1).next_multiple_of(AHEAD).min(self.file.reserved());
        while at < to {
            let piece = usize::try_from(to - at).unwrap_or(usize::MAX).min(ZEROS.len());
            if self.file.write_at(ZEROS.get(..piece).unwrap_or_default(), at).is_err() {
                return;
            }
            at += piece as u64;
        }
        self.out.padded = self.file.start + to;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mq_protocol::message::NewRecord;

    use super::*;
    use crate::fs::{Call, SimulatedFiles};
    use crate::{AppendError, FlushDisk, Store, StoreConfig};

    const EIO: i32 = 5;
    const PROPERTIES: &str = "NAME\u{1}value\u{2}";

    fn config(files: &SimulatedFiles) -> StoreConfig {
        StoreConfig {
            commit_log_file_size: 4 << 20,
            flush_disk: FlushDisk::Sync,
            file_system: Arc::new(files.clone()),
            delete_when: Vec::new(),
            ..StoreConfig::at("/store")
        }
    }

    fn record(body: &[u8]) -> NewRecord<'_> {
        let host = std::net::SocketAddr::from(([127, 0, 0, 1], 10911));
        NewRecord { properties: PROPERTIES, ..NewRecord::new("T", 0, host, body) }
    }

    /// What a process finds that starts after this one was killed.
    fn found(store: Store, files: &SimulatedFiles) -> usize {
        store.kill();
        drop(store);
        let store = Store::recover(config(files)).unwrap();
        let entries = store.queue_entries("T", 0, 0, usize::MAX >> 1);
        assert_eq!(entries.len(), usize::try_from(store.next_offset("T", 0)).unwrap());
        for entry in &entries {
            let record = store.shared().log.record(entry.physical_offset).unwrap().unwrap();
            assert_eq!(record.properties(), PROPERTIES);
        }
        store.close().unwrap();
        entries.len()
    }

    #[test]
    fn what_is_told_at_once_comes_behind_what_waits_or_not_at_all() {
        let files = SimulatedFiles::new(1, Path::new("/store"));
        let store = Store::recover(config(&files)).unwrap();
        store.append_until_flushed(&record(b"waits"), &Bytes::new()).unwrap();
        files.refuse(Call::Write, "commitlog", EIO, 1);
        let error = store.append(&record(b"refused")).unwrap_err();
        assert!(matches!(error, AppendError::NoSpace(_)), "{error}");
        assert_eq!(store.append(&record(b"stored")).unwrap().queue_offset, 1);
        assert_eq!(found(store, &files), 2);
    }

    #[test]
    fn long_records_and_more_than_fits_go_to_the_file() {
        let files = SimulatedFiles::new(2, Path::new("/store"));
        let store = Store::recover(config(&files)).unwrap();
        let long = Bytes::from(vec![1; CAPACITY]);
        store.append_until_flushed(&record(b"waits"), &Bytes::new()).unwrap();
        store.append_until_flushed(&record(&long), &long).unwrap();
        // Does not fit behind the first, which so goes to the file before it.
        let most = Bytes::from(vec![2; CAPACITY / 2 + 1]);
        store.append_until_flushed(&record(&most), &most).unwrap();
        store.append_until_flushed(&record(&most), &most).unwrap();
        assert_eq!(found(store, &files), 3, "the last one waits, and is lost");
    }

    #[test]
    fn bodies_that_are_kept_and_bodies_that_are_copied_stand_between_their_own_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig {
            commit_log_file_size: 4 << 20,
            flush_disk: FlushDisk::Sync,
            ..StoreConfig::at(dir.path())
        };
        let store = Store::recover(config).unwrap();
        let whole = Bytes::from_iter((0..2000_u32).map(|n| n as u8));
        let body = |n: usize| whole.slice(n % 700..n);
        // More of them than one call to the system takes, also empty ones.
        for n in 0..1500 {
            let kept = if n % 5 == 0 { Bytes::new() } else { whole.clone() };
            store.append_until_flushed(&record(&body(n)), &kept).unwrap();
            if n % 700 == 0 {
                store.sync().unwrap();
                assert!(whole.is_unique(), "{n}: nothing keeps it");
            }
        }
        store.sync().unwrap();
        for (n, entry) in store.queue_entries("T", 0, 0, 1500).into_iter().enumerate() {
            let record = store.shared().log.record(entry.physical_offset).unwrap().unwrap();
            assert_eq!((record.body(), record.properties()), (body(n), PROPERTIES), "{n}");
        }
        store.close().unwrap();
    }

    #[test]
    fn zeros_are_written_ahead_of_small_groups_and_cover_nothing() {
        let files = SimulatedFiles::new(3, Path::new("/store"));
        let store = Store::recover(config(&files)).unwrap();
        store.append(&record(b"first")).unwrap();
        // Only what is reserved is written ahead.
        store.shared().log.prepare().unwrap();
        for n in 0..600 {
            let body = Bytes::from_static(&[3; 1000]);
            if n % 3 == 0 {
                store.append(&record(&body)).unwrap();
            } else {
                store.append_until_flushed(&record(&body), &body).unwrap();
            }
            if n % 5 == 0 {
                store.sync().unwrap();
            }
        }
        store.sync().unwrap();
        assert_eq!(found(store, &files), 601);
    }
}
