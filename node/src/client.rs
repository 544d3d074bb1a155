//! Client and producer. What takes a tag ends with an event of the thread's queue.

use std::rc::Rc;
use std::time::Duration;

use mq_binding::{Config, Error, Message, MessageQueue, settings};
use napi::bindgen_prelude::{BufferSlice, Env};
use napi_derive::napi;

use crate::consumer::{PullConsumer, PushConsumer};
use crate::dead_letters::DeadLetters;
use crate::error::Throw;
use crate::queue::Queue;

/// Settings from a flat list of names and values. The core's names are accepted in camel case too.
pub(crate) fn config(flat: &[String]) -> Result<Config, Error> {
    let mut config = Config::new();
    for pair in flat.chunks_exact(2) {
        let (key, value) = (&pair[0], &pair[1]);
        let Err(error) = config.set(key, value) else { continue };
        let snake = snake_case(key);
        let known = settings().iter().any(|setting| setting.name == snake);
        config.set(&snake, value).map_err(|inner| if known { inner } else { error })?;
    }
    Ok(config)
}

fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Tags are whole numbers counted by `lib/loop.js`; a time limit is milliseconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn tag_of(number: f64) -> u64 {
    number as u64
}

pub(crate) fn limit(timeout: Option<f64>) -> Option<Duration> {
    timeout.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok())
}

/// A message as `lib/message.js` hands it over.
#[napi(object)]
pub struct MessageParts<'env> {
    /// The topic.
    pub topic: String,
    /// The body.
    pub body: BufferSlice<'env>,
    /// The tag.
    pub tag: Option<String>,
    /// The keys.
    pub keys: Option<Vec<String>>,
    /// Names and values in turn.
    pub properties: Option<Vec<String>>,
    /// The sharding key.
    pub message_group: Option<String>,
    /// The delay level.
    pub delay_level: Option<u32>,
    /// Whether the broker's answer waits for disk and replicas.
    pub wait_store: Option<bool>,
}

impl MessageParts<'_> {
    /// The body is copied here: its memory is JavaScript's.
    fn message(self) -> Message {
        let mut message =
            Message::new(self.topic, self.body.to_vec()).wait_store(self.wait_store.unwrap_or(true));
        message.tag = self.tag;
        message.keys = self.keys.unwrap_or_default();
        message.message_group = self.message_group;
        let mut properties = self.properties.unwrap_or_default().into_iter();
        while let (Some(name), Some(value)) = (properties.next(), properties.next()) {
            message.properties.push((name, value));
        }
        match self.delay_level {
            Some(level) => message.delay_level(level),
            None => message,
        }
    }
}

/// A queue as JavaScript has it.
#[napi(object)]
pub struct QueueParts {
    /// The topic.
    pub topic: String,
    /// The broker.
    pub broker_name: String,
    /// The number.
    pub queue_id: i32,
}

impl From<QueueParts> for MessageQueue {
    fn from(QueueParts { topic, broker_name, queue_id }: QueueParts) -> MessageQueue {
        MessageQueue { topic, broker_name, queue_id }
    }
}

impl From<MessageQueue> for QueueParts {
    fn from(MessageQueue { topic, broker_name, queue_id }: MessageQueue) -> QueueParts {
        QueueParts { topic, broker_name, queue_id }
    }
}

/// A client and the queue of the thread that made it.
#[napi]
pub struct Client {
    inner: mq_binding::Client,
    queue: mq_binding::Queue,
}

#[napi]
impl Client {
    /// A client with these settings.
    #[napi(constructor)]
    pub fn new(env: Env, queue: &Queue, settings: Vec<String>) -> napi::Result<Client> {
        let made = config(&settings).and_then(|config| mq_binding::Client::new(&config, "NODE_JS"));
        Ok(Client { inner: made.throw(env)?, queue: queue.inner.clone() })
    }

    /// A producer with these settings.
    #[napi]
    pub fn producer(&self, env: Env, settings: Vec<String>) -> napi::Result<Producer> {
        let made = config(&settings).and_then(|config| self.inner.producer(&config));
        Ok(Producer { inner: made.throw(env)?, queue: self.queue.clone() })
    }

    /// A push consumer, not started; its messages and warnings come with `tag`.
    #[napi]
    pub fn push_consumer(&self, env: Env, settings: Vec<String>, tag: f64) -> napi::Result<PushConsumer> {
        let made =
            config(&settings).and_then(|config| self.inner.push_consumer(&config, &self.queue, tag_of(tag)));
        Ok(PushConsumer { inner: made.throw(env)?, queue: self.queue.clone() })
    }

    /// A pull consumer, not started.
    #[napi]
    pub fn pull_consumer(&self, env: Env, settings: Vec<String>) -> napi::Result<PullConsumer> {
        let made = config(&settings).and_then(|config| self.inner.pull_consumer(&config));
        Ok(PullConsumer { inner: made.throw(env)?, queue: self.queue.clone() })
    }

    /// A reader of a group's dead letters.
    #[napi]
    pub fn dead_letters(&self, env: Env, group: String) -> napi::Result<DeadLetters> {
        let inner = self.inner.dead_letters(&group).throw(env)?;
        Ok(DeadLetters { inner, queue: self.queue.clone(), kept: Rc::default() })
    }

    /// Closes it with all that was made from it.
    #[napi]
    pub fn close(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.close_async(limit(timeout), &self.queue, tag_of(tag)).throw(env)
    }
}

/// A producer.
#[napi]
pub struct Producer {
    inner: mq_binding::Producer,
    queue: mq_binding::Queue,
}

#[napi]
impl Producer {
    /// Sends a message, to a queue of one's choice if one is given.
    #[napi]
    pub fn send(
        &self,
        env: Env,
        tag: f64,
        message: MessageParts<'_>,
        timeout: Option<f64>,
        to: Option<QueueParts>,
    ) -> napi::Result<()> {
        let (message, timeout, tag) = (message.message(), limit(timeout), tag_of(tag));
        let sent = match to {
            None => self.inner.send_async(message, timeout, &self.queue, tag),
            Some(to) => self.inner.send_to_queue_async(message, &to.into(), timeout, &self.queue, tag),
        };
        sent.throw(env)
    }

    /// Sends a message without an answer.
    #[napi]
    pub fn send_oneway(&self, env: Env, tag: f64, message: MessageParts<'_>) -> napi::Result<()> {
        self.inner.send_oneway_async(message.message(), &self.queue, tag_of(tag)).throw(env)
    }

    /// Sends a list of messages as one.
    #[napi]
    pub fn send_batch(
        &self,
        env: Env,
        tag: f64,
        messages: Vec<MessageParts<'_>>,
        timeout: Option<f64>,
    ) -> napi::Result<()> {
        let messages = messages.into_iter().map(MessageParts::message).collect();
        self.inner.send_batch_async(messages, limit(timeout), &self.queue, tag_of(tag)).throw(env)
    }

    /// How many messages, one after the other, make up each of the lists that `send_batch` takes.
    #[napi]
    pub fn split(&self, env: Env, messages: Vec<MessageParts<'_>>) -> napi::Result<Vec<u32>> {
        let messages = messages.into_iter().map(MessageParts::message).collect();
        let lists = self.inner.split_batch(messages).throw(env)?;
        Ok(lists.iter().map(|list| u32::try_from(list.len()).unwrap_or(u32::MAX)).collect())
    }

    /// Asks for the queues of a topic.
    #[napi]
    pub fn queues(&self, env: Env, tag: f64, topic: String) -> napi::Result<()> {
        self.inner.queues_async(&topic, &self.queue, tag_of(tag)).throw(env)
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
