//! Queue locks of ordered consumers: LOCK_BATCH_MQ, UNLOCK_BATCH_MQ (`AdminBrokerProcessor`).

use mq_protocol::body::{LockBatchBody, LockOkBody};
use mq_protocol::fastjson;

use crate::broker::State;
use crate::server::{Call, Refusal, Reply, reply};

pub(super) fn lock(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let body: LockBatchBody = fastjson::from_slice(&call.request.body)?;
    let lock_ok_mq_set = state.locks.lock(&body.consumer_group, &body.client_id, body.mq_set);
    Ok(reply::body(&call.request, serde_json::to_vec(&LockOkBody { lock_ok_mq_set })?))
}

pub(super) fn unlock(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let body: LockBatchBody = fastjson::from_slice(&call.request.body)?;
    state.locks.unlock(&body.consumer_group, &body.client_id, &body.mq_set);
    Ok(reply::ok(&call.request))
}
