//! Producers: blocking sends on the host's thread, asynchronous ones through the pump.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mq_client::{Error, ErrorCode, Message, MessageQueue, ProducerConfig, SendReceipt};

use crate::calls::Calls;
use crate::client::Client;
use crate::closing::{self, Close};
use crate::completion::{Completion, Window};
use crate::deadline::deadline;
use crate::event::Outcome;
use crate::fork::Owned;
use crate::pump::{Job, Load, Pump};
use crate::queue::Queue;

/// Sends messages. Clones share one producer; usable from any thread, by several at once.
///
/// Dropping the last clone lets the asynchronous sends that were accepted end in the background.
#[derive(Clone, Debug)]
pub struct Producer(Arc<Owned<Inner>>);

pub(crate) struct Inner {
    client: Client,
    producer: mq_client::Producer,
    pump: Arc<Pump>,
    window: Arc<Window>,
    calls: Arc<Calls>,
    /// Asynchronous sends that are under way at a time.
    width: usize,
    send_timeout: Duration,
    close_timeout: Duration,
    /// Whether closing is done; locked while it goes on.
    closing: tokio::sync::Mutex<bool>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.producer.fmt(f)
    }
}

impl Producer {
    pub(crate) fn new(client: Client, producer: mq_client::Producer, config: &ProducerConfig) -> Producer {
        let inner = Inner {
            client,
            producer,
            pump: Pump::new(),
            window: Window::new(config.async_send_max, config.async_send_max_bytes),
            calls: Arc::default(),
            // Those for which the window has no room are refused by it, not kept waiting here, if that is the setting.
            width: if config.wait_when_full { config.max_in_flight } else { usize::MAX },
            send_timeout: config.send_timeout,
            close_timeout: config.close_timeout,
            closing: tokio::sync::Mutex::new(false),
        };
        Producer(Arc::new(Owned::new("the producer", inner)))
    }

    pub(crate) fn downgrade(&self) -> Weak<Owned<Inner>> {
        Arc::downgrade(&self.0)
    }

    /// Sends a message and waits for the answer; `timeout` is for all of it (the setting `send_timeout` if none is given).
    ///
    /// # Errors
    /// As [`mq_client::Producer::send`]; STATE on a runtime thread, FORKED.
    pub fn send(&self, message: Message, timeout: Option<Duration>) -> Result<SendReceipt, Error> {
        let inner = self.0.get()?;
        let timeout = timeout.unwrap_or(inner.send_timeout);
        let send = inner.producer.send_with_timeout(message, timeout);
        inner.client.runtime()?.block_on("a blocking send", send)?
    }

    /// As [`Producer::send`] to this very queue; it is not tried again on another.
    ///
    /// # Errors
    /// As [`mq_client::Producer::send_to_queue`]; STATE on a runtime thread, FORKED.
    pub fn send_to_queue(
        &self,
        message: Message,
        to: &MessageQueue,
        timeout: Option<Duration>,
    ) -> Result<SendReceipt, Error> {
        let inner = self.0.get()?;
        let timeout = timeout.unwrap_or(inner.send_timeout);
        let send = inner.producer.send_to_queue_with_timeout(message, to, timeout);
        inner.client.runtime()?.block_on("a blocking send", send)?
    }

    /// Sends messages of one topic as one and waits for the answer.
    ///
    /// # Errors
    /// As [`mq_client::Producer::send_batch`]; STATE on a runtime thread, FORKED.
    pub fn send_batch(
        &self,
        messages: Vec<Message>,
        timeout: Option<Duration>,
    ) -> Result<SendReceipt, Error> {
        let inner = self.0.get()?;
        let timeout = timeout.unwrap_or(inner.send_timeout);
        let send = inner.producer.send_batch_with_timeout(messages, timeout);
        inner.client.runtime()?.block_on("a blocking send", send)?
    }

    /// Hands a message to the connection without asking for an answer.
    ///
    /// # Errors
    /// As [`mq_client::Producer::send_oneway`]; STATE on a runtime thread, FORKED.
    pub fn send_oneway(&self, message: Message) -> Result<(), Error> {
        let inner = self.0.get()?;
        inner.client.runtime()?.block_on("a one-way send", inner.producer.send_oneway(message))?
    }

    /// As [`Producer::send`] without waiting; the answer is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// QUEUE_FULL: too many sends are not done or their events not polled. CLOSED, FORKED. Nothing is sent then and no event follows.
    pub fn send_async(
        &self,
        message: Message,
        timeout: Option<Duration>,
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let bytes = message.body.len();
        self.submit(Load::One(message), bytes, timeout, queue, tag)
    }

    /// As [`Producer::send_to_queue`] without waiting; the answer is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// As [`Producer::send_async`].
    pub fn send_to_queue_async(
        &self,
        message: Message,
        to: &MessageQueue,
        timeout: Option<Duration>,
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let bytes = message.body.len();
        self.submit(Load::To(Box::new((message, to.clone()))), bytes, timeout, queue, tag)
    }

