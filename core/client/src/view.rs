//! A message that arrived: a view into the bytes that were received.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mq_protocol::compression::Compression;
use mq_protocol::id::body_crc;
use mq_protocol::message::batch::BatchElement;
use mq_protocol::message::{NewRecord, Place, sys_flag};
use mq_protocol::property::{self, key};
use mq_protocol::{MessageRecord, name};

use crate::{Error, ErrorCode};

/// A received message. Clones share it; nothing is copied until asked for.
#[derive(Clone)]
pub struct MessageView(Arc<View>);

struct View {
    record: MessageRecord,
    /// Decompressed.
    body: Bytes,
    broker_name: Arc<str>,
    /// What the application knows the topic as, if it is not the record's.
    topic: Option<String>,
    /// The same of the topic that a retry or dead letter was first sent to, if it is not the property's.
    origin: Option<String>,
    reconsume_times: i32,
}

impl MessageView {
    /// Opens a record.
    ///
    /// # Errors
    /// `BROKER`: the body does not decompress. `TOO_LARGE`: it needs more than `limit` bytes.
    pub(crate) fn open(
        record: MessageRecord,
        broker_name: &Arc<str>,
        namespace: &str,
        limit: usize,
    ) -> Result<MessageView, (MessageView, Error)> {
        let unwrapped = |record: &MessageRecord| {
            let topic = record.property(key::RETRY_TOPIC).filter(|_| is_retry(record.topic()));
            let topic = topic.unwrap_or_else(|| record.topic());
            let shown = without_namespace(namespace, topic);
            (shown != record.topic()).then(|| shown.into_owned())
        };
        let topic = unwrapped(&record);
        let origin = match origin_property(&record) {
            Some(origin) if !namespace.is_empty() => Some(without_namespace(namespace, origin).into_owned()),
            _ => None,
        };
        let body = inflate(&record, limit);
        let (body, error) = match body {
            Ok(body) => (body, None),
            Err(error) => (record.body(), Some(error)),
        };
        let reconsume_times = record.layout().reconsume_times;
        let broker_name = broker_name.clone();
        let view = MessageView(Arc::new(View { record, body, broker_name, topic, origin, reconsume_times }));
        match error {
            None => Ok(view),
            Some(error) => Err((view, error)),
        }
    }

    /// The same message with one more attempt counted, for a retry that no broker knows of.
    pub(crate) fn again(&self) -> MessageView {
        MessageView(Arc::new(View {
            record: self.0.record.clone(),
            body: self.0.body.clone(),
            broker_name: self.0.broker_name.clone(),
            topic: self.0.topic.clone(),
            origin: self.0.origin.clone(),
            reconsume_times: self.0.reconsume_times.saturating_add(1),
        }))
    }

    /// The topic; for a retry the one that the message was sent to.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.0.topic.as_deref().unwrap_or_else(|| self.0.record.topic())
    }

    /// The topic that a retry or dead letter was first sent to; `None` for other messages.
    #[must_use]
    pub fn origin_topic(&self) -> Option<&str> {
        self.0.origin.as_deref().or_else(|| origin_property(&self.0.record))
    }

    /// The body, decompressed.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.0.body.clone()
    }

    /// The same bytes, borrowed.
    #[must_use]
    pub fn body_ref(&self) -> &[u8] {
        &self.0.body
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.property(key::TAGS)
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.property(key::KEYS).unwrap_or_default().split(' ').filter(|key| !key.is_empty())
    }

    /// Value of a property, the application's own or RocketMQ's.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.0.record.property(name)
    }

    /// All properties as stored, RocketMQ's own among them.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        property::pairs(self.0.record.properties())
    }

    /// The message group.
    #[must_use]
    pub fn message_group(&self) -> Option<&str> {
        self.property(key::SHARDING_KEY)
    }

    /// The unique id that its producer gave it; the same on every attempt.
    #[must_use]
    pub fn message_id(&self) -> Cow<'_, str> {
        // The first one: brokers before 5.4 put the properties of a whole batch, its id too, behind those of each message.
        let mut pairs = mq_protocol::property::pairs(self.0.record.properties());
        let id = pairs.find(|(name, _)| *name == key::UNIQ_KEY).map(|(_, id)| id);
        id.map_or_else(|| Cow::Owned(self.offset_message_id()), Cow::Borrowed)
    }

    /// Where it is stored; another on every attempt.
    #[must_use]
    pub fn offset_message_id(&self) -> String {
        self.0.record.offset_msg_id()
    }

    /// The queue it was read from.
    #[must_use]
    pub fn queue_id(&self) -> i32 {
        self.0.record.layout().queue_id
    }

    /// Its place in that queue.
    #[must_use]
    pub fn queue_offset(&self) -> i64 {
        self.0.record.layout().queue_offset
    }

    /// The broker it was read from.
    #[must_use]
    pub fn broker_name(&self) -> &str {
        &self.0.broker_name
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub fn born_timestamp(&self) -> i64 {
        self.0.record.layout().born_timestamp
    }

    /// Where it was made.
    #[must_use]
    pub fn born_host(&self) -> SocketAddr {
        self.0.record.layout().born_host
    }

    /// When it was stored, in milliseconds since 1970.
    #[must_use]
    pub fn store_timestamp(&self) -> i64 {
        self.0.record.layout().store_timestamp
    }

    /// The broker that stored it.
    #[must_use]
    pub fn store_host(&self) -> SocketAddr {
        self.0.record.layout().store_host
    }

    /// How often its consumption failed before.
    #[must_use]
    pub fn reconsume_times(&self) -> i32 {
        self.0.reconsume_times
    }

    /// The number of this attempt; 1 for the first.
    #[must_use]
    pub fn delivery_attempt(&self) -> i32 {
        self.0.reconsume_times.saturating_add(1)
    }

    /// The number that travels along unread.
    #[must_use]
    pub fn flag(&self) -> i32 {
        self.0.record.layout().flag
    }

    /// Bytes of memory that this message counts for.
    pub(crate) fn size(&self) -> usize {
        let stored = self.0.record.raw().len();
        let inflated = self.0.record.layout().sys_flag & sys_flag::COMPRESSED != 0;
        if inflated { stored + self.0.body.len() } else { stored }
    }

    pub(crate) fn record(&self) -> &MessageRecord {
        &self.0.record
    }
}

