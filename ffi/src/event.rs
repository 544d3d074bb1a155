//! Events: what a queue holds.

use std::ffi::c_char;
use std::ptr;
use std::sync::Mutex;
use std::time::Duration;

use mq_binding::{ConsumeResult, Error, ErrorCode, Event, LogLevel, MessageView, Outcome, ReplyToken};

use crate::call::{CText, absent, argument, call, free, handle, quiet};
use crate::error::mq_error;
use crate::message_queues::mq_message_queues;
use crate::receipt::mq_receipt;
use crate::view::mq_message_view;

/// An asynchronous call is done, well or badly. Exactly one for each call that was accepted.
pub const MQ_EVENT_DONE: i32 = 1;
/// A consumer has messages for the application, which must be answered.
pub const MQ_EVENT_MESSAGE: i32 = 2;
/// A log line. See `mq_log_set_queue`.
pub const MQ_EVENT_LOG: i32 = 3;
/// Something is wrong around a push consumer, although it goes on. The log has it too.
pub const MQ_EVENT_WARNING: i32 = 4;
/// The queues of a topic that is watched have changed. See `mq_pull_consumer_watch_queues`.
pub const MQ_EVENT_QUEUE_CHANGE: i32 = 5;

/// The messages are consumed.
pub const MQ_CONSUME_SUCCESS: i32 = 0;
/// The messages shall be delivered again later.
pub const MQ_CONSUME_LATER: i32 = 1;
/// Orderly consumers: the messages come again, before all others of their queue, when the queue has rested. Others take it as
/// `MQ_CONSUME_LATER`.
pub const MQ_CONSUME_SUSPEND: i32 = 2;

/// One event. The caller of `mq_queue_poll` owns it and everything borrowed from it.
///
/// May be used from any thread, and read by several at once. An accessor that does not fit the event's kind gives NULL or 0.
pub struct mq_event {
    content: Content,
}

enum Content {
    Done {
        tag: u64,
        result: Done,
    },
    Message {
        consumer: u64,
        views: Vec<mq_message_view>,
        token: Mutex<Option<ReplyToken>>,
    },
    Warning {
        consumer: u64,
        name: CText,
        message: CText,
    },
    QueueChange {
        watch: u64,
        topic: CText,
        queues: mq_message_queues,
        assigned: mq_message_queues,
    },
    Log {
        level: LogLevel,
        target: CText,
        message: CText,
    },
    /// Of a kind that this interface does not know.
    Other,
}

fn views_of(messages: Vec<MessageView>) -> Vec<mq_message_view> {
    messages.into_iter().map(mq_message_view::new).collect()
}

/// What an asynchronous call gave.
enum Done {
    Failed(mq_error),
    Sent(mq_receipt),
    Queues(mq_message_queues),
    Views(Vec<mq_message_view>),
    Offset(i64),
    Nothing,
}

impl From<Result<Outcome, Error>> for Done {
    fn from(result: Result<Outcome, Error>) -> Done {
        match result {
            Ok(Outcome::Sent(sent) | Outcome::SentBatch(sent)) => Done::Sent(mq_receipt::new(sent)),
            Ok(Outcome::Queues(list)) => Done::Queues(mq_message_queues::new(list)),
            Ok(Outcome::Polled(messages)) => Done::Views(views_of(messages)),
            Ok(Outcome::Offset(Some(found))) => Done::Offset(found),
            Ok(_) => Done::Nothing,
            Err(failure) => Done::Failed(mq_error::new(failure)),
        }
    }
}

impl mq_event {
    pub(crate) fn new(event: Event) -> mq_event {
        let content = match event {
            Event::Done { tag, result } => Content::Done { tag, result: result.into() },
            Event::Message { consumer, messages, token } => {
                Content::Message { consumer, views: views_of(messages), token: Mutex::new(Some(token)) }
            }
            Event::Warning { consumer, warning } => Content::Warning {
                consumer,
                name: CText::new(warning.code.name()),
                message: CText::new(warning.message),
            },
            Event::QueueChange { watch, change } => Content::QueueChange {
                watch,
                topic: CText::new(change.topic),
                queues: mq_message_queues::new(change.queues),
                assigned: mq_message_queues::new(change.assigned),
            },
            Event::Log { level, target, message } => {
                Content::Log { level, target: CText::new(target), message: CText::new(message) }
            }
            _ => Content::Other,
        };
        mq_event { content }
    }

    /// An event for C to own.
    pub(crate) fn give(event: Event) -> *mut mq_event {
        Box::into_raw(Box::new(mq_event::new(event)))
    }

    fn take_token(&self) -> Option<ReplyToken> {
        let Content::Message { token, .. } = &self.content else { return None };
        token.lock().unwrap_or_else(|poison| poison.into_inner()).take()
    }
}

