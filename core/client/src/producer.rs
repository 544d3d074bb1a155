//! The producer: checks, chooses a queue, sends, and tries again on another broker.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mq_protocol::body::MessageQueue;
use mq_protocol::header::{SendMessageRequestV2, SendMessageResponse};
use mq_protocol::{Frame, RequestCode, ResponseCode};
use tokio::time::Instant;

use crate::client::Inner as ClientInner;
use crate::message::deadline;
use crate::remoting::{Refused, refusal};
use crate::route::{PublishQueue, Route, Template};
use crate::{Error, ErrorCode, Message, ProducerConfig, SendReceipt, SendStatus};

mod batch;
mod fault;
mod in_flight;
mod outgoing;
mod queue;

pub use batch::split_batch;
use fault::Faults;
use in_flight::InFlight;
use outgoing::Outgoing;
use queue::Choice;

/// Sends messages. Clones share one producer; any number of threads may use it at a time.
///
/// The futures of its sends do their work when they are polled: nothing is spawned. Dropping one gives the
/// send up, which does not unsend what was written already. Only the encoding of the message is done before.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    client: Arc<ClientInner>,
    config: ProducerConfig,
    /// The group in the client's namespace.
    group: String,
    in_flight: InFlight,
    /// `None` unless `send_latency_fault_enable` is set.
    faults: Option<Faults>,
    closed: AtomicBool,
}

impl Producer {
    pub(crate) fn new(client: Arc<ClientInner>, config: ProducerConfig) -> Result<Producer, Error> {
        config.check()?;
        let group = client.wrap(&config.group).into_owned();
        let in_flight =
            InFlight::new(config.max_in_flight, config.max_in_flight_bytes, config.wait_when_full);
        let faults = config.send_latency_fault_enable.then(Faults::default);
        let closed = AtomicBool::new(false);
        let inner = Arc::new(Inner { client, config, group, in_flight, faults, closed });
        inner.client.add_producer(&inner.group, Arc::downgrade(&inner));
        Ok(Producer { inner })
    }

