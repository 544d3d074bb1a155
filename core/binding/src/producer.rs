//! Producers: blocking sends on the host's thread, asynchronous ones through the pump.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mq_client::{Error, ErrorCode, Message, ProducerConfig, SendReceipt};

use crate::client::Client;
use crate::completion::{Completion, Window};
use crate::event::Outcome;
use crate::fork::Owned;
use crate::pump::{Job, Load, Pump};
use crate::queue::Queue;
use crate::runtime::refuse_on_runtime_thread;

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
            width: config.max_in_flight,
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
        let deadline = Instant::now() + timeout.unwrap_or(inner.send_timeout);
        let start = || Ok(inner.client.runtime()?.handle().clone());
        inner.pump.submit(Job { load, deadline, completion }, start, &inner.producer, inner.width)
    }

    /// Cancels the asynchronous sends made with `queue` and `tag` that are not done: their events are CANCELLED.
    /// The broker may have stored the message all the same.
    ///
    /// # Errors
    /// FORKED.
    pub fn cancel(&self, queue: &Queue, tag: u64) -> Result<(), Error> {
        self.0.get()?.pump.cancel(queue, tag);
        Ok(())
    }

    /// Waits for the sends under way, up to `timeout` (the setting `close_timeout` if none is given), and closes. What
    /// is not done by then fails with CLOSED. Later calls do nothing.
    ///
    /// # Errors
    /// TIMEOUT: sends had to be cut; the producer is closed all the same. STATE on a runtime thread, FORKED.
    pub fn close(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let inner = self.0.get()?;
        refuse_on_runtime_thread("closing a producer")?;
        // Closing the client has closed the producer.
        let Ok(runtime) = inner.client.runtime() else { return Ok(()) };
        let deadline = Instant::now() + timeout.unwrap_or(inner.close_timeout);
        runtime.block_on("closing a producer", inner.close_by(deadline))?
    }

    /// As [`Producer::close`] without blocking; the end is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// CLOSED: the queue is. FORKED.
    pub fn close_async(&self, timeout: Option<Duration>, queue: &Queue, tag: u64) -> Result<(), Error> {
        let inner = self.0.get()?;
        let completion = Completion::new(queue, tag, None)?;
        let Ok(runtime) = inner.client.runtime() else {
            completion.finish(Ok(Outcome::Closed));
            return Ok(());
        };
        let deadline = Instant::now() + timeout.unwrap_or(inner.close_timeout);
        let producer = self.clone();
        runtime.handle().spawn(async move {
            let result = match producer.0.get() {
                Ok(inner) => inner.close_by(deadline).await,
                Err(error) => Err(error),
            };
            completion.finish(result.map(|()| Outcome::Closed));
        });
        Ok(())
    }
}

impl Inner {
    pub(crate) async fn close_by(&self, deadline: Instant) -> Result<(), Error> {
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
