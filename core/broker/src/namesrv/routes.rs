//! Who serves which topic: what brokers registered, and the routes that follow (`RouteInfoManager`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use mq_protocol::body::{
    BrokerMemberGroup, ClusterInfo, DataVersion, QueueData, TopicConfig, TopicRoute, perm,
};
use parking_lot::RwLock;
use tracing::{info, warn};

use crate::server::PeerId;

mod tables;

pub(crate) use tables::{Identity, Origin, RefusedSingleTopic, Registered, Registration};
use tables::{Live, MASTER, Tables, live_key};

/// Topics of this prefix are served by the brokers themselves, acting master or not.
const SYNC_BROKER_MEMBER_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// Bits of a topic's system flag (`TopicSysFlag`).
mod topic_flag {
    pub(super) const UNIT: i32 = 1;
    pub(super) const UNIT_SUB: i32 = 2;
}

/// All registrations. One lock; nothing else is locked while it is held.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    tables: RwLock<Tables>,
}

impl Routes {
    /// Takes a registration (REGISTER_BROKER).
    pub(crate) fn register(&self, new: &Registration<'_>) -> Result<Registered, RefusedSingleTopic> {
        self.tables.write().register(new)
    }

    /// Ends a registration (UNREGISTER_BROKER).
    pub(crate) fn unregister(&self, broker: Identity<'_>) {
        self.tables.write().unregister(broker.cluster, broker.address, broker.name, broker.id);
    }

    /// The topics of the broker in this process have a new version, with one topic new or changed. Needs no full
    /// registration.
    pub(crate) fn update_topic(
        &self,
        broker: Identity<'_>,
        topic: Option<&TopicConfig>,
        version: DataVersion,
    ) {
        let mut tables = self.tables.write();
        if let Some(live) = tables.live.get_mut(&live_key(broker.cluster, broker.address)) {
            live.version = version;
            if let Some(topic) = topic {
                tables.put_queues(broker.name, topic, topic.perm);
            }
        }
    }

    /// Ends the registrations that came over this connection.
    pub(crate) fn connection_closed(&self, peer: PeerId) {
        self.end_where("its connection was closed", |live| live.origin == Origin::Peer(peer));
    }

    /// Ends the registrations that were not renewed in time.
    pub(crate) fn expire(&self) {
        self.end_where("it did not register in time", |live| {
            matches!(live.origin, Origin::Peer(_)) && live.seen.elapsed() > live.timeout
        });
    }

    fn end_where(&self, why: &str, gone: impl Fn(&Live) -> bool) {
        if !self.tables.read().live.values().any(&gone) {
            return;
        }
        let mut tables = self.tables.write();
        let ended: Vec<(String, String, String, i64)> = tables
            .live
            .iter()
            .filter(|(_, live)| gone(live))
            .map(|((cluster, address), live)| (cluster.clone(), address.clone(), live.name.clone(), live.id))
            .collect();
        for (cluster, address, name, id) in ended {
            info!(%cluster, broker = %name, %address, "broker removed: {why}");
            tables.unregister(&cluster, &address, &name, id);
        }
    }

    /// Whether the topic table of a broker is another than `version`, and the one that is known (QUERY_DATA_VERSION).
    pub(crate) fn compare_version(
        &self,
        broker: Identity<'_>,
        version: &DataVersion,
    ) -> (bool, Option<DataVersion>) {
        let mut tables = self.tables.write();
        let Some(live) = tables.live.get_mut(&live_key(broker.cluster, broker.address)) else {
            return (true, None);
        };
        let changed = live.version != *version;
        if !changed {
            live.seen = Instant::now();
        }
        (changed, Some(live.version))
    }

    /// Keeps a registration alive (BROKER_HEARTBEAT).
    pub(crate) fn touch(&self, cluster: &str, address: &str) {
        if let Some(live) = self.tables.write().live.get_mut(&live_key(cluster, address)) {
            live.seen = Instant::now();
        }
    }

