//! PULL_MESSAGE and LITE_PULL_MESSAGE, with long polling (`PullMessageProcessor`).

use std::sync::Arc;
use std::time::Duration;

use mq_protocol::body::{GroupConfig, perm};
use mq_protocol::filter::TagFilter;
use mq_protocol::header::{PullMessageRequest, PullMessageResponse, pull_flag};
use mq_protocol::{Frame, RequestCode, ResponseCode};
use mq_store::{Filter, Read, ReadRequest, ReadStatus, Store};

use super::{invalid, no_permission};
use crate::broker::State;
use crate::server::{Answer, Call, Refusal, Reply, reply};
use crate::service::groups::not_exist;
use crate::service::waiting::Held;

pub(super) fn lite_pull(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    if !state.config().lite_pull_message_enable {
        return Err(no_permission(format!(
            "the broker[{}] for lite pull consumer is forbidden",
            state.name()
        )));
    }
    pull(state, call)
}

pub(super) fn pull(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: PullMessageRequest<'_> = call.request.header()?;
    let config = state.config();
    if config.broker_permission & perm::READ == 0 {
        return Err(no_permission(format!(
            "the broker[{}] pulling message is forbidden",
            config.broker_name
        )));
    }
    let group = state.groups.find(header.consumer_group, config.auto_create_subscription_group)?;
    let group = group.ok_or_else(|| not_exist(header.consumer_group))?;
    check_queue(state, &header, &group)?;
    let filter = filter(state, &header, &group)?;

    let committing =
        header.sys_flag & pull_flag::COMMIT_OFFSET != 0 && !call.resumed && header.commit_offset >= 0;
    let reset = state.offsets.pull(
        header.consumer_group,
        header.topic,
        header.queue_id,
        header.queue_offset,
        committing.then_some(header.commit_offset),
    );
    if let Some(reset) = reset {
        return Ok(moved(state, &call.request, &header, reset));
    }
    let filter = (!filter.is_all()).then_some(filter);
    if is_cold(&state.store, &header) {
        return Ok(read_cold(state, &call.request, &header, filter));
    }
    let read = read(&state.store, &header, filter.as_deref());
    let caught_up = response_code(read.status, header.queue_offset) == ResponseCode::PULL_NOT_FOUND;
    if caught_up && !call.resumed && header.sys_flag & pull_flag::SUSPEND != 0 {
        let wait = if config.long_polling_enable {
            u64::try_from(header.suspend_timeout_millis).unwrap_or(0)
        } else {
            config.short_polling_time_mills
        };
        if wait > 0 {
            let (topic, queue, offset) = (header.topic.to_owned(), header.queue_id, header.queue_offset);
            return hold(state, call, &topic, queue, offset, Duration::from_millis(wait), filter);
        }
    }
    let found = u64::try_from(read.count).unwrap_or(0);
    let answer = answer(&call.request, &header, read);
    if found > 0 {
        let bytes = answer.slices.iter().map(|slice| slice.len() as u64).sum();
        let text = &mut call.scratch.text;
        state.stats.handed_out(header.topic, header.consumer_group, found, bytes, text);
    } else {
        state.stats.missed.add(1);
    }
    Ok(Reply::Now(answer))
}

fn check_queue(state: &State, header: &PullMessageRequest<'_>, group: &GroupConfig) -> Result<(), Refusal> {
    if !group.consume_enable {
        return Err(no_permission(format!("subscription group no permission, {}", header.consumer_group)));
    }
    let topic = state.topics.existing(header.topic)?;
    if topic.perm & perm::READ == 0 {
        return Err(no_permission(format!("the topic[{}] pulling message is forbidden", header.topic)));
    }
    if header.queue_id < 0 || header.queue_id >= topic.read_queue_nums {
        return Err(invalid(format!(
            "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}]",
            header.queue_id, header.topic, topic.read_queue_nums
        )));
    }
    Ok(())
}

/// What the group wants of the topic: from the request if it says so, else from the heartbeats.
fn filter(
    state: &State,
    header: &PullMessageRequest<'_>,
    group: &GroupConfig,
) -> Result<Arc<TagFilter>, Refusal> {
    let filter = if header.sys_flag & pull_flag::SUBSCRIPTION != 0 {
        refuse_sql(header.expression_type)?;
        let filter = TagFilter::parse(header.subscription.unwrap_or(""));
        Arc::new(filter.map_err(|error| {
            Refusal::new(
                ResponseCode::SUBSCRIPTION_PARSE_FAILED,
                format!("parse the consumer's subscription failed: {error}"),
            )
        })?)
    } else {
        let refuse = |code, remark: &str| Err(Refusal::new(code, remark));
        let Some(interest) = state.consumers.interest(header.consumer_group, header.topic) else {
            return refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, "the consumer's group info not exist");
        };
        if interest.broadcasting && !group.consume_broadcast_enable {
            return Err(no_permission(format!(
                "the consumer group[{}] can not consume by broadcast way",
                header.consumer_group
            )));
        }
        if state.groups.is_forbidden(header.consumer_group, header.topic) {
            return Err(no_permission(format!(
                "the consumer group[{}] is forbidden for topic[{}]",
                header.consumer_group, header.topic
            )));
        }
        let Some(subscription) = interest.subscription else {
            return refuse(ResponseCode::SUBSCRIPTION_NOT_EXIST, "the consumer's subscription not exist");
        };
        if subscription.data.sub_version < header.sub_version {
            return refuse(ResponseCode::SUBSCRIPTION_NOT_LATEST, "the consumer's subscription not latest");
        }
        refuse_sql(Some(&subscription.data.expression_type))?;
        subscription.filter.clone()
    };
    Ok(filter)
}

