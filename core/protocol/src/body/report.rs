//! What admin tools ask a broker about its groups, queues and counters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stats::queue_map_text;
use super::{ConsumeStats, MessageQueue, SubscriptionData, lenient};
use crate::fastjson;

/// Times of one queue's messages in milliseconds since the epoch (`QueueTimeSpan`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct QueueTimeSpan {
    pub consume_time_stamp: i64,
    /// How long the next message has waited, in milliseconds; 0 if there is none.
    pub delay_time: i64,
    pub max_time_stamp: i64,
    pub message_queue: MessageQueue,
    pub min_time_stamp: i64,
}

/// Answer to QUERY_CONSUME_TIME_SPAN (`QueryConsumeTimeSpanBody`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumeTimeSpans {
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// A replica's connection to its master (`HAConnectionRuntimeInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ReplicaStatus {
    pub addr: String,
    /// Bytes of the log that the replica lacks.
    pub diff: i64,
    pub in_sync: bool,
    pub slave_ack_offset: i64,
    pub transfer_from_where: i64,
    pub transferred_byte_in_second: i64,
}

/// What a broker that is a replica itself knows of its master (`HAClientRuntimeInfo`); all 0 on a master.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct MasterStatus {
    pub last_read_timestamp: i64,
    pub last_write_timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_addr: Option<String>,
    pub master_flush_offset: i64,
    pub max_offset: i64,
    pub transferred_byte_in_second: i64,
}

/// Answer to GET_BROKER_HA_STATUS (`HARuntimeInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct HaStatus {
    pub ha_client_runtime_info: MasterStatus,
    pub ha_connection_info: Vec<ReplicaStatus>,
    pub in_sync_slave_nums: i32,
    pub master: bool,
    pub master_commit_log_max_offset: i64,
}

/// One counter over some time (`BrokerStatsItem`).
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct BrokerStatsItem {
    /// Average of one event.
    pub avgpt: f64,
    pub sum: i64,
    /// Per second.
    pub tps: f64,
}

/// Answer to VIEW_BROKER_STATS_DATA (`BrokerStatsData`).
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct BrokerStatsData {
    pub stats_day: BrokerStatsItem,
    pub stats_hour: BrokerStatsItem,
    pub stats_minute: BrokerStatsItem,
}

/// Answer to GET_BROKER_CONSUME_STATS (`ConsumeStatsList`).
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumeStatsList {
    pub broker_addr: String,
    /// One map with one group each; a group has one entry a topic.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    pub total_diff: i64,
    pub total_inflight_diff: i64,
}

impl ConsumeStatsList {
    /// The body as fastjson writes it.
    ///
    /// # Errors
    /// Never for these types; the JSON writer's signature has it.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        let mut groups = Vec::new();
        for (group, topics) in self.consume_stats_list.iter().flatten() {
            let topics = topics.iter().map(ConsumeStats::to_body).collect::<Result<Vec<_>, _>>()?;
            groups.push(format!("{{{}:[{}]}}", serde_json::to_string(group)?, topics.join(",")));
        }
        Ok(format!(
            r#"{{"brokerAddr":{},"consumeStatsList":[{}],"totalDiff":{},"totalInflightDiff":{}}}"#,
            serde_json::to_string(&self.broker_addr)?,
            groups.join(","),
            self.total_diff,
            self.total_inflight_diff,
        ))
    }
}

/// One entry of a consume queue (`ConsumeQueueData`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumeQueueData {
    pub eval: bool,
    pub physic_offset: i64,
    pub physic_size: i32,
    pub tags_code: i64,
}

/// Answer to QUERY_CONSUME_QUEUE (`QueryConsumeQueueResponseBody`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumeQueueDump {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    pub max_queue_index: i64,
    pub min_queue_index: i64,
    #[serde(deserialize_with = "lenient::null_default")]
    pub queue_data: Vec<ConsumeQueueData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
}

/// One producer in the answer to GET_ALL_PRODUCER_INFO (`ProducerInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ProducerInfo {
    pub client_id: String,
    pub language: String,
    /// Milliseconds since the epoch.
    pub last_update_timestamp: i64,
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    pub version: i32,
}

/// Answer to GET_ALL_PRODUCER_INFO: the members of each producer group (`ProducerTableInfo`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ProducerTable {
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// Answer to UPDATE_AND_GET_GROUP_FORBIDDEN (`GroupForbidden`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct GroupForbidden {
    pub group: String,
    pub readable: bool,
    pub topic: String,
}

/// Answer to QUERY_SUBSCRIPTION_BY_CONSUMER (`QuerySubscriptionResponseBody`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct GroupSubscription {
    pub group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    pub topic: String,
}

/// Answer to QUERY_CORRECTION_OFFSET: queue → offset (`QueryCorrectionOffsetBody`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct CorrectionOffsets {
    pub correction_offsets: BTreeMap<i32, i64>,
}

/// Answer to INVOKE_BROKER_TO_GET_CONSUMER_STATUS: client id → queue → offset (`GetConsumerStatusBody`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumerStatusTable {
    pub consumer_table: BTreeMap<String, BTreeMap<MessageQueue, i64>>,
}

impl ConsumerStatusTable {
    /// The body as fastjson writes it.
    ///
    /// # Errors
    /// Never for these types; the JSON writer's signature has it.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        let clients = self.consumer_table.iter().map(|(client, offsets)| {
            Ok(format!("{}:{}", serde_json::to_string(client)?, fastjson::to_object_key_map(offsets)?))
        });
        let clients = clients.collect::<Result<Vec<_>, serde_json::Error>>()?;
        Ok(format!(r#"{{"consumerTable":{{{}}},"messageQueueTable":{{}}}}"#, clients.join(",")))
    }

    /// Reads the body.
    ///
    /// # Errors
    /// The text has another shape.
    pub fn from_body(text: &[u8]) -> Result<ConsumerStatusTable, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            #[serde(default)]
            consumer_table: BTreeMap<String, BTreeMap<String, i64>>,
        }
        let wire: Wire = fastjson::from_slice(text)?;
        let clients = wire.consumer_table.into_iter();
        let table = clients.map(|(client, offsets)| Ok((client, queue_map_text(offsets)?)));
        Ok(ConsumerStatusTable { consumer_table: table.collect::<Result<_, serde_json::Error>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::OffsetWrapper;

    #[test]
    fn nested_maps_with_object_keys_round_trip() {
        let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 1 };
        let status = ConsumerStatusTable {
            consumer_table: BTreeMap::from([("c\"1".into(), BTreeMap::from([(queue.clone(), 7)]))]),
        };
        let text = status.to_body().unwrap();
        assert!(text.starts_with(r#"{"consumerTable":{"c\"1":{{"#), "{text}");
        assert_eq!(ConsumerStatusTable::from_body(text.as_bytes()).unwrap(), status);

        let mut stats = ConsumeStats::default();
        stats.offset_table.insert(queue, OffsetWrapper { broker_offset: 9, ..OffsetWrapper::default() });
        let list = ConsumeStatsList {
            broker_addr: "h:1".into(),
            consume_stats_list: vec![BTreeMap::from([("g".into(), vec![stats])])],
            total_diff: 9,
            total_inflight_diff: 0,
        };
        let text = list.to_body().unwrap();
        assert_eq!(fastjson::from_slice::<ConsumeStatsList>(text.as_bytes()).unwrap(), list);
    }
}
