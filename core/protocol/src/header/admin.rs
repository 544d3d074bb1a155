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
        topic: Option<&'a str> = "topic",
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
