//! Each JSON body, as fastjson writes and accepts it: what is read can be written, and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mq_protocol::body::*;
use mq_protocol::fastjson;
use serde_json::Value;

/// Bodies that serde writes.
macro_rules! round {
    ($data:expr, $($name:ident),* $(,)?) => {$(
        if let Ok(body) = fastjson::from_slice::<$name>($data) {
            let written = serde_json::to_vec(&body).expect("a body can be written");
            assert_same(&fastjson::from_slice::<$name>(&written), &body);
        }
    )*};
}

/// Bodies whose maps have objects as keys, which serde does not write.
macro_rules! round_objects {
    ($data:expr, $($name:ident),* $(,)?) => {$(
        if let Ok(body) = fastjson::from_slice::<$name>($data) {
            let written = body.to_body().expect("a body can be written");
            assert_same(&fastjson::from_slice::<$name>(written.as_bytes()), &body);
        }
    )*};
}

fn assert_same<T: std::fmt::Debug>(again: &Result<T, serde_json::Error>, body: &T) {
    // As text: numbers that are none are not equal to themselves.
    assert_eq!(
        again.as_ref().map(|again| format!("{again:?}")).map_err(ToString::to_string),
        Ok(format!("{body:?}"))
    );
}

fuzz_target!(|data: &[u8]| {
    round!(
        data,
        MessageQueue,
        DataVersion,
        ClusterInfo,
        RegisterBrokerBody,
        KvTable,
        TopicList,
        BrokerMemberGroupBody,
        BrokerMemberGroup,
        HeartbeatData,
        ConsumerIdList,
        LockBatchBody,
        LockOkBody,
        GroupConfig,
        GroupTable,
        GroupConfigList,
        CheckClientBody,
        ConsumerConnections,
        ProducerConnections,
        GroupList,
        ConsumeTimeSpans,
        BrokerStatsData,
        ConsumeQueueDump,
        ProducerTable,
        GroupForbidden,
        GroupSubscription,
        CorrectionOffsets,
        TopicRoute,
        ProcessQueueInfo,
        ConsumeStatus,
        ConsumeDirectlyResult,
        TopicConfig,
        TopicTable,
        TopicConfigList
    );
    round_objects!(data, ResetOffsetBody, ConsumerStatusBody, ConsumerRunningInfo, TopicStats, ConsumeStats);
    let _ = fastjson::from_slice::<ConsumeStatsList>(data);
    // Strict JSON must survive what makes fastjson's text strict.
    if let Ok(strict) = serde_json::from_slice::<Value>(data) {
        assert_eq!(fastjson::from_slice::<Value>(data).expect("strict JSON is fastjson's too"), strict);
    }
});
