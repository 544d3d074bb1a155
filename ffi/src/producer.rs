//! Producers: sending, with and without blocking.

use std::ffi::c_char;

use mq_binding::{Error, Message, MessageQueue, Producer, on_library_thread};

use crate::call::{Handle, Out, argument, begin, call, free, get, handle, on, quiet, text, timeout};
use crate::client::mq_client;
use crate::config::{config_or_default, mq_config};
use crate::error::mq_error;
use crate::message::mq_message;
use crate::message_queues::mq_message_queues;
use crate::queue::mq_queue;
use crate::receipt::mq_receipt;

/// Sends messages of one producer group. May be used from any thread, by several at once.
///
/// In all calls `timeout_ms` is the time for the whole send, retries included, in milliseconds; negative or 0 takes the
/// producer's setting `send_timeout`.
pub struct mq_producer {
    producer: Producer,
}

impl Handle for mq_producer {
    type Core = Producer;
    const NAME: &'static str = "producer";

    fn core(&self) -> &Producer {
        &self.producer
    }
}

/// The messages of a list.
///
/// # Safety
/// `messages` is NULL or points to `count` pointers, each NULL or to a live message.
unsafe fn list(messages: *const *const mq_message, count: usize) -> Result<Vec<Message>, Error> {
    if count == 0 {
        return Err(argument("the list of messages is empty; pass at least one message"));
    }
    if messages.is_null() {
        return Err(argument("messages is NULL; pass an array of messages"));
    }
    // SAFETY: `index` is below `count`; the rest as the caller promises.
    let message = |index: usize| unsafe { handle(*messages.add(index), "a message of the list") };
    (0..count).map(|index| Ok(message(index)?.message.clone())).collect()
}

/// A queue of a message's topic.
///
/// # Safety
/// As the header asks: a text with its length.
unsafe fn queue_of(
    message: &mq_message,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
) -> Result<MessageQueue, Error> {
    // SAFETY: as the caller promises.
    let broker_name = unsafe { text(broker_name, broker_name_len, "the broker's name") }?.to_owned();
    Ok(MessageQueue { topic: message.message.topic.clone(), broker_name, queue_id })
}

/// Gives a receipt to a caller who wants it.
///
/// # Safety
/// `place` is NULL or can be written.
pub(crate) unsafe fn give(receipt: mq_binding::SendReceipt, place: *mut *mut mq_receipt) {
    if !place.is_null() {
        // SAFETY: not NULL, and writable as the caller promises.
        unsafe { place.write(Box::into_raw(Box::new(mq_receipt::new(receipt)))) };
    }
}

/// Makes a producer. `config` may be NULL: every setting has a default. It connects when it first sends.
///
/// Errors: `MQ_ERR_CONFIG`, `MQ_ERR_CLOSED` when the client is closed, `MQ_ERR_STATE`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_new(
    client: *mut mq_client,
    config: *const mq_config,
    producer: *mut *mut mq_producer,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the result.
        let (client, config, out) = unsafe {
            (handle(client, "client")?, config_or_default(config), Out::new(producer, "producer")?)
        };
        let producer = client.client.producer(&config)?;
        out.set(Box::into_raw(Box::new(mq_producer { producer })));
        Ok(())
    })
}

/// Sends one message and waits for the broker's answer. `receipt` may be NULL; otherwise free it with `mq_receipt_free`.
///
/// Errors: `MQ_ERR_TIMEOUT`, `MQ_ERR_NETWORK`, `MQ_ERR_NOT_FOUND` (no route to the topic), `MQ_ERR_THROTTLED`,
/// `MQ_ERR_TOO_LARGE`, `MQ_ERR_DENIED`, `MQ_ERR_BROKER`, `MQ_ERR_CLOSED`, `MQ_ERR_STATE`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_send(
    producer: *mut mq_producer,
    message: *const mq_message,
    timeout_ms: i64,
    receipt: *mut *mut mq_receipt,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the receipt or NULL.
        unsafe {
            let (producer, message) = (handle(producer, "producer")?, handle(message, "message")?);
            give(producer.producer.send(message.message.clone(), timeout(timeout_ms))?, receipt);
        }
        Ok(())
    })
}

