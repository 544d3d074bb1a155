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
