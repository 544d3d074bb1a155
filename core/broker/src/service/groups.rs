//! The consumer groups' settings (`SubscriptionGroupManager`), kept in `subscriptionGroup.json`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mq_protocol::ResponseCode;
use mq_protocol::body::{DataVersion, GroupConfig, GroupTable, perm};
use mq_protocol::name::{SYSTEM_GROUPS, check_group, is_system_group};
use mq_store::Store;
use parking_lot::RwLock;
use tracing::info;

use super::attributes::edit_group;
use super::now_millis;
use super::saved::SavedFile;
use crate::error::BrokerError;
use crate::server::Refusal;

/// All groups. The table lock is held for moments only; the file is written outside it.
#[derive(Debug)]
pub(crate) struct Groups {
    table: RwLock<Table>,
    file: SavedFile,
}

#[derive(Debug, Default)]
struct Table {
    version: DataVersion,
    groups: HashMap<String, Arc<GroupConfig>>,
    /// Kept as it was read: Apache's per-topic bans.
    forbidden: BTreeMap<String, BTreeMap<String, i32>>,
}

impl Groups {
    pub(crate) fn load(store: &Store) -> Result<Groups, BrokerError> {
        let file = SavedFile::new("subscriptionGroup.json", store.config("subscriptionGroup.json"));
        let saved: GroupTable = file.load()?;
        let named = |name: &str| GroupConfig { group_name: name.to_owned(), ..GroupConfig::default() };
        let mut groups: HashMap<_, _> =
            SYSTEM_GROUPS.iter().map(|name| ((*name).to_owned(), Arc::new(named(name)))).collect();
        for (name, mut group) in saved.subscription_group_table {
            if group.group_name.is_empty() {
                group.group_name.clone_from(&name);
            }
            groups.insert(name, Arc::new(group));
        }
        let table = Table { version: saved.data_version, groups, forbidden: saved.forbidden_table };
        Ok(Groups { table: RwLock::new(table), file })
    }

    pub(crate) fn get(&self, group: &str) -> Option<Arc<GroupConfig>> {
        self.table.read().groups.get(group).cloned()
    }

    /// The group, made if it is unknown and `auto_create` or its name allows it; `None` if not
    /// (`findSubscriptionGroupConfig`).
    pub(crate) fn find(&self, group: &str, auto_create: bool) -> Result<Option<Arc<GroupConfig>>, Refusal> {
        if let Some(known) = self.get(group) {
            return Ok(Some(known));
        }
        let system = is_system_group(group);
        if !(auto_create || system) || check_group(group).is_err() {
            return Ok(None);
        }
        let made = Arc::new(GroupConfig { group_name: group.to_owned(), ..GroupConfig::default() });
        let made = {
            let mut table = self.table.write();
            if let Some(known) = table.groups.get(group) {
                return Ok(Some(known.clone()));
            }
            table.groups.insert(group.to_owned(), made.clone());
            table.version.advance(now_millis());
            made
        };
        info!(group, "consumer group made");
        self.save()?;
        Ok(Some(made))
    }

    /// As [`Groups::find`], but a missing group is a refusal.
    pub(crate) fn required(&self, group: &str, auto_create: bool) -> Result<Arc<GroupConfig>, Refusal> {
        self.find(group, auto_create)?.ok_or_else(|| not_exist(group))
    }

    /// Sets groups as an admin wants them. Their attributes are edits of those that they have.
    pub(crate) fn update(&self, mut groups: Vec<GroupConfig>) -> Result<(), Refusal> {
        for group in &mut groups {
            if !is_system_group(&group.group_name) {
                check_group(&group.group_name)
                    .map_err(|error| Refusal::new(ResponseCode::INVALID_PARAMETER, error.to_string()))?;
            }
            let known = self.get(&group.group_name);
            group.attributes =
                edit_group(known.as_deref().map(|known| &known.attributes), &group.attributes)?;
        }
        {
            let mut table = self.table.write();
            for group in groups {
                info!(group = group.group_name, "consumer group set");
                table.groups.insert(group.group_name.clone(), Arc::new(group));
            }
            table.version.advance(now_millis());
        }
        self.save()
    }

    /// Removes a group's settings; `false` if there were none.
    pub(crate) fn delete(&self, group: &str) -> Result<bool, Refusal> {
        {
            let mut table = self.table.write();
            table.forbidden.remove(group);
            if table.groups.remove(group).is_none() {
                return Ok(false);
            }
            table.version.advance(now_millis());
        }
        info!(group, "consumer group deleted");
        self.save().map(|()| true)
    }

    /// The names of all groups.
    pub(crate) fn names(&self) -> Vec<String> {
        self.table.read().groups.keys().cloned().collect()
    }

    /// Whether a group may not consume a topic (`getForbidden`, of reading).
    pub(crate) fn is_forbidden(&self, group: &str, topic: &str) -> bool {
        let table = self.table.read();
        table
            .forbidden
            .get(group)
            .and_then(|topics| topics.get(topic))
            .is_some_and(|bits| bits & perm::READ != 0)
    }

    /// Sets whether a group may not consume a topic (`updateForbidden`).
    pub(crate) fn forbid(&self, group: &str, topic: &str, forbidden: bool) -> Result<(), Refusal> {
        {
            let mut table = self.table.write();
            let topics = table.forbidden.entry(group.to_owned()).or_default();
            let bits = topics.entry(topic.to_owned()).or_default();
            *bits = if forbidden { *bits | perm::READ } else { *bits & !perm::READ };
            if *bits == 0 {
                topics.remove(topic);
            }
            if topics.is_empty() {
                table.forbidden.remove(group);
            }
            table.version.advance(now_millis());
        }
        info!(group, topic, forbidden, "group's right to consume set");
        self.save()
    }

    /// All groups with their version.
    pub(crate) fn snapshot(&self) -> GroupTable {
        let table = self.table.read();
        GroupTable {
            data_version: table.version,
            forbidden_table: table.forbidden.clone(),
            subscription_group_table: table
                .groups
                .iter()
                .map(|(name, group)| (name.clone(), (**group).clone()))
                .collect(),
        }
    }

    /// Writes `subscriptionGroup.json`.
    pub(crate) fn save(&self) -> Result<(), Refusal> {
        self.file.save(|| self.snapshot())
    }
}

/// The refusal of a group that is not there.
pub(crate) fn not_exist(group: &str) -> Refusal {
    Refusal::new(
        ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST,
        format!("subscription group [{group}] does not exist"),
    )
}
