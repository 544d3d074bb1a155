//! Whether the members of the group agree, which brokers do not check: each heartbeat replaces what the last one said.

use bytes::Bytes;
use mq_protocol::body::{ConsumerConnections, ConsumerData, SubscriptionData};
use mq_protocol::filter::TagFilter;
use mq_protocol::header::ConsumerGroupRequest;
use mq_protocol::{RequestCode, fastjson, name};

use super::{Inner, Warning, WarningCode};
use crate::{Error, ErrorCode};

/// Different warnings that are told; more are only repetitions of the same trouble.
const MOST_WARNINGS: usize = 100;

impl Inner {
    /// Warns if the broker knows the group otherwise than this member told it: then another member told it so. Each
    /// warning is given once.
    pub(super) async fn check_consistency(&self) {
        let known = match self.known_group().await {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!(group = self.group, %error, "the group's members are not compared");
                return;
            }
        };
        if known.connection_set.len() < 2 {
            return;
        }
        for warning in differences(&self.config.group, &self.heartbeat(), &known) {
            let is_new = {
                let mut warned = self.warned.lock();
                warned.len() < MOST_WARNINGS && warned.insert(warning.message.clone())
            };
            if is_new {
                self.warn(warning.code, warning.message);
            }
        }
    }

    /// What a broker knows of the group.
    async fn known_group(&self) -> Result<ConsumerConnections, Error> {
        let none = || Error::new(ErrorCode::NotFound, "no broker of the subscribed topics is known");
        let subscribed = self.subscribed();
        let routes = subscribed.iter().filter_map(|own| self.client.routes.known(&own.topic));
        let broker = routes.flat_map(|(_, route)| route.data.broker_datas.first().cloned()).next();
        let peer = self.client.broker(&broker.ok_or_else(none)?.broker_name, 0)?;
        let header = ConsumerGroupRequest { consumer_group: &self.group };
        let code = RequestCode::GET_CONSUMER_CONNECTION_LIST;
        let frame =
            self.client.remoting.ask(&peer, code, &header, &Bytes::new(), self.client.short()).await?;
        fastjson::from_slice(&frame.body)
            .map_err(|error| Error::new(ErrorCode::Broker, format!("members of the group: {error}")))
    }
}

/// How what the broker knows differs from what this member tells it.
fn differences(group: &str, own: &ConsumerData, known: &ConsumerConnections) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, message| warnings.push(Warning { code, message });
    for subscription in &own.subscription_data_set {
        let topic = &subscription.topic;
        if topic.starts_with(name::RETRY_PREFIX) {
            continue;
        }
        let message = match known.subscription_table.get(topic) {
            None => format!(
                "a member of group '{group}' does not subscribe to topic '{topic}' as this one does; let all members subscribe to the same, or messages are lost"
            ),
            Some(other) if !agree(subscription, other) => format!(
                "a member of group '{group}' subscribes to topic '{topic}' with '{}', this one with '{}'; let all members subscribe to the same, or messages are lost",
                other.sub_string, subscription.sub_string
            ),
            Some(_) => continue,
        };
        warn(WarningCode::InconsistentSubscription, message);
    }
    for topic in known.subscription_table.keys() {
        let is_own = own.subscription_data_set.iter().any(|subscription| subscription.topic == *topic);
        if !is_own && !topic.starts_with(name::RETRY_PREFIX) {
            warn(
                WarningCode::InconsistentSubscription,
                format!(
                    "a member of group '{group}' subscribes to topic '{topic}', this one does not; let all members subscribe to the same, or messages are lost"
                ),
            );
        }
    }
    for (what, own, other) in [
        ("message model", &own.message_model, &known.message_model),
        ("consume type", &own.consume_type, &known.consume_type),
        ("start", &own.consume_from_where, &known.consume_from_where),
    ] {
        if own != other && !other.is_empty() {
            warn(
                WarningCode::InconsistentGroup,
                format!(
                    "a member of group '{group}' has {what} {other}, this one {own}; give all members of a group the same"
                ),
            );
        }
    }
    warnings
}

/// Whether two subscriptions want the same messages, however they are written.
fn agree(own: &SubscriptionData, other: &SubscriptionData) -> bool {
    let is_tag = |data: &SubscriptionData| data.expression_type.is_empty() || data.expression_type == "TAG";
    if !is_tag(own) || !is_tag(other) {
        return own.expression_type == other.expression_type && own.sub_string == other.sub_string;
    }
    let tags = |data: &SubscriptionData| {
        let filter = TagFilter::parse(&data.sub_string).ok()?;
        let mut tags: Vec<String> = filter.tags().map(str::to_owned).collect();
        tags.sort();
        Some(tags)
    };
    match (tags(own), tags(other)) {
        (Some(own), Some(other)) => own == other,
        _ => own.sub_string == other.sub_string,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(topic: &str, text: &str) -> SubscriptionData {
        SubscriptionData {
            topic: topic.to_owned(),
            sub_string: text.to_owned(),
            expression_type: "TAG".to_owned(),
            ..SubscriptionData::default()
        }
    }

    fn compare(own: &[(&str, &str)], known: &[(&str, &str)]) -> Vec<Warning> {
        let own = ConsumerData {
            message_model: "CLUSTERING".to_owned(),
            consume_type: "CONSUME_PASSIVELY".to_owned(),
            subscription_data_set: own.iter().map(|(topic, text)| subscription(topic, text)).collect(),
            ..ConsumerData::default()
        };
        let table = known.iter().map(|(topic, text)| ((*topic).to_owned(), subscription(topic, text)));
        let known = ConsumerConnections {
            message_model: "CLUSTERING".to_owned(),
            consume_type: "CONSUME_ACTIVELY".to_owned(),
            subscription_table: table.collect(),
            ..ConsumerConnections::default()
        };
        let mut warnings = differences("G", &own, &known);
        let group = warnings.pop();
        assert_eq!(group.map(|warning| warning.code), Some(WarningCode::InconsistentGroup));
        warnings
    }

    #[test]
    fn only_what_wants_other_messages_differs() {
        let own = [("T", "a || b"), ("%RETRY%G", "*")];
        assert_eq!(compare(&own, &[("T", "b||a"), ("%RETRY%G", "*")]), []);
        assert_eq!(compare(&[("T", "*")], &[("T", "")]), []);
        for known in [&[("T", "a")][..], &[("T", "*")], &[], &[("T", "a||b"), ("U", "*")]] {
            let warnings = compare(&own, known);
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert_eq!(warnings[0].code, WarningCode::InconsistentSubscription);
        }
        let text = compare(&own, &[("T", "a")]).remove(0).to_string();
        assert!(text.starts_with("INCONSISTENT_SUBSCRIPTION: a member of group 'G' subscribes to topic 'T' with 'a', this one with 'a || b'"), "{text}");
    }
}
