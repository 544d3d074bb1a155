//! Pull consumers: messages are asked for.

use std::ffi::c_char;

use mq_binding::{Error, Event, MessageQueue, Outcome, PullConsumer, Seek, on_library_thread};

use crate::call::{Handle, Out, argument, begin, call, free, get, handle, on, quiet, text, timeout};
use crate::client::mq_client;
use crate::config::mq_config;
use crate::error::mq_error;
use crate::event::mq_event;
use crate::message_queues::{list, message_queue, mq_message_queues};
use crate::queue::mq_queue;

/// `mq_pull_consumer_seek`: to this offset.
pub const MQ_SEEK_OFFSET: i32 = 0;
/// `mq_pull_consumer_seek`: to the oldest message that the queue still has.
pub const MQ_SEEK_BEGIN: i32 = 1;
/// `mq_pull_consumer_seek`: to what arrives from now on.
pub const MQ_SEEK_END: i32 = 2;
/// `mq_pull_consumer_seek`: to the first message that was stored at this time or later.
pub const MQ_SEEK_TIME: i32 = 3;

/// A consumer that is polled. May be used from any thread, by several at once; of `mq_pull_consumer_poll` one may run at a time.
///
/// It consumes either the topics that it subscribes to, sharing their queues with the other members of its group, or
/// the queues that it was assigned by hand. With the setting `auto_commit` (on unless set otherwise) offsets are committed
/// from time to time and at close: what a poll gave out counts as consumed from the next poll on.
///
/// Errors of all calls, beside their own: `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`; of those that block or need an answer
/// also `MQ_ERR_NETWORK`, `MQ_ERR_TIMEOUT`, `MQ_ERR_BROKER` and `MQ_ERR_STATE` (on a thread of the library, or before the start).
/// Their forms `_async` give an `MQ_EVENT_DONE` with `tag` on `queue` that has the error or the result; `MQ_ERR_QUEUE_FULL` from the
/// call itself says that too many of them are not done.
pub struct mq_pull_consumer {
    pub(crate) consumer: PullConsumer,
}

impl Handle for mq_pull_consumer {
    type Core = PullConsumer;
    const NAME: &'static str = "consumer";

    fn core(&self) -> &PullConsumer {
        &self.consumer
    }
}

/// Where to go on.
pub(crate) fn seek(whence: i32, value: i64) -> Result<Seek, Error> {
    match whence {
        MQ_SEEK_OFFSET => Ok(Seek::Offset(value)),
        MQ_SEEK_BEGIN => Ok(Seek::Begin),
        MQ_SEEK_END => Ok(Seek::End),
        MQ_SEEK_TIME => Ok(Seek::Time(value)),
        _ => Err(argument(format!("seeking from {whence} is not possible; give one of MQ_SEEK_*"))),
    }
}

/// A poll's time limit; `None` for the setting.
pub(crate) fn poll_timeout(millis: i64) -> Option<std::time::Duration> {
    u64::try_from(millis).ok().map(std::time::Duration::from_millis)
}

/// Queues with their offsets.
///
/// # Safety
/// As the header asks: a live list or NULL, as many offsets as it says.
pub(crate) unsafe fn with_offsets(
    queues: *const mq_message_queues,
    offsets: *const i64,
    count: usize,
) -> Result<Vec<(MessageQueue, i64)>, Error> {
    // SAFETY: as the caller promises.
    let queues = unsafe { list(queues) }?;
    if queues.len() != count {
        return Err(argument(format!(
            "there are {count} offsets for {} queues; give one for each",
            queues.len()
        )));
    }
    if offsets.is_null() && count > 0 {
        return Err(argument("offsets is NULL; pass an array with an offset for each queue"));
    }
    // SAFETY: `index` is below `count`; the rest as the caller promises.
    let offset = |index: usize| unsafe { offsets.add(index).read() };
    Ok(queues.into_iter().enumerate().map(|(index, queue)| (queue, offset(index))).collect())
}

/// Makes a consumer from its settings (`group` must be set). It connects when it is started.
///
/// Next: `mq_pull_consumer_subscribe` or `mq_pull_consumer_assign`, and `mq_pull_consumer_start`, in any order.
/// Errors: `MQ_ERR_CONFIG`, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_new(
    client: *mut mq_client,
    config: *const mq_config,
    consumer: *mut *mut mq_pull_consumer,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the result.
        let (client, config, out) = unsafe {
            (handle(client, "client")?, handle(config, "config")?, Out::new(consumer, "consumer")?)
        };
        let consumer = client.client.pull_consumer(&config.config)?;
        out.set(Box::into_raw(Box::new(mq_pull_consumer { consumer })));
        Ok(())
    })
}

