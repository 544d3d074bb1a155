//! The push consumer as its client and brokers see it: heartbeats, and what brokers and admin tools ask.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt;
use mq_protocol::body::{
    ConsumeDirectlyResult, ConsumerData, ConsumerRunningInfo, ConsumerStatusBody, ProcessQueueInfo,
    ResetOffsetBody,
};
use mq_protocol::{Frame, MessageRecord, ResponseCode, fastjson};
use tokio::time::{Instant, timeout};

use super::{ConsumeResult, Inner};
use crate::remoting::Connection;
use crate::{ConsumeFrom, Error, ErrorCode, MessageView};

/// Listener calls that the diagnostic text names.
const SHOWN_CALLS: usize = 100;

impl Inner {
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn subscribes(&self, topic: &str) -> bool {
        self.subscriptions.lock().contains_key(topic)
    }

    pub(crate) fn heartbeat(&self) -> ConsumerData {
        let from = match self.config.consume_from_where {
            ConsumeFrom::Last => "CONSUME_FROM_LAST_OFFSET",
            ConsumeFrom::First => "CONSUME_FROM_FIRST_OFFSET",
            ConsumeFrom::Timestamp => "CONSUME_FROM_TIMESTAMP",
        };
        let model = if self.config.is_broadcasting() { "BROADCASTING" } else { "CLUSTERING" };
        ConsumerData {
            group_name: self.group.clone(),
            consume_type: "CONSUME_PASSIVELY".to_owned(),
            message_model: model.to_owned(),
            consume_from_where: from.to_owned(),
            subscription_data_set: self.subscribed().iter().map(|s| s.data()).collect(),
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
            let _turn = consumer.rebalancing.lock().await;
            for (queue, offset) in table {
                let held = consumer.queues.lock().get(&queue).cloned();
                if let Some(held) = held {
                    let (topic, id) = (&queue.topic, queue.queue_id);
                    tracing::info!(group = consumer.group, topic, queue = id, offset, "offset reset");
                    consumer.restart_at(held, offset).await;
                }
            }
            consumer.rebalance.notify_one();
        });
    }

    /// GET_CONSUMER_STATUS_FROM_CLIENT (221): consumed offsets of a topic.
    pub(crate) fn status_body(&self, topic: &str) -> Result<String, Error> {
        let queues = self.queues.lock();
        let offsets = queues.iter().filter(|(queue, _)| queue.topic == topic);
        let table = offsets.map(|(queue, held)| (queue.clone(), held.commit_offset())).collect();
        ConsumerStatusBody { message_queue_table: table }.to_body().map_err(|error| internal(&error))
    }

    /// GET_CONSUMER_RUNNING_INFO (307); `stacks` asks for what runs just now, too.
    pub(crate) fn running_info_body(&self, stacks: bool) -> Result<String, Error> {
        let subscribed = self.subscribed();
        let mut info = ConsumerRunningInfo {
            subscription_set: subscribed.iter().map(|s| s.data()).collect(),
            jstack: stacks.then(|| self.calls_text()),
            ..ConsumerRunningInfo::default()
        };
        for (queue, held) in self.queues.lock().iter() {
            let figures = held.held();
            let queue_info = ProcessQueueInfo {
                commit_offset: held.commit_offset(),
                cached_msg_min_offset: figures.oldest,
                cached_msg_max_offset: figures.newest,
                cached_msg_count: i32::try_from(figures.messages).unwrap_or(i32::MAX),
                cached_msg_size_in_mi_b: i32::try_from(figures.bytes >> 20).unwrap_or(i32::MAX),
                locked: held.last_lock() > 0 && held.has_lease(),
                last_lock_timestamp: held.last_lock(),
                droped: held.is_dropped(),
                last_pull_timestamp: held.last_pull.load(Ordering::Relaxed),
                last_consume_timestamp: held.last_consume.load(Ordering::Relaxed),
                ..ProcessQueueInfo::default()
            };
            info.mq_table.insert(queue.clone(), queue_info);
        }
        for subscription in subscribed {
            info.status_table.insert(subscription.topic.clone(), subscription.stats.status());
        }
        info.properties = self.config.values().map(|(name, value)| (name.to_owned(), value)).collect();
        for (key, value) in [
            ("PROP_NAMESERVER_ADDR", self.client.namesrv.names()),
            ("PROP_THREADPOOL_CORE_SIZE", self.ready.workers().to_string()),
            ("PROP_CONSUMEORDERLY", self.config.is_orderly().to_string()),
            ("PROP_CONSUME_TYPE", "CONSUME_PASSIVELY".to_owned()),
            ("PROP_CLIENT_VERSION", "V5_3_3".to_owned()),
            ("PROP_CONSUMER_START_TIMESTAMP", self.started_at.to_string()),
        ] {
            info.properties.insert(key.to_owned(), value);
        }
        info.to_body().map_err(|error| internal(&error))
    }

    /// CONSUME_MESSAGE_DIRECTLY (309): gives one message to the listener and answers what came of it.
    pub(crate) fn consume_directly(self: &Arc<Self>, frame: Frame, from: Arc<Connection>) {
        let Ok(permit) = self.direct_calls.clone().try_acquire_owned() else {
            let busy = Frame::response(&frame, ResponseCode::SYSTEM_BUSY);
            from.reply(&busy.with_remark("too many messages are being consumed directly"));
            return;
        };
        let consumer = self.clone();
        self.tasks.spawn(async move {
            let answer = match consumer.consume_one(&frame).await {
                Ok(result) => match serde_json::to_vec(&result) {
                    Ok(body) => Frame::response(&frame, ResponseCode::SUCCESS).with_body(body),
                    Err(error) => failure(&frame, &internal(&error)),
                },
                Err(error) => failure(&frame, &error),
            };
            from.reply(&answer);
            drop(permit);
        });
    }

    pub(crate) async fn close(&self) {
        self.close_within(self.config.close_timeout).await;
    }

    /// The listener calls that run, the oldest first: what Java shows as stacks of its threads.
    fn calls_text(&self) -> String {
        let calls = self.calls.lock();
        let mut text = format!(
            "{} listener calls run; {} of at most {} workers are there\n",
            calls.len(),
            self.ready.workers(),
            self.config.consume_thread_max
        );
        for call in calls.values().take(SHOWN_CALLS) {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{call}");
        }
        if calls.len() > SHOWN_CALLS {
            let _ = writeln!(text, "and {} more", calls.len() - SHOWN_CALLS);
        }
        text
    }

    async fn consume_one(&self, frame: &Frame) -> Result<ConsumeDirectlyResult, Error> {
        let record = MessageRecord::take(&mut frame.body.clone())
            .map_err(|error| Error::argument(format!("the message cannot be read: {error}")))?
            .ok_or_else(|| Error::argument("the request has no message"))?;
        let broker_name = frame.ext.get("brokerName").unwrap_or_default().into();
        let namespace = &self.client.config.namespace;
        let message = MessageView::open(record, &broker_name, namespace, self.config.max_decompressed_size)
            .map_err(|(_, error)| error)?;
        let started = Instant::now();
        let call = AssertUnwindSafe(async { self.listener.consume(vec![message]).await }).catch_unwind();
        let (consume_result, remark) = match timeout(self.config.consume_timeout, call).await {
            Ok(Ok(ConsumeResult::Success)) => ("CR_SUCCESS", None),
            Ok(Ok(_)) => ("CR_LATER", None),
            Ok(Err(_)) => ("CR_THROW_EXCEPTION", Some("the listener panicked".to_owned())),
            Err(_) => ("CR_LATER", Some("the listener takes too long".to_owned())),
        };
        Ok(ConsumeDirectlyResult {
            auto_commit: true,
            consume_result: consume_result.to_owned(),
            order: self.config.is_orderly(),
            remark,
            spent_time_mills: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
        })
    }
}

pub(crate) fn failure(request: &Frame, error: &Error) -> Frame {
    Frame::response(request, ResponseCode::SYSTEM_ERROR).with_remark(error.to_string())
}

fn internal(error: &serde_json::Error) -> Error {
    Error::new(ErrorCode::Internal, format!("writing JSON: {error}"))
}
