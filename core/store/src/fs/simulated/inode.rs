//! One simulated file: its content as programs see it, and what of that is on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};

use super::random::Random;

/// What the kernel writes back together.
pub(super) const PAGE: usize = 4096;
/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// A file, whatever its names.
#[derive(Debug)]
pub(super) struct Inode {
    /// What reads, writes and mappings see.
    pub(super) file: Arc<File>,
    /// What a power cut cannot take any more.
    durable: Vec<u8>,
    /// Pages that a failed sync has marked as clean although the disk does not have them, with their content.
    dropped: BTreeMap<usize, Vec<u8>>,
    /// Pages that have disk space.
    allocated: BTreeSet<usize>,
    /// Time of the last change.
    pub(super) modified: i64,
}

fn page_of(content: &[u8], page: usize) -> &[u8] {
    let start = (page * PAGE).min(content.len());
    content.get(start..(start + PAGE).min(content.len())).unwrap_or_default()
}

/// Whether two pages read the same; what is not there reads as zeros.
fn same(a: &[u8], b: &[u8]) -> bool {
    let common = a.len().min(b.len());
    let (a, a_rest) = a.split_at(common);
    let (b, b_rest) = b.split_at(common);
    a == b && a_rest.iter().chain(b_rest).all(|byte| *byte == 0)
}

fn put_page(content: &mut Vec<u8>, page: usize, bytes: &[u8]) {
    let start = page * PAGE;
    if content.len() < start + bytes.len() {
        content.resize(start + bytes.len(), 0);
    }
    if let Some(out) = content.get_mut(start..start + bytes.len()) {
        out.copy_from_slice(bytes);
    }
}

impl Inode {
    /// A file with this content, all of it on the disk.
    pub(super) fn new(content: Vec<u8>, modified: i64) -> io::Result<Inode> {
        let file = File::from(memfd_create(c"simulated", MemfdFlags::CLOEXEC)?);
        file.write_all_at(&content, 0)?;
        let mut inode = Inode {
            file: Arc::new(file),
            durable: content,
            dropped: BTreeMap::new(),
            allocated: BTreeSet::new(),
            modified,
        };
        inode.allocated = (0..inode.durable.len().div_ceil(PAGE))
            .filter(|page| page_of(&inode.durable, *page).iter().any(|byte| *byte != 0))
            .collect();
        Ok(inode)
    }

    /// What programs see.
    pub(super) fn content(&self) -> io::Result<Vec<u8>> {
        let mut content = vec![0; usize::try_from(self.file.metadata()?.len()).unwrap_or(0)];
        self.file.read_exact_at(&mut content, 0)?;
        Ok(content)
    }

    /// Pages of a range of bytes that have no disk space yet.
    pub(super) fn unallocated(&self, at: u64, length: u64) -> Vec<usize> {
        let page = |byte: u64| usize::try_from(byte / PAGE as u64).unwrap_or(usize::MAX);
        if length == 0 {
            return Vec::new();
        }
        (page(at)..=page(at + length - 1)).filter(|page| !self.allocated.contains(page)).collect()
    }

    pub(super) fn allocate(&mut self, pages: &[usize]) {
        self.allocated.extend(pages);
    }

    /// Pages of a range are written anew: the kernel means to write them again.
    pub(super) fn touch(&mut self, at: u64, length: u64) {
        let page = |byte: u64| usize::try_from(byte / PAGE as u64).unwrap_or(usize::MAX);
        self.dropped.retain(|number, _| *number < page(at) || *number > page(at + length.saturating_sub(1)));
    }

    pub(super) fn allocated(&self) -> usize {
        self.allocated.len()
    }

    /// Whether a page was written, through a mapping, that has no disk space: on a full disk that kills the process.
    pub(super) fn unreserved_write(&self) -> io::Result<Option<usize>> {
        let content = self.content()?;
        let written = |page: &usize| page_of(&content, *page).iter().any(|byte| *byte != 0);
        Ok((0..content.len().div_ceil(PAGE)).filter(|page| !self.allocated.contains(page)).find(written))
    }

    /// Pages that the disk does not have yet and the kernel still means to write.
    fn dirty(&self, content: &[u8]) -> Vec<usize> {
        let pages = content.len().max(self.durable.len()).div_ceil(PAGE);
        let clean =
            |page: usize| self.dropped.get(&page).is_some_and(|bytes| bytes == page_of(content, page));
        (0..pages)
            .filter(|page| !same(page_of(content, *page), page_of(&self.durable, *page)) && !clean(*page))
            .collect()
    }

    /// A successful sync.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let content = self.content()?;
        let dirty = self.dirty(&content);
        self.durable.resize(content.len(), 0);
        for page in dirty {
            put_page(&mut self.durable, page, page_of(&content, page));
        }
        Ok(())
    }

    /// A failed sync: some pages get to the disk; the others are taken for clean from now on and never written.
    pub(super) fn fail_sync(&mut self, random: &mut Random) -> io::Result<()> {
        let content = self.content()?;
        for page in self.dirty(&content) {
            if random.percent(30) {
                put_page(&mut self.durable, page, page_of(&content, page));
            } else {
                self.dropped.insert(page, page_of(&content, page).to_vec());
            }
        }
        Ok(())
    }

    /// The kernel writes one dirty page by itself.
    pub(super) fn write_back(&mut self, random: &mut Random) -> io::Result<()> {
        let content = self.content()?;
        let dirty = self.dirty(&content);
        let chosen = random.below(dirty.len() as u64);
        if let Some(page) = dirty.get(usize::try_from(chosen).unwrap_or(0)) {
            self.durable.resize(content.len(), 0);
            put_page(&mut self.durable, *page, page_of(&content, *page));
        }
        Ok(())
    }

    /// What is found after a power cut: of what was not synced any pages survive, some of them in part.
    pub(super) fn after_cut(&self, random: &mut Random) -> io::Result<Vec<u8>> {
        let content = self.content()?;
        let chance = [0, 10, 50, 90, 100].get(usize::try_from(random.below(5)).unwrap_or(0)).copied();
        let chance = chance.unwrap_or(50);
        let mut found = self.durable.clone();
        if random.percent(chance) {
            found.resize(content.len(), 0);
        }
        let length = found.len();
        for page in self.dirty(&content) {
            if !random.percent(chance) {
                continue;
            }
            let new = page_of(&content, page);
            if random.percent(60) {
                put_page(&mut found, page, new);
                continue;
            }
            // Torn: each sector is old or new.
            for (number, sector) in new.chunks(SECTOR).enumerate() {
                let start = page * PAGE + number * SECTOR;
                if random.percent(50)
                    && let Some(out) = found.get_mut(start..start + sector.len())
                {
                    out.copy_from_slice(sector);
                }
            }
        }
        found.truncate(length);
        Ok(found)
    }
}
