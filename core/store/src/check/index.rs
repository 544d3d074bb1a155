//! Checking index files: entries in their order against the records in theirs, and chains and slots against the entries.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use mq_protocol::message::RecordLayout;

use super::fault::{Fault, Findings};
use crate::config::StoreConfig;
use crate::error::{IoContext as _, StoreError};
use crate::fs::{File, OpenMode};
use crate::index::{Entry, Header, entries_of, entry_hash};

const HEADER: u64 = 40;
const SLOT: u64 = 4;
const ENTRY: u64 = 20;
/// Entries that are read at once.
const CHUNK: usize = 4096;

/// An entry as it is stored.
#[derive(Clone, Copy, Debug)]
struct Stored {
    number: i32,
    hash: i32,
    at: i64,
    seconds: i32,
    previous: i32,
}

/// The file whose entries are being read.
#[derive(Debug)]
struct Current {
    path: PathBuf,
    file: Arc<dyn File>,
    header: Header,
    /// Number of the entry to read next.
    next: i32,
    chunk: Vec<u8>,
    chunk_first: i32,
    /// What the slots must hold in view of the entries read so far.
    slots: Vec<i32>,
    used_slots: i32,
    last_at: i64,
}

/// All index files of a store.
#[derive(Debug)]
pub(super) struct IndexCheck {
    config: StoreConfig,
    paths: Vec<PathBuf>,
    current: Option<Current>,
    ahead: Option<Stored>,
    log_min: i64,
    missing: Option<(u64, u64)>,
    missing_behind: Option<(u64, u64)>,
    clean: bool,
    pub(super) files: u64,
    pub(super) entries: u64,
}

fn int(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| i32::from_be_bytes(*bytes))
}

impl IndexCheck {
    pub(super) fn open(
        config: &StoreConfig,
        log_min: u64,
        clean: bool,
        findings: &mut Findings,
    ) -> Result<IndexCheck, StoreError> {
        let dir = config.path("index");
        let mut entries = config.file_system.list(&dir).context("list directory", &dir)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut paths = Vec::with_capacity(entries.len());
        let wanted = HEADER + SLOT * u64::from(config.index_slots) + ENTRY * u64::from(config.index_entries);
        for entry in entries {
            let path = dir.join(&entry.name);
            if entry.directory || !entry.name.bytes().all(|byte| byte.is_ascii_digit()) {
                let what = "only index files, named by their time, may be here".to_owned();
                findings.add(Fault::File { path, what });
            } else if entry.size != wanted {
                let what = format!(
                    "it has {} bytes where {} slots (maxHashSlotNum) and {} entries (maxIndexNum) need {wanted}",
                    entry.size, config.index_slots, config.index_entries
                );
                findings.add_if(!clean && entry.size == 0, Fault::File { path, what });
            } else {
                paths.push(path);
            }
        }
        let files = paths.len() as u64;
        paths.reverse();
        Ok(IndexCheck {
            config: config.clone(),
            paths,
            current: None,
            ahead: None,
            log_min: i64::try_from(log_min).unwrap_or(i64::MAX),
            missing: None,
            missing_behind: None,
            clean,
            files,
            entries: 0,
        })
    }

    /// The next entry of all files, which stays the next one.
    fn peek(&mut self, findings: &mut Findings) -> Option<Stored> {
        while self.ahead.is_none() {
            if let Some(current) = &mut self.current {
                if current.next < current.header.count {
                    match current.read() {
                        Ok(entry) => {
                            current.follow(&entry, self.config.index_slots, findings);
                            self.ahead = Some(entry);
                            self.entries += 1;
                            break;
                        }
                        Err(error) => {
                            let what = error.to_string();
                            findings.add(Fault::Unreadable { path: current.path.clone(), what });
                        }
                    }
                } else {
                    current.finish(findings);
                }
                self.current = None;
            } else {
                let path = self.paths.pop()?;
                match Current::open(&self.config, path.clone()) {
                    Ok(current) => {
                        let count = u64::try_from(current.header.count).unwrap_or(u64::MAX);
                        if count > u64::from(self.config.index_entries) {
                            let what = format!(
                                "its header counts {count} entries; it has room for {}",
                                self.config.index_entries
                            );
                            findings.add(Fault::Index { path, what });
                        } else {
                            self.current = Some(current);
                        }
                    }
                    Err(error) => findings.add(Fault::Unreadable { path, what: error.to_string() }),
                }
            }
        }
        self.ahead
    }

