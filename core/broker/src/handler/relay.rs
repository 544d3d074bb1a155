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
    let mut add = |name: &str, value: &str| {
        if request.ext.get(name).is_none() {
            request.ext.push(name, value);
        }
    };
    add("brokerName", state.name());
    let number = |number: i32| number.to_string();
    if let Some(topic) = header.topic.and_then(|topic| state.topics.get(topic)) {
        add("topicSysFlag", &number(topic.topic_sys_flag));
    }
    if let Some(group) = state.groups.get(header.consumer_group) {
        add("groupSysFlag", &number(group.group_sys_flag));
    }
    let Some(id) = header.msg_id else {
        return Ok(pass_on(&call.request, member, request));
    };
    let (_, offset) = parse_offset_msg_id(id).map_err(|error| invalid(error.to_string()))?;
    // The message may have to be read from the disk.
    let store = state.store.clone();
    let record = tokio::task::spawn_blocking(move || store.record_at(offset));
    let asked = Frame { body: Bytes::new(), ..call.request.clone() };
    Ok(Reply::Later(Box::pin(async move {
        let record = match record.await {
            Ok(Ok(Some(record))) => record,
            Ok(Err(error)) => return Refusal::system(error.to_string()).answer(&asked).into(),
            Ok(Ok(None)) | Err(_) => {
                let missing = Refusal::system(format!("can not find message by the offset, {offset}"));
                return missing.answer(&asked).into();
            }
        };
        request.body = record.raw().clone();
        asked_of(member, request, Frame::response(&asked, ResponseCode::SUCCESS)).await
    })))
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
    Reply::Later(Box::pin(asked_of(member, request, answer)))
}

/// Asks a member and completes the answer with what it says.
async fn asked_of(member: Member, request: Frame, mut answer: Frame) -> Answer {
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
    answer.into()
}
