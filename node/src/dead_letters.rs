//! The reader of dead letters. What takes a tag ends with an event of the thread's queue.

use std::rc::Rc;

use napi::bindgen_prelude::Env;
use napi_derive::napi;

use crate::client::tag_of;
use crate::error::{Throw, argument};
use crate::queue::{Kept, Queue};

/// A reader of dead letters, and what it read last.
#[napi]
pub struct DeadLetters {
    pub(crate) inner: mq_binding::DeadLetters,
    pub(crate) queue: mq_binding::Queue,
    pub(crate) kept: Rc<Kept>,
}

#[napi]
impl DeadLetters {
    /// Reads the next ones; what comes is kept until the next read.
    #[napi]
    pub fn read(&self, env: Env, queue: &Queue, tag: f64, max: u32) -> napi::Result<()> {
        queue.keep(tag_of(tag), Rc::downgrade(&self.kept));
        self.inner.read_async(max as usize, &self.queue, tag_of(tag)).throw(env)
    }

    /// Begins again with the oldest one.
    #[napi]
    pub fn rewind(&self, env: Env, tag: f64) -> napi::Result<()> {
        self.inner.rewind_async(&self.queue, tag_of(tag)).throw(env)
    }

    /// Sends number `index` of what was read last to the topic that it came from.
    #[napi]
    pub fn resend(&self, env: Env, tag: f64, index: u32) -> napi::Result<()> {
        let kept = self.kept.borrow();
        let letter =
            kept.get(index as usize).ok_or_else(|| argument("there is no such letter; read it again"));
        letter.and_then(|letter| self.inner.resend_async(letter, &self.queue, tag_of(tag))).throw(env)
    }

    /// Gives up a call.
    #[napi]
    pub fn cancel(&self, env: Env, tag: f64) -> napi::Result<()> {
        self.inner.cancel(&self.queue, tag_of(tag)).throw(env)
    }
}
