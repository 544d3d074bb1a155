//! One index file: a header, hash slots and entries chained by slot (`IndexFile`, `IndexHeader`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::fs::{File, FileSystem, Mapping, OpenMode};

const HEADER: u64 = 40;
const SLOT: u64 = 4;
const ENTRY: u64 = 20;
const PAGE: usize = 4096;
/// Entries whose disk blocks are reserved together.
const RESERVED_ENTRIES: u64 = 64 << 10;

/// The header's fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) begin_timestamp: i64,
    pub(crate) end_timestamp: i64,
    pub(crate) begin_phy: i64,
    /// Position of the last indexed record.
    pub(crate) end_phy: i64,
    /// Slots in use.
    pub(crate) slot_count: i32,
    /// Number of the next entry; the first is 1.
    pub(crate) count: i32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        let fields = [self.begin_timestamp, self.end_timestamp, self.begin_phy, self.end_phy];
        for (out, field) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
            *out = field.to_be_bytes();
        }
        bytes[32..36].copy_from_slice(&self.slot_count.to_be_bytes());
        bytes[36..].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER as usize]) -> Header {
        let long = |n: usize| bytes.as_chunks::<8>().0.get(n).map_or(0, |field| i64::from_be_bytes(*field));
        let int = |n: usize| bytes.as_chunks::<4>().0.get(n).map_or(0, |field| i32::from_be_bytes(*field));
        Header {
            begin_timestamp: long(0),
            end_timestamp: long(1),
            begin_phy: long(2),
            end_phy: long(3),
            slot_count: int(8),
            count: int(9).max(1),
        }
    }
}

/// An index file. One thread adds, many ask.
#[derive(Debug)]
pub(super) struct IndexFile {
    pub(super) path: PathBuf,
    slots: u64,
    entries: u64,
    file: Arc<dyn File>,
    map: Mapping,
    /// Pages that were brought into memory since they were last released, as bits.
    reached: Vec<AtomicU64>,
    /// Guards the mapped bytes as well.
    state: RwLock<State>,
}

fn pages_of(map: &Mapping) -> Vec<AtomicU64> {
    (0..map.size().div_ceil(64 * PAGE)).map(|_| AtomicU64::new(0)).collect()
}

#[derive(Debug)]
struct State {
    header: Header,
    /// Bytes from the file's start that have disk blocks.
    reserved: u64,
}

/// What an entry says about one key of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) hash: i32,
    pub(super) phy: i64,
    pub(super) store_timestamp: i64,
}

impl IndexFile {
    fn size(slots: u64, entries: u64) -> u64 {
        HEADER + SLOT * slots + ENTRY * entries
    }

    /// Makes an empty file that goes on where the file before it ended.
    pub(super) fn create(
        fs: &dyn FileSystem,
        path: PathBuf,
        slots: u64,
        entries: u64,
        before: Option<Header>,
    ) -> io::Result<IndexFile> {
        let file = fs.open(&path, OpenMode::Truncate)?;
        file.set_size(IndexFile::size(slots, entries))?;
        let reserved = HEADER + SLOT * slots;
        file.reserve(0, reserved)?;
        let mut header = Header { count: 1, ..Header::default() };
        if let Some(before) = before {
            header.begin_phy = before.end_phy;
            header.end_phy = before.end_phy;
            header.begin_timestamp = before.end_timestamp;
            header.end_timestamp = before.end_timestamp;
        }
        let map = file.map(true)?;
        let (reached, state) = (pages_of(&map), RwLock::new(State { header, reserved }));
        let index = IndexFile { path, slots, entries, file, map, reached, state };
        index.adding().save();
        // The size first: a name that outlives it would be a file of another size.
        index.sync()?;
        Ok(index)
    }

