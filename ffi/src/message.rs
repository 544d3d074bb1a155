//! Messages to be sent.

use std::ffi::c_char;

use mq_binding::{Delivery, Error, Message};

use crate::call::{Out, argument, bytes, call, free, handle, handle_mut, text};
use crate::error::mq_error;

/// A message to be sent: topic, body, tag, keys, properties.
///
/// Not for use by two threads at once. Sending copies what it needs (the body is shared, not copied), so a message can
/// be sent again, changed or freed as soon as the call has returned, also after an asynchronous one.
pub struct mq_message {
    pub(crate) message: Message,
}

/// Changes a message by a text.
///
/// # Safety
/// As the header asks: a live message of one thread or NULL, a text with its length.
unsafe fn change(
    message: *mut mq_message,
    value: *const c_char,
    len: usize,
    what: &str,
    change: impl FnOnce(&mut Message, String),
) -> Result<(), Error> {
    // SAFETY: as the caller promises.
    let (message, value) = unsafe { (handle_mut(message, "message")?, text(value, len, what)?) };
    change(&mut message.message, value.to_owned());
    Ok(())
}

/// Makes a message. Topic and body are copied.
///
/// This and the functions that change a message fail with `MQ_ERR_ARGUMENT` for NULL and for text that is not UTF-8. What RocketMQ
/// does not allow (an illegal topic, an empty body, a key with a space, a reserved property …) is found by
/// `mq_message_check` and by every send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_new(
    topic: *const c_char,
    topic_len: usize,
    body: *const u8,
    body_len: usize,
    message: *mut *mut mq_message,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a text and bytes with their lengths and a place for the result.
        let (topic, body, out) = unsafe {
            (
                text(topic, topic_len, "the topic")?,
                bytes(body, body_len, "the body")?,
                Out::new(message, "message")?,
            )
        };
        out.set(Box::into_raw(Box::new(mq_message { message: Message::new(topic, body.to_vec()) })));
        Ok(())
    })
}

/// Sets the tag, by which consumers filter. The check refuses one that no subscription can name: with `||` in it, or spaces
/// around it. A single `|` is a character like others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_set_tag(
    message: *mut mq_message,
    tag: *const c_char,
    tag_len: usize,
) -> *mut mq_error {
    // SAFETY: the header asks for the same as `change`.
    call(|| unsafe { change(message, tag, tag_len, "the tag", |message, tag| message.tag = Some(tag)) })
}

/// Adds a key, by which the message can be looked up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_add_key(
    message: *mut mq_message,
    key: *const c_char,
    key_len: usize,
) -> *mut mq_error {
    // SAFETY: the header asks for the same as `change`.
    call(|| unsafe { change(message, key, key_len, "the key", |message, key| message.keys.push(key)) })
}

/// Sets a property of the application's own; a later value replaces an earlier one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_set_property(
    message: *mut mq_message,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a live message of one thread or NULL, and for texts with their lengths.
        let (message, name, value) = unsafe {
            (
                handle_mut(message, "message")?,
                text(name, name_len, "the property's name")?,
                text(value, value_len, "the property's value")?,
            )
        };
        let properties = &mut message.message.properties;
        match properties.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => properties.push((name.to_owned(), value.to_owned())),
        }
        Ok(())
    })
}

/// Sets the message group (sharding key): messages of one group go to one queue and keep their order.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_set_group(
    message: *mut mq_message,
    group: *const c_char,
    group_len: usize,
) -> *mut mq_error {
    // SAFETY: the header asks for the same as `change`.
    call(|| unsafe {
        change(message, group, group_len, "the message group", |message, group| {
            message.message_group = Some(group)
        })
    })
}

/// Delays delivery by one of the broker's levels, 1 to 18 (1 s, 5 s, 10 s, 30 s, 1 min … 2 h by default); 0 is no delay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_set_delay_level(message: *mut mq_message, level: i32) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a live message of one thread or NULL.
        let message = unsafe { handle_mut(message, "message") }?;
        message.message.delivery = match u32::try_from(level) {
            Ok(0) => Delivery::Now,
            Ok(level) => Delivery::Level(level),
            Err(_) => {
                return Err(argument(format!(
                    "delay level {level} is negative; give 1 or more, or 0 for no delay"
                )));
            }
        };
        Ok(())
    })
}

/// Sets whether the broker answers only when the message is flushed and replicated as its own settings ask for (not 0, as it
/// is at first), or as soon as it is in memory (0).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_set_wait_store(message: *mut mq_message, wait: i32) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a live message of one thread or NULL.
        unsafe { handle_mut(message, "message") }?.message.wait_store = wait != 0;
        Ok(())
    })
}

/// Sets a number that travels along unread, 0 at first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_set_flag(message: *mut mq_message, flag: i32) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a live message of one thread or NULL.
        unsafe { handle_mut(message, "message") }?.message.flag = flag;
        Ok(())
    })
}

/// Checks everything that needs no settings and no broker: topic, body, tag, keys, properties, delay. Every send does it too.
///
/// Errors: `MQ_ERR_ARGUMENT`, `MQ_ERR_TOO_LARGE`; the text says what is not acceptable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_check(message: *const mq_message) -> *mut mq_error {
    // SAFETY: the header asks for a live message or NULL.
    call(|| unsafe { handle(message, "message") }?.message.check())
}

/// Frees a message. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_free(message: *mut mq_message) {
    // SAFETY: the header asks for a message that the caller owns, or NULL.
    unsafe { free(message) };
}
