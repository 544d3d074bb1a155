//! The properties text of a message: `name \x01 value \x02` repeated (`MessageDecoder`, `MessageConst`).

use std::fmt;

pub(crate) const NAME_END: char = '\u{1}';
pub(crate) const VALUE_END: char = '\u{2}';

/// Longest properties text in bytes (its length is a signed 16-bit number).
pub const MAX_PROPERTIES: usize = i16::MAX as usize;

/// Names that the protocol gives a meaning (`MessageConst`).
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub mod key {
    pub const KEYS: &str = "KEYS";
    pub const TAGS: &str = "TAGS";
    pub const WAIT: &str = "WAIT";
    pub const DELAY: &str = "DELAY";
    pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
    pub const REAL_TOPIC: &str = "REAL_TOPIC";
    pub const REAL_QID: &str = "REAL_QID";
    pub const TRAN_MSG: &str = "TRAN_MSG";
    pub const PGROUP: &str = "PGROUP";
    pub const MIN_OFFSET: &str = "MIN_OFFSET";
    pub const MAX_OFFSET: &str = "MAX_OFFSET";
    pub const RECONSUME_TIME: &str = "RECONSUME_TIME";
    pub const MAX_RECONSUME_TIMES: &str = "MAX_RECONSUME_TIMES";
    pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
    pub const MSG_REGION: &str = "MSG_REGION";
    pub const TRACE_ON: &str = "TRACE_ON";
    pub const UNIQ_KEY: &str = "UNIQ_KEY";
    pub const CONSUME_START_TIME: &str = "CONSUME_START_TIME";
    pub const CLUSTER: &str = "CLUSTER";
    pub const INSTANCE_ID: &str = "INSTANCE_ID";
    pub const SHARDING_KEY: &str = "__SHARDINGKEY";
    pub const POP_CK: &str = "POP_CK";
    pub const TIMER_DELAY_SEC: &str = "TIMER_DELAY_SEC";
    pub const TIMER_DELAY_MS: &str = "TIMER_DELAY_MS";
    pub const TIMER_DELIVER_MS: &str = "TIMER_DELIVER_MS";
    pub const TIMER_OUT_MS: &str = "TIMER_OUT_MS";
    pub const INNER_NUM: &str = "INNER_NUM";
    pub const INNER_BASE: &str = "INNER_BASE";
    pub const PROP_CRC: &str = "__CRC32#";
    pub const CORRELATION_ID: &str = "CORRELATION_ID";
    pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
    pub const TTL: &str = "TTL";
    pub const MSG_TYPE: &str = "MSG_TYPE";

    /// Names that an application may not use for properties of its own (`MessageConst.STRING_HASH_SET`).
    pub const RESERVED: &[&str] = &[
        KEYS,
        TAGS,
        WAIT,
        DELAY,
        RETRY_TOPIC,
        REAL_TOPIC,
        REAL_QID,
        TRAN_MSG,
        PGROUP,
        MIN_OFFSET,
        MAX_OFFSET,
        RECONSUME_TIME,
        MAX_RECONSUME_TIMES,
        ORIGIN_MESSAGE_ID,
        MSG_REGION,
        TRACE_ON,
        UNIQ_KEY,
        CONSUME_START_TIME,
        INSTANCE_ID,
        "BUYER_ID",
        "TRANSFER_FLAG",
        "CORRECTION_FLAG",
        "MQ2_FLAG",
        "TRAN_PREPARED_QUEUE_OFFSET",
        "TRANSACTION_CHECK_TIMES",
        "CHECK_IMMUNITY_TIME_IN_SECONDS",
        "EXTEND_UNIQ_INFO",
        CORRELATION_ID,
        REPLY_TO_CLIENT,
        TTL,
        MSG_TYPE,
        "ARRIVE_TIME",
        "PUSH_REPLY_TIME",
        CLUSTER,
        POP_CK,
        "POP_CK_OFFSET",
        "1ST_POP_TIME",
        INNER_NUM,
        INNER_BASE,
        "INNER_MULTI_DISPATCH",
        "INNER_MULTI_QUEUE_OFFSET",
        TIMER_DELAY_SEC,
        TIMER_DELAY_MS,
        TIMER_DELIVER_MS,
        TIMER_OUT_MS,
        "TIMER_ENQUEUE_MS",
        "TIMER_DEQUEUE_MS",
        "TIMER_ROLL_TIMES",
        "TIMER_DEL_UNIQKEY",
        "TIMER_DELAY_LEVEL",
        PROP_CRC,
        "__BORNHOST",
        "BORN_TIMESTAMP",
        "TRACE_CONTEXT",
        "DUP_INFO",
    ];
}

