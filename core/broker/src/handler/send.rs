//! Sending: SEND_MESSAGE, SEND_MESSAGE_V2, SEND_BATCH_MESSAGE (`SendMessageProcessor`).

use std::sync::Arc;
use std::time::Instant;

use mq_protocol::body::{TopicConfig, perm};
use mq_protocol::header::{SendMessageRequest, SendMessageRequestV2, SendMessageResponse};
use mq_protocol::id::{body_crc, push_offset_msg_id};
use mq_protocol::message::batch::BatchElement;
use mq_protocol::message::{NewRecord, sys_flag};
use mq_protocol::name::{MAX_TOPIC, RETRY_PREFIX, check_topic, dlq_topic, is_not_sendable};
use mq_protocol::property::{self, key};
use mq_protocol::{Frame, ResponseCode};
use mq_store::Appended;

use super::{invalid, no_permission};
use crate::broker::State;
use crate::server::{Answer, Call, Output, Peer, Refusal, Reply, Scratch};
use crate::service::intake::Incoming;
use crate::service::topics::Wish;

mod properties;

use properties::Noted;
pub(super) use properties::Stamp;
pub(crate) use properties::Stamps;

/// Senders from 3.4.9 on may say themselves how often a message is retried.
pub(super) const OWN_MAX_RECONSUME_TIMES: i32 = 121;

pub(super) fn send_v1(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Call { request, peer, scratch, output, arrived, unanswered, .. } = call;
    let header: SendMessageRequest<'_> = request.header()?;
    Send { state, request, peer, header, arrived: *arrived, unanswered: *unanswered }.run(scratch, output)
}

pub(super) fn send_v2(state: &State, call: &mut Call<'_>) -> Result<Reply, Refusal> {
    let Call { request, peer, scratch, output, arrived, unanswered, .. } = call;
    let header: SendMessageRequestV2<'_> = request.header()?;
    Send { state, request, peer, header: header.into(), arrived: *arrived, unanswered: *unanswered }
        .run(scratch, output)
}

/// One send and what belongs to it.
struct Send<'a> {
    state: &'a State,
    request: &'a Frame,
    peer: &'a Arc<Peer>,
    header: SendMessageRequest<'a>,
    arrived: Instant,
    unanswered: usize,
}

/// What is stored, for the answer; its message id, or those of a batch, stand in the scratch text.
struct Stored<'a> {
    /// The unique key that the sender gave it.
    unique_key: Option<&'a str>,
    queue_id: i32,
    queue_offset: i64,
    /// Where the log must be on the disk before the sender is answered; `None` if it is not to wait.
    wait_for: Option<u64>,
}

impl<'a> Send<'a> {
    fn run(&self, scratch: &mut Scratch, output: &mut Output) -> Result<Reply, Refusal> {
        let began = Instant::now();
        self.check_wait(began)?;
        let topic = self.checked_topic()?;
        let queue_id = self.checked_queue(&topic)?;
        let stored = if self.header.batch == Some(true) {
            self.store_batch(&topic, queue_id, scratch)
        } else {
            self.store_one(&topic, queue_id, scratch)
        };
        let stats = &self.state.stats;
        let stored = stored.inspect_err(|_| stats.put_failed.add(1))?;
        stats.put_took(began.elapsed());
        Ok(self.answer(&stored, scratch, output))
    }

    /// Refuses a send that others, which were stalled, have kept waiting: its sender may have given up
    /// (`BrokerFastFailure`).
    fn check_wait(&self, now: Instant) -> Result<(), Refusal> {
        let waited = now.saturating_duration_since(self.arrived).as_millis();
        let config = self.state.config();
        if waited < u128::from(config.wait_time_mills_in_send_queue) || !config.broker_fast_failure_enable {
            return Ok(());
        }
        Err(Refusal::new(
            ResponseCode::SYSTEM_BUSY,
            format!(
                "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {waited}ms, \
                 size of queue: {}",
                self.unanswered
            ),
        ))
    }

