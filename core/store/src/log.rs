//! The commit log: a row of files of one size in which records stand without gaps.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use mq_protocol::message::{MAGIC_BLANK, MessageRecord};
use parking_lot::{Mutex, RwLock};

use crate::config::{FlushDisk, StoreConfig, file_name, file_position};
use crate::error::{IoContext as _, StoreError};
use crate::fs::{FileSystem, create_dir_durably};

mod file;
mod pace;
mod stage;
pub(crate) mod walk;

pub(crate) use file::LogFile;
use pace::{Pace, STRETCH};
pub(crate) use stage::Staged;
use stage::{Outlet, Stage};

/// Bytes that a record must leave free at the end of its file for the blank (`END_FILE_MIN_BLANK_LENGTH`).
pub(crate) const MIN_BLANK: u64 = 8;

/// Why there is no room in the log.
#[derive(Debug)]
pub(crate) struct NoRoom(pub(crate) io::Error);

/// The files of the log and its published end.
#[derive(Debug)]
pub(crate) struct CommitLog {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    pub(crate) file_size: u64,
    reserve_ahead: u64,
    /// Whether records may wait in memory for the sync.
    staged: bool,
    outlet: Outlet,
    verify_prop_crc: bool,
    force_prop_crc: bool,
    files: RwLock<VecDeque<Arc<LogFile>>>,
    prepared: Mutex<Prepared>,
    /// The end when the reserving thread looked last.
    looked: AtomicU64,
    pace: Mutex<Pace>,
    /// End of the last complete record. Stored with release order after the record is written.
    end: AtomicU64,
}

/// The file after the last one, made before it is needed.
#[derive(Debug, Default)]
struct Prepared {
    next: Option<Arc<LogFile>>,
    /// Files that begin before this were made already and must not be made again.
    made: u64,
}

/// The writing end of the log, of which there is one; it lives behind the append lock.
#[derive(Debug, Default)]
pub(crate) struct LogWriter {
    /// Where the next record begins.
    pub(crate) at: u64,
    file: Option<Arc<LogFile>>,
    stage: Stage,
    /// Whether the records at hand go to the stage.
    staging: bool,
}

/// How long the bytes of a record may stay in the memory of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hold<'a> {
    /// Not at all: the sender may be told at once that it is stored.
    No,
    /// Until the sync that the sender waits for. Bodies that are parts of these bytes stay where they are.
    UntilSync(&'a Bytes),
}

impl Hold<'_> {
    /// The body as a part of the bytes that may be kept; `None` if it is none, and must be copied.
    pub(crate) fn body(self, body: &[u8]) -> Option<Bytes> {
        let Hold::UntilSync(whole) = self else { return None };
        let start = body.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        let end = start.checked_add(body.len()).filter(|end| *end <= whole.len())?;
        Some(whole.slice(start..end))
    }
}

impl LogWriter {
    /// Whether what is written now waits in memory.
    pub(crate) fn is_staging(&self) -> bool {
        self.staging
    }
}

