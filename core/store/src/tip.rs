//! The append lock: who has held it since when, and how long others wait for it (`DefaultMessageStore.isOSPageCacheBusy`).

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::error::AppendError;
use crate::shared::Tip;

/// The writing end of the store and its lock.
#[derive(Debug)]
pub(crate) struct AppendLock {
    tip: Mutex<Tip>,
    /// When the append that holds the lock took it, in milliseconds of a clock that only goes forward; 0 if none does.
    since: AtomicU64,
    /// Appends that wait.
    waiting: AtomicUsize,
    /// How long one append may hold it before others are refused.
    limit: Duration,
}

/// What the lock guards, held for an append.
pub(crate) struct Appending<'a> {
    tip: MutexGuard<'a, Tip>,
    since: &'a AtomicU64,
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.since.store(0, Ordering::Relaxed);
    }
}

impl Deref for Appending<'_> {
    type Target = Tip;

    fn deref(&self) -> &Tip {
        &self.tip
    }
}

impl DerefMut for Appending<'_> {
    fn deref_mut(&mut self) -> &mut Tip {
        &mut self.tip
    }
}

/// Some milliseconds coarse, and cheap: the limit is a second. Never 0.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is there to be written. The C library's call, since rustix's own reads the vDSO, which memcheck hides.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) } != 0 {
        return 1;
    }
    u64::try_from(time.tv_sec * 1000 + time.tv_nsec / 1_000_000).unwrap_or(0).max(1)
}

impl AppendLock {
    pub(crate) fn new(tip: Tip, limit: Duration) -> AppendLock {
        AppendLock { tip: Mutex::new(tip), since: AtomicU64::new(0), waiting: AtomicUsize::new(0), limit }
    }

    /// The lock for anything but appending, which is short.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Tip> {
        self.tip.lock()
    }

    /// How long the append that holds the lock has held it; zero if none does.
    pub(crate) fn held(&self) -> Duration {
        match self.since.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis(now().saturating_sub(since)),
        }
    }

    /// The lock for an append, unless the disk keeps another one in it for too long.
    pub(crate) fn append(&self) -> Result<Appending<'_>, AppendError> {
        let tip = match self.tip.try_lock() {
            Some(tip) => tip,
            None => self.wait()?,
        };
        self.since.store(now(), Ordering::Relaxed);
        Ok(Appending { tip, since: &self.since })
    }

    fn wait(&self) -> Result<MutexGuard<'_, Tip>, AppendError> {
        let began = now();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let tip = loop {
            let held = self.held();
            if held > self.limit {
                let (held, waited) = (held.as_millis(), now().saturating_sub(began));
                break Err(AppendError::PageCache {
                    held: u64::try_from(held).unwrap_or(u64::MAX),
                    waited,
                    waiting: self.waiting.load(Ordering::Relaxed),
                });
            }
            // A tick of the clock more, so that the limit has passed then if nothing has moved.
            if let Some(tip) = self.tip.try_lock_for(self.limit - held + Duration::from_millis(10)) {
                break Ok(tip);
            }
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        tip
    }
}
