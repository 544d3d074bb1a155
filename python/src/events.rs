//! The way back from the core: completions, messages and log lines, waited for or brought into an event loop.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mq_binding::{ConsumeResult, Error, ErrorCode, Event, Outcome, Queue, ReplyToken, fence};
use parking_lot::Mutex;
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;

use crate::convert::{Result, Timeout, duration, exception, from_queues};
use crate::message::{MessageView, SendReceipt};

/// How long a blocking call goes without a look at signals.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// How long a listener thread sleeps at most; closing wakes it at once.
pub(crate) const NAP: Duration = Duration::from_secs(3600);

/// Makes an asynchronous call of the core and waits for its end without the GIL; Ctrl-C ends the waiting.
fn wait(
    py: Python<'_>,
    call: impl FnOnce(&Queue, u64) -> std::result::Result<(), Error> + Send,
) -> Result<Outcome> {
    let queue = Queue::new();
    let mut events = Vec::with_capacity(1);
    py.detach(|| fence(|| call(&queue, 0)).and_then(|()| queue.poll(&mut events, 1, SLICE)))?;
    loop {
        if let Some(Event::Done { result, .. }) = events.pop() {
            return Ok(result?);
        }
        py.check_signals()?;
        py.detach(|| queue.poll(&mut events, 1, SLICE))?;
    }
}

/// Where a call that does not block ends: the queue of an event loop, and a future there.
pub(crate) type Into<'py> = Option<(Bound<'py, Events>, Py<PyAny>)>;

/// Makes an asynchronous call of the core: its end resolves the future, or is waited for.
pub(crate) fn run(
    py: Python<'_>,
    into: Into<'_>,
    call: impl FnOnce(&Queue, u64) -> std::result::Result<(), Error> + Send,
) -> Result<Py<PyAny>> {
    match into {
        Some((events, future)) => events.get().start(future, call).map(|()| py.None()),
        None => Ok(value(py, wait(py, call)?)?),
    }
}

/// What a call gives in Python.
fn value(py: Python<'_>, outcome: Outcome) -> PyResult<Py<PyAny>> {
    match outcome {
        Outcome::Sent(receipt) | Outcome::SentBatch(receipt) => SendReceipt(receipt).into_py_any(py),
        Outcome::Queues(queues) => from_queues(py, queues)?.into_py_any(py),
        Outcome::Polled(messages) => views(py, messages)?.into_py_any(py),
        Outcome::Offset(offset) => offset.into_py_any(py),
        _ => Ok(py.None()),
    }
}

/// The messages of a delivery or a poll.
pub(crate) fn views(py: Python<'_>, messages: Vec<mq_binding::MessageView>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, messages.into_iter().map(MessageView::new).collect::<Vec<_>>())
}

/// What listeners and watchers get: a delivery, or the tag of a consumer and what is to be told it.
fn told(py: Python<'_>, event: Event) -> PyResult<Option<Py<PyAny>>> {
    static WARNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static CHANGE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let notice = match event {
        Event::Message { consumer, messages, token } => {
            return Delivery::new(py, consumer, messages, token)?.into_py_any(py).map(Some);
        }
        Event::Warning { consumer, warning } => {
            let kind = WARNING.import(py, "libmq._types", "ConsumerWarning")?;
            (consumer, kind.call1((warning.code.name(), warning.message))?)
        }
        Event::QueueChange { watch, change } => {
            let kind = CHANGE.import(py, "libmq._types", "QueueChange")?;
            let (queues, assigned) = (from_queues(py, change.queues)?, from_queues(py, change.assigned)?);
            (watch, kind.call1((change.topic, queues, assigned))?)
        }
        _ => return Ok(None),
    };
    notice.into_py_any(py).map(Some)
}

/// Futures that wait for their completions; the place of each is the tag of its call.
#[derive(Default)]
struct Futures {
    places: Vec<Option<Py<PyAny>>>,
    free: Vec<usize>,
}

impl Futures {
    fn add(&mut self, future: Py<PyAny>) -> u64 {
        let free = self.free.pop();
        if let Some((place, free)) = free.and_then(|place| Some((self.places.get_mut(place)?, place))) {
            *place = Some(future);
            return free as u64;
        }
        self.places.push(Some(future));
        self.places.len() as u64 - 1
    }

    fn take(&mut self, tag: u64) -> Option<Py<PyAny>> {
        let place = usize::try_from(tag).ok()?;
        let future = self.places.get_mut(place)?.take()?;
        self.free.push(place);
        Some(future)
    }
}

/// A completion queue, for an event loop (`fd`, `wake`, `drain`) or for listener threads (`next`).
#[pyclass(frozen)]
pub(crate) struct Events {
    queue: Queue,
    futures: Mutex<Futures>,
    idle: AtomicUsize,
    closed: AtomicBool,
}

impl Events {
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Makes an asynchronous call of the core whose end resolves `future`.
    fn start(
        &self,
        future: Py<PyAny>,
        call: impl FnOnce(&Queue, u64) -> std::result::Result<(), Error>,
    ) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(client_closed().into());
        }
        let tag = self.futures.lock().add(future);
        fence(|| call(&self.queue, tag)).map_err(|error| {
            self.futures.lock().take(tag);
            error.into()
        })
    }

    fn end(&self, py: Python<'_>, tag: u64, result: std::result::Result<Outcome, Error>) {
        let future = self.futures.lock().take(tag);
        if let Some(future) = future
            && let Err(error) = resolve(future.bind(py), result)
        {
            error.write_unraisable(py, None);
        }
    }
}

fn client_closed() -> Error {
    Error::new(ErrorCode::Closed, "the client is closed; make a new one")
}