impl CommitLog {
    /// Opens the files of a log for reading and checks their names and sizes as Apache does (`MappedFileQueue.load`).
    pub(crate) fn load(config: &StoreConfig) -> Result<CommitLog, StoreError> {
        let (fs, dir) = (Arc::clone(&config.file_system), config.commit_log_dir());
        let size = config.commit_log_file_size;
        create_dir_durably(&*fs, &dir).context("create directory", &dir)?;
        let mut entries = fs.list(&dir).context("list directory", &dir)?;
        entries.retain(|entry| !entry.directory);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if entries.last().is_some_and(|last| last.size == 0) {
            // Made but not yet sized when the process ended.
            let path = dir.join(entries.pop().map(|entry| entry.name).unwrap_or_default());
            fs.remove_file(&path).context("remove empty file", &path)?;
        }
        let mut files = VecDeque::with_capacity(entries.len() + 1);
        for entry in entries {
            let path = dir.join(&entry.name);
            let wrong = |what: String| StoreError::Layout { path: path.clone(), what };
            let start = file_position(&path).filter(|start| file_name(*start) == entry.name);
            let start = start.ok_or_else(|| {
                wrong(
                    "the commit log directory may only hold files named by 20 digits; move this one away"
                        .to_owned(),
                )
            })?;
            if entry.size != size {
                return Err(wrong(format!(
                    "the file has {} bytes, but mappedFileSizeCommitLog is {size}; all files of a log have this size",
                    entry.size
                )));
            }
            let expected = files.back().map(|last: &Arc<LogFile>| last.end());
            if start % size != 0 || expected.is_some_and(|expected| expected != start) {
                return Err(wrong(format!(
                    "the file before it is missing: the log must go on at {}",
                    expected.unwrap_or(start / size * size)
                )));
            }
            let file = LogFile::open(&fs, &dir, start, size, None).context("map file", &path)?;
            files.push_back(Arc::new(file));
        }
        let end = files.front().map_or(0, |first| first.start);
        Ok(CommitLog {
            fs,
            dir,
            file_size: size,
            reserve_ahead: config.reserve_ahead,
            staged: config.flush_disk == FlushDisk::Sync,
            outlet: Outlet::default(),
            verify_prop_crc: config.append_prop_crc || config.force_verify_prop_crc,
            force_prop_crc: config.force_verify_prop_crc,
            files: RwLock::new(files),
            prepared: Mutex::default(),
            looked: AtomicU64::new(end),
            pace: Mutex::new(Pace::new(end)),
            end: AtomicU64::new(end),
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Position of the oldest byte.
    pub(crate) fn min(&self) -> u64 {
        self.files.read().front().map_or_else(|| self.end(), |first| first.start)
    }

    /// End of the last complete record.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.files.read().is_empty()
    }

    /// All files in order.
    pub(crate) fn files(&self) -> Vec<Arc<LogFile>> {
        self.files.read().iter().cloned().collect()
    }

    /// The file that holds a position.
    pub(crate) fn file_of(&self, position: u64) -> Option<Arc<LogFile>> {
        let files = self.files.read();
        let first = files.front()?.start;
        let number = position.checked_sub(first)? / self.file_size;
        files.get(usize::try_from(number).ok()?).cloned()
    }

    /// A zero-copy view of bytes before the published end that lie in one file.
    pub(crate) fn bytes(&self, position: u64, length: u64) -> Option<Bytes> {
        let end = position.checked_add(length)?;
        if end > self.end() {
            return None;
        }
        let file = self.file_of(position)?;
        file.note_read(position - file.start, length);
        file.bytes(position - file.start..end - file.start)
    }

    /// Brings `from..to` into memory as far as it lies in one file, waiting for the disk if need be.
    ///
    /// # Errors
    /// The disk cannot give it; a touch would end the process.
    pub(crate) fn reach(&self, from: u64, to: u64) -> io::Result<()> {
        match self.file_of(from) {
            Some(file) => file.reach(from - file.start..to.min(file.end()) - file.start),
            None => Ok(()),
        }
    }

    /// Whether `from..to` is in the page cache; what is not in the log, or in another file, is not waited for either.
    pub(crate) fn is_cached(&self, from: u64, to: u64) -> bool {
        self.file_of(from)
            .is_none_or(|file| file.is_cached(from - file.start..to.min(file.end()) - file.start))
    }

    /// Whether what stands at a position as a record is in the page cache, or no record can stand there.
    pub(crate) fn is_record_cached(&self, position: u64) -> bool {
        const SIZE: u64 = 4;
        let end = self.end();
        if position.saturating_add(SIZE) > end {
            return true;
        }
        if !self.is_cached(position, position + SIZE) {
            return false;
        }
        let size = self.bytes(position, SIZE).and_then(|bytes| bytes.first_chunk().copied());
        let size = size.map_or(0, |size| u64::from(u32::from_be_bytes(size)));
        self.is_cached(position, position.saturating_add(size).min(end))
    }

    /// The complete record at a position; `None` if none begins there. May wait for the disk.
    ///
    /// # Errors
    /// The disk cannot give it.
    pub(crate) fn record(&self, position: u64) -> io::Result<Option<MessageRecord>> {
        const SIZE: u64 = 4;
        let end = self.end();
        let Some(file) = self.file_of(position).filter(|_| position < end) else { return Ok(None) };
        let (start, end) = (position - file.start, end.min(file.end()) - file.start);
        file.reach(start..end.min(start + SIZE))?;
        let Some(bytes) = file.bytes(start..end) else { return Ok(None) };
        let size = bytes.first_chunk().map_or(0, |size| u64::from(u32::from_be_bytes(*size)));
        if size > end - start {
            return Ok(None);
        }
        file.reach(start..start + size)?;
        let Ok(Some(record)) = MessageRecord::take(&mut bytes.clone()) else { return Ok(None) };
        file.note_read(start, record.layout().total_size as u64);
        // A position inside a body could look like a record; its own position tells.
        Ok((u64::try_from(record.layout().physical_offset) == Ok(position)).then_some(record))
    }

    /// Start of the file after the one that holds a position (`CommitLog.rollNextFile`).
    pub(crate) fn next_file_start(&self, position: u64) -> u64 {
        (position / self.file_size + 1).saturating_mul(self.file_size)
    }

    /// Ends the log at `end`, which recovery found: what stands behind it is zeroed, later files are removed.
    ///
    /// With `durable` all of that, and the log from `unsynced` on, is on the disk afterwards. Returns the writing end.
    pub(crate) fn start_writing(
        &self,
        end: u64,
        unsynced: u64,
        durable: bool,
    ) -> Result<LogWriter, StoreError> {
        let fs = &*self.fs;
        {
            let mut files = self.files.write();
            // The file that begins exactly at the end stays, for a blank points to it.
            while let Some(behind) =
                files.pop_back_if(|last| last.start > end || (last.start == end && end == 0))
            {
                fs.remove_file(behind.path())
                    .context("remove file behind the end of the log", behind.path())?;
                // One after the other, so that a power cut leaves no hole in the row of files.
                fs.sync_dir(&self.dir).context("sync directory", &self.dir)?;
            }
            if let Some(last) = files.back_mut() {
                let path = last.path().to_path_buf();
                let used = end.saturating_sub(last.start);
                if used < self.file_size {
                    let open = LogFile::open(&self.fs, &self.dir, last.start, self.file_size, Some(used));
                    let open = open.context("map file", &path)?;
                    open.zero_from(used).context("zero the tail of", &path)?;
                    *last = Arc::new(open);
                } else {
                    // The last file ends in its blank; whoever follows the blank must find a file.
                    let next = LogFile::create(&self.fs, &self.dir, end, self.file_size);
                    files.push_back(Arc::new(next.context("create commit log file in", &self.dir)?));
                }
            }
        }
        if durable {
            for file in self.files().iter().filter(|file| file.end() > unsynced && file.start < end) {
                let range = unsynced.max(file.start) - file.start..end.min(file.end()) - file.start;
                file.rewrite(range).context("write once more", file.path())?;
            }
            self.sync(unsynced, end.saturating_add(1))?;
            fs.sync_dir(&self.dir).context("sync directory", &self.dir)?;
        }
        self.end.store(end, Ordering::Release);
        self.looked.store(end, Ordering::Relaxed);
        *self.pace.lock() = Pace::new(end);
        Ok(LogWriter { at: end, file: self.files.read().back().cloned(), ..LogWriter::default() })
    }

    /// Makes room for `length` bytes in one file, going on to the next file behind a blank if need be.
    ///
    /// After this [`write`](CommitLog::write) of that many bytes cannot fail. On an error nothing has changed that readers see.
    pub(crate) fn make_room(
        &self,
        writer: &mut LogWriter,
        length: u64,
        hold: Hold<'_>,
    ) -> Result<(), NoRoom> {
        writer.staging = self.staged && matches!(hold, Hold::UntilSync(_)) && Stage::can_hold(length);
        let Some(file) = &writer.file else {
            let file = self.take_next(writer.at).map_err(NoRoom)?;
            file.reserve(length).map_err(NoRoom)?;
            self.files.write().push_back(Arc::clone(&file));
            writer.file = Some(file);
            return Ok(());
        };
        let used = writer.at - file.start;
        let fits = used + length + MIN_BLANK <= file.size;
        if self.staged && !(fits && writer.staging && writer.stage.has_room(length)) {
            writer.stage.write_out(&self.outlet, file, writer.at).map_err(NoRoom)?;
        }
        if fits {
            return file.reserve(used + length).map_err(NoRoom);
        }
        let file = Arc::clone(file);
        // The next file is there before the blank that points to it.
        let next = self.take_next(file.end()).map_err(NoRoom)?;
        let ready = next.reserve(length).and_then(|()| file.reserve(used + MIN_BLANK));
        if let Err(error) = ready {
            self.prepared.lock().next = Some(next);
            return Err(NoRoom(error));
        }
        let rest = u32::try_from(file.size - used).unwrap_or(u32::MAX);
        // SAFETY: `writer` is behind the append lock, and the blank lies behind the published end.
        if let Some(blank) = unsafe { file.writable(used..used + MIN_BLANK) } {
            let (size, magic) = blank.split_at_mut(4);
            size.copy_from_slice(&rest.to_be_bytes());
            magic.copy_from_slice(&MAGIC_BLANK.to_be_bytes());
        }
        self.files.write().push_back(Arc::clone(&next));
        writer.at = next.start;
        writer.file = Some(next);
        self.end.store(writer.at, Ordering::Release);
        Ok(())
    }

    /// Lets `encode` write `length` bytes at the writing end, for which there is room, and moves the writing end.
    ///
    /// The bytes are not visible before [`publish`](CommitLog::publish).
    pub(crate) fn write(&self, writer: &mut LogWriter, length: u64, encode: impl FnOnce(&mut &mut [u8])) {
        let Some(file) = &writer.file else { return };
        let used = writer.at - file.start;
        let out = if writer.staging {
            writer.stage.take(length)
        } else {
            // SAFETY: `writer` is behind the append lock, and the range lies behind the published end.
            unsafe { file.writable(used..used + length) }
        };
        if let Some(mut out) = out {
            encode(&mut out);
            writer.at += length;
        }
    }

    /// As [`write`](CommitLog::write), for a record that waits in memory: `encode` writes all but the body and returns before
    /// which of these bytes that belongs.
    pub(crate) fn write_around(
        &self,
        writer: &mut LogWriter,
        body: Bytes,
        length: u64,
        encode: impl FnOnce(&mut &mut [u8]) -> usize,
    ) {
        if writer.stage.take_around(body, length, encode) {
            writer.at += length;
        }
    }

    /// Takes what waits for the sync that comes now, to be written without the append lock; `None` if nothing does.
    pub(crate) fn take_staged(&self, writer: &mut LogWriter) -> Option<Staged<'_>> {
        let file = writer.file.as_ref().filter(|_| !writer.stage.is_empty())?;
        Some(writer.stage.take_all(&self.outlet, file, writer.at))
    }

    /// The same for a group that still gathers, if it is long enough to be worth it.
    pub(crate) fn take_many_staged(&self, writer: &mut LogWriter) -> Option<Staged<'_>> {
        if writer.stage.is_long() { self.take_staged(writer) } else { None }
    }

