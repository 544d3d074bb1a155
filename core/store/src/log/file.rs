//! One commit log file: fixed size, mapped, with disk blocks reserved before they are written.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::config::file_name;
use crate::fs::{File, FileSystem, Mapping, OpenMode};

/// Bytes that may be read from a file before its pages are taken out of this process again.
const READ_BEFORE_RELEASE: u64 = 32 << 20;

/// A commit log file. `start` is the log position of its first byte.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) start: u64,
    pub(crate) size: u64,
    path: PathBuf,
    fs: Arc<dyn FileSystem>,
    /// Open while there may be something to sync or reserve; the mapping does not need it.
    file: Mutex<Option<Arc<dyn File>>>,
    map: Arc<Mapping>,
    whole: Bytes,
    /// Bytes from the file's start that have disk blocks. Only grows.
    reserved: AtomicU64,
    reserving: Mutex<()>,
    read: AtomicU64,
}

impl LogFile {
    /// Makes an empty file of its full size and makes its name durable.
    pub(crate) fn create(fs: &Arc<dyn FileSystem>, dir: &Path, start: u64, size: u64) -> io::Result<LogFile> {
        let path = dir.join(file_name(start));
        // A leftover of an earlier attempt is emptied, so that no stale record can be taken for a new one.
        let file = fs.open(&path, OpenMode::Truncate)?;
        file.set_size(size)?;
        // The size first: a name that outlives it would be a file of another size, which nobody may open.
        file.sync()?;
        fs.sync_dir(dir)?;
        LogFile::mapped(fs, path, file, start, size, Some(0))
    }

    /// Opens a file that has its full size.
    ///
    /// `written` is where its content ends; behind it blocks are reserved anew.
    pub(crate) fn open(
        fs: &Arc<dyn FileSystem>,
        dir: &Path,
        start: u64,
        size: u64,
        written: Option<u64>,
    ) -> io::Result<LogFile> {
        let path = dir.join(file_name(start));
        let mode = if written.is_some() { OpenMode::Write } else { OpenMode::Read };
        let file = fs.open(&path, mode)?;
        LogFile::mapped(fs, path, file, start, size, written)
    }

    fn mapped(
        fs: &Arc<dyn FileSystem>,
        path: PathBuf,
        file: Arc<dyn File>,
        start: u64,
        size: u64,
        written: Option<u64>,
    ) -> io::Result<LogFile> {
        let map = Arc::new(file.map(written.is_some())?);
        if map.size() as u64 != size {
            return Err(io::Error::other(format!(
                "the file has {} bytes where it must have {size}",
                map.size()
            )));
        }
        Ok(LogFile {
            start,
            size,
            path,
            fs: Arc::clone(fs),
            whole: map.bytes(),
            map,
            file: Mutex::new(written.map(|_| file)),
            reserved: AtomicU64::new(written.unwrap_or(size)),
            reserving: Mutex::new(()),
            read: AtomicU64::new(0),
        })
    }

    fn file(&self) -> io::Result<Arc<dyn File>> {
        if let Some(file) = &*self.file.lock() {
            return Ok(Arc::clone(file));
        }
        self.fs.open(&self.path, OpenMode::Read)
    }

    /// Closes the descriptor of a file to which nothing is written any more; it stays mapped.
    pub(crate) fn close(&self) {
        self.file.lock().take();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// First log position behind the file.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.size
    }

    /// Bytes from the file's start that have disk blocks.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    /// Reserves disk blocks up to `to`, at most to the end of the file.
    pub(crate) fn reserve(&self, to: u64) -> io::Result<()> {
        let to = to.min(self.size);
        if self.reserved() >= to {
            return Ok(());
        }
        let _one = self.reserving.lock();
        let from = self.reserved();
        if from < to {
            self.file()?.reserve(from, to - from)?;
            self.reserved.store(to, Ordering::Release);
        }
        Ok(())
    }

