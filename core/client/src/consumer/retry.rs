//! Sending messages back that the listener did not consume, so that they come again later.

use bytes::Bytes;
use mq_protocol::header::{SendMessageRequestV2, SendMsgBackRequest};
use mq_protocol::message::sys_flag;
use mq_protocol::property::key;
use mq_protocol::{Properties, RequestCode, name};

use super::Inner;
use crate::message::now_millis;
use crate::remoting::success;
use crate::route::Template;
use crate::{Error, ErrorCode, MessageView};

/// Delay level of the first retry (`MessageStoreConfig`: 10 s).
const FIRST_LEVEL: i32 = 3;

impl Inner {
    /// Gives a message back to the broker that has it; if that fails, sends a copy to the retry topic.
    ///
    /// `level` 0 lets the broker choose by the number of attempts; below 0 it goes to the dead letters.
    pub(super) async fn send_back(&self, message: &MessageView, level: i32) -> Result<(), Error> {
        let first = match self.ask_back(message, level).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        tracing::debug!(group = self.group, ?message, error = %first, "sending a copy to the retry topic");
        self.send_copy(message, level)
            .await
            .map_err(|second| Error::new(second.code(), format!("{first}; then, as a copy: {second}")))
    }

    /// Sends a message that an ordered consumer failed for to the dead letters: a copy with its own count of attempts
    /// as Java does it; if that fails, gives it back to the broker that has it.
    pub(super) async fn send_to_dead_letters(&self, message: &MessageView) -> Result<(), Error> {
        let first = match self.send_copy(message, -1).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        self.ask_back(message, -1)
            .await
            .map_err(|second| Error::new(second.code(), format!("{first}; then, given back: {second}")))
    }

    async fn ask_back(&self, message: &MessageView, level: i32) -> Result<(), Error> {
        let client = &self.client;
        let peer = match client.broker(message.broker_name(), 0) {
            Ok(peer) => peer,
            Err(_) => client.remoting.peer(&message.store_host().to_string()),
        };
        let origin = message.message_id();
        let header = SendMsgBackRequest {
            offset: message.record().layout().physical_offset,
            group: &self.group,
            delay_level: level,
            origin_msg_id: Some(&origin),
            origin_topic: Some(message.record().topic()),
            unit_mode: Some(client.config.unit_mode),
            max_reconsume_times: Some(self.max_reconsume_times()),
        };
        let code = RequestCode::CONSUMER_SEND_MSG_BACK;
        client.remoting.ask(&peer, code, &header, &Bytes::new(), client.short()).await?;
        Ok(())
    }

    /// What Java's consumer does when the broker does not take a message back.
    async fn send_copy(&self, message: &MessageView, level: i32) -> Result<(), Error> {
        let client = &self.client;
        let retry_topic = name::retry_topic(&self.group);
        let record = message.record();
        let mut max = self.max_reconsume_times();
        let mut times = message.reconsume_times().saturating_add(1);
        if level < 0 {
            // More attempts than there may be: what makes it a dead letter.
            times = times.max(max.saturating_add(1));
            max = max.min(times - 1);
        }
        let delay = if level > 0 { level } else { FIRST_LEVEL.saturating_add(message.reconsume_times()) };
        let mut properties = Properties::parse(record.properties());
        let origin = message.property(key::ORIGIN_MESSAGE_ID).map(str::to_owned);
        let first_topic = message.property(key::RETRY_TOPIC).unwrap_or(record.topic()).to_owned();
        for (name, value) in [
            (key::RETRY_TOPIC, first_topic),
            (key::ORIGIN_MESSAGE_ID, origin.unwrap_or_else(|| message.offset_message_id())),
            // An older broker would keep a dead letter back for as long.
            (key::DELAY, if level < 0 { String::new() } else { delay.to_string() }),
            (key::TRAN_MSG, String::new()),
        ] {
            let set = properties.set(name, &value);
            set.map_err(|error| Error::new(ErrorCode::Internal, format!("retry of a message: {error}")))?;
        }
        let deadline = client.short();
        let template = Template { topic: name::AUTO_CREATE_TOPIC, queues: 1 };
        let (topic, route) = client.route(&retry_topic, Some(template), deadline).await?;
        let queue = route.publish.get(topic.turn() % route.publish.len().max(1)).ok_or_else(|| {
            Error::new(ErrorCode::NotFound, format!("topic '{retry_topic}' has no queue that can be written"))
        })?;
        let header = SendMessageRequestV2 {
            producer_group: &self.group,
            topic: &retry_topic,
            default_topic: name::AUTO_CREATE_TOPIC,
            default_topic_queue_nums: 1,
            queue_id: queue.queue_id,
            sys_flag: record.layout().sys_flag & (sys_flag::COMPRESSED | sys_flag::COMPRESSION_MASK),
            born_timestamp: now_millis(),
            flag: record.layout().flag,
            properties: Some(properties.as_text()),
            reconsume_times: Some(times),
            unit_mode: Some(client.config.unit_mode),
            max_reconsume_times: Some(max),
            batch: Some(false),
        };
        let code = RequestCode::SEND_MESSAGE_V2;
        let connection = client.remoting.connection(&queue.peer, deadline).await?;
        let answer = connection.call(code, &header, &record.body(), deadline).await?;
        // Codes 10 to 12 mean stored as well.
        if matches!(answer.code, 10..=12) {
            Ok(())
        } else {
            success(answer, code, connection.address()).map(|_| ())
        }
    }

    fn max_reconsume_times(&self) -> i32 {
        if self.config.max_reconsume_times < 0 { 16 } else { self.config.max_reconsume_times }
    }
}
