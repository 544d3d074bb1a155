//! Finding the queues on disk, and cutting them back to where the log is known to be good.

use std::path::{Path, PathBuf};

use super::{FileRange, Queue, QueueFiles, QueueTable, UNIT_SIZE, Unit};
use crate::check::Fault;
use crate::config::{file_name, file_position};
use crate::error::{IoContext as _, StoreError};

/// A queue whose row of files is broken: it must be built anew.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) fault: Fault,
    /// Files that cannot be reached from the queue's first one.
    pub(crate) files: Vec<PathBuf>,
}

impl QueueFiles {
    /// Finds all queues with their numbering. A file that does not fit is refused, as Apache refuses it.
    ///
    /// Units of records before `complete` in the log are all in files. Returns what had to be left out, so that the queues
    /// must be built anew.
    pub(crate) fn load(&self, table: &QueueTable, complete: u64) -> Result<Vec<Lost>, StoreError> {
        let mut lost = Vec::new();
        self.fs.remove_file(&self.temporary).context("remove", &self.temporary)?;
        let topics = self.fs.list(&self.dir).context("list directory", &self.dir)?;
        if topics.iter().any(|entry| !entry.directory && entry.name == "CURRENT") {
            return Err(StoreError::Layout {
                path: self.dir.clone(),
                what: "the consume queues are in a RocksDB database (storeType=defaultRocksDB), which is not supported; \
                       move the directory away to have the queues rebuilt from the log"
                    .to_owned(),
            });
        }
        for topic in topics.iter().filter(|entry| entry.directory) {
            let dir = self.dir.join(&topic.name);
            for entry in self.fs.list(&dir).context("list directory", &dir)? {
                if let Ok(id) = entry.name.parse::<i32>()
                    && entry.directory
                    && id.to_string() == entry.name
                {
                    let queue = table.get_or_create(&topic.name, id);
                    self.load_queue(&queue, complete, &mut lost)?;
                }
            }
        }
        Ok(lost)
    }

    fn load_queue(&self, queue: &Queue, complete: u64, lost: &mut Vec<Lost>) -> Result<(), StoreError> {
        let dir = self.queue_dir(queue);
        let mut files = Vec::new();
        for entry in self.fs.list(&dir).context("list directory", &dir)? {
            if entry.directory {
                continue;
            }
            let path = dir.join(&entry.name);
            let start = file_position(&path).filter(|start| file_name(*start) == entry.name);
            let start = start.filter(|start| start % self.file_size == 0);
            let Some(start) = start else {
                return Err(StoreError::Layout {
                    path,
                    what: "a queue's directory may only hold files named by 20 digits; move this one away"
                        .to_owned(),
                });
            };
            files.push((start, entry.size, path));
        }
        files.sort();
        // The last file may have been made but not sized.
        if let Some((_, 0, path)) = files.last() {
            self.fs.remove_file(path).context("remove empty file", path)?;
            files.pop();
        }
        let mut kept: usize = 0;
        let mut broken = None;
        for (start, size, path) in &files {
            let before = kept.checked_sub(1).and_then(|before| files.get(before));
            if *size == 0 {
                broken = Some((path.clone(), "it is empty, although a file follows it"));
            } else if before.is_some_and(|(before, ..)| before + self.file_size != *start) {
                broken = Some((path.clone(), "the queue file before it is missing"));
            } else if *size != self.file_size {
                let expected = self.file_size;
                return Err(StoreError::Layout {
                    path: path.clone(),
                    what: format!("the file has {size} bytes, but mappedFileSizeConsumeQueue is {expected}"),
                });
            }
            if broken.is_some() {
                break;
            }
            kept += 1;
        }
        if let Some((path, what)) = broken {
            let what = format!("{what}; all queues are made again from the log");
            let behind = files.split_off(kept).into_iter().map(|(_, _, path)| path).collect();
            lost.push(Lost { fault: Fault::File { path, what }, files: behind });
        }
        let unit = |start: u64| i64::try_from(start / UNIT_SIZE).unwrap_or(i64::MAX);
        while let Some((start, _, path)) = files.last() {
            let first = unit(*start);
            let written = self.written_in(queue, first).context("read", path)?;
            if written > 0 {
                let range =
                    FileRange { first: files.first().map_or(first, |(start, ..)| unit(*start)), last: first };
                self.set_range(&mut queue.files.lock(), Some(range));
                queue.restart(first + written);
                if self.is_damaged(queue, first, written, complete).context("read", path)? {
                    let what = format!(
                        "entry {} is damaged; all queues are made again from the log",
                        first + written
                    );
                    lost.push(Lost { fault: Fault::File { path: path.clone(), what }, files: Vec::new() });
                }
                return Ok(());
            }
            self.close(queue, first);
            self.fs.remove_file(path).context("remove empty file", path)?;
            files.pop();
        }
        // Nothing else makes the directory of a queue, and Apache would take it for one.
        if self.fs.list(&dir).context("list directory", &dir)?.is_empty() {
            self.fs.remove_dir(&dir).context("remove directory", &dir)?;
        }
        Ok(())
    }

