//! The names of simulated files: as programs see them, and which of them are on the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::random::Random;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    /// The number of an inode.
    File(u64),
}

/// One call's effect on names, which a disk has as a whole or not at all.
type Change = Vec<(PathBuf, Option<Node>)>;

/// All names.
#[derive(Debug, Default)]
pub(super) struct Names {
    current: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    /// What is not on the disk for certain, in order.
    pending: Vec<Change>,
}

fn apply(names: &mut BTreeMap<PathBuf, Node>, change: &Change) {
    for (path, node) in change {
        match node {
            Some(node) => names.insert(path.clone(), *node),
            None => names.remove(path),
        };
    }
}

impl Names {
    /// Names that are all on the disk. Those whose directory is not there are dropped.
    pub(super) fn durable(mut names: BTreeMap<PathBuf, Node>, root: &Path) -> Names {
        let mut reachable: BTreeMap<PathBuf, Node> = BTreeMap::new();
        reachable.insert(root.to_path_buf(), Node::Directory);
        // A directory sorts before what is in it.
        while let Some((path, node)) = names.pop_first() {
            if path.parent().is_some_and(|parent| reachable.get(parent) == Some(&Node::Directory)) {
                reachable.insert(path, node);
            }
        }
        Names { current: reachable.clone(), durable: reachable, pending: Vec::new() }
    }

    pub(super) fn get(&self, path: &Path) -> Option<Node> {
        self.current.get(path).copied()
    }

    /// All names as programs see them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PathBuf, Node)> {
        self.current.iter().map(|(path, node)| (path, *node))
    }

    /// The names in a directory.
    pub(super) fn inside<'a>(&'a self, directory: &'a Path) -> impl Iterator<Item = (&'a Path, Node)> {
        self.iter()
            .filter(move |(path, _)| path.parent() == Some(directory))
            .map(|(path, node)| (&**path, node))
    }

    pub(super) fn change(&mut self, change: Change) {
        apply(&mut self.current, &change);
        self.pending.push(change);
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync(&mut self, directory: &Path) {
        let touches = |change: &Change| change.iter().any(|(path, _)| path.parent() == Some(directory));
        while let Some(at) = self.pending.iter().position(touches) {
            let change = self.pending.remove(at);
            apply(&mut self.durable, &change);
            // What came before for the same names is over.
            for earlier in self.pending.iter_mut().take(at) {
                earlier.retain(|(path, _)| !change.iter().any(|(other, _)| other == path));
            }
        }
        self.pending.retain(|change| !change.is_empty());
    }

    /// What is found after a power cut: of the changes that were not synced none, all, the first ones, or any.
    pub(super) fn after_cut(&self, random: &mut Random, root: &Path) -> Names {
        let mut names = self.durable.clone();
        let count = self.pending.len();
        let (kind, first) = (random.below(4), usize::try_from(random.below(count as u64 + 1)).unwrap_or(0));
        for (number, change) in self.pending.iter().enumerate() {
            let kept = match kind {
                0 => false,
                1 => true,
                2 => number < first,
                _ => random.percent(50),
            };
            if kept {
                apply(&mut names, change);
            }
        }
        Names::durable(names, root)
    }
}
