//! The completion queue: everything asynchronous arrives here and is polled, with three ways to wake the poller.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq_client::{Error, ErrorCode};
use parking_lot::{Condvar, Mutex};
use rustix::event::{EventfdFlags, eventfd};

use crate::completion::Slot;
use crate::event::Event;
use crate::fork::Owned;
use crate::runtime::refuse_on_runtime_thread;
use crate::token::{Replies, ReplyToken};
use crate::wakeup::{Callback, Wakeup};

/// Log lines that may wait on one queue.
const LOG_LINES: usize = 1000;
/// Warnings and changes of queues that may wait on one queue.
const NOTICES: usize = 1000;

/// A queue of [`Event`]s. Clones are the same queue; usable from any thread, by several at once.
///
/// Completions, messages and log lines that wait are bounded by what their sources allow to be outstanding.
#[derive(Clone)]
pub struct Queue(Arc<Owned<Shared>>);

struct Shared {
    state: Mutex<State>,
    ready: Condvar,
    wakeup: Wakeup,
}

#[derive(Default)]
struct State {
    events: VecDeque<(Event, Option<Slot>)>,
    closed: bool,
    /// Polls that wait now.
    waiting: usize,
    /// Whether a poll shall return although nothing came.
    woken: bool,
    /// Readable while there is something to poll, and from a wake to the next poll; made when it is first asked for.
    fd: Option<OwnedFd>,
    fd_readable: bool,
    log_lines: usize,
    log_lines_dropped: u64,
    notices: usize,
}

impl State {
    fn make_readable(&mut self) {
        if let (Some(fd), false) = (&self.fd, self.fd_readable) {
            // It can fail only when the counter would overflow; it is 0 here.
            self.fd_readable = rustix::io::write(fd, &1_u64.to_ne_bytes()).is_ok();
        }
    }

    fn make_unreadable(&mut self) {
        if let (Some(fd), true) = (&self.fd, self.fd_readable) {
            self.fd_readable = rustix::io::read(fd, &mut [0_u8; 8]).is_err();
        }
    }
}

impl Queue {
    /// An empty queue. Nothing is started.
    #[must_use]
    pub fn new() -> Queue {
        let shared = Shared { state: Mutex::default(), ready: Condvar::new(), wakeup: Wakeup::default() };
        Queue(Arc::new(Owned::new("the queue", shared)))
    }

    /// Moves up to `max` events, oldest first, to the end of `out` and returns their number.
    ///
    /// Waits up to `timeout` for the first one; [`Duration::ZERO`] does not wait, [`Duration::MAX`] waits until one comes,
    /// [`Queue::wake`] is called or the queue is closed. 0 is not an error.
    ///
    /// # Errors
    /// CLOSED when the queue is closed and empty, FORKED, STATE for waiting on a runtime thread.
    pub fn poll(&self, out: &mut Vec<Event>, max: usize, timeout: Duration) -> Result<usize, Error> {
        let shared = self.0.get()?;
        if max == 0 {
            return Ok(0);
        }
        let mut state = shared.state.lock();
        if state.events.is_empty() && !state.closed && !timeout.is_zero() && !state.woken {
            refuse_on_runtime_thread("polling a queue with a timeout")?;
            let deadline = Instant::now().checked_add(timeout);
            state.waiting += 1;
            while state.events.is_empty() && !state.closed && !state.woken {
                match deadline {
                    None => shared.ready.wait(&mut state),
                    Some(deadline) => {
                        if shared.ready.wait_until(&mut state, deadline).timed_out() {
                            break;
                        }
                    }
                }
            }
            state.waiting -= 1;
        }
        if !timeout.is_zero() {
            state.woken = false;
        }
        if state.events.is_empty() {
            if state.closed {
                return Err(closed());
            }
            state.make_unreadable();
            return Ok(0);
        }
        let count = state.events.len().min(max);
        out.reserve(count);
        let mut slots = Vec::new();
        for (event, slot) in state.events.drain(..count) {
            out.push(event);
            slots.extend(slot);
        }
        for event in &out[out.len() - count..] {
            match event {
                Event::Log { .. } => state.log_lines -= 1,
                Event::Warning { .. } | Event::QueueChange { .. } => state.notices -= 1,
                _ => {}
            }
        }
        if state.events.is_empty() {
            if !state.closed {
                state.make_unreadable();
            }
        } else if state.waiting > 0 {
            shared.ready.notify_one();
        }
        drop(state);
        // Each slot lets its producer accept another send.
        drop(slots);
        Ok(count)
    }

    /// Lets one waiting poll, or else the next one that would wait, return at once; the descriptor is readable until the
    /// next poll.
    ///
    /// # Errors
    /// FORKED.
    pub fn wake(&self) -> Result<(), Error> {
        let shared = self.0.get()?;
        let mut state = shared.state.lock();
        state.woken = true;
        state.make_readable();
        drop(state);
        shared.ready.notify_one();
        Ok(())
    }

