//! Dead letters: what a group failed to consume too often, read and sent to its topic once more.

use std::future::Future;
use std::sync::Arc;

use mq_client::{Error, MessageView, SendReceipt};

use crate::calls::Calls;
use crate::client::Client;
use crate::event::Outcome;
use crate::fork::Owned;
use crate::queue::Queue;

/// The dead letters of one consumer group, from the oldest on. Clones share the place that was read up to; usable from
/// any thread, by several at once. Nothing has to be closed: it ends with the client.
///
/// Each call has a form that blocks and one, `_async`, that gives its result as an event with `tag` on `queue`. The time
/// limits are the client's own.
#[derive(Clone, Debug)]
pub struct DeadLetters(Arc<Owned<Inner>>);

#[derive(Debug)]
struct Inner {
    client: Client,
    letters: mq_client::DeadLetters,
    calls: Arc<Calls>,
}

impl DeadLetters {
    pub(crate) fn new(client: Client, letters: mq_client::DeadLetters) -> DeadLetters {
        let inner = Inner { client, letters, calls: Arc::default() };
        DeadLetters(Arc::new(Owned::new("the dead letters", inner)))
    }

    /// Up to `max` dead letters that follow those read before; empty if there are no more at the moment.
    ///
    /// # Errors
    /// As [`mq_client::DeadLetters::read`]; STATE on a runtime thread, FORKED.
    pub fn read(&self, max: usize) -> Result<Vec<MessageView>, Error> {
        let inner = self.0.get()?;
        inner.client.runtime()?.block_on("reading dead letters", inner.letters.read(max))?
    }

    /// As [`DeadLetters::read`] without waiting; [`Outcome::Polled`].
    ///
    /// # Errors
    /// QUEUE_FULL: too many calls are not done. CLOSED: the client or the queue. FORKED.
    pub fn read_async(&self, max: usize, queue: &Queue, tag: u64) -> Result<(), Error> {
        let letters = self.0.get()?.letters.clone();
        self.spawn(queue, tag, async move { letters.read(max).await.map(Outcome::Polled) })
    }

    /// Begins again with the oldest; waits for a read that is under way.
    ///
    /// # Errors
    /// STATE on a runtime thread, CLOSED, FORKED.
    pub fn rewind(&self) -> Result<(), Error> {
        let inner = self.0.get()?;
        inner.client.runtime()?.block_on("going back to the first dead letter", inner.letters.rewind())
    }

    /// As [`DeadLetters::rewind`] without waiting; [`Outcome::Done`].
    ///
    /// # Errors
    /// As [`DeadLetters::read_async`].
    pub fn rewind_async(&self, queue: &Queue, tag: u64) -> Result<(), Error> {
        let letters = self.0.get()?.letters.clone();
        self.spawn(queue, tag, async move {
            letters.rewind().await;
            Ok(Outcome::Done)
        })
    }

    /// Sends a dead letter to the topic that it was first sent to, as a new message. The letter itself stays.
    ///
    /// # Errors
    /// As [`mq_client::DeadLetters::resend`]; STATE on a runtime thread, FORKED.
    pub fn resend(&self, letter: &MessageView) -> Result<SendReceipt, Error> {
        let inner = self.0.get()?;
        inner.client.runtime()?.block_on("sending a dead letter", inner.letters.resend(letter))?
    }

    /// As [`DeadLetters::resend`] without waiting; [`Outcome::Sent`].
    ///
    /// # Errors
    /// As [`DeadLetters::read_async`].
    pub fn resend_async(&self, letter: &MessageView, queue: &Queue, tag: u64) -> Result<(), Error> {
        let (letters, letter) = (self.0.get()?.letters.clone(), letter.clone());
        self.spawn(queue, tag, async move { letters.resend(&letter).await.map(Outcome::Sent) })
    }

    /// Cancels the asynchronous calls made with `queue` and `tag` that are not done: their events are CANCELLED. A read
    /// that is cancelled may have passed over letters, which [`DeadLetters::rewind`] brings back.
    ///
    /// # Errors
    /// FORKED.
    pub fn cancel(&self, queue: &Queue, tag: u64) -> Result<(), Error> {
        self.0.get()?.calls.cancel(queue, tag);
        Ok(())
    }

    fn spawn(
        &self,
        queue: &Queue,
        tag: u64,
        work: impl Future<Output = Result<Outcome, Error>> + Send + 'static,
    ) -> Result<(), Error> {
        let inner = self.0.get()?;
        inner.calls.spawn(&inner.client.runtime()?, queue, tag, work)
    }
}
