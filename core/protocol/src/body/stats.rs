//! Offsets of queues as admin tools ask for them; their maps have message queues as keys.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use super::MessageQueue;
use crate::fastjson;

/// Offsets of one queue (`TopicOffset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct TopicOffset {
    pub last_update_timestamp: i64,
    pub max_offset: i64,
    pub min_offset: i64,
}

/// Answer to GET_TOPIC_STATS_INFO (`TopicStatsTable`).
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct TopicStats {
    #[serde(deserialize_with = "queue_map")]
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
    pub topic_put_tps: f64,
}

/// Offsets of a group in one queue (`OffsetWrapper`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct OffsetWrapper {
    pub broker_offset: i64,
    pub consumer_offset: i64,
    pub last_timestamp: i64,
    pub pull_offset: i64,
}

/// Answer to GET_CONSUME_STATS (`ConsumeStats`).
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumeStats {
    pub consume_tps: f64,
    #[serde(deserialize_with = "queue_map")]
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
}

impl TopicStats {
    /// The body as fastjson writes it.
    ///
    /// # Errors
    /// Never for these types; the JSON writer's signature has it.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        let table = fastjson::to_object_key_map(&self.offset_table)?;
        let tps = serde_json::to_string(&self.topic_put_tps)?;
        Ok(format!(r#"{{"offsetTable":{table},"topicPutTps":{tps}}}"#))
    }
}

impl ConsumeStats {
    /// The body as fastjson writes it.
    ///
    /// # Errors
    /// Never for these types; the JSON writer's signature has it.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        let table = fastjson::to_object_key_map(&self.offset_table)?;
        let tps = serde_json::to_string(&self.consume_tps)?;
        Ok(format!(r#"{{"consumeTps":{tps},"offsetTable":{table}}}"#))
    }
}

/// Reads a map whose keys are message queues in JSON, after [`fastjson::normalize`] made them strings.
pub(super) fn queue_map<'de, D: Deserializer<'de>, V: DeserializeOwned>(
    deserializer: D,
) -> Result<BTreeMap<MessageQueue, V>, D::Error> {
    queue_map_text(BTreeMap::<String, V>::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Parses the keys of such a map.
pub(super) fn queue_map_text<V>(
    texts: BTreeMap<String, V>,
) -> Result<BTreeMap<MessageQueue, V>, serde_json::Error> {
    texts.into_iter().map(|(key, value)| Ok((serde_json::from_str(&key)?, value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_with_object_keys_round_trip() {
        let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 1 };
        let mut stats = TopicStats::default();
        stats
            .offset_table
            .insert(queue, TopicOffset { last_update_timestamp: 3, max_offset: 2, min_offset: 1 });
        let text = stats.to_body().unwrap();
        assert!(text.starts_with(r#"{"offsetTable":{{"topic":"T","#), "{text}");
        assert_eq!(fastjson::from_slice::<TopicStats>(text.as_bytes()).unwrap(), stats);
    }
}
