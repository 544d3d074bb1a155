//! What a queue holds.

use mq_client::{Error, MessageQueue, MessageView, QueueChange, SendReceipt, Warning};

use crate::log::LogLevel;
use crate::token::ReplyToken;

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
    /// Messages to consume, which must be answered through the token.
    Message {
        /// The tag given when the consumer was made.
        consumer: u64,
        /// At least one; at most the consumer's `consume_message_batch_max_size`.
        messages: Vec<MessageView>,
        /// Answers for all of them; dropped without an answer, they are delivered again later.
        token: ReplyToken,
    },
    /// Something is wrong around a consumer, although it goes on; the log has it too.
    Warning {
        /// The tag given when the consumer was made.
        consumer: u64,
        /// What it is.
        warning: Warning,
    },
    /// The queues of a topic that is watched have changed.
    QueueChange {
        /// The number given with [`crate::PullConsumer::watch_queues`].
        watch: u64,
        /// How it is now.
        change: QueueChange,
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
    /// The queues of a topic.
    Queues(Vec<MessageQueue>),
    /// What a poll gave out; empty when its time was over.
    Polled(Vec<MessageView>),
    /// An offset of a queue; `None` if nothing is committed.
    Offset(Option<i64>),
    /// Any other call.
    Done,
}
