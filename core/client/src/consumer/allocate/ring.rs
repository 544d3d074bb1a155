//! Division by consistent hashing (`AllocateMessageQueueConsistentHash`, `ConsistentHashRouter`).

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use mq_protocol::body::MessageQueue;

/// Places that each member has on the ring.
const VIRTUAL_NODES: usize = 10;

pub(super) fn share(queues: Vec<MessageQueue>, members: &[&str], own_id: &str) -> Vec<MessageQueue> {
    let mut ring = BTreeMap::new();
    for member in members {
        for number in 0..VIRTUAL_NODES {
            // A place that is taken goes to the later one, as in Java's map.
            ring.insert(place(&format!("{member}-{number}")), *member);
        }
    }
    let mut queues = queues;
    queues.retain(|queue| {
        let place = place(&format!(
            "MessageQueue [topic={}, brokerName={}, queueId={}]",
            queue.topic, queue.broker_name, queue.queue_id
        ));
        let owner = ring.range(place..).next().or_else(|| ring.first_key_value());
        owner.is_some_and(|(_, owner)| *owner == own_id)
    });
    queues
}

/// The first four bytes of the key's MD5 digest.
fn place(key: &str) -> u32 {
    let digest = Md5::digest(key.as_bytes());
    digest.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
