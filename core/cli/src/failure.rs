//! How a command fails, and the exit code that says so.

use std::fmt;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was tried and failed: exit code 1.
    Failed(String),
    /// It was asked wrongly: exit code 2.
    Usage(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
        }
    }

    /// A failure to do `what`.
    pub(crate) fn to(what: impl fmt::Display, error: impl fmt::Display) -> Failure {
        Failure::Failed(format!("cannot {what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(text) | Failure::Usage(text) => f.write_str(text),
        }
    }
}

impl From<mq_client::Error> for Failure {
    fn from(error: mq_client::Error) -> Self {
        use mq_client::ErrorCode;
        let text = error.to_string();
        match error.code() {
            ErrorCode::Config | ErrorCode::Argument => Failure::Usage(text),
            _ => Failure::Failed(text),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}
