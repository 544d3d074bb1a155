//! A file system in memory for tests: it loses what was not synced when its power is cut, and refuses what it is told to.
//!
//! Everything follows from a seed and from the order of calls, so a test that makes its calls from one thread can be
//! repeated exactly. Mappings are real, so what is written through them is lost and torn like the rest.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::mapping::Disk;
use super::{DirEntry, DiskSpace, File, FileSystem, Mapping, OpenMode};

mod inode;
mod names;
mod random;

use inode::{Inode, PAGE};
use names::{Names, Node};
pub use random::Random;

/// Calls that can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the calls of the traits")]
pub enum Call {
    CreateDir,
    List,
    Open,
    Rename,
    Link,
    Remove,
    SyncDir,
    Size,
    SetSize,
    Read,
    Write,
    Sync,
    Reserve,
    Zero,
    Map,
    Lock,
    /// Not a call: a page of a mapping that is not in memory is read. All of a file is in memory unless this is refused for it.
    PageIn,
}

/// Which calls are refused, and how.
#[derive(Clone, Debug)]
struct Fault {
    call: Call,
    /// Part of the path.
    path: String,
    /// The operating system's number of the error.
    error: i32,
    /// Calls that are refused before the fault is over.
    left: u64,
}

/// The file system; clones share it. Its only directory at first is the root it is made with.
#[derive(Clone, Debug)]
pub struct SimulatedFiles {
    world: Arc<Mutex<World>>,
    root: PathBuf,
    id: u64,
}

#[derive(Debug)]
struct World {
    names: Names,
    inodes: HashMap<u64, Inode>,
    next_inode: u64,
    random: Random,
    /// Calls so far.
    calls: u64,
    /// Number of the call at which the power is cut.
    cut_at: Option<u64>,
    /// What the disk held when the power was cut.
    found: Option<(Names, BTreeMap<u64, Vec<u8>>)>,
    faults: Vec<Fault>,
    /// Bytes of disk space.
    capacity: u64,
    /// Percent of the disk that is taken to be used, if not what the files use.
    used_percent: Option<u8>,
    /// Whether the kernel writes pages back by itself.
    write_back: bool,
    now: i64,
    bytes_read: u64,
    root: PathBuf,
}

#[derive(Debug)]
struct SimulatedFile {
    world: Arc<Mutex<World>>,
    path: PathBuf,
    inode: u64,
    file: Arc<std::fs::File>,
}

fn no_such(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()))
}

fn system(number: rustix::io::Errno) -> io::Error {
    io::Error::from_raw_os_error(number.raw_os_error())
}

impl World {
    /// Counts a call, cuts the power if it is time, refuses what is to be refused.
    fn enter(&mut self, call: Call, path: &Path) -> io::Result<()> {
        self.calls += 1;
        if self.cut_at.is_some_and(|at| self.calls >= at) && self.found.is_none() {
            self.cut()?;
        }
        if self.found.is_some() {
            return Err(io::Error::other("the power is off"));
        }
        if self.write_back && self.random.percent(10) {
            self.write_back_one()?;
        }
        let text = path.to_string_lossy();
        self.refused(call, &text)
    }

    fn fault(&mut self, call: Call, path: &str) -> Option<&mut Fault> {
        self.faults
            .iter_mut()
            .find(|fault| fault.call == call && fault.left > 0 && path.contains(&*fault.path))
    }

