//! Client, producer and push consumer.

use std::time::Duration;

use mq_binding::{Config, Error, Message, settings};
use napi::bindgen_prelude::{BufferSlice, Env};
use napi_derive::napi;

use crate::error::thrown;
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
fn tag_of(number: f64) -> u64 {
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
}

impl MessageParts<'_> {
    /// The body is copied here: its memory is JavaScript's.
    fn message(self) -> Message {
        let mut message = Message::new(self.topic, self.body.to_vec());
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
        let inner = made.map_err(|error| thrown(&env, &error))?;
        Ok(Client { inner, queue: queue.inner.clone() })
    }

    /// A producer with these settings.
    #[napi]
    pub fn producer(&self, env: Env, settings: Vec<String>) -> napi::Result<Producer> {
        let made = config(&settings).and_then(|config| self.inner.producer(&config));
        let inner = made.map_err(|error| thrown(&env, &error))?;
        Ok(Producer { inner, queue: self.queue.clone() })
    }

    /// A push consumer, not started; its messages come with `tag`.
    #[napi]
    pub fn push_consumer(
        &self,
        env: Env,
        settings: Vec<String>,
        subscriptions: Vec<String>,
        tag: f64,
    ) -> napi::Result<PushConsumer> {
        let made = config(&settings).and_then(|config| {
            let consumer = self.inner.push_consumer(&config, &self.queue, tag_of(tag))?;
            for pair in subscriptions.chunks_exact(2) {
                consumer.subscribe(&pair[0], &pair[1])?;
            }
            Ok(consumer)
        });
        let inner = made.map_err(|error| thrown(&env, &error))?;
        Ok(PushConsumer { inner, queue: self.queue.clone() })
    }

    /// Closes it with all that was made from it.
    #[napi]
    pub fn close(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.close_async(limit(timeout), &self.queue, tag_of(tag)).map_err(|error| thrown(&env, &error))
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
    /// Sends a message.
    #[napi]
    pub fn send(
        &self,
        env: Env,
        tag: f64,
        message: MessageParts<'_>,
        timeout: Option<f64>,
    ) -> napi::Result<()> {
        self.inner
            .send_async(message.message(), limit(timeout), &self.queue, tag_of(tag))
            .map_err(|error| thrown(&env, &error))
    }

    /// Sends a message without an answer.
    #[napi]
    pub fn send_oneway(&self, env: Env, tag: f64, message: MessageParts<'_>) -> napi::Result<()> {
        self.inner
            .send_oneway_async(message.message(), &self.queue, tag_of(tag))
            .map_err(|error| thrown(&env, &error))
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
        let messages: Vec<Message> = messages.into_iter().map(MessageParts::message).collect();
        self.inner
            .send_batch_async(messages, limit(timeout), &self.queue, tag_of(tag))
            .map_err(|error| thrown(&env, &error))
    }

    /// Gives up a send.
    #[napi]
    pub fn cancel(&self, env: Env, tag: f64) -> napi::Result<()> {
        self.inner.cancel(&self.queue, tag_of(tag)).map_err(|error| thrown(&env, &error))
    }

    /// Closes it.
    #[napi]
    pub fn close(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.close_async(limit(timeout), &self.queue, tag_of(tag)).map_err(|error| thrown(&env, &error))
    }
}

/// A push consumer.
#[napi]
pub struct PushConsumer {
    inner: mq_binding::PushConsumer,
    queue: mq_binding::Queue,
}

#[napi]
impl PushConsumer {
    /// Joins the group.
    #[napi]
    pub fn start(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.start_async(limit(timeout), &self.queue, tag_of(tag)).map_err(|error| thrown(&env, &error))
    }

    /// Fetches no more until `resume`.
    #[napi]
    pub fn suspend(&self, env: Env) -> napi::Result<()> {
        self.inner.suspend().map_err(|error| thrown(&env, &error))
    }

    /// Fetches again.
    #[napi]
    pub fn resume(&self, env: Env) -> napi::Result<()> {
        self.inner.resume().map_err(|error| thrown(&env, &error))
    }

    /// Closes it.
    #[napi]
    pub fn close(&self, env: Env, tag: f64, timeout: Option<f64>) -> napi::Result<()> {
        self.inner.close_async(limit(timeout), &self.queue, tag_of(tag)).map_err(|error| thrown(&env, &error))
    }
}
