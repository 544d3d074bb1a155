//! What tests do to an embedded broker: faults of chosen requests, and a clock that can be moved.

use std::ffi::c_char;
use std::time::Duration;

use mq_binding::Error;

use crate::broker::mq_broker;
use crate::call::{argument, get, on, text};
use crate::error::mq_error;

/// Milliseconds that cannot be negative.
fn millis(millis: i64, what: &str) -> Result<Duration, Error> {
    let checked = u64::try_from(millis).map(Duration::from_millis);
    checked.map_err(|_| argument(format!("{what} is {millis} ms; give 0 or more")))
}

/// The next `times` requests of this name are not carried out; their answer has the code `response`. Those that are
/// answered with `FLUSH_DISK_TIMEOUT`, `SLAVE_NOT_AVAILABLE` or `FLUSH_SLAVE_TIMEOUT` are carried out, as these codes say.
///
/// What holds for all faults: requests and answers are named as in RocketMQ (`SEND_MESSAGE`, `SYSTEM_BUSY`) or by their
/// numbers; `SEND_MESSAGE` stands for all requests that send, `PULL_MESSAGE` for both that pull; requests to the
/// NameServer count too. Several faults of one request apply one after the other. Faults stay over a stop, a kill and
/// a restart. None of these calls blocks. Errors: `MQ_ERR_ARGUMENT` for a name that is not known, `MQ_ERR_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_fail_next(
    broker: *mut mq_broker,
    request: *const c_char,
    request_len: usize,
    response: *const c_char,
    response_len: usize,
    times: u32,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and texts with their lengths.
    unsafe {
        on(broker, |broker| {
            broker.fail_next(
                text(request, request_len, "the request")?,
                text(response, response_len, "the answer")?,
                times,
            )
        })
    }
}

/// The next `times` requests of this name are handled `delay_ms` milliseconds later; others go on meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_delay_next(
    broker: *mut mq_broker,
    request: *const c_char,
    request_len: usize,
    delay_ms: i64,
    times: u32,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and a text with its length.
    unsafe {
        on(broker, |broker| {
            broker.delay_next(
                text(request, request_len, "the request")?,
                millis(delay_ms, "the delay")?,
                times,
            )
        })
    }
}

/// The next `times` requests of this name are not carried out; their connections are closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_drop_next(
    broker: *mut mq_broker,
    request: *const c_char,
    request_len: usize,
    times: u32,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and a text with its length.
    unsafe { on(broker, |broker| broker.drop_next(text(request, request_len, "the request")?, times)) }
}

/// The next `times` requests of this name are carried out, but not answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_lose_answer_next(
    broker: *mut mq_broker,
    request: *const c_char,
    request_len: usize,
    times: u32,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and a text with its length.
    unsafe { on(broker, |broker| broker.lose_answer_next(text(request, request_len, "the request")?, times)) }
}

/// Lets the broker close new connections at once (`refuse` not 0) or accept them again (0). Open ones stay, and its
/// NameServer goes on accepting.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_refuse_connections(broker: *mut mq_broker, refuse: i32) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(broker, |broker| broker.refuse_connections(refuse != 0)) }
}

/// Takes all faults back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_clear_faults(broker: *mut mq_broker) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(broker, |broker| broker.clear_faults()) }
}

/// Moves the broker's clock forward by `time_ms` milliseconds (0 or more): delayed messages and retries that become due
/// are delivered at once; locks, clients that do not answer and old files expire. Clients that are there stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_advance_clock(broker: *mut mq_broker, time_ms: i64) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(broker, |broker| broker.advance_clock(millis(time_ms, "the time")?)) }
}

/// Sets the broker's clock: milliseconds since 1970-01-01 UTC. It goes on from there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_set_clock(broker: *mut mq_broker, millis: i64) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(broker, |broker| broker.set_clock(millis)) }
}

/// The broker's time: milliseconds since 1970-01-01 UTC.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_clock(broker: *const mq_broker, millis: *mut i64) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and a place for the result.
    unsafe { get(broker, millis, "millis", |broker| broker.clock()) }
}
