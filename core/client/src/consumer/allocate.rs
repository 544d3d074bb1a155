//! How queues are divided between the members of a group, exactly as Java members of the group divide them.

use mq_protocol::body::MessageQueue;

use crate::AllocateStrategy;

/// The share of `own_id`: every member computes all shares alike from the same two lists.
///
/// Both lists are sorted here: queues by topic, broker name and number, ids in Java's string order.
/// Empty if `own_id` is not a member.
pub(crate) fn allocate(
    strategy: AllocateStrategy,
    queues: &[MessageQueue],
    members: &[String],
    own_id: &str,
) -> Vec<MessageQueue> {
    let mut queues = queues.to_vec();
    queues.sort_by(|a, b| {
        java_order(&a.topic, &b.topic)
            .then_with(|| java_order(&a.broker_name, &b.broker_name))
            .then_with(|| a.queue_id.cmp(&b.queue_id))
    });
    let mut members: Vec<&str> = members.iter().map(String::as_str).collect();
    members.sort_by(|a, b| java_order(a, b));
    let Some(index) = members.iter().position(|member| *member == own_id) else { return Vec::new() };
    match strategy {
        AllocateStrategy::Average => average(queues, members.len(), index),
        AllocateStrategy::AverageByCircle => queues.into_iter().skip(index).step_by(members.len()).collect(),
    }
}

/// `AllocateMessageQueueAveragely`.
fn average(queues: Vec<MessageQueue>, members: usize, index: usize) -> Vec<MessageQueue> {
    let count = queues.len();
    let rest = count % members;
    let size = match () {
        () if count <= members => 1,
        () if rest > 0 && index < rest => count / members + 1,
        () => count / members,
    };
    let start = if rest > 0 && index < rest { index * size } else { index * size + rest };
    queues.into_iter().skip(start).take(size).collect()
}

/// Java compares UTF-16 code units, which differs from code points above U+FFFF.
fn java_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Vec<MessageQueue> {
        // Shuffled, and numbers of two digits so that a sort by text would show.
        let queue = |n: i32| MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: n };
        let mut all: Vec<_> = (0..count).map(queue).collect();
        all.reverse();
        all
    }

    fn shares(strategy: AllocateStrategy, count: i32, members: usize) -> Vec<Vec<i32>> {
        let ids: Vec<String> = (0..members).rev().map(|n| format!("cid-{n}")).collect();
        let share = |n: usize| {
            let own = allocate(strategy, &queues(count), &ids, &format!("cid-{n}"));
            own.iter().map(|queue| queue.queue_id).collect()
        };
        (0..members).map(share).collect()
    }

    #[test]
    fn averages_are_javas() {
        let avg = |count, members| shares(AllocateStrategy::Average, count, members);
        assert_eq!(avg(4, 2), [vec![0, 1], vec![2, 3]]);
        assert_eq!(avg(5, 2), [vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(avg(8, 3), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(avg(2, 4), [vec![0], vec![1], vec![], vec![]]);
        assert_eq!(avg(3, 3), [vec![0], vec![1], vec![2]]);
        assert_eq!(avg(12, 5), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7], vec![8, 9], vec![10, 11]]);
        assert_eq!(avg(0, 2), [vec![], vec![]] as [Vec<i32>; 2]);
        let circle = |count, members| shares(AllocateStrategy::AverageByCircle, count, members);
        assert_eq!(circle(5, 2), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(circle(1, 2), [vec![0], vec![]]);
    }

    #[test]
    fn every_queue_has_one_owner_whatever_the_numbers() {
        for strategy in [AllocateStrategy::Average, AllocateStrategy::AverageByCircle] {
            for count in 0..20 {
                for members in 1..12 {
                    let mut all = shares(strategy, count, members).concat();
                    all.sort_unstable();
                    assert_eq!(all, (0..count).collect::<Vec<_>>(), "{count} over {members}");
                }
            }
        }
    }

    #[test]
    fn strangers_get_nothing_and_brokers_are_sorted_first() {
        let ids = ["a".to_owned()];
        assert!(allocate(AllocateStrategy::Average, &queues(4), &ids, "b").is_empty());
        let queue =
            |broker: &str, n| MessageQueue { topic: "T".into(), broker_name: broker.into(), queue_id: n };
        let all = [queue("b2", 0), queue("b1", 1), queue("b10", 0), queue("b1", 0)];
        let ids = ["a".to_owned(), "b".to_owned()];
        assert_eq!(allocate(AllocateStrategy::Average, &all, &ids, "a"), [queue("b1", 0), queue("b1", 1)]);
        assert!(java_order("\u{1F600}", "\u{FFFD}").is_lt(), "surrogates sort below U+E000 and up");
    }
}