    fn refused(&mut self, call: Call, path: &str) -> io::Result<()> {
        let Some(fault) = self.fault(call, path) else { return Ok(()) };
        fault.left -= 1;
        if fault.error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(fault.error)) }
    }

    fn write_back_one(&mut self) -> io::Result<()> {
        let mut numbers: Vec<u64> = self.inodes.keys().copied().collect();
        numbers.sort_unstable();
        let chosen = usize::try_from(self.random.below(numbers.len() as u64)).unwrap_or(0);
        let inode = numbers.get(chosen).and_then(|number| self.inodes.get_mut(number));
        inode.map_or(Ok(()), |inode| inode.write_back(&mut self.random))
    }

    /// Decides what is found when the power is back.
    fn cut(&mut self) -> io::Result<()> {
        let names = self.names.after_cut(&mut self.random, &self.root);
        let mut contents = BTreeMap::new();
        let files: Vec<u64> = names.iter().filter_map(|(_, node)| number_of(node)).collect();
        for number in files {
            if let Some(inode) = self.inodes.get(&number)
                && !contents.contains_key(&number)
            {
                contents.insert(number, inode.after_cut(&mut self.random)?);
            }
        }
        self.found = Some((names, contents));
        Ok(())
    }

    fn inode(&mut self, number: u64) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&number).ok_or_else(|| io::Error::other("a descriptor from before the power cut"))
    }

    fn used(&self) -> u64 {
        self.inodes.values().map(|inode| (inode.allocated() * PAGE) as u64).sum()
    }

    /// Gives disk space to a range of a file.
    fn allocate(&mut self, number: u64, at: u64, length: u64) -> io::Result<()> {
        let pages = self.inode(number)?.unallocated(at, length);
        if self.used() + (pages.len() * PAGE) as u64 > self.capacity {
            return Err(system(rustix::io::Errno::NOSPC));
        }
        self.inode(number)?.allocate(&pages);
        Ok(())
    }

    /// Lets go of files without a name, which stay open at most.
    fn forget_nameless(&mut self) {
        let mut named = self.names.iter().filter_map(|(_, node)| number_of(node)).collect::<Vec<_>>();
        named.sort_unstable();
        self.inodes.retain(|number, inode| {
            named.binary_search(number).is_ok() || Arc::strong_count(&inode.file) > 1
        });
    }
}

fn number_of(node: Node) -> Option<u64> {
    match node {
        Node::File(number) => Some(number),
        Node::Directory => None,
    }
}

impl SimulatedFiles {
    /// A file system with one empty directory, and a disk that does not fill up.
    #[must_use]
    pub fn new(seed: u64, root: &Path) -> SimulatedFiles {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let world = World {
            names: Names::durable(BTreeMap::new(), root),
            inodes: HashMap::new(),
            next_inode: 1,
            random: Random::new(seed),
            calls: 0,
            cut_at: None,
            found: None,
            faults: Vec::new(),
            capacity: 1 << 40,
            used_percent: None,
            write_back: false,
            now: 0,
            bytes_read: 0,
            root: root.to_path_buf(),
        };
        SimulatedFiles {
            world: Arc::new(Mutex::new(world)),
            root: root.to_path_buf(),
            id: IDS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Lets the kernel write pages to the disk whenever it likes, as it does.
    pub fn set_write_back(&self, on: bool) {
        self.world.lock().write_back = on;
    }

    /// Sets the time that files get when they are changed, in milliseconds since the epoch.
    pub fn set_now(&self, now: i64) {
        self.world.lock().now = now;
    }

    /// Cuts the power at a call from now on: 1 is the next one, which already fails. 0 takes this back.
    pub fn cut_after(&self, calls: u64) {
        let mut world = self.world.lock();
        world.cut_at = (calls > 0).then(|| world.calls + calls);
    }

    /// Cuts the power now: nothing that was not synced is safe, and every call fails until [`restart`](Self::restart).
    ///
    /// # Errors
    /// The machine has no memory for it.
    pub fn cut(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        if world.found.is_none() { world.cut() } else { Ok(()) }
    }

    /// Whether the power is cut.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.world.lock().found.is_some()
    }

    /// Brings the power back: what the disk held is there, descriptors and mappings from before are worth nothing.
    ///
    /// # Errors
    /// The machine has no memory for it.
    pub fn restart(&self) -> io::Result<()> {
        let mut world = self.world.lock();
        if world.found.is_none() {
            world.cut()?;
        }
        let Some((names, contents)) = world.found.take() else { return Ok(()) };
        let now = world.now;
        world.cut_at = None;
        world.inodes = HashMap::new();
        // New numbers, so that no old descriptor reaches a file.
        let mut renumbered = BTreeMap::new();
        for (number, content) in contents {
            let new = world.next_inode;
            world.next_inode += 1;
            world.inodes.insert(new, Inode::new(content, now)?);
            renumbered.insert(number, new);
        }
        let names = names.iter().filter_map(|(path, node)| match node {
            Node::Directory => Some((path.clone(), node)),
            Node::File(number) => renumbered.get(&number).map(|new| (path.clone(), Node::File(*new))),
        });
        let names = names.collect();
        let root = world.root.clone();
        world.names = Names::durable(names, &root);
        Ok(())
    }

    /// Refuses the next `count` calls of this kind on paths that contain `path`, with an error of the operating system; 0 lets
    /// them through, so that what is refused after it begins later.
    pub fn refuse(&self, call: Call, path: &str, error: i32, count: u64) {
        self.world.lock().faults.push(Fault { call, path: path.to_owned(), error, left: count });
    }

    /// Refuses nothing any more.
    pub fn allow(&self) {
        self.world.lock().faults.clear();
    }

    /// How many bytes the disk has.
    pub fn set_capacity(&self, bytes: u64) {
        self.world.lock().capacity = bytes;
    }

    /// What share of the disk is taken to be used, whatever the files use; `None`: what they use.
    pub fn set_used_percent(&self, percent: Option<u8>) {
        self.world.lock().used_percent = percent;
    }

    /// Bytes of disk space that the files use.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.world.lock().used()
    }