    /// The route of a topic, with addresses that a caller at our address `local` can reach.
    pub(crate) fn route(&self, topic: &str, local: IpAddr, acting_master: bool) -> Option<TopicRoute> {
        let tables = self.tables.read();
        let queues = tables.topics.get(topic)?;
        let mut route = TopicRoute {
            queue_datas: queues.values().cloned().collect(),
            broker_datas: queues
                .keys()
                .filter_map(|name| tables.brokers.get(name))
                .map(|broker| tables.seen_from(broker, local))
                .collect(),
            ..TopicRoute::default()
        };
        if route.broker_datas.is_empty() || route.queue_datas.is_empty() {
            return None;
        }
        if acting_master && !topic.starts_with(SYNC_BROKER_MEMBER_PREFIX) {
            for broker in &mut route.broker_datas {
                let writable = queues.get(&broker.broker_name).is_none_or(|q| q.perm & perm::WRITE != 0);
                if broker.enable_acting_master && !writable && !broker.broker_addrs.contains_key(&MASTER) {
                    promote_smallest(&mut broker.broker_addrs);
                }
            }
        }
        Some(route)
    }

    /// All brokers and clusters (GET_BROKER_CLUSTER_INFO).
    pub(crate) fn cluster_info(&self, local: IpAddr) -> ClusterInfo {
        let tables = self.tables.read();
        ClusterInfo {
            broker_addr_table: tables
                .brokers
                .iter()
                .map(|(name, broker)| (name.clone(), tables.seen_from(broker, local)))
                .collect(),
            cluster_addr_table: tables
                .clusters
                .iter()
                .map(|(cluster, names)| (cluster.clone(), names.iter().cloned().collect()))
                .collect(),
        }
    }

    /// The brokers of one name (GET_BROKER_MEMBER_GROUP).
    pub(crate) fn member_group(&self, cluster: &str, name: &str, local: IpAddr) -> BrokerMemberGroup {
        let tables = self.tables.read();
        let broker_addrs = tables
            .brokers
            .get(name)
            .map(|broker| tables.seen_from(broker, local).broker_addrs)
            .unwrap_or_default();
        BrokerMemberGroup { broker_addrs, broker_name: name.to_owned(), cluster: cluster.to_owned() }
    }

    /// Sets the permission of all topics of a broker (WIPE_WRITE_PERM_OF_BROKER, ADD_WRITE_PERM_OF_BROKER); tells how many.
    pub(crate) fn set_write_permission(&self, broker_name: &str, writable: bool) -> usize {
        let mut tables = self.tables.write();
        let queues = tables.topics.values_mut().filter_map(|queues| queues.get_mut(broker_name));
        queues
            .map(|queue| {
                queue.perm = if writable { perm::READ | perm::WRITE } else { queue.perm & !perm::WRITE };
            })
            .count()
    }

    /// All topics.
    pub(crate) fn all_topics(&self) -> Vec<String> {
        self.tables.read().topics.keys().cloned().collect()
    }

    /// The topics of a cluster's brokers.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> Vec<String> {
        let tables = self.tables.read();
        let Some(names) = tables.clusters.get(cluster) else { return Vec::new() };
        let of_cluster =
            |queues: &BTreeMap<String, QueueData>| queues.keys().any(|name| names.contains(name));
        let topics = tables.topics.iter().filter(|(_, queues)| of_cluster(queues));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    /// The topics named like clusters and brokers, and the address of a broker (GET_SYSTEM_TOPIC_LIST_FROM_NS).
    pub(crate) fn system_topics(&self, local: IpAddr) -> (Vec<String>, Option<String>) {
        let tables = self.tables.read();
        let mut topics = Vec::new();
        for (cluster, names) in &tables.clusters {
            topics.push(cluster.clone());
            topics.extend(names.iter().cloned());
        }
        let first = tables
            .brokers
            .values()
            .find_map(|broker| tables.seen_from(broker, local).broker_addrs.into_values().next());
        (topics, first)
    }

