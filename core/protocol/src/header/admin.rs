//! Headers of the broker's admin requests.

use super::header;

header! {
    /// UPDATE_AND_CREATE_TOPIC (17) (`CreateTopicRequestHeader`).
    CreateTopicRequest<'a> {
        topic: &'a str = "topic",
        default_topic: Option<&'a str> = "defaultTopic",
        read_queue_nums: i32 = "readQueueNums",
        write_queue_nums: i32 = "writeQueueNums",
        perm: i32 = "perm",
        topic_filter_type: Option<&'a str> = "topicFilterType",
        topic_sys_flag: Option<i32> = "topicSysFlag",
        order: Option<bool> = "order",
        /// Edits joined by commas: `+key=value` sets, `-key` removes.
        attributes: Option<&'a str> = "attributes",
    }
}

header! {
    /// GET_CONSUME_STATS (208).
    ConsumeStatsRequest<'a> {
        consumer_group: &'a str = "consumerGroup",
        /// Blank for all topics of the group.
        topic: Option<&'a str> = "topic",
        /// Topics with `;` between, whether the group subscribes to them or not.
        topic_list: Option<&'a str> = "topicList",
    }
}

header! {
    /// A request about a group and a topic: QUERY_CONSUME_TIME_SPAN (303), QUERY_SUBSCRIPTION_BY_CONSUMER (345).
    GroupTopicRequest<'a> {
        group: &'a str = "group",
        topic: &'a str = "topic",
    }
}

header! {
    /// UPDATE_AND_GET_GROUP_FORBIDDEN (353).
    GroupForbiddenRequest<'a> {
        group: &'a str = "group",
        topic: &'a str = "topic",
        /// Absent: nothing is changed.
        readable: Option<bool> = "readable",
    }
}

header! {
    /// CLONE_GROUP_OFFSET (314).
    CloneGroupOffsetRequest<'a> {
        src_group: &'a str = "srcGroup",
        dest_group: &'a str = "destGroup",
        topic: Option<&'a str> = "topic",
        offline: Option<bool> = "offline",
    }
}

header! {
    /// QUERY_CORRECTION_OFFSET (308).
    CorrectionOffsetRequest<'a> {
        /// Groups with `,` between that do not count.
        filter_groups: Option<&'a str> = "filterGroups",
        compare_group: &'a str = "compareGroup",
        topic: &'a str = "topic",
    }
}

header! {
    /// VIEW_BROKER_STATS_DATA (315).
    ViewStatsRequest<'a> {
        stats_name: &'a str = "statsName",
        stats_key: &'a str = "statsKey",
    }
}

header! {
    /// GET_BROKER_CONSUME_STATS (317).
    BrokerConsumeStatsRequest {
        is_order: bool = "isOrder",
    }
}

header! {
    /// QUERY_CONSUME_QUEUE (321).
    ConsumeQueueRequest<'a> {
        topic: &'a str = "topic",
        queue_id: i32 = "queueId",
        index: i64 = "index",
        count: i32 = "count",
        consumer_group: Option<&'a str> = "consumerGroup",
    }
}

header! {
    /// GET_PRODUCER_CONNECTION_LIST (204).
    ProducerGroupRequest<'a> {
        producer_group: &'a str = "producerGroup",
    }
}

header! {
    /// GET_SUBSCRIPTIONGROUP_CONFIG (352).
    GroupRequest<'a> {
        group: &'a str = "group",
    }
}

header! {
    /// DELETE_SUBSCRIPTIONGROUP (207).
    DeleteGroupRequest<'a> {
        group_name: &'a str = "groupName",
        clean_offset: Option<bool> = "cleanOffset",
        remove_offset: Option<bool> = "removeOffset",
    }
}

header! {
    /// CONSUME_MESSAGE_DIRECTLY (309).
    ConsumeMessageDirectlyRequest<'a> {
        consumer_group: &'a str = "consumerGroup",
        client_id: Option<&'a str> = "clientId",
        msg_id: Option<&'a str> = "msgId",
        broker_name: Option<&'a str> = "brokerName",
        topic: Option<&'a str> = "topic",
    }
}

header! {
    /// Answer to GET_BROKER_CONFIG (26); the version is a DataVersion in JSON.
    GetBrokerConfigResponse<'a> {
        version: &'a str = "version",
    }
}