    fn path(&self) -> PathBuf {
        self.current.as_ref().map_or_else(|| self.config.path("index"), |current| current.path.clone())
    }

    /// Takes the entries of one record and compares them with its keys.
    pub(super) fn record(&mut self, at: u64, layout: &RecordLayout, bytes: &[u8], findings: &mut Findings) {
        let topic = layout.topic(bytes);
        let position = i64::try_from(at).unwrap_or(i64::MAX);
        let (mut keys, mut tags): (Vec<i32>, Vec<i32>) = (Vec::new(), Vec::new());
        for entry in entries_of(layout, bytes) {
            match entry {
                Entry::Key(_) => keys.push(entry_hash(topic, entry)),
                // Only 5.5.0 and later index tags.
                Entry::Tag(_) => tags.push(entry_hash(topic, entry)),
            }
        }
        self.pass(position, findings);
        let mut found = Vec::new();
        while let Some(entry) = self.peek(findings).filter(|entry| entry.at == position) {
            self.ahead = None;
            if !keys.contains(&entry.hash) && !tags.contains(&entry.hash) {
                let what = format!("none of its keys has the hash {}", entry.hash);
                findings.add(Fault::IndexEntry {
                    path: self.path(),
                    entry: entry.number,
                    at: entry.at,
                    what,
                });
            }
            if let Some(current) = &self.current {
                current.check_time(&entry, layout.store_timestamp, findings);
            }
            found.push(entry.hash);
        }
        if keys.iter().any(|key| !found.contains(key)) {
            let behind = self.ahead.is_none();
            let missing = if behind { &mut self.missing_behind } else { &mut self.missing };
            missing.get_or_insert((0, at)).0 += 1;
        }
    }

    /// Passes over entries of records before `position`, of which none may be in the log.
    fn pass(&mut self, position: i64, findings: &mut Findings) {
        while let Some(entry) = self.peek(findings).filter(|entry| entry.at < position) {
            self.ahead = None;
            if entry.at >= self.log_min {
                let what = "no record with keys begins there".to_owned();
                findings.add(Fault::IndexEntry {
                    path: self.path(),
                    entry: entry.number,
                    at: entry.at,
                    what,
                });
            }
        }
    }

    /// Says what is wrong once the whole log was walked; `true` if there are records with keys and no index at all.
    pub(super) fn finish(&mut self, end: u64, findings: &mut Findings) -> bool {
        self.pass(i64::try_from(end).unwrap_or(i64::MAX), findings);
        while let Some(entry) = self.peek(findings) {
            self.ahead = None;
            let (path, what) = (self.path(), format!("the log ends at {end}"));
            findings.add_if(!self.clean, Fault::IndexEntry { path, entry: entry.number, at: entry.at, what });
        }
        if let Some((count, at)) = self.missing {
            findings.add(Fault::KeysMissing { count, at });
        }
        if self.files == 0 && self.clean {
            return self.missing_behind.is_some();
        }
        if let Some((count, at)) = self.missing_behind {
            findings.add_if(!self.clean, Fault::KeysMissing { count, at });
        }
        false
    }
}

impl Current {
    fn open(config: &StoreConfig, path: PathBuf) -> io::Result<Current> {
        let file = config.file_system.open(&path, OpenMode::Read)?;
        let mut bytes = [0; HEADER as usize];
        file.read_at(&mut bytes, 0)?;
        Ok(Current {
            path,
            file,
            header: Header::decode(&bytes),
            next: 1,
            chunk: Vec::new(),
            chunk_first: 0,
            slots: vec![0; usize::try_from(config.index_slots).unwrap_or(0)],
            used_slots: 0,
            last_at: 0,
        })
    }

