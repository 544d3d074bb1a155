//! The panic fence: no panic leaves the library, it becomes an INTERNAL error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mq_client::{Error, ErrorCode};

/// Runs `call`; a panic in it becomes an error of code INTERNAL.
///
/// # Errors
/// What `call` returns, or INTERNAL with the panic's text.
pub fn fence<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What a panicking call left half done is ours: every lock is free of poison and every state has its own end.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(panic.as_ref())))
}

/// The error for a caught panic.
#[must_use]
pub fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    Error::new(ErrorCode::Internal, format!("a bug in libmq, please report it: panic: {text}"))
}
