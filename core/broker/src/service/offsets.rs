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

type Queues = BTreeMap<i32, i64>;

/// All committed offsets.
#[derive(Debug)]
pub(crate) struct Offsets {
    table: Mutex<Table>,
    file: SavedFile,
}

#[derive(Debug, Default)]
struct Table {
    version: DataVersion,
    /// Group → topic → queue → next offset.
    groups: HashMap<String, HashMap<String, Queues>>,
    commits: u64,
    /// Whether the file is behind.
    dirty: bool,
}

/// `consumerOffset.json`; the keys of its table are `topic@group`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OffsetTable {
    pub(crate) data_version: DataVersion,
    pub(crate) offset_table: BTreeMap<String, Queues>,
}

impl Offsets {
    pub(crate) fn load(store: &Store) -> Result<Offsets, BrokerError> {
        let file = SavedFile::new("consumerOffset.json", store.config("consumerOffset.json"));
        let saved: OffsetTable = file.load()?;
        let mut table = Table { version: saved.data_version, ..Table::default() };
        for (key, queues) in saved.offset_table {
            if let Some((topic, group)) = key.split_once('@') {
                table.groups.entry(group.to_owned()).or_default().insert(topic.to_owned(), queues);
            }
        }
        Ok(Offsets { table: Mutex::new(table), file })
    }

    /// The next offset that the group wants of a queue, if it ever committed one.
    pub(crate) fn get(&self, group: &str, topic: &str, queue: i32) -> Option<i64> {
        self.table.lock().groups.get(group)?.get(topic)?.get(&queue).copied()
    }

    /// Sets the next offset; smaller than before is allowed.
    pub(crate) fn commit(&self, group: &str, topic: &str, queue: i32, offset: i64) {
        let mut table = self.table.lock();
        if !table.groups.contains_key(group) {
            table.groups.insert(group.to_owned(), HashMap::new());
        }
        let Some(topics) = table.groups.get_mut(group) else { return };
        let before = match topics.get_mut(topic) {
            Some(queues) => queues.insert(queue, offset),
            None => {
                topics.insert(topic.to_owned(), BTreeMap::from([(queue, offset)]));
                None
            }
        };
        table.dirty |= before != Some(offset);
        table.commits += 1;
        if table.commits.is_multiple_of(COMMITS_PER_VERSION) {
            table.version.advance(now_millis());
        }
    }

    /// The topics of which a group has committed offsets.
    pub(crate) fn topics_of(&self, group: &str) -> Vec<String> {
        let table = self.table.lock();
        table.groups.get(group).map(|topics| topics.keys().cloned().collect()).unwrap_or_default()
    }

    /// The groups that have committed offsets of a topic.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<String> {
        let table = self.table.lock();
        let groups = table.groups.iter().filter(|(_, topics)| topics.contains_key(topic));
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
    fn to_content(&self) -> OffsetTable {
        let mut offset_table = BTreeMap::new();
        for (group, topics) in &self.groups {
            for (topic, queues) in topics {
                offset_table.insert(format!("{topic}@{group}"), queues.clone());
            }
        }
        OffsetTable { data_version: self.version, offset_table }
    }
}
