//! Consumer and producer groups for admins (`AdminBrokerProcessor`).

use mq_protocol::body::{
    ConsumeStats, GroupConfig, GroupConfigList, MessageQueue, OffsetWrapper, ProducerConnections,
};
use mq_protocol::header::{
    ConsumeStatsRequest, ConsumerGroupRequest, DeleteGroupRequest, GroupRequest, ProducerGroupRequest,
};
use mq_protocol::{Frame, ResponseCode, fastjson};

use crate::broker::State;
use crate::server::{Call, Refusal, Reply, reply};

pub(super) fn update(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let group: GroupConfig = fastjson::from_slice(&call.request.body)?;
    state.groups.update(vec![group])?;
    Ok(reply::ok(&call.request))
}

pub(super) fn update_list(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let list: GroupConfigList = fastjson::from_slice(&call.request.body)?;
    state.groups.update(list.group_config_list)?;
    Ok(reply::ok(&call.request))
}

pub(super) fn delete(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: DeleteGroupRequest<'_> = call.request.header()?;
    state.groups.delete(header.group_name)?;
    if header.clean_offset == Some(true) || header.remove_offset == Some(true) {
        state.offsets.forget_group(header.group_name);
    }
    Ok(reply::ok(&call.request))
}

pub(super) fn all(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(reply::body(&call.request, serde_json::to_vec(&state.groups.snapshot())?))
}

pub(super) fn one(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: GroupRequest<'_> = call.request.header()?;
    let auto_create = state.config().auto_create_subscription_group;
    let group = state.groups.required(header.group, auto_create)?;
    Ok(reply::body(&call.request, serde_json::to_vec(&*group)?))
}

pub(super) fn consumer_connections(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ConsumerGroupRequest<'_> = call.request.header()?;
    let Some(connections) = state.consumers.connections(header.consumer_group) else {
        return Err(Refusal::new(
            ResponseCode::CONSUMER_NOT_ONLINE,
            format!("the consumer group[{}] not online", header.consumer_group),
        ));
    };
    Ok(reply::body(&call.request, serde_json::to_vec(&connections)?))
}

pub(super) fn producer_connections(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ProducerGroupRequest<'_> = call.request.header()?;
    let Some(connection_set) = state.producers.connections(header.producer_group) else {
        return Err(Refusal::system(format!("the producer group[{}] not exist", header.producer_group)));
    };
    Ok(reply::body(&call.request, serde_json::to_vec(&ProducerConnections { connection_set })?))
}

pub(super) fn consume_stats(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ConsumeStatsRequest<'_> = call.request.header()?;
    let group = header.consumer_group;
    let topics = match header.topic.filter(|topic| !topic.trim().is_empty()) {
        Some(topic) => vec![topic.to_owned()],
        None => state.offsets.topics_of(group),
    };
    let mut consumed: Vec<(MessageQueue, i64)> = Vec::new();
    let mut consume_tps = 0.0;
    for topic in topics {
        let Some(config) = state.topics.get(&topic) else { continue };
        // What the group no longer subscribes to says nothing about its progress.
        let (subscriptions, subscribes) = state.consumers.subscribes(group, &topic);
        if subscriptions > 0 && !subscribes {
            continue;
        }
        for queue_id in 0..config.read_queue_nums {
            let offset = state.offsets.get(group, &topic, queue_id).unwrap_or(0).max(0);
            let queue = MessageQueue { topic: topic.clone(), broker_name: state.name().to_owned(), queue_id };
            consumed.push((queue, offset));
        }
        consume_tps += state.stats.group_get_rate(&topic, group);
    }
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        let mut stats = ConsumeStats { consume_tps, ..ConsumeStats::default() };
        for (queue, offset) in consumed {
            let last =
                (offset > 0).then(|| store.store_time(&queue.topic, queue.queue_id, offset - 1)).flatten();
            let offsets = OffsetWrapper {
                broker_offset: store.max_offset(&queue.topic, queue.queue_id).max(0),
                consumer_offset: offset,
                last_timestamp: last.unwrap_or(0),
                pull_offset: offset,
            };
            stats.offset_table.insert(queue, offsets);
        }
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(stats.to_body()?))
    }))
}
