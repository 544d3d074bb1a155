//! Which queue a message goes to (`TopicPublishInfo`, `SelectMessageQueueByHash`).

use mq_protocol::id::java_hash;

use super::fault::Faults;
use crate::route::{PublishQueue, Route};
use crate::{Error, ErrorCode, Message};

/// How the queue is chosen.
pub(super) enum Choice {
    /// In turn, on another broker after a failure.
    Any,
    /// By the hash of the message group, as Java's `SelectMessageQueueByHash` does.
    Hash(i32),
    /// This one.
    Exactly { broker_name: String, queue_id: i32 },
}

impl Choice {
    pub(super) fn of(message: &Message) -> Choice {
        message.message_group.as_ref().map_or(Choice::Any, |group| Choice::Hash(java_hash(group)))
    }
}

pub(super) fn choose<'r>(
    choice: &Choice,
    topic: &str,
    turn: usize,
    route: &'r Route,
    failed_on: Option<&str>,
    faults: Option<&Faults>,
) -> Result<&'r PublishQueue, Error> {
    let queues = &route.publish;
    let chosen = match choice {
        Choice::Any => in_turn(queues, turn, failed_on, faults),
        Choice::Hash(hash) => queues.get(slot(*hash, queues.len())),
        Choice::Exactly { broker_name, queue_id } => {
            let found = queues.iter().find(|q| *q.broker_name == **broker_name && q.queue_id == *queue_id);
            if found.is_none() && !queues.is_empty() {
                return Err(Error::argument(format!(
                    "topic '{topic}' has no queue {queue_id} on broker '{broker_name}' that can be written"
                )));
            }
            found
        }
    };
    chosen.ok_or_else(|| {
        Error::new(
            ErrorCode::NotFound,
            format!(
                "topic '{topic}' has no queue that can be written: its brokers are gone or its permission forbids it"
            ),
        )
    })
}

/// The next queue; one of another broker than the one that failed, that is not known to be down or slow, if
/// there is one.
fn in_turn<'r>(
    queues: &'r [PublishQueue],
    turn: usize,
    failed_on: Option<&str>,
    faults: Option<&Faults>,
) -> Option<&'r PublishQueue> {
    let count = queues.len();
    let at = |step: usize| queues.get(turn.wrapping_add(step) % count.max(1));
    let other = |queue: &PublishQueue| failed_on != Some(&*queue.broker_name);
    let up = |queue: &PublishQueue| other(queue) && !queue.peer.is_down();
    let good = |queue: &PublishQueue| {
        up(queue) && faults.is_none_or(|faults| faults.is_available(&queue.broker_name))
    };
    let first = at(0)?;
    if good(first) {
        return Some(first);
    }
    let reachable = |queue: &PublishQueue| {
        up(queue) && faults.is_none_or(|faults| faults.is_reachable(&queue.broker_name))
    };
    let find = |fits: &dyn Fn(&PublishQueue) -> bool| (0..count).filter_map(at).find(|queue| fits(queue));
    find(&good).or_else(|| find(&reachable)).or_else(|| find(&up)).or_else(|| find(&other)).or(Some(first))
}

/// Java's `abs(hash % n)`.
fn slot(hash: i32, count: usize) -> usize {
    let count = i64::try_from(count.max(1)).unwrap_or(i64::MAX);
    usize::try_from((i64::from(hash) % count).abs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_choose_as_java_does() {
        assert_eq!(slot(java_hash("polygenelubricants"), 7), 2_147_483_648_usize % 7);
        assert_eq!(slot(-7, 4), 3);
        assert_eq!(slot(java_hash("TagA"), 8), 2_598_919 % 8);
        assert_eq!(slot(5, 0), 0);
    }
}
