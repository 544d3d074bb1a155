//! The embedded broker: NameServer and broker inside this process, for tests and small installations.

#![allow(unused_variables, dead_code, reason = "the broker is on its way")]

use std::ffi::c_char;

use mq_binding::{Error, ErrorCode};

use crate::call::{absent, call};
use crate::config::mq_config;
use crate::error::mq_error;

/// A NameServer and a broker inside this process. May be used from any thread, by several at once.
///
/// All calls block. They fail with `MQ_ERR_STATE` on threads of the library and `MQ_ERR_FORKED` in a forked child.
pub struct mq_broker {
    _private: (),
}

fn absent_here() -> Result<(), Error> {
    Err(Error::new(ErrorCode::Unsupported, "this build of the library has no embedded broker"))
}

/// Starts a broker and waits until it accepts: on 127.0.0.1, on free ports, with a temporary data directory.
///
/// `config` may be NULL. Settings: `data_dir` (a directory to keep data in; without it a temporary one, removed when the
/// broker is stopped or freed), `listen_port` and `namesrv_port` (0, the default, is any free port), and Apache's own
/// `broker.conf` keys (`flushDiskType`, `autoCreateTopicEnable`, `defaultTopicQueueNums` …).
///
/// Errors: `MQ_ERR_CONFIG`, `MQ_ERR_IO` (directory or port), `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_start(
    config: *const mq_config,
    broker: *mut *mut mq_broker,
) -> *mut mq_error {
    call(absent_here)
}

/// The `host:port` of its NameServer, which a client wants as `namesrv`. `len` (may be NULL) takes the length; a NUL
/// follows. Valid until the broker is freed, though after `mq_broker_restart` perhaps not the current one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_address(broker: *const mq_broker, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a length that can be written or NULL.
    unsafe { absent(len) }
}

/// The `host:port` of the broker itself. As `mq_broker_address`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_listen_address(
    broker: *const mq_broker,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a length that can be written or NULL.
    unsafe { absent(len) }
}

/// The directory that holds its data. As `mq_broker_address`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_data_dir(broker: *const mq_broker, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a length that can be written or NULL.
    unsafe { absent(len) }
}

/// Creates a topic with `queues` queues (1 or more), or changes their number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_create_topic(
    broker: *mut mq_broker,
    name: *const c_char,
    name_len: usize,
    queues: i32,
) -> *mut mq_error {
    call(absent_here)
}

/// Stops a broker cleanly, up to `timeout_ms` milliseconds (negative or 0: 10 seconds). A temporary directory stays until
/// the broker is freed. Stopping twice is no error. Errors: `MQ_ERR_TIMEOUT`, `MQ_ERR_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_stop(broker: *mut mq_broker, timeout_ms: i64) -> *mut mq_error {
    call(absent_here)
}

/// Ends a broker as `kill -9` would: connections are cut, nothing is flushed, the mark of an unclean stop stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_kill(broker: *mut mq_broker) -> *mut mq_error {
    call(absent_here)
}

/// Starts a stopped or killed broker again, on the same data and, unless others took them, the same ports. One that runs
/// is stopped first. Errors as `mq_broker_start`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_restart(broker: *mut mq_broker) -> *mut mq_error {
    call(absent_here)
}

/// Frees a broker, after stopping it if that was not done; a temporary directory is removed. NULL is allowed. In a forked
/// child nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_free(broker: *mut mq_broker) {}
