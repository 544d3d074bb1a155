//! How the store wakes the broker's tasks: all that one sync has released at once, from a thread of the runtime.

use std::task::Waker;

use tokio::runtime::Handle;

/// Wakes tasks of a tokio runtime from within it.
///
/// Woken from outside, each task goes through the runtime's common queue, and each may wake a thread that sleeps; from within, a
/// task goes to the thread's own queue, and a sleeping thread is woken once, to take its share of them.
#[derive(Clone, Debug)]
pub struct WakeInside(Handle);

impl WakeInside {
    /// For tasks of the runtime that runs this.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn current() -> WakeInside {
        WakeInside(Handle::current())
    }
}

impl mq_store::Wake for WakeInside {
    fn wake(&self, wakers: Vec<Waker>) {
        let all = All(wakers);
        // A runtime that ends drops it instead, which is the same.
        drop(self.0.spawn(async move { drop(all) }));
    }
}

/// Wakers that are woken wherever this is dropped.
struct All(Vec<Waker>);

impl Drop for All {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use mq_store::Wake as _;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicU32);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn all_are_woken_also_by_a_runtime_that_has_ended() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let woken = Arc::new(Counter::default());
        let wakers = || vec![Waker::from(woken.clone()), Waker::from(woken.clone())];
        let inside = {
            let _guard = runtime.enter();
            WakeInside::current()
        };
        inside.wake(wakers());
        // Waits for its thread, which ends or drops what was spawned.
        drop(runtime);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        inside.wake(wakers());
        assert_eq!(woken.0.load(Ordering::SeqCst), 4);
    }
}