fn refuse_sql(expression_type: Option<&str>) -> Result<(), Refusal> {
    match expression_type {
        None | Some("" | "TAG") => Ok(()),
        Some(other) => {
            Err(Refusal::system(format!("The broker does not support consumer to filter message by {other}")))
        }
    }
}

/// The answer's code for an outcome of reading at `offset`.
fn response_code(status: ReadStatus, offset: i64) -> ResponseCode {
    match status {
        ReadStatus::Found => ResponseCode::SUCCESS,
        ReadStatus::NoMatchedMessage | ReadStatus::MessageWasRemoving => ResponseCode::PULL_RETRY_IMMEDIATELY,
        ReadStatus::NoMatchedLogicQueue | ReadStatus::NoMessageInQueue if offset != 0 => {
            ResponseCode::PULL_OFFSET_MOVED
        }
        ReadStatus::NoMatchedLogicQueue
        | ReadStatus::NoMessageInQueue
        | ReadStatus::OffsetOverflowOne
        | ReadStatus::OffsetFoundNull => ResponseCode::PULL_NOT_FOUND,
        ReadStatus::OffsetOverflowBadly | ReadStatus::OffsetTooSmall => ResponseCode::PULL_OFFSET_MOVED,
        ReadStatus::Unreadable => ResponseCode::SYSTEM_ERROR,
    }
}

fn read(store: &Store, header: &PullMessageRequest<'_>, filter: Option<&TagFilter>) -> Read {
    store.read(&ReadRequest {
        topic: header.topic,
        queue_id: header.queue_id,
        offset: header.queue_offset,
        max_count: usize::try_from(header.max_msg_nums).unwrap_or(0),
        max_bytes: header
            .max_msg_bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| *bytes > 0),
        filter: filter.map_or(Filter::All, Filter::Tags),
    })
}

fn answer(request: &Frame, header: &PullMessageRequest<'_>, read: Read) -> Answer {
    let code = response_code(read.status, header.queue_offset);
    let frame = Frame::response(request, code)
        .with_header(&PullMessageResponse {
            suggest_which_broker_id: 0,
            next_begin_offset: read.next_offset,
            min_offset: read.min_offset,
            max_offset: read.max_offset,
        })
        .with_remark(read.status.name());
    Answer { frame, slices: read.slices }
}

/// The answer to the first pull after an admin has set the group's offset.
fn moved(state: &State, request: &Frame, header: &PullMessageRequest<'_>, offset: i64) -> Reply {
    let frame = Frame::response(request, ResponseCode::PULL_OFFSET_MOVED)
        .with_header(&PullMessageResponse {
            suggest_which_broker_id: 0,
            next_begin_offset: offset,
            min_offset: state.store.min_offset(header.topic, header.queue_id),
            max_offset: state.store.max_offset(header.topic, header.queue_id),
        })
        .with_remark("OFFSET_RESET");
    frame.into()
}

/// Parks the pull until a message arrives in its queue or its time is over.
fn hold(
    state: &State,
    call: &mut Call<'_>,
    topic: &str,
    queue: i32,
    offset: i64,
    wait: Duration,
    filter: Option<Arc<TagFilter>>,
) -> Result<Reply, Refusal> {
    if !state.waiting.has_room(call.peer.id) {
        return Err(Refusal::new(
            ResponseCode::SYSTEM_BUSY,
            "[OVERLOAD]system busy, start flow control for a while: too many pulls are waiting",
        ));
    }
    // The request itself is parked; what stays in its place is not looked at any more.
    let request = std::mem::replace(&mut call.request, Frame::bare_request(RequestCode::PULL_MESSAGE));
    let held = Held { peer: call.peer.clone(), request, filter };
    state.waiting.hold(topic, queue, wait, held);
    // A message that came between the look and the parking has woken nobody.
    if state.store.max_offset(topic, queue) > offset {
        state.waiting.wake_all(topic, queue);
    }
    Ok(Reply::None)
}

/// Whether what is asked for has left the page cache.
fn is_cold(store: &Store, header: &PullMessageRequest<'_>) -> bool {
    let PullMessageRequest { topic, queue_id, queue_offset, .. } = *header;
    !store.is_cached(topic, queue_id, queue_offset)
}

/// Reads old data away from the threads that serve what is hot: the disk may take its time. It is in memory when the read is
/// over, so that the write to the socket does not wait.
fn read_cold(
    state: &State,
    request: &Frame,
    header: &PullMessageRequest<'_>,
    filter: Option<Arc<TagFilter>>,
) -> Reply {
    let (store, stats) = (state.store.clone(), state.stats.clone());
    let (topic, group) = (header.topic.to_owned(), header.consumer_group.to_owned());
    reply::from_disk(request, move |request| {
        let header: PullMessageRequest<'_> = request.header()?;
        let read = read(&store, &header, filter.as_deref());
        if read.count > 0 {
            let found = u64::try_from(read.count).unwrap_or(0);
            let bytes = read.slices.iter().map(|slice| slice.len() as u64).sum();
            stats.handed_out(&topic, &group, found, bytes, &mut String::new());
        } else {
            stats.missed.add(1);
        }
        Ok(answer(request, &header, read))
    })
}
