//! Messages that arrived.

use std::borrow::Cow;
use std::ffi::c_char;
use std::ptr;
use std::sync::OnceLock;

use mq_binding::MessageView;

use crate::call::{CText, LazyText, absent, free, quiet, set_len, text};
use crate::packed::{Packed, pack};

/// A message that arrived. Immutable: may be read from any thread.
///
/// The views of an event are borrowed from it; `mq_message_view_clone` makes one that stays. Accessors of texts:
/// `len` (may be NULL) takes the length in bytes, a NUL follows, and the text is valid until the view (or the event that owns it) is
/// freed; a text that the message does not have is NULL. For a NULL view texts are NULL and numbers -1.
pub struct mq_message_view {
    message: MessageView,
    /// Made when the first one is asked for: most look at the body alone, and each view is small without them.
    texts: OnceLock<Box<Texts>>,
    packed: OnceLock<Packed>,
}

/// What is lent and not part of the message as it arrived.
#[derive(Default)]
struct Texts {
    topic: LazyText,
    origin_topic: LazyText,
    tag: LazyText,
    group: LazyText,
    message_id: LazyText,
    offset_message_id: LazyText,
    broker_name: LazyText,
    born_host: LazyText,
    store_host: LazyText,
    keys: OnceLock<Vec<CText>>,
    properties: OnceLock<Vec<(CText, CText)>>,
}

impl mq_message_view {
    pub(crate) fn new(message: MessageView) -> mq_message_view {
        mq_message_view { message, texts: OnceLock::new(), packed: OnceLock::new() }
    }

    pub(crate) fn message(&self) -> &MessageView {
        &self.message
    }

    fn texts(&self) -> &Texts {
        self.texts.get_or_init(Box::default)
    }

    pub(crate) fn packed(&self) -> &Packed {
        self.packed.get_or_init(|| pack(&self.message, self.message.body_ref()))
    }

    fn keys(&self) -> &[CText] {
        self.texts().keys.get_or_init(|| self.message.keys().map(CText::new).collect())
    }

    fn properties(&self) -> &[(CText, CText)] {
        let pair = |(name, value)| (CText::new(name), CText::new(value));
        self.texts().properties.get_or_init(|| self.message.properties().map(pair).collect())
    }
}

/// A text of a view.
///
/// # Safety
/// As the header asks: a live view or NULL, a length that can be written or NULL.
unsafe fn lend(
    view: *const mq_message_view,
    len: *mut usize,
    place: impl FnOnce(&Texts) -> &LazyText,
    text: impl FnOnce(&MessageView) -> Option<Cow<'_, str>>,
) -> *const c_char {
    // SAFETY: as the caller promises.
    unsafe {
        let Some(view) = view.as_ref() else { return absent(len) };
        quiet(ptr::null(), || place(view.texts()).lend(len, || text(&view.message)))
    }
}

/// One of the texts of a view that are made together.
///
/// # Safety
/// As the header asks: a live view or NULL, a length that can be written or NULL.
unsafe fn lend_part(
    view: *const mq_message_view,
    len: *mut usize,
    part: impl FnOnce(&mq_message_view) -> Option<&CText>,
) -> *const c_char {
    // SAFETY: as the caller promises.
    unsafe {
        let Some(view) = view.as_ref() else { return absent(len) };
        match quiet(None, || part(view)) {
            Some(text) => text.lend(len),
            None => absent(len),
        }
    }
}

/// The topic. A retried message has the topic that it was sent to, not the group's retry topic.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_topic(
    view: *const mq_message_view,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend(view, len, |texts| &texts.topic, |message| Some(message.topic().into())) }
}

/// The topic that a retried message or a dead letter was first sent to; NULL for other messages.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_origin_topic(
    view: *const mq_message_view,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend(view, len, |texts| &texts.origin_topic, |message| message.origin_topic().map(Cow::from)) }
}

/// The body, decompressed. `len` must not be NULL. NULL with length 0 for an empty body. No NUL follows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_body(view: *const mq_message_view, len: *mut usize) -> *const u8 {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe {
        let Some(view) = view.as_ref() else { return absent(len).cast() };
        let body = view.message.body_ref();
        set_len(len, body.len());
        if body.is_empty() { ptr::null() } else { body.as_ptr() }
    }
}

/// The tag, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_tag(view: *const mq_message_view, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend(view, len, |texts| &texts.tag, |message| message.tag().map(Cow::from)) }
}

