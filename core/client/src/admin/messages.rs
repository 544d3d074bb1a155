//! Single messages: looked up by key, unique id or place.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use mq_protocol::header::{QueryMessageRequest, ViewMessageRequest};
use mq_protocol::id::parse_offset_msg_id;
use mq_protocol::{Frame, MessageRecord, RequestCode, ResponseCode};

use super::Admin;
use crate::message::now_millis;
use crate::{Error, ErrorCode, MessageView};

/// How far back a unique id is looked for (`MQAdminImpl.queryMessageByUniqKey`).
const UNIQUE_ID_AGE: Duration = Duration::from_secs(3 * 24 * 3600);
/// Largest body that is shown, after decompression.
const LARGEST_BODY: usize = 64 * 1024 * 1024;

impl Admin {
    /// Messages of a topic with a key, stored in this time (milliseconds since 1970), oldest first.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such topic. No message is an empty list.
    pub async fn query_by_key(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin: i64,
        end: i64,
    ) -> Result<Vec<MessageView>, Error> {
        let found = self.query(topic, key, max, begin, end, false).await?;
        // The index holds hashes, so other keys can turn up.
        Ok(found.into_iter().filter(|message| message.keys().any(|k| k == key)).take(max).collect())
    }

    /// The message (or copies of it) with a unique id, among those of the last three days.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such topic. No message is an empty list.
    pub async fn query_by_unique_id(&self, topic: &str, id: &str) -> Result<Vec<MessageView>, Error> {
        let end = now_millis();
        let begin = end - i64::try_from(UNIQUE_ID_AGE.as_millis()).unwrap_or(0);
        let found = self.query(topic, id, 32, begin, i64::MAX, true).await?;
        Ok(found.into_iter().filter(|message| message.message_id() == id).collect())
    }

    /// The message at the place that an offset message id tells.
    ///
    /// # Errors
    /// `ARGUMENT`: it is not such an id. `NOT_FOUND`: there is no message (any more).
    pub async fn query_by_id(&self, offset_message_id: &str) -> Result<MessageView, Error> {
        let (host, offset) =
            parse_offset_msg_id(offset_message_id).map_err(|error| Error::argument(error.to_string()))?;
        let offset = i64::try_from(offset)
            .map_err(|_| Error::argument(format!("'{offset_message_id}' tells an impossible offset")))?;
        let missing = |why: &str| {
            Error::new(ErrorCode::NotFound, format!("no message at offset {offset} of broker {host}: {why}"))
        };
        let code = RequestCode::VIEW_MESSAGE_BY_ID;
        let answer = self.broker(&host.to_string(), code, &ViewMessageRequest { offset }, Bytes::new()).await;
        let frame = answer.map_err(|error| {
            if error.is_broker(ResponseCode::SYSTEM_ERROR) { missing(error.message()) } else { error }
        })?;
        self.open(&frame, "")?.pop().ok_or_else(|| missing("the answer is empty"))
    }

    async fn query(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin_timestamp: i64,
        end_timestamp: i64,
        unique: bool,
    ) -> Result<Vec<MessageView>, Error> {
        let route = self.route(topic).await?;
        let topic = self.client.wrap(topic);
        let code = RequestCode::QUERY_MESSAGE;
        let header = QueryMessageRequest {
            topic: &topic,
            key,
            max_num: i32::try_from(max).unwrap_or(i32::MAX),
            begin_timestamp,
            end_timestamp,
            unique_key_query: Some(unique),
        };
        let mut found = Vec::new();
        for broker in &route.broker_datas {
            let Some(address) = broker.broker_addrs.values().next() else { continue };
            match self.broker(address, code, &header, Bytes::new()).await {
                Ok(frame) => found.extend(self.open(&frame, &broker.broker_name)?),
                Err(error) if error.is_broker(ResponseCode::QUERY_NOT_FOUND) => {}
                Err(error) => return Err(error),
            }
        }
        let mut seen = HashSet::new();
        found.retain(|message| seen.insert(message.offset_message_id()));
        found.sort_by_key(MessageView::store_timestamp);
        Ok(found)
    }

    fn open(&self, frame: &Frame, broker_name: &str) -> Result<Vec<MessageView>, Error> {
        let records = MessageRecord::take_all(frame.body.clone()).map_err(|error| {
            Error::new(ErrorCode::Broker, format!("the broker's messages cannot be read: {error}"))
        })?;
        let broker_name = broker_name.into();
        let open = |record| {
            MessageView::open(record, &broker_name, &self.client.config.namespace, LARGEST_BODY)
                .map_err(|(_, error)| error)
        };
        records.into_iter().map(open).collect()
    }
}
