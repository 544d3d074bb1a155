//! Clients and their groups: HEART_BEAT, UNREGISTER_CLIENT, GET_CONSUMER_LIST_BY_GROUP, CHECK_CLIENT_CONFIG
//! (`ClientManageProcessor`, `ConsumerManageProcessor`).

use std::sync::Arc;

use mq_protocol::body::{CheckClientBody, ConsumerIdList, HeartbeatData};
use mq_protocol::header::{ConsumerGroupRequest, UnregisterClientRequest};
use mq_protocol::name::retry_topic;
use mq_protocol::{Frame, ResponseCode, fastjson};

use crate::broker::State;
use crate::server::{Call, Peer, Refusal, Reply, reply};
use crate::service::consumers::{Heartbeat, Member};

fn member(state: &State, request: &Frame, peer: &Arc<Peer>, client_id: &str) -> Member {
    Member {
        peer: peer.clone(),
        client_id: client_id.to_owned(),
        language: request.language,
        version: request.version,
        seen: state.clock.instant(),
    }
}

pub(super) fn heartbeat(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Call { request, peer, .. } = call;
    let data: HeartbeatData = fastjson::from_slice(&request.body)?;
    let config = state.config();
    let kind = Heartbeat {
        fingerprint: data.heartbeat_fingerprint,
        without_subscriptions: data.heartbeat_fingerprint != 0 && data.without_sub,
    };
    // Heartbeats of the first version always carry all they have to say.
    let mut wants_subscriptions = data.heartbeat_fingerprint == 0;
    for group in data.producer_data_set {
        state.producers.heartbeat(&group.group_name, member(state, request, peer, &data.client_id));
    }
    for group in data.consumer_data_set {
        if config.reject_pull_consumer_enable && group.consume_type == "CONSUME_ACTIVELY" {
            continue;
        }
        // A group that is unknown and may not be made is passed over; its pulls will be told.
        let Some(settings) = state.groups.find(&group.group_name, config.auto_create_subscription_group)?
        else {
            continue;
        };
        state.topics.for_retries(
            &retry_topic(&group.group_name),
            settings.retry_queue_nums,
            group.unit_mode,
        )?;
        let notify = config.notify_consumer_ids_changed_enable && settings.notify_consumer_ids_changed_enable;
        let member = member(state, request, peer, &data.client_id);
        wants_subscriptions |= state.consumers.heartbeat(member, group, kind, notify);
    }
    let mut answer = Frame::response(request, ResponseCode::SUCCESS);
    answer.ext.push("IS_SUPPORT_HEART_BEAT_V2", "true");
    answer.ext.push("IS_SUB_CHANGE", if wants_subscriptions { "true" } else { "false" });
    Ok(answer.into())
}

pub(super) fn unregister(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: UnregisterClientRequest<'_> = call.request.header()?;
    if let Some(group) = header.producer_group {
        state.producers.unregister(group, call.peer.id);
    }
    if let Some(group) = header.consumer_group {
        let notify = state.config().notify_consumer_ids_changed_enable
            && state.groups.get(group).is_none_or(|settings| settings.notify_consumer_ids_changed_enable);
        state.consumers.unregister(group, call.peer.id, notify);
    }
    Ok(reply::ok(&call.request))
}

pub(super) fn consumer_list(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ConsumerGroupRequest<'_> = call.request.header()?;
    let consumer_id_list = state.consumers.client_ids(header.consumer_group);
    if consumer_id_list.is_empty() {
        return Err(Refusal::system(format!("no consumer for this group, {}", header.consumer_group)));
    }
    Ok(reply::body(&call.request, serde_json::to_vec(&ConsumerIdList { consumer_id_list })?))
}

pub(super) fn check_client_config(_: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if call.request.body.is_empty() {
        return Ok(reply::ok(&call.request));
    }
    let body: CheckClientBody = fastjson::from_slice(&call.request.body)?;
    match body.subscription_data.expression_type.as_str() {
        "" | "TAG" => Ok(reply::ok(&call.request)),
        other => {
            Err(Refusal::system(format!("The broker does not support consumer to filter message by {other}")))
        }
    }
}
