//! How far groups are: consume stats, times, and copies and corrections of offsets (`AdminBrokerProcessor`).

use std::collections::BTreeMap;

use mq_protocol::body::{
    ConsumeStats, ConsumeStatsList, ConsumeTimeSpans, CorrectionOffsets, MessageQueue, OffsetWrapper,
    QueueTimeSpan,
};
use mq_protocol::header::{
    BrokerConsumeStatsRequest, CloneGroupOffsetRequest, ConsumeStatsRequest, CorrectionOffsetRequest,
    GroupTopicRequest,
};
use mq_protocol::{Frame, ResponseCode, fastjson};
use mq_store::Store;

use crate::broker::State;
use crate::server::{Call, Refusal, Reply, reply};

/// Where a group is in one queue.
struct Position {
    queue: MessageQueue,
    consumed: i64,
    pulled: i64,
}

impl Position {
    /// The positions of a group in the first `queues` queues of a topic.
    fn all(state: &State, group: &str, topic: &str, queues: i32) -> Vec<Position> {
        let position = |queue_id| {
            let consumed = state.offsets.get(group, topic, queue_id).unwrap_or(0).max(0);
            Position {
                queue: state.queue(topic, queue_id),
                consumed,
                pulled: state.offsets.pulled(group, topic, queue_id).unwrap_or(0).max(consumed),
            }
        };
        (0..queues).map(position).collect()
    }

    fn offsets(&self, store: &Store) -> OffsetWrapper {
        let MessageQueue { topic, queue_id, .. } = &self.queue;
        let last =
            (self.consumed > 0).then(|| store.store_time(topic, *queue_id, self.consumed - 1)).flatten();
        OffsetWrapper {
            broker_offset: store.max_offset(topic, *queue_id).max(0),
            consumer_offset: self.consumed,
            last_timestamp: last.unwrap_or(0),
            pull_offset: self.pulled,
        }
    }
}

/// Whether what a group did with a topic says something: it subscribes to it, or has no member that could.
fn concerns(state: &State, group: &str, topic: &str) -> bool {
    let (subscriptions, subscribes) = state.consumers.subscribes(group, topic);
    subscribes || subscriptions == 0
}

pub(super) fn consume_stats(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ConsumeStatsRequest<'_> = call.request.header()?;
    let group = header.consumer_group;
    let topics: Vec<String> = match (header.topic_list, header.topic) {
        (Some(list), _) if !list.trim().is_empty() => {
            list.split(';').filter(|topic| !topic.is_empty()).map(str::to_owned).collect()
        }
        (_, topic) => {
            let mut topics = match topic {
                Some(topic) if !topic.trim().is_empty() => vec![topic.to_owned()],
                _ => state.offsets.topics_of(group),
            };
            topics.retain(|topic| concerns(state, group, topic));
            topics
        }
    };
    let mut positions = Vec::new();
    let mut consume_tps = 0.0;
    for topic in topics {
        let Some(config) = state.topics.get(&topic) else { continue };
        positions.extend(Position::all(state, group, &topic, config.read_queue_nums));
        consume_tps += state.stats.group_get_rate(&topic, group);
    }
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        let offset_table = positions.into_iter().map(|at| (at.queue.clone(), at.offsets(&store))).collect();
        let stats = ConsumeStats { consume_tps, offset_table };
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(stats.to_body()?))
    }))
}

