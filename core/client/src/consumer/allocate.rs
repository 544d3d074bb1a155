//! How queues are divided between the members of a group, exactly as Java members of the group divide them.

use std::collections::{BTreeMap, BTreeSet};

use mq_protocol::body::MessageQueue;
use mq_protocol::name;

use crate::{AllocateStrategy, Error, ErrorCode};

mod ring;

/// Most queues that one entry of `allocate_queues` may name.
const LARGEST_RANGE: i32 = 65_536;

/// A strategy and what it needs to know besides the queues and the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Allocation {
    Average,
    AverageByCircle,
    /// The rooms whose queues are consumed.
    MachineRoom(BTreeSet<String>),
    MachineRoomNearby,
    ConsistentHash,
    /// The queues of this member.
    Config(BTreeSet<MessageQueue>),
}

impl Allocation {
    /// Reads the settings `allocate_queues` and `machine_rooms`; `wrap` puts topics into the client's namespace.
    ///
    /// # Errors
    /// `CONFIG`: a setting that the strategy needs is empty or cannot be read.
    pub(crate) fn new(
        strategy: AllocateStrategy,
        allocate_queues: &str,
        machine_rooms: &str,
        wrap: impl Fn(&str) -> String,
    ) -> Result<Allocation, Error> {
        Ok(match strategy {
            AllocateStrategy::Average => Allocation::Average,
            AllocateStrategy::AverageByCircle => Allocation::AverageByCircle,
            AllocateStrategy::MachineRoomNearby => Allocation::MachineRoomNearby,
            AllocateStrategy::ConsistentHash => Allocation::ConsistentHash,
            AllocateStrategy::MachineRoom => {
                let rooms: BTreeSet<String> = parts(machine_rooms).map(str::to_owned).collect();
                if rooms.is_empty() {
                    return Err(Error::new(
                        ErrorCode::Config,
                        "setting 'machine_rooms' is empty; allocate_strategy MACHINE_ROOM needs the rooms to consume from, such as 'room1,room2'",
                    ));
                }
                Allocation::MachineRoom(rooms)
            }
            AllocateStrategy::Config => Allocation::Config(named_queues(allocate_queues, wrap)?),
        })
    }

    /// The share of `own_id` of one topic's queues: every member computes all shares alike from the same lists.
    ///
    /// Both lists are sorted here: queues by topic, broker name and number, ids in Java's string order.
    /// Empty if `own_id` is not a member.
    pub(crate) fn share(
        &self,
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
        let count = members.len();
        match self {
            Allocation::Average => average(queues, count, index),
            Allocation::AverageByCircle => queues.into_iter().skip(index).step_by(count).collect(),
            Allocation::MachineRoom(rooms) => machine_room(queues, rooms, count, index),
            Allocation::MachineRoomNearby => machine_room_nearby(queues, &members, own_id),
            Allocation::ConsistentHash => ring::share(queues, &members, own_id),
            // Java gives the list as it is for every topic, so nobody gets the retry topic's queues and no failed
            // message comes again. Here that topic is divided averagely.
            Allocation::Config(named) => {
                let (retries, own): (Vec<_>, Vec<_>) =
                    queues.into_iter().partition(|queue| queue.topic.starts_with(name::RETRY_PREFIX));
                let own = own.into_iter().filter(|queue| named.contains(queue));
                own.chain(average(retries, count, index)).collect()
            }
        }
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

/// `AllocateMessageQueueByMachineRoom`.
fn machine_room(
    queues: Vec<MessageQueue>,
    rooms: &BTreeSet<String>,
    members: usize,
    index: usize,
) -> Vec<MessageQueue> {
    let mine = |queue: &MessageQueue| room_of_broker(&queue.broker_name).is_some_and(|r| rooms.contains(r));
    let queues: Vec<_> = queues.into_iter().filter(mine).collect();
    let (size, rest) = (queues.len() / members, queues.len() % members);
    let block = queues.iter().skip(size * index).take(size);
    let extra = queues.get(index + size * members).filter(|_| index < rest);
    block.chain(extra).cloned().collect()
}

/// `AllocateMachineRoomNearby` around the average strategy, with rooms by the names of brokers and units.
fn machine_room_nearby(queues: Vec<MessageQueue>, members: &[&str], own_id: &str) -> Vec<MessageQueue> {
    let mut members_of = BTreeMap::<&str, Vec<&str>>::new();
    for member in members {
        members_of.entry(room_of_member(member)).or_default().push(member);
    }
    let mut queues_of = BTreeMap::<String, Vec<MessageQueue>>::new();
    for queue in queues {
        let room = room_of_broker(&queue.broker_name).unwrap_or_default().to_owned();
        queues_of.entry(room).or_default().push(queue);
    }
    let share_among = |queues: Vec<MessageQueue>, members: &[&str]| {
        let index = members.iter().position(|member| *member == own_id);
        index.map(|index| average(queues, members.len(), index)).unwrap_or_default()
    };
    let own_room = room_of_member(own_id);
    let mut share = Vec::new();
    if let (Some(queues), Some(neighbours)) = (queues_of.remove(own_room), members_of.get(own_room)) {
        share.extend(share_among(queues, neighbours));
    }
    for (room, queues) in queues_of {
        if !members_of.contains_key(room.as_str()) {
            share.extend(share_among(queues, members));
        }
    }
    share
}

/// The room in a broker's name `room@name`.
fn room_of_broker(broker_name: &str) -> Option<&str> {
    broker_name
        .split_once('@')
        .filter(|(_, name)| !name.is_empty() && !name.contains('@'))
        .map(|(room, _)| room)
}

/// The unit in a client id `ip@instance@unit`; empty if there is none.
fn room_of_member(client_id: &str) -> &str {
    client_id.splitn(3, '@').nth(2).unwrap_or_default()
}

fn named_queues(text: &str, wrap: impl Fn(&str) -> String) -> Result<BTreeSet<MessageQueue>, Error> {
    let mut named = BTreeSet::new();
    for part in parts(text) {
        let read = || {
            let mut fields = part.split(':');
            let (topic, broker, numbers) = (fields.next()?, fields.next()?, fields.next()?);
            let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
            let (first, last): (i32, i32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            let sound = fields.next().is_none()
                && !topic.is_empty()
                && !broker.is_empty()
                && (0..=last).contains(&first)
                && last - first < LARGEST_RANGE;
            sound.then_some((topic, broker, first..=last))
        };
        let (topic, broker, numbers) = read().ok_or_else(|| {
            Error::new(
                ErrorCode::Config,
                format!(
                    "setting 'allocate_queues' has '{part}'; write topic:broker:number or topic:broker:first-last, joined by commas"
                ),
            )
        })?;
        let queue = |queue_id| MessageQueue { topic: wrap(topic), broker_name: broker.to_owned(), queue_id };
        named.extend(numbers.map(queue));
    }
    if named.is_empty() {
        return Err(Error::new(
            ErrorCode::Config,
            "setting 'allocate_queues' is empty; allocate_strategy CONFIG needs the queues of this member, such as 'orders:broker-a:0-3'",
        ));
    }
    Ok(named)
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty())
}

/// Java compares UTF-16 code units, which differs from code points above U+FFFF.
fn java_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

#[cfg(test)]
mod tests;
