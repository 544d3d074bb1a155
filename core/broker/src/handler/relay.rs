//! Requests of admins that a consumer answers: the broker passes them on (`AdminBrokerProcessor.callConsumer`).

use std::time::Duration;

use bytes::Bytes;
use mq_protocol::header::{ConsumeMessageDirectlyRequest, ConsumerRunningInfoRequest};
use mq_protocol::id::parse_offset_msg_id;
use mq_protocol::{Frame, RequestCode, ResponseCode};

use super::invalid;
use crate::broker::State;
use crate::server::{Answer, Call, InvokeError, Refusal, Reply};
use crate::service::consumers::Member;

/// Clients before 3.1.8 do not know these requests.
const ANSWERING_CLIENT: i32 = 62;
/// How long a consumer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn consumer_running_info(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ConsumerRunningInfoRequest<'_> = call.request.header()?;
    let member = member(state, header.consumer_group, header.client_id)?;
    let request = Frame::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header);
    Ok(pass_on(&call.request, member, request))
}

pub(super) fn consume_directly(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let header: ConsumeMessageDirectlyRequest<'_> = call.request.header()?;
    let client_id = header.client_id.unwrap_or_default();
    let member = member(state, header.consumer_group, client_id)?;
    let mut request = Frame::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &header);
    let has = |name: &str| request.ext.get(name).is_some();
    if !has("brokerName") {
        request.ext.push("brokerName", state.name());
    }
    if let Some(id) = header.msg_id {
        request.body = message(state, id)?;
    }
    Ok(pass_on(&call.request, member, request))
}

/// The stored message of an offset message id.
fn message(state: &State, id: &str) -> Result<Bytes, Refusal> {
    let (_, offset) = parse_offset_msg_id(id).map_err(|error| invalid(error.to_string()))?;
    let record = state.store.record_at(offset);
    record
        .map(|record| record.raw().clone())
        .ok_or_else(|| Refusal::system(format!("can not find message by the offset, {offset}")))
}

fn member(state: &State, group: &str, client_id: &str) -> Result<Member, Refusal> {
    let Some(member) = state.consumers.find(group, client_id) else {
        return Err(Refusal::system(format!("The Consumer <{group}> <{client_id}> not online")));
    };
    if member.version < ANSWERING_CLIENT {
        return Err(Refusal::system(format!(
            "The Consumer <{client_id}> Version <{}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT",
            member.version
        )));
    }
    Ok(member)
}

fn pass_on(asked: &Frame, member: Member, request: Frame) -> Reply {
    let answer = Frame::response(asked, ResponseCode::SUCCESS);
    Reply::Later(Box::pin(async move {
        let mut answer = answer;
        match member.peer.invoke(request, TIMEOUT).await {
            Ok(told) => {
                answer.code = told.code;
                answer.remark = told.remark;
                answer.ext = told.ext;
                answer.body = told.body;
            }
            Err(error) => {
                answer.code = match error {
                    InvokeError::Timeout => ResponseCode::CONSUME_MSG_TIMEOUT.0,
                    InvokeError::Closed | InvokeError::Full => ResponseCode::SYSTEM_ERROR.0,
                };
                answer.remark = format!("consumer <{}>: {error}", member.client_id);
            }
        }
        Answer::from(answer)
    }))
}