pub(super) fn broker_consume_stats(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let BrokerConsumeStatsRequest { is_order } = call.request.header()?;
    let mut groups = Vec::new();
    for group in state.groups.names() {
        let mut topics = Vec::new();
        for topic in state.offsets.topics_of(&group) {
            let Some(config) = state.topics.get(&topic) else { continue };
            if (config.order || !is_order) && concerns(state, &group, &topic) {
                let positions = Position::all(state, &group, &topic, config.write_queue_nums);
                topics.push((positions, state.stats.group_get_rate(&topic, &group)));
            }
        }
        groups.push((group, topics));
    }
    let (store, broker_addr) = (state.store.clone(), state.store_host.to_string());
    Ok(reply::from_disk(&call.request, move |request| {
        let mut list = ConsumeStatsList { broker_addr, ..ConsumeStatsList::default() };
        for (group, topics) in groups {
            let mut all = Vec::with_capacity(topics.len());
            for (positions, consume_tps) in topics {
                let mut stats = ConsumeStats { consume_tps, ..ConsumeStats::default() };
                for at in positions {
                    let offsets = at.offsets(&store);
                    list.total_diff += offsets.broker_offset - offsets.consumer_offset;
                    list.total_inflight_diff += offsets.pull_offset - offsets.consumer_offset;
                    stats.offset_table.insert(at.queue, offsets);
                }
                all.push(stats);
            }
            list.consume_stats_list.push(BTreeMap::from([(group, all)]));
        }
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(list.to_body()?))
    }))
}

pub(super) fn time_span(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: GroupTopicRequest<'_> = call.request.header()?;
    let config = state.topics.existing(header.topic)?;
    let positions = Position::all(state, header.group, header.topic, config.write_queue_nums);
    let (store, clock) = (state.store.clone(), state.clock.clone());
    Ok(reply::from_disk(&call.request, move |request| {
        let span = |at: Position| {
            let (topic, queue) = (at.queue.topic.as_str(), at.queue.queue_id);
            let time = |offset| store.store_time(topic, queue, offset).unwrap_or(-1);
            let max = store.max_offset(topic, queue);
            let min_time_stamp = store.earliest_store_time(topic, queue).unwrap_or(-1);
            QueueTimeSpan {
                min_time_stamp,
                max_time_stamp: time(max - 1),
                consume_time_stamp: if at.consumed > 0 { time(at.consumed - 1) } else { min_time_stamp },
                delay_time: if at.consumed < max { clock.now_millis() - time(at.consumed) } else { 0 },
                message_queue: at.queue,
            }
        };
        let spans = ConsumeTimeSpans { consume_time_span_set: positions.into_iter().map(span).collect() };
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(serde_json::to_vec(&spans)?))
    }))
}

/// Without a topic all topics of the source are copied; Apache's broker then copies none, which helps nobody.
pub(super) fn clone_offsets(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: CloneGroupOffsetRequest<'_> = call.request.header()?;
    let topics = match header.topic {
        Some(topic) if !topic.trim().is_empty() => vec![topic.to_owned()],
        _ => state.offsets.topics_of(header.src_group),
    };
    for topic in topics {
        let counts = header.offline == Some(true) || concerns(state, header.src_group, &topic);
        if counts && state.topics.get(&topic).is_some() {
            state.offsets.copy(header.src_group, header.dest_group, &topic);
        }
    }
    Ok(reply::ok(&call.request))
}

/// The least offset of all groups but those that do not count; Apache's broker forgets the offsets of the latter.
pub(super) fn correction_offsets(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: CorrectionOffsetRequest<'_> = call.request.header()?;
    let topic = header.topic;
    let passed_over: Vec<&str> = header.filter_groups.unwrap_or_default().split(',').collect();
    let mut least: BTreeMap<i32, i64> = BTreeMap::new();
    for group in state.offsets.groups_of(topic) {
        if passed_over.contains(&group.as_str()) {
            continue;
        }
        for (queue, offset) in state.offsets.of_topic(&group, topic) {
            if offset >= state.store.min_offset(topic, queue) {
                least.entry(queue).and_modify(|known| *known = offset.min(*known)).or_insert(offset);
            }
        }
    }
    for (queue, offset) in state.offsets.of_topic(header.compare_group, topic) {
        if let Some(known) = least.get_mut(&queue)
            && *known > offset
        {
            *known = i64::MAX;
        }
    }
    Ok(reply::body(&call.request, fastjson::to_vec(&CorrectionOffsets { correction_offsets: least })?))
}
