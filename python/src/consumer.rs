//! Consumers. A call blocks, or resolves the future that it is given as `_into`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mq_binding::{Error, ErrorCode, MessageQueue, Seek};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::client::{Client, Settings};
use crate::convert::{Failure, Result, Timeout, ToQueue, config, duration, from_queues, to_queues};
use crate::events::{Events, Into, SLICE, run, views};

/// A number that no other consumer or watcher in this process has.
fn new_tag() -> u64 {
    static TAG: AtomicU64 = AtomicU64::new(1);
    TAG.fetch_add(1, Ordering::Relaxed)
}

/// A member of a consumer group; its messages come through the `Events` it was made with.
#[pyclass(frozen)]
pub(crate) struct PushConsumer {
    core: mq_binding::PushConsumer,
    /// What its deliveries are marked with.
    #[pyo3(get)]
    tag: u64,
    /// How many deliveries may be unanswered at a time.
    #[pyo3(get)]
    consume_thread_max: usize,
}

#[pymethods]
impl PushConsumer {
    #[new]
    fn new(
        client: &Bound<'_, Client>,
        settings: Settings,
        subscriptions: Settings,
        events: &Bound<'_, Events>,
    ) -> Result<PushConsumer> {
        let (tag, config) = (new_tag(), config(settings)?);
        let consume_thread_max = config.push_consumer()?.consume_thread_max;
        let core = client.get().0.push_consumer(&config, events.get().queue(), tag)?;
        for (topic, expression) in subscriptions {
            core.subscribe(&topic, &expression)?;
        }
        Ok(PushConsumer { core, tag, consume_thread_max })
    }

    #[pyo3(signature = (_into=None))]
    fn start(&self, py: Python<'_>, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |queue, tag| self.core.start_async(None, queue, tag))
    }

    #[pyo3(signature = (topic, expression="*", _into=None))]
    fn subscribe(&self, py: Python<'_>, topic: &str, expression: &str, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |queue, tag| self.core.subscribe_async(topic, expression, queue, tag))
    }

    #[pyo3(signature = (topic, _into=None))]
    fn unsubscribe(&self, py: Python<'_>, topic: &str, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |queue, tag| self.core.unsubscribe_async(topic, queue, tag))
    }

    fn suspend(&self) -> Result<()> {
        Ok(self.core.suspend()?)
    }

    fn resume(&self) -> Result<()> {
        Ok(self.core.resume()?)
    }

    #[getter]
    fn assignment<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyList>> {
        Ok(from_queues(py, self.core.assignment()?)?)
    }

    #[pyo3(signature = (timeout=None, _into=None))]
    fn close(&self, py: Python<'_>, timeout: Option<Timeout>, _into: Into<'_>) -> Result<Py<PyAny>> {
        let timeout = duration(timeout);
        run(py, _into, |queue, tag| self.core.close_async(timeout, queue, tag))
    }
}

/// What `libmq.PullConsumer` and `libmq.aio.PullConsumer` are made of.
#[pyclass(frozen, subclass)]
pub(crate) struct PullConsumer {
    core: mq_binding::PullConsumer,
    poll_timeout: Duration,
}

/// A place in a queue: an offset, "begin", "end", or a time as a datetime.
struct Place(Seek);

impl FromPyObject<'_, '_> for Place {
    type Error = PyErr;

    fn extract(to: Borrowed<'_, '_, PyAny>) -> PyResult<Place> {
        if let Ok(offset) = to.extract() {
            return Ok(Place(Seek::Offset(offset)));
        }
        match to.extract::<String>().as_deref() {
            Ok("begin") => Ok(Place(Seek::Begin)),
            Ok("end") => Ok(Place(Seek::End)),
            Ok(text) => {
                let error =
                    format!("'{text}' is no place in a queue; give an offset, 'begin', 'end' or a datetime");
                Err(Failure::from(Error::new(ErrorCode::Argument, error)).into())
            }
            Err(_) if to.hasattr(intern!(to.py(), "timestamp"))? => {
                Ok(Place(Seek::Time(Millis::extract(to)?.0)))
            }
            Err(_) => {
                let text = to.repr()?;
                let error =
                    format!("{text} is no place in a queue; give an offset, 'begin', 'end' or a datetime");
                Err(PyTypeError::new_err(error))
            }
        }
    }
}

/// Milliseconds since 1970 (UTC), or a datetime.
struct Millis(i64);

impl FromPyObject<'_, '_> for Millis {
    type Error = PyErr;

    fn extract(time: Borrowed<'_, '_, PyAny>) -> PyResult<Millis> {
        if let Ok(millis) = time.extract() {
            return Ok(Millis(millis));
        }
        if !time.hasattr(intern!(time.py(), "timestamp"))? {
            let text = time.repr()?;
            let error = format!("the time is {text}; give milliseconds since 1970 or a datetime");
            return Err(PyTypeError::new_err(error));
        }
        let seconds: f64 = time.call_method0(intern!(time.py(), "timestamp"))?.extract()?;
        #[allow(clippy::cast_possible_truncation)] // years that datetimes have are far within
        Ok(Millis((seconds * 1000.0).round() as i64))
    }
}

#[pymethods]
impl PullConsumer {
    #[new]
    fn new(client: &Bound<'_, Client>, settings: Settings, subscriptions: Settings) -> Result<PullConsumer> {
        let config = config(settings)?;
        let poll_timeout = config.pull_consumer()?.poll_timeout;
        let core = client.get().0.pull_consumer(&config)?;
        for (topic, expression) in subscriptions {
            core.subscribe(&topic, &expression)?;
        }
        Ok(PullConsumer { core, poll_timeout })
    }

    #[pyo3(signature = (_into=None), text_signature = "($self)")]
    fn start(&self, py: Python<'_>, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |events, tag| self.core.start_async(None, events, tag))
    }

