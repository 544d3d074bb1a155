//! The topics of this broker (`TopicConfigManager`), kept in `topics.json`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mq_protocol::ResponseCode;
use mq_protocol::body::{DataVersion, TopicConfig, TopicTable, perm};
use mq_protocol::name::{
    AUTO_CREATE_TOPIC, DLQ_PREFIX, HALF_TOPIC, OP_HALF_TOPIC, RETRY_PREFIX, SCHEDULE_TOPIC, TIMER_TOPIC,
    TRACE_TOPIC, is_system_topic, reply_topic,
};
use mq_store::Store;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::now_millis;
use super::registrar::Registrar;
use super::saved::SavedFile;
use crate::config::BrokerConfig;
use crate::error::BrokerError;
use crate::server::Refusal;

/// Topic flag of a unit's subscription (`TopicSysFlag`).
pub(crate) const UNIT_SUB: i32 = 2;
/// Topic flag of a unit.
const UNIT: i32 = 1;

/// All topics. The table lock is held for moments only; files are written and NameServers told outside it.
#[derive(Debug)]
pub(crate) struct Topics {
    table: RwLock<Table>,
    /// Names that belong to this broker beside RocketMQ's own system topics.
    own: HashSet<String>,
    auto_create: bool,
    file: SavedFile,
    registrar: Arc<Registrar>,
}

#[derive(Debug, Default)]
struct Table {
    version: DataVersion,
    topics: HashMap<String, Arc<TopicConfig>>,
}

/// `topics.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    data_version: DataVersion,
    topic_config_table: BTreeMap<String, TopicConfig>,
}

/// What a send knows about the topic that it wants made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    pub(crate) topic: &'a str,
    /// The topic to take after.
    pub(crate) pattern: &'a str,
    pub(crate) queues: i32,
    pub(crate) unit: bool,
}

impl Topics {
    pub(crate) fn load(
        config: &BrokerConfig,
        store: &Store,
        registrar: Arc<Registrar>,
    ) -> Result<Topics, BrokerError> {
        let file = SavedFile::new("topics.json", store.config("topics.json"));
        let saved: Content = file.load()?;
        let system = system_topics(config);
        let own = system.iter().map(|topic| topic.topic_name.clone()).collect();
        let mut topics: HashMap<_, _> =
            system.into_iter().map(|topic| (topic.topic_name.clone(), Arc::new(topic))).collect();
        for (name, mut topic) in saved.topic_config_table {
            if topic.topic_name.is_empty() {
                topic.topic_name.clone_from(&name);
            }
            topics.insert(name, Arc::new(topic));
        }
        Ok(Topics {
            table: RwLock::new(Table { version: saved.data_version, topics }),
            own,
            auto_create: config.auto_create_topic_enable,
            file,
            registrar,
        })
    }

    pub(crate) fn get(&self, topic: &str) -> Option<Arc<TopicConfig>> {
        self.table.read().topics.get(topic).cloned()
    }

    /// The topic, or the refusal that says it does not exist.
    pub(crate) fn existing(&self, topic: &str) -> Result<Arc<TopicConfig>, Refusal> {
        self.get(topic).ok_or_else(|| {
            Refusal::new(
                ResponseCode::TOPIC_NOT_EXIST,
                format!("topic[{topic}] not exist, apply first please!"),
            )
        })
    }

    /// Whether the topic belongs to RocketMQ or to this broker itself.
    pub(crate) fn is_system(&self, topic: &str) -> bool {
        is_system_topic(topic) || self.own.contains(topic)
    }

    /// All topics with their version.
    pub(crate) fn snapshot(&self) -> TopicTable {
        let table = self.table.read();
        TopicTable {
            data_version: table.version,
            topic_config_table: table.topics.iter().map(|(n, t)| (n.clone(), (**t).clone())).collect(),
        }
    }

