//! The one error type of the client and the one table of error codes that all languages share.

use std::fmt;

use mq_protocol::{HeaderError, ResponseCode};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// What kind of trouble an [`Error`] is; the numbers are the C ABI's and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum ErrorCode { $($(#[$doc])* $variant = $number,)* }

        impl ErrorCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The name that every language shows, such as `TOO_LARGE`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }
        }
    };
}

error_codes! {
    /// A bug of ours or a panic of a callback.
    Internal = 1, "INTERNAL";
    /// A setting is unknown or has a bad value.
    Config = 2, "CONFIG";
    /// A topic, group, message or other argument is not acceptable.
    Argument = 3, "ARGUMENT";
    /// The time that was given for the call is over; the request may or may not have been carried out.
    Timeout = 4, "TIMEOUT";
    /// The object was closed.
    Closed = 5, "CLOSED";
    /// No connection could be made, or it was cut.
    Network = 6, "NETWORK";
    /// The topic, group or message does not exist.
    NotFound = 7, "NOT_FOUND";
    /// The server does not permit it.
    Denied = 8, "DENIED";
    /// The broker is busy; slow down and try again.
    Throttled = 9, "THROTTLED";
    /// A body, its properties or a frame is over its limit.
    TooLarge = 10, "TOO_LARGE";
    /// The object was made before a fork and used in the child.
    Forked = 11, "FORKED";
    /// Any other refusal of a broker or NameServer; [`Error::broker_code`] says which.
    Broker = 12, "BROKER";
    /// The caller cancelled the call.
    Cancelled = 13, "CANCELLED";
    /// Calls came in an order that makes no sense.
    State = 14, "STATE";
    /// The server does not know the request.
    Unsupported = 15, "UNSUPPORTED";
    /// Files or ports of the embedded broker.
    Io = 16, "IO";
    /// A bound of the client itself is reached: too many sends in flight.
    QueueFull = 17, "QUEUE_FULL";
}

impl ErrorCode {
    /// The number of the code.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What went wrong, with what value, and what to do about it.
#[derive(Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    message: String,
    broker_code: Option<i32>,
    retryable: bool,
}

