//! Consumer and producer groups for admins (`AdminBrokerProcessor`).

use mq_protocol::body::{
    GroupConfig, GroupConfigList, GroupForbidden, GroupSubscription, ProducerConnections, ProducerTable,
    TopicList,
};
use mq_protocol::header::{
    ConsumerGroupRequest, DeleteGroupRequest, GroupForbiddenRequest, GroupRequest, GroupTopicRequest,
    ProducerGroupRequest,
};
use mq_protocol::{ResponseCode, fastjson};

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
    state.stats.forget_group(header.group_name);
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

/// The members of all producer groups.
pub(super) fn all_producers(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let data = state.producers.all(state.clock.instant(), state.clock.now_millis());
    Ok(reply::body(&call.request, serde_json::to_vec(&ProducerTable { data })?))
}

/// The topics of which the group has offsets.
pub(super) fn topics(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: GroupRequest<'_> = call.request.header()?;
    let list = TopicList {
        broker_addr: Some(state.store_host.to_string()),
        topic_list: state.offsets.topics_of(header.group),
    };
    Ok(reply::body(&call.request, serde_json::to_vec(&list)?))
}

pub(super) fn subscription(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: GroupTopicRequest<'_> = call.request.header()?;
    let interest = state.consumers.interest(header.group, header.topic);
    let subscription = interest.and_then(|interest| interest.subscription);
    let body = GroupSubscription {
        group: header.group.to_owned(),
        subscription_data: subscription.map(|subscription| subscription.data.clone()),
        topic: header.topic.to_owned(),
    };
    Ok(reply::body(&call.request, serde_json::to_vec(&body)?))
}

/// Whether a group may consume a topic; sets it first, if the request says so.
pub(super) fn forbidden(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let GroupForbiddenRequest { group, topic, readable } = call.request.header()?;
    if let Some(readable) = readable {
        state.groups.forbid(group, topic, !readable)?;
    }
    let body = GroupForbidden {
        group: group.to_owned(),
        readable: !state.groups.is_forbidden(group, topic),
        topic: topic.to_owned(),
    };
    Ok(reply::body(&call.request, serde_json::to_vec(&body)?))
}
