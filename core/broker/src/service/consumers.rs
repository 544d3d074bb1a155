//! Who consumes: the members of each group and what the group subscribes to (`ConsumerManager`).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq_protocol::body::{ConnectionInfo, ConsumerConnections, ConsumerData, SubscriptionData};
use mq_protocol::filter::TagFilter;
use mq_protocol::header::ConsumerGroupRequest;
use mq_protocol::{Frame, Language, RequestCode};
use parking_lot::RwLock;

use crate::server::{Peer, PeerId};

/// A client behind a connection, as its heartbeats tell.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) peer: Arc<Peer>,
    pub(crate) client_id: String,
    pub(crate) language: Language,
    pub(crate) version: i32,
    pub(crate) seen: Instant,
}

impl Member {
    /// For how long nothing was heard of it.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.seen)
    }

    /// Whether nothing was heard of it for longer than `limit`.
    pub(super) fn is_silent(&self, now: Instant, limit: Duration) -> bool {
        self.silence(now) > limit
    }

    /// The entry of this client in admin answers.
    pub(crate) fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            client_addr: self.peer.remote.to_string(),
            client_id: self.client_id.clone(),
            language: self.language.name().to_owned(),
            version: self.version,
        }
    }
}

/// What a group wants of one topic.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) data: SubscriptionData,
    pub(crate) filter: Arc<TagFilter>,
}

impl Subscription {
    fn new(data: SubscriptionData) -> Subscription {
        let filter = TagFilter::parse(&data.sub_string).unwrap_or_default();
        Subscription { data, filter: Arc::new(filter) }
    }
}

/// What a pull needs to know about its group.
#[derive(Clone, Debug)]
pub(crate) struct Interest {
    pub(crate) broadcasting: bool,
    pub(crate) subscription: Option<Arc<Subscription>>,
}

#[derive(Debug, Default)]
struct Group {
    consume_type: String,
    message_model: String,
    consume_from_where: String,
    /// Of the last heartbeat; 0 if it had none.
    fingerprint: i32,
    members: HashMap<PeerId, Member>,
    subscriptions: HashMap<String, Arc<Subscription>>,
}

impl Group {
    fn is_broadcasting(&self) -> bool {
        self.message_model == "BROADCASTING"
    }

    /// Whom to tell that the group changed.
    fn peers(&self) -> Vec<Arc<Peer>> {
        if self.is_broadcasting() {
            return Vec::new();
        }
        self.members.values().map(|member| member.peer.clone()).collect()
    }
}

/// Which kind of heartbeat a client sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    /// Hash over what it tells; 0 in heartbeats of the first version.
    pub(crate) fingerprint: i32,
    /// It tells no subscriptions, because they are as before.
    pub(crate) without_subscriptions: bool,
}

/// All consumer groups with a member. One lock; members are told of changes outside it.
#[derive(Debug, Default)]
pub(crate) struct Consumers {
    groups: RwLock<HashMap<String, Group>>,
}

impl Consumers {
    /// Takes a group's part of a heartbeat; with `notify` the members learn of a change.
    ///
    /// `true` if the sender should tell its subscriptions with its next heartbeat, also if its fingerprint is the same:
    /// others of its group told something else, or the subscriptions are not known here (`heartBeatV2`).
    pub(crate) fn heartbeat(
        &self,
        member: Member,
        data: ConsumerData,
        kind: Heartbeat,
        notify: bool,
    ) -> bool {
        let (changed, wants_subscriptions, peers) = {
            let mut groups = self.groups.write();
            let known = groups.contains_key(&data.group_name);
            let group = groups.entry(data.group_name.clone()).or_default();
            let other = known && group.fingerprint != kind.fingerprint;
            group.fingerprint = kind.fingerprint;
            group.consume_type = data.consume_type;
            group.message_model = data.message_model;
            group.consume_from_where = data.consume_from_where;
            let new_member = group.members.insert(member.peer.id, member).is_none();
            let resubscribed = !kind.without_subscriptions
                && subscribe(&mut group.subscriptions, data.subscription_data_set);
            let unknown = kind.without_subscriptions && group.subscriptions.is_empty();
            let changed = notify && (new_member || resubscribed);
            (changed, other || unknown, if changed { group.peers() } else { Vec::new() })
        };
        if changed {
            tell(&data.group_name, &peers);
        }
        wants_subscriptions
    }

