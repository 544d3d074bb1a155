//! Dead letters: what a group failed to consume too often, read and sent to its topic once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use mq_protocol::body::MessageQueue;
use mq_protocol::header::{PullMessageRequest, PullMessageResponse, pull_flag};
use mq_protocol::property::key;
use mq_protocol::{MessageRecord, RequestCode, ResponseCode, name};

use crate::client::Inner as ClientInner;
use crate::remoting::refusal;
use crate::view::split_inner_batch;
use crate::{Error, ErrorCode, Message, MessageView, Producer, ProducerConfig, SendReceipt};

/// Largest body that is read, after decompression, in bytes.
const LARGEST_BODY: usize = 64 * 1024 * 1024;
/// Messages asked for at a time.
const PULL_SIZE: usize = 32;

/// The dead letters of one consumer group, from the oldest on. Reading takes nothing away: brokers keep dead letters
/// as long as other messages. Clones share the place that was read up to; usable from any thread.
///
/// ```no_run
/// # async fn example(client: mq_client::Client) -> Result<(), mq_client::Error> {
/// let letters = client.dead_letters("billing")?;
/// loop {
///     let read = letters.read(100).await?;
///     if read.is_empty() {
///         break;
///     }
///     for letter in &read {
///         println!("{} of {:?} failed {} times", letter.message_id(), letter.origin_topic(), letter.reconsume_times());
///         letters.resend(letter).await?;
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct DeadLetters {
    inner: Arc<Inner>,
}

struct Inner {
    client: Arc<ClientInner>,
    /// In the client's namespace, as the topic.
    group: String,
    topic: String,
    producer: Producer,
    /// Where the next read begins in each queue.
    next: tokio::sync::Mutex<BTreeMap<MessageQueue, i64>>,
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").field("group", &self.inner.group).finish_non_exhaustive()
    }
}

impl DeadLetters {
    pub(crate) fn new(client: Arc<ClientInner>, group: &str) -> Result<DeadLetters, Error> {
        name::check_group(group)?;
        let producer = Producer::new(client.clone(), ProducerConfig::new(group))?;
        let group = client.wrap(group).into_owned();
        let topic = name::dlq_topic(&group);
        let next = tokio::sync::Mutex::default();
        Ok(DeadLetters { inner: Arc::new(Inner { client, group, topic, producer, next }) })
    }

    /// Up to `max` dead letters that follow those read before; empty if there are no more at the moment, or never
    /// were any. [`MessageView::origin_topic`] tells where each was sent to, and `message_id` is its first id.
    ///
    /// # Errors
    /// `DENIED`: the topic of the dead letters may not be read, as brokers up to 4.9.1 make it; an admin has to set
    /// its permission to 6. `NETWORK`, `TIMEOUT`, `BROKER`: a broker did not answer well; what was read before is
    /// not read again. `CLOSED`: the client is.
    pub async fn read(&self, max: usize) -> Result<Vec<MessageView>, Error> {
        let inner = &self.inner;
        inner.client.check_open()?;
        let mut next = inner.next.lock().await;
        let mut letters = Vec::new();
        for queue in inner.queues().await? {
            while letters.len() < max {
                let start = match next.get(&queue) {
                    Some(offset) => *offset,
                    None => inner.client.min_offset(&queue).await?,
                };
                let wanted = (max - letters.len()).min(PULL_SIZE);
                let (found, end) = inner.pull(&queue, start, wanted).await?;
                next.insert(queue.clone(), end);
                if end == start {
                    break;
                }
                letters.extend(found);
            }
        }
        Ok(letters)
    }

    /// Begins again with the oldest.
    pub async fn rewind(&self) {
        self.inner.next.lock().await.clear();
    }

    /// Sends a dead letter to the topic that it was first sent to, as a new message with a new id: same body, tag, keys,
    /// message group and properties of the application. All groups that subscribe to the topic get it. The dead
    /// letter itself stays where it is.
    ///
    /// # Errors
    /// `ARGUMENT`: the message does not tell the topic that it comes from. Else as [`Producer::send`].
    pub async fn resend(&self, letter: &MessageView) -> Result<SendReceipt, Error> {
        self.inner.producer.send(again(letter)?).await
    }
}