impl fmt::Debug for MessageView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageView")
            .field("topic", &self.topic())
            .field("message_id", &self.message_id())
            .field("queue_id", &self.queue_id())
            .field("queue_offset", &self.queue_offset())
            .field("delivery_attempt", &self.delivery_attempt())
            .field("body_len", &self.0.body.len())
            .finish_non_exhaustive()
    }
}

fn origin_property(record: &MessageRecord) -> Option<&str> {
    record.property(key::RETRY_TOPIC).or_else(|| record.property(crate::dead_letters::DLQ_ORIGIN_TOPIC))
}

fn is_retry(topic: &str) -> bool {
    topic.starts_with(name::RETRY_PREFIX)
}

/// The reverse of [`name::with_namespace`].
pub(crate) fn without_namespace<'a>(namespace: &str, resource: &'a str) -> Cow<'a, str> {
    if namespace.is_empty() {
        return Cow::Borrowed(resource);
    }
    let (prefix, rest) = [name::RETRY_PREFIX, name::DLQ_PREFIX]
        .iter()
        .find_map(|prefix| resource.strip_prefix(prefix).map(|rest| (*prefix, rest)))
        .unwrap_or(("", resource));
    match rest.strip_prefix(namespace).and_then(|tail| tail.strip_prefix('%')) {
        Some(tail) if prefix.is_empty() => Cow::Borrowed(tail),
        Some(tail) => Cow::Owned(format!("{prefix}{tail}")),
        None => Cow::Borrowed(resource),
    }
}

fn inflate(record: &MessageRecord, limit: usize) -> Result<Bytes, Error> {
    let bad = |error: mq_protocol::compression::CompressionError| {
        let code = match error {
            mq_protocol::compression::CompressionError::TooLarge { .. } => ErrorCode::TooLarge,
            _ => ErrorCode::Broker,
        };
        Error::new(code, format!("message {}: {error}", record.offset_msg_id()))
    };
    match Compression::of_flags(record.layout().sys_flag).map_err(bad)? {
        None => Ok(record.body()),
        Some(kind) => kind.decompress(&record.body(), limit).map(Bytes::from).map_err(bad),
    }
}

