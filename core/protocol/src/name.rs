//! Names of topics and groups: what is allowed, reserved and derived (`TopicValidator`, `Validators`, `MixAll`).

use std::borrow::Cow;

/// Longest name of a topic that a client may use, in characters.
pub const MAX_TOPIC: usize = 127;
/// Longest name of a `%RETRY%` or `%DLQ%` topic.
pub const MAX_SYSTEM_TOPIC: usize = 255;
/// Longest name of a consumer or producer group.
pub const MAX_GROUP: usize = 120;

/// Prefix of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a group's dead-letter topic.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// The topic whose settings automatically created topics take.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Where delayed messages wait.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Where half messages wait.
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Where the outcome of half messages is noted.
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Where timed messages wait.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// Message traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";

const SYSTEM_TOPICS: [&str; 12] = [
    AUTO_CREATE_TOPIC,
    SCHEDULE_TOPIC,
    "BenchmarkTest",
    HALF_TOPIC,
    TRACE_TOPIC,
    OP_HALF_TOPIC,
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "CHECKPOINT_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
    "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
];

const NOT_SENDABLE: [&str; 6] = [
    SCHEDULE_TOPIC,
    HALF_TOPIC,
    OP_HALF_TOPIC,
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// Groups that every broker knows from its start.
pub const SYSTEM_GROUPS: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum NameError {
    #[error("the {kind} is empty; give it a name of letters, digits, '_', '-', '%' or '|'")]
    Empty { kind: &'static str },
    #[error("{kind} '{name}' has {length} characters; at most {max} are allowed")]
    TooLong { kind: &'static str, name: String, length: usize, max: usize },
    #[error(
        "{kind} '{name}' contains '{character}'; only letters, digits, '_', '-', '%' and '|' are allowed"
    )]
    Character { kind: &'static str, name: String, character: char },
    #[error("{kind} '{name}' is reserved by RocketMQ; choose another name")]
    Reserved { kind: &'static str, name: String },
}

fn check(kind: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Empty { kind });
    }
    let length = name.chars().count();
    let excerpt = || name.chars().take(64).collect::<String>();
    if length > max {
        return Err(NameError::TooLong { kind, name: excerpt(), length, max });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%' | '|');
    match name.chars().find(|c| !allowed(*c)) {
        Some(character) => Err(NameError::Character { kind, name: excerpt(), character }),
        None => Ok(()),
    }
}

/// Checks the name of a topic.
///
/// # Errors
/// It is empty, too long or has a character that is not allowed.
pub fn check_topic(name: &str) -> Result<(), NameError> {
    let system = name.starts_with(RETRY_PREFIX) || name.starts_with(DLQ_PREFIX);
    check("topic", name, if system { MAX_SYSTEM_TOPIC } else { MAX_TOPIC })
}

/// Checks the name of a topic that an application wants to send to.
///
/// # Errors
/// As [`check_topic`], and for the topics that only the broker may write.
pub fn check_topic_for_send(name: &str) -> Result<(), NameError> {
    check_topic(name)?;
    if is_not_sendable(name) {
        return Err(NameError::Reserved { kind: "topic", name: name.to_owned() });
    }
    Ok(())
}

/// Checks the name of a producer or consumer group.
///
/// # Errors
/// It is empty, too long, reserved or has a character that is not allowed.
pub fn check_group(name: &str) -> Result<(), NameError> {
    check("group", name, MAX_GROUP)?;
    if matches!(name, "DEFAULT_PRODUCER" | "DEFAULT_CONSUMER") {
        return Err(NameError::Reserved { kind: "group", name: name.to_owned() });
    }
    Ok(())
}

/// Whether the topic belongs to RocketMQ itself.
#[must_use]
pub fn is_system_topic(name: &str) -> bool {
    SYSTEM_TOPICS.contains(&name) || name.starts_with("rmq_sys_")
}

/// Whether clients may not send to this topic.
#[must_use]
pub fn is_not_sendable(name: &str) -> bool {
    NOT_SENDABLE.contains(&name)
}

/// Whether the group belongs to RocketMQ itself.
#[must_use]
pub fn is_system_group(name: &str) -> bool {
    name.starts_with("CID_RMQ_SYS_") || SYSTEM_GROUPS.contains(&name)
}

/// The retry topic of a group.
#[must_use]
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The dead-letter topic of a group.
#[must_use]
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// The topic of replies in a cluster.
#[must_use]
pub fn reply_topic(cluster: &str) -> String {
    format!("{cluster}_REPLY_TOPIC")
}

/// Resource name in a namespace of the old kind (`NamespaceUtil.wrapNamespace`): `ns%name`, after a retry or DLQ prefix.
#[must_use]
pub fn with_namespace<'a>(namespace: &str, name: &'a str) -> Cow<'a, str> {
    if namespace.is_empty() || is_system_topic(name) || is_system_group(name) {
        return Cow::Borrowed(name);
    }
    let (prefix, rest) = [RETRY_PREFIX, DLQ_PREFIX]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix).map(|rest| (*prefix, rest)))
        .unwrap_or(("", name));
    if rest.strip_prefix(namespace).is_some_and(|tail| tail.starts_with('%')) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("{prefix}{namespace}%{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_apaches_rules() {
        assert!(check_topic("orders_1-a|b%c").is_ok());
        assert!(matches!(check_topic("  "), Err(NameError::Empty { .. })));
        assert!(matches!(check_topic("a b"), Err(NameError::Character { character: ' ', .. })));
        assert!(matches!(check_topic(&"x".repeat(128)), Err(NameError::TooLong { length: 128, .. })));
        assert!(check_topic(&format!("%RETRY%{}", "x".repeat(200))).is_ok());
        assert!(check_topic_for_send("SCHEDULE_TOPIC_XXXX").is_err());
        assert!(check_group("DEFAULT_PRODUCER").is_err());
        assert!(check_group("Größe").is_err());
    }

    #[test]
    fn namespaces_wrap_once() {
        assert_eq!(with_namespace("ns", "T"), "ns%T");
        assert_eq!(with_namespace("ns", "ns%T"), "ns%T");
        assert_eq!(with_namespace("ns", "%RETRY%G"), "%RETRY%ns%G");
        assert_eq!(with_namespace("ns", "TBW102"), "TBW102");
    }
}
