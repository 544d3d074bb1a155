//! What a running consumer is asked by its broker: offsets to be set, its state, one message to consume.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::stats::queue_map;
use super::{MessageQueue, SubscriptionData};
use crate::fastjson;

/// Body of RESET_CONSUMER_CLIENT_OFFSET and answer to INVOKE_BROKER_TO_RESET_OFFSET (`ResetOffsetBody`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ResetOffsetBody {
    #[serde(deserialize_with = "offset_table")]
    pub offset_table: BTreeMap<MessageQueue, i64>,
}

impl ResetOffsetBody {
    /// The body as fastjson writes it.
    ///
    /// # Errors
    /// Never for these types; the JSON writer's signature has it.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        Ok(format!(r#"{{"offsetTable":{}}}"#, fastjson::to_object_key_map(&self.offset_table)?))
    }
}

/// The three shapes of an offset table: queues as keys, pairs, and objects that hold the offset
/// (`ResetOffsetBodyForC`).
fn offset_table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<MessageQueue, i64>, D::Error> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(flatten)]
        queue: MessageQueue,
        offset: i64,
    }
    let parse = |value: Value| -> Result<(MessageQueue, i64), serde_json::Error> {
        if value.is_array() {
            return serde_json::from_value(value);
        }
        serde_json::from_value(value).map(|entry: Entry| (entry.queue, entry.offset))
    };
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(BTreeMap::new()),
        Value::Array(entries) => {
            entries.into_iter().map(parse).collect::<Result<_, _>>().map_err(D::Error::custom)
        }
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, value)| Ok((serde_json::from_str(&key)?, serde_json::from_value(value)?)))
            .collect::<Result<_, serde_json::Error>>()
            .map_err(D::Error::custom),
        _ => Err(D::Error::custom("an offset table is an object or an array")),
    }
}

/// Answer to GET_CONSUMER_STATUS_FROM_CLIENT (`GetConsumerStatusBody`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumerStatusBody {
    #[serde(deserialize_with = "queue_map")]
    pub message_queue_table: BTreeMap<MessageQueue, i64>,
}

impl ConsumerStatusBody {
    /// The body as fastjson writes it.
    ///
    /// # Errors
    /// Never for these types; the JSON writer's signature has it.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        Ok(format!(r#"{{"messageQueueTable":{}}}"#, fastjson::to_object_key_map(&self.message_queue_table)?))
    }
}

/// What a consumer holds of one queue.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ProcessQueueInfo {
    pub commit_offset: i64,
    pub cached_msg_min_offset: i64,
    pub cached_msg_max_offset: i64,
    pub cached_msg_count: i32,
    pub cached_msg_size_in_mi_b: i32,
    pub transaction_msg_min_offset: i64,
    pub transaction_msg_max_offset: i64,
    pub transaction_msg_count: i32,
    pub locked: bool,
    pub try_unlock_times: i64,
    pub last_lock_timestamp: i64,
    pub droped: bool,
    pub last_pull_timestamp: i64,
    pub last_consume_timestamp: i64,
}

/// Rates of one topic in the last minute, in messages a second and milliseconds (`ConsumeStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumeStatus {
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    #[serde(rename = "consumeFailedMsgs")]
    pub consume_failed_msgs: i64,
}

/// Answer to GET_CONSUMER_RUNNING_INFO (`ConsumerRunningInfo`).
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumerRunningInfo {
    #[serde(deserialize_with = "queue_map")]
    pub mq_table: BTreeMap<MessageQueue, ProcessQueueInfo>,
    pub properties: BTreeMap<String, String>,
    pub status_table: BTreeMap<String, ConsumeStatus>,
    pub subscription_set: Vec<SubscriptionData>,
    /// What the consumer's threads do; only if it was asked for.
    pub jstack: Option<String>,
}

impl ConsumerRunningInfo {
    /// The body as fastjson writes it.
    ///
    /// # Errors
    /// Never for these types; the JSON writer's signature has it.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        let jstack = match &self.jstack {
            Some(text) => format!(r#""jstack":{},"#, serde_json::to_string(text)?),
            None => String::new(),
        };
        Ok(format!(
            r#"{{{jstack}"mqTable":{},"properties":{},"statusTable":{},"subscriptionSet":{}}}"#,
            fastjson::to_object_key_map(&self.mq_table)?,
            serde_json::to_string(&self.properties)?,
            serde_json::to_string(&self.status_table)?,
            serde_json::to_string(&self.subscription_set)?,
        ))
    }
}

/// Answer to CONSUME_MESSAGE_DIRECTLY (`ConsumeMessageDirectlyResult`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumeDirectlyResult {
    pub auto_commit: bool,
    /// `CR_SUCCESS`, `CR_LATER`, `CR_THROW_EXCEPTION` and others.
    pub consume_result: String,
    pub order: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    pub spent_time_mills: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shapes_of_an_offset_table_are_read() {
        let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 1 };
        let mut body = ResetOffsetBody::default();
        body.offset_table.insert(queue, 7);
        let own = body.to_body().unwrap();
        for text in [
            own.as_str(),
            r#"{"offsetTable":[[{"brokerName":"b","queueId":1,"topic":"T"},7]]}"#,
            r#"{"offsetTable":[{"brokerName":"b","offset":7,"queueId":1,"topic":"T"}]}"#,
        ] {
            assert_eq!(fastjson::from_slice::<ResetOffsetBody>(text.as_bytes()).unwrap(), body, "{text}");
        }
        assert!(fastjson::from_slice::<ResetOffsetBody>(br#"{"offsetTable":[1]}"#).is_err());
        assert!(fastjson::from_slice::<ResetOffsetBody>(br#"{"offsetTable":3}"#).is_err());
    }

    #[test]
    fn running_info_round_trips_with_apaches_names() {
        let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 1 };
        let mut info = ConsumerRunningInfo::default();
        info.mq_table.insert(queue, ProcessQueueInfo { cached_msg_size_in_mi_b: 3, ..Default::default() });
        info.status_table.insert("T".into(), ConsumeStatus { consume_ok_tps: 1.5, ..Default::default() });
        let text = info.to_body().unwrap();
        assert!(
            text.contains(r#""cachedMsgSizeInMiB":3"#) && text.contains(r#""consumeOKTPS":1.5"#),
            "{text}"
        );
        assert_eq!(fastjson::from_slice::<ConsumerRunningInfo>(text.as_bytes()).unwrap(), info);
    }
}
