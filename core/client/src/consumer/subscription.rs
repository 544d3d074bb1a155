//! What a group wants of a topic, and the version of that wish.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mq_protocol::body::SubscriptionData;
use mq_protocol::filter::TagFilter;
use mq_protocol::id::java_hash;

use super::stats::Stats;
use crate::message::now_millis;
use crate::{Error, MessageView};

pub(crate) struct Subscription {
    /// In the client's namespace.
    pub(crate) topic: String,
    /// The expression as brokers know it.
    pub(crate) text: String,
    pub(crate) filter: TagFilter,
    /// Milliseconds since 1970 when it changed last.
    version: AtomicI64,
    /// Whether tags are looked at; the broker alone decides for retries, which keep their first tag.
    is_retry: bool,
    /// Of the topic, whatever the expression.
    pub(crate) stats: Arc<Stats>,
}

impl Subscription {
    pub(crate) fn new(topic: String, expression: &str) -> Result<Subscription, Error> {
        let filter = parse(&topic, expression)?;
        let text = if filter.is_all() { "*".to_owned() } else { expression.trim().to_owned() };
        let is_retry = topic.starts_with(mq_protocol::name::RETRY_PREFIX);
        Ok(Subscription {
            topic,
            text,
            filter,
            version: AtomicI64::new(now_millis()),
            is_retry,
            stats: Arc::default(),
        })
    }

    /// Takes the place of another subscription of the topic: it is newer, whatever the clock does.
    pub(crate) fn after(self, old: &Subscription) -> Subscription {
        let version = AtomicI64::new(self.version().max(old.version().saturating_add(1)));
        Subscription { version, stats: old.stats.clone(), ..self }
    }

    pub(crate) fn version(&self) -> i64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Counts as changed now; versions only grow, whatever the clock does.
    pub(crate) fn renew(&self) {
        let now = now_millis();
        let _ = self
            .version
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |old| Some(now.max(old.saturating_add(1))));
    }

    /// Whether the listener wants the message: the broker has compared hashes only.
    pub(crate) fn wants(&self, message: &MessageView) -> bool {
        self.is_retry || self.filter.matches(message.tag())
    }

    pub(crate) fn data(&self) -> SubscriptionData {
        SubscriptionData {
            topic: self.topic.clone(),
            sub_string: self.text.clone(),
            expression_type: "TAG".to_owned(),
            sub_version: self.version(),
            tags_set: self.filter.tags().map(str::to_owned).collect(),
            code_set: self.filter.tags().map(java_hash).collect(),
            class_filter_mode: false,
        }
    }
}

/// Checks a tag expression.
pub(crate) fn check_expression(topic: &str, expression: &str) -> Result<(), Error> {
    parse(topic, expression).map(drop)
}

fn parse(topic: &str, expression: &str) -> Result<TagFilter, Error> {
    TagFilter::parse(expression).map_err(|error| {
        Error::argument(format!("the subscription of topic '{topic}' is not acceptable: {error}"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_replaced_subscription_is_newer_even_if_the_clock_went_back() {
        let old = Subscription::new("T".to_owned(), "a").unwrap();
        old.version.store(i64::MAX - 10, Ordering::Relaxed);
        old.stats.consumed(3, true, std::time::Duration::ZERO);
        let new = Subscription::new("T".to_owned(), "b").unwrap().after(&old);
        assert_eq!((new.text.as_str(), new.version()), ("b", old.version() + 1));
        assert!(Arc::ptr_eq(&new.stats, &old.stats));
        let data = new.data();
        assert_eq!((data.sub_version, data.tags_set.len()), (new.version(), 1));
    }
}
