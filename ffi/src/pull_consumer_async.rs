//! The calls of pull consumers that do not wait: the result of each is an event.

use std::ffi::c_char;

use crate::call::{call, handle, text, timeout};
use crate::error::mq_error;
use crate::message_queues::{list, message_queue, mq_message_queues};
use crate::pull_consumer::{mq_pull_consumer, poll_timeout, seek, with_offsets};
use crate::queue::mq_queue;

/// As `mq_pull_consumer_subscribe`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_subscribe_async(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    expression: *const c_char,
    expression_len: usize,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, texts with their lengths.
        let (consumer, topic, expression, queue) = unsafe {
            (
                handle(consumer, "consumer")?,
                text(topic, topic_len, "the topic")?,
                text(expression, expression_len, "the expression")?,
                handle(queue, "queue")?,
            )
        };
        consumer.consumer.subscribe_async(topic, expression, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_unsubscribe`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_unsubscribe_async(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, texts with their lengths.
        let (consumer, topic, queue) = unsafe {
            (handle(consumer, "consumer")?, text(topic, topic_len, "the topic")?, handle(queue, "queue")?)
        };
        consumer.consumer.unsubscribe_async(topic, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_assign`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_assign_async(
    consumer: *mut mq_pull_consumer,
    queues: *const mq_message_queues,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        let (consumer, list, queue) =
            unsafe { (handle(consumer, "consumer")?, list(queues)?, handle(queue, "queue")?) };
        consumer.consumer.assign_async(&list, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_start`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_start_async(
    consumer: *mut mq_pull_consumer,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        let (consumer, queue) = unsafe { (handle(consumer, "consumer")?, handle(queue, "queue")?) };
        consumer.consumer.start_async(timeout(timeout_ms), &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_poll`, without waiting: one `MQ_EVENT_DONE` has all the messages, and none when the time is over.
///
/// A poll that is cancelled loses no message; but when its event was on the queue before, that has given them out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_poll_async(
    consumer: *mut mq_pull_consumer,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        let (consumer, queue) = unsafe { (handle(consumer, "consumer")?, handle(queue, "queue")?) };
        consumer.consumer.poll_async(poll_timeout(timeout_ms), &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_seek`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_seek_async(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    whence: i32,
    value: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, texts with their lengths.
        let (consumer, of, queue) = unsafe {
            (
                handle(consumer, "consumer")?,
                message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?,
                handle(queue, "queue")?,
            )
        };
        consumer.consumer.seek_async(&of, seek(whence, value)?, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_offset_for_timestamp`, without waiting; see `mq_event_offset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_offset_for_timestamp_async(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    millis: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, texts with their lengths.
        let (consumer, of, queue) = unsafe {
            (
                handle(consumer, "consumer")?,
                message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?,
                handle(queue, "queue")?,
            )
        };
        consumer.consumer.offset_for_timestamp_async(&of, millis, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_commit`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_commit_async(
    consumer: *mut mq_pull_consumer,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        let (consumer, queue) = unsafe { (handle(consumer, "consumer")?, handle(queue, "queue")?) };
        consumer.consumer.commit_async(&queue.queue, tag)
    })
}

/// As `mq_pull_consumer_commit_offsets`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_commit_offsets_async(
    consumer: *mut mq_pull_consumer,
    queues: *const mq_message_queues,
    offsets: *const i64,
    count: usize,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, as many offsets as it says.
        let (consumer, offsets, queue) = unsafe {
            (handle(consumer, "consumer")?, with_offsets(queues, offsets, count)?, handle(queue, "queue")?)
        };
        consumer.consumer.commit_offsets_async(&offsets, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_committed`, without waiting; see `mq_event_offset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_committed_async(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, texts with their lengths.
        let (consumer, of, queue) = unsafe {
            (
                handle(consumer, "consumer")?,
                message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?,
                handle(queue, "queue")?,
            )
        };
        consumer.consumer.committed_async(&of, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_position`, without waiting; see `mq_event_offset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_position_async(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, texts with their lengths.
        let (consumer, of, queue) = unsafe {
            (
                handle(consumer, "consumer")?,
                message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?,
                handle(queue, "queue")?,
            )
        };
        consumer.consumer.position_async(&of, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_queues`, without waiting; see `mq_event_queues`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_queues_async(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, texts with their lengths.
        let (consumer, topic, queue) = unsafe {
            (handle(consumer, "consumer")?, text(topic, topic_len, "the topic")?, handle(queue, "queue")?)
        };
        consumer.consumer.queues_async(topic, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_watch_queues`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_watch_queues_async(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    events: *mut mq_queue,
    watch: u64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, texts with their lengths.
        let (consumer, topic, events, queue) = unsafe {
            (
                handle(consumer, "consumer")?,
                text(topic, topic_len, "the topic")?,
                handle(events, "events")?,
                handle(queue, "queue")?,
            )
        };
        consumer.consumer.watch_queues_async(topic, &events.queue, watch, &queue.queue, tag)
    })
}

/// As `mq_pull_consumer_close`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_close_async(
    consumer: *mut mq_pull_consumer,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        let (consumer, queue) = unsafe { (handle(consumer, "consumer")?, handle(queue, "queue")?) };
        consumer.consumer.close_async(timeout(timeout_ms), &queue.queue, tag)
    })
}