/// The content of an event that is not NULL.
///
/// # Safety
/// `event` is NULL or points to a live event.
unsafe fn content<'a>(event: *const mq_event) -> Option<&'a Content> {
    // SAFETY: as the caller promises.
    unsafe { event.as_ref() }.map(|event| &event.content)
}

/// What C says of consumed messages.
pub(crate) fn consume_result(result: i32, detail: i32) -> Result<ConsumeResult, Error> {
    match (result, detail) {
        (MQ_CONSUME_SUCCESS, _) => Ok(ConsumeResult::Success),
        (MQ_CONSUME_LATER, 0) => Ok(ConsumeResult::LATER),
        (MQ_CONSUME_LATER, -1..) => Ok(ConsumeResult::Later { delay_level: Some(detail) }),
        (MQ_CONSUME_LATER, _) => {
            Err(argument(format!("delay level {detail} does not exist; give -1, 0 or a level from 1 on")))
        }
        (MQ_CONSUME_SUSPEND, 0) => Ok(ConsumeResult::SUSPEND),
        (MQ_CONSUME_SUSPEND, _) => match u64::try_from(detail) {
            Ok(millis) => Ok(ConsumeResult::Suspend { duration: Some(Duration::from_millis(millis)) }),
            Err(_) => Err(argument(format!(
                "a queue cannot rest for {detail} ms; give milliseconds, or 0 for the usual time"
            ))),
        },
        _ => Err(argument(format!("consume result {result} does not exist; give one of MQ_CONSUME_*"))),
    }
}

/// What the event is, one of `MQ_EVENT_*`; 0 for NULL. Ignore kinds that you do not know.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_kind(event: *const mq_event) -> i32 {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::Done { .. }) => MQ_EVENT_DONE,
        Some(Content::Message { .. }) => MQ_EVENT_MESSAGE,
        Some(Content::Warning { .. }) => MQ_EVENT_WARNING,
        Some(Content::QueueChange { .. }) => MQ_EVENT_QUEUE_CHANGE,
        Some(Content::Log { .. }) => MQ_EVENT_LOG,
        Some(Content::Other) | None => 0,
    }
}

/// `MQ_EVENT_DONE`: the tag given with the call. `MQ_EVENT_MESSAGE`, `MQ_EVENT_WARNING`: the tag given when the consumer was
/// made. `MQ_EVENT_QUEUE_CHANGE`: the `watch` given with `mq_pull_consumer_watch_queues`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_tag(event: *const mq_event) -> u64 {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(
            Content::Done { tag, .. }
            | Content::Message { consumer: tag, .. }
            | Content::Warning { consumer: tag, .. }
            | Content::QueueChange { watch: tag, .. },
        ) => *tag,
        _ => 0,
    }
}

/// `MQ_EVENT_DONE`: why the call failed, or NULL when it succeeded. Borrowed from the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_error(event: *const mq_event) -> *const mq_error {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::Done { result: Done::Failed(error), .. }) => error,
        _ => ptr::null(),
    }
}

/// `MQ_EVENT_DONE` of a send that succeeded: the receipt. NULL otherwise. Borrowed from the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_receipt(event: *const mq_event) -> *const mq_receipt {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::Done { result: Done::Sent(receipt), .. }) => receipt,
        _ => ptr::null(),
    }
}

/// `MQ_EVENT_DONE` of a call that asked for queues and succeeded: the queues. `MQ_EVENT_QUEUE_CHANGE`: all queues of the topic that
/// can be consumed. NULL otherwise. Borrowed from the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_queues(event: *const mq_event) -> *const mq_message_queues {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::Done { result: Done::Queues(queues), .. } | Content::QueueChange { queues, .. }) => {
            queues
        }
        _ => ptr::null(),
    }
}

/// `MQ_EVENT_QUEUE_CHANGE`: those queues of the topic that the consumer has. NULL otherwise. Borrowed from the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_assigned(event: *const mq_event) -> *const mq_message_queues {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::QueueChange { assigned, .. }) => assigned,
        _ => ptr::null(),
    }
}

/// `MQ_EVENT_QUEUE_CHANGE`: the topic. `len` (may be NULL) takes its length in bytes; a NUL follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_topic(event: *const mq_event, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live event or NULL, and a length that can be written or NULL.
    unsafe {
        match content(event) {
            Some(Content::QueueChange { topic, .. }) => topic.lend(len),
            _ => absent(len),
        }
    }
}

/// `MQ_EVENT_DONE` of a call that asked for an offset: the offset, or -1 when nothing is committed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_offset(event: *const mq_event) -> i64 {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::Done { result: Done::Offset(offset), .. }) => *offset,
        _ => -1,
    }
}

/// `MQ_EVENT_MESSAGE`: how many messages it has, at least 1 (at most the consumer's `consume_message_batch_max_size`).
/// `MQ_EVENT_DONE` of a poll: how many messages it gave out, perhaps 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_message_count(event: *const mq_event) -> usize {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::Message { views, .. } | Content::Done { result: Done::Views(views), .. }) => {
            views.len()
        }
        _ => 0,
    }
}