    /// The topic to store in, made if that is allowed (`msgCheck`).
    fn checked_topic(&self) -> Result<Arc<TopicConfig>, Refusal> {
        let SendMessageRequest { topic, .. } = self.header;
        let config = self.state.config();
        let opens = config.start_accept_send_request_time_stamp;
        if opens > 0 && self.state.clock.now_millis() < opens {
            return Err(Refusal::system(format!("broker unable to service, until {opens}")));
        }
        let known = self.state.topics.get(topic);
        if config.broker_permission & perm::WRITE == 0 && known.as_ref().is_some_and(|topic| topic.order) {
            return Err(no_permission(format!(
                "the broker[{}] sending message is forbidden",
                config.broker_name
            )));
        }
        if let Some(known) = known.filter(|_| !is_not_sendable(topic)) {
            return Ok(known);
        }
        check_topic(topic).map_err(|error| invalid(error.to_string()))?;
        if is_not_sendable(topic) {
            return Err(no_permission(format!("Sending message to topic[{topic}] is forbidden.")));
        }
        self.state.topics.for_send(&Wish {
            topic,
            pattern: self.header.default_topic,
            queues: self.header.default_topic_queue_nums,
            unit: self.header.unit_mode == Some(true),
        })
    }

    fn checked_queue(&self, topic: &TopicConfig) -> Result<i32, Refusal> {
        let queue_id = self.header.queue_id;
        if queue_id >= topic.write_queue_nums.max(topic.read_queue_nums) {
            return Err(invalid(format!(
                "request queueId[{queue_id}] is illegal, {} Producer: {}",
                topic.topic_name, self.peer.remote
            )));
        }
        Ok(if queue_id < 0 { self.state.any_queue(topic.write_queue_nums) } else { queue_id })
    }

    fn record<'r>(&'r self, topic: &'r TopicConfig, queue_id: i32) -> NewRecord<'r> {
        let multi_tags = topic.topic_filter_type == "MULTI_TAG";
        NewRecord {
            topic: &topic.topic_name,
            queue_id,
            flag: self.header.flag,
            sys_flag: self.header.sys_flag | if multi_tags { sys_flag::MULTI_TAGS } else { 0 },
            born_timestamp: self.header.born_timestamp,
            born_host: self.peer.remote,
            store_host: self.state.store_host,
            reconsume_times: self.header.reconsume_times.unwrap_or(0),
            prepared_transaction_offset: 0,
            body: &[],
            body_crc: 0,
            properties: "",
        }
    }

