//! Looking messages up: QUERY_MESSAGE by key, VIEW_MESSAGE_BY_ID by offset (`QueryMessageProcessor`).

use mq_protocol::header::{QueryMessageRequest, QueryMessageResponse, ViewMessageRequest};
use mq_protocol::{Frame, ResponseCode};
use mq_store::{KeyQuery, MAX_KEY_RESULTS};

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
        let record = u64::try_from(offset).ok().and_then(|offset| store.record_at(offset));
        let Some(record) = record else {
            return Err(Refusal::system(format!("can not find message by the offset, {offset}")));
        };
        let frame = Frame::response(request, ResponseCode::SUCCESS);
        Ok(Answer { frame, slices: vec![record.raw().clone()] })
    }))
}