    /// Whether the first unit of a file that does not count as written, or the one behind it, once did.
    fn is_damaged(&self, queue: &Queue, first: i64, empty: i64, complete: u64) -> std::io::Result<bool> {
        let count = (self.units_per_file - empty).min(2);
        let mut bytes = vec![0; usize::try_from(super::files::bytes_of(count)).unwrap_or(0)];
        self.open(queue, first)?.read_at(&mut bytes, super::files::bytes_of(empty))?;
        let (units, _) = bytes.as_chunks::<{ UNIT_SIZE as usize }>();
        Ok(units.iter().filter(|unit| unit.iter().any(|byte| *byte != 0)).map(Unit::decode).any(|unit| {
            // Whatever bit makes it invalid, it may be the sign's.
            (unit.physical_offset & i64::MAX).cast_unsigned() < complete
        }))
    }

    /// How many units are written in a file: they stand at its front without gaps.
    fn written_in(&self, queue: &Queue, first: i64) -> std::io::Result<i64> {
        let file = self.open(queue, first)?;
        let (mut low, mut high) = (0, self.units_per_file);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut bytes = [0; UNIT_SIZE as usize];
            file.read_at(&mut bytes, super::files::bytes_of(middle))?;
            if super::Unit::decode(&bytes).is_written() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Removes files that no queue has any more, durably.
    pub(crate) fn remove_lost(&self, files: &[PathBuf]) -> std::io::Result<()> {
        for path in files.iter().rev() {
            self.fs.remove_file(path)?;
            path.parent().map_or(Ok(()), |dir| self.fs.sync_dir(dir))?;
        }
        Ok(())
    }

    /// Drops the units of records at or behind `end` from the files. Nothing of the queue may be in memory.
    ///
    /// What is left of the last file is zeroed behind the cut; a file without a record is removed. All of it is on the disk
    /// at once: the process may end before anything else makes sure of it, and what was cut off must not come back.
    pub(crate) fn cut(&self, queue: &Queue, end: u64) -> Result<(), StoreError> {
        let mut range = queue.files.lock();
        let Some(FileRange { first, last }) = *range else { return Ok(()) };
        let next = queue.next();
        let dir = self.queue_dir(queue);
        let unit_at = |offset: i64| self.unit(queue, offset).context("read queue files in", &dir);
        let kept = |offset: i64| -> Result<bool, StoreError> {
            Ok(unit_at(offset)?.is_some_and(|unit| {
                unit.is_written()
                    && (unit.is_blank() || u64::try_from(unit.physical_offset).is_ok_and(|at| at < end))
            }))
        };
        // Most queues end before the cut.
        let (mut low, mut high) = if kept(next - 1)? { (next, next) } else { (first, next) };
        while low < high {
            let middle = low + (high - low) / 2;
            if kept(middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == next {
            return Ok(());
        }
        // Only blanks left: without a record they would swallow what is dispatched (Apache's `maxPhysicOffset`).
        let keep =
            if low > first && unit_at(low - 1)?.is_some_and(|unit| unit.is_blank()) { first } else { low };
        let new_last = if keep == first { None } else { Some(self.file_of(keep - 1)) };
        let mut gone = last;
        while new_last.is_none_or(|new_last| gone > new_last) && gone >= first {
            let path = self.path(queue, gone);
            self.remove(queue, gone).context("remove queue file behind the end of the log", &path)?;
            gone -= self.units_per_file;
        }
        self.set_range(&mut range, new_last.map(|last| FileRange { first, last }));
        if let Some(last) = new_last {
            let from = super::files::bytes_of(keep - last);
            let path = self.path(queue, last);
            let zeroed = self.open(queue, last).and_then(|file| file.zero(from, self.file_size - from));
            zeroed.context("zero the tail of", &path)?;
            self.sync(queue, last).context("sync", &path)?;
        }
        queue.restart(keep);
        if range.is_none() {
            // Numbering is taken from the first record that comes.
            queue.restart(0);
            queue.set_min(0);
        }
        Ok(())
    }

    /// Removes every unit and file of a queue and starts its numbering again.
    pub(crate) fn drop_queue(&self, queue: &Queue) -> Result<(), StoreError> {
        let dir = self.queue_dir(queue);
        self.remove_all(queue).context("remove queue files in", &dir)?;
        queue.restart(0);
        queue.set_min(0);
        Ok(())
    }

    /// Whether anything stands in the directory of the consume queues.
    pub(crate) fn has_topics(&self) -> Result<bool, StoreError> {
        let dir: &Path = &self.dir;
        Ok(!self.fs.list(dir).context("list directory", dir)?.is_empty())
    }
}
