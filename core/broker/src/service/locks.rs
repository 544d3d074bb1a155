//! Locks on queues, by which ordered consumers keep a queue to themselves (`RebalanceLockManager`).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mq_protocol::body::MessageQueue;
use parking_lot::Mutex;

use crate::testing::TestClock;

/// A lock that is not renewed for this long is free again (`rocketmq.broker.rebalance.lockMaxLiveTime`).
const LIFETIME: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Lock {
    client_id: String,
    renewed: Instant,
}

impl Lock {
    fn is_live(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.renewed) < LIFETIME
    }
}

/// All locks, by group and queue.
#[derive(Debug)]
pub(crate) struct QueueLocks {
    clock: TestClock,
    groups: Mutex<HashMap<String, HashMap<MessageQueue, Lock>>>,
}

impl QueueLocks {
    pub(crate) fn new(clock: TestClock) -> QueueLocks {
        QueueLocks { clock, groups: Mutex::default() }
    }

    /// Takes or renews locks; returns the queues that the client holds now.
    pub(crate) fn lock(&self, group: &str, client_id: &str, queues: Vec<MessageQueue>) -> Vec<MessageQueue> {
        let now = self.clock.instant();
        let mut groups = self.groups.lock();
        let locks = groups.entry(group.to_owned()).or_default();
        locks.retain(|_, lock| lock.is_live(now));
        let mut held = Vec::with_capacity(queues.len());
        for queue in queues {
            if locks.get(&queue).is_none_or(|lock| lock.client_id == client_id) {
                let lock = Lock { client_id: client_id.to_owned(), renewed: now };
                locks.insert(queue.clone(), lock);
                held.push(queue);
            }
        }
        held
    }

    /// Frees locks that the client holds.
    pub(crate) fn unlock(&self, group: &str, client_id: &str, queues: &[MessageQueue]) {
        let mut groups = self.groups.lock();
        if let Some(locks) = groups.get_mut(group) {
            locks.retain(|queue, lock| lock.client_id != client_id || !queues.contains(queue));
            if locks.is_empty() {
                groups.remove(group);
            }
        }
    }

    /// Whether any queue of the group is locked, which tells that the group consumes in order.
    pub(crate) fn any_live(&self, group: &str) -> bool {
        let now = self.clock.instant();
        self.groups.lock().get(group).is_some_and(|locks| locks.values().any(|lock| lock.is_live(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_belongs_to_one_client_until_freed() {
        let queue = |id| MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: id };
        let clock = TestClock::default();
        let locks = QueueLocks::new(clock.clone());
        assert_eq!(locks.lock("g", "a", vec![queue(0), queue(1)]).len(), 2);
        assert_eq!(locks.lock("g", "b", vec![queue(1), queue(2)]), [queue(2)]);
        assert_eq!(locks.lock("other", "b", vec![queue(1)]).len(), 1);
        assert!(locks.any_live("g"));
        locks.unlock("g", "b", &[queue(0), queue(1), queue(2)]);
        assert_eq!(locks.lock("g", "a", vec![queue(0), queue(2)]).len(), 2);
        locks.unlock("g", "a", &[queue(0), queue(1), queue(2)]);
        assert!(!locks.any_live("g"));
        locks.lock("g", "a", vec![queue(0)]);
        clock.advance(LIFETIME);
        assert!(!locks.any_live("g"));
        assert_eq!(locks.lock("g", "b", vec![queue(0)]), [queue(0)]);
    }
}