    /// Sends a message within the time of `send_timeout`.
    ///
    /// # Errors
    /// `ARGUMENT`, `TOO_LARGE`: nothing was sent. `TIMEOUT`, `NETWORK`: it may have been stored all the same.
    /// `NOT_FOUND`: no route. `THROTTLED`, `QUEUE_FULL`: slow down. `DENIED`, `BROKER`: the broker refused.
    pub fn send(&self, message: Message) -> impl Future<Output = Result<SendReceipt, Error>> + Send + '_ {
        self.send_with_timeout(message, self.inner.config.send_timeout)
    }

    /// Sends a message within this time, all retries included.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn send_with_timeout(
        &self,
        message: Message,
        timeout: Duration,
    ) -> impl Future<Output = Result<SendReceipt, Error>> + Send + '_ {
        let choice = Choice::of(&message);
        send_one(&*self.inner, message, choice, deadline(timeout))
    }

    /// As [`Producer::send_with_timeout`], with a future that borrows nothing.
    pub fn send_owned(
        &self,
        message: Message,
        timeout: Duration,
    ) -> impl Future<Output = Result<SendReceipt, Error>> + Send + use<> {
        let choice = Choice::of(&message);
        send_one(Arc::clone(&self.inner), message, choice, deadline(timeout))
    }

    /// Sends a message to this very queue; it is not tried again on another.
    ///
    /// # Errors
    /// As [`Producer::send`]; `ARGUMENT` if the queue is of another topic or the topic has no such queue.
    pub async fn send_to_queue(&self, message: Message, queue: &MessageQueue) -> Result<SendReceipt, Error> {
        self.send_to_queue_with_timeout(message, queue, self.inner.config.send_timeout).await
    }

    /// As [`Producer::send_to_queue`] within this time.
    ///
    /// # Errors
    /// As [`Producer::send_to_queue`].
    pub async fn send_to_queue_with_timeout(
        &self,
        message: Message,
        queue: &MessageQueue,
        timeout: Duration,
    ) -> Result<SendReceipt, Error> {
        if queue.topic != message.topic {
            return Err(Error::argument(format!(
                "the message goes to topic '{}', but the queue is of topic '{}'",
                message.topic, queue.topic
            )));
        }
        let choice = Choice::Exactly { broker_name: queue.broker_name.clone(), queue_id: queue.queue_id };
        send_one(&*self.inner, message, choice, deadline(timeout)).await
    }

    /// Sends a message to the queue that `select` names by its index in the list of queues it is given, which is
    /// in the order of broker names and queue ids (`MessageQueueSelector`). It is not tried again on another.
    ///
    /// # Errors
    /// As [`Producer::send`]; `ARGUMENT` if there is no queue of that index.
    pub async fn send_selected(
        &self,
        message: Message,
        select: impl FnOnce(&[MessageQueue]) -> usize + Send,
        timeout: Duration,
    ) -> Result<SendReceipt, Error> {
        let deadline = deadline(timeout);
        let queues = self.queues_until(&message.topic, deadline).await?;
        let index = select(&queues);
        let Some(queue) = queues.into_iter().nth(index) else {
            return Err(Error::argument(format!(
                "the selector chose queue number {index} of topic '{}', which is not in the list it was given",
                message.topic
            )));
        };
        let choice = Choice::Exactly { broker_name: queue.broker_name, queue_id: queue.queue_id };
        send_one(&*self.inner, message, choice, deadline).await
    }

    /// Sends messages of one topic as one request: all are stored, in order and in one queue, or none is.
    ///
    /// The receipt tells the place of the first and all ids, joined with commas.
    ///
    /// # Errors
    /// As [`Producer::send`]; `ARGUMENT` if the list is empty or mixes topics, or a message has a delivery time
    /// or a message group of its own; `TOO_LARGE` if the list is over `max_message_size`.
    pub async fn send_batch(&self, messages: Vec<Message>) -> Result<SendReceipt, Error> {
        self.send_batch_with_timeout(messages, self.inner.config.send_timeout).await
    }

    /// As [`Producer::send_batch`] within this time.
    ///
    /// # Errors
    /// As [`Producer::send_batch`].
    pub async fn send_batch_with_timeout(
        &self,
        messages: Vec<Message>,
        timeout: Duration,
    ) -> Result<SendReceipt, Error> {
        let inner = &self.inner;
        inner.check_open()?;
        let deadline = deadline(timeout);
        let choice = messages.first().map_or(Choice::Any, Choice::of);
        let mut outgoing = Outgoing::batch(&messages, &inner.client, &inner.config)?;
        let _permit = inner.in_flight.enter(outgoing.body.len(), deadline).await?;
        inner.send(&mut outgoing, &choice, deadline).await
    }

    /// Sends a message without asking for an answer: it is on its way when this returns, no more.
    ///
    /// # Errors
    /// As [`Producer::send`], without those of the broker.
    pub async fn send_oneway(&self, message: Message) -> Result<(), Error> {
        let inner = &self.inner;
        inner.check_open()?;
        let deadline = deadline(inner.config.send_timeout);
        let choice = Choice::of(&message);
        let mut outgoing = Outgoing::single(message, &inner.client, &inner.config)?;
        inner.compress(&mut outgoing).await?;
        let _permit = inner.in_flight.enter(outgoing.body.len(), deadline).await?;
        let (topic, route) = inner.client.route(outgoing.topic(), Some(inner.template()), deadline).await?;
        let queue =
            queue::choose(&choice, outgoing.topic(), topic.turn(), &route, None, inner.faults.as_ref())?;
        let header = inner.header(&outgoing, queue);
        inner.client.remoting.tell(&queue.peer, outgoing.code, &header, &outgoing.body, deadline).await
    }

    /// The queues of a topic that can be sent to, in the order of broker names and queue ids.
    ///
    /// # Errors
    /// `NOT_FOUND`: no route. `NETWORK`, `TIMEOUT`: no NameServer answers.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, Error> {
        self.queues_until(topic, self.inner.client.short()).await
    }

    async fn queues_until(&self, topic: &str, deadline: Instant) -> Result<Vec<MessageQueue>, Error> {
        let inner = &self.inner;
        inner.check_open()?;
        mq_protocol::name::check_topic(topic)?;
        let wrapped = inner.client.wrap(topic);
        let (_, route) = inner.client.route(&wrapped, Some(inner.template()), deadline).await?;
        let queue = |queue: &PublishQueue| MessageQueue {
            topic: topic.to_owned(),
            broker_name: queue.broker_name.to_string(),
            queue_id: queue.queue_id,
        };
        Ok(route.publish.iter().map(queue).collect())
    }

    /// Divides messages into lists that [`Producer::send_batch`] takes: [`split_batch`] with `max_message_size`.
    ///
    /// # Errors
    /// As [`split_batch`].
    pub fn split_batch(&self, messages: Vec<Message>) -> Result<Vec<Vec<Message>>, Error> {
        batch::split(messages, self.inner.config.max_message_size, &self.inner.client.config.namespace)
    }

    /// Waits (up to `close_timeout`) for the sends that are on their way and tells the brokers. Later sends
    /// fail with `CLOSED`; later calls of this do nothing.
    pub async fn close(&self) {
        self.inner.close().await;
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("group", &self.inner.config.group).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            self.client.remove_producer(&self.group, self);
        }
    }
}

