//! Where consumer groups are in their queues (`ConsumerOffsetManager`), kept in `consumerOffset.json`.

use std::collections::{BTreeMap, HashMap};

use mq_protocol::body::DataVersion;
use mq_store::Store;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::now_millis;
use super::saved::SavedFile;
use crate::error::BrokerError;
use crate::server::Refusal;

/// Commits after which the table's version moves (`consumerOffsetUpdateVersionStep`).
const COMMITS_PER_VERSION: u64 = 500;

/// All committed offsets, and what belongs to them while the broker runs.
#[derive(Debug)]
pub(crate) struct Offsets {
    table: Mutex<Table>,
    file: SavedFile,
}

/// Where a group is in one queue.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The next offset, as the group committed it.
    committed: Option<i64>,
    /// The offset of the last pull.
    pulled: Option<i64>,
    /// Where an admin wants the group to go on; its next pull learns of it, and until then its commits do not count.
    reset: Option<i64>,
}

#[derive(Debug, Default)]
struct Table {
    version: DataVersion,
    /// Group → topic → queue → place.
    groups: HashMap<String, HashMap<String, BTreeMap<i32, Place>>>,
    commits: u64,
    /// Whether the file is behind.
    dirty: bool,
}

/// `consumerOffset.json`; the keys of its table are `topic@group`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OffsetTable {
    pub(crate) data_version: DataVersion,
    pub(crate) offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

impl Offsets {
    /// Reads the file. After an unclean stop no offset stays behind the end of its queue: with `ASYNC_FLUSH` a power cut may take
    /// the last messages and leave what was committed of them, and the group would pass over as many new ones.
    pub(crate) fn load(store: &Store) -> Result<Offsets, BrokerError> {
        let file = SavedFile::new("consumerOffset.json", store.config("consumerOffset.json"));
        let saved: OffsetTable = file.load()?;
        let mut table = Table { version: saved.data_version, ..Table::default() };
        let clean = store.status().recovery.clean;
        for (key, queues) in saved.offset_table {
            if let Some((topic, group)) = key.split_once('@') {
                for (queue, saved) in queues {
                    let end = if clean { i64::MAX } else { store.next_offset(topic, queue) };
                    if saved > end {
                        tracing::warn!(
                            group,
                            topic,
                            queue,
                            saved,
                            end,
                            "the messages behind the end are lost; the group goes on there"
                        );
                        table.dirty = true;
                    }
                    table.place(group, topic, queue).committed = Some(saved.min(end));
                }
            }
        }
        Ok(Offsets { table: Mutex::new(table), file })
    }

    /// The next offset that the group wants of a queue, if it ever committed one.
    pub(crate) fn get(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        self.table.lock().known(group, topic, queue)?.committed
    }

    /// The offset of the group's last pull from a queue; what it committed, if it has not pulled.
    pub(crate) fn pulled(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        let place = self.table.lock().known(group, topic, queue)?;
        place.pulled.or(place.committed)
    }

    /// Sets the next offset; smaller than before is allowed. `false` if it does not count because the offset has been
    /// reset and the group does not know it yet.
    pub(crate) fn commit(&self, group: &str, topic: &str, queue: i32, offset: i64) -> bool {
        let mut table = self.table.lock();
        let place = table.place(group, topic, queue);
        if place.reset.is_some() {
            return false;
        }
        let before = place.committed.replace(offset);
        table.note_commit(before != Some(offset));
        true
    }

    /// Notes a pull at `offset` and what it commits; the offset where the group is to go on instead, if it was reset.
    pub(crate) fn pull(
        &self,
        group: &str,
        topic: &str,
        queue: i32,
        offset: i64,
        commit: Option<i64>,
    ) -> Option<i64> {
        let mut table = self.table.lock();
        let place = table.place(group, topic, queue);
        if let Some(reset) = place.reset.take() {
            place.pulled = Some(reset);
            return Some(reset);
        }
        place.pulled = Some(offset);
        if let Some(commit) = commit {
            let before = place.committed.replace(commit);
            table.note_commit(before != Some(commit));
        }
        None
    }

    /// Has the group go on at `offset` (`assignResetOffset`).
    pub(crate) fn reset(&self, group: &str, topic: &str, queue: i32, offset: i64) {
        let mut table = self.table.lock();
        *table.place(group, topic, queue) =
            Place { committed: Some(offset), pulled: None, reset: Some(offset) };
        table.note_commit(true);
    }

    /// Gives `to` the offsets that `from` has of a topic.
    pub(crate) fn copy(&self, from: &str, to: &str, topic: &str) {
        let mut table = self.table.lock();
        let queues = table.groups.get(from).and_then(|topics| topics.get(topic));
        let committed =
            queues.into_iter().flatten().filter_map(|(queue, place)| Some((*queue, place.committed?)));
        let copied: BTreeMap<i32, Place> = committed
            .map(|(queue, offset)| (queue, Place { committed: Some(offset), ..Place::default() }))
            .collect();
        if !copied.is_empty() {
            table.groups.entry(to.to_owned()).or_default().insert(topic.to_owned(), copied);
            table.note_commit(true);
        }
    }

    /// What a group has committed of a topic, by queue.
    pub(crate) fn of_topic(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let table = self.table.lock();
        let queues = table.groups.get(group).and_then(|topics| topics.get(topic));
        queues.map(committed).unwrap_or_default()
    }

    /// The topics of which a group has committed offsets.
    pub(crate) fn topics_of(&self, group: &str) -> Vec<String> {
        let table = self.table.lock();
        let topics = table.groups.get(group).into_iter().flatten();
        topics.filter(|(_, queues)| has_committed(queues)).map(|(topic, _)| topic.clone()).collect()
    }