    /// Subscribes to a topic: all messages (`"*"`) or those with the tags of `"a || b"`. The queues are shared with the
    /// other members of the group.
    #[pyo3(signature = (topic, expression="*", _into=None), text_signature = "($self, topic, expression='*')")]
    fn subscribe(&self, py: Python<'_>, topic: &str, expression: &str, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |events, tag| self.core.subscribe_async(topic, expression, events, tag))
    }

    /// Gives a topic and its queues up.
    #[pyo3(signature = (topic, _into=None), text_signature = "($self, topic)")]
    fn unsubscribe(&self, py: Python<'_>, topic: &str, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |events, tag| self.core.unsubscribe_async(topic, events, tag))
    }

    /// Takes these queues, in place of those assigned before, whatever other members of the group do.
    #[pyo3(signature = (queues, _into=None), text_signature = "($self, queues)")]
    fn assign(&self, py: Python<'_>, queues: Vec<ToQueue>, _into: Into<'_>) -> Result<Py<PyAny>> {
        let queues = to_queues(queues);
        run(py, _into, |events, tag| self.core.assign_async(&queues, events, tag))
    }

    #[pyo3(signature = (timeout=None, _into=None), text_signature = "($self, timeout=None)")]
    fn poll(&self, py: Python<'_>, timeout: Option<Timeout>, _into: Into<'_>) -> Result<Py<PyAny>> {
        let limit = duration(timeout).unwrap_or(self.poll_timeout);
        if _into.is_some() {
            return run(py, _into, |events, tag| self.core.poll_async(Some(limit), events, tag));
        }
        // In slices, so that Ctrl-C interrupts no poll that brings messages.
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let messages = py.detach(|| self.core.poll(Some(left.min(SLICE))))?;
            if !messages.is_empty() || left.is_zero() {
                return Ok(views(py, messages)?.into_any().unbind());
            }
            py.check_signals()?;
        }
    }

    #[pyo3(signature = (queue, to, _into=None), text_signature = "($self, queue, to)")]
    fn seek(&self, py: Python<'_>, queue: ToQueue, to: Place, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |events, tag| self.core.seek_async(&queue.0, to.0, events, tag))
    }

    /// Gives the offset of the first message stored at a time (a datetime, or milliseconds since 1970) or later.
    #[pyo3(signature = (queue, time, _into=None), text_signature = "($self, queue, time)")]
    fn offset_for_time(
        &self,
        py: Python<'_>,
        queue: ToQueue,
        time: Millis,
        _into: Into<'_>,
    ) -> Result<Py<PyAny>> {
        run(py, _into, |events, tag| self.core.offset_for_timestamp_async(&queue.0, time.0, events, tag))
    }

    /// Fetches no more from these queues and gives out none of their messages until `resume`.
    fn pause(&self, queues: Vec<ToQueue>) -> Result<()> {
        Ok(self.core.pause(&to_queues(queues))?)
    }

    /// Fetches from these queues again.
    fn resume(&self, queues: Vec<ToQueue>) -> Result<()> {
        Ok(self.core.resume(&to_queues(queues))?)
    }

    /// Commits what was given out of all queues, or the offsets given for some: of the messages to begin with next time.
    #[pyo3(signature = (offsets=None, _into=None), text_signature = "($self, offsets=None)")]
    fn commit(
        &self,
        py: Python<'_>,
        offsets: Option<HashMap<ToQueue, i64>>,
        _into: Into<'_>,
    ) -> Result<Py<PyAny>> {
        let Some(offsets) = offsets else {
            return run(py, _into, |events, tag| self.core.commit_async(events, tag));
        };
        let offsets: Vec<(MessageQueue, i64)> =
            offsets.into_iter().map(|(queue, offset)| (queue.0, offset)).collect();
        run(py, _into, |events, tag| self.core.commit_offsets_async(&offsets, events, tag))
    }

    /// Gives the offset that the group has committed for a queue, None when there is none.
    #[pyo3(signature = (queue, _into=None), text_signature = "($self, queue)")]
    fn committed(&self, py: Python<'_>, queue: ToQueue, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |events, tag| self.core.committed_async(&queue.0, events, tag))
    }

    /// Gives the offset of the message of a queue that the next poll would give out.
    #[pyo3(signature = (queue, _into=None), text_signature = "($self, queue)")]
    fn position(&self, py: Python<'_>, queue: ToQueue, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |events, tag| self.core.position_async(&queue.0, events, tag))
    }

    /// Gives the queues of a topic that can be read.
    #[pyo3(signature = (topic, _into=None), text_signature = "($self, topic)")]
    fn queues(&self, py: Python<'_>, topic: &str, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |events, tag| self.core.queues_async(topic, events, tag))
    }

    /// Gives the queues that it has now.
    #[getter]
    fn assignment<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyList>> {
        Ok(from_queues(py, self.core.assignment()?)?)
    }

    /// Has changes of a topic's queues told to `to`, marked with the number that this returns.
    #[pyo3(signature = (topic, to, _into=None))]
    fn _watch(&self, py: Python<'_>, topic: &str, to: &Bound<'_, Events>, _into: Into<'_>) -> Result<u64> {
        let (watch, to) = (new_tag(), to.get().queue());
        run(py, _into, |events, tag| self.core.watch_queues_async(topic, to, watch, events, tag))?;
        Ok(watch)
    }

    #[pyo3(signature = (timeout=None, _into=None))]
    fn _close(&self, py: Python<'_>, timeout: Option<Timeout>, _into: Into<'_>) -> Result<Py<PyAny>> {
        let timeout = duration(timeout);
        run(py, _into, |events, tag| self.core.close_async(timeout, events, tag))
    }
}
