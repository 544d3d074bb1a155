//! The tables behind the routes, and how registrations change them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mq_protocol::body::{BrokerData, DataVersion, QueueData, TopicConfig, TopicTable, perm};
use tracing::{info, warn};

use crate::server::PeerId;

/// Id of a master.
pub(super) const MASTER: i64 = 0;
/// How long a registration counts unless it says otherwise (`DEFAULT_BROKER_CHANNEL_EXPIRED_TIME`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
/// What identifies a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) name: &'a str,
    pub(crate) address: &'a str,
    pub(crate) id: i64,
}

/// Where a registration comes from; with it the registration ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A broker on the other side of a connection.
    Peer(PeerId),
    /// The broker of this process. `any_interface` is its port if it listens on all network interfaces, so that
    /// every caller can be told the address through which the caller itself came.
    Process { any_interface: Option<u16> },
}

/// One registration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registration<'a> {
    pub(crate) broker: Identity<'a>,
    pub(crate) ha_address: &'a str,
    pub(crate) timeout: Option<Duration>,
    /// Absent in registrations of brokers before 5.0.
    pub(crate) acting_master: Option<bool>,
    pub(crate) topics: &'a TopicTable,
    pub(crate) origin: Origin,
    /// Topics that this registration does not name are removed.
    pub(crate) drop_unnamed: bool,
}

/// What a replica learns from its registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) ha_address: Option<String>,
    pub(crate) master_address: Option<String>,
}

/// The registration names one topic only and its broker is not known yet: Apache refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedSingleTopic;

/// All that is registered.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Topic → broker name → queues.
    pub(super) topics: HashMap<String, BTreeMap<String, QueueData>>,
    /// Broker name → its addresses.
    pub(super) brokers: BTreeMap<String, BrokerData>,
    /// Cluster → broker names.
    pub(super) clusters: BTreeMap<String, BTreeSet<String>>,
    /// (Cluster, address) → what keeps the registration alive.
    pub(super) live: HashMap<(String, String), Live>,
}

#[derive(Debug)]
pub(super) struct Live {
    pub(super) seen: Instant,
    pub(super) timeout: Duration,
    pub(super) version: DataVersion,
    pub(super) origin: Origin,
    pub(super) ha_address: String,
    pub(super) name: String,
    pub(super) id: i64,
}

pub(super) fn live_key(cluster: &str, address: &str) -> (String, String) {
    (cluster.to_owned(), address.to_owned())
}

impl Tables {
    pub(super) fn register(&mut self, new: &Registration<'_>) -> Result<Registered, RefusedSingleTopic> {
        let Identity { cluster, name, address, id } = new.broker;
        let key = live_key(cluster, address);
        let known = self.brokers.get(name);
        let mut first = known.is_none();
        let mut addresses = known.map(|broker| broker.broker_addrs.clone()).unwrap_or_default();
        // An address has one id only: a replica that became master leaves its old id.
        addresses.retain(|other, held| *other == id || held != address);
        if let Some(holder) = addresses.get(&id).filter(|holder| *holder != address) {
            let holder_version = self.live.get(&live_key(cluster, holder)).map(|live| live.version);
            if holder_version.is_some_and(|v| v.state_version > new.topics.data_version.state_version) {
                warn!(
                    broker = name,
                    id, address, holder, "registration ignored: the holder of this id is newer"
                );
                self.live.remove(&key);
                return Ok(Registered::default());
            }
        }
        if !addresses.contains_key(&id) && new.topics.topic_config_table.len() == 1 {
            warn!(
                broker = name,
                id, address, "registration refused: one topic from a broker that is not known"
            );
            return Err(RefusedSingleTopic);
        }
        first |= addresses.insert(id, address.to_owned()).is_none();
        let smallest = addresses.keys().next().copied() == Some(id);
        let acting_master = new.acting_master.unwrap_or(false);
        self.clusters.entry(cluster.to_owned()).or_default().insert(name.to_owned());
        self.brokers.insert(
            name.to_owned(),
            BrokerData {
                broker_addrs: addresses,
                broker_name: name.to_owned(),
                cluster: cluster.to_owned(),
                enable_acting_master: acting_master,
            },
        );
        let prime_replica = new.acting_master.is_some() && id != MASTER && smallest;
        if id == MASTER || prime_replica {
            let version = new.topics.data_version;
            let moved = first || self.live.get(&key).is_none_or(|live| live.version != version);
            self.take_topics(new, moved, prime_replica && acting_master);
        }
        if first {
            info!(cluster, broker = name, id, address, "broker registered");
        }
        self.live.insert(
            key,
            Live {
                seen: Instant::now(),
                timeout: new.timeout.unwrap_or(DEFAULT_TIMEOUT),
                version: new.topics.data_version,
                origin: new.origin,
                ha_address: new.ha_address.to_owned(),
                name: name.to_owned(),
                id,
            },
        );
        Ok(self.master_for(new.broker))
    }