/// Sends one message without waiting: the answer is an `MQ_EVENT_DONE` with `tag` on `queue`.
///
/// Errors come with the event, but for those of the call itself, after which no event follows: `MQ_ERR_QUEUE_FULL` when
/// the setting `async_send_max` is reached (poll events and try again), `MQ_ERR_TOO_LARGE`, `MQ_ERR_CLOSED`,
/// `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_send_async(
    producer: *mut mq_producer,
    message: *const mq_message,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe {
        begin(producer, queue, |producer, queue| {
            producer.send_async(handle(message, "message")?.message.clone(), timeout(timeout_ms), queue, tag)
        })
    }
}

/// Sends one message and asks for no answer: returns when it is handed to the connection. It may get lost.
///
/// Blocks for routes and connections, up to the setting `send_timeout`. Errors as `mq_producer_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_send_oneway(
    producer: *mut mq_producer,
    message: *const mq_message,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(producer, |producer| producer.send_oneway(handle(message, "message")?.message.clone())) }
}

/// As `mq_producer_send_oneway`, without blocking: an `MQ_EVENT_DONE` with `tag` on `queue` tells that it was handed over.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_send_oneway_async(
    producer: *mut mq_producer,
    message: *const mq_message,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe {
        begin(producer, queue, |producer, queue| {
            producer.send_oneway_async(handle(message, "message")?.message.clone(), queue, tag)
        })
    }
}

/// Sends `count` messages as one: all of them are stored, one after the other in one queue, or none.
///
/// They must have the same topic and no delay level. Otherwise as `mq_producer_send`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_send_batch(
    producer: *mut mq_producer,
    messages: *const *const mq_message,
    count: usize,
    timeout_ms: i64,
    receipt: *mut *mut mq_receipt,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, as many messages as it says, and a place for the receipt or NULL.
        unsafe {
            let (producer, messages) = (handle(producer, "producer")?, list(messages, count)?);
            give(producer.producer.send_batch(messages, timeout(timeout_ms))?, receipt);
        }
        Ok(())
    })
}

/// As `mq_producer_send_batch`, without waiting: the answer is one `MQ_EVENT_DONE` with `tag` on `queue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_send_batch_async(
    producer: *mut mq_producer,
    messages: *const *const mq_message,
    count: usize,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and as many messages as it says.
    unsafe {
        begin(producer, queue, |producer, queue| {
            producer.send_batch_async(list(messages, count)?, timeout(timeout_ms), queue, tag)
        })
    }
}

/// As `mq_producer_send`, to this very queue of the message's topic; it is not tried again on another.
///
/// Together with `mq_producer_queues` a program chooses queues by its own rule. (Messages of one group go to one queue by
/// themselves: `mq_message_set_group`.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_send_to_queue(
    producer: *mut mq_producer,
    message: *const mq_message,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    timeout_ms: i64,
    receipt: *mut *mut mq_receipt,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, a text with its length and a place for the receipt or NULL.
        unsafe {
            let (producer, message) = (handle(producer, "producer")?, handle(message, "message")?);
            let to = queue_of(message, broker_name, broker_name_len, queue_id)?;
            let sent = producer.producer.send_to_queue(message.message.clone(), &to, timeout(timeout_ms))?;
            give(sent, receipt);
        }
        Ok(())
    })
}

/// As `mq_producer_send_to_queue`, without waiting: the answer is an `MQ_EVENT_DONE` with `tag` on `queue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_send_to_queue_async(
    producer: *mut mq_producer,
    message: *const mq_message,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a text with its length.
        let (producer, message, queue, to) = unsafe {
            let message = handle(message, "message")?;
            let to = queue_of(message, broker_name, broker_name_len, queue_id)?;
            (handle(producer, "producer")?, message, handle(queue, "queue")?, to)
        };
        let message = message.message.clone();
        producer.producer.send_to_queue_async(message, &to, timeout(timeout_ms), &queue.queue, tag)
    })
}

