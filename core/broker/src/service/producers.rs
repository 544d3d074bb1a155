//! Who produces: the members of each producer group (`ProducerManager`).

use std::collections::HashMap;
use std::time::Duration;

use mq_protocol::body::ConnectionInfo;
use parking_lot::Mutex;

use super::consumers::Member;
use crate::server::PeerId;

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

    /// Takes out members whose heartbeats stopped.
    pub(crate) fn expire(&self, limit: Duration) {
        self.keep(|member| member.seen.elapsed() <= limit);
    }

    fn keep(&self, stays: impl Fn(&Member) -> bool) {
        self.groups.lock().retain(|_, members| {
            members.retain(|_, member| stays(member));
            !members.is_empty()
        });
    }

    /// The members of a group for admin answers; `None` if there are none.
    pub(crate) fn connections(&self, group: &str) -> Option<Vec<ConnectionInfo>> {
        self.groups.lock().get(group).map(|members| members.values().map(Member::info).collect())
    }
}