    fn read(&mut self) -> io::Result<Stored> {
        let number = self.next;
        let place = |number: i32| usize::try_from(number).unwrap_or(0) * ENTRY as usize;
        if self.chunk.is_empty() || place(number - self.chunk_first) >= self.chunk.len() {
            let rest = usize::try_from(self.header.count - number).unwrap_or(0);
            self.chunk.resize(rest.min(CHUNK) * ENTRY as usize, 0);
            let at = HEADER + SLOT * self.slots.len() as u64 + ENTRY * u64::try_from(number).unwrap_or(0);
            self.file.read_at(&mut self.chunk, at)?;
            self.chunk_first = number;
        }
        self.next += 1;
        let at = place(number - self.chunk_first);
        let bytes = self.chunk.get(at..).unwrap_or_default();
        let high = i64::from(int(bytes, 4)) << 32;
        Ok(Stored {
            number,
            hash: int(bytes, 0),
            at: high | i64::from(int(bytes, 8).cast_unsigned()),
            seconds: int(bytes, 12),
            previous: int(bytes, 16),
        })
    }

    /// Compares an entry's link with the newest entry before it in the same slot.
    fn follow(&mut self, entry: &Stored, slots: u32, findings: &mut Findings) {
        let slot = u64::try_from(entry.hash).unwrap_or(0) % u64::from(slots);
        let Some(newest) = usize::try_from(slot).ok().and_then(|slot| self.slots.get_mut(slot)) else {
            return;
        };
        let mut wrong = None;
        if entry.hash < 0 {
            wrong = Some(format!("its hash {} is negative", entry.hash));
        } else if entry.previous != *newest {
            wrong = Some(format!(
                "it links to entry {}; the one before it in slot {slot} is {newest}",
                entry.previous
            ));
        } else if entry.at < self.last_at {
            wrong = Some(format!("the entry before it is for a later record, at {}", self.last_at));
        }
        self.used_slots += i32::from(*newest == 0);
        *newest = entry.number;
        self.last_at = entry.at;
        if let Some(what) = wrong {
            findings.add(Fault::IndexEntry {
                path: self.path.clone(),
                entry: entry.number,
                at: entry.at,
                what,
            });
        }
    }

    fn check_time(&self, entry: &Stored, store_timestamp: i64, findings: &mut Findings) {
        let begin = self.header.begin_timestamp;
        let wanted = (store_timestamp.saturating_sub(begin) / 1000).clamp(0, i64::from(i32::MAX));
        // The first entry's time counts from the end of the file before it.
        if entry.number > 1 && i64::from(entry.seconds) != wanted {
            let what = format!(
                "it is {} s after the file's first; the record was stored {wanted} s after it",
                entry.seconds
            );
            findings.add(Fault::IndexEntry {
                path: self.path.clone(),
                entry: entry.number,
                at: entry.at,
                what,
            });
        }
    }

    /// Compares slots and header with the entries, all of which were read.
    fn finish(&mut self, findings: &mut Findings) {
        let mut wrong = |what: String| findings.add(Fault::Index { path: self.path.clone(), what });
        let mut bytes = vec![0; (64 << 10) * SLOT as usize];
        for (number, slots) in self.slots.chunks(64 << 10).enumerate() {
            let at = HEADER + (number as u64) * bytes.len() as u64;
            let Some(out) = bytes.get_mut(..slots.len() * SLOT as usize) else { continue };
            if let Err(error) = self.file.read_at(out, at) {
                return wrong(format!("its slots cannot be read: {error}"));
            }
            let stored = out.as_chunks::<4>().0.iter().map(|slot| i32::from_be_bytes(*slot));
            if let Some((slot, (stored, wanted))) =
                stored.zip(slots).enumerate().find(|(_, (stored, wanted))| stored != *wanted)
            {
                let slot = number * (64 << 10) + slot;
                wrong(format!("slot {slot} holds {stored}; the newest entry of its chain is {wanted}"));
                break;
            }
        }
        let header = self.header;
        if header.count > 1 && header.slot_count != self.used_slots {
            wrong(format!(
                "its header counts {} used slots; there are {}",
                header.slot_count, self.used_slots
            ));
        }
        if header.count > 1 && header.end_phy != self.last_at {
            wrong(format!(
                "its header says that it ends with the record at {}; its last entry is for {}",
                header.end_phy, self.last_at
            ));
        }
    }
}
