//! The files of consume queues: units are written in batches, few files are open at a time, none is ever empty.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{FileRange, Queue, UNIT_SIZE, Unit};
use crate::config::{StoreConfig, file_name};
use crate::fs::{File, FileSystem, OpenMode};

/// Reading and writing of queue files, with the descriptors that are kept open.
#[derive(Debug)]
pub(crate) struct QueueFiles {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) dir: PathBuf,
    /// Where a new file is built before it gets its name, outside the directories that Apache reads.
    pub(super) temporary: PathBuf,
    pub(super) units_per_file: i64,
    pub(super) file_size: u64,
    open: Mutex<OpenFiles>,
    /// Number of files.
    count: AtomicU64,
    /// How many are removing files.
    removing: AtomicU64,
}

/// What a write did.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// First units of the files that were changed.
    pub(crate) files: Vec<i64>,
    /// Directories that got a new name.
    pub(crate) dirs: Vec<PathBuf>,
    /// Number of units written.
    pub(crate) units: usize,
}

/// Why units stay in memory.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Nothing of what failed is in the files; it can be tried again.
    Refused(io::Error),
    /// The disk may have lost what was written before; only recovery can write it again.
    Sync(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> WriteError {
        WriteError::Refused(error)
    }
}

/// Descriptors by queue key and first unit, with the time of their last use.
#[derive(Debug)]
struct OpenFiles {
    files: HashMap<(u64, i64), (Arc<dyn File>, u64)>,
    uses: u64,
    limit: usize,
}

impl OpenFiles {
    fn get(&mut self, key: (u64, i64)) -> Option<Arc<dyn File>> {
        self.uses += 1;
        let (file, used) = self.files.get_mut(&key)?;
        *used = self.uses;
        Some(Arc::clone(file))
    }

    fn insert(&mut self, key: (u64, i64), file: Arc<dyn File>) {
        if self.files.len() >= self.limit {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.files.remove(&oldest);
            }
        }
        self.uses += 1;
        self.files.insert(key, (file, self.uses));
    }
}

pub(super) fn bytes_of(units: i64) -> u64 {
    u64::try_from(units).unwrap_or(0) * UNIT_SIZE
}

impl QueueFiles {
    pub(crate) fn new(config: &StoreConfig) -> QueueFiles {
        QueueFiles {
            fs: Arc::clone(&config.file_system),
            dir: config.consume_queue_dir(),
            temporary: config.path("mq-consumequeue.tmp"),
            units_per_file: i64::try_from(config.consume_queue_file_size / UNIT_SIZE).unwrap_or(1),
            file_size: config.consume_queue_file_size,
            count: AtomicU64::new(0),
            removing: AtomicU64::new(0),
            open: Mutex::new(OpenFiles { files: HashMap::new(), uses: 0, limit: config.open_queue_files }),
        }
    }

    pub(super) fn queue_dir(&self, queue: &Queue) -> PathBuf {
        self.dir.join(&*queue.topic).join(queue.id.to_string())
    }

    pub(super) fn path(&self, queue: &Queue, first: i64) -> PathBuf {
        self.queue_dir(queue).join(file_name(bytes_of(first)))
    }

    /// First unit of the file that holds a queue offset.
    pub(crate) fn file_of(&self, offset: i64) -> i64 {
        offset / self.units_per_file * self.units_per_file
    }

    /// Units of a full file.
    pub(crate) fn file_units(&self) -> i64 {
        self.units_per_file
    }

    pub(super) fn open(&self, queue: &Queue, first: i64) -> io::Result<Arc<dyn File>> {
        let key = (queue.key, first);
        if let Some(file) = self.open.lock().get(key) {
            return Ok(file);
        }
        let file = self.fs.open(&self.path(queue, first), OpenMode::Write)?;
        self.open.lock().insert(key, Arc::clone(&file));
        Ok(file)
    }

    pub(super) fn close(&self, queue: &Queue, first: i64) {
        self.open.lock().files.remove(&(queue.key, first));
    }

