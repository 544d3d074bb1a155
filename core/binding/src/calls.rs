//! Asynchronous calls that run as tasks of their own: bounded in number, and each can be cancelled by its tag.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use mq_client::{Error, ErrorCode};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::completion::Completion;
use crate::event::Outcome;
use crate::queue::Queue;
use crate::runtime::Runtime;

/// Calls of one object that may be under way.
const MAX: usize = 1024;

/// The calls of one producer or consumer that are under way.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    /// The number of the next call.
    next: u64,
    calls: HashMap<u64, Call>,
}

#[derive(Debug)]
struct Call {
    queue: Queue,
    tag: u64,
    cancel: oneshot::Sender<()>,
}

/// Takes a call off when it is done, in whatever way.
struct Entry {
    calls: Arc<Calls>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let call = self.calls.0.lock().calls.remove(&self.number);
        drop(call);
    }
}

impl Calls {
    /// Carries `work` out as a task; its end is an event with `tag` on `queue`.
    pub(crate) fn spawn(
        self: &Arc<Calls>,
        runtime: &Runtime,
        queue: &Queue,
        tag: u64,
        work: impl Future<Output = Result<Outcome, Error>> + Send + 'static,
    ) -> Result<(), Error> {
        let (cancel, cancelled) = oneshot::channel();
        let entry = self.enter(Call { queue: queue.clone(), tag, cancel })?;
        let completion = Completion::new(queue, tag, None)?;
        runtime.handle().spawn(async move {
            let result = tokio::select! {
                biased;
                result = work => result,
                // The other end lives as long as the entry does.
                _ = cancelled => Err(Error::new(ErrorCode::Cancelled, "the call was cancelled")),
            };
            // First, so that who has seen the event finds room for the next call.
            drop(entry);
            completion.finish(result);
        });
        Ok(())
    }

    fn enter(self: &Arc<Calls>, call: Call) -> Result<Entry, Error> {
        let mut under_way = self.0.lock();
        if under_way.calls.len() >= MAX {
            return Err(Error::new(
                ErrorCode::QueueFull,
                format!("{MAX} asynchronous calls of this object are not done; wait for some of them"),
            ));
        }
        let number = under_way.next;
        under_way.next += 1;
        under_way.calls.insert(number, call);
        Ok(Entry { calls: Arc::clone(self), number })
    }

    /// Cancels the calls made with this queue and tag that are not done: their events are CANCELLED.
    pub(crate) fn cancel(&self, queue: &Queue, tag: u64) {
        let cancelled: Vec<_> = {
            let mut under_way = self.0.lock();
            let calls = under_way.calls.extract_if(|_, call| call.tag == tag && call.queue.same(queue));
            calls.map(|(_, call)| call.cancel).collect()
        };
        for cancel in cancelled {
            // Nobody listens any more when the call was just done.
            let _ = cancel.send(());
        }
    }
}
