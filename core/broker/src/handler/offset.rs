//! Offsets of consumers and of queues (`ConsumerManageProcessor`, `AdminBrokerProcessor`).

use mq_protocol::header::{
    OffsetResponse, QueryConsumerOffsetRequest, QueueRequest, SearchOffsetRequest, TimestampResponse,
    UpdateConsumerOffsetRequest,
};
use mq_protocol::{Frame, ResponseCode, fastjson};
use mq_store::Boundary;

use super::invalid;
use crate::broker::State;
use crate::server::{Call, Refusal, Reply, reply};
use crate::service::groups::not_exist;

pub(super) fn query_consumer_offset(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: QueryConsumerOffsetRequest<'_> = call.request.header()?;
    let QueryConsumerOffsetRequest { consumer_group, topic, queue_id, .. } = header;
    let known = state.offsets.get(consumer_group, topic, queue_id).filter(|offset| *offset >= 0);
    // A new group starts at the beginning of a young queue, whatever the client's settings say.
    let young = || {
        header.set_zero_if_not_found != Some(false)
            && state.store.max_offset(topic, queue_id) > 0
            && state.store.min_offset(topic, queue_id) <= 0
            && state.store.in_memory(topic, queue_id, 0)
    };
    match known.or_else(|| young().then_some(0)) {
        Some(offset) => Ok(reply::header(&call.request, &OffsetResponse { offset })),
        None => Err(Refusal::new(
            ResponseCode::QUERY_NOT_FOUND,
            "Not found, maybe this group consumer boot first",
        )),
    }
}

pub(super) fn update_consumer_offset(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: UpdateConsumerOffsetRequest<'_> = call.request.header()?;
    let UpdateConsumerOffsetRequest { consumer_group, topic, queue_id, commit_offset } = header;
    if state.groups.get(consumer_group).is_none() {
        return Err(not_exist(consumer_group));
    }
    let config = state.topics.existing(topic)?;
    if queue_id < 0 || queue_id >= config.read_queue_nums.max(config.write_queue_nums) {
        return Err(invalid(format!("queueId {queue_id} of topic {topic} does not exist")));
    }
    if state.offsets.commit(consumer_group, topic, queue_id, commit_offset) {
        return Ok(reply::ok(&call.request));
    }
    let answer = Frame::response(&call.request, ResponseCode::SUCCESS);
    Ok(answer.with_remark("Offset has been previously reset").into())
}

pub(super) fn max_offset(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: QueueRequest<'_> = call.request.header()?;
    let offset = state.store.max_offset(header.topic, header.queue_id);
    Ok(reply::header(&call.request, &OffsetResponse { offset }))
}

pub(super) fn min_offset(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: QueueRequest<'_> = call.request.header()?;
    let offset = state.store.min_offset(header.topic, header.queue_id);
    Ok(reply::header(&call.request, &OffsetResponse { offset }))
}

pub(super) fn search_offset(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        let header: SearchOffsetRequest<'_> = request.header()?;
        let upper = header.boundary_type.is_some_and(|kind| kind.eq_ignore_ascii_case("upper"));
        let boundary = if upper { Boundary::Upper } else { Boundary::Lower };
        let offset = store.offset_by_time(header.topic, header.queue_id, header.timestamp, boundary);
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_header(&OffsetResponse { offset }))
    }))
}

pub(super) fn earliest_store_time(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        let header: QueueRequest<'_> = request.header()?;
        let timestamp = store.earliest_store_time(header.topic, header.queue_id).unwrap_or(-1);
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_header(&TimestampResponse { timestamp }))
    }))
}

pub(super) fn all_consumer_offsets(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(reply::body(&call.request, fastjson::to_vec(&state.offsets.snapshot())?))
}

pub(super) fn all_delay_offsets(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    Ok(reply::body(&call.request, fastjson::to_vec(&state.schedule.snapshot())?))
}
