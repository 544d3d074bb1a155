//! Dead letters: what a group failed to consume too often.

use std::ffi::c_char;

use mq_binding::{DeadLetters, Event, Outcome};

use crate::call::{Handle, Out, begin, call, free, handle, on, text};
use crate::client::mq_client;
use crate::error::mq_error;
use crate::event::mq_event;
use crate::producer::give;
use crate::queue::mq_queue;
use crate::receipt::mq_receipt;
use crate::view::mq_message_view;

/// The dead letters of one consumer group, from the oldest on: messages that it failed to consume too often. May be used
/// from any thread, by several at once.
///
/// Reading takes nothing away; brokers keep dead letters as long as other messages. The time limits of all calls are the
/// client's own settings. Errors of those that ask brokers: `MQ_ERR_NETWORK`, `MQ_ERR_TIMEOUT`, `MQ_ERR_BROKER`, `MQ_ERR_CLOSED`,
/// `MQ_ERR_STATE` (on a thread of the library), `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`; `MQ_ERR_DENIED` when the topic of the dead letters
/// may not be read, as brokers up to 4.9.1 make it.
pub struct mq_dead_letters {
    letters: DeadLetters,
}

impl Handle for mq_dead_letters {
    type Core = DeadLetters;
    const NAME: &'static str = "letters";

    fn core(&self) -> &DeadLetters {
        &self.letters
    }
}

/// Gives access to the dead letters of a consumer group. No broker is asked yet. Free it with `mq_dead_letters_free`; there is
/// nothing to close. Errors: `MQ_ERR_ARGUMENT`, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_new(
    client: *mut mq_client,
    group: *const c_char,
    group_len: usize,
    letters: *mut *mut mq_dead_letters,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL, a text with its length and a place for the result.
        let (client, group, out) = unsafe {
            (handle(client, "client")?, text(group, group_len, "the group")?, Out::new(letters, "letters")?)
        };
        let letters = client.client.dead_letters(group)?;
        out.set(Box::into_raw(Box::new(mq_dead_letters { letters })));
        Ok(())
    })
}

/// Gives up to `max` dead letters that follow those read before; none if there are no more at the moment.
///
/// They come as an event, as those of `mq_pull_consumer_poll`: see `mq_event_message_count` and `mq_event_message`; free it
/// with `mq_event_free`. `mq_message_view_origin_topic` tells where each was first sent to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_read(
    letters: *mut mq_dead_letters,
    max: usize,
    event: *mut *mut mq_event,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the result.
        let (letters, out) = unsafe { (handle(letters, "letters")?, Out::new(event, "event")?) };
        let read = letters.letters.read(max).map(Outcome::Polled)?;
        out.set(mq_event::give(Event::Done { tag: 0, result: Ok(read) }));
        Ok(())
    })
}

/// As `mq_dead_letters_read`, without waiting: one `MQ_EVENT_DONE` with `tag` on `queue` has all the letters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_read_async(
    letters: *mut mq_dead_letters,
    max: usize,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(letters, queue, |letters, queue| letters.read_async(max, queue, tag)) }
}

/// Begins again with the oldest; waits for a read that is under way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_rewind(letters: *mut mq_dead_letters) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(letters, |letters| letters.rewind()) }
}

/// As `mq_dead_letters_rewind`, without waiting: an `MQ_EVENT_DONE` with `tag` on `queue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_rewind_async(
    letters: *mut mq_dead_letters,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(letters, queue, |letters, queue| letters.rewind_async(queue, tag)) }
}

/// Sends a dead letter to the topic that it was first sent to, as a new message with a new id: same body, tag, keys, message
/// group and properties of the application. All groups that subscribe to the topic get it. The letter itself stays.
///
/// `receipt` may be NULL; otherwise free it with `mq_receipt_free`. Errors also as `mq_producer_send`; `MQ_ERR_ARGUMENT` when
/// the message is no dead letter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_resend(
    letters: *mut mq_dead_letters,
    view: *const mq_message_view,
    receipt: *mut *mut mq_receipt,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the receipt or NULL.
        unsafe {
            let (letters, view) = (handle(letters, "letters")?, handle(view, "view")?);
            give(letters.letters.resend(view.message())?, receipt);
        }
        Ok(())
    })
}

/// As `mq_dead_letters_resend`, without waiting: the receipt comes with an `MQ_EVENT_DONE` with `tag` on `queue`. The view can be
/// freed after the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_resend_async(
    letters: *mut mq_dead_letters,
    view: *const mq_message_view,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe {
        begin(letters, queue, |letters, queue| {
            letters.resend_async(handle(view, "view")?.message(), queue, tag)
        })
    }
}

/// Cancels the asynchronous calls that were made with `queue` and `tag` and are not done yet: their event is then an
/// `MQ_ERR_CANCELLED`. A read that is cancelled may have passed over letters, which `mq_dead_letters_rewind` brings back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_cancel(
    letters: *mut mq_dead_letters,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(letters, queue, |letters, queue| letters.cancel(queue, tag)) }
}

/// Frees the access to dead letters. NULL is allowed. In a forked child nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_dead_letters_free(letters: *mut mq_dead_letters) {
    // SAFETY: the header asks for a handle that the caller owns, or NULL.
    unsafe { free(letters) };
}
