//! Opening index files: what is on the disk for certain is kept, the rest is built again from the log.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};

use super::file::IndexFile;
use super::{Building, Durable, Index};
use crate::check::Fault;
use crate::config::StoreConfig;
use crate::error::{IoContext as _, StoreError};
use crate::log::CommitLog;
use crate::recovery::RecoveryReport;

/// How the process before has left the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    /// It stopped cleanly: all files are whole.
    pub(crate) clean: bool,
    /// Newest store time in a finished file (`indexMsgTimestamp`).
    pub(crate) safe_timestamp: i64,
    /// What our own note says.
    pub(crate) noted: Option<Durable>,
}

/// What is to be done with a file.
enum Verdict {
    Keep,
    /// Keep this many entries.
    Cut(usize),
    Drop(&'static str),
}

impl Left {
    fn judge(&self, file: &IndexFile, number: u64, last: bool) -> Verdict {
        let header = file.header();
        if !file.is_plausible() {
            return Verdict::Drop("its header cannot be true");
        }
        if self.clean {
            return Verdict::Keep;
        }
        match self.noted {
            // A file is made durable before the next one is begun.
            Some(_) if !last => Verdict::Keep,
            Some(noted) if noted.files == number && noted.entries > file.len() as u64 => {
                Verdict::Drop("it has fewer entries than were on the disk")
            }
            Some(noted) if noted.files == number => Verdict::Cut(usize::try_from(noted.entries).unwrap_or(0)),
            Some(_) => Verdict::Drop("nothing of it is on the disk for certain"),
            // `IndexService.load`
            None if header.end_timestamp > self.safe_timestamp => {
                Verdict::Drop("it may not be on the disk as a whole")
            }
            None if last && !file.is_full() && header.end_timestamp == self.safe_timestamp => {
                Verdict::Drop("its last entries may not be on the disk")
            }
            None => Verdict::Keep,
        }
    }
}

impl Index {
    /// Opens all index files; also says whether all could be kept as they are.
    pub(crate) fn load(
        config: &StoreConfig,
        log: &CommitLog,
        left: Left,
        report: &mut RecoveryReport,
    ) -> Result<(Index, bool), StoreError> {
        let (fs, dir) = (&*config.file_system, config.path("index"));
        let mut remove = |path: &Path, why: &'static str| {
            let what = format!("{why}; its entries are made again from the log");
            report.add(Fault::Index { path: path.to_path_buf(), what });
            fs.remove_file(path).context("remove index file", path)?;
            // A file that comes back would vouch for the one before it, which goes on growing.
            fs.sync_dir(&dir).context("sync directory", &dir)
        };
        let mut entries = fs.list(&dir).context("list directory", &dir)?;
        entries.retain(|entry| !entry.directory && entry.name.bytes().all(|b| b.is_ascii_digit()));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(last) = entries.pop_if(|last| last.size == 0) {
            // Made but not yet sized when the process ended.
            let path = dir.join(last.name);
            fs.remove_file(&path).context("remove empty file", &path)?;
        }
        let count = entries.len() as u64;
        let mut whole = left.noted.is_none_or(|noted| count >= noted.files);
        let mut files: Vec<Arc<IndexFile>> = Vec::with_capacity(entries.len());
        for (number, entry) in (1..).zip(&entries) {
            let path = dir.join(&entry.name);
            let mut drop_from = |first: usize, why: &'static str| {
                let names = entries.iter().skip(first).map(|entry| dir.join(&entry.name)).collect::<Vec<_>>();
                names.iter().rev().try_for_each(|path| remove(path, why))
            };
            if !whole {
                drop_from(0, "one before or behind it is missing")?;
                break;
            }
            if entry.size == 0 {
                drop_from(files.len(), "it, or one before it, is empty")?;
                whole = false;
                break;
            }
            let opened =
                IndexFile::open(fs, &path, u64::from(config.index_slots), u64::from(config.index_entries));
            let file = opened.map_err(|error| match error.kind() {
                ErrorKind::InvalidData => StoreError::Layout {
                    path: path.clone(),
                    what: format!("{error}; set them as they were, or remove the file to have it rebuilt"),
                },
                _ => StoreError::Io { action: "open index file", path: path.clone(), source: error },
            })?;
            let kept = match left.judge(&file, number, number == count) {
                Verdict::Drop(why) => {
                    drop_from(files.len(), why)?;
                    whole = false;
                    break;
                }
                Verdict::Keep => file.len(),
                Verdict::Cut(entries) => entries,
            };
            // Of what the log has lost nothing may be found.
            let kept = file.before(kept, log.end()).context("read", &path)?;
            let trusted = left.clean || number != count;
            if kept == file.len() && (trusted || file.is_whole().context("read", &path)?) {
                files.push(Arc::new(file));
                continue;
            }
            whole = false;
            drop_from(files.len() + 1, "one before it was cut")?;
            let last = file.position_of(kept).context("read", &path)?;
            let record = last.map_or(Ok(None), |at| log.record(at)).context("read the log in", log.dir())?;
            let time = record.map(|record| record.layout().store_timestamp);
            if let Some(time) = time {
                file.cut(kept, time).context("cut", &path)?;
                files.push(Arc::new(file));
            } else {
                drop_from(files.len(), "none of its entries is on the disk for certain")?;
            }
            break;
        }
        // What is kept is on the disk, except for what was cut just now.
        let durable = if whole {
            let entries = files.last().map_or(0, |last| last.len() as u64);
            Durable { files: files.len() as u64, entries }
        } else {
            Durable::default()
        };
        let building = Building { finished_timestamp: left.safe_timestamp, ..Building::default() };
        let index = Index {
            config: config.clone(),
            files: RwLock::new(files),
            at: AtomicU64::new(0),
            durable: Mutex::new(durable),
            building: Mutex::new(building),
        };
        Ok((index, whole))
    }
}