    /// Takes a member out of one group (UNREGISTER_CLIENT).
    pub(crate) fn unregister(&self, group: &str, peer: PeerId, notify: bool) {
        let peers = self.remove(group, &[peer]);
        if notify {
            tell(group, &peers);
        }
    }

    /// Takes a connection out of all groups.
    pub(crate) fn connection_closed(&self, peer: PeerId) {
        let concerned: Vec<String> = {
            let groups = self.groups.read();
            let with_peer = groups.iter().filter(|(_, group)| group.members.contains_key(&peer));
            with_peer.map(|(name, _)| name.clone()).collect()
        };
        for group in concerned {
            tell(&group, &self.remove(&group, &[peer]));
        }
    }

    /// The connections of members of which nothing was heard for longer than `limit`.
    pub(crate) fn silent(&self, now: Instant, limit: Duration) -> Vec<Arc<Peer>> {
        let groups = self.groups.read();
        let members = groups.values().flat_map(|group| group.members.values());
        members.filter(|member| member.is_silent(now, limit)).map(|member| member.peer.clone()).collect()
    }

    /// A connection has given a sign of life.
    pub(crate) fn heard_of(&self, peer: PeerId, now: Instant) {
        for group in self.groups.write().values_mut() {
            if let Some(member) = group.members.get_mut(&peer) {
                member.seen = now;
            }
        }
    }

    /// Takes out members of which nothing was heard for longer than `limit`, and closes their connections.
    pub(crate) fn expire(&self, now: Instant, limit: Duration) {
        let mut expired: Vec<(String, Vec<Arc<Peer>>)> = Vec::new();
        for (name, group) in &*self.groups.read() {
            let silent = group.members.values().filter(|member| member.is_silent(now, limit));
            let silent: Vec<_> = silent.map(|member| member.peer.clone()).collect();
            if !silent.is_empty() {
                expired.push((name.clone(), silent));
            }
        }
        for (group, silent) in expired {
            let ids: Vec<PeerId> = silent.iter().map(|peer| peer.id).collect();
            tell(&group, &self.remove(&group, &ids));
            for peer in silent {
                peer.cut("no heartbeat");
            }
        }
    }

    /// Removes members; returns those that remain if any was removed.
    fn remove(&self, name: &str, gone: &[PeerId]) -> Vec<Arc<Peer>> {
        let mut groups = self.groups.write();
        let Some(group) = groups.get_mut(name) else { return Vec::new() };
        let before = group.members.len();
        group.members.retain(|id, _| !gone.contains(id));
        let removed = group.members.len() != before;
        let left = if removed { group.peers() } else { Vec::new() };
        if group.members.is_empty() {
            groups.remove(name);
        }
        left
    }

    /// What the group wants of a topic; `None` if the group has no member.
    pub(crate) fn interest(&self, group: &str, topic: &str) -> Option<Interest> {
        let groups = self.groups.read();
        let group = groups.get(group)?;
        Some(Interest {
            broadcasting: group.is_broadcasting(),
            subscription: group.subscriptions.get(topic).cloned(),
        })
    }

    /// Number of subscriptions of a group, and whether one of them is of `topic`.
    pub(crate) fn subscribes(&self, group: &str, topic: &str) -> (usize, bool) {
        let groups = self.groups.read();
        groups
            .get(group)
            .map(|group| (group.subscriptions.len(), group.subscriptions.contains_key(topic)))
            .unwrap_or_default()
    }