    /// Topics of units (GET_UNIT_TOPIC_LIST), topics with subscriptions of units (GET_HAS_UNIT_SUB_TOPIC_LIST), and
    /// those of the latter that are of no unit themselves (GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST).
    pub(crate) fn unit_topics(&self, wanted: UnitTopics) -> Vec<String> {
        let chosen = |flag: i32| match wanted {
            UnitTopics::Unit => flag & topic_flag::UNIT != 0,
            UnitTopics::UnitSub => flag & topic_flag::UNIT_SUB != 0,
            UnitTopics::UnitSubWithoutUnit => {
                flag & topic_flag::UNIT_SUB != 0 && flag & topic_flag::UNIT == 0
            }
        };
        let tables = self.tables.read();
        let first_matches = |queues: &BTreeMap<String, QueueData>| {
            queues.values().next().is_some_and(|queue| chosen(queue.topic_sys_flag))
        };
        let topics = tables.topics.iter().filter(|(_, queues)| first_matches(queues));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    /// Removes a topic, from one cluster's brokers or from all (DELETE_TOPIC_IN_NAMESRV).
    pub(crate) fn delete_topic(&self, topic: &str, cluster: Option<&str>) {
        let mut tables = self.tables.write();
        let Some(cluster) = cluster else {
            tables.topics.remove(topic);
            return;
        };
        let names = tables.clusters.get(cluster).cloned().unwrap_or_default();
        if let Some(queues) = tables.topics.get_mut(topic) {
            queues.retain(|name, _| !names.contains(name));
            if queues.is_empty() {
                tables.topics.remove(topic);
            }
        }
    }

    /// Sets the queues of a topic on brokers that are known (REGISTER_TOPIC_IN_NAMESRV).
    pub(crate) fn register_topic(&self, topic: &str, queues: Vec<QueueData>) {
        let mut tables = self.tables.write();
        if let Some(stranger) = queues.iter().find(|q| !tables.brokers.contains_key(&q.broker_name)) {
            warn!(topic, broker = stranger.broker_name, "topic not registered: this broker is not known");
            return;
        }
        if queues.is_empty() {
            return;
        }
        let entry = tables.topics.entry(topic.to_owned()).or_default();
        for queue in queues {
            entry.insert(queue.broker_name.clone(), queue);
        }
    }
}

/// Which topics of units are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitTopics {
    Unit,
    UnitSub,
    UnitSubWithoutUnit,
}

/// The smallest id stands in for the master.
fn promote_smallest(addresses: &mut BTreeMap<i64, String>) {
    if let Some((_, address)) = addresses.pop_first() {
        addresses.insert(MASTER, address);
    }
}

#[cfg(test)]
mod tests {
    use mq_protocol::body::TopicTable;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn table(counter: i64, topics: &[(&str, i32)]) -> TopicTable {
        let mut table = TopicTable::default();
        table.data_version.counter = counter;
        for (name, queues) in topics {
            table.topic_config_table.insert((*name).to_owned(), TopicConfig::new(*name, *queues, 6));
        }
        table
    }

    fn register(
        routes: &Routes,
        address: &str,
        id: i64,
        topics: &TopicTable,
    ) -> Result<Registered, RefusedSingleTopic> {
        routes.register(&Registration {
            broker: Identity { cluster: "C", name: "b", address, id },
            ha_address: "ha:1",
            timeout: None,
            acting_master: None,
            topics,
            origin: Origin::Peer(PeerId(id as u64 + 1)),
            drop_unnamed: false,
        })
    }