    /// Bytes read so far by calls, not through mappings.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.world.lock().bytes_read
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.world.lock().calls
    }

    /// A file that was written through a mapping where it has no disk space: on a full disk that kills the process.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn unreserved_write(&self) -> io::Result<Option<PathBuf>> {
        let world = self.world.lock();
        for (path, node) in world.names.iter() {
            if let Some(inode) = number_of(node).and_then(|number| world.inodes.get(&number))
                && inode.unreserved_write()?.is_some()
            {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }

    /// Paths of all files.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let world = self.world.lock();
        world
            .names
            .iter()
            .filter(|(_, node)| *node != Node::Directory)
            .map(|(path, _)| path.clone())
            .collect()
    }

    /// Copies all files to a directory of the machine.
    ///
    /// # Errors
    /// The machine's file system refuses.
    pub fn export(&self, to: &Path) -> io::Result<()> {
        let world = self.world.lock();
        for (path, node) in world.names.iter() {
            let Ok(relative) = path.strip_prefix(&self.root) else { continue };
            let target = to.join(relative);
            match number_of(node).and_then(|number| world.inodes.get(&number)) {
                Some(inode) => std::fs::write(target, inode.content()?)?,
                None => std::fs::create_dir_all(target)?,
            }
        }
        Ok(())
    }
}

