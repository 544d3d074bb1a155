//! The promise of exactly one event per accepted asynchronous call, and the bound on how many are owed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mq_client::{Error, ErrorCode};

use crate::event::{Event, Outcome};
use crate::queue::Queue;

/// Owes one [`Event::Done`]; pays it at the latest when it is dropped.
#[derive(Debug)]
pub(crate) struct Completion {
    queue: Queue,
    tag: u64,
    slot: Option<Slot>,
    paid: bool,
}

impl Completion {
    /// Refused when the queue is closed: then nothing is owed.
    pub(crate) fn new(queue: &Queue, tag: u64, slot: Option<Slot>) -> Result<Completion, Error> {
        queue.check_open()?;
        Ok(Completion { queue: queue.clone(), tag, slot, paid: false })
    }

    pub(crate) fn is(&self, queue: &Queue, tag: u64) -> bool {
        self.tag == tag && self.queue.same(queue)
    }

    pub(crate) fn finish(mut self, result: Result<Outcome, Error>) {
        let (event, slot) = self.event(result);
        self.queue.push(event, slot);
    }

    /// Gives up a call that was not begun: no event.
    pub(crate) fn revoke(mut self) {
        self.paid = true;
    }

    fn event(&mut self, result: Result<Outcome, Error>) -> (Event, Option<Slot>) {
        self.paid = true;
        (Event::Done { tag: self.tag, result }, self.slot.take())
    }

    /// Finishes several calls with one wake-up for each run of the same queue.
    pub(crate) fn finish_all(done: &mut Vec<(Completion, Result<Outcome, Error>)>) {
        let mut rest = done.drain(..).peekable();
        while let Some((mut first, result)) = rest.next() {
            let queue = first.queue.clone();
            let event = first.event(result);
            let more = std::iter::from_fn(|| {
                let (mut next, result) = rest.next_if(|(next, _)| next.queue.same(&queue))?;
                Some(next.event(result))
            });
            queue.push_all(std::iter::once(event).chain(more));
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if self.paid {
            return;
        }
        let error = if std::thread::panicking() {
            Error::new(ErrorCode::Internal, "a bug in libmq, please report it: the call panicked")
        } else {
            Error::new(ErrorCode::Closed, "closed before the call was done; make a new one")
        };
        let (event, slot) = self.event(Err(error));
        self.queue.push(event, slot);
    }
}

/// How many asynchronous sends may be accepted and not yet polled, and how many bytes they may hold.
#[derive(Debug)]
pub(crate) struct Window {
    max: usize,
    max_bytes: usize,
    taken: AtomicUsize,
    bytes: AtomicUsize,
}

impl Window {
    pub(crate) fn new(max: usize, max_bytes: usize) -> Arc<Window> {
        Arc::new(Window { max, max_bytes, taken: AtomicUsize::new(0), bytes: AtomicUsize::new(0) })
    }

    /// One place, given back when the event was polled. A send that is larger than all that is allowed can go alone.
    pub(crate) fn take(self: &Arc<Window>, bytes: usize) -> Result<Slot, Error> {
        let slot = Slot { window: Arc::clone(self), bytes };
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if taken < self.max && (taken == 0 || held.saturating_add(bytes) <= self.max_bytes) {
            return Ok(slot);
        }
        drop(slot);
        Err(Error::new(
            ErrorCode::QueueFull,
            format!(
                "{taken} asynchronous sends with {held} bytes are not done or their events not polled; poll them, or raise the settings 'async_send_max' and 'async_send_max_bytes'"
            ),
        ))
    }
}

/// One place of a [`Window`].
#[derive(Debug)]
pub(crate) struct Slot {
    window: Arc<Window>,
    bytes: usize,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.window.taken.fetch_sub(1, Ordering::Relaxed);
        self.window.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
