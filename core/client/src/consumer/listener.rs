//! What an application gives to a push consumer: the code that consumes messages.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Warning;
use crate::MessageView;

/// What became of the messages of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumeResult {
    /// They are done with.
    Success,
    /// They are to be delivered again, later. An orderly consumer takes it as `Suspend` with the usual time.
    Later {
        /// The broker's delay level; `None` or 0: longer with each attempt; below 0: to the dead letters at once.
        delay_level: Option<i32>,
    },
    /// Orderly only: they come again, before all others of their queue, when the queue has rested. A concurrent
    /// consumer takes it as [`ConsumeResult::LATER`].
    Suspend {
        /// How long the queue rests, 10 ms to 30 s; `None`: the setting `suspend_current_queue_time`.
        duration: Option<Duration>,
    },
    /// Nobody has looked at them, as the consumer is about to be closed: whoever has the queue next gets them as if they
    /// had never been given out. For listeners that pass messages on; they are held until the close.
    Abandon,
}

impl ConsumeResult {
    /// Again later, after the usual time.
    pub const LATER: ConsumeResult = ConsumeResult::Later { delay_level: None };
    /// The queue rests for the usual time.
    pub const SUSPEND: ConsumeResult = ConsumeResult::Suspend { duration: None };
}

/// Consumes messages.
///
/// Up to `consume_thread_max` calls run at a time; of an orderly consumer one for each queue at most. A call must
/// not block its thread; it may take up to `consume_timeout`, after which it is dropped and its messages are sent
/// back (an orderly one may take as long as it likes). A panic means [`ConsumeResult::LATER`]. A message may come
/// more than once: after a failure, and when queues change between members of the group.
pub trait Listener: Send + Sync + 'static {
    /// Consumes these messages: at least one, at most `consume_message_batch_max_size`, all of one queue, in
    /// its order.
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult>;

    /// Is told of trouble that does not stop the consumer; the log has it too. Must not block.
    fn warning(&self, warning: Warning) {
        drop(warning);
    }
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