impl FileSystem for SimulatedFiles {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.enter(Call::CreateDir, path)?;
        let missing: Vec<_> = path.ancestors().take_while(|above| world.names.get(above).is_none()).collect();
        for directory in missing.into_iter().rev().filter(|directory| directory.starts_with(&self.root)) {
            world.names.change(vec![(directory.to_path_buf(), Some(Node::Directory))]);
        }
        match world.names.get(path) {
            Some(Node::Directory) => Ok(()),
            _ => Err(system(rustix::io::Errno::NOTDIR)),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut world = self.world.lock();
        world.enter(Call::List, path)?;
        let mut entries = Vec::new();
        for (inside, node) in world.names.inside(path) {
            let inode = number_of(node).and_then(|number| world.inodes.get(&number));
            entries.push(DirEntry {
                name: inside.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                directory: node == Node::Directory,
                size: inode.map_or(Ok(0), |inode| inode.file.metadata().map(|data| data.len()))?,
                modified: inode.map_or(0, |inode| inode.modified),
            });
        }
        Ok(entries)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut world = self.world.lock();
        world.enter(Call::Open, path)?;
        let number = match (world.names.get(path), mode) {
            (Some(Node::Directory), _) => return Err(system(rustix::io::Errno::ISDIR)),
            (Some(Node::File(number)), OpenMode::Truncate) => {
                let file = Arc::clone(&world.inode(number)?.file);
                file.set_len(0)?;
                number
            }
            (Some(Node::File(number)), _) => number,
            (None, OpenMode::Read | OpenMode::Write) => return Err(no_such(path)),
            (None, OpenMode::Create | OpenMode::Truncate) => {
                let parent = path.parent().and_then(|parent| world.names.get(parent));
                if parent != Some(Node::Directory) {
                    return Err(no_such(path));
                }
                world.forget_nameless();
                let (number, now) = (world.next_inode, world.now);
                world.next_inode += 1;
                world.inodes.insert(number, Inode::new(Vec::new(), now)?);
                world.names.change(vec![(path.to_path_buf(), Some(Node::File(number)))]);
                number
            }
        };
        let file = Arc::clone(&world.inode(number)?.file);
        Ok(Arc::new(SimulatedFile {
            world: Arc::clone(&self.world),
            path: path.to_path_buf(),
            inode: number,
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.enter(Call::Rename, to)?;
        let node = world.names.get(from).ok_or_else(|| no_such(from))?;
        world.names.change(vec![(from.to_path_buf(), None), (to.to_path_buf(), Some(node))]);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.enter(Call::Link, to)?;
        let node = world.names.get(from).ok_or_else(|| no_such(from))?;
        if world.names.get(to).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.names.change(vec![(to.to_path_buf(), Some(node))]);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.enter(Call::Remove, path)?;
        if world.names.get(path).is_some() {
            world.names.change(vec![(path.to_path_buf(), None)]);
        }
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.enter(Call::Remove, path)?;
        if world.names.inside(path).next().is_some() {
            return Err(system(rustix::io::Errno::NOTEMPTY));
        }
        if world.names.get(path).is_some() {
            world.names.change(vec![(path.to_path_buf(), None)]);
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world.lock();
        world.enter(Call::SyncDir, path)?;
        if world.names.get(path) != Some(Node::Directory) {
            return Err(no_such(path));
        }
        world.names.sync(path);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut world = self.world.lock();
        world.enter(Call::Size, path)?;
        Ok(world.names.get(path).is_some())
    }

    fn identity(&self, _path: &Path) -> io::Result<(u64, u64)> {
        Ok((u64::MAX, self.id))
    }

    fn space(&self, _path: &Path) -> io::Result<DiskSpace> {
        let mut world = self.world.lock();
        world.calls += 1;
        if let Some(percent) = world.used_percent {
            return Ok(DiskSpace {
                used: u64::from(percent),
                usable: 100_u64.saturating_sub(percent.into()),
            });
        }
        Ok(DiskSpace { used: world.used(), usable: world.capacity.saturating_sub(world.used()) })
    }
}

impl SimulatedFile {
    fn enter(&self, call: Call) -> io::Result<parking_lot::MutexGuard<'_, World>> {
        let mut world = self.world.lock();
        world.enter(call, &self.path)?;
        world.inode(self.inode)?;
        Ok(world)
    }
}

/// Where the pages of a mapped file come from.
#[derive(Debug)]
struct SimulatedDisk {
    world: Arc<Mutex<World>>,
    path: PathBuf,
}

impl Disk for SimulatedDisk {
    fn is_needed(&self) -> bool {
        self.world.lock().fault(Call::PageIn, &self.path.to_string_lossy()).is_some()
    }

    fn read(&self) -> io::Result<()> {
        self.world.lock().refused(Call::PageIn, &self.path.to_string_lossy())
    }
}

impl File for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        let _world = self.enter(Call::Size)?;
        Ok(self.file.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut world = self.enter(Call::SetSize)?;
        let now = world.now;
        world.inode(self.inode)?.modified = now;
        self.file.set_len(size)
    }

    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let mut world = self.enter(Call::Read)?;
        world.bytes_read += out.len() as u64;
        self.file.read_exact_at(out, at)
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<()> {
        let mut world = self.enter(Call::Write)?;
        world.allocate(self.inode, at, data.len() as u64)?;
        let now = world.now;
        let inode = world.inode(self.inode)?;
        inode.modified = now;
        inode.touch(at, data.len() as u64);
        self.file.write_all_at(data, at)
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = match self.enter(Call::Sync) {
            Ok(world) => world,
            Err(error) => {
                let mut world = self.world.lock();
                let World { inodes, random, found: None, .. } = &mut *world else { return Err(error) };
                if let Some(inode) = inodes.get_mut(&self.inode) {
                    inode.fail_sync(random)?;
                }
                return Err(error);
            }
        };
        world.inode(self.inode)?.sync()
    }

    fn reserve(&self, at: u64, length: u64) -> io::Result<()> {
        self.enter(Call::Reserve)?.allocate(self.inode, at, length)
    }

    fn zero(&self, at: u64, length: u64) -> io::Result<()> {
        let mut world = self.enter(Call::Zero)?;
        let now = world.now;
        let size = self.file.metadata()?.len();
        let length = length.min(size.saturating_sub(at));
        let inode = world.inode(self.inode)?;
        inode.modified = now;
        inode.touch(at, length);
        self.file.write_all_at(&vec![0; usize::try_from(length).unwrap_or(0)], at)
    }

    fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        let _world = self.enter(Call::Read)?;
        Ok((at < self.file.metadata()?.len()).then_some(at))
    }

    fn map(&self, writable: bool) -> io::Result<Mapping> {
        let _world = self.enter(Call::Map)?;
        let disk = SimulatedDisk { world: Arc::clone(&self.world), path: self.path.clone() };
        Ok(Mapping::new(&self.file, writable)?.on(Arc::new(disk)))
    }

    fn try_lock(&self) -> io::Result<bool> {
        let _world = self.enter(Call::Lock)?;
        Ok(true)
    }
}
