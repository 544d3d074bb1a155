//! Looking messages up: QUERY_MESSAGE by key, VIEW_MESSAGE_BY_ID by offset (`QueryMessageProcessor`).

use mq_protocol::header::{QueryMessageRequest, QueryMessageResponse, ViewMessageRequest};
use mq_protocol::{Frame, ResponseCode};
use mq_store::KeyQuery;

use crate::broker::State;
use crate::server::{Answer, Call, Refusal, Reply};

/// Most messages that a query by key returns.
const MAX_RESULTS: usize = 64;

pub(super) fn by_key(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: QueryMessageRequest<'_> = call.request.header()?;
    let unique = header.unique_key_query == Some(true);
    let max = if unique { state.config().default_query_max_num } else { header.max_num };
    let (topic, key) = (header.topic.to_owned(), header.key.to_owned());
    let max = usize::try_from(max).unwrap_or(0).min(MAX_RESULTS);
    let (begin, end) = (header.begin_timestamp, header.end_timestamp);
    let found = Frame::response(&call.request, ResponseCode::SUCCESS);
    let store = state.store.clone();
    // The index and what it points to may be anywhere on the disk.
    let search = tokio::task::spawn_blocking(move || {
        store.query(&KeyQuery { topic: &topic, key: &key, max, begin, end })
    });
    Ok(Reply::Later(Box::pin(async move {
        let failed = |frame: Frame, code: ResponseCode, remark: &str| {
            let mut frame = frame.with_remark(remark);
            frame.code = code.0;
            Answer::from(frame)
        };
        let Ok(result) = search.await else {
            return failed(found, ResponseCode::SYSTEM_ERROR, "the query ended early");
        };
        let frame = found.with_header(&QueryMessageResponse {
            index_last_update_timestamp: result.last_timestamp,
            index_last_update_phyoffset: result.last_physical_offset,
        });
        if result.records.is_empty() {
            return failed(
                frame,
                ResponseCode::QUERY_NOT_FOUND,
                "can not find message, maybe time range not correct",
            );
        }
        Answer { frame, slices: result.records.into_iter().map(|record| record.raw().clone()).collect() }
    })))
}

pub(super) fn by_offset(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ViewMessageRequest = call.request.header()?;
    let record = u64::try_from(header.offset).ok().and_then(|offset| state.store.record_at(offset));
    let Some(record) = record else {
        return Err(Refusal::system(format!("can not find message by the offset, {}", header.offset)));
    };
    let frame = Frame::response(&call.request, ResponseCode::SUCCESS);
    Ok(Reply::Now(Answer { frame, slices: vec![record.raw().clone()] }))
}
