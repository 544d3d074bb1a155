//! What brokers and admin tools ask of a running pull consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use mq_protocol::body::{
    ConsumerData, ConsumerRunningInfo, ConsumerStatusBody, ProcessQueueInfo, ResetOffsetBody,
};
use mq_protocol::fastjson;

use super::Inner;
use crate::{ConsumeFrom, Error, ErrorCode};

impl Inner {
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn subscribes(&self, topic: &str) -> bool {
        self.wish.lock().topics().any(|own| own == topic)
    }

    pub(crate) fn heartbeat(&self) -> ConsumerData {
        let from = match self.config.consume_from_where {
            ConsumeFrom::Last => "CONSUME_FROM_LAST_OFFSET",
            ConsumeFrom::First => "CONSUME_FROM_FIRST_OFFSET",
            ConsumeFrom::Timestamp => "CONSUME_FROM_TIMESTAMP",
        };
        ConsumerData {
            group_name: self.group.clone(),
            consume_type: "CONSUME_ACTIVELY".to_owned(),
            message_model: if self.config.is_broadcasting() { "BROADCASTING" } else { "CLUSTERING" }
                .to_owned(),
            consume_from_where: from.to_owned(),
            subscription_data_set: self.wish.lock().subscriptions().map(|s| s.data()).collect(),
            unit_mode: self.client.config.unit_mode,
        }
    }

    /// NOTIFY_CONSUMER_IDS_CHANGED (40).
    pub(crate) fn members_changed(&self) {
        self.rebalance.notify_one();
    }

    /// RESET_CONSUMER_CLIENT_OFFSET (220): the queues named go on at the offsets given.
    pub(crate) fn reset_offsets(self: &Arc<Self>, body: &Bytes) {
        let table = match fastjson::from_slice::<ResetOffsetBody>(body) {
            Ok(body) => body.offset_table,
            Err(error) => {
                tracing::warn!(group = self.group, %error, "offsets not reset: the broker's table cannot be read");
                return;
            }
        };
        let consumer = self.clone();
        self.tasks.spawn(async move {
            for (queue, offset) in table {
                let held = consumer.queues.lock().get(&queue).cloned();
                let Some(held) = held else { continue };
                let (topic, id) = (&queue.topic, queue.queue_id);
                tracing::info!(group = consumer.group, topic, queue = id, offset, "offset reset");
                consumer.seek(&held, offset);
                if let Err(error) = consumer.offsets.commit(&queue, offset).await {
                    tracing::warn!(group = consumer.group, topic, queue = id, offset, %error, "offset not set");
                }
            }
        });
    }

    /// GET_CONSUMER_STATUS_FROM_CLIENT (221): consumed offsets of a topic.
    pub(crate) fn status_body(&self, topic: &str) -> Result<String, Error> {
        let queues = self.queues.lock();
        let offsets = queues.iter().filter(|(queue, _)| queue.topic == topic);
        let table = offsets.filter_map(|(queue, held)| Some((queue.clone(), held.position()?))).collect();
        ConsumerStatusBody { message_queue_table: table }.to_body().map_err(|error| internal(&error))
    }

    /// GET_CONSUMER_RUNNING_INFO (307).
    pub(crate) fn running_info_body(&self) -> Result<String, Error> {
        let mut info = ConsumerRunningInfo {
            subscription_set: self.wish.lock().subscriptions().map(|s| s.data()).collect(),
            ..ConsumerRunningInfo::default()
        };
        for (queue, held) in self.queues.lock().iter() {
            let figures = held.held();
            let load = |value: &AtomicI64| value.load(Ordering::Relaxed);
            let queue_info = ProcessQueueInfo {
                commit_offset: held.position().unwrap_or(-1),
                cached_msg_min_offset: figures.oldest,
                cached_msg_max_offset: figures.newest,
                cached_msg_count: i32::try_from(figures.load.messages).unwrap_or(i32::MAX),
                cached_msg_size_in_mi_b: i32::try_from(figures.load.bytes >> 20).unwrap_or(i32::MAX),
                droped: held.is_dropped(),
                last_pull_timestamp: load(&held.last_pull),
                last_consume_timestamp: load(&held.last_poll),
                ..ProcessQueueInfo::default()
            };
            info.mq_table.insert(queue.clone(), queue_info);
        }
        for (key, value) in [
            ("PROP_NAMESERVER_ADDR", self.client.namesrv.names()),
            ("PROP_CONSUMEORDERLY", "false".to_owned()),
            ("PROP_CONSUME_TYPE", "CONSUME_ACTIVELY".to_owned()),
            ("PROP_CLIENT_VERSION", "V5_3_3".to_owned()),
            ("PROP_CONSUMER_START_TIMESTAMP", self.started_at.to_string()),
        ] {
            info.properties.insert(key.to_owned(), value);
        }
        info.to_body().map_err(|error| internal(&error))
    }
}

fn internal(error: &serde_json::Error) -> Error {
    Error::new(ErrorCode::Internal, format!("writing JSON: {error}"))
}
