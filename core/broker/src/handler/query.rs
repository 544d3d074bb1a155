//! Looking messages up: QUERY_MESSAGE by key, VIEW_MESSAGE_BY_ID by offset (`QueryMessageProcessor`).

use mq_protocol::body::{ConsumeQueueData, ConsumeQueueDump};
use mq_protocol::header::{
    ConsumeQueueRequest, QueryMessageRequest, QueryMessageResponse, ViewMessageRequest,
};
use mq_protocol::{Frame, ResponseCode};
use mq_store::{KeyQuery, MAX_KEY_RESULTS, QueueEntry};

use super::unreadable;
use crate::broker::State;
use crate::server::{Answer, Call, Refusal, Reply, reply};

pub(super) fn by_key(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: QueryMessageRequest<'_> = call.request.header()?;
    let unique = header.unique_key_query == Some(true);
    let max = if unique { state.config().default_query_max_num } else { header.max_num };
    let max = usize::try_from(max).unwrap_or(0).min(MAX_KEY_RESULTS);
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        let header: QueryMessageRequest<'_> = request.header()?;
        let result = store.query(&KeyQuery {
            topic: header.topic,
            key: header.key,
            max,
            begin: header.begin_timestamp,
            end: header.end_timestamp,
        });
        let result = result.map_err(unreadable)?;
        let code =
            if result.records.is_empty() { ResponseCode::QUERY_NOT_FOUND } else { ResponseCode::SUCCESS };
        let mut frame = Frame::response(request, code).with_header(&QueryMessageResponse {
            index_last_update_timestamp: result.last_timestamp,
            index_last_update_phyoffset: result.last_physical_offset,
        });
        if result.records.is_empty() {
            frame = frame.with_remark("can not find message, maybe time range not correct");
        }
        let slices = result.records.into_iter().map(|record| record.raw().clone()).collect();
        Ok(Answer { frame, slices })
    }))
}

pub(super) fn by_offset(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let ViewMessageRequest { offset } = call.request.header()?;
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        let at = u64::try_from(offset).ok();
        let record = at.map_or(Ok(None), |at| store.record_at(at)).map_err(unreadable)?;
        let Some(record) = record else {
            return Err(Refusal::system(format!("can not find message by the offset, {offset}")));
        };
        let frame = Frame::response(request, ResponseCode::SUCCESS);
        Ok(Answer { frame, slices: vec![record.raw().clone()] })
    }))
}

/// Most entries of a queue that are shown at once.
const MAX_ENTRIES: i32 = 1024;

/// Entries of a consume queue as they are, for people who look for a fault.
pub(super) fn consume_queue(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ConsumeQueueRequest<'_> = call.request.header()?;
    let (topic, queue) = (header.topic, header.queue_id);
    if !state.store.queues().iter().any(|(known, id)| **known == *topic && *id == queue) {
        return Err(Refusal::system(format!("{queue}@{topic} is not exist!")));
    }
    let interest = header.consumer_group.map(|group| (group, state.consumers.interest(group, topic)));
    let online =
        interest.map(|(group, interest)| (group, interest.and_then(|interest| interest.subscription)));
    let (subscription, filter_data) = match online {
        Some((_, Some(subscription))) => (Some(subscription), None),
        Some((group, None)) => (None, Some(format!("{group}@{topic} is not online!"))),
        None => (None, None),
    };
    let store = state.store.clone();
    Ok(reply::from_disk(&call.request, move |request| {
        let ConsumeQueueRequest { topic, queue_id, index, count, .. } = request.header()?;
        let count = usize::try_from(count.clamp(0, MAX_ENTRIES)).unwrap_or(0);
        let entry = |entry: QueueEntry| ConsumeQueueData {
            eval: subscription.as_ref().is_some_and(|wanted| wanted.filter.matches_code(entry.tags_code)),
            physic_offset: i64::try_from(entry.physical_offset).unwrap_or(i64::MAX),
            physic_size: i32::try_from(entry.size).unwrap_or(i32::MAX),
            tags_code: entry.tags_code,
        };
        let entries = store.queue_entries(topic, queue_id, index, count);
        let dump = ConsumeQueueDump {
            filter_data,
            max_queue_index: store.max_offset(topic, queue_id),
            min_queue_index: store.min_offset(topic, queue_id),
            queue_data: entries.into_iter().map(entry).collect(),
            subscription_data: subscription.as_ref().map(|subscription| subscription.data.clone()),
        };
        Ok(Frame::response(request, ResponseCode::SUCCESS).with_body(serde_json::to_vec(&dump)?))
    }))
}