/// Subscribes to a topic, or changes its expression: tags as `a || b`; `*` or an empty one is every message.
///
/// Before the start it is only noted; after it, the consumer has its share of the topic's queues when this returns.
/// Errors: `MQ_ERR_STATE` when queues were assigned by hand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_subscribe(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    expression: *const c_char,
    expression_len: usize,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        on(consumer, |consumer| {
            consumer.subscribe(
                text(topic, topic_len, "the topic")?,
                text(expression, expression_len, "the expression")?,
            )
        })
    }
}

/// Takes a topic off and gives its queues up. Without any topic left, queues may be assigned by hand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_unsubscribe(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe { on(consumer, |consumer| consumer.unsubscribe(text(topic, topic_len, "the topic")?)) }
}

/// Consumes these queues and no others, whoever else is in the group; an empty list ends that. Before the start it is only noted.
///
/// Queues that stay keep their place. A new one begins at the group's offset, or where the setting `consume_from_where` says.
/// Errors: `MQ_ERR_STATE` when there are subscriptions, `MQ_ERR_ARGUMENT` when a topic has no such queue, `MQ_ERR_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_assign(
    consumer: *mut mq_pull_consumer,
    queues: *const mq_message_queues,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(consumer, |consumer| consumer.assign(&list(queues)?)) }
}

/// Lets the queues of a topic that are assigned from now on give out only messages whose tags are in `expression`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_filter_assigned(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    expression: *const c_char,
    expression_len: usize,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        on(consumer, |consumer| {
            consumer.filter_assigned(
                text(topic, topic_len, "the topic")?,
                text(expression, expression_len, "the expression")?,
            )
        })
    }
}

/// Joins the group and, with subscriptions, takes the share of their queues. Blocks up to `timeout_ms` milliseconds (negative or
/// 0: 10 seconds).
///
/// Errors: `MQ_ERR_STATE` when it was started before or the client has another consumer of the group. After an error it can be
/// started again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_start(
    consumer: *mut mq_pull_consumer,
    timeout_ms: i64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(consumer, |consumer| consumer.start(timeout(timeout_ms))) }
}

/// Gives the next messages, at most as many as the setting `poll_batch_size`, in the order of each queue; none if none arrived in time.
///
/// They come as an event, the same that the asynchronous form puts on a queue (its tag is 0): see `mq_event_message_count` and
/// `mq_event_message`; free it with `mq_event_free`. Waits up to `timeout_ms` milliseconds: 0 does not wait, a negative value is
/// the setting `poll_timeout`.
/// Errors: `MQ_ERR_STATE` when another poll is running or there are neither subscriptions nor assigned queues; `MQ_ERR_TOO_LARGE`,
/// `MQ_ERR_BROKER` when a message cannot be decompressed (the next poll goes on after it).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_poll(
    consumer: *mut mq_pull_consumer,
    timeout_ms: i64,
    event: *mut *mut mq_event,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the result.
        let (consumer, out) = unsafe { (handle(consumer, "consumer")?, Out::new(event, "event")?) };
        let result = consumer.consumer.poll(poll_timeout(timeout_ms)).map(Outcome::Polled)?;
        out.set(mq_event::give(Event::Done { tag: 0, result: Ok(result) }));
        Ok(())
    })
}

/// Goes on elsewhere in a queue: what is polled next of it comes from there.
///
/// `whence` is one of `MQ_SEEK_*`; `value` is the offset for `MQ_SEEK_OFFSET`, milliseconds since 1970-01-01 UTC for `MQ_SEEK_TIME`, and
/// ignored otherwise. Errors: `MQ_ERR_STATE` when the queue is not assigned, `MQ_ERR_ARGUMENT` when it has no such offset.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_seek(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    whence: i32,
    value: i64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        on(consumer, |consumer| {
            let of = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            consumer.seek(&of, seek(whence, value)?)
        })
    }
}

/// Gives the offset of the first message that was stored at this time or later (milliseconds since 1970-01-01 UTC); the end of the
/// queue if there is none. The queue need not be assigned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_offset_for_timestamp(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    millis: i64,
    offset: *mut i64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths and a place for the result.
    unsafe {
        get(consumer, offset, "offset", |consumer| {
            let of = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            consumer.offset_for_timestamp(&of, millis)
        })
    }
}

/// Commits for all queues what polls have given out, the latest poll included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_commit(consumer: *mut mq_pull_consumer) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(consumer, |consumer| consumer.commit()) }
}

