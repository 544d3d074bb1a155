//! The fork guard: what was made before fork(2) answers FORKED in the child and is never touched there.

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use mq_client::{Error, ErrorCode};

/// How many forks lie between this process and the one that loaded the library.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// The generation of this process; the first call asks libc to be told of forks.
fn generation() -> u64 {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        extern "C" fn in_child() {
            GENERATION.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the handler does one atomic addition, which is allowed between fork and exec. It fails only
        // without memory; forks then stay unnoticed, as they would without a guard.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

/// The process that something was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin(u64);

impl Origin {
    pub(crate) fn here() -> Origin {
        Origin(generation())
    }

    /// Whether this is still that process.
    pub(crate) fn is_here(self) -> bool {
        GENERATION.load(Ordering::Relaxed) == self.0
    }
}

pub(crate) fn forked(what: &str) -> Error {
    Error::new(
        ErrorCode::Forked,
        format!("{what} belongs to the parent of this process; make a new one after the fork"),
    )
}

/// A value that only the process that made it may use or drop; a child leaks it.
#[derive(Debug)]
pub(crate) struct Owned<T> {
    origin: Origin,
    what: &'static str,
    value: Option<T>,
}

impl<T> Owned<T> {
    /// `what` names the value in messages: "the producer".
    pub(crate) fn new(what: &'static str, value: T) -> Owned<T> {
        Owned { origin: Origin::here(), what, value: Some(value) }
    }

    pub(crate) fn get(&self) -> Result<&T, Error> {
        match &self.value {
            Some(value) if self.origin.is_here() => Ok(value),
            _ => Err(forked(self.what)),
        }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.origin.is_here() {
            // Its locks may be held by threads that the child does not have.
            std::mem::forget(self.value.take());
        }
    }
}

/// A process-wide value that starts afresh in a forked child, where the parent's one may be locked for ever.
pub(crate) struct PerProcess<T> {
    slot: AtomicPtr<(Origin, T)>,
}

impl<T: Default + Send + Sync + 'static> PerProcess<T> {
    pub(crate) const fn new() -> PerProcess<T> {
        PerProcess { slot: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The value of this process; made at the first call and never freed.
    pub(crate) fn get(&'static self) -> &'static T {
        let current = self.slot.load(Ordering::Acquire);
        // SAFETY: the slot only ever holds null or a box that was leaked below.
        if let Some((origin, value)) = unsafe { current.as_ref() }
            && origin.is_here()
        {
            return value;
        }
        let fresh = Box::into_raw(Box::new((Origin::here(), T::default())));
        match self.slot.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: just made by `Box::into_raw`; it is in the slot now and is never freed.
            Ok(_) => unsafe { &(*fresh).1 },
            Err(_) => {
                // SAFETY: another thread was faster, so `fresh` was never shared.
                drop(unsafe { Box::from_raw(fresh) });
                self.get()
            }
        }
    }

    /// The value of this process, if it was ever asked for.
    pub(crate) fn peek(&'static self) -> Option<&'static T> {
        // SAFETY: as in `get`.
        let (origin, value) = unsafe { self.slot.load(Ordering::Acquire).as_ref() }?;
        origin.is_here().then_some(value)
    }
}
