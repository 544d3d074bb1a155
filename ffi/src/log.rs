//! Log lines for the host's own log.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use mq_binding::{Error, LogHook, LogLevel, set_log_hook, set_log_queue};

use crate::call::{CText, argument, call};
use crate::error::mq_error;
use crate::queue::mq_queue;

/// No log lines.
pub const MQ_LOG_OFF: i32 = 0;
/// Something failed that should not have.
pub const MQ_LOG_ERROR: i32 = 1;
/// Something is wrong but is being dealt with.
pub const MQ_LOG_WARN: i32 = 2;
/// What an operator wants to know: connections, rebalances, starts and ends.
pub const MQ_LOG_INFO: i32 = 3;
/// What a developer wants to know.
pub const MQ_LOG_DEBUG: i32 = 4;
/// Every request.
pub const MQ_LOG_TRACE: i32 = 5;

/// Called with one log line: `level` is one of `MQ_LOG_*`; `target` and `message` are NUL-terminated UTF-8, valid during the call.
pub type mq_log_callback = Option<
    unsafe extern "C" fn(
        level: i32,
        target: *const c_char,
        target_len: usize,
        message: *const c_char,
        message_len: usize,
        user_data: *mut c_void,
    ),
>;

/// A callback with its user data.
struct Host {
    callback: unsafe extern "C" fn(i32, *const c_char, usize, *const c_char, usize, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the header says that the callback is called on any thread.
unsafe impl Send for Host {}
// SAFETY: the header says that several threads call it at once.
unsafe impl Sync for Host {}

impl Host {
    fn call(&self, level: LogLevel, target: &str, message: &str) {
        let (target, message) = (CText::new(target), CText::new(message));
        // SAFETY: the header asks for a callback that may be called with this until it is replaced; the texts live
        // until it returns.
        unsafe {
            (self.callback)(
                level as i32,
                target.as_ptr(),
                target.len(),
                message.as_ptr(),
                message.len(),
                self.user_data,
            );
        }
    }
}

fn level_of(number: i32) -> Result<LogLevel, Error> {
    LogLevel::from_number(number)
        .ok_or_else(|| argument(format!("log level {number} does not exist; give one of MQ_LOG_*")))
}

/// Hands the library's log lines up to `level` to `callback`; NULL or `MQ_LOG_OFF` stops that. The library logs nothing by
/// default. There is one receiver per process, callback or queue: the last one set.
///
/// The callback is called on whatever thread logs, by several at once. It must return quickly and must not block, throw or longjmp. When
/// the function has returned, the receiver that was set before is not running and will never be called again.
/// Errors: `MQ_ERR_STATE` when called from within the callback, `MQ_ERR_ARGUMENT` for an unknown level.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_log_set_callback(
    callback: mq_log_callback,
    user_data: *mut c_void,
    level: i32,
) -> *mut mq_error {
    call(|| {
        let level = level_of(level)?;
        let host = callback.map(|callback| Host { callback, user_data });
        let hook = host.map(|host| -> LogHook {
            Arc::new(move |level, target, message| host.call(level, target, message))
        });
        set_log_hook(hook, level)
    })
}

/// Puts the library's log lines up to `level` on `queue` as `MQ_EVENT_LOG`; NULL or `MQ_LOG_OFF` stops that.
///
/// No more than 1000 lines wait on a queue; what comes then is dropped, and counted in the next line.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_log_set_queue(queue: *mut mq_queue, level: i32) -> *mut mq_error {
    call(|| {
        let level = level_of(level)?;
        // SAFETY: the header asks for a live queue or NULL.
        set_log_queue(unsafe { queue.as_ref() }.map(|queue| &queue.queue), level)
    })
}
