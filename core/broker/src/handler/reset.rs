//! Where a group goes on, set by an admin: INVOKE_BROKER_TO_RESET_OFFSET; what its members hold:
//! INVOKE_BROKER_TO_GET_CONSUMER_STATUS (`AdminBrokerProcessor`, `Broker2Client`).

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use mq_protocol::body::{ConsumerStatusBody, ConsumerStatusTable, MessageQueue, ResetOffsetBody};
use mq_protocol::header::{ConsumerStatusRequest, ResetOffsetRequest};
use mq_protocol::{Frame, Language, RequestCode, ResponseCode, fastjson};
use mq_store::{Boundary, Store};
use tracing::info;

use crate::broker::State;
use crate::server::{Answer, Call, Refusal, Reply, reply};
use crate::service::consumers::Member;
use crate::service::groups::not_exist;

/// Clients before 3.0.7 know neither request.
const KNOWING_CLIENT: i32 = 28;
/// How long a client may take to tell its state.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn reset_offset(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if state.config().use_server_side_reset_offset {
        reset_here(state, call)
    } else {
        reset_clients(state, call)
    }
}

/// The offset of a queue that belongs to a time; a negative one is the end.
fn offset_at(store: &Store, topic: &str, queue: i32, time: i64) -> i64 {
    if time < 0 {
        store.max_offset(topic, queue)
    } else {
        store.offset_by_time(topic, queue, time, Boundary::Lower)
    }
}

/// Sets the offsets here; each member learns of it with its next pull. Works without any member.
fn reset_here(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ResetOffsetRequest<'_> = call.request.header()?;
    let (topic, group) = (header.topic, header.group);
    let Some(config) = state.topics.get(topic) else {
        return Err(Refusal::new(ResponseCode::TOPIC_NOT_EXIST, format!("Topic {topic} does not exist")));
    };
    if state.groups.get(group).is_none() {
        return Err(not_exist(group));
    }
    let queues = match header.queue_id.filter(|queue| *queue >= 0) {
        Some(queue) if queue < config.read_queue_nums.max(config.write_queue_nums) => vec![queue],
        Some(queue) => {
            return Err(super::invalid(format!("queueId {queue} of topic {topic} does not exist")));
        }
        None => (0..config.read_queue_nums).collect(),
    };
    let queues: Vec<MessageQueue> = queues.into_iter().map(|queue| state.queue(topic, queue)).collect();
    if queues.is_empty() {
        return Err(Refusal::system("No queues to reset."));
    }
    let exact =
        header.offset.filter(|offset| header.queue_id.is_some_and(|queue| queue >= 0) && *offset != -1);
    let (store, offsets, waiting) = (state.store.clone(), state.offsets.clone(), state.waiting.clone());
    Ok(reply::from_disk(&call.request, move |request| {
        let ResetOffsetRequest { topic, group, timestamp, .. } = request.header()?;
        let mut body = ResetOffsetBody::default();
        for queue in queues {
            let id = queue.queue_id;
            let offset = match exact {
                Some(offset) => {
                    let (min, max) = (store.min_offset(topic, id), store.max_offset(topic, id));
                    if offset < min.max(0) || offset > max + 1 {
                        return Err(Refusal::system(format!(
                            "Target offset {offset} not in consume queue range [{min}-{max}]"
                        )));
                    }
                    offset
                }
                None => offset_at(&store, topic, id, timestamp),
            };
            body.offset_table.insert(queue, offset);
        }
        for (queue, offset) in &body.offset_table {
            offsets.reset(group, topic, queue.queue_id, *offset);
            // A pull that waits learns of it now.
            waiting.wake_all(topic, queue.queue_id);
        }
        info!(topic, group, offsets = ?body.offset_table.values(), "offsets reset");
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(body.to_body()?))
    }))
}

