//! CONSUMER_SEND_MSG_BACK: a message that could not be consumed comes again later, or goes to the dead letters
//! (`AbstractSendMessageProcessor.consumerSendMsgBack`).

use bytes::Bytes;
use mq_protocol::body::perm;
use mq_protocol::header::SendMsgBackRequest;
use mq_protocol::message::NewRecord;
use mq_protocol::name::{dlq_topic, retry_topic};
use mq_protocol::property::{Properties, key};
use mq_protocol::{Frame, RequestCode, ResponseCode};

use super::send::OWN_MAX_RECONSUME_TIMES;
use super::{no_permission, unreadable};
use crate::broker::State;
use crate::server::{Answer, Call, Refusal, Reply, reply};
use crate::service::intake::Incoming;

/// Level of the first retry, less one: retry n waits for level 3 + n.
const FIRST_RETRY_LEVEL: i32 = 3;

pub(super) fn send_back(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let offset = call.request.header::<SendMsgBackRequest<'_>>()?.offset;
    if let Some(offset) = u64::try_from(offset).ok().filter(|_| !call.resumed)
        && !state.store.is_record_cached(offset)
    {
        return read_first(state, call, offset);
    }
    let Call { request, scratch, .. } = call;
    let header: SendMsgBackRequest<'_> = request.header()?;
    let config = state.config();
    let group = state.groups.required(header.group, config.auto_create_subscription_group)?;
    if config.broker_permission & perm::WRITE == 0 {
        return Err(no_permission(format!(
            "the broker[{}] sending message is forbidden",
            config.broker_name
        )));
    }
    if group.retry_queue_nums <= 0 {
        return Ok(reply::ok(request));
    }
    let unit = header.unit_mode == Some(true);
    let retries = state.topics.for_retries(&retry_topic(header.group), group.retry_queue_nums, unit)?;
    if retries.perm & perm::WRITE == 0 {
        return Err(no_permission(format!("the topic[{}] sending message is forbidden", retries.topic_name)));
    }
    let offset = u64::try_from(header.offset).ok();
    let record = offset.map_or(Ok(None), |offset| state.store.record_at(offset)).map_err(unreadable)?;
    let Some(record) = record else {
        return Err(Refusal::system(format!("look message by offset failed, {}", header.offset)));
    };
    let layout = record.layout();

    let own = header.max_reconsume_times.filter(|_| request.version >= OWN_MAX_RECONSUME_TIMES);
    let max = own.unwrap_or(group.retry_max_times);
    let dead = layout.reconsume_times >= max || header.delay_level < 0;
    let (topic, queue_id, level) = if dead {
        (state.topics.for_retries(&dlq_topic(header.group), 1, false)?, 0, 0)
    } else {
        let level = match header.delay_level {
            0 => FIRST_RETRY_LEVEL.saturating_add(layout.reconsume_times),
            level => level,
        };
        let queue = state.any_queue(group.retry_queue_nums.min(retries.write_queue_nums));
        (retries, queue, level)
    };

    let mut properties = Properties::parse(record.properties());
    // It covers the record that is read, not the one that is made of it.
    properties.remove(key::PROP_CRC);
    let origin_id = properties.get(key::ORIGIN_MESSAGE_ID).map(str::to_owned);
    let origin_id = origin_id.unwrap_or_else(|| match header.origin_msg_id {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => record.offset_msg_id(),
    });
    let mut set = |name: &str, value: &str| {
        properties.set(name, value).map_err(|error| Refusal::system(error.to_string()))
    };
    if record.property(key::RETRY_TOPIC).is_none() {
        set(key::RETRY_TOPIC, record.topic())?;
    }
    set(key::WAIT, "false")?;
    set(key::ORIGIN_MESSAGE_ID, &origin_id)?;
    set(key::DELAY, itoa::Buffer::new().format(level))?;

    let waits = state.intake.sync_flush && !request.is_oneway();
    let body = record.body();
    let back = NewRecord {
        topic: &topic.topic_name,
        queue_id,
        flag: layout.flag,
        sys_flag: layout.sys_flag,
        born_timestamp: layout.born_timestamp,
        born_host: layout.born_host,
        store_host: state.store_host,
        reconsume_times: layout.reconsume_times.saturating_add(1),
        prepared_transaction_offset: 0,
        body: &body,
        body_crc: layout.body_crc,
        properties: properties.as_text(),
    };
    // Copied, not kept: the body lies in the mapped log, from where a write that comes later may fail to read it.
    let kept = Bytes::new();
    let incoming = Incoming { record: &back, delay_level: level, waits: waits.then_some(&kept) };
    let appended = state.intake.put(&incoming, &mut scratch.text)?;
    let size = appended.size as u64;
    state.stats.stored(&topic.topic_name, 1, size);
    let origin = properties.get(key::RETRY_TOPIC).unwrap_or_else(|| record.topic());
    state.stats.came_back(origin, header.group, size, &mut scratch.text);
    let answer = Frame::response(request, ResponseCode::SUCCESS);
    if !waits {
        return Ok(answer.into());
    }
    // The consumer forgets the message once this is answered: it must be as safe as any that is acknowledged.
    let flushed = state.intake.flushed(appended.end);
    Ok(Reply::Later(Box::pin(async move {
        let mut answer = answer;
        if flushed.await != ResponseCode::SUCCESS {
            answer.code = ResponseCode::SYSTEM_ERROR.0;
            answer.remark = "the message was stored, but the disk did not confirm it in time".to_owned();
        }
        Answer::from(answer)
    })))
}

/// Has the request handled again when the disk has given the record, away from the threads that serve what is hot.
fn read_first(state: &State, call: &mut Call<'_>, offset: u64) -> Result<Reply, Refusal> {
    let Ok(permit) = state.cold.clone().try_acquire_owned() else {
        return Err(Refusal::new(
            ResponseCode::SYSTEM_BUSY,
            "[OVERLOAD]system busy, start flow control for a while: too many old messages are read from the disk",
        ));
    };
    let request =
        std::mem::replace(&mut call.request, Frame::bare_request(RequestCode::CONSUMER_SEND_MSG_BACK));
    let (store, peer) = (state.store.clone(), call.peer.clone());
    tokio::task::spawn_blocking(move || {
        // An error comes again when the request is handled, and is answered then.
        drop(store.record_at(offset));
        drop(permit);
        peer.resume(request);
    });
    Ok(Reply::None)
}