    /// The names of RocketMQ's and this broker's own topics.
    pub(crate) fn system_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.own.iter().cloned().collect();
        names.sort_unstable();
        names
    }

    /// The topic of a send, made after its pattern if it is unknown and that is allowed
    /// (`createTopicInSendMessageMethod`).
    pub(crate) fn for_send(&self, wish: &Wish<'_>) -> Result<Arc<TopicConfig>, Refusal> {
        if let Some(topic) = self.get(wish.topic) {
            return Ok(topic);
        }
        let pattern = self.get(wish.pattern).filter(|pattern| {
            let inherits = pattern.perm & perm::INHERIT != 0;
            inherits && (self.auto_create || wish.pattern != AUTO_CREATE_TOPIC)
        });
        if let Some(pattern) = pattern {
            let queues = wish.queues.min(pattern.write_queue_nums).max(0);
            let mut topic = TopicConfig::new(wish.topic, queues, pattern.perm & !perm::INHERIT);
            topic.topic_filter_type.clone_from(&pattern.topic_filter_type);
            topic.topic_sys_flag = if wish.unit { UNIT } else { 0 };
            return self.add(topic);
        }
        if wish.topic.starts_with(RETRY_PREFIX) {
            return self.for_retries(wish.topic, 1, wish.unit);
        }
        self.existing(wish.topic)
    }

    /// A retry or dead-letter topic, made if it is unknown (`createTopicInSendMessageBackMethod`).
    pub(crate) fn for_retries(
        &self,
        topic: &str,
        queues: i32,
        unit: bool,
    ) -> Result<Arc<TopicConfig>, Refusal> {
        if let Some(topic) = self.get(topic) {
            return Ok(topic);
        }
        debug_assert!(topic.starts_with(RETRY_PREFIX) || topic.starts_with(DLQ_PREFIX));
        let mut made = TopicConfig::new(topic, queues, perm::READ | perm::WRITE);
        made.topic_sys_flag = if unit { UNIT_SUB } else { 0 };
        self.add(made)
    }

    /// Enters a topic unless somebody else was faster.
    fn add(&self, topic: TopicConfig) -> Result<Arc<TopicConfig>, Refusal> {
        let topic = Arc::new(topic);
        let version = {
            let mut table = self.table.write();
            if let Some(known) = table.topics.get(&topic.topic_name) {
                return Ok(known.clone());
            }
            table.topics.insert(topic.topic_name.clone(), topic.clone());
            table.version.advance(now_millis());
            table.version
        };
        info!(topic = topic.topic_name, queues = topic.write_queue_nums, "topic made");
        self.save()?;
        self.registrar.topic_changed(&topic, version);
        Ok(topic)
    }

    /// Sets topics as an admin wants them. The attributes of `wanted` are the new ones, whole.
    pub(crate) fn update(&self, wanted: Vec<TopicConfig>) -> Result<(), Refusal> {
        let wanted: Vec<Arc<TopicConfig>> = wanted.into_iter().map(Arc::new).collect();
        let (changed, version) = {
            let mut table = self.table.write();
            let differs =
                |topic: &&Arc<TopicConfig>| table.topics.get(&topic.topic_name).is_none_or(|k| k != *topic);
            let changed: Vec<Arc<TopicConfig>> = wanted.iter().filter(differs).cloned().collect();
            if changed.is_empty() {
                return Ok(());
            }
            for topic in &changed {
                table.topics.insert(topic.topic_name.clone(), topic.clone());
            }
            table.version.advance(now_millis());
            (changed, table.version)
        };
        self.save()?;
        for topic in &changed {
            info!(topic = topic.topic_name, queues = topic.write_queue_nums, perm = topic.perm, "topic set");
            self.registrar.topic_changed(topic, version);
        }
        Ok(())
    }

    /// All topics under a new version, for a registration that must be looked at whole.
    pub(crate) fn renewed(&self) -> TopicTable {
        self.table.write().version.advance(now_millis());
        self.snapshot()
    }

    /// Removes a topic; `false` if it was not there.
    pub(crate) fn delete(&self, topic: &str) -> Result<bool, Refusal> {
        let version = {
            let mut table = self.table.write();
            if table.topics.remove(topic).is_none() {
                return Ok(false);
            }
            table.version.advance(now_millis());
            table.version
        };
        info!(topic, "topic deleted");
        self.save()?;
        self.registrar.topic_deleted(version);
        Ok(true)
    }

    /// Writes `topics.json`.
    pub(crate) fn save(&self) -> Result<(), Refusal> {
        self.file.save(|| {
            let TopicTable { data_version, topic_config_table } = self.snapshot();
            Content { data_version, topic_config_table }
        })
    }
}

/// The topics that a broker has from its start (`TopicConfigManager.init`).
fn system_topics(config: &BrokerConfig) -> Vec<TopicConfig> {
    const RW: i32 = perm::READ | perm::WRITE;
    let open = |enabled: bool| RW | if enabled { perm::INHERIT } else { 0 };
    let mut topics = vec![
        TopicConfig::new("SELF_TEST_TOPIC", 1, RW),
        TopicConfig::new("BenchmarkTest", 1024, RW),
        TopicConfig::new(&config.broker_cluster_name, 16, open(config.cluster_topic_enable)),
        TopicConfig::new(&config.broker_name, 1, open(config.broker_topic_enable)),
        TopicConfig::new("OFFSET_MOVED_EVENT", 1, RW),
        TopicConfig::new(SCHEDULE_TOPIC, 18, RW),
        TopicConfig::new(reply_topic(&config.broker_cluster_name), 1, RW),
        TopicConfig::new(format!("rmq_sys_REVIVE_LOG_{}", config.broker_cluster_name), 8, RW),
        TopicConfig::new(format!("rmq_sys_SYNC_BROKER_MEMBER_{}", config.broker_name), 1, perm::INHERIT),
        TopicConfig::new(HALF_TOPIC, 1, RW),
        TopicConfig::new(OP_HALF_TOPIC, 1, RW),
        TopicConfig::new(TIMER_TOPIC, 1, RW),
    ];
    if config.auto_create_topic_enable {
        topics.push(TopicConfig::new(AUTO_CREATE_TOPIC, config.default_topic_queue_nums, RW | perm::INHERIT));
    }
    if config.trace_topic_enable {
        topics.push(TopicConfig::new(TRACE_TOPIC, 1, RW));
    }
    topics
}
