//! Messages to be sent, and what the broker says of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use chrono::{Datelike, Local, Months, TimeZone};
use mq_protocol::id::UniqueIds;
use mq_protocol::name;
use mq_protocol::property::{self, MAX_PROPERTIES, PropertyError, key, push_pair};
use tokio::time::Instant;

use crate::{Error, ErrorCode};

/// A message to be sent: plain data, checked by [`Message::check`] and once more by every send.
///
/// ```
/// use mq_client::Message;
/// let message = Message::new("orders", "42 apples").tag("paid").key("42").property("region", "eu");
/// assert!(message.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: String,
    /// What it says; at least one byte.
    pub body: Bytes,
    /// What consumers filter by; at most one.
    pub tag: Option<String>,
    /// What it can be found by; no spaces.
    pub keys: Vec<String>,
    /// The application's own properties.
    pub properties: Vec<(String, String)>,
    /// Messages of one group go to one queue and so stay in order.
    pub message_group: Option<String>,
    /// When it is delivered, if not at once.
    pub delivery: Delivery,
    /// A number that travels along unread (`flag`).
    pub flag: i32,
    /// Whether the broker answers only when the message is flushed and replicated as its settings ask for
    /// (`waitStoreMsgOK`); if not, as soon as it is in memory.
    pub wait_store: bool,
}

impl Default for Message {
    fn default() -> Message {
        Message {
            topic: String::new(),
            body: Bytes::new(),
            tag: None,
            keys: Vec::new(),
            properties: Vec::new(),
            message_group: None,
            delivery: Delivery::Now,
            flag: 0,
            wait_store: true,
        }
    }
}

/// When a message is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// At once.
    #[default]
    Now,
    /// After the time of a delay level of the broker, 1 being the shortest.
    Level(u32),
    /// At this time, in milliseconds since 1970; brokers from 5.0 on.
    At(i64),
}

impl Message {
    /// A message with this topic and body.
    #[must_use]
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Message {
        Message { topic: topic.into(), body: body.into(), ..Message::default() }
    }

