//! The callback that wakes an event loop: one at a time, never after it was taken away.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use mq_client::{Error, ErrorCode};
use parking_lot::Mutex;

/// What is called when a queue has something to poll. It must not block.
pub type Callback = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub(crate) struct Wakeup {
    /// Held while the callback runs, so that whoever takes it away waits for its end.
    callback: Mutex<Option<Callback>>,
    /// Whether there is one; spares the lock.
    present: AtomicBool,
    /// Something came while the callback itself was adding to the queue.
    again: AtomicBool,
}

thread_local! {
    /// The wake-ups whose callbacks are running on this thread.
    static RUNNING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl Wakeup {
    fn running_here(&self) -> bool {
        let me = std::ptr::from_ref(self).addr();
        RUNNING.with_borrow(|running| running.contains(&me))
    }

    pub(crate) fn fire(&self) {
        if !self.present.load(Ordering::Acquire) {
            return;
        }
        if self.running_here() {
            self.again.store(true, Ordering::Relaxed);
            return;
        }
        let callback = self.callback.lock();
        let Some(call) = callback.as_ref() else { return };
        RUNNING.with_borrow_mut(|running| running.push(std::ptr::from_ref(self).addr()));
        loop {
            self.again.store(false, Ordering::Relaxed);
            // A callback that panics is the host's bug; the thread that adds events must survive it.
            let result = catch_unwind(AssertUnwindSafe(call));
            if result.is_err() {
                tracing::error!("the queue's wake-up callback panicked");
            }
            if !self.again.load(Ordering::Relaxed) || !self.present.load(Ordering::Acquire) {
                break;
            }
        }
        RUNNING.with_borrow_mut(|running| running.pop());
    }

    /// Replaces the callback; waits until the one before has returned.
    pub(crate) fn set(&self, callback: Option<Callback>) -> Result<(), Error> {
        if self.running_here() {
            return Err(Error::new(
                ErrorCode::State,
                "the wake-up callback cannot be changed from within itself; do it after its return",
            ));
        }
        let mut current = self.callback.lock();
        self.present.store(callback.is_some(), Ordering::Release);
        let before = std::mem::replace(&mut *current, callback);
        drop(current);
        drop(before);
        Ok(())
    }

    /// Lets the callback never be called again, also from within it.
    pub(crate) fn silence(&self) {
        self.present.store(false, Ordering::Release);
    }
}
