//! What a queue holds.

use mq_client::{Error, SendReceipt};

use crate::log::LogLevel;

/// One event of a [`crate::Queue`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An asynchronous call is done; exactly one for each call that was accepted.
    Done {
        /// The tag given with the call.
        tag: u64,
        /// What came out of it.
        result: Result<Outcome, Error>,
    },
    /// A line of the library's log; see [`crate::set_log_queue`].
    Log {
        /// How important it is.
        level: LogLevel,
        /// The part of the library that speaks, such as `mq_client::producer`.
        target: String,
        /// The line.
        message: String,
    },
}

/// What an asynchronous call that succeeded gives.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// A message was sent.
    Sent(SendReceipt),
    /// A list of messages was sent.
    SentBatch(SendReceipt),
    /// A one-way message was handed to the connection.
    Oneway,
    /// A consumer was started.
    Started,
    /// A client, producer or consumer was closed.
    Closed,
}
