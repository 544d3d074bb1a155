//! Whether the store takes messages, and if not, why.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::AppendError;

const CLOSED: u32 = 1;
const FAILED: u32 = 2;
const DISK_FULL: u32 = 4;
const QUEUES: u32 = 8;

/// Reasons to refuse messages; the common case is one load.
#[derive(Debug)]
pub(crate) struct Gate {
    reasons: AtomicU32,
    failed: OnceLock<Arc<str>>,
    queues: Mutex<Option<Arc<str>>>,
    warning_ratio: u8,
    /// Queue units that are not in files yet.
    pub(crate) pending: AtomicUsize,
    max_pending: usize,
}

impl Gate {
    pub(crate) fn new(warning_ratio: u8, max_pending: usize) -> Gate {
        Gate {
            reasons: AtomicU32::new(0),
            failed: OnceLock::new(),
            queues: Mutex::default(),
            warning_ratio,
            pending: AtomicUsize::new(0),
            max_pending,
        }
    }

    /// Whether `units` more may be appended. To be called with the append lock held.
    pub(crate) fn check(&self, units: usize) -> Result<(), AppendError> {
        let reasons = self.reasons.load(Ordering::Acquire);
        let pending = self.pending.load(Ordering::Relaxed);
        if reasons == 0 && pending.saturating_add(units) <= self.max_pending {
            return Ok(());
        }
        Err(if reasons & CLOSED != 0 {
            AppendError::Closed
        } else if let Some(why) = self.failed.get() {
            AppendError::Failed(Arc::clone(why))
        } else if reasons & DISK_FULL != 0 {
            AppendError::DiskFull(self.warning_ratio)
        } else if let Some(why) = &*self.queues.lock() {
            AppendError::Queues(Arc::clone(why))
        } else {
            AppendError::Busy(pending)
        })
    }

    /// Closes for good; `false` if it was closed.
    pub(crate) fn close(&self) -> bool {
        self.reasons.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }

    /// Refuses messages from now on: after a failed sync nobody knows what is on the disk.
    pub(crate) fn fail(&self, why: &str) {
        if self.failed.set(why.into()).is_ok() {
            tracing::error!(why, "the store takes no more messages; restart it to recover from the disk");
        }
        self.reasons.fetch_or(FAILED, Ordering::AcqRel);
    }

    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.failed.get().cloned()
    }

    pub(crate) fn set_disk_full(&self, full: bool) {
        self.set(DISK_FULL, full);
    }

    /// Notes whether queue files can be written.
    pub(crate) fn set_queues(&self, error: Option<String>) {
        let mut queues = self.queues.lock();
        self.set(QUEUES, error.is_some());
        *queues = error.map(Into::into);
    }

    fn set(&self, reason: u32, on: bool) {
        if on {
            self.reasons.fetch_or(reason, Ordering::AcqRel);
        } else {
            self.reasons.fetch_and(!reason, Ordering::AcqRel);
        }
    }

    /// Whether messages are taken, as far as the disk and earlier failures go.
    pub(crate) fn is_open(&self) -> bool {
        self.reasons.load(Ordering::Acquire) == 0
    }
}
