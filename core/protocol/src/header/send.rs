//! Headers of sending and of sending back (`SendMessageRequestHeader`, `ConsumerSendMsgBackRequestHeader`).

use super::header;

header! {
    /// SEND_MESSAGE (10) and SEND_REPLY_MESSAGE (324).
    SendMessageRequest<'a> {
        producer_group: &'a str = "producerGroup",
        topic: &'a str = "topic",
        default_topic: &'a str = "defaultTopic",
        default_topic_queue_nums: i32 = "defaultTopicQueueNums",
        queue_id: i32 = "queueId",
        sys_flag: i32 = "sysFlag",
        born_timestamp: i64 = "bornTimestamp",
        flag: i32 = "flag",
        properties: Option<&'a str> = "properties",
        reconsume_times: Option<i32> = "reconsumeTimes",
        unit_mode: Option<bool> = "unitMode",
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
        batch: Option<bool> = "batch",
    }
}

header! {
    /// SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320) and SEND_REPLY_MESSAGE_V2 (325): one letter a field.
    SendMessageRequestV2<'a> {
        producer_group: &'a str = "a",
        topic: &'a str = "b",
        default_topic: &'a str = "c",
        default_topic_queue_nums: i32 = "d",
        queue_id: i32 = "e",
        sys_flag: i32 = "f",
        born_timestamp: i64 = "g",
        flag: i32 = "h",
        properties: Option<&'a str> = "i",
        reconsume_times: Option<i32> = "j",
        unit_mode: Option<bool> = "k",
        max_reconsume_times: Option<i32> = "l",
        batch: Option<bool> = "m",
    }
}

impl<'a> From<SendMessageRequestV2<'a>> for SendMessageRequest<'a> {
    fn from(v2: SendMessageRequestV2<'a>) -> Self {
        SendMessageRequest {
            producer_group: v2.producer_group,
            topic: v2.topic,
            default_topic: v2.default_topic,
            default_topic_queue_nums: v2.default_topic_queue_nums,
            queue_id: v2.queue_id,
            sys_flag: v2.sys_flag,
            born_timestamp: v2.born_timestamp,
            flag: v2.flag,
            properties: v2.properties,
            reconsume_times: v2.reconsume_times,
            unit_mode: v2.unit_mode,
            max_reconsume_times: v2.max_reconsume_times,
            batch: v2.batch,
        }
    }
}

header! {
    /// Answer to every kind of send (`SendMessageResponseHeader`).
    SendMessageResponse<'a> {
        /// Offset message id; for a batch the ids joined with commas.
        msg_id: &'a str = "msgId",
        queue_id: i32 = "queueId",
        queue_offset: i64 = "queueOffset",
        transaction_id: Option<&'a str> = "transactionId",
        region_id: Option<&'a str> = "MSG_REGION",
        trace_on: Option<bool> = "TRACE_ON",
    }
}

header! {
    /// CONSUMER_SEND_MSG_BACK (36).
    SendMsgBackRequest<'a> {
        /// Commit log offset of the message.
        offset: i64 = "offset",
        group: &'a str = "group",
        /// 0: by the number of retries; below 0: to the dead letters.
        delay_level: i32 = "delayLevel",
        origin_msg_id: Option<&'a str> = "originMsgId",
        origin_topic: Option<&'a str> = "originTopic",
        unit_mode: Option<bool> = "unitMode",
        max_reconsume_times: Option<i32> = "maxReconsumeTimes",
    }
}

header! {
    /// VIEW_MESSAGE_BY_ID (33).
    ViewMessageRequest {
        /// Commit log offset.
        offset: i64 = "offset",
    }
}

header! {
    /// QUERY_MESSAGE (12).
    QueryMessageRequest<'a> {
        topic: &'a str = "topic",
        key: &'a str = "key",
        max_num: i32 = "maxNum",
        begin_timestamp: i64 = "beginTimestamp",
        end_timestamp: i64 = "endTimestamp",
        /// Whether the key is a UNIQ_KEY.
        unique_key_query: Option<bool> = "_UNIQUE_KEY_QUERY",
    }
}

header! {
    /// Answer to QUERY_MESSAGE (12).
    QueryMessageResponse {
        index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }
}
