//! The pump of a producer: one task that carries all its asynchronous sends, so that none costs a task of its own.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{Either, TryFutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use mq_client::{Error, ErrorCode, Message, MessageQueue};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::completion::Completion;
use crate::event::Outcome;
use crate::fence::panicked;
use crate::queue::Queue;

/// Completions that are put on their queues at a time while more are ready.
const BATCH: usize = 128;

/// What one asynchronous call sends.
pub(crate) enum Load {
    One(Message),
    To(Box<(Message, MessageQueue)>),
    List(Vec<Message>),
    Oneway(Message),
}

/// One accepted asynchronous send.
pub(crate) struct Job {
    pub(crate) load: Load,
    /// When its time is over; the time in the pump counts.
    pub(crate) deadline: Instant,
    pub(crate) completion: Completion,
}

/// Where sends wait for the task, and how the task is told.
pub(crate) struct Pump {
    inbox: Mutex<Inbox>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Inbox {
    jobs: VecDeque<Job>,
    cancels: Vec<(Queue, u64)>,
    phase: Phase,
    started: bool,
    /// The task's, while it sleeps.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Takes no more, ends when all is sent.
    Draining,
    Closed,
}

/// Not to be called under the lock.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Pump {
    pub(crate) fn new() -> Arc<Pump> {
        Arc::new(Pump { inbox: Mutex::default(), task: Mutex::new(None) })
    }

    /// Accepts a send; the task starts with the first one, on the runtime that `runtime` gives.
    pub(crate) fn submit(
        self: &Arc<Self>,
        job: Job,
        runtime: impl FnOnce() -> Result<Handle, Error>,
        producer: &mq_client::Producer,
        width: usize,
    ) -> Result<(), Error> {
        let mut inbox = self.inbox.lock();
        if inbox.phase != Phase::Open {
            drop(inbox);
            job.completion.revoke();
            return Err(closed());
        }
        if !inbox.started {
            match runtime() {
                Ok(runtime) => {
                    let task = runtime.spawn(run(Ended(Arc::clone(self)), producer.clone(), width));
                    *self.task.lock() = Some(task);
                    inbox.started = true;
                }
                Err(error) => {
                    drop(inbox);
                    job.completion.revoke();
                    return Err(error);
                }
            }
        }
        inbox.jobs.push_back(job);
        let waker = inbox.waker.take();
        drop(inbox);
        wake(waker);
        Ok(())
    }

    /// Takes no more sends; those that were accepted are still carried out.
    pub(crate) fn drain(&self) {
        let mut inbox = self.inbox.lock();
        if inbox.phase == Phase::Open {
            inbox.phase = Phase::Draining;
        }
        let waker = inbox.waker.take();
        drop(inbox);
        wake(waker);
    }

    /// Cancels what was submitted with this queue and tag and is not done.
    pub(crate) fn cancel(&self, queue: &Queue, tag: u64) {
        let mut inbox = self.inbox.lock();
        if inbox.phase == Phase::Closed {
            return;
        }
        inbox.cancels.push((queue.clone(), tag));
        let waker = inbox.waker.take();
        drop(inbox);
        wake(waker);
    }

    /// Takes no more sends and waits for those under way; false when some had to be cut at the deadline.
    pub(crate) async fn close(&self, deadline: Instant) -> bool {
        self.drain();
        let task = self.task.lock().take();
        let Some(mut task) = task else {
            self.fail_rest();
            return true;
        };
        let drained = tokio::time::timeout_at(deadline.into(), &mut task).await.is_ok();
        if !drained {
            task.abort();
            // The end of an aborted task is an error that says so.
            let _ = task.await;
        }
        drained
    }

    /// Drops what was never begun; each gets its event by that.
    fn fail_rest(&self) {
        let mut inbox = self.inbox.lock();
        inbox.phase = Phase::Closed;
        let (jobs, cancels) = (std::mem::take(&mut inbox.jobs), std::mem::take(&mut inbox.cancels));
        drop(inbox);
        drop((jobs, cancels));
    }
}

/// Closes the inbox when the task ends, in whatever way.
struct Ended(Arc<Pump>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fail_rest();
    }
}