    /// Opens a file; an error if it cannot be one of this size.
    pub(super) fn open(fs: &dyn FileSystem, path: &Path, slots: u64, entries: u64) -> io::Result<IndexFile> {
        let file = fs.open(path, OpenMode::Write)?;
        let size = file.size()?;
        if size != IndexFile::size(slots, entries) {
            let what = format!(
                "it has {size} bytes, which does not fit {slots} slots (maxHashSlotNum) and {entries} entries (maxIndexNum)"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let mut bytes = [0; HEADER as usize];
        file.read_at(&mut bytes, 0)?;
        let header = Header::decode(&bytes);
        let header = if u64::try_from(header.count).is_ok_and(|count| count <= entries) {
            header
        } else {
            // Out of reach; `doubt` sees it.
            Header { count: 1, slot_count: 1, ..header }
        };
        // Slots may be written anywhere, entries go on behind the last.
        file.reserve(0, HEADER + SLOT * slots)?;
        let reserved = HEADER + SLOT * slots + ENTRY * u64::try_from(header.count).unwrap_or(0);
        let map = file.map(true)?;
        let (reached, state) = (pages_of(&map), RwLock::new(State { header, reserved }));
        Ok(IndexFile { path: path.to_path_buf(), slots, entries, file, map, reached, state })
    }

    /// Brings bytes that lie in one page, or in two, into memory; the first touch of a page may wait for the disk.
    fn reach(&self, at: u64, length: usize) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        for page in start / PAGE..start.saturating_add(length).div_ceil(PAGE) {
            let Some(bits) = self.reached.get(page / 64) else { break };
            let bit = 1 << (page % 64);
            if bits.load(Ordering::Relaxed) & bit == 0 {
                self.touch(page * PAGE..(page + 1) * PAGE)?;
                bits.fetch_or(bit, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    #[cold]
    fn touch(&self, range: std::ops::Range<usize>) -> io::Result<()> {
        match self.map.reach(range.clone()) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                let length = range.end.min(self.map.size()).saturating_sub(range.start);
                self.file.read_at(&mut vec![0; length], range.start as u64)
            }
            other => other,
        }
    }

    pub(super) fn header(&self) -> Header {
        self.state.read().header
    }

    /// Whether no key fits any more.
    pub(super) fn is_full(&self) -> bool {
        u64::try_from(self.header().count).is_ok_and(|count| count >= self.entries)
    }

    /// Whether every chain begins at an entry that the header counts.
    ///
    /// One that does not was changed after the header was written: the file is torn.
    pub(super) fn is_whole(&self) -> io::Result<bool> {
        let state = self.state.read();
        let header = state.header;
        let bound = usize::try_from(HEADER + SLOT * self.slots).unwrap_or(usize::MAX);
        self.touch(0..bound)?;
        // SAFETY: writers hold the lock of `state` exclusively, and it is held here.
        let slots = unsafe { self.map.slice(usize::try_from(HEADER).unwrap_or(0)..bound) };
        let counted = |slot: &[u8; 4]| (0..header.count.max(1)).contains(&i32::from_be_bytes(*slot));
        Ok(slots.as_chunks::<4>().0.iter().all(counted))
    }

    /// How many entries at the end are of this record.
    pub(super) fn last_of(&self, phy: i64) -> io::Result<usize> {
        let state = self.state.read();
        let mut count = 0;
        for number in (1..state.header.count).rev() {
            let entry: [u8; ENTRY as usize] = self.get(&state, self.entry_at(number))?;
            if entry[4..12] != phy.to_be_bytes() {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.header().count - 1).unwrap_or(0)
    }

    /// Whether it holds no key.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the header can be true.
    pub(super) fn is_plausible(&self) -> bool {
        let header = self.header();
        header.begin_phy >= 0
            && header.end_phy >= header.begin_phy
            && header.end_timestamp >= header.begin_timestamp
            && (0..header.count).contains(&header.slot_count)
    }

    /// How many of the first `entries` entries are of records before `end` in the log.
    pub(super) fn before(&self, entries: usize, end: u64) -> io::Result<usize> {
        for number in (1..=entries).rev() {
            if self.position_of(number)?.is_some_and(|at| at < end) {
                return Ok(number);
            }
        }
        Ok(0)
    }

    /// Position of the record of an entry; `None` if there is no such entry.
    pub(super) fn position_of(&self, number: usize) -> io::Result<Option<u64>> {
        let state = self.state.read();
        let number = i32::try_from(number).ok().filter(|_| number != 0 && (number as u64) < self.entries);
        let Some(number) = number else { return Ok(None) };
        let entry: [u8; ENTRY as usize] = self.get(&state, self.entry_at(number))?;
        let [_, _, _, _, a, b, c, d, e, f, g, h, ..] = entry;
        Ok(u64::try_from(i64::from_be_bytes([a, b, c, d, e, f, g, h])).ok())
    }

    /// Keeps the first `entries` entries, which are whole, and makes everything else follow from them.
    ///
    /// `time` is when the record of the last of them was stored.
    pub(super) fn cut(&self, entries: usize, time: i64) -> io::Result<()> {
        let end_phy = self.position_of(entries)?.and_then(|at| i64::try_from(at).ok()).unwrap_or(0);
        let mut state = self.state.write();
        let mut slots = vec![0_i32; usize::try_from(self.slots).unwrap_or(0)];
        let count = i32::try_from(entries + 1).unwrap_or(i32::MAX);
        for number in 1..count {
            let [a, b, c, d, ..] = self.get::<{ ENTRY as usize }>(&state, self.entry_at(number))?;
            let slot = u64::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0) % self.slots;
            if let Some(slot) = slots.get_mut(usize::try_from(slot).unwrap_or(usize::MAX)) {
                *slot = number;
            }
        }
        let used = slots.iter().filter(|slot| **slot > 0).count();
        let bytes: Vec<u8> = slots.iter().flat_map(|slot| slot.to_be_bytes()).collect();
        self.file.write_at(&bytes, HEADER)?;
        let end = self.entry_at(count);
        self.file.zero(end, IndexFile::size(self.slots, self.entries) - end)?;
        let header = &mut state.header;
        header.count = count;
        header.slot_count = i32::try_from(used).unwrap_or(i32::MAX);
        header.end_phy = end_phy;
        header.end_timestamp = time;
        state.reserved = end;
        self.file.write_at(&state.header.encode(), 0)
    }

    /// Locks the file for adding keys.
    pub(super) fn adding(&self) -> Adding<'_> {
        Adding { file: self, state: self.state.write() }
    }

    fn entry_at(&self, number: i32) -> u64 {
        HEADER + SLOT * self.slots + ENTRY * u64::try_from(number).unwrap_or(0)
    }

    fn slot_at(&self, hash: i32) -> u64 {
        HEADER + SLOT * (u64::try_from(hash).unwrap_or(0) % self.slots)
    }

    /// Bytes of the file, copied. The lock is held, for reading or writing.
    fn get<const N: usize>(&self, _held: &State, at: u64) -> io::Result<[u8; N]> {
        self.reach(at, N)?;
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        // SAFETY: writers hold the lock of `state` exclusively, and somebody holds it now (`_held`).
        let bytes = unsafe { self.map.slice(start..start.saturating_add(N)) };
        Ok(bytes.first_chunk().copied().unwrap_or([0; N]))
    }

    /// Positions of records that may have a key with this hash, newest first, at most `max`.
    ///
    /// Times are stored in whole seconds after the file's first, so the range is taken a second wider on each side.
    pub(super) fn find(
        &self,
        hash: i32,
        begin: i64,
        end: i64,
        max: usize,
        out: &mut Vec<i64>,
    ) -> io::Result<()> {
        let state = self.state.read();
        let header = state.header;
        let mut number = i32::from_be_bytes(self.get(&state, self.slot_at(hash))?);
        while out.len() < max && number > 0 && number < header.count {
            let entry: [u8; ENTRY as usize] = self.get(&state, self.entry_at(number))?;
            let int =
                |n: usize| entry.as_chunks::<4>().0.get(n).map_or(0, |field| i32::from_be_bytes(*field));
            let phy = i64::from_be_bytes([
                entry[4], entry[5], entry[6], entry[7], entry[8], entry[9], entry[10], entry[11],
            ]);
            let (seconds, previous) = (int(3), int(4));
            if seconds < 0 {
                break;
            }
            // The first entry's time counts from the end of the file before it, the others' from this file's begin.
            let time = header.begin_timestamp.saturating_add(i64::from(seconds) * 1000);
            let near = number > 1;
            if int(0) == hash
                && (!near || (time.saturating_add(1000) >= begin && time <= end.saturating_add(1000)))
            {
                out.push(phy);
            }
            if previous >= number || (near && time.saturating_add(1000) < begin) {
                break;
            }
            number = previous;
        }
        Ok(())
    }

    /// Makes the file durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    /// Takes the file's pages out of this process.
    pub(super) fn release(&self) {
        let _nobody_touches = self.state.write();
        self.reached.iter().for_each(|bits| bits.store(0, Ordering::Relaxed));
        self.map.release(0..self.map.size());
    }
}

/// A file to which keys are being added; queries wait meanwhile.
pub(super) struct Adding<'a> {
    file: &'a IndexFile,
    state: parking_lot::RwLockWriteGuard<'a, State>,
}

impl Adding<'_> {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        // SAFETY: the lock of `state` is held exclusively, and the blocks are reserved: header and slots when the file was
        // made or opened, entries in `add`.
        if let Some(out) = unsafe { self.file.map.slice_mut(start..start.saturating_add(bytes.len())) } {
            out.copy_from_slice(bytes);
        }
    }

    /// Adds a key; `false` if the file is full.
    ///
    /// # Errors
    /// The disk has no room for further entries, or cannot give a part of the file; nothing is added.
    pub(super) fn add(&mut self, key: Key) -> io::Result<bool> {
        let header = self.state.header;
        if u64::try_from(header.count).is_ok_and(|count| count >= self.file.entries) {
            return Ok(false);
        }
        let at = self.file.entry_at(header.count);
        if at + ENTRY > self.state.reserved {
            let size = IndexFile::size(self.file.slots, self.file.entries);
            let to = (at + ENTRY * RESERVED_ENTRIES).min(size);
            self.file.file.reserve(self.state.reserved, to - self.state.reserved)?;
            self.state.reserved = to;
        }
        let slot_at = self.file.slot_at(key.hash);
        // All that is written below, the header included.
        self.file.reach(0, usize::try_from(HEADER).unwrap_or(0))?;
        self.file.reach(at, usize::try_from(ENTRY).unwrap_or(0))?;
        let mut previous = i32::from_be_bytes(self.file.get(&self.state, slot_at)?);
        if previous <= 0 || previous > header.count {
            previous = 0;
        }
        let seconds = if header.begin_timestamp > 0 {
            (key.store_timestamp.saturating_sub(header.begin_timestamp) / 1000).clamp(0, i64::from(i32::MAX))
        } else {
            0
        };
        let mut entry = [0; ENTRY as usize];
        entry[..4].copy_from_slice(&key.hash.to_be_bytes());
        entry[4..12].copy_from_slice(&key.phy.to_be_bytes());
        entry[12..16].copy_from_slice(&i32::try_from(seconds).unwrap_or(i32::MAX).to_be_bytes());
        entry[16..].copy_from_slice(&previous.to_be_bytes());
        self.put(at, &entry);
        self.put(slot_at, &header.count.to_be_bytes());
        let header = &mut self.state.header;
        if header.count <= 1 {
            header.begin_phy = key.phy;
            header.begin_timestamp = key.store_timestamp;
        }
        header.slot_count += i32::from(previous == 0);
        header.count += 1;
        header.end_phy = key.phy;
        header.end_timestamp = key.store_timestamp;
        Ok(true)
    }

    /// Writes the header, without which added keys do not count after a restart.
    pub(super) fn save(&mut self) {
        let header = self.state.header.encode();
        self.put(0, &header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFileSystem;
    use crate::index::{Entry, entry_hash};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn entries_have_apaches_layout() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("20231114221320123");
        let index = IndexFile::create(&RealFileSystem, path.clone(), 5_000_000, 20_000_000, None).unwrap();
        let store_timestamp = 1_700_000_000_123;
        let unique = entry_hash("TopicTest", Entry::Key("7F00000100002A9F4C6E18B4AAC20000"));
        let key = entry_hash("TopicTest", Entry::Key("KEY1"));
        assert_eq!((unique, key), (471_290_516, 1_656_969_516));
        let mut adding = index.adding();
        for hash in [unique, key] {
            assert!(adding.add(Key { hash, phy: 0, store_timestamp }).unwrap());
        }
        adding.save();
        drop(adding);
        index.sync().unwrap();
        let file = RealFileSystem.open(&path, OpenMode::Read).unwrap();
        assert_eq!(file.size().unwrap(), 420_000_040);
        let read = |at: u64, length: usize| {
            let mut bytes = vec![0; length];
            file.read_at(&mut bytes, at).unwrap();
            hex(&bytes)
        };
        assert_eq!(
            read(0, 40),
            "0000018bcfe5687b0000018bcfe5687b000000000000000000000000000000000000000200000003"
        );
        assert_eq!(read(5_162_104, 4), "00000001");
        assert_eq!(read(7_878_104, 4), "00000002");
        assert_eq!(read(20_000_060, 20), "1c17529400000000000000000000000000000000");
        assert_eq!(read(20_000_080, 20), "62c3592c00000000000000000000000000000000");
    }

    #[test]
    fn chains_are_followed_newest_first_within_the_time() {
        let dir = tempfile::tempdir().unwrap();
        let index = IndexFile::create(&RealFileSystem, dir.path().join("1"), 3, 10, None).unwrap();
        let mut adding = index.adding();
        for n in 0..9 {
            // Hashes 5 and 8 share a slot.
            let key = Key {
                hash: if n % 2 == 0 { 5 } else { 8 },
                phy: n * 100,
                store_timestamp: 10_000 + n * 5_000,
            };
            assert!(adding.add(key).unwrap(), "{n}");
        }
        assert!(!adding.add(Key { hash: 5, phy: 900, store_timestamp: 60_000 }).unwrap());
        adding.save();
        drop(adding);
        assert!(index.is_full());
        let find = |hash, begin, end, max| {
            let mut out = Vec::new();
            index.find(hash, begin, end, max, &mut out).unwrap();
            out
        };
        assert_eq!(find(5, 0, i64::MAX, 64), [800, 600, 400, 200, 0]);
        assert_eq!(find(8, 0, i64::MAX, 2), [700, 500]);
        assert_eq!(find(5, 20_000, 30_000, 64), [400, 200]);
        assert!(find(2, 0, i64::MAX, 64).is_empty());
        let again = IndexFile::open(&RealFileSystem, &dir.path().join("1"), 3, 10).unwrap();
        assert_eq!(again.header(), index.header());
        assert!(IndexFile::open(&RealFileSystem, &dir.path().join("1"), 4, 10).is_err());
    }
}
