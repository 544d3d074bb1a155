//! Push consumers: messages arrive as events and are answered.

use std::ffi::c_char;

use mq_binding::{PushConsumer, on_library_thread};

use crate::call::{Out, call, free, handle, quiet, text, timeout};
use crate::client::mq_client;
use crate::config::mq_config;
use crate::error::mq_error;
use crate::event::consume_result;
use crate::message_queues::mq_message_queues;
use crate::queue::mq_queue;

/// A member of a consumer group. May be used from any thread, by several at once.
///
/// Messages come as `MQ_EVENT_MESSAGE` on its queue. No more of these events than the setting `consume_thread_max` are handed out
/// and unanswered at any time, of an orderly consumer (`consume_mode`) one for each message queue; answering is what keeps
/// it going. What is wrong around it comes as `MQ_EVENT_WARNING`.
pub struct mq_push_consumer {
    consumer: PushConsumer,
}

/// Makes a consumer from its settings (`group` must be set); its messages will come on `queue` with `tag`.
///
/// Next: `mq_push_consumer_subscribe`, then `mq_push_consumer_start`.
/// Errors: `MQ_ERR_CONFIG`, `MQ_ERR_CLOSED` when the client or the queue is closed, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_new(
    client: *mut mq_client,
    config: *const mq_config,
    queue: *mut mq_queue,
    tag: u64,
    consumer: *mut *mut mq_push_consumer,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the result.
        let (client, config, queue, out) = unsafe {
            (
                handle(client, "client")?,
                handle(config, "config")?,
                handle(queue, "queue")?,
                Out::new(consumer, "consumer")?,
            )
        };
        let consumer = client.client.push_consumer(&config.config, &queue.queue, tag)?;
        out.set(Box::into_raw(Box::new(mq_push_consumer { consumer })));
        Ok(())
    })
}

/// Subscribes to a topic, or changes its expression: tags as `a || b`; `*` or an empty one is every message.
///
/// Before the start it is only noted, without blocking; after it the consumer has its share of the topic's queues when this
/// returns. All members of the group should subscribe to the same. A changed expression holds for what was fetched, too, but not
/// for what was handed out or failed before; what the old one passed over may be left out.
/// Errors: `MQ_ERR_ARGUMENT` for an illegal topic or expression and for the group's own retry topic; after the start also
/// `MQ_ERR_NETWORK` and `MQ_ERR_TIMEOUT` (nothing has changed then), `MQ_ERR_STATE` on a thread of the library; `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_subscribe(
    consumer: *mut mq_push_consumer,
    topic: *const c_char,
    topic_len: usize,
    expression: *const c_char,
    expression_len: usize,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and texts with their lengths.
        let (consumer, topic, expression) = unsafe {
            (
                handle(consumer, "consumer")?,
                text(topic, topic_len, "the topic")?,
                text(expression, expression_len, "the expression")?,
            )
        };
        consumer.consumer.subscribe(topic, expression)
    })
}

/// As `mq_push_consumer_subscribe`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
///
/// `MQ_ERR_QUEUE_FULL` from the call itself says that too many asynchronous calls are not done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_subscribe_async(
    consumer: *mut mq_push_consumer,
    topic: *const c_char,
    topic_len: usize,
    expression: *const c_char,
    expression_len: usize,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and texts with their lengths.
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

/// Takes a topic off and gives its queues up: what is consumed is committed, the rest is there for whoever subscribes again.
///
/// What was handed out already still wants its answer. Without any topic left the consumer stays in its group, whose retry topic
/// it consumes. A topic that is not subscribed to is no error. Errors: `MQ_ERR_ARGUMENT` for the group's own retry topic,
/// `MQ_ERR_STATE` on a thread of the library, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_unsubscribe(
    consumer: *mut mq_push_consumer,
    topic: *const c_char,
    topic_len: usize,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and texts with their lengths.
        let (consumer, topic) =
            unsafe { (handle(consumer, "consumer")?, text(topic, topic_len, "the topic")?) };
        consumer.consumer.unsubscribe(topic)
    })
}

