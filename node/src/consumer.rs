//! Consumers. What takes a tag ends with an event of the thread's queue.

use mq_binding::{Error, ErrorCode, MessageQueue, Seek};
use napi::bindgen_prelude::Env;
use napi_derive::napi;

use crate::client::{QueueParts, limit, tag_of};
use crate::error::Throw;

/// A push consumer.
#[napi]
pub struct PushConsumer {
    pub(crate) inner: mq_binding::PushConsumer,
    pub(crate) queue: mq_binding::Queue,
}

#[napi]
impl PushConsumer {
    /// Subscribes to a topic, or changes its expression.
    #[napi]
    pub fn subscribe(&self, env: Env, tag: f64, topic: String, expression: String) -> napi::Result<()> {
        self.inner.subscribe_async(&topic, &expression, &self.queue, tag_of(tag)).throw(env)
    }

    /// Gives a topic up.
    #[napi]
    pub fn unsubscribe(&self, env: Env, tag: f64, topic: String) -> napi::Result<()> {
        self.inner.unsubscribe_async(&topic, &self.queue, tag_of(tag)).throw(env)
    }

    /// Joins the group.
    #[napi]
    pub fn start(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.start_async(limit(timeout), &self.queue, tag_of(tag)).throw(env)
    }

    /// Gives up a call.
    #[napi]
    pub fn cancel(&self, env: Env, tag: f64) -> napi::Result<()> {
        self.inner.cancel(&self.queue, tag_of(tag)).throw(env)
    }

    /// Fetches no more until `resume`.
    #[napi]
    pub fn suspend(&self, env: Env) -> napi::Result<()> {
        self.inner.suspend().throw(env)
    }

    /// Fetches again.
    #[napi]
    pub fn resume(&self, env: Env) -> napi::Result<()> {
        self.inner.resume().throw(env)
    }

    /// Its queues.
    #[napi]
    pub fn assignment(&self, env: Env) -> napi::Result<Vec<QueueParts>> {
        Ok(self.inner.assignment().throw(env)?.into_iter().map(QueueParts::from).collect())
    }

    /// Closes it.
    #[napi]
    pub fn close(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.close_async(limit(timeout), &self.queue, tag_of(tag)).throw(env)
    }
}

/// A pull consumer.
#[napi]
pub struct PullConsumer {
    pub(crate) inner: mq_binding::PullConsumer,
    pub(crate) queue: mq_binding::Queue,
}

#[napi]
impl PullConsumer {
    /// A call about a topic: `subscribe`, `unsubscribe` or `queues`.
    #[napi]
    pub fn on_topic(
        &self,
        env: Env,
        tag: f64,
        call: String,
        topic: String,
        expression: String,
    ) -> napi::Result<()> {
        let tag = tag_of(tag);
        let called = match call.as_str() {
            "subscribe" => self.inner.subscribe_async(&topic, &expression, &self.queue, tag),
            "unsubscribe" => self.inner.unsubscribe_async(&topic, &self.queue, tag),
            "queues" => self.inner.queues_async(&topic, &self.queue, tag),
            _ => Err(no_call(&call)),
        };
        called.throw(env)
    }

    /// A call about a queue; `value` is an offset or a time where there is one.
    #[napi]
    pub fn on_queue(
        &self,
        env: Env,
        tag: f64,
        call: String,
        queue: QueueParts,
        value: i64,
    ) -> napi::Result<()> {
        let (queue, tag) = (MessageQueue::from(queue), tag_of(tag));
        let called = match call.as_str() {
            "seek" => self.inner.seek_async(&queue, Seek::Offset(value), &self.queue, tag),
            "seekToBegin" => self.inner.seek_async(&queue, Seek::Begin, &self.queue, tag),
            "seekToEnd" => self.inner.seek_async(&queue, Seek::End, &self.queue, tag),
            "seekToTime" => self.inner.seek_async(&queue, Seek::Time(value), &self.queue, tag),
            "offsetForTime" => self.inner.offset_for_timestamp_async(&queue, value, &self.queue, tag),
            "committed" => self.inner.committed_async(&queue, &self.queue, tag),
            "position" => self.inner.position_async(&queue, &self.queue, tag),
            _ => Err(no_call(&call)),
        };
        called.throw(env)
    }

    /// Begins.
    #[napi]
    pub fn start(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.start_async(limit(timeout), &self.queue, tag_of(tag)).throw(env)
    }

    /// Takes queues by hand.
    #[napi]
    pub fn assign(&self, env: Env, tag: f64, queues: Vec<QueueParts>) -> napi::Result<()> {
        self.inner.assign_async(&to_queues(queues), &self.queue, tag_of(tag)).throw(env)
    }

    /// Waits for messages.
    #[napi]
    pub fn poll(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.poll_async(limit(timeout), &self.queue, tag_of(tag)).throw(env)
    }

    /// Commits all positions, or these offsets.
    #[napi]
    pub fn commit(
        &self,
        env: Env,
        tag: f64,
        queues: Option<Vec<QueueParts>>,
        offsets: Vec<i64>,
    ) -> napi::Result<()> {
        let committed = match queues {
            None => self.inner.commit_async(&self.queue, tag_of(tag)),
            Some(queues) => {
                let offsets: Vec<_> = to_queues(queues).into_iter().zip(offsets).collect();
                self.inner.commit_offsets_async(&offsets, &self.queue, tag_of(tag))
            }
        };
        committed.throw(env)
    }

    /// Gives out nothing of these queues until `resume`.
    #[napi]
    pub fn pause(&self, env: Env, queues: Vec<QueueParts>) -> napi::Result<()> {
        self.inner.pause(&to_queues(queues)).throw(env)
    }

    /// Goes on with these queues.
    #[napi]
    pub fn resume(&self, env: Env, queues: Vec<QueueParts>) -> napi::Result<()> {
        self.inner.resume(&to_queues(queues)).throw(env)
    }

    /// Its queues.
    #[napi]
    pub fn assignment(&self, env: Env) -> napi::Result<Vec<QueueParts>> {
        Ok(self.inner.assignment().throw(env)?.into_iter().map(QueueParts::from).collect())
    }

    /// Has changes of a topic's queues told with the tag `watch`.
    #[napi]
    pub fn watch(&self, env: Env, tag: f64, topic: String, watch: f64) -> napi::Result<()> {
        self.inner.watch_queues_async(&topic, &self.queue, tag_of(watch), &self.queue, tag_of(tag)).throw(env)
    }

    /// Gives up a call.
    #[napi]
    pub fn cancel(&self, env: Env, tag: f64) -> napi::Result<()> {
        self.inner.cancel(&self.queue, tag_of(tag)).throw(env)
    }

    /// Closes it.
    #[napi]
    pub fn close(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.close_async(limit(timeout), &self.queue, tag_of(tag)).throw(env)
    }
}

fn to_queues(queues: Vec<QueueParts>) -> Vec<MessageQueue> {
    queues.into_iter().map(MessageQueue::from).collect()
}

fn no_call(call: &str) -> Error {
    Error::new(ErrorCode::Unsupported, format!("there is no call '{call}'"))
}
