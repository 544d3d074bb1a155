//! Members and settings of groups: heartbeats, connections, subscription group settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::{DataVersion, MessageQueue, lenient};

const CONSUME_TYPES: [&str; 3] = ["CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP"];
const MESSAGE_MODELS: [&str; 2] = ["BROADCASTING", "CLUSTERING"];
const CONSUME_FROM_WHERE: [&str; 6] = [
    "CONSUME_FROM_LAST_OFFSET",
    "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
    "CONSUME_FROM_MIN_OFFSET",
    "CONSUME_FROM_MAX_OFFSET",
    "CONSUME_FROM_FIRST_OFFSET",
    "CONSUME_FROM_TIMESTAMP",
];

fn consume_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    lenient::name(deserializer, &CONSUME_TYPES)
}

fn message_model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    lenient::name(deserializer, &MESSAGE_MODELS)
}

fn consume_from_where<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    lenient::name(deserializer, &CONSUME_FROM_WHERE)
}

/// Body of HEART_BEAT (`HeartbeatData`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct HeartbeatData {
    #[serde(rename = "clientID")]
    pub client_id: String,
    #[serde(deserialize_with = "lenient::null_default")]
    pub consumer_data_set: Vec<ConsumerData>,
    #[serde(skip_serializing_if = "is_zero")]
    pub heartbeat_fingerprint: i32,
    #[serde(deserialize_with = "lenient::null_default")]
    pub producer_data_set: Vec<ProducerData>,
    #[serde(skip_serializing_if = "is_false")]
    pub without_sub: bool,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A producer group in a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ProducerData {
    pub group_name: String,
}

/// A consumer group in a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumerData {
    #[serde(deserialize_with = "consume_from_where")]
    pub consume_from_where: String,
    #[serde(deserialize_with = "consume_type")]
    pub consume_type: String,
    pub group_name: String,
    #[serde(deserialize_with = "message_model")]
    pub message_model: String,
    #[serde(deserialize_with = "lenient::null_default")]
    pub subscription_data_set: Vec<SubscriptionData>,
    #[serde(deserialize_with = "lenient::boolean")]
    pub unit_mode: bool,
}

/// What a group wants of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct SubscriptionData {
    #[serde(deserialize_with = "lenient::boolean")]
    pub class_filter_mode: bool,
    #[serde(deserialize_with = "lenient::numbers")]
    pub code_set: Vec<i32>,
    #[serde(deserialize_with = "lenient::null_default")]
    pub expression_type: String,
    #[serde(deserialize_with = "lenient::null_default")]
    pub sub_string: String,
    #[serde(deserialize_with = "lenient::number")]
    pub sub_version: i64,
    #[serde(deserialize_with = "lenient::null_default")]
    pub tags_set: Vec<String>,
    pub topic: String,
}

/// Answer to GET_CONSUMER_LIST_BY_GROUP.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumerIdList {
    #[serde(deserialize_with = "lenient::null_default")]
    pub consumer_id_list: Vec<String>,
}

/// Body of LOCK_BATCH_MQ and UNLOCK_BATCH_MQ.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct LockBatchBody {
    pub client_id: String,
    pub consumer_group: String,
    #[serde(deserialize_with = "lenient::null_default")]
    pub mq_set: Vec<MessageQueue>,
    pub only_this_broker: bool,
}

/// Answer to LOCK_BATCH_MQ.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct LockOkBody {
    #[serde(rename = "lockOKMQSet", deserialize_with = "lenient::null_default")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}

/// Settings of a consumer group (`SubscriptionGroupConfig`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct GroupConfig {
    pub attributes: BTreeMap<String, String>,
    pub broker_id: i64,
    pub consume_broadcast_enable: bool,
    pub consume_enable: bool,
    pub consume_from_min_enable: bool,
    pub consume_message_orderly: bool,
    pub consume_timeout_minute: i32,
    pub group_name: String,
    pub group_retry_policy: serde_json::Value,
    pub group_sys_flag: i32,
    pub notify_consumer_ids_changed_enable: bool,
    pub retry_max_times: i32,
    pub retry_queue_nums: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<serde_json::Value>,
    pub which_broker_when_consume_slowly: i64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            attributes: BTreeMap::new(),
            broker_id: 0,
            consume_broadcast_enable: true,
            consume_enable: true,
            consume_from_min_enable: true,
            consume_message_orderly: false,
            consume_timeout_minute: 15,
            group_name: String::new(),
            group_retry_policy: serde_json::json!({ "type": "CUSTOMIZED" }),
            group_sys_flag: 0,
            notify_consumer_ids_changed_enable: true,
            retry_max_times: 16,
            retry_queue_nums: 1,
            subscription_data_set: None,
            which_broker_when_consume_slowly: 1,
        }
    }
}

/// All groups of a broker (`SubscriptionGroupWrapper`).
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct GroupTable {
    pub data_version: DataVersion,
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    pub subscription_group_table: BTreeMap<String, GroupConfig>,
}

/// Body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (`SubscriptionGroupList`).
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct GroupConfigList {
    pub group_config_list: Vec<GroupConfig>,
}

/// Body of CHECK_CLIENT_CONFIG (`CheckClientRequestBody`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct CheckClientBody {
    pub client_id: String,
    pub group: String,
    pub namespace: Option<String>,
    pub subscription_data: SubscriptionData,
}

/// One connected client in an admin answer (`Connection`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConnectionInfo {
    pub client_addr: String,
    pub client_id: String,
    pub language: String,
    pub version: i32,
}

/// Answer to GET_CONSUMER_CONNECTION_LIST (`ConsumerConnection`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ConsumerConnections {
    pub connection_set: Vec<ConnectionInfo>,
    pub consume_from_where: String,
    pub consume_type: String,
    pub message_model: String,
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// Answer to GET_PRODUCER_CONNECTION_LIST (`ProducerConnection`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct ProducerConnections {
    pub connection_set: Vec<ConnectionInfo>,
}

/// Answer to QUERY_TOPIC_CONSUME_BY_WHO (`GroupList`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct GroupList {
    pub group_list: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fastjson;

    #[test]
    fn heartbeats_of_go_and_cpp_are_read() {
        let text = r#"{"clientID":"c","consumerDataSet":[{"groupName":"g","consumeFromWhere":4,"consumeType":1,
            "messageModel":"CLUSTERING","unitMode":"false","subscriptionDataSet":[{"topic":"T","subString":"a",
            "tagsSet":["a"],"codeSet":["97",-5],"subVersion":"1700000000000","expressionType":null}]}],
            "producerDataSet":null}"#;
        let data: HeartbeatData = fastjson::from_slice(text.as_bytes()).unwrap();
        let group = &data.consumer_data_set[0];
        assert_eq!(group.consume_from_where, "CONSUME_FROM_FIRST_OFFSET");
        assert_eq!(group.consume_type, "CONSUME_PASSIVELY");
        let subscription = &group.subscription_data_set[0];
        assert_eq!((&*subscription.code_set, subscription.sub_version), (&[97, -5][..], 1_700_000_000_000));
        for bad in [r#"{"subVersion":"x"}"#, r#"{"codeSet":["99999999999"]}"#, r#"{"codeSet":3}"#] {
            assert!(fastjson::from_slice::<SubscriptionData>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