    /// A zero-copy view of bytes of the file; `None` if they are not inside it.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Option<Bytes> {
        if range.start > range.end || range.end > self.size {
            return None;
        }
        Some(self.whole.slice(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?))
    }

    /// Notes that bytes up to `at` in the file were read; now and then what lies before leaves this process's memory.
    pub(crate) fn note_read(&self, at: u64, length: u64) {
        if self.read.fetch_add(length, Ordering::Relaxed) + length > READ_BEFORE_RELEASE {
            self.read.store(0, Ordering::Relaxed);
            self.release(0..at);
        }
    }

    /// The bytes to write a record to; `None` if they are not inside the file or have no disk blocks.
    ///
    /// # Safety
    /// The caller holds the append lock, and the range lies behind the published end of the log.
    #[allow(clippy::mut_from_ref, reason = "the mapping is shared memory; the append lock guards the range")]
    pub(crate) unsafe fn writable(&self, range: Range<u64>) -> Option<&mut [u8]> {
        if range.end > self.reserved() {
            return None;
        }
        let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        // SAFETY: blocks are reserved (checked); only the holder of the append lock writes, and nobody reads behind the
        // published end (caller).
        unsafe { self.map.slice_mut(range) }
    }

    /// Writes bytes behind what is published, for which blocks are reserved. The caller holds the append lock.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file()?.write_at(bytes, at)
    }

    /// As [`write_at`](LogFile::write_at), of parts one behind the other.
    pub(crate) fn write_parts_at(&self, parts: &mut [IoSlice<'_>], at: u64) -> io::Result<()> {
        self.file()?.write_parts_at(parts, at)
    }

    /// Lets the disk begin to write bytes of the file; a hint.
    pub(crate) fn begin_sync(&self, at: u64, length: u64) {
        if let Ok(file) = self.file() {
            file.begin_sync(at, length);
        }
    }

    /// Whether bytes of the file are in the page cache.
    pub(crate) fn is_cached(&self, range: Range<u64>) -> bool {
        match (usize::try_from(range.start), usize::try_from(range.end)) {
            (Ok(start), Ok(end)) => self.map.is_cached(start..end),
            _ => false,
        }
    }

    /// Brings bytes of the file into memory, for which it may wait for the disk; an error if that cannot give them.
    ///
    /// Without this a touch of what is not in the page cache might end the process (see [`Mapping`]).
    pub(crate) fn reach(&self, range: Range<u64>) -> io::Result<()> {
        let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match self.map.reach(start..end) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.read_through(range),
            other => other,
        }
    }

    /// Reads bytes of the file and forgets them: they are in the page cache then.
    #[cold]
    fn read_through(&self, range: Range<u64>) -> io::Result<()> {
        const PIECE: u64 = 64 << 10;
        let (file, mut piece) = (self.file()?, vec![0; 64 << 10]);
        let mut at = range.start;
        while at < range.end.min(self.size) {
            let length = PIECE.min(range.end.min(self.size) - at);
            let out = piece.get_mut(..usize::try_from(length).unwrap_or(0)).unwrap_or_default();
            file.read_at(out, at)?;
            at += length;
        }
        Ok(())
    }

    /// Brings pages in that are written to next; a hint. The range has disk blocks.
    pub(crate) fn populate(&self, range: Range<u64>) {
        if let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) {
            self.map.populate(start..end);
        }
    }

    /// Takes pages out of this process that lie in a range of the file.
    pub(crate) fn release(&self, range: Range<u64>) {
        if let (Ok(start), Ok(end)) = (usize::try_from(range.start), usize::try_from(range.end)) {
            self.map.release(start..end);
        }
    }

    /// Makes all that was written to the file durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file()?.sync()
    }

    /// Writes bytes of the file once more, as they are.
    ///
    /// After a failed sync the kernel may take pages for clean that the disk does not have; written again they are not.
    pub(crate) fn rewrite(&self, range: Range<u64>) -> io::Result<()> {
        const PIECE: u64 = 1 << 20;
        let file = self.fs.open(&self.path, OpenMode::Write)?;
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + PIECE);
            self.reach(at..end)?;
            // A copy: the kernel must not read from the mapping of the page that it is writing to.
            let bytes = self.bytes(at..end).map(|bytes| bytes.to_vec()).unwrap_or_default();
            file.write_at(&bytes, at)?;
            at = end;
        }
        Ok(())
    }

    /// Where, at or behind `at` in the file, something may have been written.
    pub(crate) fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        self.file()?.next_data(at)
    }

    /// Makes everything from `from` on read as zeros; `false` if it did already.
    pub(crate) fn zero_from(&self, from: u64) -> io::Result<bool> {
        const BLOCK: u64 = 4096;
        let file = self.file()?;
        let block = from.next_multiple_of(BLOCK).min(self.size);
        self.reach(from..block)?;
        let partial = self.bytes(from..block).unwrap_or_default();
        if partial.iter().all(|byte| *byte == 0) && (block == self.size || file.next_data(block)?.is_none()) {
            return Ok(false);
        }
        file.zero(from, self.size.saturating_sub(from))?;
        Ok(true)
    }
}