/// Gives the queues of a topic that can be sent to, in the order of broker names and queue ids. Free them with
/// `mq_message_queues_free`. Blocks only for a topic that was not used yet.
///
/// Errors: `MQ_ERR_NOT_FOUND` when there is no such topic, `MQ_ERR_NETWORK`, `MQ_ERR_TIMEOUT`, `MQ_ERR_CLOSED`, `MQ_ERR_STATE`,
/// `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_queues(
    producer: *mut mq_producer,
    topic: *const c_char,
    topic_len: usize,
    queues: *mut *mut mq_message_queues,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, a text with its length and a place for the result.
    unsafe {
        get(producer, queues, "queues", |producer| {
            producer.queues(text(topic, topic_len, "the topic")?).map(mq_message_queues::give)
        })
    }
}

/// As `mq_producer_queues`, without waiting: the answer is an `MQ_EVENT_DONE` with `tag` on `queue`; see `mq_event_queues`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_queues_async(
    producer: *mut mq_producer,
    topic: *const c_char,
    topic_len: usize,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and a text with its length.
    unsafe {
        begin(producer, queue, |producer, queue| {
            producer.queues_async(text(topic, topic_len, "the topic")?, queue, tag)
        })
    }
}

/// Tells how to divide `count` messages into lists that `mq_producer_send_batch` takes, their order kept; sends nothing.
///
/// `lengths` has room for `count` numbers; `lists` takes how many lists there are. The first list is the first
/// `lengths[0]` messages, the second the `lengths[1]` messages after them, and so on. A list ends where it would be larger
/// than the setting `max_message_size`, and where the next message has another topic, group or wait flag.
/// Errors: `MQ_ERR_TOO_LARGE` when one message alone is over the limit, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_split_batch(
    producer: *mut mq_producer,
    messages: *const *const mq_message,
    count: usize,
    lengths: *mut usize,
    lists: *mut usize,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL, as many messages as it says, and places for the results.
    unsafe {
        get(producer, lists, "lists", |producer| {
            let messages = list(messages, count)?;
            if lengths.is_null() {
                return Err(argument("lengths is NULL; pass an array with room for `count` numbers"));
            }
            let divided = producer.split_batch(messages)?;
            for (index, list) in divided.iter().enumerate() {
                // No list is empty, so there are at most `count`, for which there is room.
                lengths.add(index).write(list.len());
            }
            Ok(divided.len())
        })
    }
}

/// Cancels the asynchronous calls of this producer that were made with `queue` and `tag` and are not done yet: their event
/// is then an `MQ_ERR_CANCELLED`. The broker may have stored a message all the same. Unknown tags are no error; closing is
/// not cancelled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_cancel(
    producer: *mut mq_producer,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(producer, queue, |producer, queue| producer.cancel(queue, tag)) }
}

/// Closes a producer: waits for the sends under way, up to `timeout_ms` milliseconds (negative or 0: 5 seconds), then
/// fails the rest with `MQ_ERR_CLOSED`. Closing twice is no error.
///
/// Errors: `MQ_ERR_TIMEOUT` when sends had to be cut, `MQ_ERR_STATE`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_close(producer: *mut mq_producer, timeout_ms: i64) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(producer, |producer| producer.close(timeout(timeout_ms))) }
}

/// As `mq_producer_close`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_close_async(
    producer: *mut mq_producer,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(producer, queue, |producer, queue| producer.close_async(timeout(timeout_ms), queue, tag)) }
}

/// Frees a producer, after closing it if that was not done. NULL is allowed. In a forked child nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_producer_free(producer: *mut mq_producer) {
    // SAFETY: the header asks for a producer that the caller owns, or NULL.
    unsafe {
        if let Some(producer) = producer.as_ref()
            && !on_library_thread()
        {
            // There is nobody to tell of an error. On a thread of the library the drop closes without waiting.
            quiet((), || drop(producer.producer.close(None)));
        }
        free(producer);
    }
}
