//! What an application should know of its consumer although consuming goes on.

use std::fmt;

/// Something that is wrong around a consumer. It goes to the log and to [`crate::Listener::warning`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The kind of trouble.
    pub code: WarningCode,
    /// What was found, with names and values, and what to do about it.
    pub message: String,
}

/// The kinds of trouble that consumers warn of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarningCode {
    /// A topic was subscribed to twice with different expressions; only the last counts.
    DuplicateSubscription,
    /// Members of the group subscribe to different topics or expressions: some messages go to members that do not
    /// want them, and are lost for the group.
    InconsistentSubscription,
    /// Members of the group differ in message model, consume type or start.
    InconsistentGroup,
    /// A BROADCASTING consumer's listener failed; the message does not come again.
    MessageDropped,
    /// An ORDERLY queue went to another member although this one did not give it up; messages may come twice.
    QueueLockLost,
}

impl WarningCode {
    /// The name in capitals, as other languages know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            WarningCode::DuplicateSubscription => "DUPLICATE_SUBSCRIPTION",
            WarningCode::InconsistentSubscription => "INCONSISTENT_SUBSCRIPTION",
            WarningCode::InconsistentGroup => "INCONSISTENT_GROUP",
            WarningCode::MessageDropped => "MESSAGE_DROPPED",
            WarningCode::QueueLockLost => "QUEUE_LOCK_LOST",
        }
    }
}

impl fmt::Display for WarningCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
