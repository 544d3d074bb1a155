//! Typed headers from any fields: every header is read, and what is read can be written and read again.

#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use mq_protocol::header::*;
use mq_protocol::{ExtFields, Header};

/// Reads a header, writes it, and reads it again.
macro_rules! round {
    ($ext:expr, $($name:ident),* $(,)?) => {$(
        if let Ok(header) = <$name as Header>::read($ext) {
            let mut written = ExtFields::default();
            header.write(&mut written);
            let again = <$name as Header>::read(&written);
            assert_eq!(debug(&again.expect("what we write can be read")), debug(&header));
        }
    )*};
}

fn debug(value: &impl Debug) -> String {
    format!("{value:?}")
}

// Lines of NAME=VALUE.
fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut ext = ExtFields::default();
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        ext.push(name, value);
    }
    round!(
        &ext,
        CreateTopicRequest,
        ConsumeStatsRequest,
        ProducerGroupRequest,
        GroupRequest,
        DeleteGroupRequest,
        ConsumeMessageDirectlyRequest,
        GetBrokerConfigResponse,
        PullMessageRequest,
        PullMessageResponse,
        QueryConsumerOffsetRequest,
        UpdateConsumerOffsetRequest,
        OffsetResponse,
        QueueRequest,
        SearchOffsetRequest,
        TimestampResponse,
        UnregisterClientRequest,
        ConsumerGroupRequest,
        ConsumerRunningInfoRequest,
        ResetOffsetRequest,
        ConsumerStatusRequest,
        GetRouteInfoRequest,
        RegisterBrokerRequest,
        RegisterBrokerResponse,
        BrokerIdentityRequest,
        QueryDataVersionResponse,
        BrokerHeartbeatRequest,
        BrokerMemberGroupRequest,
        PutKvRequest,
        KvKeyRequest,
        KvValueResponse,
        KvNamespaceRequest,
        TopicRequest,
        DeleteTopicRequest,
        ClusterRequest,
        BrokerNameRequest,
        WipeWritePermResponse,
        AddWritePermResponse,
        SendMessageRequest,
        SendMessageResponse,
        SendMsgBackRequest,
        ViewMessageRequest,
        QueryMessageRequest,
        QueryMessageResponse
    );
});