/// Commits these offsets: `offsets[i]` is that of the next message to be consumed of queue number `i` of the list, which has `count` queues.
///
/// With `auto_commit` a later commit replaces them by what polls have given out. Errors: `MQ_ERR_STATE` when a queue is not
/// assigned, `MQ_ERR_ARGUMENT` when an offset is negative; nothing is committed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_commit_offsets(
    consumer: *mut mq_pull_consumer,
    queues: *const mq_message_queues,
    offsets: *const i64,
    count: usize,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, as many offsets as it says.
    unsafe { on(consumer, |consumer| consumer.commit_offsets(&with_offsets(queues, offsets, count)?)) }
}

/// Gives the offset that is committed for the group, or -1 if there is none. The queue need not be assigned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_committed(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    offset: *mut i64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths and a place for the result.
    unsafe {
        get(consumer, offset, "offset", |consumer| {
            let of = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            Ok(consumer.committed(&of)?.unwrap_or(-1))
        })
    }
}

/// Gives the offset of the next message of the queue that a poll gives out. Errors: `MQ_ERR_STATE` when the queue is not assigned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_position(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    offset: *mut i64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths and a place for the result.
    unsafe {
        get(consumer, offset, "offset", |consumer| {
            let of = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            consumer.position(&of)
        })
    }
}

/// Gives all queues of a topic that can be consumed. Free them with `mq_message_queues_free`. Errors: `MQ_ERR_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_queues(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    queues: *mut *mut mq_message_queues,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths and a place for the result.
    unsafe {
        get(consumer, queues, "queues", |consumer| {
            consumer.queues(text(topic, topic_len, "the topic")?).map(mq_message_queues::give)
        })
    }
}

/// Lets an `MQ_EVENT_QUEUE_CHANGE` with the tag `watch` come on `events` each time the queues of the topic, or those of them that are
/// assigned to this consumer, have changed. Errors: `MQ_ERR_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_watch_queues(
    consumer: *mut mq_pull_consumer,
    topic: *const c_char,
    topic_len: usize,
    events: *mut mq_queue,
    watch: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, texts with their lengths.
    unsafe {
        on(consumer, |consumer| {
            consumer.watch_queues(
                text(topic, topic_len, "the topic")?,
                &handle(events, "events")?.queue,
                watch,
            )
        })
    }
}

/// Lets polls give out nothing of these queues until `mq_pull_consumer_resume`; what is cached is kept. Does not block.
///
/// Errors: `MQ_ERR_STATE` when one of them is not assigned; none is paused then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_pause(
    consumer: *mut mq_pull_consumer,
    queues: *const mq_message_queues,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(consumer, |consumer| consumer.pause(&list(queues)?)) }
}

/// Lets polls give out messages of these queues again. As `mq_pull_consumer_pause`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_resume(
    consumer: *mut mq_pull_consumer,
    queues: *const mq_message_queues,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(consumer, |consumer| consumer.resume(&list(queues)?)) }
}

/// Gives the queues that the consumer has at the moment, in order; none before the start and after the close. Free them with
/// `mq_message_queues_free`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_assignment(
    consumer: *const mq_pull_consumer,
    queues: *mut *mut mq_message_queues,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and a place for the result.
    unsafe { get(consumer, queues, "queues", |consumer| consumer.assignment().map(mq_message_queues::give)) }
}

/// Cancels the asynchronous calls of this consumer that were made with `queue` and `tag` and are not done yet: their event is then
/// an `MQ_ERR_CANCELLED`. Unknown tags are no error; closing is not cancelled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_cancel(
    consumer: *mut mq_pull_consumer,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(consumer, queue, |consumer, queue| consumer.cancel(queue, tag)) }
}

/// Closes a consumer: pulls no more, commits what polls have given out if `auto_commit` is set, and leaves the group. A poll that is
/// running fails with `MQ_ERR_CLOSED`. Closing twice is no error.
///
/// Blocks up to `timeout_ms` milliseconds (negative or 0: 5 seconds). Errors: `MQ_ERR_TIMEOUT` when it had to be cut (it is closed
/// all the same).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_close(
    consumer: *mut mq_pull_consumer,
    timeout_ms: i64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(consumer, |consumer| consumer.close(timeout(timeout_ms))) }
}

/// Frees a consumer, after closing it if that was not done. NULL is allowed. In a forked child nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_pull_consumer_free(consumer: *mut mq_pull_consumer) {
    // SAFETY: the header asks for a consumer that the caller owns, or NULL.
    unsafe {
        if let Some(consumer) = consumer.as_ref()
            && !on_library_thread()
        {
            // There is nobody to tell of an error. On a thread of the library the drop closes without waiting.
            quiet((), || drop(consumer.consumer.close(None)));
        }
        free(consumer);
    }
}
