//! The completion queue, on which everything asynchronous arrives.

use std::ffi::c_void;
use std::time::Duration;

use mq_binding::Queue;

use crate::call::{Out, argument, call, free, handle, quiet};
use crate::error::mq_error;
use crate::event::mq_event;

/// A queue of events: completions of asynchronous calls, messages to consume, log lines.
///
/// May be used from any thread, by several at once. One queue can serve many clients, producers and consumers.
pub struct mq_queue {
    pub(crate) queue: Queue,
}

/// Called when a queue goes from empty to non-empty. See `mq_queue_set_wakeup`.
pub type mq_wakeup_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// A callback with its user data.
struct Host {
    callback: unsafe extern "C" fn(*mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the header says that the callback is called on any thread.
unsafe impl Send for Host {}
// SAFETY: as above; the library never calls it twice at a time.
unsafe impl Sync for Host {}

impl Host {
    fn call(&self) {
        // SAFETY: the header asks for a callback that may be called with this until it is replaced.
        unsafe { (self.callback)(self.user_data) };
    }
}

/// Makes a queue. It starts no thread. Free it with `mq_queue_free`.
#[unsafe(no_mangle)]
pub extern "C" fn mq_queue_new() -> *mut mq_queue {
    Box::into_raw(Box::new(mq_queue { queue: Queue::new() }))
}

/// Takes up to `max` events, oldest first, into `events` and their number into `count`. The caller owns each of them
/// (`mq_event_free`).
///
/// Waits up to `timeout_ms` milliseconds for the first one: 0 does not wait, a negative value waits until an event
/// comes, `mq_queue_wake` is called or the queue is closed. No event in time is no error: `count` is then 0.
///
/// The number comes through `count` and not as the result, so that an empty queue can be told from a closed one and the result
/// is an error here as everywhere. Taking many at a time is what makes it fast: one lock and one call for all of them. Several
/// threads may poll; each event goes to one of them.
///
/// Errors: `MQ_ERR_CLOSED` when the queue is closed and empty, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`, `MQ_ERR_STATE` for a
/// call that would wait on a thread of the library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_queue_poll(
    queue: *mut mq_queue,
    events: *mut *mut mq_event,
    max: usize,
    timeout_ms: i64,
    count: *mut usize,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a live queue or NULL, `max` places for events and one for their number.
        let (queue, count) = unsafe { (handle(queue, "queue")?, Out::new(count, "count")?) };
        if events.is_null() && max > 0 {
            return Err(argument("events is NULL; pass an array with room for `max` events"));
        }
        let timeout = u64::try_from(timeout_ms).map_or(Duration::MAX, Duration::from_millis);
        let mut polled = Vec::new();
        queue.queue.poll(&mut polled, max, timeout)?;
        let number = polled.len();
        for (index, event) in polled.into_iter().enumerate() {
            let event = mq_event::give(event);
            // SAFETY: `index` is below `max`, for which there is room.
            unsafe { events.add(index).write(event) };
        }
        count.set(number);
        Ok(())
    })
}

/// Lets one waiting `mq_queue_poll` (or else the next one that would wait) return at once with what there is, if only 0 events.
/// The descriptor of `mq_queue_fd` is readable until the next `mq_queue_poll`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_queue_wake(queue: *mut mq_queue) -> *mut mq_error {
    // SAFETY: the header asks for a live queue or NULL.
    call(|| unsafe { handle(queue, "queue") }?.queue.wake())
}

/// How many events are waiting. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_queue_length(queue: *const mq_queue) -> usize {
    // SAFETY: the header asks for a live queue or NULL.
    quiet(0, || unsafe { queue.as_ref() }.map_or(0, |queue| queue.queue.len()))
}

/// Gives a file descriptor that is readable while events are waiting, for poll(2), epoll(7) or an event loop.
///
/// Made at the first call, the same at every later one. Do not read, write or close it: it becomes unreadable when
/// `mq_queue_poll` has taken the last event. It is closed by `mq_queue_free`. Errors: `MQ_ERR_IO`, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_queue_fd(queue: *mut mq_queue, fd: *mut i32) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a live queue or NULL, and a place for the result.
        let (queue, out) = unsafe { (handle(queue, "queue")?, Out::new(fd, "fd")?) };
        out.set(queue.queue.fd()?);
        Ok(())
    })
}

/// Sets the one callback that wakes an event loop; NULL takes it away.
///
/// It is called with `user_data` each time the queue goes from empty to non-empty, and once at once if it is not empty
/// now, on whatever thread adds the event. It must return quickly, must not block, throw or longjmp; it may
/// call `mq_queue_poll` with timeout 0. When `mq_queue_set_wakeup` (or `mq_queue_free`) has returned, the callback that was
/// set before is not running and will never run again; a callback that needs a lock which the caller holds is therefore a deadlock.
/// Errors: `MQ_ERR_STATE` when called from within the callback, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_queue_set_wakeup(
    queue: *mut mq_queue,
    callback: mq_wakeup_callback,
    user_data: *mut c_void,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for a live queue or NULL.
        let queue = unsafe { handle(queue, "queue") }?;
        let host = callback.map(|callback| Host { callback, user_data });
        queue.queue.set_wakeup(host.map(|host| -> mq_binding::Callback { Box::new(move || host.call()) }))
    })
}

/// Closes a queue: events that come later are dropped (messages are delivered again), calls that name it get
/// `MQ_ERR_CLOSED`, waiting polls return. What is waiting can still be polled. Closing twice is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_queue_close(queue: *mut mq_queue) -> *mut mq_error {
    // SAFETY: the header asks for a live queue or NULL.
    call(|| unsafe { handle(queue, "queue") }?.queue.close())
}

/// Closes and frees a queue with the events that wait in it. No thread may be in another call with it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_queue_free(queue: *mut mq_queue) {
    // SAFETY: the header asks for a queue that the caller owns, or NULL.
    unsafe {
        if let Some(queue) = queue.as_ref() {
            quiet((), || queue.queue.destroy());
        }
        free(queue);
    }
}
