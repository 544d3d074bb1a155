//! The key index: finding records by topic and key (`IndexService`), built behind the log's end by its own thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mq_protocol::id::{java_hash, java_hash_on};
use mq_protocol::message::{MessageRecord, RecordLayout, sys_flag};
use mq_protocol::property::{self, key};
use parking_lot::{Mutex, RwLock};

use crate::clock::LocalTime;
use crate::config::StoreConfig;
use crate::error::{IoContext as _, StoreError};
use crate::fs::create_dir_durably;
use crate::log::CommitLog;
use crate::log::walk::{Check, Step, Walk};

mod file;
mod load;

pub(crate) use file::Header;
use file::{IndexFile, Key};
pub(crate) use load::Left;

/// Records that one key query may return at most.
pub const MAX_KEY_RESULTS: usize = 64;
/// Records indexed before queries get their turn.
const BATCH: usize = 512;

/// A question for records by key.
#[derive(Clone, Copy, Debug)]
pub struct KeyQuery<'a> {
    /// Topic they were sent to.
    pub topic: &'a str,
    /// One of their keys, or their unique key.
    pub key: &'a str,
    /// How many at most; more than 64 counts as 64.
    pub max: usize,
    /// Stored at this time or later, in milliseconds since the epoch.
    pub begin: i64,
    /// Stored at this time or earlier.
    pub end: i64,
}

/// Answer to a [`KeyQuery`].
#[derive(Clone, Debug, Default)]
pub struct KeyResult {
    /// The newest records that have the key, in the order of the log.
    pub records: Vec<MessageRecord>,
    /// Store time of the newest indexed record.
    pub last_timestamp: i64,
    /// Position of the newest indexed record.
    pub last_physical_offset: i64,
}

/// What an index entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// `TOPIC#key`: the unique key or one of the keys.
    Key(&'a str),
    /// `TOPIC#T#tag` (5.5.0 on).
    Tag(&'a str),
}

/// Index hash of an entry: the absolute value of its text's hash; the smallest number has none and becomes 0.
pub(crate) fn entry_hash(topic: &str, entry: Entry<'_>) -> i32 {
    let (infix, word) = match entry {
        Entry::Key(key) => ("#", key),
        Entry::Tag(tag) => ("#T#", tag),
    };
    java_hash_on(java_hash_on(java_hash(topic), infix), word).checked_abs().unwrap_or(0)
}

/// The entries of a record in Apache's order (`IndexService.buildIndex`).
pub(crate) fn entries_of<'a>(layout: &RecordLayout, record: &'a [u8]) -> impl Iterator<Item = Entry<'a>> {
    let properties = layout.properties(record);
    let indexed = layout.sys_flag & sys_flag::TRANSACTION_ROLLBACK != sys_flag::TRANSACTION_ROLLBACK;
    let (mut unique, mut keys, mut tag) = (None, None, None);
    if indexed {
        for (name, value) in property::pairs(properties) {
            match name {
                key::UNIQ_KEY => unique = Some(value),
                key::KEYS => keys = Some(value),
                key::TAGS => tag = Some(value),
                _ => {}
            }
        }
    }
    let keys = keys.unwrap_or_default().split(' ').filter(|key| !key.is_empty());
    unique.into_iter().chain(keys).map(Entry::Key).chain(tag.map(Entry::Tag))
}

/// All index files and how far they reach.
#[derive(Debug)]
pub(crate) struct Index {
    config: StoreConfig,
    /// In order of time; only the last one grows.
    files: RwLock<Vec<Arc<IndexFile>>>,
    /// Keys of records before this are in the files.
    at: AtomicU64,
    durable: Mutex<Durable>,
    building: Mutex<Building>,
}

/// What of the index is on the disk for certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    /// Number of files.
    pub(crate) files: u64,
    /// Entries of the last of them; all of the others.
    pub(crate) entries: u64,
}

/// State of the thread that builds.
#[derive(Debug, Default)]
struct Building {
    /// Newest store time in a finished, durable file.
    finished_timestamp: i64,
    /// Room for the keys at hand.
    keys: Vec<Key>,
}

impl Index {
    /// Number of files.
    pub(crate) fn file_count(&self) -> u64 {
        self.files.read().len() as u64
    }

    /// Position of the last indexed record, if any is known.
    pub(crate) fn last_record(&self) -> Option<u64> {
        let files = self.files.read();
        let header = files.iter().rev().find(|file| !file.is_empty())?.header();
        u64::try_from(header.end_phy).ok()
    }