    /// Shows readers everything up to the writing end. `true` if there is something for [`prepare`](CommitLog::prepare) to do.
    pub(crate) fn publish(&self, writer: &mut LogWriter) -> bool {
        self.end.store(writer.at, Ordering::Release);
        let Some(file) = &writer.file else { return false };
        let used = writer.at - file.start;
        used + self.reserve_ahead / 2 > file.reserved() || self.has_grown(writer.at)
    }

    /// Whether the log has grown by a stretch since the reserving thread looked.
    fn has_grown(&self, end: u64) -> bool {
        end.saturating_sub(self.looked.load(Ordering::Relaxed)) >= STRETCH
    }

    fn take_next(&self, start: u64) -> io::Result<Arc<LogFile>> {
        let mut prepared = self.prepared.lock();
        if let Some(next) = prepared.next.take_if(|next| next.start == start) {
            return Ok(next);
        }
        let next = LogFile::create(&self.fs, &self.dir, start, self.file_size)?;
        prepared.made = next.end();
        Ok(Arc::new(next))
    }

    /// Reserves blocks ahead of the end and makes the next file when the last one is nearly full; keeps the mapped pages where
    /// the writer is.
    ///
    /// Called from the reserving thread; the appender does the same itself when it comes first.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        if self.has_grown(self.end()) {
            let mut pace = self.pace.lock();
            self.looked.store(self.end(), Ordering::Relaxed);
            self.keep_pace(&mut pace);
        }
        let Some(last) = self.files.read().back().cloned() else { return Ok(()) };
        let used = self.end().saturating_sub(last.start);
        last.reserve(used + self.reserve_ahead)?;
        if last.reserved() < last.size {
            return Ok(());
        }
        let mut prepared = self.prepared.lock();
        if prepared.made > last.end() {
            return Ok(());
        }
        let next = Arc::new(LogFile::create(&self.fs, &self.dir, last.end(), self.file_size)?);
        prepared.made = next.end();
        prepared.next = Some(Arc::clone(&next));
        drop(prepared);
        next.reserve(self.reserve_ahead)
    }

    /// Whether [`prepare`](CommitLog::prepare) has something to do.
    pub(crate) fn wants_preparation(&self) -> bool {
        if self.has_grown(self.end()) {
            return true;
        }
        let Some((start, size, reserved)) =
            self.files.read().back().map(|last| (last.start, last.size, last.reserved()))
        else {
            return false;
        };
        let used = self.end().saturating_sub(start);
        if reserved < size {
            return used + self.reserve_ahead / 2 > reserved;
        }
        self.prepared.lock().made <= start + size
    }

    /// Makes everything in `from..to` durable.
    pub(crate) fn sync(&self, from: u64, to: u64) -> Result<(), StoreError> {
        let touched = self.files();
        for file in touched.iter().filter(|file| file.end() > from && file.start < to) {
            file.sync().context("sync", file.path())?;
            if file.end() <= to {
                file.close();
            }
        }
        Ok(())
    }

    /// Takes all pages of the log out of this process; they stay in the page cache.
    pub(crate) fn release(&self) {
        for file in self.files() {
            file.release(0..file.size);
        }
    }

    /// Removes the prepared file, so that the directory holds only what is written.
    pub(crate) fn drop_prepared(&self) -> Result<(), StoreError> {
        let mut prepared = self.prepared.lock();
        match prepared.next.take() {
            Some(next) => self.fs.remove_file(next.path()).context("remove unused file", next.path()),
            None => Ok(()),
        }
    }

    /// Removes the oldest file unless it is the last one or reaches behind `safe`; `true` if one was removed.
    ///
    /// A file that is not on the disk as a whole has to stay: should a power cut bring it back, its end would be missing,
    /// and with it the way to the files behind it.
    pub(crate) fn remove_oldest(&self, safe: u64) -> Result<bool, StoreError> {
        let oldest = {
            let mut files = self.files.write();
            if files.len() < 2 || files.front().is_some_and(|first| first.end() > safe) {
                return Ok(false);
            }
            files.pop_front()
        };
        let Some(oldest) = oldest else { return Ok(false) };
        // Slices that are still on their way keep the mapping, and so the blocks, until they are gone.
        self.fs.remove_file(oldest.path()).context("remove expired file", oldest.path())?;
        // Before the next one goes, so that a power cut leaves no hole in the row of files.
        self.fs.sync_dir(&self.dir).context("sync directory", &self.dir)?;
        Ok(true)
    }
}