impl Inner {
    /// Empty if there never was a dead letter.
    async fn queues(&self) -> Result<Vec<MessageQueue>, Error> {
        let route = match self.client.route(&self.topic, None, self.client.short()).await {
            Ok((_, route)) => route,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if route.subscribe.is_empty() && !route.data.queue_datas.is_empty() {
            return Err(Error::new(
                ErrorCode::Denied,
                format!(
                    "topic '{}' may not be read; set its permission to 6 (brokers up to 4.9.1 make it with 2)",
                    self.topic
                ),
            ));
        }
        Ok(route.subscribe.clone())
    }

    /// Messages from `start` on, and where the next pull begins.
    async fn pull(
        &self,
        queue: &MessageQueue,
        start: i64,
        max: usize,
    ) -> Result<(Vec<MessageView>, i64), Error> {
        let code = RequestCode::PULL_MESSAGE;
        let header = PullMessageRequest {
            consumer_group: &self.group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            queue_offset: start,
            max_msg_nums: i32::try_from(max).unwrap_or(i32::MAX),
            sys_flag: pull_flag::SUBSCRIPTION,
            commit_offset: 0,
            suspend_timeout_millis: 0,
            subscription: Some("*"),
            sub_version: 0,
            expression_type: Some("TAG"),
            max_msg_bytes: None,
        };
        let peer = self.client.broker(&queue.broker_name, 0)?;
        let frame =
            self.client.remoting.call(&peer, code, &header, &Bytes::new(), self.client.short()).await?;
        match frame.response_code() {
            ResponseCode::SUCCESS => {}
            ResponseCode::PULL_NOT_FOUND
            | ResponseCode::PULL_RETRY_IMMEDIATELY
            | ResponseCode::PULL_OFFSET_MOVED => {
                let answer: PullMessageResponse = frame.header()?;
                return Ok((Vec::new(), answer.next_begin_offset));
            }
            _ => return Err(refusal(&frame, code, peer.address())),
        }
        let answer: PullMessageResponse = frame.header()?;
        let mut records = Vec::new();
        for record in MessageRecord::take_all(frame.body.clone()).map_err(|error| {
            let broker = &queue.broker_name;
            Error::new(
                ErrorCode::Broker,
                format!("broker '{broker}' sent messages that cannot be read: {error}"),
            )
        })? {
            split_inner_batch(record, &mut records)?;
        }
        let broker_name = queue.broker_name.as_str().into();
        let open = |record| {
            // One that does not decompress is shown as it is: that may be why it died.
            MessageView::open(record, &broker_name, &self.client.config.namespace, LARGEST_BODY)
                .unwrap_or_else(|(view, _)| view)
        };
        Ok((records.into_iter().map(open).collect(), answer.next_begin_offset))
    }
}

/// A new message with what the application gave the old one.
fn again(letter: &MessageView) -> Result<Message, Error> {
    let topic = letter.origin_topic().ok_or_else(|| {
        Error::argument(format!(
            "message {} is no dead letter: it does not tell the topic that it comes from",
            letter.message_id()
        ))
    })?;
    let mut message = Message::new(topic, letter.body());
    if let Some(tag) = letter.tag() {
        message = message.tag(tag);
    }
    if let Some(group) = letter.message_group() {
        message = message.message_group(group);
    }
    for key in letter.keys() {
        message = message.key(key);
    }
    for (name, value) in letter.properties() {
        let is_own = !key::RESERVED.contains(&name) && ![key::SHARDING_KEY, DLQ_ORIGIN_ID].contains(&name);
        if is_own && name != DLQ_ORIGIN_TOPIC && !value.is_empty() {
            message = message.property(name, value);
        }
    }
    Ok(message)
}

/// What some brokers write beside `RETRY_TOPIC` and `ORIGIN_MESSAGE_ID` (`MessageConst`).
pub(crate) const DLQ_ORIGIN_TOPIC: &str = "DLQ_ORIGIN_TOPIC";
const DLQ_ORIGIN_ID: &str = "DLQ_ORIGIN_MESSAGE_ID";