/// All pairs of a properties text; broken segments are skipped as Apache skips them.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (segment, behind) = cut(rest, VALUE_END).unwrap_or((rest, ""));
            rest = behind;
            if let Some((name, value)) = cut(segment, NAME_END)
                && !name.is_empty()
                && !value.is_empty()
            {
                return Some((name, value));
            }
        }
        None
    })
}

/// What stands before and behind the first `end`. Messages are searched several times on their way, and on texts of this
/// length `str::split_once` is many times slower.
fn cut(text: &str, end: char) -> Option<(&str, &str)> {
    let at = memchr::memchr(end as u8, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Value of `name` in a properties text; the last one if it stands several times.
#[must_use]
pub fn find<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    // On each message's way more than once: only the ends of pairs are looked for.
    let mut found = None;
    let mut start = 0;
    let ends = memchr::memchr_iter(VALUE_END as u8, text.as_bytes());
    for end in ends.chain(std::iter::once(text.len())) {
        if let Some(value) =
            text.get(start..end).and_then(|pair| pair.strip_prefix(name)?.strip_prefix(NAME_END))
            && !value.is_empty()
        {
            found = Some(value);
        }
        start = end + 1;
    }
    found.filter(|_| !name.is_empty())
}

/// Why a property cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PropertyError {
    #[error("a property name is empty")]
    EmptyName,
    #[error("property '{0}' has an empty value; leave the property out instead")]
    EmptyValue(String),
    #[error(
        "property '{0}' contains the control character 0x01 or 0x02, which separate properties on the wire"
    )]
    Separator(String),
    #[error("property name '{0}' is reserved by RocketMQ; choose another name")]
    Reserved(String),
    #[error("properties need {0} bytes; RocketMQ stores at most {MAX_PROPERTIES}")]
    TooLong(usize),
}

/// A properties text that is being edited.
///
/// Order is kept, names are unique. Reading a whole text and writing it again drops only broken segments.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    text: String,
}

impl Properties {
    /// The pairs of a properties text, cleaned: one pair a name, each closed by its separator.
    #[must_use]
    pub fn parse(text: &str) -> Properties {
        let mut clean = String::with_capacity(text.len() + 1);
        for (name, value) in pairs(text) {
            push_pair(&mut clean, name, value);
        }
        Properties { text: clean }
    }

    /// Sets a property; an empty value removes it.
    ///
    /// # Errors
    /// The name is empty, or name or value contain a separator.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), PropertyError> {
        if name.is_empty() {
            return Err(PropertyError::EmptyName);
        }
        if [name, value].iter().any(|part| part.contains([NAME_END, VALUE_END])) {
            return Err(PropertyError::Separator(name.escape_debug().to_string()));
        }
        self.remove(name);
        if !value.is_empty() {
            push_pair(&mut self.text, name, value);
        }
        Ok(())
    }

    /// Value of a property.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        find(&self.text, name)
    }

    /// Removes a property.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_none() {
            return;
        }
        let mut kept = String::with_capacity(self.text.len());
        for (key, value) in pairs(&self.text).filter(|(key, _)| *key != name) {
            push_pair(&mut kept, key, value);
        }
        self.text = kept;
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(&self.text)
    }

    /// The text as it goes on the wire; ends with a separator unless empty.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }

    /// Whether there is no property.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Appends one pair without looking for an earlier one of that name; both must be free of separators.
pub fn push_pair(text: &mut String, name: &str, value: &str) {
    text.reserve(name.len() + value.len() + 2);
    text.push_str(name);
    text.push(NAME_END);
    text.push_str(value);
    text.push(VALUE_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_segments_are_skipped_and_the_last_separator_may_miss() {
        let text = "A\u{1}1\u{2}\u{1}x\u{2}B\u{1}\u{2}junk\u{2}C\u{1}3\u{1}4";
        let got: Vec<_> = pairs(text).collect();
        assert_eq!(got, [("A", "1"), ("C", "3\u{1}4")]);
        assert_eq!(Properties::parse(text).as_text(), "A\u{1}1\u{2}C\u{1}3\u{1}4\u{2}");
    }

    #[test]
    fn set_replaces_and_separators_are_refused() {
        let mut properties = Properties::default();
        properties.set("A", "1").unwrap();
        properties.set("B", "2").unwrap();
        properties.set("A", "3").unwrap();
        assert_eq!(properties.as_text(), "B\u{1}2\u{2}A\u{1}3\u{2}");
        properties.set("B", "").unwrap();
        assert_eq!(properties.get("B"), None);
        assert!(properties.set("", "x").is_err());
        assert!(properties.set("A", "x\u{2}").is_err());
    }
}