    /// Reads the units of `from..to`, all of which are in the files; fewer if a file is missing or too short.
    pub(crate) fn read(&self, queue: &Queue, from: i64, to: i64) -> io::Result<Vec<Unit>> {
        let mut units = Vec::with_capacity(usize::try_from(to - from).unwrap_or(0).min(4096));
        let mut at = from;
        while at < to {
            let first = self.file_of(at);
            let end = to.min(first + self.units_per_file);
            let mut bytes = vec![0; usize::try_from(bytes_of(end - at)).unwrap_or(0)];
            let result =
                self.open(queue, first).and_then(|file| file.read_at(&mut bytes, bytes_of(at - first)));
            match result {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
                    tracing::warn!(topic = %queue.topic, queue = queue.id, offset = at, %error, "a consume queue has a hole");
                    break;
                }
                Err(error) => return Err(error),
            }
            let (whole, _) = bytes.as_chunks::<{ UNIT_SIZE as usize }>();
            units.extend(whole.iter().map(Unit::decode));
            at = end;
        }
        Ok(units)
    }

    /// The units of `from..to` as far as they are in one file or in memory; `None` where reading would wait for the disk.
    pub(crate) fn cached_units(&self, queue: &Queue, from: i64, to: i64) -> Option<Vec<Unit>> {
        {
            let tail = queue.tail.lock();
            if from >= tail.base() {
                return Some(tail.from(from).take(usize::try_from(to - from).ok()?).copied().collect());
            }
        }
        let first = self.file_of(from);
        let to = to.min(first + self.units_per_file).min(queue.tail.lock().base());
        let mut bytes = vec![0; usize::try_from(bytes_of(to - from)).ok()?];
        let file = self.open(queue, first).ok()?;
        let cached = file.read_cached(&mut bytes, bytes_of(from - first)).ok()?;
        cached.then(|| bytes.as_chunks::<{ UNIT_SIZE as usize }>().0.iter().map(Unit::decode).collect())
    }

    /// Number of files; 0 while some are being removed.
    pub(crate) fn count(&self) -> u64 {
        let count = self.count.load(Ordering::Acquire);
        if self.removing.load(Ordering::Acquire) > 0 { 0 } else { count }
    }

    /// From the first call on the number of files is not known, until all callers have said that it is again.
    ///
    /// To be called, and to be noted on the disk, before files are removed: recovery takes fewer than noted for a loss.
    pub(crate) fn set_removing(&self, removing: bool) {
        if removing {
            self.removing.fetch_add(1, Ordering::AcqRel);
        } else {
            self.removing.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(super) fn set_range(&self, range: &mut Option<FileRange>, new: Option<FileRange>) {
        let files = |range: Option<FileRange>| {
            range.map_or(0, |range| (range.last - range.first) / self.units_per_file + 1).cast_unsigned()
        };
        self.count.fetch_add(files(new), Ordering::AcqRel);
        self.count.fetch_sub(files(*range), Ordering::AcqRel);
        *range = new;
    }

    /// Writes what of a queue's tail lies before `end` in the log, and lets go of it. `written` also counts on an error.
    pub(crate) fn write(&self, queue: &Queue, end: u64, written: &mut Written) -> Result<(), WriteError> {
        let mut range = queue.files.lock();
        let (base, units): (i64, Vec<Unit>) = {
            let tail = queue.tail.lock();
            let visible = usize::try_from(tail.visible(end) - tail.base()).unwrap_or(0);
            (tail.base(), tail.from(tail.base()).take(visible).copied().collect())
        };
        let before = written.units;
        while let Some(rest) = units.get(written.units - before..).filter(|rest| !rest.is_empty()) {
            let at = base + i64::try_from(written.units - before).unwrap_or(0);
            let first = self.file_of(at);
            let room = usize::try_from(first + self.units_per_file - at).unwrap_or(1);
            let piece = rest.get(..room.min(rest.len())).unwrap_or(rest);
            let exists = range.is_some_and(|range| (range.first..=range.last).contains(&first));
            written.files.push(first);
            if exists {
                self.write_units(queue, at, first, piece)?;
            } else {
                written.dirs.extend(self.write_file(queue, &mut range, at, first, piece)?);
            }
            written.units += piece.len();
            queue.tail.lock().written(piece.len());
        }
        Ok(())
    }

    fn write_units(&self, queue: &Queue, at: i64, first: i64, piece: &[Unit]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(piece.len() * UNIT_SIZE as usize);
        piece.iter().for_each(|unit| unit.encode(&mut bytes));
        self.open(queue, first)?.write_at(&bytes, bytes_of(at - first))
    }

    /// Makes a file together with its first units; returns the directories that got a new name.
    ///
    /// A file whose first unit is empty would be taken for one with an entry (`truncateDirtyLogicFiles`), so the file
    /// appears under its name only when it has one.
    fn write_file(
        &self,
        queue: &Queue,
        range: &mut Option<FileRange>,
        at: i64,
        first: i64,
        piece: &[Unit],
    ) -> Result<Vec<PathBuf>, WriteError> {
        if let Some(before) = *range {
            // Only the last file of a queue may be in parts on the disk: what recovery cuts off lies in it.
            self.open(queue, before.last)?.sync().map_err(WriteError::Sync)?;
            self.fs.sync_dir(&self.queue_dir(queue)).map_err(WriteError::Sync)?;
        }
        // Only a queue's first file can begin before the queue's first record.
        let blanks = if range.is_none() { at - first } else { 0 };
        let mut bytes = Vec::new();
        (0..blanks).for_each(|_| Unit::BLANK.encode(&mut bytes));
        piece.iter().for_each(|unit| unit.encode(&mut bytes));
        let file = self.fs.open(&self.temporary, OpenMode::Truncate)?;
        file.set_size(self.file_size)?;
        file.write_at(&bytes, bytes_of(at - blanks - first))?;
        let dir = self.queue_dir(queue);
        let mut dirs = vec![dir.clone()];
        if range.is_none() {
            self.fs.create_dir_all(&dir)?;
            dirs.extend(
                [dir.parent(), Some(&*self.dir), self.dir.parent()]
                    .into_iter()
                    .flatten()
                    .map(Path::to_path_buf),
            );
        }
        self.fs.rename(&self.temporary, &self.path(queue, first))?;
        self.open.lock().insert((queue.key, first), file);
        self.set_range(
            range,
            Some(FileRange { first: range.map_or(first, |range| range.first), last: first }),
        );
        Ok(dirs)
    }

    /// Makes a file of a queue durable; one that is gone is fine.
    pub(crate) fn sync(&self, queue: &Queue, first: i64) -> io::Result<()> {
        match self.open(queue, first) {
            Ok(file) => file.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes the names in a directory durable; one that is gone is fine.
    pub(crate) fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.fs.sync_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Removes a file at an end of a queue's row of files, durably: a power cut must leave no hole in the row.
    pub(super) fn remove(&self, queue: &Queue, first: i64) -> io::Result<()> {
        self.close(queue, first);
        self.fs.remove_file(&self.path(queue, first))?;
        self.fs.sync_dir(&self.queue_dir(queue))
    }

    /// Removes the files of a queue and forgets its units; its numbering goes on. Returns how many units were in memory.
    pub(crate) fn remove_all(&self, queue: &Queue) -> io::Result<usize> {
        let mut range = queue.files.lock();
        let dropped = {
            let mut tail = queue.tail.lock();
            let (base, next) = (tail.base(), tail.next());
            tail.reset(next);
            queue.set_min(next);
            usize::try_from(next - base).unwrap_or(0)
        };
        if let Some(FileRange { first, last }) = *range {
            for first in (first..=last).step_by(usize::try_from(self.units_per_file).unwrap_or(1)) {
                self.remove(queue, first)?;
            }
        }
        self.set_range(&mut range, None);
        let dir = self.queue_dir(queue);
        self.fs.remove_dir(&dir)?;
        // The topic's directory goes with its last queue.
        if let Some(topic) = dir.parent()
            && self.fs.list(topic)?.is_empty()
        {
            self.fs.remove_dir(topic)?;
        }
        Ok(dropped)
    }

    /// Sets the smallest offset to the first record at or behind `log_min` (`correctMinOffset`).
    pub(crate) fn correct_min(&self, queue: &Queue, log_min: u64) -> io::Result<()> {
        let range = queue.files.lock();
        queue.set_min(self.first_at(queue, &range, log_min, queue.next())?);
        Ok(())
    }

    /// Removes files that lie wholly before the smallest offset; the last file stays (`deleteExpiredFile`).
    pub(crate) fn expire(&self, queue: &Queue) -> io::Result<()> {
        let mut range = queue.files.lock();
        let min = queue.min();
        let Some(FileRange { first, last }) = *range else { return Ok(()) };
        let keep = self.file_of(min).min(last);
        for gone in (first..keep).step_by(usize::try_from(self.units_per_file).unwrap_or(1)) {
            self.remove(queue, gone)?;
            self.set_range(&mut range, Some(FileRange { first: gone + self.units_per_file, last }));
        }
        Ok(())
    }

    /// Smallest queue offset whose record lies at or behind `log_min`; `next` if there is none.
    fn first_at(&self, queue: &Queue, range: &Option<FileRange>, log_min: u64, next: i64) -> io::Result<i64> {
        let base = queue.tail.lock().base();
        let (mut low, mut high) = (range.map_or(base, |range| range.first), next);
        low = low.max(queue.min());
        let before = |offset: i64| -> io::Result<bool> {
            Ok(self.unit(queue, offset)?.is_none_or(|unit| {
                unit.is_blank() || u64::try_from(unit.physical_offset).is_ok_and(|at| at < log_min)
            }))
        };
        if low < high && !before(low)? {
            return Ok(low);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if before(middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// One unit, from memory or from the files.
    pub(crate) fn unit(&self, queue: &Queue, offset: i64) -> io::Result<Option<Unit>> {
        {
            let tail = queue.tail.lock();
            if offset >= tail.base() {
                return Ok(tail.from(offset).next().copied());
            }
        }
        Ok(self.read(queue, offset, offset + 1)?.first().copied())
    }

    /// Units of `from..to`, from the files and from memory; `to` must not lie behind the queue's next offset.
    pub(crate) fn units(&self, queue: &Queue, from: i64, to: i64) -> io::Result<Vec<Unit>> {
        let count = usize::try_from(to - from).unwrap_or(0);
        let (stored, memory): (i64, Vec<Unit>) = {
            let tail = queue.tail.lock();
            let base = tail.base();
            if from >= base {
                return Ok(tail.from(from).take(count).copied().collect());
            }
            let in_memory = usize::try_from(to - base).unwrap_or(0);
            (base.min(to), tail.from(base).take(in_memory).copied().collect())
        };
        let mut units = self.read(queue, from, stored)?;
        if units.len() == usize::try_from(stored - from).unwrap_or(0) {
            units.extend(memory);
        }
        Ok(units)
    }
}