    /// Enters the topics of a registration: all if its version moved, else those that are not known yet.
    fn take_topics(&mut self, new: &Registration<'_>, moved: bool, read_only: bool) {
        let name = new.broker.name;
        let named = &new.topics.topic_config_table;
        if new.drop_unnamed {
            self.topics.retain(|topic, queues| {
                if !named.contains_key(topic) {
                    queues.remove(name);
                }
                !queues.is_empty()
            });
        }
        for topic in named.values() {
            let known = self.topics.get(&topic.topic_name).is_some_and(|queues| queues.contains_key(name));
            if moved || !known {
                let perm = if read_only { topic.perm & !perm::WRITE } else { topic.perm };
                self.put_queues(name, topic, perm);
            }
        }
    }

    pub(super) fn put_queues(&mut self, broker_name: &str, topic: &TopicConfig, perm: i32) {
        let queues = QueueData {
            broker_name: broker_name.to_owned(),
            perm,
            read_queue_nums: topic.read_queue_nums,
            topic_sys_flag: topic.topic_sys_flag,
            write_queue_nums: topic.write_queue_nums,
        };
        match self.topics.get_mut(&topic.topic_name) {
            Some(brokers) => {
                brokers.insert(broker_name.to_owned(), queues);
            }
            None => {
                let brokers = BTreeMap::from([(broker_name.to_owned(), queues)]);
                self.topics.insert(topic.topic_name.clone(), brokers);
            }
        }
    }

    /// Where a replica finds its master.
    fn master_for(&self, broker: Identity<'_>) -> Registered {
        let master = self.brokers.get(broker.name).and_then(|data| data.broker_addrs.get(&MASTER));
        let Some(master) = master.filter(|_| broker.id != MASTER) else { return Registered::default() };
        match self.live.get(&live_key(broker.cluster, master)) {
            Some(live) => {
                Registered { ha_address: Some(live.ha_address.clone()), master_address: Some(master.clone()) }
            }
            None => Registered::default(),
        }
    }

    pub(super) fn unregister(&mut self, cluster: &str, address: &str, name: &str, id: i64) {
        self.live.remove(&live_key(cluster, address));
        let Some(broker) = self.brokers.get_mut(name) else { return };
        if broker.broker_addrs.get(&id).is_some_and(|held| held == address) {
            broker.broker_addrs.remove(&id);
        }
        let masterless = !broker.broker_addrs.contains_key(&MASTER);
        let acting_master = broker.enable_acting_master;
        if !broker.broker_addrs.is_empty() {
            if masterless && acting_master {
                // Replicas only: nobody can take messages any more.
                for queue in self.topics.values_mut().filter_map(|queues| queues.get_mut(name)) {
                    queue.perm &= !perm::WRITE;
                }
            }
            return;
        }
        self.brokers.remove(name);
        self.topics.retain(|_, queues| {
            queues.remove(name);
            !queues.is_empty()
        });
        if let Some(names) = self.clusters.get_mut(cluster) {
            names.remove(name);
            if names.is_empty() {
                self.clusters.remove(cluster);
            }
        }
    }

    /// A broker's addresses as a caller that came to our address `local` can use them.
    pub(super) fn seen_from(&self, broker: &BrokerData, local: IpAddr) -> BrokerData {
        let mut seen = broker.clone();
        for address in seen.broker_addrs.values_mut() {
            let live = self.live.get(&live_key(&broker.cluster, address));
            if let Some(Origin::Process { any_interface: Some(port) }) = live.map(|live| live.origin) {
                *address = SocketAddr::new(local, port).to_string();
            }
        }
        seen
    }
}