    /// Sets the tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Message {
        self.tag = Some(tag.into());
        self
    }

    /// Adds a key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Message {
        self.keys.push(key.into());
        self
    }

    /// Adds a property; the last of one name counts.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Message {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Sets the message group.
    #[must_use]
    pub fn message_group(mut self, group: impl Into<String>) -> Message {
        self.message_group = Some(group.into());
        self
    }

    /// Delivers it after the time of a delay level.
    #[must_use]
    pub fn delay_level(mut self, level: u32) -> Message {
        self.delivery = Delivery::Level(level);
        self
    }

    /// Delivers it at this time, in milliseconds since 1970.
    #[must_use]
    pub fn deliver_at(mut self, millis: i64) -> Message {
        self.delivery = Delivery::At(millis);
        self
    }

    /// Sets whether the broker's answer waits for disk and replicas.
    #[must_use]
    pub fn wait_store(mut self, wait: bool) -> Message {
        self.wait_store = wait;
        self
    }

    /// Checks everything that needs no settings: topic, tag, keys, properties, body.
    ///
    /// # Errors
    /// `ARGUMENT` or `TOO_LARGE`: says what is not acceptable.
    pub fn check(&self) -> Result<(), Error> {
        name::check_topic_for_send(&self.topic)?;
        if self.body.is_empty() {
            return Err(Error::argument(format!(
                "the body of the message to topic '{}' is empty; RocketMQ refuses empty bodies",
                self.topic
            )));
        }
        if let Some(tag) = &self.tag {
            check_text("tag", tag)?;
            if tag.contains("||") || tag.trim() != tag {
                return Err(Error::argument(format!(
                    "tag '{tag}' cannot be subscribed to: '||' and the spaces around it separate the tags of a subscription"
                )));
            }
        }
        for key in &self.keys {
            check_text("key", key)?;
            if key.contains(char::is_whitespace) {
                return Err(Error::argument(format!(
                    "key '{key}' contains a space, which separates keys; give several keys one by one"
                )));
            }
        }
        if let Some(group) = &self.message_group {
            check_text("message group", group)?;
        }
        for (index, (name, value)) in self.properties.iter().enumerate() {
            let bad = if name.trim().is_empty() {
                PropertyError::EmptyName
            } else if value.is_empty() {
                PropertyError::EmptyValue(name.clone())
            } else if [name, value].iter().any(|part| part.contains(['\u{1}', '\u{2}'])) {
                PropertyError::Separator(name.escape_debug().to_string())
            } else if key::RESERVED.contains(&name.as_str()) {
                PropertyError::Reserved(name.clone())
            } else if self.properties.iter().skip(index + 1).any(|(other, _)| other == name) {
                return Err(Error::argument(format!("property '{name}' is given twice; give it once")));
            } else {
                continue;
            };
            return Err(Error::argument(bad.to_string()));
        }
        if let Delivery::At(millis) = self.delivery
            && millis <= 0
        {
            return Err(Error::argument(format!(
                "delivery time {millis} is not acceptable; give milliseconds since 1970"
            )));
        }
        Ok(())
    }

    /// The properties text with this unique id; `namespace` is that of the old kind or empty.
    pub(crate) fn encode_properties(&self, id: &str, namespace: &str) -> Result<String, Error> {
        let room = self.properties.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
        let keys = self.keys.iter().map(|key| key.len() + 1).sum::<usize>();
        let tag = self.tag.as_ref().map_or(0, String::len);
        let mut text = String::with_capacity(room + keys + tag + id.len() + 64);
        for (name, value) in &self.properties {
            push_pair(&mut text, name, value);
        }
        if let [key] = self.keys.as_slice() {
            push_pair(&mut text, key::KEYS, key);
        } else if !self.keys.is_empty() {
            push_pair(&mut text, key::KEYS, &self.keys.join(" "));
        }
        if let Some(tag) = &self.tag {
            push_pair(&mut text, key::TAGS, tag);
        }
        if let Some(group) = &self.message_group {
            push_pair(&mut text, key::SHARDING_KEY, group);
        }
        match self.delivery {
            Delivery::Now => {}
            Delivery::Level(level) => push_pair(&mut text, key::DELAY, &level.to_string()),
            Delivery::At(millis) => push_pair(&mut text, key::TIMER_DELIVER_MS, &millis.to_string()),
        }
        if !self.wait_store {
            push_pair(&mut text, key::WAIT, "false");
        }
        if !namespace.is_empty() {
            push_pair(&mut text, key::INSTANCE_ID, namespace);
        }
        push_pair(&mut text, key::UNIQ_KEY, id);
        if text.len() > MAX_PROPERTIES {
            return Err(Error::new(
                ErrorCode::TooLarge,
                property::PropertyError::TooLong(text.len()).to_string(),
            ));
        }
        Ok(text)
    }
}

fn check_text(what: &str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return Err(Error::argument(format!("a {what} is empty; leave it out instead")));
    }
    if text.contains(['\u{1}', '\u{2}']) {
        return Err(Error::argument(format!(
            "{what} '{}' contains the control character 0x01 or 0x02, which separate properties on the wire",
            text.escape_debug()
        )));
    }
    Ok(())
}

/// How well a message is stored; in all four cases it is (`SendStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SendStatus {
    /// As well as the broker's settings ask for.
    Ok,
    /// Stored, but the disk did not confirm in time.
    FlushDiskTimeout,
    /// Stored, but the slave did not confirm in time.
    FlushSlaveTimeout,
    /// Stored, but there is no slave.
    SlaveNotAvailable,
}

impl SendStatus {
    /// The name that all languages show.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            SendStatus::Ok => "OK",
            SendStatus::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
            SendStatus::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
            SendStatus::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
        }
    }
}

/// What the broker says of a stored message, or list of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendReceipt {
    /// The unique id given by the producer; for a list the ids joined with commas.
    pub message_id: String,
    /// Where it is stored; for a list the ids joined with commas.
    pub offset_message_id: String,
    /// The topic.
    pub topic: String,
    /// The broker that has it.
    pub broker_name: Arc<str>,
    /// The queue.
    pub queue_id: i32,
    /// Its place in the queue; for a list the place of the first.
    pub queue_offset: i64,
    /// How well it is stored.
    pub status: SendStatus,
    /// The id of the transaction, for transactional messages.
    pub transaction_id: Option<String>,
    /// The broker's region.
    pub region_id: Option<String>,
}

