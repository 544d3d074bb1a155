//! Headers of pulling, offsets and group membership.

use super::header;

/// Bits of [`PullMessageRequest::sys_flag`] (`PullSysFlag`).
pub mod pull_flag {
    /// Commit `commitOffset` now.
    pub const COMMIT_OFFSET: i32 = 1;
    /// The broker may hold the request until a message arrives.
    pub const SUSPEND: i32 = 2;
    /// The subscription text is in the request.
    pub const SUBSCRIPTION: i32 = 4;
    /// Class filter, obsolete.
    pub const CLASS_FILTER: i32 = 8;
    /// Pull by a pull consumer.
    pub const LITE_PULL: i32 = 16;
}

header! {
    /// PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361) (`PullMessageRequestHeader`).
    PullMessageRequest<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        queue_offset: i64 = "queueOffset",
        max_msg_nums: i32 = "maxMsgNums",
        sys_flag: i32 = "sysFlag",
        commit_offset: i64 = "commitOffset",
        suspend_timeout_millis: i64 = "suspendTimeoutMillis",
        subscription: Option<&'a str> = "subscription",
        sub_version: i64 = "subVersion",
        expression_type: Option<&'a str> = "expressionType",
        max_msg_bytes: Option<i32> = "maxMsgBytes",
    }
}

header! {
    /// Answer to a pull; all four fields stand in every answer, found or not (`PullMessageResponseHeader`).
    PullMessageResponse {
        suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        next_begin_offset: i64 = "nextBeginOffset",
        min_offset: i64 = "minOffset",
        max_offset: i64 = "maxOffset",
    }
}

header! {
    /// QUERY_CONSUMER_OFFSET (14).
    QueryConsumerOffsetRequest<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }
}

header! {
    /// UPDATE_CONSUMER_OFFSET (15).
    UpdateConsumerOffsetRequest<'a> {
        consumer_group: &'a str = "consumerGroup",
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        commit_offset: i64 = "commitOffset",
    }
}

header! {
    /// An answer that is one offset (14, 29, 30, 31).
    OffsetResponse {
        offset: i64 = "offset",
    }
}

header! {
    /// A request about one queue: GET_MAX_OFFSET (30), GET_MIN_OFFSET (31), GET_EARLIEST_MSG_STORETIME (32).
    QueueRequest<'a> {
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
    }
}

header! {
    /// SEARCH_OFFSET_BY_TIMESTAMP (29).
    SearchOffsetRequest<'a> {
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        timestamp: i64 = "timestamp",
        /// `lower` (default) or `upper`, in any case.
        boundary_type: Option<&'a str> = "boundaryType",
    }
}

header! {
    /// Answer to GET_EARLIEST_MSG_STORETIME (32); -1 if there is no message.
    TimestampResponse {
        timestamp: i64 = "timestamp",
    }
}

header! {
    /// UNREGISTER_CLIENT (35).
    UnregisterClientRequest<'a> {
        client_id: &'a str = "clientID",
        producer_group: Option<&'a str> = "producerGroup",
        consumer_group: Option<&'a str> = "consumerGroup",
    }
}

header! {
    /// A request about one consumer group: GET_CONSUMER_LIST_BY_GROUP (38), NOTIFY_CONSUMER_IDS_CHANGED (40),
    /// GET_CONSUMER_CONNECTION_LIST (203).
    ConsumerGroupRequest<'a> {
        consumer_group: &'a str = "consumerGroup",
    }
}

header! {
    /// GET_CONSUMER_RUNNING_INFO (307), broker to consumer and admin to broker.
    ConsumerRunningInfoRequest<'a> {
        consumer_group: &'a str = "consumerGroup",
        client_id: &'a str = "clientId",
        jstack_enable: Option<bool> = "jstackEnable",
    }
}

header! {
    /// RESET_CONSUMER_CLIENT_OFFSET (220) and INVOKE_BROKER_TO_RESET_OFFSET (222).
    ResetOffsetRequest<'a> {
        topic: &'a str = "topic",
        group: &'a str = "group",
        timestamp: i64 = "timestamp",
        is_force: Option<bool> = "isForce",
        queue_id: Option<i32> = "queueId",
        offset: Option<i64> = "offset",
    }
}

header! {
    /// GET_CONSUMER_STATUS_FROM_CLIENT (221) and INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223).
    ConsumerStatusRequest<'a> {
        topic: &'a str = "topic",
        group: &'a str = "group",
        /// Client id of the one consumer that is asked; absent for all.
        client_addr: Option<&'a str> = "clientAddr",
    }
}
