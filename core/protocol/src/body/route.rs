//! Where a topic lives: the answer to GET_ROUTEINFO_BY_TOPIC (`TopicRouteData`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Routes of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct TopicRoute {
    pub broker_datas: Vec<BrokerData>,
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    pub queue_datas: Vec<QueueData>,
}

/// The addresses of one broker name; id 0 is the master.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct BrokerData {
    pub broker_addrs: BTreeMap<i64, String>,
    pub broker_name: String,
    pub cluster: String,
    pub enable_acting_master: bool,
}

/// The queues of a topic on one broker name.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct QueueData {
    pub broker_name: String,
    pub perm: i32,
    pub read_queue_nums: i32,
    pub topic_sys_flag: i32,
    pub write_queue_nums: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fastjson;

    #[test]
    fn routes_with_and_without_quoted_ids_are_read() {
        for ids in [r#"{0:"h:1",1:"h:2"}"#, r#"{"0":"h:1","1":"h:2"}"#] {
            let text = format!(
                r#"{{"brokerDatas":[{{"brokerAddrs":{ids},"brokerName":"b","cluster":"C"}}],"queueDatas":[{{"brokerName":"b","perm":6,"readQueueNums":4,"writeQueueNums":4}}]}}"#
            );
            let route: TopicRoute = fastjson::from_slice(text.as_bytes()).unwrap();
            assert_eq!(route.broker_datas[0].broker_addrs[&1], "h:2");
        }
    }
}