/// The moment when a time limit that begins now is over; however long it is.
pub(crate) fn deadline(limit: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + limit.min(LONGEST)
}

/// Milliseconds since 1970.
pub(crate) fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Makes the unique ids of one client; they tell the time since the start of the local month, as Java's do.
pub(crate) struct MessageIds {
    ids: UniqueIds,
    month_start: AtomicI64,
    month_end: AtomicI64,
}

impl MessageIds {
    pub(crate) fn new(ids: UniqueIds) -> MessageIds {
        MessageIds { ids, month_start: AtomicI64::new(0), month_end: AtomicI64::new(i64::MIN) }
    }

    pub(crate) fn next(&self, now: i64) -> String {
        if now >= self.month_end.load(Ordering::Relaxed) {
            self.turn_month();
        }
        let since = now - self.month_start.load(Ordering::Relaxed);
        self.ids.next(u32::try_from(since).unwrap_or(0))
    }

    fn turn_month(&self) {
        let today = Local::now().date_naive();
        let first = today.with_day(1).unwrap_or(today);
        let next = first.checked_add_months(Months::new(1)).unwrap_or(first);
        let midnight = |day: chrono::NaiveDate| {
            let time = day.and_time(chrono::NaiveTime::MIN);
            Local
                .from_local_datetime(&time)
                .earliest()
                .map_or(time.and_utc().timestamp_millis(), |t| t.timestamp_millis())
        };
        self.month_start.store(midnight(first), Ordering::Relaxed);
        self.month_end.store(midnight(next), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_messages_are_refused_with_reasons() {
        let good = || Message::new("T", "x");
        let cases = [
            (Message::new("", "x"), "topic is empty"),
            (Message::new("a b", "x"), "contains ' '"),
            (Message::new("SCHEDULE_TOPIC_XXXX", "x"), "reserved"),
            (Message::new("T", ""), "empty"),
            (good().tag(" "), "tag is empty"),
            (good().tag("a\u{1}"), "control character"),
            (good().tag("a||b"), "subscribed"),
            (good().tag(" a"), "subscribed"),
            (good().key("a b"), "space"),
            (good().property("", "x"), "name is empty"),
            (good().property("p", ""), "empty value"),
            (good().property("p", "\u{2}"), "control character"),
            (good().property("KEYS", "x"), "reserved"),
            (good().property("p", "1").property("p", "2"), "twice"),
            (good().deliver_at(-1), "delivery time"),
        ];
        for (message, want) in cases {
            let error = message.check().unwrap_err();
            assert!(error.to_string().contains(want), "{error} lacks '{want}'");
            assert_eq!(error.code(), ErrorCode::Argument);
        }
        assert!(good().tag("a|b").check().is_ok());
        assert!(good().tag("a").key("k").key("l").property("p", "1").check().is_ok());
    }

    #[test]
    fn properties_have_the_wires_form_and_a_limit() {
        let message = Message::new("T", "x").tag("a").key("k").key("l").property("p", "1").delay_level(3);
        assert_eq!(
            message.encode_properties("ID", "").unwrap(),
            "p\u{1}1\u{2}KEYS\u{1}k l\u{2}TAGS\u{1}a\u{2}DELAY\u{1}3\u{2}UNIQ_KEY\u{1}ID\u{2}"
        );
        let long = Message::new("T", "x").property("p", "x".repeat(32_760));
        assert_eq!(long.encode_properties("ID", "").unwrap_err().code(), ErrorCode::TooLarge);
    }

    #[test]
    fn no_time_limit_is_too_long() {
        assert!(deadline(Duration::MAX) > deadline(Duration::from_secs(3600)));
    }

    #[test]
    fn ids_are_unique_and_tell_the_time() {
        let ids = MessageIds::new(UniqueIds::new("10.0.0.1".parse().unwrap(), 7, 9));
        let now = now_millis();
        let (first, second) = (ids.next(now), ids.next(now));
        assert_ne!(first, second);
        assert_eq!((first.len(), &first[..28]), (32, &second[..28]));
        let since = i64::from_str_radix(&first[20..28], 16).unwrap();
        let days = since / 86_400_000;
        assert_eq!(days, i64::from(Local::now().day0()));
    }
}
