//! The calls of pull consumers that do not wait: the result of each is an event.

use std::ffi::c_char;

use crate::call::{begin, handle, text, timeout};
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
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            consumer.subscribe_async(
                text(topic, topic_len, "the topic")?,
                text(expression, expression_len, "the expression")?,
                queue,
                tag,
            )
        })
    }
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
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            consumer.unsubscribe_async(text(topic, topic_len, "the topic")?, queue, tag)
        })
    }
}

/// As `mq_pull_consumer_assign`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_assign_async(
    consumer: *mut mq_pull_consumer,
    queues: *const mq_message_queues,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(consumer, queue, |consumer, queue| consumer.assign_async(&list(queues)?, queue, tag)) }
}

/// As `mq_pull_consumer_start`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_start_async(
    consumer: *mut mq_pull_consumer,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(consumer, queue, |consumer, queue| consumer.start_async(timeout(timeout_ms), queue, tag)) }
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
    // SAFETY: the header asks for live handles or NULL.
    unsafe {
        begin(consumer, queue, |consumer, queue| consumer.poll_async(poll_timeout(timeout_ms), queue, tag))
    }
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
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            let of = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            consumer.seek_async(&of, seek(whence, value)?, queue, tag)
        })
    }
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
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            let of = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            consumer.offset_for_timestamp_async(&of, millis, queue, tag)
        })
    }
}

/// As `mq_pull_consumer_commit`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_commit_async(
    consumer: *mut mq_pull_consumer,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(consumer, queue, |consumer, queue| consumer.commit_async(queue, tag)) }
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
    // SAFETY: the header asks for live handles or NULL, as many offsets as it says.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            consumer.commit_offsets_async(&with_offsets(queues, offsets, count)?, queue, tag)
        })
    }
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
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            let of = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            consumer.committed_async(&of, queue, tag)
        })
    }
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
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            let of = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            consumer.position_async(&of, queue, tag)
        })
    }
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
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            consumer.queues_async(text(topic, topic_len, "the topic")?, queue, tag)
        })
    }
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
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        begin(consumer, queue, |consumer, queue| {
            consumer.watch_queues_async(
                text(topic, topic_len, "the topic")?,
                &handle(events, "events")?.queue,
                watch,
                queue,
                tag,
            )
        })
    }
}

/// As `mq_pull_consumer_close`, without waiting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_close_async(
    consumer: *mut mq_pull_consumer,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(consumer, queue, |consumer, queue| consumer.close_async(timeout(timeout_ms), queue, tag)) }
}