    #[test]
    fn one_topic_of_a_stranger_is_refused_and_leaves_no_trace() {
        let routes = Routes::default();
        assert_eq!(register(&routes, "h:1", 0, &table(1, &[("T", 4)])), Err(RefusedSingleTopic));
        assert_eq!(routes.cluster_info(HERE), ClusterInfo::default());
        register(&routes, "h:1", 0, &table(1, &[("T", 4), ("U", 4)])).unwrap();
        register(&routes, "h:1", 0, &table(2, &[("T", 8)])).unwrap();
        assert_eq!(routes.route("T", HERE, false).unwrap().queue_datas[0].read_queue_nums, 8);
        assert!(routes.route("U", HERE, false).is_some(), "absent topics stay");
    }

    #[test]
    fn an_unmoved_version_changes_no_known_topic() {
        let routes = Routes::default();
        register(&routes, "h:1", 0, &table(1, &[("T", 4), ("U", 4)])).unwrap();
        assert_eq!(routes.set_write_permission("b", false), 2);
        register(&routes, "h:1", 0, &table(1, &[("T", 4), ("U", 4), ("V", 4)])).unwrap();
        assert_eq!(routes.route("T", HERE, false).unwrap().queue_datas[0].perm, 4);
        assert_eq!(routes.route("V", HERE, false).unwrap().queue_datas[0].perm, 6);
        register(&routes, "h:1", 0, &table(2, &[("T", 4), ("U", 4)])).unwrap();
        assert_eq!(routes.route("T", HERE, false).unwrap().queue_datas[0].perm, 6);
    }

    #[test]
    fn replicas_learn_their_master_and_routes_end_with_the_last_address() {
        let routes = Routes::default();
        let topics = table(1, &[("T", 4), ("U", 4)]);
        register(&routes, "h:1", 0, &topics).unwrap();
        let learned = register(&routes, "h:2", 1, &topics).unwrap();
        assert_eq!(learned.master_address.as_deref(), Some("h:1"));
        assert_eq!(learned.ha_address.as_deref(), Some("ha:1"));
        routes.connection_closed(PeerId(1));
        assert_eq!(routes.route("T", HERE, false).unwrap().broker_datas[0].broker_addrs.len(), 1);
        routes.connection_closed(PeerId(2));
        assert!(routes.route("T", HERE, false).is_none());
        assert_eq!(routes.cluster_info(HERE), ClusterInfo::default());
    }

    #[test]
    fn an_address_keeps_one_id_and_newer_state_keeps_its_id() {
        let routes = Routes::default();
        let topics = table(1, &[("T", 4), ("U", 4)]);
        register(&routes, "h:1", 1, &topics).unwrap();
        register(&routes, "h:1", 0, &topics).unwrap();
        let addresses = routes.member_group("C", "b", HERE).broker_addrs;
        assert_eq!(addresses, BTreeMap::from([(0, "h:1".to_owned())]));
        let mut newer = topics.clone();
        newer.data_version.state_version = 5;
        register(&routes, "h:1", 0, &newer).unwrap();
        register(&routes, "h:9", 0, &topics).unwrap();
        assert_eq!(routes.member_group("C", "b", HERE).broker_addrs, addresses);
    }

    #[test]
    fn a_broker_on_all_interfaces_is_named_as_the_caller_sees_it() {
        let routes = Routes::default();
        let topics = table(1, &[("T", 4), ("U", 4)]);
        let registration = Registration {
            broker: Identity { cluster: "C", name: "b", address: "10.0.0.5:10911", id: 0 },
            ha_address: "",
            timeout: None,
            acting_master: None,
            topics: &topics,
            origin: Origin::Process { any_interface: Some(10_911) },
            drop_unnamed: false,
        };
        routes.register(&registration).unwrap();
        let seen = |local: &str| {
            routes.route("T", local.parse().unwrap(), false).unwrap().broker_datas[0].broker_addrs[&0].clone()
        };
        assert_eq!(seen("127.0.0.1"), "127.0.0.1:10911");
        assert_eq!(seen("192.168.7.1"), "192.168.7.1:10911");
        assert_eq!(seen("::1"), "[::1]:10911");
    }
}
