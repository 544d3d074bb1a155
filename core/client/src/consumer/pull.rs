//! The loop that pulls one queue: long polling, flow control, and what each answer of the broker means.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mq_protocol::header::{PullMessageRequest, PullMessageResponse, pull_flag};
use mq_protocol::{Frame, MessageRecord, RequestCode, ResponseCode};
use tokio::time::{Instant, sleep};

use super::Inner;
use super::process_queue::ProcessQueue;
use super::subscription::Subscription;
use crate::message::now_millis;
use crate::remoting::refusal;
use crate::view::split_inner_batch;
use crate::{Error, MessageView};

const MEBIBYTE: usize = 1024 * 1024;
/// Pause after a broker said FLOW_CONTROL (`PULL_TIME_DELAY_MILLS_WHEN_BROKER_FLOW_CONTROL`).
const FLOW_CONTROL_PAUSE: Duration = Duration::from_millis(20);
/// A broker that finds nothing holds the pull; one that answers sooner than this is asked a little later.
const QUICK: Duration = Duration::from_millis(10);
/// How often a suspended consumer or a full cache is looked at although nothing told of a change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Pulls until the queue is dropped or goes on under another subscription, which ends this task from outside.
pub(crate) async fn pull(
    consumer: Arc<Inner>,
    queue: Arc<ProcessQueue>,
    subscription: Arc<Subscription>,
    start: i64,
) {
    let broker_id = AtomicI64::new(0);
    let mut next = start;
    let mut failures: u32 = 0;
    while !queue.is_dropped() {
        room(&consumer, &queue).await;
        queue.last_pull.store(now_millis(), Ordering::Relaxed);
        match once(&consumer, &queue, &subscription, next, &broker_id).await {
            Ok(Pulled::Next(offset)) => {
                next = offset;
                if std::mem::take(&mut failures) > 0 {
                    let (topic, id) = (&queue.queue.topic, queue.queue.queue_id);
                    tracing::info!(group = consumer.group, topic, queue = id, "pulling works again");
                }
            }
            Ok(Pulled::Moved(offset)) => {
                let (topic, id) = (&queue.queue.topic, queue.queue.queue_id);
                tracing::warn!(
                    group = consumer.group,
                    topic,
                    queue = id,
                    asked = next,
                    moved = offset,
                    "offset is outside the queue"
                );
                // Ends this task and starts another at the new place.
                consumer.restart_queue(queue, offset);
                return;
            }
            Err(error) => {
                let (topic, id) = (&queue.queue.topic, queue.queue.queue_id);
                // One line for a broker that is away, not one a second.
                if failures == 0 {
                    tracing::warn!(group = consumer.group, topic, queue = id, %error, "pull failed; trying again");
                } else {
                    tracing::debug!(group = consumer.group, topic, queue = id, failures, %error, "pull failed");
                }
                failures = failures.saturating_add(1);
                sleep(if error.is_broker(ResponseCode::FLOW_CONTROL) {
                    FLOW_CONTROL_PAUSE
                } else {
                    consumer.config.pull_delay_when_failed
                })
                .await;
            }
        }
        if !consumer.config.pull_interval.is_zero() {
            sleep(consumer.config.pull_interval).await;
        }
    }
}

enum Pulled {
    /// Goes on here.
    Next(i64),
    /// The offset was not in the queue; this one is.
    Moved(i64),
}

