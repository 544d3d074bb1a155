//! The calls of a pull consumer that do not wait: the result of each is an event.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use mq_client::{Error, MessageQueue};

use super::{PullConsumer, Seek};
use crate::closing;
use crate::deadline::deadline;
use crate::event::Outcome;
use crate::push_consumer::START_TIMEOUT;
use crate::queue::Queue;

/// As the calls of the same name without `_async`, without waiting: each gives exactly one event with `tag` on `queue`.
///
/// # Errors
/// Of all of them: QUEUE_FULL when too many calls are not done, CLOSED when the client or the queue is, FORKED. No event
/// follows then; all other errors come with the event.
#[expect(clippy::missing_errors_doc, reason = "they have the same ones, named above")]
impl PullConsumer {
    /// As [`PullConsumer::subscribe`]; [`Outcome::Done`].
    pub fn subscribe_async(
        &self,
        topic: &str,
        expression: &str,
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let (consumer, topic, expression) = (self.clone(), topic.to_owned(), expression.to_owned());
        self.spawn(queue, tag, async move {
            consumer.0.get()?.subscribe(&topic, &expression).await.map(|()| Outcome::Done)
        })
    }

    /// As [`PullConsumer::unsubscribe`]; [`Outcome::Done`].
    pub fn unsubscribe_async(&self, topic: &str, queue: &Queue, tag: u64) -> Result<(), Error> {
        let (consumer, topic) = (self.clone(), topic.to_owned());
        self.spawn(
            queue,
            tag,
            async move { consumer.0.get()?.unsubscribe(&topic).await.map(|()| Outcome::Done) },
        )
    }

    /// As [`PullConsumer::assign`]; [`Outcome::Done`].
    pub fn assign_async(&self, queues: &[MessageQueue], queue: &Queue, tag: u64) -> Result<(), Error> {
        let (consumer, queues) = (self.clone(), queues.to_vec());
        self.spawn(queue, tag, async move { consumer.0.get()?.assign(queues).await.map(|()| Outcome::Done) })
    }

    /// As [`PullConsumer::start`]; [`Outcome::Started`].
    pub fn start_async(&self, timeout: Option<Duration>, queue: &Queue, tag: u64) -> Result<(), Error> {
        let (consumer, deadline) = (self.clone(), deadline(timeout.unwrap_or(START_TIMEOUT)));
        self.spawn(queue, tag, async move {
            consumer.0.get()?.start_by(deadline).await.map(|()| Outcome::Started)
        })
    }

    /// As [`PullConsumer::poll`]; [`Outcome::Polled`], with no message when the time is over.
    pub fn poll_async(&self, timeout: Option<Duration>, queue: &Queue, tag: u64) -> Result<(), Error> {
        let consumer = self.clone();
        self.spawn(queue, tag, async move { consumer.0.get()?.poll(timeout).await.map(Outcome::Polled) })
    }

    /// As [`PullConsumer::seek`]; [`Outcome::Done`].
    pub fn seek_async(&self, of: &MessageQueue, to: Seek, queue: &Queue, tag: u64) -> Result<(), Error> {
        let (consumer, of) = (self.clone(), of.clone());
        self.spawn(queue, tag, async move { consumer.0.get()?.seek(&of, to).await.map(|()| Outcome::Done) })
    }

    /// As [`PullConsumer::offset_for_timestamp`]; [`Outcome::Offset`].
    pub fn offset_for_timestamp_async(
        &self,
        of: &MessageQueue,
        millis: i64,
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let (consumer, of) = (self.clone(), of.clone());
        self.spawn(queue, tag, async move {
            let offset = consumer.0.get()?.consumer()?.offset_for_timestamp(&of, millis).await?;
            Ok(Outcome::Offset(Some(offset)))
        })
    }

    /// As [`PullConsumer::commit`]; [`Outcome::Done`].
    pub fn commit_async(&self, queue: &Queue, tag: u64) -> Result<(), Error> {
        let consumer = self.clone();
        self.spawn(
            queue,
            tag,
            async move { consumer.0.get()?.consumer()?.commit().await.map(|()| Outcome::Done) },
        )
    }

    /// As [`PullConsumer::commit_offsets`]; [`Outcome::Done`].
    pub fn commit_offsets_async(
        &self,
        offsets: &[(MessageQueue, i64)],
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let (consumer, offsets) = (self.clone(), offsets.iter().cloned().collect::<BTreeMap<_, _>>());
        self.spawn(queue, tag, async move {
            consumer.0.get()?.consumer()?.commit_offsets(&offsets).await.map(|()| Outcome::Done)
        })
    }

    /// As [`PullConsumer::committed`]; [`Outcome::Offset`].
    pub fn committed_async(&self, of: &MessageQueue, queue: &Queue, tag: u64) -> Result<(), Error> {
        let (consumer, of) = (self.clone(), of.clone());
        self.spawn(queue, tag, async move {
            consumer.0.get()?.consumer()?.committed(&of).await.map(Outcome::Offset)
        })
    }

    /// As [`PullConsumer::position`]; [`Outcome::Offset`].
    pub fn position_async(&self, of: &MessageQueue, queue: &Queue, tag: u64) -> Result<(), Error> {
        let (consumer, of) = (self.clone(), of.clone());
        self.spawn(queue, tag, async move {
            let offset = consumer.0.get()?.consumer()?.position(&of).await?;
            Ok(Outcome::Offset(Some(offset)))
        })
    }

    /// As [`PullConsumer::queues`]; [`Outcome::Queues`].
    pub fn queues_async(&self, topic: &str, queue: &Queue, tag: u64) -> Result<(), Error> {
        let (consumer, topic) = (self.clone(), topic.to_owned());
        self.spawn(queue, tag, async move {
            consumer.0.get()?.consumer()?.queues(&topic).await.map(Outcome::Queues)
        })
    }

    /// As [`PullConsumer::watch_queues`]; [`Outcome::Done`].
    pub fn watch_queues_async(
        &self,
        topic: &str,
        events: &Queue,
        watch: u64,
        queue: &Queue,
        tag: u64,
    ) -> Result<(), Error> {
        let (consumer, topic, events) = (self.clone(), topic.to_owned(), events.clone());
        self.spawn(queue, tag, async move {
            consumer.0.get()?.watch_queues(&topic, events, watch).await.map(|()| Outcome::Done)
        })
    }

    /// As [`PullConsumer::close`]; [`Outcome::Closed`].
    pub fn close_async(&self, timeout: Option<Duration>, queue: &Queue, tag: u64) -> Result<(), Error> {
        closing::close_async(&self.0, timeout, queue, tag)
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