/// Splits a record that holds a whole batch (a topic of `queue.type` BatchCQ) into its messages.
pub(crate) fn split_inner_batch(record: MessageRecord, into: &mut Vec<MessageRecord>) -> Result<(), Error> {
    let layout = *record.layout();
    let both = sys_flag::NEED_UNWRAP | sys_flag::INNER_BATCH;
    if layout.sys_flag & both != both {
        into.push(record);
        return Ok(());
    }
    let bad = |error: &dyn fmt::Display| {
        Error::new(ErrorCode::Broker, format!("batch {} cannot be split: {error}", record.offset_msg_id()))
    };
    let body = record.body();
    for (index, element) in BatchElement::take_all(&body).map_err(|error| bad(&error))?.iter().enumerate() {
        let place = Place {
            queue_offset: layout.queue_offset.saturating_add(i64::try_from(index).unwrap_or(i64::MAX)),
            physical_offset: layout.physical_offset,
            store_timestamp: layout.store_timestamp,
        };
        let message = NewRecord {
            topic: record.topic(),
            queue_id: layout.queue_id,
            flag: element.flag,
            sys_flag: layout.sys_flag & !both,
            born_timestamp: layout.born_timestamp,
            born_host: layout.born_host,
            store_host: layout.store_host,
            reconsume_times: layout.reconsume_times,
            prepared_transaction_offset: layout.prepared_transaction_offset,
            body: element.body,
            body_crc: body_crc(element.body),
            properties: element.properties,
        };
        let mut bytes = BytesMut::with_capacity(message.encoded_len());
        message.encode(place, &mut bytes);
        into.extend(MessageRecord::take(&mut bytes.freeze()).map_err(|error| bad(&error))?);
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A message at this offset.
    pub(crate) fn view(topic: &str, queue_offset: i64) -> MessageView {
        open(record_at(queue_offset, topic, 0, b"x", "", 2), "", 10).unwrap()
    }

    /// A message with a tag that nobody has failed for.
    pub(crate) fn tagged(topic: &str, queue_offset: i64, tag: &str) -> MessageView {
        let properties = format!("TAGS\u{1}{tag}\u{2}");
        open(record_at(queue_offset, topic, 0, b"x", &properties, 0), "", 10).unwrap()
    }

    fn record(topic: &str, sys_flag: i32, body: &[u8], properties: &str) -> MessageRecord {
        record_at(10, topic, sys_flag, body, properties, 2)
    }

    fn record_at(
        queue_offset: i64,
        topic: &str,
        sys_flag: i32,
        body: &[u8],
        properties: &str,
        reconsume_times: i32,
    ) -> MessageRecord {
        let message = NewRecord {
            topic,
            queue_id: 3,
            flag: 0,
            sys_flag,
            born_timestamp: 1,
            born_host: "10.0.0.1:1".parse().unwrap(),
            store_host: "10.0.0.2:10911".parse().unwrap(),
            reconsume_times,
            prepared_transaction_offset: 0,
            body,
            body_crc: 0,
            properties,
        };
        let mut bytes = BytesMut::new();
        message.encode(Place { queue_offset, physical_offset: 4096, store_timestamp: 5 }, &mut bytes);
        MessageRecord::take(&mut bytes.freeze()).unwrap().unwrap()
    }

    fn open(record: MessageRecord, namespace: &str, limit: usize) -> Result<MessageView, Error> {
        MessageView::open(record, &"b".into(), namespace, limit).map_err(|(_, error)| error)
    }

    #[test]
    fn retries_show_their_first_topic_without_namespace() {
        let properties = "RETRY_TOPIC\u{1}ns%T\u{2}KEYS\u{1}a b\u{2}TAGS\u{1}t\u{2}UNIQ_KEY\u{1}ID\u{2}";
        let view = open(record("%RETRY%ns%G", 0, b"x", properties), "ns", 10).unwrap();
        assert_eq!((view.topic(), view.tag(), &*view.message_id()), ("T", Some("t"), "ID"));
        assert_eq!(view.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((view.delivery_attempt(), view.again().delivery_attempt()), (3, 4));
        assert_eq!((view.origin_topic(), view.again().origin_topic()), (Some("T"), Some("T")));
        let view = open(record("T", 0, b"x", "RETRY_TOPIC\u{1}U\u{2}"), "", 10).unwrap();
        assert_eq!(view.origin_topic(), Some("U"));
        assert_eq!(view.topic(), "T");
        assert_eq!(&*view.message_id(), "0A00000200002A9F0000000000001000");
        assert_eq!(without_namespace("ns", "%DLQ%ns%G"), "%DLQ%G");
        assert_eq!(without_namespace("ns", "other%G"), "other%G");
    }

    #[test]
    fn bodies_inflate_up_to_a_limit() {
        let body = vec![b'a'; 10_000];
        let packed = Compression::Zlib.compress(&body, 5).unwrap();
        let flags = Compression::Zlib.flags();
        assert_eq!(open(record("T", flags, &packed, ""), "", 10_000).unwrap().body(), body);
        let error = open(record("T", flags, &packed, ""), "", 9_999).unwrap_err();
        assert_eq!(error.code(), ErrorCode::TooLarge);
        let error = open(record("T", flags, b"nonsense", ""), "", 9_999).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Broker);
    }

    #[test]
    fn stored_batches_are_split() {
        let mut body = Vec::new();
        for text in [b"one", b"two"] {
            BatchElement { flag: 7, body: text, properties: "TAGS\u{1}t\u{2}" }.encode(&mut body);
        }
        let flags = sys_flag::NEED_UNWRAP | sys_flag::INNER_BATCH;
        let mut parts = Vec::new();
        split_inner_batch(record("T", flags, &body, ""), &mut parts).unwrap();
        let views: Vec<_> = parts.into_iter().map(|part| open(part, "", 10).unwrap()).collect();
        assert_eq!(views.iter().map(MessageView::queue_offset).collect::<Vec<_>>(), [10, 11]);
        assert_eq!(views[1].body(), "two");
        assert_eq!((views[1].tag(), views[1].flag()), (Some("t"), 7));
        let mut parts = Vec::new();
        assert!(split_inner_batch(record("T", flags, &body[..20], ""), &mut parts).is_err());
    }
}