impl Inner {
    pub(crate) async fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.in_flight.close(self.config.close_timeout).await;
        if self.client.remove_producer(&self.group, self) {
            self.client.unregister(std::slice::from_ref(&self.group), None).await;
        }
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::closed("the producer"));
        }
        self.client.check_open()
    }

    fn template(&self) -> Template<'_> {
        Template { topic: &self.config.create_topic_key, queues: self.config.default_topic_queue_nums }
    }

    /// Compresses a body that is worth it; a large one off the runtime's threads.
    async fn compress(&self, outgoing: &mut Outgoing) -> Result<(), Error> {
        if outgoing.is_to_be_compressed(&self.config) {
            Box::pin(outgoing.compress(&self.client.runtime, &self.config)).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        outgoing: &mut Outgoing,
        choice: &Choice,
        deadline: Instant,
    ) -> Result<SendReceipt, Error> {
        let retries =
            if matches!(choice, Choice::Any) { self.config.retry_times_when_send_failed } else { 0 };
        let mut failed_on: Option<Arc<str>> = None;
        // Stored, but not as well as wanted: the answer if nothing better comes.
        let mut stored: Option<Box<SendReceipt>> = None;
        let mut attempt = 0;
        let mut turn = None;
        loop {
            let (topic, route) = self.client.route(outgoing.topic(), Some(self.template()), deadline).await?;
            let turn = *turn.get_or_insert_with(|| topic.turn());
            let faults = self.faults.as_ref();
            let queue = queue::choose(choice, outgoing.topic(), turn, &route, failed_on.as_deref(), faults)?;
            let started = faults.map(|_| Instant::now());
            let limit = if attempt == retries { deadline } else { self.attempt_deadline(deadline) };
            let result = self.attempt(outgoing, queue, limit).await;
            if let (Some(faults), Some(started)) = (faults, started) {
                // What is wrong with the message itself is no fault of the broker.
                let failed = result.as_ref().is_err_and(|error| self.worth_a_retry(error));
                faults.note(&queue.broker_name, started.elapsed(), failed);
            }
            let last = || attempt == retries || Instant::now() >= deadline;
            match result {
                Ok(receipt) => {
                    let retry = receipt.status != SendStatus::Ok
                        && self.config.retry_another_broker_when_not_store_ok
                        && has_other_broker(&route, &queue.broker_name);
                    if !retry || last() {
                        return Ok(receipt);
                    }
                    outgoing.message_id.clone_from(&receipt.message_id);
                    outgoing.shown_topic.clone_from(&receipt.topic);
                    stored = Some(Box::new(receipt));
                }
                Err(error) if !self.worth_a_retry(&error) || last() => {
                    let attempts = attempt + 1;
                    let error = if attempt == 0 {
                        error
                    } else {
                        error.context(format_args!("after {attempts} attempts"))
                    };
                    return stored.map(|receipt| *receipt).ok_or(error);
                }
                Err(error) => {
                    tracing::debug!(topic = outgoing.topic(), broker = &*queue.broker_name, %error, "sending again");
                    if error.code() == ErrorCode::Network {
                        // The broker may have moved. What comes of asking shows in the next attempt.
                        let template = Some(self.template());
                        let refresh = self.client.refresh_route(outgoing.topic(), template, deadline);
                        let _ = Box::pin(refresh).await;
                    }
                }
            }
            failed_on = Some(queue.broker_name.clone());
            attempt += 1;
        }
    }

    /// The end of an attempt that is not the last.
    fn attempt_deadline(&self, deadline: Instant) -> Instant {
        match self.config.send_timeout_per_request {
            Duration::ZERO => deadline,
            limit => deadline.min(Instant::now() + limit),
        }
    }

    fn worth_a_retry(&self, error: &Error) -> bool {
        match error.broker_code() {
            Some(code) => self.config.retry_response_codes.contains(&code),
            None => matches!(error.code(), ErrorCode::Network | ErrorCode::Timeout),
        }
    }

    async fn attempt(
        &self,
        outgoing: &mut Outgoing,
        queue: &PublishQueue,
        deadline: Instant,
    ) -> Result<SendReceipt, Error> {
        let connection = self.client.remoting.connection(&queue.peer, deadline).await?;
        let code = outgoing.code;
        let started = connection.start(code, &self.header(outgoing, queue), &outgoing.body, deadline);
        let answer = match started {
            Ok(call) => call.await?,
            Err(Refused::Failed(error)) => return Err(error),
            Err(Refused::Full) => {
                let late = async {
                    let header = self.header(outgoing, queue);
                    connection.call(code, &header, &outgoing.body, deadline).await
                };
                Box::pin(late).await?
            }
        };
        receipt(outgoing, queue, &answer)
    }

    fn header<'a>(&'a self, outgoing: &'a Outgoing, queue: &PublishQueue) -> SendMessageRequestV2<'a> {
        SendMessageRequestV2 {
            producer_group: &self.group,
            topic: outgoing.topic(),
            default_topic: &self.config.create_topic_key,
            default_topic_queue_nums: self.config.default_topic_queue_nums,
            queue_id: queue.queue_id,
            sys_flag: outgoing.sys_flag,
            born_timestamp: outgoing.born_timestamp,
            flag: outgoing.flag,
            properties: Some(&outgoing.properties),
            reconsume_times: Some(0),
            unit_mode: Some(self.client.config.unit_mode),
            max_reconsume_times: None,
            batch: Some(outgoing.code == RequestCode::SEND_BATCH_MESSAGE),
        }
    }
}

