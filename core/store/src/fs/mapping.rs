//! A file in memory, and the only way to touch its bytes.
//!
//! A mapped page that the disk cannot give ends the process with SIGBUS. So whatever may not be in the page cache is reached
//! first, with a call that answers with an error instead. What is left is a page that is dropped from memory between that and
//! the touch, and that the disk cannot give a second time: mappings have no answer to that.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw, UncheckedAdvice};

/// A shared mapping of a whole file. It stays valid when the file is closed, renamed or removed.
#[derive(Debug)]
pub struct Mapping {
    map: MmapRaw,
    writable: bool,
    /// Stands for the disk in tests.
    #[cfg(any(test, feature = "simulation"))]
    disk: Option<Arc<dyn Disk>>,
}

/// What a simulated disk says of pages.
#[cfg(any(test, feature = "simulation"))]
pub(super) trait Disk: std::fmt::Debug + Send + Sync {
    /// Whether they have to be read from it.
    fn is_needed(&self) -> bool;
    /// Reads them.
    fn read(&self) -> io::Result<()>;
}

impl Mapping {
    /// Maps a whole file, which nobody may shorten while the mapping lives.
    ///
    /// # Errors
    /// The file is empty, or the operating system refuses.
    pub fn new(file: &std::fs::File, writable: bool) -> io::Result<Mapping> {
        let options = MmapOptions::new();
        let map = if writable { options.map_raw(file)? } else { options.map_raw_read_only(file)? };
        Ok(Mapping {
            map,
            writable,
            #[cfg(any(test, feature = "simulation"))]
            disk: None,
        })
    }

    /// The same with pages that come from a simulated disk.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn on(self, disk: Arc<dyn Disk>) -> Mapping {
        Mapping { disk: Some(disk), ..self }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.map.len()
    }

    /// A zero-copy handle on the whole file, of which ranges can be sliced off.
    pub(crate) fn bytes(self: &Arc<Self>) -> Bytes {
        Bytes::from_owner(Whole(Arc::clone(self)))
    }

    /// The bytes of a range; an empty slice if it is not inside the file.
    ///
    /// # Safety
    /// Nobody writes to the range while the slice lives.
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &[u8] {
        if range.start > range.end || range.end > self.map.len() {
            return &[];
        }
        // SAFETY: the range is inside the mapping, which lives as long as `self`; nobody writes to it (caller).
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(range.start), range.end - range.start) }
    }

    /// The bytes of a range to write to; `None` if it is not inside the file or the mapping is read-only.
    ///
    /// # Safety
    /// Nobody else reads or writes the range while the slice lives, and its disk blocks are reserved.
    #[allow(clippy::mut_from_ref, reason = "the mapping is shared memory; the caller guards the range")]
    pub(crate) unsafe fn slice_mut(&self, range: Range<usize>) -> Option<&mut [u8]> {
        if !self.writable || range.start > range.end || range.end > self.map.len() {
            return None;
        }
        // SAFETY: the range is inside the writable mapping, which lives as long as `self`; the caller has it alone.
        Some(unsafe {
            std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(range.start), range.end - range.start)
        })
    }

    /// Whether all pages of a range are in the page cache (`mincore`); of a long range only the first 4 MiB are looked at.
    ///
    /// Where the operating system does not say, they count as being there.
    pub(crate) fn is_cached(&self, range: Range<usize>) -> bool {
        const PAGE: usize = 4096;
        let start = range.start / PAGE * PAGE;
        let end = range.end.min(self.map.len());
        if start >= end {
            return true;
        }
        #[cfg(any(test, feature = "simulation"))]
        if self.disk.as_ref().is_some_and(|disk| disk.is_needed()) {
            return false;
        }
        let mut pages = [0_u8; 1024];
        let count = (end - start).div_ceil(PAGE).min(pages.len());
        let length = (end - start).min(count * PAGE);
        // SAFETY: the range begins at a page and lies inside the mapping, which lives as long as `self`; the array has a byte
        // for each of its pages.
        let result = unsafe {
            libc::mincore(self.map.as_mut_ptr().add(start).cast(), length, pages.as_mut_ptr().cast())
        };
        result != 0 || pages.iter().take(count).all(|page| page & 1 == 1)
    }

    /// Brings the pages of a range into memory, from the disk if need be, for which it waits.
    ///
    /// # Errors
    /// The disk cannot give them, or the file is shorter than it was. `Unsupported` where the operating system does not know
    /// the call (Linux before 5.14).
    pub(crate) fn reach(&self, range: Range<usize>) -> io::Result<()> {
        const PAGE: usize = 4096;
        let (start, end) = (range.start / PAGE * PAGE, range.end.min(self.map.len()));
        if start >= end {
            return Ok(());
        }
        #[cfg(any(test, feature = "simulation"))]
        if let Some(disk) = self.disk.as_ref().filter(|disk| disk.is_needed()) {
            return disk.read();
        }
        loop {
            // SAFETY: the range begins at a page and lies inside the mapping, which lives as long as `self`; pages are only
            // brought in, nothing is changed.
            let result = unsafe {
                libc::madvise(self.map.as_mut_ptr().add(start).cast(), end - start, libc::MADV_POPULATE_READ)
            };
            if result == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN) => {}
                // A touch would have been answered with SIGBUS.
                Some(libc::EFAULT | libc::EHWPOISON) => return Err(io::Error::from_raw_os_error(libc::EIO)),
                Some(libc::EINVAL) => return Err(io::ErrorKind::Unsupported.into()),
                _ => return Err(error),
            }
        }
    }

    /// Makes the pages of a range ready to be written to, as a write to each of them would; a hint. Its blocks are reserved.
    pub(crate) fn populate(&self, range: Range<usize>) {
        const PAGE: usize = 4096;
        let (start, end) = (range.start / PAGE * PAGE, range.end.min(self.map.len()));
        if start >= end || !self.writable {
            return;
        }
        // SAFETY: the range begins at a page and lies inside the mapping, which lives as long as `self`; what the pages hold is
        // not changed, whoever writes to them meanwhile.
        let result = unsafe {
            libc::madvise(self.map.as_mut_ptr().add(start).cast(), end - start, libc::MADV_POPULATE_WRITE)
        };
        if result != 0 {
            tracing::debug!(error = %io::Error::last_os_error(), "pages of a mapped file are not made ready");
        }
    }

    /// Takes the pages that lie wholly in a range out of this process; they stay in the page cache.
    pub(crate) fn release(&self, range: Range<usize>) {
        const PAGE: usize = 4096;
        let (start, end) = (range.start.next_multiple_of(PAGE), range.end.min(self.map.len()) / PAGE * PAGE);
        if start >= end {
            return;
        }
        // SAFETY: for a shared file mapping this only drops page table entries; the next access finds the same bytes.
        let result =
            unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        if let Err(error) = result {
            tracing::debug!(%error, "pages of a mapped file could not be released");
        }
    }
}

struct Whole(Arc<Mapping>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `Bytes::from_owner` asks once, before anything is appended to this mapping, and keeps the address;
        // later it is only read in ranges that lie before the published end of the log, which are never written again.
        unsafe { self.0.slice(0..self.0.size()) }
    }
}