/// `MQ_EVENT_MESSAGE`, `MQ_EVENT_DONE` of a poll: message number `index`, from 0; NULL beyond the last one. Borrowed from the event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_message(event: *const mq_event, index: usize) -> *const mq_message_view {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::Message { views, .. } | Content::Done { result: Done::Views(views), .. }) => {
            views.get(index).map_or(ptr::null(), ptr::from_ref)
        }
        _ => ptr::null(),
    }
}

/// `MQ_EVENT_MESSAGE`: answers for all messages of the event, once, from any thread. The event stays readable.
///
/// `result` is one of `MQ_CONSUME_*`. With `MQ_CONSUME_LATER`, `detail` is a delay level: 0 lets the broker choose (longer
/// with every attempt), 1 to 18 is a level, -1 sends the messages to the dead-letter queue. With `MQ_CONSUME_SUSPEND` it is how
/// long the queue rests, 10 to 30000 milliseconds; 0 is the setting `suspend_current_queue_time`. Otherwise it is ignored.
/// An event freed without an answer counts as `MQ_CONSUME_LATER`.
///
/// Errors: `MQ_ERR_STATE` when it was answered before or its token was taken, `MQ_ERR_ARGUMENT`, `MQ_ERR_FORKED`. An answer
/// after the consumer was closed is no error and has no effect: the messages are delivered again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_reply(event: *mut mq_event, result: i32, detail: i32) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a live event or NULL.
        let event = unsafe { handle(event, "event") }?;
        let result = consume_result(result, detail)?;
        let Some(token) = event.take_token() else {
            return Err(Error::new(
                ErrorCode::State,
                "the event has no messages, was answered before or its token was taken; answer each event once",
            ));
        };
        token.reply(result)
    })
}

/// `MQ_EVENT_MESSAGE`: takes the duty to answer away from the event and gives the token (never 0) that
/// `mq_push_consumer_reply` wants; from then on the event can be freed at any time. 0 when it was answered or taken before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_take_token(event: *mut mq_event) -> u64 {
    quiet(0, || {
        // SAFETY: the header asks for a live event or NULL.
        unsafe { event.as_ref() }.and_then(mq_event::take_token).map_or(0, ReplyToken::into_id)
    })
}

/// `MQ_EVENT_WARNING`: the kind of trouble, for programs: `DUPLICATE_SUBSCRIPTION` (a topic was subscribed to twice with different
/// expressions; the last counts), `INCONSISTENT_SUBSCRIPTION` (members of the group want different messages, so some are lost
/// for the group), `INCONSISTENT_GROUP` (members differ in model or start), `MESSAGE_DROPPED` (a broadcasting consumer's
/// message was not consumed and does not come again), `QUEUE_LOCK_LOST` (another member has an orderly queue now). There
/// may be more in later versions. `len` as everywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_warning_name(event: *const mq_event, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live event or NULL, and a length that can be written or NULL.
    unsafe {
        match content(event) {
            Some(Content::Warning { name, .. }) => name.lend(len),
            _ => absent(len),
        }
    }
}

/// `MQ_EVENT_WARNING`: what was found and what to do about it, for people. `len` as everywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_warning_message(event: *const mq_event, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live event or NULL, and a length that can be written or NULL.
    unsafe {
        match content(event) {
            Some(Content::Warning { message, .. }) => message.lend(len),
            _ => absent(len),
        }
    }
}

/// `MQ_EVENT_LOG`: one of `MQ_LOG_*`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_log_level(event: *const mq_event) -> i32 {
    // SAFETY: the header asks for a live event or NULL.
    match unsafe { content(event) } {
        Some(Content::Log { level, .. }) => *level as i32,
        _ => 0,
    }
}

/// `MQ_EVENT_LOG`: the part of the library that speaks, for instance `mq_client::producer`. `len` as everywhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_log_target(event: *const mq_event, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live event or NULL, and a length that can be written or NULL.
    unsafe {
        match content(event) {
            Some(Content::Log { target, .. }) => target.lend(len),
            _ => absent(len),
        }
    }
}

/// `MQ_EVENT_LOG`: the line. `len` (may be NULL) takes its length in bytes; a NUL follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_log_message(event: *const mq_event, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live event or NULL, and a length that can be written or NULL.
    unsafe {
        match content(event) {
            Some(Content::Log { message, .. }) => message.lend(len),
            _ => absent(len),
        }
    }
}

/// Frees an event and everything borrowed from it; messages that were not answered are delivered again. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_event_free(event: *mut mq_event) {
    // SAFETY: the header asks for an event that the caller owns, or NULL.
    unsafe { free(event) };
}
