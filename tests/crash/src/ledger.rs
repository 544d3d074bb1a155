//! What was acknowledged and what was handed to consumers, in all rounds on one folder.

use std::collections::HashMap;

/// A queue of a topic.
pub(crate) type QueueKey = (String, i32);

/// An acknowledged message's place.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) id: u64,
}

/// Everything that must be found again.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By queue and queue offset.
    pub(crate) acknowledged: HashMap<QueueKey, HashMap<i64, Kept>>,
    /// By group and queue: one more than the largest offset that was handed to a consumer of the group.
    pub(crate) handed_out: HashMap<(String, QueueKey), i64>,
    /// The id of the next message.
    pub(crate) next_id: u64,
}

/// The body of a message: its id, and bytes that follow from it.
pub(crate) fn body(id: u64) -> Vec<u8> {
    let mut random = crate::random::Random::new(id);
    // Mostly small, now and then large enough to be compressed and to make the log roll.
    let length = match random.below(40) {
        0 => 5000 + random.below(40_000),
        1..=4 => 1000 + random.below(3000),
        _ => random.below(400),
    };
    let mut body = format!("{id}:").into_bytes();
    for _ in 0..length / 8 {
        body.extend_from_slice(&random.next().to_be_bytes());
    }
    body
}

/// The id at the front of a body.
pub(crate) fn id_of(body: &[u8]) -> Option<u64> {
    let end = body.iter().position(|byte| *byte == b':')?;
    std::str::from_utf8(body.get(..end)?).ok()?.parse().ok()
}
