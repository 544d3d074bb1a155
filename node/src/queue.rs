//! The completion queue of one JavaScript thread: woken by one weak thread-safe function, drained in batches.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Weak;
use std::time::Duration;

use mq_binding::{ConsumeResult, Event, LogLevel, MessageView, Outcome, ReplyToken};
use napi::bindgen_prelude::{BufferSlice, Env, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use crate::batch::Batch;
use crate::client::limit;
use crate::error::{Throw, argument};

/// See `lib/loop.js`. Used by the thread that made it alone.
#[napi]
pub struct Queue {
    pub(crate) inner: mq_binding::Queue,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// Taken from the queue, but the batch was full.
    waiting: VecDeque<Event>,
    polled: Vec<Event>,
    batch: Batch,
    /// What JavaScript has to answer.
    tokens: HashMap<u64, ReplyToken>,
    /// Where to keep what a call gives, by its tag.
    keep: HashMap<u64, Weak<Kept>>,
}

/// Messages that the native side keeps, because they may be sent again.
pub(crate) type Kept = RefCell<Vec<MessageView>>;

impl Queue {
    /// Has the messages that the call `tag` gives kept in `place`.
    pub(crate) fn keep(&self, tag: u64, place: Weak<Kept>) {
        self.state.borrow_mut().keep.insert(tag, place);
    }
}

#[napi]
impl Queue {
    /// A queue that calls `wake` when it is no longer empty.
    #[napi(constructor)]
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> napi::Result<Queue> {
        let wake = wake.build_threadsafe_function::<()>().weak::<true>().build()?;
        let inner = mq_binding::Queue::new();
        let callback = Box::new(move || {
            // It fails only while the thread's environment ends; then nobody is there to be woken.
            wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        });
        inner.set_wakeup(Some(callback)).throw(env)?;
        Ok(Queue { inner, state: RefCell::default() })
    }

    /// Up to `max` events in one buffer, or null when there are none.
    #[napi]
    pub fn drain<'env>(&self, env: &'env Env, max: u32) -> napi::Result<Option<BufferSlice<'env>>> {
        let mut state = self.state.borrow_mut();
        let State { waiting, polled, batch, tokens, keep } = &mut *state;
        if waiting.is_empty() {
            // An error means closed: the environment ends.
            if self.inner.poll(polled, max as usize, Duration::ZERO).unwrap_or(0) == 0 {
                return Ok(None);
            }
            waiting.extend(polled.drain(..));
        }
        while !batch.is_full()
            && let Some(event) = waiting.pop_front()
        {
            if let Event::Done { tag, result } = &event
                && let Some(place) = keep.remove(tag).and_then(|place| place.upgrade())
                && let Ok(Outcome::Polled(messages)) = result
            {
                place.borrow_mut().clone_from(messages);
            }
            batch.push(event, |token| {
                let id = token.id();
                tokens.insert(id, token);
                id
            });
        }
        let buffer = BufferSlice::copy_from(env, batch.bytes());
        batch.clear();
        buffer.map(Some)
    }

    /// Answers for the messages of a token, once: 0 for success, 1 for later with a delay level, 2 for suspend with milliseconds.
    #[napi]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a token was made from a u64 in `drain`
    pub fn reply(&self, token: f64, answer: u32, value: f64) {
        let result = match answer {
            1 => ConsumeResult::Later { delay_level: (value != 0.0).then_some(value as i32) },
            2 => ConsumeResult::Suspend { duration: limit(Some(value)).filter(|time| !time.is_zero()) },
            _ => ConsumeResult::Success,
        };
        if let Some(token) = self.state.borrow_mut().tokens.remove(&(token as u64)) {
            // It fails in a forked child alone, and Node.js does not fork.
            let _ = token.reply(result);
        }
    }

    /// Puts the core's log lines up to `level` (`OFF` … `TRACE`) on this queue.
    #[napi]
    pub fn log(&self, env: Env, level: String) -> napi::Result<()> {
        let found = LogLevel::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(&level));
        found
            .ok_or_else(|| {
                argument(format!("'{level}' is not a log level; use ERROR, WARN, INFO, DEBUG or TRACE"))
            })
            .and_then(|level| mq_binding::set_log_queue(Some(&self.inner), level))
            .throw(env)
    }
}

impl Drop for Queue {
    /// The thread's environment ends: nothing fires any more.
    fn drop(&mut self) {
        self.inner.destroy();
    }
}