/// Waits while the consumer is suspended.
async fn resumed(consumer: &Inner) {
    while consumer.is_suspended() {
        let changed = consumer.total_room.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if consumer.is_suspended() {
            tokio::select! {
                () = changed => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }
}

/// Waits while the consumer is suspended or holds enough.
async fn room(consumer: &Inner, queue: &ProcessQueue) {
    loop {
        let total = consumer.total_room.notified();
        tokio::pin!(total);
        total.as_mut().enable();
        if !consumer.is_suspended() && has_room(consumer, queue) {
            return;
        }
        tokio::select! {
            () = queue.room() => {}
            () = total => {}
            () = sleep(LOOK_AGAIN) => {}
        }
    }
}

fn has_room(consumer: &Inner, queue: &ProcessQueue) -> bool {
    let config = &consumer.config;
    let held = queue.held();
    let mut messages = config.pull_threshold_for_queue;
    let mut bytes = config.pull_threshold_size_for_queue * MEBIBYTE;
    if let Ok(of_topic) = usize::try_from(config.pull_threshold_for_topic) {
        messages = messages.min((of_topic / consumer.queues_of(&queue.queue.topic)).max(1));
    }
    if let Ok(of_topic) = usize::try_from(config.pull_threshold_size_for_topic) {
        bytes = bytes.min((of_topic * MEBIBYTE / consumer.queues_of(&queue.queue.topic)).max(1));
    }
    held.messages < messages
        && held.bytes < bytes
        && (queue.is_orderly() || held.span() <= config.consume_concurrently_max_span)
        && consumer.cached.load(Ordering::Relaxed) < consumer.cache_limit()
}

async fn once(
    consumer: &Arc<Inner>,
    queue: &Arc<ProcessQueue>,
    subscription: &Arc<Subscription>,
    next: i64,
    broker_id: &AtomicI64,
) -> Result<Pulled, Error> {
    let config = &consumer.config;
    let client = &consumer.client;
    let wanted = broker_id.load(Ordering::Relaxed);
    let peer = client.broker(&queue.queue.broker_name, wanted)?;
    // A slave takes no commits.
    let may_commit = wanted == 0 && consumer.offsets.are_at_brokers() && queue.may_commit();
    let commit = Some(queue.commit_offset()).filter(|offset| *offset > 0 && may_commit);
    let mut sys_flag = pull_flag::SUSPEND;
    if commit.is_some() {
        sys_flag |= pull_flag::COMMIT_OFFSET;
    }
    if config.post_subscription_when_pull {
        sys_flag |= pull_flag::SUBSCRIPTION;
    }
    let header = PullMessageRequest {
        consumer_group: &consumer.group,
        topic: &queue.queue.topic,
        queue_id: queue.queue.queue_id,
        queue_offset: next,
        max_msg_nums: config.pull_batch_size,
        sys_flag,
        commit_offset: commit.unwrap_or(0),
        suspend_timeout_millis: i64::try_from(config.broker_suspend_max_time.as_millis()).unwrap_or(i64::MAX),
        subscription: config.post_subscription_when_pull.then_some(subscription.text.as_str()),
        sub_version: subscription.version(),
        expression_type: Some("TAG"),
        max_msg_bytes: Some(config.pull_batch_size_in_bytes),
    };
    let code = RequestCode::PULL_MESSAGE;
    let started = Instant::now();
    let deadline = started + config.consumer_timeout_when_suspend;
    let frame = client.remoting.call(&peer, code, &header, &Bytes::new(), deadline).await?;
    match frame.response_code() {
        ResponseCode::SUCCESS
        | ResponseCode::PULL_NOT_FOUND
        | ResponseCode::PULL_RETRY_IMMEDIATELY
        | ResponseCode::PULL_OFFSET_MOVED => {}
        _ => {
            if is_unknown_to_broker(frame.response_code()) {
                client.beat_all().await;
            }
            return Err(refusal(&frame, code, peer.address()));
        }
    }
    let answer: PullMessageResponse = frame.header()?;
    broker_id.store(answer.suggest_which_broker_id, Ordering::Relaxed);
    match frame.response_code() {
        ResponseCode::SUCCESS => {
            let messages = decode(consumer, queue, subscription, &frame).await?;
            subscription.stats.pulled(messages.len(), started.elapsed());
            // A pull that was parked when the consumer was suspended may bring messages still.
            resumed(consumer).await;
            consumer.deliver(queue, subscription, messages, answer.next_begin_offset);
            Ok(Pulled::Next(answer.next_begin_offset))
        }
        ResponseCode::PULL_OFFSET_MOVED => Ok(Pulled::Moved(answer.next_begin_offset)),
        code => {
            queue.passed(subscription, answer.next_begin_offset);
            if code == ResponseCode::PULL_NOT_FOUND && started.elapsed() < QUICK {
                sleep(QUICK).await;
            }
            Ok(Pulled::Next(answer.next_begin_offset))
        }
    }
}

/// Answers that a heartbeat mends: the broker does not know this group, or not its newest subscription.
fn is_unknown_to_broker(code: ResponseCode) -> bool {
    matches!(
        code,
        ResponseCode::SUBSCRIPTION_NOT_EXIST
            | ResponseCode::SUBSCRIPTION_NOT_LATEST
            | ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST
    )
}

/// Opens the messages of an answer and leaves out those that the listener does not want.
async fn decode(
    consumer: &Arc<Inner>,
    queue: &Arc<ProcessQueue>,
    subscription: &Subscription,
    frame: &Frame,
) -> Result<Vec<MessageView>, Error> {
    let broken = |error: &dyn std::fmt::Display| {
        Error::new(
            crate::ErrorCode::Broker,
            format!("broker '{}' sent messages that cannot be read: {error}", queue.queue.broker_name),
        )
    };
    let mut records = Vec::new();
    let mut body = frame.body.clone();
    while let Some(record) = MessageRecord::take(&mut body).map_err(|error| broken(&error))? {
        split_inner_batch(record, &mut records)?;
    }
    let namespace = &consumer.client.config.namespace;
    let limit = consumer.config.max_decompressed_size;
    let mut messages = Vec::with_capacity(records.len());
    for record in records {
        match MessageView::open(record, &queue.broker_name, namespace, limit) {
            Ok(message) if subscription.wants(&message) => messages.push(message),
            Ok(_) => {}
            Err((message, error)) => {
                // Nobody can read it. Sent back often enough, it ends among the dead letters.
                tracing::error!(group = consumer.group, ?message, %error, "message sent back unread");
                consumer.send_back(&message, 0).await?;
            }
        }
    }
    Ok(messages)
}
