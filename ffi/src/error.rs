//! Errors: one object per failure, with code, name, text and what to do about it.

use std::ffi::c_char;
use std::sync::LazyLock;

use mq_binding::{Error, ErrorCode};

use crate::call::{CText, absent, free};

/// Success. No `mq_error` ever has this code; `mq_error_code(NULL)` gives it.
pub const MQ_OK: i32 = 0;
/// A bug in the library: a panic that stopped at its boundary, or a broken assumption. Please report it.
pub const MQ_ERR_INTERNAL: i32 = 1;
/// A setting has an unknown name or a value that cannot be used.
pub const MQ_ERR_CONFIG: i32 = 2;
/// An argument of the call is wrong: NULL, not UTF-8, an illegal topic, group or message.
pub const MQ_ERR_ARGUMENT: i32 = 3;
/// No answer within the timeout. The request may still have been carried out.
pub const MQ_ERR_TIMEOUT: i32 = 4;
/// The handle was closed, or what it was made from was.
pub const MQ_ERR_CLOSED: i32 = 5;
/// A connection could not be made or was cut.
pub const MQ_ERR_NETWORK: i32 = 6;
/// The topic has no route, or the thing asked for does not exist.
pub const MQ_ERR_NOT_FOUND: i32 = 7;
/// The broker refuses: no permission.
pub const MQ_ERR_DENIED: i32 = 8;
/// The broker is busy; try again later.
pub const MQ_ERR_THROTTLED: i32 = 9;
/// The message is larger than the limit.
pub const MQ_ERR_TOO_LARGE: i32 = 10;
/// The handle was made in the parent of this process; make a new one after fork(2).
pub const MQ_ERR_FORKED: i32 = 11;
/// Any other answer of a broker; `mq_error_broker_code` says which.
pub const MQ_ERR_BROKER: i32 = 12;
/// The call was cancelled.
pub const MQ_ERR_CANCELLED: i32 = 13;
/// The call is not possible in this state: wrong order, or a blocking call on a thread of the library (in a callback).
pub const MQ_ERR_STATE: i32 = 14;
/// Not supported, by this library or by the broker.
pub const MQ_ERR_UNSUPPORTED: i32 = 15;
/// A file or a port of the embedded broker could not be used.
pub const MQ_ERR_IO: i32 = 16;
/// A bound of the library is reached: too many sends are under way. Poll events, then try again.
pub const MQ_ERR_QUEUE_FULL: i32 = 17;

/// Why a call failed.
///
/// Functions that can fail return `mq_error *`: NULL on success, otherwise an object that the caller frees with
/// `mq_error_free`. Out parameters are written on success alone. The accessors take NULL as "no error" and may be used
/// from any thread.
pub struct mq_error {
    error: Error,
    message: CText,
}

impl mq_error {
    pub(crate) fn new(error: Error) -> mq_error {
        let message = CText::new(error.message());
        mq_error { error, message }
    }

    /// An error for C to own.
    pub(crate) fn give(error: Error) -> *mut mq_error {
        Box::into_raw(Box::new(mq_error::new(error)))
    }
}

/// The error's code, one of `MQ_ERR_*`; `MQ_OK` for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_error_code(error: *const mq_error) -> i32 {
    // SAFETY: the header asks for a live handle or NULL.
    unsafe { error.as_ref() }.map_or(MQ_OK, |error| error.error.code().number())
}

/// The code's name, for instance `TIMEOUT`; `OK` for NULL. The text is static.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_error_name(error: *const mq_error) -> *const c_char {
    // SAFETY: the header asks for a live handle or NULL.
    mq_error_code_name(unsafe { mq_error_code(error) })
}

/// What went wrong, with which value, and what to do about it; for people. Empty for NULL.
///
/// `len` (may be NULL) takes the length in bytes; a NUL follows. Valid until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_error_message(error: *const mq_error, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live error or NULL, and a length that can be written or NULL.
    unsafe {
        let Some(error) = error.as_ref() else {
            absent(len);
            return c"".as_ptr();
        };
        error.message.lend(len)
    }
}

/// The broker's own answer code (RocketMQ's ResponseCode), or -1 when no broker answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_error_broker_code(error: *const mq_error) -> i32 {
    // SAFETY: the header asks for a live handle or NULL.
    unsafe { error.as_ref() }.and_then(|error| error.error.broker_code()).unwrap_or(-1)
}

/// 1 when the same call may succeed when tried again, otherwise 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_error_retryable(error: *const mq_error) -> i32 {
    // SAFETY: the header asks for a live handle or NULL.
    unsafe { error.as_ref() }.map_or(0, |error| i32::from(error.error.retryable()))
}

/// 1 when the broker asked to slow down, otherwise 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_error_throttled(error: *const mq_error) -> i32 {
    // SAFETY: the header asks for a live handle or NULL.
    unsafe { error.as_ref() }.map_or(0, |error| i32::from(error.error.throttled()))
}

/// 1 when the handle is of no more use (closed, forked, a bug), otherwise 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_error_fatal(error: *const mq_error) -> i32 {
    // SAFETY: the header asks for a live handle or NULL.
    unsafe { error.as_ref() }.map_or(0, |error| i32::from(error.error.fatal()))
}

/// Frees an error. NULL is allowed. Not for the borrowed errors of `mq_event_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_error_free(error: *mut mq_error) {
    // SAFETY: the header asks for an error that the caller owns, or NULL.
    unsafe { free(error) };
}

/// The name of a code, for instance `TIMEOUT` for 4; `UNKNOWN` for a number that is no code. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn mq_error_code_name(code: i32) -> *const c_char {
    static NAMES: LazyLock<Vec<(i32, CText)>> = LazyLock::new(|| {
        ErrorCode::ALL.iter().map(|code| (code.number(), CText::new(code.name()))).collect()
    });
    if code == MQ_OK {
        return c"OK".as_ptr();
    }
    let name = NAMES.iter().find(|(number, _)| *number == code);
    name.map_or(c"UNKNOWN".as_ptr(), |(_, name)| name.as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_table() {
        let codes = [
            (MQ_ERR_INTERNAL, ErrorCode::Internal),
            (MQ_ERR_CONFIG, ErrorCode::Config),
            (MQ_ERR_ARGUMENT, ErrorCode::Argument),
            (MQ_ERR_TIMEOUT, ErrorCode::Timeout),
            (MQ_ERR_CLOSED, ErrorCode::Closed),
            (MQ_ERR_NETWORK, ErrorCode::Network),
            (MQ_ERR_NOT_FOUND, ErrorCode::NotFound),
            (MQ_ERR_DENIED, ErrorCode::Denied),
            (MQ_ERR_THROTTLED, ErrorCode::Throttled),
            (MQ_ERR_TOO_LARGE, ErrorCode::TooLarge),
            (MQ_ERR_FORKED, ErrorCode::Forked),
            (MQ_ERR_BROKER, ErrorCode::Broker),
            (MQ_ERR_CANCELLED, ErrorCode::Cancelled),
            (MQ_ERR_STATE, ErrorCode::State),
            (MQ_ERR_UNSUPPORTED, ErrorCode::Unsupported),
            (MQ_ERR_IO, ErrorCode::Io),
            (MQ_ERR_QUEUE_FULL, ErrorCode::QueueFull),
        ];
        assert_eq!(codes.map(|(_, code)| code), ErrorCode::ALL);
        for (number, code) in codes {
            assert_eq!(number, code.number(), "{code}");
        }
    }
}