    /// Removes all files, to build them again.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        for file in self.files.write().drain(..) {
            self.config.file_system.remove_file(&file.path).context("remove index file", &file.path)?;
        }
        let dir = self.config.path("index");
        if self.config.file_system.exists(&dir).context("look for", &dir)? {
            self.config.file_system.sync_dir(&dir).context("sync directory", &dir)?;
        }
        *self.durable.lock() = Durable::default();
        self.building.lock().finished_timestamp = 0;
        Ok(())
    }

    /// Sets the position before which everything is indexed.
    pub(crate) fn start_at(&self, at: u64) {
        self.at.store(at, Ordering::Release);
    }

    /// Position before which everything is indexed.
    pub(crate) fn at(&self) -> u64 {
        self.at.load(Ordering::Acquire)
    }

    /// Store time up to which finished files are durable.
    pub(crate) fn finished_timestamp(&self) -> i64 {
        self.building.lock().finished_timestamp
    }

    /// Indexes some records before `end`; `false` if there are none left.
    pub(crate) fn build(&self, log: &CommitLog, end: u64) -> Result<bool, StoreError> {
        let mut building = self.building.lock();
        let start = self.at().max(log.min());
        if start >= end {
            return Ok(false);
        }
        let mut keys = std::mem::take(&mut building.keys);
        keys.clear();
        let mut walk = Walk::new(log, start, end, Check::Layout);
        for _ in 0..BATCH {
            let (at, layout, bytes) = match walk.step() {
                Step::Record { at, layout, bytes } => (at, layout, bytes),
                Step::Unreadable(error) => {
                    building.keys = keys;
                    return Err(error).context("read the log in", log.dir());
                }
                // The end, or what is no record and so cannot be found either; recovery checked what is there.
                Step::End | Step::Broken(_) => {
                    walk.at = end;
                    break;
                }
            };
            let topic = layout.topic(&bytes);
            let phy = i64::try_from(at).unwrap_or(i64::MAX);
            keys.extend(entries_of(&layout, &bytes).map(|entry| Key {
                hash: entry_hash(topic, entry),
                phy,
                store_timestamp: layout.store_timestamp,
            }));
        }
        let result = self.add(&mut building, &keys);
        building.keys = keys;
        result?;
        self.start_at(walk.at);
        Ok(walk.at < end)
    }

    fn add(&self, building: &mut Building, keys: &[Key]) -> Result<(), StoreError> {
        // What an earlier attempt, or the process before an unclean stop, has added already, maybe half of a record's keys.
        let (known, mut added) = self.last_added()?;
        let new = |key: &&Key| {
            let again = key.phy == known && added > 0;
            added -= usize::from(again);
            key.phy >= known && !again
        };
        let mut rest = keys.iter().filter(new).peekable();
        while rest.peek().is_some() {
            let file = self.last_file(building)?;
            let mut adding = file.adding();
            let mut result = Ok(true);
            while let (Some(key), Ok(true)) = (rest.peek(), &result) {
                result = adding.add(**key);
                if let Ok(true) = result {
                    rest.next();
                }
            }
            adding.save();
            result.context("extend", &file.path)?;
        }
        Ok(())
    }

    /// Position of the last indexed record, and how many entries it has; -1 if there is none.
    fn last_added(&self) -> Result<(i64, usize), StoreError> {
        let files = self.files.read();
        let known = files.iter().rev().find(|file| !file.is_empty()).map_or(-1, |file| file.header().end_phy);
        let mut added = 0;
        for file in files.iter().rev() {
            let count = file.last_of(known).context("read", &file.path)?;
            added += count;
            if count < file.len() {
                break;
            }
        }
        Ok((known, added))
    }

    /// Makes a full file durable and begins the next one.
    fn finish(&self, building: &mut Building, file: &Arc<IndexFile>) -> Result<(), StoreError> {
        self.sync(0)?;
        file.release();
        building.finished_timestamp = file.header().end_timestamp;
        self.add_file(Some(file))
    }

    fn last_file(&self, building: &mut Building) -> Result<Arc<IndexFile>, StoreError> {
        let last = self.files.read().last().cloned();
        match last {
            Some(last) if last.is_full() => self.finish(building, &last)?,
            Some(last) => return Ok(last),
            None => self.add_file(None)?,
        }
        let last = self.files.read().last().cloned();
        last.ok_or(StoreError::Closed)
    }

    fn add_file(&self, before: Option<&Arc<IndexFile>>) -> Result<(), StoreError> {
        let (fs, dir) = (&*self.config.file_system, self.config.path("index"));
        create_dir_durably(fs, &dir).context("create directory", &dir)?;
        let mut name = LocalTime::at(self.config.clock.now_millis()).compact();
        if let Some(last) = before.and_then(|file| file.path.file_name()).and_then(|name| name.to_str())
            && *name <= *last
        {
            // Files are sorted by name, so a new one must have a greater name even if the clock went back.
            name = format!("{:017}", last.parse::<u64>().unwrap_or(0).saturating_add(1));
        }
        let path = dir.join(name);
        let (slots, entries) = (u64::from(self.config.index_slots), u64::from(self.config.index_entries));
        let header = before.map(|file| file.header());
        let file = IndexFile::create(fs, path.clone(), slots, entries, header)
            .and_then(|file| fs.sync_dir(&dir).map(|()| file))
            .inspect_err(|_| _ = fs.remove_file(&path))
            .context("create", &path)?;
        let mut files = self.files.write();
        files.push(Arc::new(file));
        *self.durable.lock() = Durable { files: files.len() as u64, entries: 0 };
        Ok(())
    }

    /// Makes everything that is indexed now durable. Indexing and queries go on meanwhile.
    ///
    /// Entries of records behind `flushed` count for nothing: a power cut may take the records and leave the entries.
    ///
    /// # Errors
    /// The sync failed: what was written before may be lost.
    pub(crate) fn sync(&self, flushed: u64) -> Result<(), StoreError> {
        let (files, last) = {
            let files = self.files.read();
            let Some(last) = files.last() else { return Ok(()) };
            (files.len() as u64, Arc::clone(last))
        };
        let all = last.len();
        let entries = last.before(all, flushed).context("read", &last.path)? as u64;
        if entries == all as u64 && *self.durable.lock() == (Durable { files, entries }) {
            return Ok(());
        }
        last.sync().map_err(|source| StoreError::Sync { path: last.path.clone(), source })?;
        // Files may have been removed or added meanwhile; then the next sync tells.
        let index = self.files.read();
        if index.len() as u64 == files && index.last().is_some_and(|now| Arc::ptr_eq(now, &last)) {
            *self.durable.lock() = Durable { files, entries };
        }
        Ok(())
    }

    /// Notes that all is finished, with the clean stop of the store.
    pub(crate) fn finish_all(&self) {
        let mut building = self.building.lock();
        if let Some(last) = self.files.read().last() {
            building.finished_timestamp = building.finished_timestamp.max(last.header().end_timestamp);
        }
    }

    /// What is on the disk for certain.
    pub(crate) fn durable(&self) -> Durable {
        *self.durable.lock()
    }

    /// Takes mapped pages out of this process.
    pub(crate) fn release(&self) {
        self.files.read().iter().for_each(|file| file.release());
    }

    /// Removes files whose records are all gone, never the last one.
    pub(crate) fn expire(&self, log_min: u64) -> io::Result<()> {
        let mut gone = Vec::new();
        {
            let mut files = self.files.write();
            while files.len() > 1
                && files
                    .first()
                    .is_some_and(|first| u64::try_from(first.header().end_phy).is_ok_and(|end| end < log_min))
            {
                gone.push(files.remove(0));
            }
            let mut durable = self.durable.lock();
            durable.files = durable.files.saturating_sub(gone.len() as u64);
        }
        gone.iter().try_for_each(|file| self.config.file_system.remove_file(&file.path))
    }

    /// Records of a topic that have an entry; `readable` is where readers' sight of the log ends.
    ///
    /// Where the query says `key` the entry counts.
    ///
    /// # Errors
    /// The disk cannot give a part of the index, or a record that it names.
    pub(crate) fn query(
        &self,
        log: &CommitLog,
        entry: Entry<'_>,
        query: &KeyQuery<'_>,
        readable: u64,
    ) -> Result<KeyResult, StoreError> {
        let hash = entry_hash(query.topic, entry);
        let max = query.max.min(MAX_KEY_RESULTS);
        let files: Vec<_> = self.files.read().clone();
        let mut result = KeyResult::default();
        if let Some(last) = files.last() {
            let header = last.header();
            result.last_timestamp = header.end_timestamp;
            result.last_physical_offset = header.end_phy;
        }
        let mut positions = Vec::new();
        for file in files.iter().rev() {
            if result.records.len() >= max {
                break;
            }
            let header = file.header();
            if header.begin_timestamp > query.end || header.end_timestamp < query.begin || file.is_empty() {
                continue;
            }
            // Foreign keys with the same hash are many only in a made-up case; they bound the work, not the result.
            positions.clear();
            file.find(hash, query.begin, query.end, MAX_KEY_RESULTS * 64, &mut positions)
                .context("read", &file.path)?;
            positions.dedup();
            for position in &positions {
                if result.records.len() >= max {
                    break;
                }
                let Ok(at) = u64::try_from(*position) else { continue };
                let record = log.record(at).context("read the log in", log.dir())?;
                let Some(record) = record else { continue };
                let layout = record.layout();
                let wanted = at + layout.total_size as u64 <= readable
                    && record.topic() == query.topic
                    && (query.begin..=query.end).contains(&layout.store_timestamp)
                    && entries_of(layout, record.raw()).any(|found| found == entry);
                if wanted {
                    result.records.push(record);
                }
            }
        }
        result.records.sort_by_key(|record| record.layout().physical_offset);
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        for (topic, key) in [("T", "k"), ("中文", "😀"), ("a", "é")] {
            let java = java_hash(&format!("{topic}#{key}"));
            assert_eq!(entry_hash(topic, Entry::Key(key)), java.checked_abs().unwrap_or(0));
            let java = java_hash(&format!("{topic}#T#{key}"));
            assert_eq!(entry_hash(topic, Entry::Tag(key)), java.checked_abs().unwrap_or(0));
        }
        // `polygenelubricants` hashes to the smallest number, and so do texts made of it by the same rule.
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
    }
}
