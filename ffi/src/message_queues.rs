//! Lists of a topic's message queues.

use std::ffi::c_char;
use std::ptr;

use mq_binding::{Error, MessageQueue};

use crate::call::{CText, absent, call, free, handle, handle_mut, quiet, text};
use crate::error::mq_error;

/// A list of message queues: those that a topic has on its brokers, or some of them. Not to be confused with
/// `mq_queue`, on which events arrive.
///
/// A queue is named by its topic, its broker and its number there; it goes in as these three. Lists that the
/// library gives are immutable and may be read from any thread; one that is being made is for one thread at a time.
pub struct mq_message_queues {
    queues: Vec<Entry>,
}

struct Entry {
    queue: MessageQueue,
    topic: CText,
    broker_name: CText,
}

impl mq_message_queues {
    pub(crate) fn new(queues: Vec<MessageQueue>) -> mq_message_queues {
        mq_message_queues { queues: queues.into_iter().map(Entry::new).collect() }
    }

    /// A list for C to own.
    pub(crate) fn give(queues: Vec<MessageQueue>) -> *mut mq_message_queues {
        Box::into_raw(Box::new(mq_message_queues::new(queues)))
    }
}

impl Entry {
    fn new(queue: MessageQueue) -> Entry {
        let (topic, broker_name) = (CText::new(&queue.topic), CText::new(&queue.broker_name));
        Entry { queue, topic, broker_name }
    }
}

/// One queue given by its parts.
///
/// # Safety
/// As the header asks: texts with their lengths.
pub(crate) unsafe fn message_queue(
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
) -> Result<MessageQueue, Error> {
    // SAFETY: as the caller promises.
    let (topic, broker_name) = unsafe {
        (text(topic, topic_len, "the topic")?, text(broker_name, broker_name_len, "the broker's name")?)
    };
    Ok(MessageQueue { topic: topic.to_owned(), broker_name: broker_name.to_owned(), queue_id })
}

/// Makes an empty list. Free it with `mq_message_queues_free`.
#[unsafe(no_mangle)]
pub extern "C" fn mq_message_queues_new() -> *mut mq_message_queues {
    mq_message_queues::give(Vec::new())
}

/// Adds a queue. Errors: `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_queues_add(
    queues: *mut mq_message_queues,
    topic: *const c_char,
    topic_len: usize,
    broker_name: *const c_char,
    broker_name_len: usize,
    queue_id: i32,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a list of one thread or NULL and texts with their lengths.
        unsafe {
            let queues = handle_mut(queues, "queues")?;
            let queue = message_queue(topic, topic_len, broker_name, broker_name_len, queue_id)?;
            queues.queues.push(Entry::new(queue));
        }
        Ok(())
    })
}

/// How many queues are in the list; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_queues_count(queues: *const mq_message_queues) -> usize {
    // SAFETY: the header asks for a live list or NULL.
    unsafe { queues.as_ref() }.map_or(0, |queues| queues.queues.len())
}

/// A text of one entry.
///
/// # Safety
/// As the header asks: a live list or NULL, a length that can be written or NULL.
unsafe fn lend(
    queues: *const mq_message_queues,
    index: usize,
    len: *mut usize,
    text: impl FnOnce(&Entry) -> &CText,
) -> *const c_char {
    // SAFETY: as the caller promises.
    unsafe {
        match queues.as_ref().and_then(|queues| queues.queues.get(index)) {
            Some(entry) => text(entry).lend(len),
            None => absent(len),
        }
    }
}

/// The topic of queue number `index`, from 0; NULL beyond the last one. `len` (may be NULL) takes the length in bytes; a
/// NUL follows. Valid until the list is changed or freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_queues_topic(
    queues: *const mq_message_queues,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live list or NULL, and a length that can be written or NULL.
    quiet(ptr::null(), || unsafe { lend(queues, index, len, |entry| &entry.topic) })
}

/// The name of the broker of queue number `index`. As `mq_message_queues_topic`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_queues_broker_name(
    queues: *const mq_message_queues,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live list or NULL, and a length that can be written or NULL.
    quiet(ptr::null(), || unsafe { lend(queues, index, len, |entry| &entry.broker_name) })
}

/// The number of queue number `index` within its topic and broker; -1 beyond the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_queues_id(queues: *const mq_message_queues, index: usize) -> i32 {
    // SAFETY: the header asks for a live list or NULL.
    let queues = unsafe { queues.as_ref() };
    queues.and_then(|queues| queues.queues.get(index)).map_or(-1, |entry| entry.queue.queue_id)
}

/// Frees a list. NULL is allowed. Not for the borrowed lists of events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_queues_free(queues: *mut mq_message_queues) {
    // SAFETY: the header asks for a list that the caller owns, or NULL.
    unsafe { free(queues) };
}

/// The queues of a list that must not be NULL.
///
/// # Safety
/// As the header asks: a live list or NULL.
pub(crate) unsafe fn list(queues: *const mq_message_queues) -> Result<Vec<MessageQueue>, Error> {
    // SAFETY: as the caller promises.
    let queues = unsafe { handle(queues, "queues") }?;
    Ok(queues.queues.iter().map(|entry| entry.queue.clone()).collect())
}