/// Gives a future its result, unless it was cancelled.
fn resolve(future: &Bound<'_, PyAny>, result: std::result::Result<Outcome, Error>) -> PyResult<()> {
    let py = future.py();
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    match result.map(|outcome| value(py, outcome)) {
        Ok(value) => future.call_method1(intern!(py, "set_result"), (value?,))?,
        Err(error) => future.call_method1(intern!(py, "set_exception"), (exception(py, &error)?,))?,
    };
    Ok(())
}

#[pymethods]
impl Events {
    #[new]
    fn new() -> Events {
        Events {
            queue: Queue::new(),
            futures: Mutex::default(),
            idle: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// How many threads wait in `next`.
    #[getter]
    fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }

    /// The file descriptor that is readable while there is something to drain.
    fn fd(&self) -> Result<i32> {
        Ok(self.queue.fd()?)
    }

    /// Calls `callback`, in a thread of the core, each time that there is something to drain again.
    fn wake(&self, py: Python<'_>, callback: Option<Py<PyAny>>) -> Result<()> {
        let wakeup = callback.map(|callback| -> Box<dyn Fn() + Send + Sync> {
            Box::new(move || {
                // None: the interpreter is going, and with it the loop.
                Python::try_attach(|py| {
                    if let Err(error) = callback.call0(py) {
                        error.write_unraisable(py, None);
                    }
                });
            })
        });
        Ok(py.detach(|| self.queue.set_wakeup(wakeup))?)
    }

    /// Waits for the next delivery or notice; None once closed, or when none has come for as long as `patience`.
    #[pyo3(signature = (patience = None))]
    fn next(&self, py: Python<'_>, patience: Option<Timeout>) -> Result<Option<Py<PyAny>>> {
        let mut events = Vec::with_capacity(1);
        let end = patience.map(|Timeout(patience)| Instant::now() + patience);
        while !self.closed.load(Ordering::Acquire) {
            // With work at hand the GIL is not given up: handing it round costs more than all the rest.
            let polled = match self.queue.poll(&mut events, 1, Duration::ZERO) {
                Ok(0) => {
                    self.idle.fetch_add(1, Ordering::Relaxed);
                    let nap = end.map_or(NAP, |end| end.saturating_duration_since(Instant::now()));
                    let polled = py.detach(|| self.queue.poll(&mut events, 1, nap));
                    self.idle.fetch_sub(1, Ordering::Relaxed);
                    polled
                }
                polled => polled,
            };
            if let Some(event) = events.pop()
                && let Some(told) = told(py, event)?
            {
                return Ok(Some(told));
            }
            if self.closed.load(Ordering::Acquire) {
                break;
            }
            polled?;
            if end.is_some_and(|end| end <= Instant::now()) {
                break;
            }
        }
        Ok(None)
    }

    /// Resolves futures and gives deliveries and notices, up to `limit` of both, and how many of both there were.
    fn drain<'py>(&self, py: Python<'py>, limit: usize) -> Result<(Bound<'py, PyList>, usize)> {
        let mut events = Vec::new();
        let count = self.queue.poll(&mut events, limit, Duration::ZERO)?;
        let deliveries = PyList::empty(py);
        for event in events {
            match event {
                Event::Done { tag, result } => self.end(py, tag, result),
                event => {
                    if let Some(told) = told(py, event)? {
                        deliveries.append(told)?;
                    }
                }
            }
        }
        Ok((deliveries, count))
    }

    /// Ends all waiting: threads in `next` return, futures get what has come, or a ClosedError.
    fn close(&self, py: Python<'_>) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        self.queue.close()?;
        let mut events = Vec::new();
        // An error: it is empty.
        let _ = self.queue.poll(&mut events, usize::MAX, Duration::ZERO);
        for event in events {
            if let Event::Done { tag, result } = event {
                self.end(py, tag, result);
            }
        }
        let waiting = std::mem::take(&mut *self.futures.lock());
        for future in waiting.places.into_iter().flatten() {
            if let Err(error) = resolve(future.bind(py), Err(client_closed())) {
                error.write_unraisable(py, None);
            }
        }
        Ok(())
    }
}

/// Messages for one call of a listener, to be answered once; dropped without an answer they come again later.
#[pyclass(frozen)]
pub(crate) struct Delivery {
    #[pyo3(get)]
    consumer: u64,
    #[pyo3(get)]
    messages: Py<PyList>,
    token: Mutex<Option<ReplyToken>>,
}

impl Delivery {
    fn new(
        py: Python<'_>,
        consumer: u64,
        messages: Vec<mq_binding::MessageView>,
        token: ReplyToken,
    ) -> PyResult<Delivery> {
        let messages = views(py, messages)?.unbind();
        Ok(Delivery { consumer, messages, token: Mutex::new(Some(token)) })
    }
}

#[pymethods]
impl Delivery {
    /// Answers, once; a second answer has no effect. None is success.
    #[pyo3(signature = (answer=None))]
    fn reply(&self, answer: Option<Answer>) -> Result<()> {
        let result = match answer {
            Some(Answer { suspended: true, duration: pause, .. }) => {
                ConsumeResult::Suspend { duration: duration(pause) }
            }
            Some(Answer { success: false, delay_level, .. }) => ConsumeResult::Later { delay_level },
            _ => ConsumeResult::Success,
        };
        if let Some(token) = self.token.lock().take() {
            token.reply(result)?;
        }
        Ok(())
    }
}

/// What `libmq.ConsumeResult` says.
#[derive(FromPyObject)]
struct Answer {
    success: bool,
    delay_level: Option<i32>,
    suspended: bool,
    duration: Option<Timeout>,
}