/// As `mq_push_consumer_unsubscribe`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
///
/// `MQ_ERR_QUEUE_FULL` from the call itself says that too many asynchronous calls are not done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_unsubscribe_async(
    consumer: *mut mq_push_consumer,
    topic: *const c_char,
    topic_len: usize,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and texts with their lengths.
        let (consumer, topic, queue) = unsafe {
            (handle(consumer, "consumer")?, text(topic, topic_len, "the topic")?, handle(queue, "queue")?)
        };
        consumer.consumer.unsubscribe_async(topic, &queue.queue, tag)
    })
}

/// Starts consuming: joins the group, shares the queues out, fetches. Blocks until the group is joined, up to `timeout_ms`
/// milliseconds (negative or 0: 10 seconds).
///
/// Errors: `MQ_ERR_STATE` when it was started before or has no subscription, `MQ_ERR_NETWORK`, `MQ_ERR_TIMEOUT`,
/// `MQ_ERR_NOT_FOUND`, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`. After an error it can be started again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_start(
    consumer: *mut mq_push_consumer,
    timeout_ms: i64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        unsafe { handle(consumer, "consumer") }?.consumer.start(timeout(timeout_ms))
    })
}

/// As `mq_push_consumer_start`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_start_async(
    consumer: *mut mq_push_consumer,
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

/// Answers for the messages of an event whose token was taken with `mq_event_take_token`; from any thread, once.
///
/// `result` and `detail` as in `mq_event_reply`. Errors: `MQ_ERR_STATE` for a token that is unknown or was answered,
/// `MQ_ERR_ARGUMENT`, `MQ_ERR_FORKED`. After the close an answer is no error and has no effect.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_reply(
    consumer: *mut mq_push_consumer,
    token: u64,
    result: i32,
    detail: i32,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        let consumer = unsafe { handle(consumer, "consumer") }?;
        consumer.consumer.reply(token, consume_result(result, detail)?)
    })
}

/// Fetches no more until `mq_push_consumer_resume`; what was fetched already still comes, and the consumer stays in its group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_suspend(consumer: *mut mq_push_consumer) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        unsafe { handle(consumer, "consumer") }?.consumer.suspend()
    })
}

/// Fetches again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_resume(consumer: *mut mq_push_consumer) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        unsafe { handle(consumer, "consumer") }?.consumer.resume()
    })
}

/// Gives the queues that the consumer has at the moment, in order, those of its group's retry topic among them; none before the start and after the close. Free them with
/// `mq_message_queues_free`. Does not block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_assignment(
    consumer: *const mq_push_consumer,
    queues: *mut *mut mq_message_queues,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the result.
        let (consumer, out) = unsafe { (handle(consumer, "consumer")?, Out::new(queues, "queues")?) };
        out.set(mq_message_queues::give(consumer.consumer.assignment()?));
        Ok(())
    })
}

/// Cancels an asynchronous call, but for a close, that was made with `queue` and `tag` and is not done yet: its event is then an
/// `MQ_ERR_CANCELLED`. A start can be repeated; a change of subscriptions may have its effect all the same. Unknown tags are no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_cancel(
    consumer: *mut mq_push_consumer,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        let (consumer, queue) = unsafe { (handle(consumer, "consumer")?, handle(queue, "queue")?) };
        consumer.consumer.cancel(&queue.queue, tag)
    })
}

/// Closes a consumer: fetches no more, takes messages back that wait on the queue and were not polled, waits for the answers that
/// are owed for those that were (from other threads; in a program of one thread answer first, or use
/// `mq_push_consumer_close_async`), commits its offsets and leaves the group. Closing twice is no error.
///
/// Blocks up to `timeout_ms` milliseconds (negative or 0: 5 seconds); messages unanswered by then are delivered again.
/// Errors: `MQ_ERR_TIMEOUT` when it had to be cut (it is closed all the same), `MQ_ERR_STATE`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_close(
    consumer: *mut mq_push_consumer,
    timeout_ms: i64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL.
        unsafe { handle(consumer, "consumer") }?.consumer.close(timeout(timeout_ms))
    })
}

/// As `mq_push_consumer_close`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_close_async(
    consumer: *mut mq_push_consumer,
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

/// Frees a consumer, after closing it if that was not done. NULL is allowed. In a forked child nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_push_consumer_free(consumer: *mut mq_push_consumer) {
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