/// How many keys the message has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_key_count(view: *const mq_message_view) -> usize {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(0, |view| quiet(0, || view.keys().len()))
}

/// The key number `index`, from 0; NULL beyond the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_key(
    view: *const mq_message_view,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend_part(view, len, |view| view.keys().get(index)) }
}

/// The message group (sharding key), or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_group(
    view: *const mq_message_view,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend(view, len, |texts| &texts.group, |message| message.message_group().map(Cow::from)) }
}

/// The value of a property, RocketMQ's own ones included, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_property(
    view: *const mq_message_view,
    name: *const c_char,
    name_len: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, a text with its length, and a length that can be written or NULL.
    unsafe {
        let Ok(name) = text(name, name_len, "the property's name") else { return absent(len) };
        let named = |(known, _): &&(CText, CText)| known.as_str() == name;
        lend_part(view, len, |view| view.properties().iter().find(named).map(|(_, value)| value))
    }
}

/// How many properties the message has, RocketMQ's own ones included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_property_count(view: *const mq_message_view) -> usize {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(0, |view| quiet(0, || view.properties().len()))
}

/// The name of property number `index`, from 0, in the order of the message; NULL beyond the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_property_name(
    view: *const mq_message_view,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend_part(view, len, |view| view.properties().get(index).map(|(name, _)| name)) }
}

/// The value of property number `index`, from 0, in the order of the message; NULL beyond the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_property_value(
    view: *const mq_message_view,
    index: usize,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend_part(view, len, |view| view.properties().get(index).map(|(_, value)| value)) }
}

/// The message id given by the sender.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_message_id(
    view: *const mq_message_view,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend(view, len, |texts| &texts.message_id, |message| Some(message.message_id())) }
}

/// The broker's id, which tells the store's address and the offset in its log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_offset_message_id(
    view: *const mq_message_view,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe {
        lend(view, len, |texts| &texts.offset_message_id, |message| Some(message.offset_message_id().into()))
    }
}

/// The name of the broker that it came from.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_broker_name(
    view: *const mq_message_view,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe { lend(view, len, |texts| &texts.broker_name, |message| Some(message.broker_name().into())) }
}

/// The queue within topic and broker.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_queue_id(view: *const mq_message_view) -> i32 {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(-1, |view| view.message.queue_id())
}

/// The offset in the queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_queue_offset(view: *const mq_message_view) -> i64 {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(-1, |view| view.message.queue_offset())
}

/// When it was sent, by the sender's clock: milliseconds since 1970-01-01 UTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_born_timestamp(view: *const mq_message_view) -> i64 {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(-1, |view| view.message.born_timestamp())
}

/// Who sent it, `host:port` as the broker saw it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_born_host(
    view: *const mq_message_view,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe {
        lend(view, len, |texts| &texts.born_host, |message| Some(message.born_host().to_string().into()))
    }
}

/// When it was stored, by the broker's clock: milliseconds since 1970-01-01 UTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_store_timestamp(view: *const mq_message_view) -> i64 {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(-1, |view| view.message.store_timestamp())
}

/// The `host:port` of the broker that stored it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_store_host(
    view: *const mq_message_view,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live view or NULL, and a length that can be written or NULL.
    unsafe {
        lend(view, len, |texts| &texts.store_host, |message| Some(message.store_host().to_string().into()))
    }
}

/// The number that the sender gave it with `mq_message_set_flag`, 0 as a rule.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_flag(view: *const mq_message_view) -> i32 {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(-1, |view| view.message.flag())
}

/// How often it was given back before: 0 at first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_reconsume_times(view: *const mq_message_view) -> i32 {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(-1, |view| view.message.reconsume_times())
}

/// The number of this delivery: 1 at first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_delivery_attempt(view: *const mq_message_view) -> i32 {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }.map_or(-1, |view| view.message.delivery_attempt())
}

/// A view of the same message that outlives the event; no bytes are copied. Free it with `mq_message_view_free`. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_clone(view: *const mq_message_view) -> *mut mq_message_view {
    // SAFETY: the header asks for a live view or NULL.
    unsafe { view.as_ref() }
        .map_or(ptr::null_mut(), |view| Box::into_raw(Box::new(mq_message_view::new(view.message.clone()))))
}

/// Frees a view made by `mq_message_view_clone`. NULL is allowed. Not for the borrowed views of `mq_event_message`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_message_view_free(view: *mut mq_message_view) {
    // SAFETY: the header asks for a view made by `mq_message_view_clone`, or NULL.
    unsafe { free(view) };
}
