//! Shares against those that Apache's classes give, and what no vector can show.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const VECTORS: &str = include_str!("../../../../../tests/vectors/allocate/vectors.tsv");

fn allocation(strategy: AllocateStrategy) -> Allocation {
    let queues = "T:b:0,T:b:3-5, U:c:1";
    Allocation::new(strategy, queues, "room1, room3", str::to_owned).unwrap()
}

fn queue(topic: &str, broker: &str, queue_id: i32) -> MessageQueue {
    MessageQueue { topic: topic.into(), broker_name: broker.into(), queue_id }
}

#[test]
fn shares_are_those_of_apaches_classes() {
    use crate::setting::Value;
    let mut lines = 0;
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let strategy = AllocateStrategy::parse(fields.next().unwrap(), AllocateStrategy::KIND).unwrap();
        let each: i32 = fields.next().unwrap().parse().unwrap();
        // In no order, for the share does not depend on it.
        let members: Vec<String> = fields.next().unwrap().split(' ').rev().map(str::to_owned).collect();
        let queues: Vec<_> = ["room3@a9", "room1@b", "room3@a10", "room2@b"]
            .iter()
            .flat_map(|broker| (0..each).rev().map(|n| queue("T-1", broker, n)))
            .collect();
        let mut asked = 0;
        for field in fields {
            let (member, wanted) = field.split_once(": ").unwrap_or((field.trim_end_matches(':'), ""));
            let share = allocation(strategy).share(&queues, &members, member);
            let mut shown: Vec<_> =
                share.iter().map(|q| format!("{}/{}", q.broker_name, q.queue_id)).collect();
            let mut wanted: Vec<_> = wanted.split_whitespace().map(str::to_owned).collect();
            if strategy == AllocateStrategy::MachineRoomNearby {
                shown.sort();
                wanted.sort();
            }
            assert_eq!(shown, wanted, "{member} of {line}");
            asked += 1;
        }
        assert_eq!(asked, members.len());
        lines += 1;
    }
    assert_eq!(lines, 45, "five strategies, nine shapes");
}

#[test]
fn every_queue_has_one_owner_whatever_the_numbers() {
    use AllocateStrategy::{Average, AverageByCircle, ConsistentHash, MachineRoomNearby};
    for strategy in [Average, AverageByCircle, ConsistentHash, MachineRoomNearby] {
        for count in 0..20 {
            let queues: Vec<_> = (0..count).rev().map(|n| queue("T", "b", n)).collect();
            for members in 1..12 {
                let ids: Vec<String> = (0..members).rev().map(|n| format!("cid-{n}")).collect();
                let shares = ids.iter().flat_map(|id| allocation(strategy).share(&queues, &ids, id));
                let mut all: Vec<_> = shares.map(|queue| queue.queue_id).collect();
                all.sort_unstable();
                assert_eq!(all, (0..count).collect::<Vec<_>>(), "{count} over {members}");
            }
        }
    }
}

#[test]
fn strangers_get_nothing_and_brokers_are_sorted_first() {
    let average = allocation(AllocateStrategy::Average);
    let ids = ["a".to_owned()];
    assert!(average.share(&[queue("T", "b", 0)], &ids, "b").is_empty());
    let all = [queue("T", "b2", 0), queue("T", "b1", 1), queue("T", "b10", 0), queue("T", "b1", 0)];
    let ids = ["a".to_owned(), "b".to_owned()];
    assert_eq!(average.share(&all, &ids, "a"), [queue("T", "b1", 0), queue("T", "b1", 1)]);
    assert!(java_order("\u{1F600}", "\u{FFFD}").is_lt(), "surrogates sort below U+E000 and up");
}

#[test]
fn config_takes_what_is_named_and_exists_and_shares_the_retries() {
    let config = allocation(AllocateStrategy::Config);
    let ids = ["a".to_owned(), "b".to_owned()];
    let queues: Vec<_> = (0..5).map(|n| queue("T", "b", n)).collect();
    assert_eq!(
        config.share(&queues, &ids, "b"),
        [queue("T", "b", 0), queue("T", "b", 3), queue("T", "b", 4)]
    );
    let retries = [queue("%RETRY%G", "b", 0), queue("%RETRY%G", "c", 0)];
    assert_eq!(config.share(&retries, &ids, "b"), [queue("%RETRY%G", "c", 0)]);
    let wrapped = Allocation::new(AllocateStrategy::Config, "T:b:1", "", |t| format!("ns%{t}")).unwrap();
    assert_eq!(wrapped, Allocation::Config([queue("ns%T", "b", 1)].into()));
}

#[test]
fn settings_that_a_strategy_needs_are_checked() {
    let message = |strategy, queues: &str, rooms: &str| {
        Allocation::new(strategy, queues, rooms, str::to_owned).unwrap_err().to_string()
    };
    assert!(message(AllocateStrategy::MachineRoom, "", " , ").contains("'machine_rooms' is empty"));
    assert!(message(AllocateStrategy::Config, "", "").contains("'allocate_queues' is empty"));
    for bad in ["T", "T:b", "T:b:x", "T:b:-1", "T:b:3-1", "T:b:1:2", ":b:1", "T::1", "T:b:0-70000"] {
        assert!(message(AllocateStrategy::Config, bad, "").contains(&format!("has '{bad}'")), "{bad}");
    }
}