    /// As [`Producer::send_batch`] without waiting; the answer is one event with `tag` on `queue`.
    ///
    /// # Errors
    /// As [`Producer::send_async`].
    pub fn send_batch_async(
        &self,
        messages: Vec<Message>,
        timeout: Option<Duration>,
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let bytes = messages.iter().map(|message| message.body.len()).sum();
        self.submit(Load::List(messages), bytes, timeout, queue, tag)
    }

    /// As [`Producer::send_oneway`] without waiting; an event with `tag` on `queue` tells that it was handed over.
    ///
    /// # Errors
    /// As [`Producer::send_async`].
    pub fn send_oneway_async(&self, message: Message, queue: &Queue, tag: u64) -> Result<(), Error> {
        let bytes = message.body.len();
        self.submit(Load::Oneway(message), bytes, None, queue, tag)
    }

    fn submit(
        &self,
        load: Load,
        bytes: usize,
        timeout: Option<Duration>,
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let inner = self.0.get()?;
        let slot = inner.window.take(bytes)?;
        let completion = Completion::new(queue, tag, Some(slot))?;
        let deadline = deadline(timeout.unwrap_or(inner.send_timeout));
        let start = || Ok(inner.client.runtime()?.handle().clone());
        inner.pump.submit(Job { load, deadline, completion }, start, &inner.producer, inner.width)
    }

    /// The queues of a topic that can be sent to, in the order of broker names and queue ids. They are known without
    /// asking once the topic was sent to.
    ///
    /// # Errors
    /// As [`mq_client::Producer::queues`]; STATE on a runtime thread, FORKED.
    pub fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, Error> {
        let inner = self.0.get()?;
        inner.client.runtime()?.block_on("asking for queues", inner.producer.queues(topic))?
    }

    /// As [`Producer::queues`] without waiting; the answer is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// QUEUE_FULL: too many calls are not done. CLOSED, FORKED.
    pub fn queues_async(&self, topic: &str, queue: &Queue, tag: u64) -> Result<(), Error> {
        let inner = self.0.get()?;
        let (producer, topic) = (inner.producer.clone(), topic.to_owned());
        let ask = async move { producer.queues(&topic).await.map(Outcome::Queues) };
        inner.calls.spawn(&inner.client.runtime()?, queue, tag, ask)
    }

    /// Divides messages into lists that [`Producer::send_batch`] takes, their order kept. Sends nothing.
    ///
    /// # Errors
    /// As [`mq_client::Producer::split_batch`]; ARGUMENT also for no message at all; FORKED.
    pub fn split_batch(&self, messages: Vec<Message>) -> Result<Vec<Vec<Message>>, Error> {
        if messages.is_empty() {
            let message = "the list of messages is empty; pass at least one message";
            return Err(Error::new(ErrorCode::Argument, message));
        }
        self.0.get()?.producer.split_batch(messages)
    }

    /// Cancels the asynchronous calls made with `queue` and `tag` that are not done: their events are CANCELLED.
    /// The broker may have stored a message all the same. Closing is not cancelled.
    ///
    /// # Errors
    /// FORKED.
    pub fn cancel(&self, queue: &Queue, tag: u64) -> Result<(), Error> {
        let inner = self.0.get()?;
        inner.pump.cancel(queue, tag);
        inner.calls.cancel(queue, tag);
        Ok(())
    }

    /// Waits for the sends under way, up to `timeout` (the setting `close_timeout` if none is given), and closes. What
    /// is not done by then fails with CLOSED. Later calls do nothing.
    ///
    /// # Errors
    /// TIMEOUT: sends had to be cut; the producer is closed all the same. STATE on a runtime thread, FORKED.
    pub fn close(&self, timeout: Option<Duration>) -> Result<(), Error> {
        closing::close(&self.0, timeout)
    }

    /// As [`Producer::close`] without blocking; the end is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// CLOSED: the queue is. FORKED.
    pub fn close_async(&self, timeout: Option<Duration>, queue: &Queue, tag: u64) -> Result<(), Error> {
        closing::close_async(&self.0, timeout, queue, tag)
    }
}

impl Close for Inner {
    const WHAT: &'static str = "closing a producer";

    fn client(&self) -> &Client {
        &self.client
    }

    fn close_timeout(&self) -> Duration {
        self.close_timeout
    }

    async fn close_by(&self, deadline: Instant) -> Result<(), Error> {
        let late = || {
            Error::new(ErrorCode::Timeout, "closing the producer took too long; the sends under way were cut")
        };
        let Ok(mut closed) = tokio::time::timeout_at(deadline.into(), self.closing.lock()).await else {
            return Err(late());
        };
        if *closed {
            return Ok(());
        }
        let drained = self.pump.close(deadline).await;
        let in_time = tokio::time::timeout_at(deadline.into(), self.producer.close()).await.is_ok();
        *closed = true;
        if drained && in_time { Ok(()) } else { Err(late()) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pump.drain();
    }
}
