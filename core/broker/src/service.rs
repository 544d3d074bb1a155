//! The broker's services: each owns its state and the lock around it.
//!
//! Lock order: a service never calls another one while its own lock is held, with one exception: `topics` and
//! `groups` hold their `saving` lock (which guards nothing but the order of file writes) while they take their table
//! lock for reading. Callbacks of the store (`waiting`, `schedule`) take their own lock only.

pub(crate) mod attributes;
pub(crate) mod consumers;
pub(crate) mod groups;
pub(crate) mod intake;
pub(crate) mod locks;
pub(crate) mod offsets;
pub(crate) mod producers;
pub(crate) mod registrar;
pub(crate) mod saved;
pub(crate) mod schedule;
pub(crate) mod stats;
pub(crate) mod topics;
pub(crate) mod waiting;

/// Milliseconds since the epoch by the machine's clock.
pub(crate) fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Runs something that may wait for the disk, so that other tasks of this thread move elsewhere where they can.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let many = Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    if many { tokio::task::block_in_place(work) } else { work() }
}
