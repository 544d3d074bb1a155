//! The loop that pulls one queue ahead of the polls, within the bounds of the cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mq_protocol::header::{PullMessageRequest, PullMessageResponse, pull_flag};
use mq_protocol::{Frame, MessageRecord, RequestCode, ResponseCode};
use tokio::time::{Instant, sleep};

use super::Inner;
use super::assigned::{Assigned, Entry};
use crate::message::now_millis;
use crate::remoting::refusal;
use crate::view::split_inner_batch;
use crate::{Error, ErrorCode, MessageView};

const MEBIBYTE: usize = 1024 * 1024;
/// Pause after a broker said FLOW_CONTROL.
const FLOW_CONTROL_PAUSE: Duration = Duration::from_millis(20);
/// A broker that finds nothing holds the pull; one that answers sooner than this is asked a little later.
const QUICK: Duration = Duration::from_millis(10);
/// Pause after a broker moved the offset, so that one that always does keeps nobody busy.
const MOVED_PAUSE: Duration = Duration::from_millis(100);
/// How often a full cache is looked at although nothing told of a change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Pulls until the queue is dropped, which ends this task from outside.
pub(super) async fn fetch(consumer: Arc<Inner>, queue: Arc<Assigned>) {
    let broker_id = AtomicI64::new(0);
    let mut failures: u32 = 0;
    while !queue.is_dropped() {
        room(&consumer, &queue).await;
        let (next, turn) = queue.next();
        let work = async {
            match next {
                Some(next) => once(&consumer, &queue, turn, next, &broker_id).await,
                None => {
                    let start = consumer.start_offset(&queue.queue).await?;
                    queue.begin(turn, start);
                    Ok(())
                }
            }
        };
        let done = tokio::select! {
            done = work => done,
            // The pull that waits at the broker is of no use any more.
            () = sought(&queue, turn) => continue,
        };
        let (topic, id) = (&queue.queue.topic, queue.queue.queue_id);
        match done {
            Ok(()) if failures > 0 => {
                failures = 0;
                queue.set_trouble(None);
                tracing::info!(group = consumer.group, topic, queue = id, "pulling works again");
            }
            Ok(()) => {}
            Err(error) => {
                // One line for a broker that is away, not one a second.
                if failures == 0 {
                    tracing::warn!(group = consumer.group, topic, queue = id, %error, "pull failed; trying again");
                } else {
                    tracing::debug!(group = consumer.group, topic, queue = id, failures, %error, "pull failed");
                }
                failures = failures.saturating_add(1);
                queue.set_trouble((!error.retryable()).then(|| error.clone()));
                sleep(if error.is_broker(ResponseCode::FLOW_CONTROL) {
                    FLOW_CONTROL_PAUSE
                } else {
                    consumer.config.pull_delay_when_failed
                })
                .await;
            }
        }
    }
}

/// Resolves when the queue goes on elsewhere than the pull of this turn asks.
async fn sought(queue: &Assigned, turn: u64) {
    loop {
        queue.changed.notified().await;
        if queue.next().1 != turn {
            return;
        }
    }
}

/// Waits while the queue is paused or enough is cached.
async fn room(consumer: &Inner, queue: &Assigned) {
    loop {
        let total = consumer.room.notified();
        tokio::pin!(total);
        total.as_mut().enable();
        if has_room(consumer, queue) {
            return;
        }
        tokio::select! {
            () = queue.changed.notified() => {}
            () = total => {}
            () = sleep(LOOK_AGAIN) => {}
        }
    }
}

fn has_room(consumer: &Inner, queue: &Assigned) -> bool {
    let config = &consumer.config;
    let held = queue.held();
    let span = if held.load.messages == 0 { 0 } else { held.newest - held.oldest };
    !held.paused
        && held.load.messages < config.pull_threshold_for_queue
        && held.load.bytes < config.pull_threshold_size_for_queue * MEBIBYTE
        && span <= config.consume_max_span
        // What other queues hold back, perhaps because they are paused, does not keep this one from its turn.
        && (held.load.messages == 0 || consumer.has_room())
}

