//! Receipts: what the broker says about a message that it stored.

use std::ffi::c_char;
use std::sync::OnceLock;

use mq_binding::{SendReceipt, SendStatus};

use crate::call::{LazyText, absent, free};

/// Stored as the broker's settings promise.
pub const MQ_SEND_OK: i32 = 0;
/// Stored, but not yet on disk when the broker's own timeout ran out.
pub const MQ_SEND_FLUSH_DISK_TIMEOUT: i32 = 1;
/// Stored, but not yet on the replica when the broker's own timeout ran out.
pub const MQ_SEND_FLUSH_SLAVE_TIMEOUT: i32 = 2;
/// Stored, but no replica is there.
pub const MQ_SEND_SLAVE_NOT_AVAILABLE: i32 = 3;

/// Where a sent message (or list of messages) is. Immutable: may be read from any thread.
///
/// Accessors of texts: `len` (may be NULL) takes the length in bytes, a NUL follows, and the text is valid until the
/// receipt is freed. For a NULL receipt they give NULL, numbers are -1.
pub struct mq_receipt {
    receipt: SendReceipt,
    /// Made when the first one is asked for; most look at none.
    texts: OnceLock<Box<Texts>>,
}

#[derive(Default)]
struct Texts {
    message_id: LazyText,
    offset_message_id: LazyText,
    topic: LazyText,
    broker_name: LazyText,
    transaction_id: LazyText,
    region_id: LazyText,
}

impl mq_receipt {
    pub(crate) fn new(receipt: SendReceipt) -> mq_receipt {
        mq_receipt { receipt, texts: OnceLock::new() }
    }
}

/// A text of a receipt.
///
/// # Safety
/// As the header asks: a live receipt or NULL, a length that can be written or NULL.
unsafe fn lend(
    receipt: *const mq_receipt,
    len: *mut usize,
    place: impl FnOnce(&Texts) -> &LazyText,
    text: impl FnOnce(&SendReceipt) -> Option<&str>,
) -> *const c_char {
    // SAFETY: as the caller promises.
    unsafe {
        let Some(receipt) = receipt.as_ref() else { return absent(len) };
        place(receipt.texts.get_or_init(Box::default)).lend(len, || text(&receipt.receipt))
    }
}

/// The message id given by the client. Of a list: the ids of its messages, joined by commas.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_message_id(receipt: *const mq_receipt, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live receipt or NULL, and a length that can be written or NULL.
    unsafe { lend(receipt, len, |texts| &texts.message_id, |receipt| Some(&receipt.message_id)) }
}

/// The broker's id, which tells the store's address and the offset in its log. Of a list: joined by commas.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_offset_message_id(
    receipt: *const mq_receipt,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live receipt or NULL, and a length that can be written or NULL.
    unsafe {
        lend(receipt, len, |texts| &texts.offset_message_id, |receipt| Some(&receipt.offset_message_id))
    }
}

/// The topic.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_topic(receipt: *const mq_receipt, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live receipt or NULL, and a length that can be written or NULL.
    unsafe { lend(receipt, len, |texts| &texts.topic, |receipt| Some(&receipt.topic)) }
}

/// The name of the broker that holds the message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_broker_name(
    receipt: *const mq_receipt,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live receipt or NULL, and a length that can be written or NULL.
    unsafe { lend(receipt, len, |texts| &texts.broker_name, |receipt| Some(&receipt.broker_name)) }
}

/// The queue within topic and broker.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_queue_id(receipt: *const mq_receipt) -> i32 {
    // SAFETY: the header asks for a live receipt or NULL.
    unsafe { receipt.as_ref() }.map_or(-1, |receipt| receipt.receipt.queue_id)
}

/// The offset in the queue; of a list: that of its first message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_queue_offset(receipt: *const mq_receipt) -> i64 {
    // SAFETY: the header asks for a live receipt or NULL.
    unsafe { receipt.as_ref() }.map_or(-1, |receipt| receipt.receipt.queue_offset)
}

/// How safely the message is stored, one of `MQ_SEND_*`. Every status means that the message is stored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_status(receipt: *const mq_receipt) -> i32 {
    // SAFETY: the header asks for a live receipt or NULL.
    unsafe { receipt.as_ref() }.map_or(-1, |receipt| match receipt.receipt.status {
        SendStatus::Ok => MQ_SEND_OK,
        SendStatus::FlushDiskTimeout => MQ_SEND_FLUSH_DISK_TIMEOUT,
        SendStatus::FlushSlaveTimeout => MQ_SEND_FLUSH_SLAVE_TIMEOUT,
        SendStatus::SlaveNotAvailable => MQ_SEND_SLAVE_NOT_AVAILABLE,
    })
}

/// The transaction id, or NULL when there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_transaction_id(
    receipt: *const mq_receipt,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live receipt or NULL, and a length that can be written or NULL.
    unsafe { lend(receipt, len, |texts| &texts.transaction_id, |receipt| receipt.transaction_id.as_deref()) }
}

/// The broker's region, or NULL when it has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_region_id(receipt: *const mq_receipt, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live receipt or NULL, and a length that can be written or NULL.
    unsafe { lend(receipt, len, |texts| &texts.region_id, |receipt| receipt.region_id.as_deref()) }
}

/// Frees a receipt. NULL is allowed. Not for the borrowed receipts of `mq_event_receipt`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_receipt_free(receipt: *mut mq_receipt) {
    // SAFETY: the header asks for a receipt that the caller owns, or NULL.
    unsafe { free(receipt) };
}
