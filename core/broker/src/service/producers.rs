//! Who produces: the members of each producer group (`ProducerManager`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq_protocol::body::{ConnectionInfo, ProducerInfo};
use parking_lot::Mutex;

use super::consumers::Member;
use crate::server::{Peer, PeerId};

/// All producer groups with a member.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    groups: Mutex<HashMap<String, HashMap<PeerId, Member>>>,
}

impl Producers {
    /// Takes a group's part of a heartbeat.
    pub(crate) fn heartbeat(&self, group: &str, member: Member) {
        let mut groups = self.groups.lock();
        match groups.get_mut(group) {
            Some(members) => {
                members.insert(member.peer.id, member);
            }
            None => {
                groups.insert(group.to_owned(), HashMap::from([(member.peer.id, member)]));
            }
        }
    }

    /// Takes a member out of one group (UNREGISTER_CLIENT).
    pub(crate) fn unregister(&self, group: &str, peer: PeerId) {
        let mut groups = self.groups.lock();
        if let Some(members) = groups.get_mut(group) {
            members.remove(&peer);
            if members.is_empty() {
                groups.remove(group);
            }
        }
    }

    /// Takes a connection out of all groups.
    pub(crate) fn connection_closed(&self, peer: PeerId) {
        self.keep(|member| member.peer.id != peer);
    }

    /// The connections of members of which nothing was heard for longer than `limit`.
    pub(crate) fn silent(&self, now: Instant, limit: Duration) -> Vec<Arc<Peer>> {
        let groups = self.groups.lock();
        let members = groups.values().flat_map(HashMap::values);
        members.filter(|member| member.is_silent(now, limit)).map(|member| member.peer.clone()).collect()
    }

    /// A connection has given a sign of life.
    pub(crate) fn heard_of(&self, peer: PeerId, now: Instant) {
        for members in self.groups.lock().values_mut() {
            if let Some(member) = members.get_mut(&peer) {
                member.seen = now;
            }
        }
    }

    /// Takes out members of which nothing was heard for longer than `limit`, and closes their connections.
    pub(crate) fn expire(&self, now: Instant, limit: Duration) {
        let silent = self.silent(now, limit);
        self.keep(|member| !member.is_silent(now, limit));
        for peer in silent {
            peer.cut("no heartbeat");
        }
    }

    fn keep(&self, stays: impl Fn(&Member) -> bool) {
        self.groups.lock().retain(|_, members| {
            members.retain(|_, member| stays(member));
            !members.is_empty()
        });
    }

    /// The members of all groups; `instant` and `millis` are the same moment.
    pub(crate) fn all(&self, instant: Instant, millis: i64) -> BTreeMap<String, Vec<ProducerInfo>> {
        let info = |member: &Member| {
            let silence = i64::try_from(member.silence(instant).as_millis()).unwrap_or(i64::MAX);
            let ConnectionInfo { client_addr, client_id, language, version } = member.info();
            let last_update_timestamp = millis.saturating_sub(silence);
            ProducerInfo { client_id, language, last_update_timestamp, remote_ip: client_addr, version }
        };
        let groups = self.groups.lock();
        groups.iter().map(|(name, members)| (name.clone(), members.values().map(info).collect())).collect()
    }

    /// The members of a group for admin answers; `None` if there are none.
    pub(crate) fn connections(&self, group: &str) -> Option<Vec<ConnectionInfo>> {
        self.groups.lock().get(group).map(|members| members.values().map(Member::info).collect())
    }
}