/// Sends a message on behalf of `inner`, be it borrowed or shared.
///
/// The future is moved about, so it has little in it: what is encoded already, and the message itself no more.
fn send_one<I: Deref<Target = Inner> + Send + Sync>(
    inner: I,
    message: Message,
    choice: Choice,
    deadline: Instant,
) -> impl Future<Output = Result<SendReceipt, Error>> + Send + use<I> {
    let mut outgoing = Outgoing::single(message, &inner.client, &inner.config);
    async move {
        inner.check_open()?;
        let outgoing = outgoing.as_mut().map_err(|error| error.clone())?;
        let _permit = inner.in_flight.enter(outgoing.body.len(), deadline).await?;
        inner.compress(outgoing).await?;
        inner.send(outgoing, &choice, deadline).await
    }
}

fn has_other_broker(route: &Route, name: &str) -> bool {
    route.publish.iter().any(|queue| &*queue.broker_name != name)
}

/// Reads the answer to a send; takes the texts of `outgoing` that are not needed any more.
fn receipt(outgoing: &mut Outgoing, queue: &PublishQueue, answer: &Frame) -> Result<SendReceipt, Error> {
    let status = match answer.response_code() {
        ResponseCode::SUCCESS => SendStatus::Ok,
        ResponseCode::FLUSH_DISK_TIMEOUT => SendStatus::FlushDiskTimeout,
        ResponseCode::FLUSH_SLAVE_TIMEOUT => SendStatus::FlushSlaveTimeout,
        ResponseCode::SLAVE_NOT_AVAILABLE => SendStatus::SlaveNotAvailable,
        _ => return Err(refusal(answer, outgoing.code, queue.peer.address())),
    };
    let header: SendMessageResponse<'_> = answer.header()?;
    Ok(SendReceipt {
        message_id: std::mem::take(&mut outgoing.message_id),
        offset_message_id: header.msg_id.to_owned(),
        topic: std::mem::take(&mut outgoing.shown_topic),
        broker_name: queue.broker_name.clone(),
        queue_id: header.queue_id,
        queue_offset: header.queue_offset,
        status,
        transaction_id: header.transaction_id.map(str::to_owned),
        region_id: header.region_id.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, ClientConfig};

    #[tokio::test]
    async fn the_future_of_a_send_is_small() {
        let client = Client::new(ClientConfig::new("127.0.0.1:1").unwrap()).unwrap();
        let producer = client.producer(ProducerConfig::default()).unwrap();
        let size = std::mem::size_of_val(&producer.send(Message::new("T", "x")));
        // It is moved into a task and about with it; allocators are slow with more than 1 KiB.
        assert!(size < 800, "{size} bytes");
    }
}
