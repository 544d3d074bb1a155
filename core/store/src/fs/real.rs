//! The file system of the machine.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, SeekFrom, fallocate, fcntl_lock, seek, statvfs};
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev};

use super::{DirEntry, DiskSpace, File, FileSystem, Mapping, OpenMode};

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFileSystem;

#[derive(Debug)]
struct RealFile(fs::File);

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn modified_millis(metadata: &fs::Metadata) -> i64 {
    metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000)
}

impl FileSystem for RealFileSystem {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry?;
            // Follows links, as Java's `File` does; what vanished or points nowhere is not there.
            let Ok(metadata) = fs::metadata(entry.path()) else { continue };
            all.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                directory: metadata.is_dir(),
                size: if metadata.is_dir() { 0 } else { metadata.len() },
                modified: modified_millis(&metadata),
            });
        }
        Ok(all)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::Create => options.write(true).create(true).truncate(false),
            OpenMode::Truncate => options.write(true).create(true).truncate(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        missing_is_fine(fs::remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        missing_is_fine(fs::remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn identity(&self, path: &Path) -> io::Result<(u64, u64)> {
        let metadata = fs::metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn space(&self, path: &Path) -> io::Result<DiskSpace> {
        let stat = statvfs(path)?;
        let unit = stat.f_frsize;
        Ok(DiskSpace {
            used: stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(unit),
            usable: stat.f_bavail.saturating_mul(unit),
        })
    }
}

impl RealFile {
    fn write_zeros(&self, at: u64, length: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut at = at;
        let mut left = length;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            let zeros = ZEROS.get(..piece).unwrap_or_default();
            self.0.write_all_at(zeros, at)?;
            at += piece as u64;
            left -= piece as u64;
        }
        Ok(())
    }

    /// `fallocate` where the file system has it, zeros written by hand where not.
    fn allocate(&self, flags: FallocateFlags, at: u64, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        loop {
            match fallocate(&self.0, flags, at, length) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return self.write_zeros(at, length),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl File for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.0.read_exact_at(out, at)
    }

    fn read_cached(&self, out: &mut [u8], at: u64) -> io::Result<bool> {
        let length = out.len();
        match preadv2(&self.0, &mut [IoSliceMut::new(out)], at, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(read == length),
            Err(Errno::AGAIN) => Ok(false),
            // Not every file system can say so.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.read_at(out, at).map(|()| true),
            Err(error) => Err(error.into()),
        }
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        self.0.write_all_at(data, at)
    }

    fn write_parts_at(&self, mut parts: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
        /// `IOV_MAX` of Linux.
        const AT_ONCE: usize = 1024;
        // Empty ones first, or a write of nothing could not be told from one that makes no progress.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match pwritev(&self.0, parts.get(..AT_ONCE).unwrap_or(parts), at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn begin_sync(&self, at: u64, length: u64) {
        let (Ok(at), Ok(length)) = (i64::try_from(at), i64::try_from(length)) else { return };
        // SAFETY: the descriptor is open; no memory is touched. An error is one that the sync will have, too.
        unsafe { libc::sync_file_range(self.0.as_raw_fd(), at, length, libc::SYNC_FILE_RANGE_WRITE) };
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn reserve(&self, at: u64, length: u64) -> io::Result<()> {
        self.allocate(FallocateFlags::KEEP_SIZE, at, length)
    }

    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        self.allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, length)
    }

    fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        match seek(&self.0, SeekFrom::Data(at)) {
            Ok(data) => Ok(Some(data)),
            Err(Errno::NXIO) => Ok(None),
            // A file system without holes: all of it is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok((at < self.size()?).then_some(at)),
            Err(error) => Err(error.into()),
        }
    }

    fn map(&self, writable: bool) -> io::Result<Mapping> {
        Mapping::new(&self.0, writable)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match fcntl_lock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::ACCESS | Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