    /// Client ids, each once: a client that has just connected anew may still stand here with its old connection, and if
    /// it counted twice, everybody would share the queues out for a moment as if there were one client more.
    pub(crate) fn client_ids(&self, group: &str) -> Vec<String> {
        let groups = self.groups.read();
        let members = groups.get(group).map(|group| group.members.values());
        let ids: BTreeSet<&String> = members.into_iter().flatten().map(|member| &member.client_id).collect();
        ids.into_iter().cloned().collect()
    }

    /// The connection of a client in a group, the newest if it has several.
    pub(crate) fn find(&self, group: &str, client_id: &str) -> Option<Member> {
        let groups = self.groups.read();
        let members = groups.get(group)?.members.values();
        members.filter(|member| member.client_id == client_id).max_by_key(|member| member.seen).cloned()
    }

    /// All members of a group.
    pub(crate) fn members(&self, group: &str) -> Vec<Member> {
        let groups = self.groups.read();
        groups.get(group).map(|group| group.members.values().cloned().collect()).unwrap_or_default()
    }

    /// The groups whose members subscribe to a topic.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<String> {
        let groups = self.groups.read();
        let subscribed = groups.iter().filter(|(_, group)| group.subscriptions.contains_key(topic));
        subscribed.map(|(name, _)| name.clone()).collect()
    }

    /// Everything about a group's members (GET_CONSUMER_CONNECTION_LIST); `None` if there are none.
    pub(crate) fn connections(&self, group: &str) -> Option<ConsumerConnections> {
        let groups = self.groups.read();
        let group = groups.get(group)?;
        Some(ConsumerConnections {
            connection_set: group.members.values().map(Member::info).collect(),
            consume_from_where: group.consume_from_where.clone(),
            consume_type: group.consume_type.clone(),
            message_model: group.message_model.clone(),
            subscription_table: group
                .subscriptions
                .iter()
                .map(|(topic, subscription)| (topic.clone(), subscription.data.clone()))
                .collect(),
        })
    }
}

/// Makes `known` what a heartbeat lists: newer versions replace, unlisted topics go; tells whether topics came or went.
fn subscribe(known: &mut HashMap<String, Arc<Subscription>>, listed: Vec<SubscriptionData>) -> bool {
    let before = known.len();
    known.retain(|topic, _| listed.iter().any(|data| data.topic == *topic));
    let mut changed = known.len() != before;
    for data in listed {
        match known.get_mut(&data.topic) {
            Some(old) if data.sub_version > old.data.sub_version => *old = Arc::new(Subscription::new(data)),
            Some(_) => {}
            None => {
                changed = true;
                known.insert(data.topic.clone(), Arc::new(Subscription::new(data)));
            }
        }
    }
    changed
}

/// Has members look at their group again (NOTIFY_CONSUMER_IDS_CHANGED).
fn tell(group: &str, peers: &[Arc<Peer>]) {
    for peer in peers {
        let header = ConsumerGroupRequest { consumer_group: group };
        peer.send(Frame::request(RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, &header).oneway());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(topic: &str, tags: &str, version: i64) -> SubscriptionData {
        SubscriptionData {
            topic: topic.into(),
            sub_string: tags.into(),
            sub_version: version,
            ..SubscriptionData::default()
        }
    }

    #[test]
    fn the_last_heartbeat_wins_by_version_and_drops_what_it_does_not_list() {
        let mut known = HashMap::new();
        assert!(subscribe(&mut known, vec![data("T", "a", 5), data("U", "*", 5)]));
        assert!(!subscribe(&mut known, vec![data("T", "old", 4), data("U", "*", 5)]));
        assert_eq!(known["T"].data.sub_string, "a");
        assert!(!subscribe(&mut known, vec![data("T", "b", 6), data("U", "*", 5)]));
        assert!(known["T"].filter.matches(Some("b")) && !known["T"].filter.matches(Some("a")));
        assert!(subscribe(&mut known, vec![data("T", "b", 6)]));
        assert!(!known.contains_key("U"));
    }
}
