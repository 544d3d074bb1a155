//! How appenders wake background threads without paying for threads that are awake already.

use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The background threads, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Worker {
    /// Syncs the log.
    Flush = 1,
    /// Writes and syncs queues, writes the checkpoint, cleans up.
    Queues = 2,
    /// Builds the index.
    Index = 4,
    /// Reserves disk blocks and makes the next log file.
    Reserve = 8,
    /// Ends waits for a sync that take too long.
    Timeouts = 16,
}

/// All workers.
pub(crate) const ALL: [Worker; 5] =
    [Worker::Flush, Worker::Queues, Worker::Index, Worker::Reserve, Worker::Timeouts];

#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

/// One bell for each worker and the set of those who sleep.
#[derive(Debug, Default)]
pub(crate) struct Bells {
    sleeping: AtomicU32,
    bells: [Bell; ALL.len()],
}

impl Bells {
    fn bell(&self, worker: Worker) -> &Bell {
        // `Worker` is one of the bits 0 to 4, so the index is always inside.
        &self.bells[(worker as u32).trailing_zeros() as usize]
    }

    /// Wakes those of the workers in `mask` that sleep until there is work.
    ///
    /// To be called after the work was made visible.
    pub(crate) fn ring(&self, mask: u32) {
        // Pairs with the fence in `sleep`: either the worker sees the work or we see that it sleeps.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) & mask == 0 {
            return;
        }
        for worker in ALL.into_iter().filter(|worker| *worker as u32 & mask != 0) {
            if self.sleeping.fetch_and(!(worker as u32), Ordering::AcqRel) & worker as u32 != 0 {
                self.hurry(worker);
            }
        }
    }

    /// Wakes a worker whether it sleeps or pauses.
    pub(crate) fn hurry(&self, worker: Worker) {
        let bell = self.bell(worker);
        *bell.rung.lock() = true;
        bell.changed.notify_all();
    }

    /// Sleeps until rung, unless there is work already; at most for `limit`.
    pub(crate) fn sleep(&self, worker: Worker, limit: Option<Duration>, has_work: impl Fn() -> bool) {
        self.sleeping.fetch_or(worker as u32, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if !has_work() {
            self.wait(worker, limit);
        }
        self.sleeping.fetch_and(!(worker as u32), Ordering::AcqRel);
    }

    /// Waits for `limit` while work gathers; only [`hurry`](Bells::hurry) ends it earlier, and then it returns `true`.
    pub(crate) fn pause(&self, worker: Worker, limit: Duration) -> bool {
        self.wait(worker, Some(limit))
    }

    fn wait(&self, worker: Worker, limit: Option<Duration>) -> bool {
        let bell = self.bell(worker);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut rung = bell.rung.lock();
        while !*rung {
            match deadline {
                Some(deadline) => {
                    if bell.changed.wait_until(&mut rung, deadline).timed_out() {
                        break;
                    }
                }
                None => bell.changed.wait(&mut rung),
            }
        }
        std::mem::take(&mut *rung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn no_ring_is_lost() {
        let bells = Arc::new(Bells::default());
        let (work, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let worker = std::thread::spawn({
            let (bells, work, done) = (Arc::clone(&bells), Arc::clone(&work), Arc::clone(&done));
            move || {
                while done.load(Ordering::Acquire) < 20_000 {
                    bells.sleep(Worker::Index, None, || {
                        work.load(Ordering::Acquire) > done.load(Ordering::Acquire)
                    });
                    done.store(work.load(Ordering::Acquire), Ordering::Release);
                }
            }
        });
        for n in 1..=20_000 {
            work.store(n, Ordering::Release);
            bells.ring(Worker::Index as u32);
            if n % 64 == 0 {
                while done.load(Ordering::Acquire) < n {
                    std::thread::yield_now();
                }
            }
        }
        worker.join().unwrap();
    }
}