    /// The groups that have committed offsets of a topic.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<String> {
        let table = self.table.lock();
        let groups = table.groups.iter().filter(|(_, topics)| topics.get(topic).is_some_and(has_committed));
        groups.map(|(group, _)| group.clone()).collect()
    }

    /// Forgets all offsets of a topic.
    pub(crate) fn forget_topic(&self, topic: &str) {
        let mut table = self.table.lock();
        for topics in table.groups.values_mut() {
            topics.remove(topic);
        }
        table.dirty = true;
    }

    /// Forgets all offsets of a group.
    pub(crate) fn forget_group(&self, group: &str) {
        let mut table = self.table.lock();
        table.dirty |= table.groups.remove(group).is_some();
    }

    /// The table as Apache writes it.
    pub(crate) fn snapshot(&self) -> OffsetTable {
        self.table.lock().to_content()
    }

    /// Writes the file if anything changed since the last time.
    pub(crate) fn save_if_changed(&self) -> Result<(), Refusal> {
        if !self.table.lock().dirty {
            return Ok(());
        }
        let saved = self.file.save(|| {
            let mut table = self.table.lock();
            table.dirty = false;
            table.to_content()
        });
        if saved.is_err() {
            self.table.lock().dirty = true;
        }
        saved
    }
}

impl Table {
    fn known(&self, group: &str, topic: &str, queue: i32) -> Option<Place> {
        self.groups.get(group)?.get(topic)?.get(&queue).copied()
    }

    /// The place of a group in a queue, made if it is new.
    fn place(&mut self, group: &str, topic: &str, queue: i32) -> &mut Place {
        known_or_new(known_or_new(&mut self.groups, group), topic).entry(queue).or_default()
    }

    fn note_commit(&mut self, changed: bool) {
        self.dirty |= changed;
        self.commits += 1;
        if self.commits.is_multiple_of(COMMITS_PER_VERSION) {
            self.version.advance(now_millis());
        }
    }

    fn to_content(&self) -> OffsetTable {
        let mut offset_table = BTreeMap::new();
        for (group, topics) in &self.groups {
            for (topic, queues) in topics {
                let queues = committed(queues);
                if !queues.is_empty() {
                    offset_table.insert(format!("{topic}@{group}"), queues);
                }
            }
        }
        OffsetTable { data_version: self.version, offset_table }
    }
}

/// The value of a name, made if it is new; unlike `entry` it copies a new name only.
fn known_or_new<'a, T: Default>(map: &'a mut HashMap<String, T>, name: &str) -> &'a mut T {
    if map.contains_key(name) {
        #[expect(clippy::expect_used, reason = "it was found in the line before")]
        return map.get_mut(name).expect("the name is known");
    }
    map.entry(name.to_owned()).or_default()
}

fn committed(queues: &BTreeMap<i32, Place>) -> BTreeMap<i32, i64> {
    queues.iter().filter_map(|(queue, place)| Some((*queue, place.committed?))).collect()
}

fn has_committed(queues: &BTreeMap<i32, Place>) -> bool {
    queues.values().any(|place| place.committed.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mq_store::StoreConfig;

    #[test]
    fn after_an_unclean_stop_no_group_is_behind_the_end_of_its_queue() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Store::open(StoreConfig::at(folder.path())).unwrap();
        let store = open();
        let host = std::net::SocketAddr::from(([127, 0, 0, 1], 10911));
        let record = mq_protocol::message::NewRecord::new("T", 0, host, b"");
        (0..3).for_each(|_| _ = store.append(&record).unwrap());
        let offsets = Offsets::load(&store).unwrap();
        for (topic, queue, offset) in [("T", 0, 5), ("T", 1, 1), ("T", 2, 0), ("gone", 0, 9)] {
            offsets.commit("g", topic, queue, offset);
        }
        offsets.commit("other", "T", 0, 2);
        offsets.save_if_changed().unwrap();
        let found = |store: &Store| {
            let offsets = Offsets::load(store).unwrap();
            let places = [("g", "T", 0), ("g", "T", 1), ("g", "T", 2), ("g", "gone", 0), ("other", "T", 0)];
            offsets.save_if_changed().unwrap();
            places.map(|(group, topic, queue)| offsets.get(group, topic, queue).unwrap())
        };
        store.close().unwrap();
        let store = open();
        assert_eq!(found(&store), [5, 1, 0, 9, 2], "as they were saved");
        store.kill();
        drop(store);
        let store = open();
        assert_eq!(found(&store), [3, 0, 0, 0, 2]);
        store.close().unwrap();
        // And so they were saved.
        assert_eq!(found(&open()), [3, 0, 0, 0, 2]);
    }

    #[test]
    fn what_could_not_be_saved_is_saved_at_the_next_turn() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::at(folder.path())).unwrap();
        let offsets = Offsets::load(&store).unwrap();
        offsets.commit("g", "T", 0, 7);
        // No file can be made where a directory is.
        let blocked = folder.path().join("config/consumerOffset.json.tmp");
        std::fs::create_dir_all(&blocked).unwrap();
        let refusal = offsets.save_if_changed().unwrap_err();
        assert!(refusal.remark.contains("consumerOffset.json"), "{}", refusal.remark);
        assert_eq!(Offsets::load(&store).unwrap().get("g", "T", 0), None);
        std::fs::remove_dir(&blocked).unwrap();
        offsets.save_if_changed().unwrap();
        assert_eq!(Offsets::load(&store).unwrap().get("g", "T", 0), Some(7));
        store.close().unwrap();
    }
}
