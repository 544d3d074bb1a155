//! Reply tokens: the right and the duty to answer for messages, from any thread, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mq_client::{ConsumeResult, Error, ErrorCode};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::fork::{Origin, forked};
use crate::queue::Queue;

/// Answers for the messages of one [`crate::Event::Message`]. Dropped without an answer, they are delivered again later.
#[derive(Debug)]
pub struct ReplyToken {
    id: u64,
    origin: Origin,
    answer: Option<oneshot::Sender<ConsumeResult>>,
    replies: Arc<Replies>,
}

/// The tokens of one consumer that were turned into numbers.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    owed: Mutex<Owed>,
    /// Whether the consumer is about to be closed, and nothing is handed out any more.
    closing: AtomicBool,
}

#[derive(Debug, Default)]
struct Owed {
    answers: HashMap<u64, oneshot::Sender<ConsumeResult>>,
    closed: bool,
}

impl ReplyToken {
    /// A token and what its answer arrives at; an error there means that it was dropped.
    pub(crate) fn new(replies: &Arc<Replies>) -> (ReplyToken, oneshot::Receiver<ConsumeResult>) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (answer, answered) = oneshot::channel();
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let token =
            ReplyToken { id, origin: Origin::here(), answer: Some(answer), replies: Arc::clone(replies) };
        (token, answered)
    }

    /// The token's number: unique in this process, never 0.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn is_of(&self, replies: &Arc<Replies>) -> bool {
        Arc::ptr_eq(&self.replies, replies)
    }

    /// Answers. After the consumer was closed it has no effect: the messages are delivered again.
    ///
    /// # Errors
    /// FORKED.
    pub fn reply(mut self, result: ConsumeResult) -> Result<(), Error> {
        if !self.origin.is_here() {
            return Err(forked("the reply token"));
        }
        if let Some(answer) = self.answer.take() {
            // The receiver is gone when the consumer was closed or the time for consuming was over.
            let _ = answer.send(result);
        }
        Ok(())
    }

    /// Turns the token into its number, to be answered with [`crate::PushConsumer::reply`]: nothing happens by
    /// itself any more until the consumer is closed.
    #[must_use]
    pub fn into_id(mut self) -> u64 {
        if let Some(answer) = self.answer.take() {
            if self.origin.is_here() {
                self.replies.keep(self.id, answer);
            } else {
                std::mem::forget(answer);
            }
        }
        self.id
    }
}

impl Drop for ReplyToken {
    fn drop(&mut self) {
        if !self.origin.is_here() {
            std::mem::forget(self.answer.take());
        }
    }
}

impl Replies {
    /// Keeps the answer owed under a number; those whose consumer has given up are forgotten on the way.
    fn keep(&self, id: u64, answer: oneshot::Sender<ConsumeResult>) {
        let mut owed = self.owed.lock();
        if owed.answers.len() == owed.answers.capacity() {
            owed.answers.retain(|_, answer| !answer.is_closed());
        }
        if !owed.closed {
            owed.answers.insert(id, answer);
        }
    }

    pub(crate) fn reply(&self, id: u64, result: ConsumeResult) -> Result<(), Error> {
        let mut owed = self.owed.lock();
        if owed.closed {
            return Ok(());
        }
        let Some(answer) = owed.answers.remove(&id) else {
            return Err(Error::new(
                ErrorCode::State,
                format!("reply token {id} is unknown or was answered before; answer each token once"),
            ));
        };
        drop(owed);
        let _ = answer.send(result);
        Ok(())
    }

    /// Hands nothing out any more, and takes back what waits on the queue.
    pub(crate) fn withdraw(self: &Arc<Self>, queue: &Queue) {
        self.closing.store(true, Ordering::SeqCst);
        for token in queue.withdraw(self) {
            // Only a forked child is refused, which does not close.
            let _ = token.reply(ConsumeResult::Abandon);
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Forgets all: their messages are delivered again, and answers have no effect any more.
    pub(crate) fn close(&self) {
        let mut owed = self.owed.lock();
        owed.closed = true;
        let answers = std::mem::take(&mut owed.answers);
        drop(owed);
        drop(answers);
    }
}