/// Has the members set their offsets themselves, as brokers before 5.2 do.
fn reset_clients(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ResetOffsetRequest<'_> = call.request.header()?;
    let (topic, group, time) = (header.topic, header.group, header.timestamp);
    let Some(config) = state.topics.get(topic) else {
        return Err(Refusal::new(
            ResponseCode::TOPIC_NOT_EXIST,
            format!("[reset-offset] reset offset failed, no topic in this broker. topic={topic}"),
        ));
    };
    let mut places = Vec::new();
    for queue in 0..config.write_queue_nums {
        let Some(consumed) = state.offsets.get(group, topic, queue) else {
            return Err(Refusal::system(format!(
                "the consumer group <{group}> has no offset of queue {queue}"
            )));
        };
        places.push((state.queue(topic, queue), consumed));
    }
    let members = state.consumers.members(group);
    if members.is_empty() {
        return Err(Refusal::new(
            ResponseCode::CONSUMER_NOT_ONLINE,
            format!(
                "Consumer not online, so can not reset offset, Group: {group} Topic: {topic} Timestamp: {time}"
            ),
        ));
    }
    knowing(&members)?;
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        let asked: ResetOffsetRequest<'_> = request.header()?;
        let force = asked.is_force == Some(true);
        let mut body = ResetOffsetBody::default();
        for (queue, consumed) in places {
            let wanted = offset_at(&store, asked.topic, queue.queue_id, asked.timestamp).max(0);
            // Only by force does a group skip what it has not consumed.
            body.offset_table.insert(queue, if force { wanted } else { wanted.min(consumed) });
        }
        let told = body.to_body()?;
        let text = if request.language == Language::CPP { list_shaped(&body)? } else { told.clone() };
        let header = ResetOffsetRequest { is_force: Some(force), queue_id: Some(-1), offset: None, ..asked };
        for member in members {
            let push = Frame::request(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, &header);
            member.peer.send(push.with_body(text.clone()).oneway());
        }
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(told))
    }))
}

/// The body that C++ clients want (`ResetOffsetBodyForC`).
fn list_shaped(body: &ResetOffsetBody) -> Result<String, serde_json::Error> {
    let entry = |(queue, offset): (&MessageQueue, &i64)| {
        serde_json::json!({
            "brokerName": queue.broker_name, "offset": offset, "queueId": queue.queue_id, "topic": queue.topic,
        })
    };
    let list: Vec<_> = body.offset_table.iter().map(entry).collect();
    serde_json::to_string(&serde_json::json!({ "offsetTable": list }))
}

fn knowing(members: &[Member]) -> Result<(), Refusal> {
    match members.iter().find(|member| member.version < KNOWING_CLIENT) {
        None => Ok(()),
        Some(old) => Err(Refusal::system(format!(
            "the client does not support this feature. version={}, client={}",
            old.version, old.client_id
        ))),
    }
}

pub(super) fn consumer_status(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ConsumerStatusRequest<'_> = call.request.header()?;
    let (topic, group) = (header.topic, header.group);
    let mut members = state.consumers.members(group);
    if members.is_empty() {
        return Err(Refusal::system(format!("No Any Consumer online in the consumer group: [{group}]")));
    }
    knowing(&members)?;
    if let Some(wanted) = header.client_addr.filter(|id| !id.trim().is_empty()) {
        members.retain(|member| member.client_id == wanted);
    }
    let header = ConsumerStatusRequest { topic, group, client_addr: None };
    let request = Frame::request(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, &header);
    let answer = Frame::response(&call.request, ResponseCode::SUCCESS);
    Ok(Reply::Later(Box::pin(async move {
        let told = join_all(members.into_iter().map(|member| ask(member, request.clone()))).await;
        let consumer_table: BTreeMap<_, _> = told.into_iter().flatten().collect();
        let body = ConsumerStatusTable { consumer_table }.to_body();
        // Texts and numbers can always be written.
        Answer::from(answer.with_body(body.unwrap_or_default()))
    })))
}

/// What a client holds; `None` if it does not tell.
async fn ask(member: Member, request: Frame) -> Option<(String, BTreeMap<MessageQueue, i64>)> {
    let answer = member.peer.invoke(request, TIMEOUT).await.ok()?;
    if answer.response_code() != ResponseCode::SUCCESS {
        return None;
    }
    let body: ConsumerStatusBody = fastjson::from_slice(&answer.body).ok()?;
    Some((member.client_id, body.message_queue_table))
}