    fn store_one(
        &self,
        topic: &Arc<TopicConfig>,
        queue_id: i32,
        scratch: &mut Scratch,
    ) -> Result<Stored<'a>, Refusal> {
        let Scratch { properties, text } = scratch;
        let original = self.header.properties.unwrap_or("");
        let mut noted = Noted::of(original);
        let mut place = (topic.clone(), queue_id);
        if self.header.topic.starts_with(RETRY_PREFIX)
            && let Some(dead_letters) = self.dead_letters()?
        {
            noted.delay_level = 0;
            place = (dead_letters, 0);
            self.state.stamps.stamp(original, &noted, Stamp::DeadLetter, properties);
        } else {
            self.state.stamps.stamp(original, &noted, Stamp::Message, properties);
        }
        self.refuse_kinds(topic, &noted)?;
        let record = NewRecord {
            body: &self.request.body,
            body_crc: body_crc(&self.request.body),
            properties,
            ..self.record(&place.0, place.1)
        };
        let waits = self.waits(&noted);
        let incoming = Incoming {
            record: &record,
            delay_level: noted.delay_level,
            waits: waits.then_some(&self.request.body),
        };
        let appended = self.state.intake.put(&incoming, text)?;
        self.state.stats.stored(record.topic, 1, appended.size as u64);
        text.clear();
        push_offset_msg_id(text, self.state.store_host, appended.physical_offset);
        Ok(Stored {
            unique_key: noted.unique_key,
            queue_id: place.1,
            queue_offset: appended.queue_offset,
            wait_for: waits.then_some(appended.end),
        })
    }

    /// Whether the answer comes only when the message is on the disk.
    fn waits(&self, noted: &Noted<'_>) -> bool {
        self.state.intake.sync_flush && noted.wait && !self.request.is_oneway()
    }

    /// Refuses kinds of messages that this broker does not take.
    fn refuse_kinds(&self, topic: &TopicConfig, noted: &Noted<'_>) -> Result<(), Refusal> {
        let retried = self.header.reconsume_times.unwrap_or(0) > 0 && noted.delay_level > 0;
        if noted.half && !retried {
            return Err(no_permission(format!(
                "the broker[{}] sending transaction message is forbidden",
                self.state.name()
            )));
        }
        if noted.timed && noted.delay_level <= 0 {
            return Err(Refusal::system("timer message is not enabled, timerWheelEnable is false"));
        }
        let compacted = topic.attributes.get("cleanup.policy").is_some_and(|policy| policy == "COMPACTION");
        if compacted && !noted.keyed {
            return Err(Refusal::new(
                ResponseCode::MESSAGE_ILLEGAL,
                format!("a message of the compaction topic {} needs KEYS", topic.topic_name),
            ));
        }
        Ok(())
    }

    /// The dead-letter topic, if a message that was sent to a retry topic has had all its retries
    /// (`handleRetryAndDLQ`).
    fn dead_letters(&self) -> Result<Option<Arc<TopicConfig>>, Refusal> {
        let group = self.header.topic.strip_prefix(RETRY_PREFIX).unwrap_or_default();
        let auto_create = self.state.config().auto_create_subscription_group;
        let config = self.state.groups.required(group, auto_create)?;
        let own = self.header.max_reconsume_times.filter(|_| self.request.version >= OWN_MAX_RECONSUME_TIMES);
        let max = own.unwrap_or(config.retry_max_times);
        let retries = self.header.reconsume_times.unwrap_or(0);
        if retries <= max && !self.state.locks.any_live(group) {
            return Ok(None);
        }
        self.state.topics.for_retries(&dlq_topic(group), 1, false).map(Some)
    }

    fn store_batch(
        &self,
        topic: &TopicConfig,
        queue_id: i32,
        scratch: &mut Scratch,
    ) -> Result<Stored<'a>, Refusal> {
        let illegal = |why: String| Refusal::new(ResponseCode::MESSAGE_ILLEGAL, why);
        if topic.topic_name.len() > MAX_TOPIC {
            return Err(illegal(format!("message topic length too long {}", topic.topic_name.len())));
        }
        if topic.topic_name.starts_with(RETRY_PREFIX) {
            return Err(illegal(format!("batch request does not support retry group {}", topic.topic_name)));
        }
        let elements =
            BatchElement::take_all(&self.request.body).map_err(|error| illegal(error.to_string()))?;
        if elements.is_empty() {
            return Err(illegal("the batch is empty".to_owned()));
        }
        // All properties one after the other in one buffer; the records point into it.
        let Scratch { properties, text } = scratch;
        properties.clear();
        let mut ends = Vec::with_capacity(elements.len());
        let batch = Noted::of(self.header.properties.unwrap_or(""));
        for element in &elements {
            let noted = Noted::of(element.properties);
            if noted.delay_level > 0 || noted.half || noted.timed {
                return Err(illegal("a batch takes neither delayed nor transactional messages".to_owned()));
            }
            self.state.stamps.stamp(element.properties, &noted, Stamp::Message, text);
            properties.push_str(text);
            ends.push(properties.len());
        }
        let mut start = 0;
        let mut records = Vec::with_capacity(elements.len());
        for (element, end) in elements.iter().zip(ends) {
            records.push(NewRecord {
                flag: element.flag,
                body: element.body,
                body_crc: body_crc(element.body),
                properties: properties.get(start..end).unwrap_or_default(),
                ..self.record(topic, queue_id)
            });
            start = end;
        }
        let waits = self.waits(&batch);
        let appended = self.state.intake.put_batch(&records, waits.then_some(&self.request.body))?;
        let bytes: usize = appended.iter().map(|one| one.size).sum();
        self.state.stats.stored(&topic.topic_name, appended.len() as u64, bytes as u64);
        text.clear();
        for one in &appended {
            if !text.is_empty() {
                text.push(',');
            }
            push_offset_msg_id(text, self.state.store_host, one.physical_offset);
        }
        Ok(Stored {
            unique_key: batch.unique_key,
            queue_id,
            queue_offset: appended.first().map_or(0, |one: &Appended| one.queue_offset),
            wait_for: appended.last().filter(|_| waits).map(|one| one.end),
        })
    }

    fn answer(&self, stored: &Stored<'_>, scratch: &Scratch, output: &mut Output) -> Reply {
        // The sender's own key, else the one that the message was given here.
        let unique = stored.unique_key.or_else(|| property::find(&scratch.properties, key::UNIQ_KEY));
        let header = SendMessageResponse {
            msg_id: &scratch.text,
            queue_id: stored.queue_id,
            queue_offset: stored.queue_offset,
            transaction_id: unique,
            region_id: Some(self.state.stamps.region()),
            trace_on: Some(self.state.stamps.trace_on()),
        };
        match stored.wait_for {
            None => {
                output.succeed(self.request, &header);
                Reply::None
            }
            Some(end) => {
                let mut frame = Frame::response(self.request, ResponseCode::SUCCESS).with_header(&header);
                let flushed = self.state.intake.flushed(end);
                Reply::Later(Box::pin(async move {
                    frame.code = flushed.await.0;
                    Answer::from(frame)
                }))
            }
        }
    }
}
