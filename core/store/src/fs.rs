//! The thin seam between the store and the operating system: every file operation goes through these traits.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

mod mapping;
mod real;
#[cfg(any(test, feature = "simulation"))]
mod simulated;

pub use mapping::Mapping;
pub use real::RealFileSystem;
#[cfg(any(test, feature = "simulation"))]
pub use simulated::{Call, Random, SimulatedFiles};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; it is only read.
    Read,
    /// It must exist; it is read and written.
    Write,
    /// It is made if it does not exist; what is in it stays.
    Create,
    /// It is made, or emptied if it exists.
    Truncate,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name without its directory; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Size in bytes; 0 for a directory.
    pub size: u64,
    /// Time of the last change in milliseconds since the epoch; 0 if unknown.
    pub modified: i64,
}

/// Space of a file system in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Used by anything.
    pub used: u64,
    /// Still usable by us.
    pub usable: u64,
}

impl DiskSpace {
    /// Used share of the partition in whole percent, rounded up (`UtilAll.getDiskPartitionSpaceUsedPercent`).
    #[must_use]
    pub fn used_percent(&self) -> u8 {
        let total = self.used.saturating_add(self.usable);
        let percent = u128::from(self.used) * 100;
        if total == 0 { 0 } else { u8::try_from(percent.div_ceil(u128::from(total))).unwrap_or(100) }
    }
}

/// The directory operations that the store needs. All calls block; errors are the operating system's.
#[allow(clippy::missing_errors_doc, reason = "all fail as the operating system says")]
pub trait FileSystem: Debug + Send + Sync {
    /// Makes a directory and those above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order; a directory that does not exist is empty.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Moves a file over whatever has the new name, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be free.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that does not exist is fine.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory; one that does not exist is fine.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether a name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// What tells this directory from all others, whatever path leads to it.
    fn identity(&self, path: &Path) -> io::Result<(u64, u64)>;
    /// Space of the partition that holds the path.
    fn space(&self, path: &Path) -> io::Result<DiskSpace>;
}

/// Makes a directory and those above it, with names that a power cut does not take back.
///
/// # Errors
/// The operating system refuses.
pub(crate) fn create_dir_durably(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for above in path.ancestors().filter(|above| !above.as_os_str().is_empty()) {
        if fs.exists(above)? {
            break;
        }
        missing.push(above);
    }
    if missing.is_empty() {
        return Ok(());
    }
    fs.create_dir_all(path)?;
    missing.iter().filter_map(|made| made.parent()).try_for_each(|parent| {
        fs.sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
    })
}

/// An open file. Positions and lengths are in bytes; calls may come from many threads at once.
#[allow(clippy::missing_errors_doc, reason = "all fail as the operating system says")]
pub trait File: Debug + Send + Sync {
    /// Its size.
    fn size(&self) -> io::Result<u64>;
    /// Cuts or extends it; what is added reads as zeros and takes no space yet.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Fills `out` from `at`; an end of file before that is an error.
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()>;
    /// As [`read_at`](File::read_at), but `false` where that would have to wait for the disk.
    fn read_cached(&self, out: &mut [u8], at: u64) -> io::Result<bool> {
        self.read_at(out, at).map(|()| true)
    }
    /// Writes all of `data` at `at`.
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()>;
    /// As [`write_at`](File::write_at), of parts one behind the other.
    fn write_parts_at(&self, parts: &mut [IoSlice<'_>], at: u64) -> io::Result<()> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        self.write_at(&parts.concat(), at)
    }
    /// Lets the disk begin with what a [`sync`](File::sync) would write of `at..at + length`; nothing is promised.
    fn begin_sync(&self, _at: u64, _length: u64) {}
    /// Makes the data durable, and as much of its metadata as is needed to read it.
    fn sync(&self) -> io::Result<()>;
    /// Makes sure that later writes to `at..at + length`, which lies inside the file and holds nothing, find disk space.
    fn reserve(&self, at: u64, length: u64) -> io::Result<()>;
    /// Makes `at..at + length`, which lies inside the file, read as zeros.
    fn zero(&self, at: u64, length: u64) -> io::Result<()>;
    /// Where, at or behind `at`, something may have been written; `None` if the rest of the file is a hole.
    fn next_data(&self, at: u64) -> io::Result<Option<u64>>;
    /// Maps the whole file, shared with all who map or read it.
    fn map(&self, writable: bool) -> io::Result<Mapping>;
    /// Takes the exclusive record lock (`fcntl`); `false` if another process holds it.
    fn try_lock(&self) -> io::Result<bool>;
}
