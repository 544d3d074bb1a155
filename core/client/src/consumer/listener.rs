//! What an application gives to a push consumer: the code that consumes messages.

use futures_util::future::BoxFuture;

use crate::MessageView;

/// What became of the messages of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeResult {
    /// They are done with.
    Success,
    /// They are to be delivered again, later.
    Later {
        /// The broker's delay level; `None` or 0: longer with each attempt; below 0: to the dead letters at once.
        delay_level: Option<i32>,
    },
}

impl ConsumeResult {
    /// Again later, after the usual time.
    pub const LATER: ConsumeResult = ConsumeResult::Later { delay_level: None };
}

/// Consumes messages.
///
/// Up to `consume_thread_max` calls run at a time. A call must not block its thread; it may take up to
/// `consume_timeout`, after which it is dropped and its messages are sent back. A panic means
/// [`ConsumeResult::LATER`]. A message may come more than once: after a failure, and when queues change
/// between members of the group.
pub trait Listener: Send + Sync + 'static {
    /// Consumes these messages: at least one, at most `consume_message_batch_max_size`, all of one queue, in
    /// its order.
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult>;
}

impl<F, R> Listener for F
where
    F: Fn(Vec<MessageView>) -> R + Send + Sync + 'static,
    R: Future<Output = ConsumeResult> + Send + 'static,
{
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        Box::pin(self(messages))
    }
}
