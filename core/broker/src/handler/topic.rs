//! Topics for admins (`AdminBrokerProcessor`).

use std::collections::{BTreeMap, BTreeSet};

use mq_protocol::body::{
    GroupList, MessageQueue, TopicConfig, TopicConfigList, TopicList, TopicOffset, TopicStats, perm,
};
use mq_protocol::header::{CreateTopicRequest, TopicRequest};
use mq_protocol::name::check_topic;
use mq_protocol::{Frame, ResponseCode, fastjson};

use super::invalid;
use crate::broker::State;
use crate::server::{Call, Refusal, Reply, reply};
use crate::service::attributes::edit_topic;

/// Most queues of a topic.
const MAX_QUEUES: i32 = 65_536;

/// Checks what an admin wants a topic to be, and then applies the edits of its attributes; Apache's order, which shows in
/// the answer's code.
fn check(state: &State, topic: &mut TopicConfig, edits: &str) -> Result<(), Refusal> {
    let name = &topic.topic_name;
    check_topic(name).map_err(|error| invalid(error.to_string()))?;
    let config = state.config();
    if config.validate_system_topic_when_update_topic && state.topics.is_system(name) {
        return Err(invalid(format!("The topic[{name}] is conflict with system topic.")));
    }
    for queues in [topic.read_queue_nums, topic.write_queue_nums] {
        if !(0..=MAX_QUEUES).contains(&queues) {
            return Err(invalid(format!(
                "topic {name} cannot have {queues} queues; 0 to {MAX_QUEUES} are possible"
            )));
        }
    }
    let known_bits = perm::INHERIT | perm::WRITE | perm::READ | PRIORITY;
    if topic.perm & !known_bits != 0 {
        return Err(invalid(format!("perm {} of topic {name} is not a sum of 1, 2, 4 and 8", topic.perm)));
    }
    let mixed = edits.split(',').any(|edit| edit.trim() == "+message.type=MIXED");
    if mixed && !config.enable_mixed_message_type {
        return Err(invalid("MIXED message type is not supported."));
    }
    let known = state.topics.get(name);
    topic.attributes = edit_topic(known.as_ref().map(|topic| &topic.attributes), edits)?;
    Ok(())
}

/// Permission bit of priority topics.
const PRIORITY: i32 = 8;

pub(super) fn update(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: CreateTopicRequest<'_> = call.request.header()?;
    let mut topic = TopicConfig {
        attributes: BTreeMap::new(),
        order: header.order == Some(true),
        perm: header.perm,
        read_queue_nums: header.read_queue_nums,
        topic_filter_type: header.topic_filter_type.unwrap_or("SINGLE_TAG").to_owned(),
        topic_name: header.topic.to_owned(),
        topic_sys_flag: header.topic_sys_flag.unwrap_or(0),
        write_queue_nums: header.write_queue_nums,
    };
    check(state, &mut topic, header.attributes.unwrap_or(""))?;
    state.topics.update(vec![topic])?;
    Ok(reply::ok(&call.request))
}

pub(super) fn update_list(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let mut list: TopicConfigList = fastjson::from_slice(&call.request.body)?;
    for topic in &mut list.topic_config_list {
        let edits: Vec<String> =
            topic.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        check(state, topic, &edits.join(","))?;
    }
    state.topics.update(list.topic_config_list)?;
    Ok(reply::ok(&call.request))
}

pub(super) fn delete(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: TopicRequest<'_> = call.request.header()?;
    let topic = header.topic;
    if topic.trim().is_empty() {
        return Err(invalid("The specified topic is blank."));
    }
    if state.config().validate_system_topic_when_update_topic && state.topics.is_system(topic) {
        return Err(invalid(format!("The topic[{topic}] is conflict with system topic.")));
    }
    state.topics.delete(topic)?;
    state.offsets.forget_topic(topic);
    state.stats.forget_topic(topic);
    state
        .store
        .delete_topic(topic)
        .map_err(|error| Refusal::system(format!("the queues of {topic} could not be removed: {error}")))?;
    Ok(reply::ok(&call.request))
}

pub(super) fn all(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(reply::body(&call.request, serde_json::to_vec(&state.topics.snapshot())?))
}

pub(super) fn one(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: TopicRequest<'_> = call.request.header()?;
    let topic = state.topics.existing(header.topic)?;
    Ok(reply::body(&call.request, serde_json::to_vec(&*topic)?))
}

pub(super) fn stats(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: TopicRequest<'_> = call.request.header()?;
    let topic = state.topics.existing(header.topic)?;
    let topic_put_tps = state.stats.topic_put_rate(&topic.topic_name);
    let (store, broker_name) = (state.store.clone(), state.name().to_owned());
    Ok(reply::from_disk(&call.request, move |request| {
        let name = &topic.topic_name;
        let mut stats = TopicStats { topic_put_tps, ..TopicStats::default() };
        for queue_id in 0..topic.read_queue_nums.max(topic.write_queue_nums) {
            let queue = MessageQueue { topic: name.clone(), broker_name: broker_name.clone(), queue_id };
            let max_offset = store.max_offset(name, queue_id).max(0);
            let last = (max_offset > 0).then(|| store.store_time(name, queue_id, max_offset - 1)).flatten();
            let offsets = TopicOffset {
                last_update_timestamp: last.unwrap_or(0),
                max_offset,
                min_offset: store.min_offset(name, queue_id).max(0),
            };
            stats.offset_table.insert(queue, offsets);
        }
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(stats.to_body()?))
    }))
}

pub(super) fn consumed_by(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: TopicRequest<'_> = call.request.header()?;
    let mut groups: BTreeSet<String> = state.consumers.groups_of(header.topic).into_iter().collect();
    groups.extend(state.offsets.groups_of(header.topic));
    let list = GroupList { group_list: groups.into_iter().collect() };
    Ok(reply::body(&call.request, serde_json::to_vec(&list)?))
}

pub(super) fn system_list(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let list = TopicList { broker_addr: None, topic_list: state.topics.system_names() };
    Ok(reply::body(&call.request, serde_json::to_vec(&list)?))
}