async fn once(
    consumer: &Inner,
    queue: &Arc<Assigned>,
    turn: u64,
    next: i64,
    broker_id: &AtomicI64,
) -> Result<(), Error> {
    let config = &consumer.config;
    let client = &consumer.client;
    queue.last_pull.store(now_millis(), Ordering::Relaxed);
    let peer = client.broker(&queue.queue.broker_name, broker_id.load(Ordering::Relaxed))?;
    let header = PullMessageRequest {
        consumer_group: &consumer.group,
        topic: &queue.queue.topic,
        queue_id: queue.queue.queue_id,
        queue_offset: next,
        max_msg_nums: config.pull_batch_size,
        sys_flag: pull_flag::SUSPEND | pull_flag::SUBSCRIPTION | pull_flag::LITE_PULL,
        commit_offset: 0,
        suspend_timeout_millis: i64::try_from(config.broker_suspend_max_time.as_millis()).unwrap_or(i64::MAX),
        subscription: Some(queue.subscription.text.as_str()),
        sub_version: 0,
        expression_type: Some("TAG"),
        max_msg_bytes: Some(config.pull_batch_size_in_bytes),
    };
    let started = Instant::now();
    let deadline = started + config.consumer_timeout_when_suspend;
    let code = consumer.pull_code();
    let frame = client.remoting.call(&peer, code, &header, &Bytes::new(), deadline).await?;
    match frame.response_code() {
        ResponseCode::SUCCESS
        | ResponseCode::PULL_NOT_FOUND
        | ResponseCode::PULL_RETRY_IMMEDIATELY
        | ResponseCode::PULL_OFFSET_MOVED => {}
        ResponseCode::REQUEST_CODE_NOT_SUPPORTED if code == RequestCode::LITE_PULL_MESSAGE => {
            tracing::debug!(broker = peer.address(), "a broker before 5.0: pulling as push consumers do");
            consumer.pull_plainly();
            return Ok(());
        }
        _ => return Err(refusal(&frame, code, peer.address())),
    }
    let answer: PullMessageResponse = frame.header()?;
    broker_id.store(answer.suggest_which_broker_id, Ordering::Relaxed);
    match frame.response_code() {
        ResponseCode::SUCCESS => {
            let entries = decode(consumer, queue, &frame)?;
            queue.subscription.stats.pulled(entries.len(), started.elapsed());
            consumer.keep(queue, turn, entries, answer.next_begin_offset);
        }
        ResponseCode::PULL_OFFSET_MOVED => {
            let (group, topic, id) = (&consumer.group, &queue.queue.topic, queue.queue.queue_id);
            let moved = answer.next_begin_offset;
            tracing::warn!(group, topic, queue = id, asked = next, moved, "offset is outside the queue");
            queue.moved(turn, moved);
            sleep(MOVED_PAUSE).await;
        }
        code => {
            consumer.keep(queue, turn, Vec::new(), answer.next_begin_offset);
            if code == ResponseCode::PULL_NOT_FOUND && started.elapsed() < QUICK {
                sleep(QUICK).await;
            }
        }
    }
    Ok(())
}

/// Opens the messages of an answer and leaves out those that the application does not want.
fn decode(consumer: &Inner, queue: &Assigned, frame: &Frame) -> Result<Vec<Entry>, Error> {
    let broken = |error: &dyn std::fmt::Display| {
        Error::new(
            ErrorCode::Broker,
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
    let mut entries = Vec::with_capacity(records.len());
    for record in records {
        let message = MessageView::open(record, &queue.broker_name, namespace, limit);
        let (Ok(view) | Err((view, _))) = &message;
        if queue.subscription.wants(view) {
            let (offset, size) = (view.queue_offset(), view.size());
            entries.push(Entry { offset, size, message: message.map_err(|(_, error)| error) });
        }
    }
    Ok(entries)
}