impl Error {
    /// An error of this code; the code decides whether it is worth a retry.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Error {
        let retryable = matches!(
            code,
            ErrorCode::Timeout | ErrorCode::Network | ErrorCode::Throttled | ErrorCode::QueueFull
        );
        Error(Box::new(Inner { code, message: message.into(), broker_code: None, retryable }))
    }

    /// The error for a response other than success; `what` names the request and the server.
    #[must_use]
    pub fn from_response(code: ResponseCode, remark: &str, what: &str) -> Error {
        let (kind, retryable, advice) = meaning(code);
        let remark = if remark.is_empty() { "no remark" } else { remark };
        let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
        Error(Box::new(Inner {
            code: kind,
            message: format!("{what} was refused with {code}: {remark}{advice}"),
            broker_code: Some(code.0),
            retryable,
        }))
    }

    /// The kind of trouble.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The response code of the broker or NameServer, if one answered.
    #[must_use]
    pub fn broker_code(&self) -> Option<i32> {
        self.0.broker_code
    }

    /// Whether the same call may succeed when it is made again.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// Whether the server asks to slow down.
    #[must_use]
    pub fn throttled(&self) -> bool {
        self.0.code == ErrorCode::Throttled
    }

    /// Whether no later call on the same object can succeed.
    #[must_use]
    pub fn fatal(&self) -> bool {
        matches!(self.0.code, ErrorCode::Closed | ErrorCode::Forked)
    }

    /// The same error with words in front of its message.
    #[must_use]
    pub fn context(mut self, words: impl fmt::Display) -> Error {
        self.0.message = format!("{words}: {}", self.0.message);
        self
    }

    pub(crate) fn is_broker(&self, code: ResponseCode) -> bool {
        self.0.broker_code == Some(code.0)
    }

    pub(crate) fn argument(message: impl Into<String>) -> Error {
        Error::new(ErrorCode::Argument, message)
    }

    pub(crate) fn closed(what: impl fmt::Display) -> Error {
        Error::new(ErrorCode::Closed, format!("{what} is closed; make a new one"))
    }

    pub(crate) fn network(address: &str, cause: impl fmt::Display) -> Error {
        Error::new(ErrorCode::Network, format!("connection to {address}: {cause}"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl From<HeaderError> for Error {
    fn from(error: HeaderError) -> Error {
        Error::new(ErrorCode::Broker, format!("the server's answer cannot be used: {error}"))
    }
}

impl From<mq_protocol::name::NameError> for Error {
    fn from(error: mq_protocol::name::NameError) -> Error {
        Error::argument(error.to_string())
    }
}

/// What a response code means to an application: kind, whether a retry may help, advice.
fn meaning(code: ResponseCode) -> (ErrorCode, bool, &'static str) {
    use ErrorCode as E;
    use ResponseCode as R;
    match code {
        R::SYSTEM_BUSY | R::FLOW_CONTROL | R::POLLING_FULL => {
            (E::Throttled, true, "slow down and send it again")
        }
        R::REQUEST_CODE_NOT_SUPPORTED | R::VERSION_NOT_SUPPORTED => {
            (E::Unsupported, false, "the server is too old or is not a broker")
        }
        R::TOPIC_NOT_EXIST => (E::NotFound, true, "create the topic or correct its name"),
        R::SUBSCRIPTION_GROUP_NOT_EXIST => {
            (E::NotFound, false, "create the consumer group or correct its name")
        }
        R::QUERY_NOT_FOUND | R::NO_MESSAGE => (E::NotFound, false, ""),
        R::CONSUMER_NOT_ONLINE => (E::NotFound, true, "start a consumer of the group"),
        R::BROKER_NOT_EXIST => (E::NotFound, true, ""),
        R::NO_PERMISSION => (E::Denied, false, "check the topic's permission and the access rules"),
        R::MESSAGE_ILLEGAL => {
            (E::Argument, false, "check body size, properties and delay against the broker's limits")
        }
        R::INVALID_PARAMETER | R::SUBSCRIPTION_PARSE_FAILED | R::TOPIC_EXIST_ALREADY => {
            (E::Argument, false, "")
        }
        R::CONSUME_MSG_TIMEOUT | R::POLLING_TIMEOUT => (E::Timeout, true, ""),
        R::SERVICE_NOT_AVAILABLE => (E::Broker, true, "the broker is stopping, a slave, or its disk is full"),
        R::SYSTEM_ERROR
        | R::NO_BUYER_ID
        | R::NOT_IN_CURRENT_UNIT
        | R::GO_AWAY
        | R::SUBSCRIPTION_NOT_EXIST
        | R::SUBSCRIPTION_NOT_LATEST
        | R::FILTER_DATA_NOT_EXIST
        | R::FILTER_DATA_NOT_LATEST
        | R::NOT_LEADER_FOR_QUEUE => (E::Broker, true, ""),
        _ => (E::Broker, false, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_the_tables() {
        let numbers: Vec<i32> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, (1..=17).collect::<Vec<_>>());
        assert_eq!(ErrorCode::QueueFull.name(), "QUEUE_FULL");
        assert_eq!(ErrorCode::Forked.to_string(), "FORKED");
    }

    #[test]
    fn responses_become_errors_that_say_what_to_do() {
        let error = Error::from_response(ResponseCode::SYSTEM_BUSY, "[OVERLOAD]", "SEND_MESSAGE_V2 at b:1");
        assert!(error.throttled() && error.retryable() && !error.fatal());
        assert_eq!(
            error.to_string(),
            "SEND_MESSAGE_V2 at b:1 was refused with SYSTEM_BUSY (2): [OVERLOAD]; slow down and send it again"
        );
        let error = Error::from_response(ResponseCode::NO_PERMISSION, "", "x");
        assert_eq!((error.code(), error.broker_code()), (ErrorCode::Denied, Some(16)));
        assert!(!error.retryable());
        assert!(Error::closed("the producer").fatal());
    }
}