    /// How many events wait; 0 in a forked child.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.get().map_or(0, |shared| shared.state.lock().events.len())
    }

    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A file descriptor that is readable while events wait (after a wake until the next poll, and once the queue is
    /// closed), for event loops.
    ///
    /// Made at the first call. It belongs to the queue: it must not be read, written or closed.
    ///
    /// # Errors
    /// IO when the system gives none, FORKED.
    pub fn fd(&self) -> Result<RawFd, Error> {
        let mut state = self.0.get()?.state.lock();
        if state.fd.is_none() {
            let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|e| {
                Error::new(
                    ErrorCode::Io,
                    format!("no event file descriptor for the queue: {e}; raise the limit of open files"),
                )
            })?;
            state.fd = Some(fd);
            if !state.events.is_empty() || state.closed || state.woken {
                state.make_readable();
            }
        }
        state.fd.as_ref().map(AsRawFd::as_raw_fd).ok_or_else(closed)
    }

    /// Sets the one callback that is called when the queue goes from empty to non-empty, and once at once if it is not
    /// empty now; `None` takes it away.
    ///
    /// The callback must not block. When this returns, the one before is not running and will not run again; so
    /// a callback that needs a lock which the caller holds is a deadlock.
    ///
    /// # Errors
    /// STATE when called from within the callback, FORKED.
    pub fn set_wakeup(&self, callback: Option<Callback>) -> Result<(), Error> {
        let shared = self.0.get()?;
        shared.wakeup.set(callback)?;
        let state = shared.state.lock();
        let something = !state.events.is_empty() || state.closed;
        drop(state);
        if something {
            shared.wakeup.fire();
        }
        Ok(())
    }

    /// Closes the queue: later events are dropped (messages are delivered again), waiting polls return, calls that name
    /// it get CLOSED. What waits can still be polled. Closing twice is no error.
    ///
    /// # Errors
    /// FORKED.
    pub fn close(&self) -> Result<(), Error> {
        let shared = self.0.get()?;
        let mut state = shared.state.lock();
        if state.closed {
            return Ok(());
        }
        state.closed = true;
        let was_empty = state.events.is_empty();
        state.make_readable();
        drop(state);
        shared.ready.notify_all();
        if was_empty {
            shared.wakeup.fire();
        }
        Ok(())
    }

    /// Closes the queue and drops what waits and the callback, whoever else holds a clone: after this nothing fires.
    pub fn destroy(&self) {
        let Ok(shared) = self.0.get() else { return };
        let (mut silenced, mut waiting) = (Ok(()), VecDeque::new());
        if self.close().is_ok() {
            silenced = shared.wakeup.set(None);
            waiting = std::mem::take(&mut shared.state.lock().events);
        }
        // From within the callback: this call of it is the last one.
        if silenced.is_err() {
            shared.wakeup.silence();
        }
        drop(waiting);
    }

    /// Whether both are the same queue.
    #[must_use]
    pub fn same(&self, other: &Queue) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Checks that events can be put on the queue.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.0.get()?.state.lock().closed { Err(closed()) } else { Ok(()) }
    }

    pub(crate) fn push(&self, event: Event, slot: Option<Slot>) {
        self.push_all(std::iter::once((event, slot)));
    }

    /// Adds events with one lock and one wake-up.
    pub(crate) fn push_all(&self, events: impl Iterator<Item = (Event, Option<Slot>)>) {
        let Ok(shared) = self.0.get() else {
            return;
        };
        let mut state = shared.state.lock();
        if state.closed {
            drop(state);
            events.for_each(drop);
            return;
        }
        let was_empty = state.events.is_empty();
        state.events.extend(events);
        let fire = was_empty && !state.events.is_empty();
        if fire {
            state.make_readable();
        }
        let notify = state.waiting > 0;
        drop(state);
        if notify {
            shared.ready.notify_one();
        }
        if fire {
            shared.wakeup.fire();
        }
    }

    /// Takes the messages of one consumer back that nobody has polled, and gives their tokens.
    pub(crate) fn withdraw(&self, replies: &Arc<Replies>) -> Vec<ReplyToken> {
        let Ok(shared) = self.0.get() else { return Vec::new() };
        let mut tokens = Vec::new();
        let mut state = shared.state.lock();
        let mut rest = VecDeque::with_capacity(state.events.len());
        for (event, slot) in state.events.drain(..) {
            match event {
                Event::Message { token, .. } if token.is_of(replies) => tokens.push(token),
                event => rest.push_back((event, slot)),
            }
        }
        state.events = rest;
        if state.events.is_empty() && !state.closed {
            state.make_unreadable();
        }
        tokens
    }

    /// Adds a warning or a change of queues; drops it when too many wait, which nobody reads.
    pub(crate) fn push_notice(&self, event: Event) {
        let Ok(shared) = self.0.get() else { return };
        let mut state = shared.state.lock();
        if state.closed || state.notices == NOTICES {
            return;
        }
        state.notices += 1;
        drop(state);
        self.push(event, None);
    }

    /// Adds a log line, or counts it when too many wait.
    pub(crate) fn push_log(&self, event: impl FnOnce(u64) -> Event) {
        let Ok(shared) = self.0.get() else { return };
        let mut state = shared.state.lock();
        if state.closed {
            return;
        }
        if state.log_lines == LOG_LINES {
            state.log_lines_dropped += 1;
            return;
        }
        state.log_lines += 1;
        let event = event(std::mem::take(&mut state.log_lines_dropped));
        drop(state);
        self.push(event, None);
    }
}

impl Default for Queue {
    fn default() -> Queue {
        Queue::new()
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("len", &self.len()).finish_non_exhaustive()
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the queue is closed; make a new one")
}