async fn run(pump: Ended, producer: mq_client::Producer, width: usize) {
    let mut backlog: VecDeque<Job> = VecDeque::new();
    let mut under_way = FuturesUnordered::new();
    let mut done = Vec::with_capacity(BATCH);
    poll_fn(move |cx| {
        loop {
            let (cancels, draining) = {
                let mut inbox = pump.0.inbox.lock();
                if backlog.is_empty() {
                    // Neither moves the jobs nor gives up the room for them, which a window bounds.
                    std::mem::swap(&mut backlog, &mut inbox.jobs);
                } else {
                    backlog.append(&mut inbox.jobs);
                }
                (std::mem::take(&mut inbox.cancels), inbox.phase != Phase::Open)
            };
            for (queue, tag) in cancels {
                cancel_waiting(&mut backlog, &queue, tag);
                for sending in Pin::new(&mut under_way).iter_pin_mut() {
                    Sending::cancel(sending, &queue, tag);
                }
            }
            while under_way.len() < width
                && let Some(job) = backlog.pop_front()
            {
                let Job { load, deadline, completion } = job;
                // As below: encoding the message may panic, too.
                match catch_unwind(AssertUnwindSafe(|| send(&producer, load, deadline))) {
                    Ok(send) => {
                        under_way.push(Sending {
                            completion: Some(completion),
                            waker: None,
                            send: Some(send),
                        });
                    }
                    Err(panic) => completion.finish(Err(panicked(panic.as_ref()))),
                }
            }
            let mut ready = true;
            while ready {
                match under_way.poll_next_unpin(cx) {
                    Poll::Ready(Some(end)) => done.extend(end),
                    Poll::Ready(None) | Poll::Pending => ready = false,
                }
                if !done.is_empty() && (done.len() == BATCH || !ready) {
                    Completion::finish_all(&mut done);
                }
            }
            if under_way.len() < width && !backlog.is_empty() {
                continue;
            }
            if draining && under_way.is_empty() {
                return Poll::Ready(());
            }
            let mut inbox = pump.0.inbox.lock();
            let news = !inbox.jobs.is_empty()
                || !inbox.cancels.is_empty()
                || (inbox.phase != Phase::Open) != draining;
            if !news {
                inbox.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    })
    .await;
}

/// One message without more is what most send: its future is small and part of the task, the others are in boxes.
fn send(
    producer: &mq_client::Producer,
    load: Load,
    deadline: Instant,
) -> impl Future<Output = Result<Outcome, Error>> + Send + use<> {
    let left = deadline.saturating_duration_since(Instant::now());
    match load {
        Load::One(message) if left > Duration::ZERO => {
            Either::Left(producer.send_owned(message, left).map_ok(Outcome::Sent))
        }
        load => Either::Right(Box::pin(send_rare(producer.clone(), load, left))),
    }
}

async fn send_rare(producer: mq_client::Producer, load: Load, left: Duration) -> Result<Outcome, Error> {
    if left == Duration::ZERO {
        return Err(Error::new(
            ErrorCode::Timeout,
            "the message was not sent in time: too many sends were waiting before it; send fewer at once, or allow more time",
        ));
    }
    match load {
        Load::One(message) => producer.send_with_timeout(message, left).await.map(Outcome::Sent),
        Load::To(load) => {
            let (message, queue) = *load;
            producer.send_to_queue_with_timeout(message, &queue, left).await.map(Outcome::Sent)
        }
        Load::List(messages) => {
            producer.send_batch_with_timeout(messages, left).await.map(Outcome::SentBatch)
        }
        Load::Oneway(message) => producer.send_oneway(message).await.map(|()| Outcome::Oneway),
    }
}

fn cancel_waiting(backlog: &mut VecDeque<Job>, queue: &Queue, tag: u64) {
    let mut index = 0;
    while let Some(job) = backlog.get(index) {
        if !job.completion.is(queue, tag) {
            index += 1;
        } else if let Some(job) = backlog.remove(index) {
            job.completion.finish(Err(cancelled()));
        }
    }
}

pin_project! {
    /// A send with the completion that it owes; both are gone after a cancel.
    struct Sending<F> {
        completion: Option<Completion>,
        waker: Option<Waker>,
        #[pin]
        send: Option<F>,
    }
}

impl<F> Sending<F> {
    fn cancel(self: Pin<&mut Self>, queue: &Queue, tag: u64) {
        let mut this = self.project();
        if let Some(completion) = this.completion.take_if(|completion| completion.is(queue, tag)) {
            this.send.set(None);
            completion.finish(Err(cancelled()));
            wake(this.waker.take());
        }
    }
}

impl<F: Future<Output = Result<Outcome, Error>>> Future for Sending<F> {
    /// `None` after a cancel.
    type Output = Option<(Completion, Result<Outcome, Error>)>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(send) = this.send.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        // A panic fails this send alone, not all that are under way.
        let result = match catch_unwind(AssertUnwindSafe(|| send.poll(cx))) {
            Ok(Poll::Ready(result)) => result,
            Ok(Poll::Pending) => {
                match this.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *this.waker = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            }
            Err(panic) => Err(panicked(panic.as_ref())),
        };
        this.send.set(None);
        Poll::Ready(this.completion.take().map(|completion| (completion, result)))
    }
}

fn cancelled() -> Error {
    Error::new(
        ErrorCode::Cancelled,
        "the send was cancelled; the broker may have stored the message all the same",
    )
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the producer is closed; make a new one")
}
