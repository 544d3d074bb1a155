//! Client and producer. A call blocks, or resolves the future that it is given as `_into`.

use std::collections::HashMap;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::convert::{Result, Timeout, ToQueue, config, duration};
use crate::dead_letters::DeadLetters;
use crate::events::{Into, run};
use crate::message::Message;

pub(crate) type Settings = HashMap<String, String>;

/// A client of one cluster.
#[pyclass(frozen)]
pub(crate) struct Client(pub(crate) mq_binding::Client);

#[pymethods]
impl Client {
    #[new]
    fn new(settings: Settings) -> Result<Client> {
        Ok(Client(mq_binding::Client::new(&config(settings)?, "PYTHON")?))
    }

    fn producer(&self, settings: Settings) -> Result<Producer> {
        Ok(Producer(self.0.producer(&config(settings)?)?))
    }

    /// Reads a group's dead letters.
    fn dead_letters(&self, group: &str) -> Result<DeadLetters> {
        Ok(DeadLetters(self.0.dead_letters(group)?))
    }

    #[pyo3(signature = (timeout=None, _into=None))]
    fn close(&self, py: Python<'_>, timeout: Option<Timeout>, _into: Into<'_>) -> Result<Py<PyAny>> {
        let timeout = duration(timeout);
        run(py, _into, |queue, tag| self.0.close_async(timeout, queue, tag))
    }
}

/// One message, or several as one batch.
enum Load {
    One(mq_binding::Message),
    Many(Vec<mq_binding::Message>),
}

impl Load {
    fn new(message: &Bound<'_, PyAny>) -> PyResult<Load> {
        if let Ok(message) = message.cast::<Message>() {
            return Ok(Load::One(message.get().0.clone()));
        }
        let wrong = |kind: &Bound<'_, PyAny>| -> PyErr {
            let kind = kind.get_type();
            PyTypeError::new_err(format!("send wants a Message or a list of Messages, not {kind}"))
        };
        let mut many = Vec::new();
        for item in message.try_iter().map_err(|_| wrong(message))? {
            let item = item?;
            many.push(item.cast::<Message>().map_err(|_| wrong(&item))?.get().0.clone());
        }
        Ok(Load::Many(many))
    }
}

/// Sends messages; made by `Client.producer`, safe to use from many threads.
#[pyclass(frozen, module = "libmq")]
pub(crate) struct Producer(mq_binding::Producer);

#[pymethods]
impl Producer {
    /// Sends a message, or a list of messages of one topic as one batch, and waits for the broker's receipt.
    ///
    /// The timeout covers all tries; without it the setting `send_timeout` counts. A batch is stored as a whole or not at
    /// all, and its receipt has the ids of its messages joined by commas. A single message may be sent to a `queue` of
    /// one's choice, one of `queues(topic)`; it is not tried again on another.
    ///
    /// Raises TimeoutError, NotFoundError (no route to the topic), ThrottledError, TooLargeError, DeniedError, ClosedError,
    /// ArgumentError, ForkedError, or another Error.
    #[pyo3(signature = (message, timeout=None, queue=None, _into=None), text_signature = "($self, message, timeout=None, queue=None)")]
    fn send(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        timeout: Option<Timeout>,
        queue: Option<ToQueue>,
        _into: Into<'_>,
    ) -> Result<Py<PyAny>> {
        let (load, timeout) = (Load::new(message)?, duration(timeout));
        if queue.is_some() && matches!(load, Load::Many(_)) {
            return Err(PyTypeError::new_err("a list goes to a queue that the producer chooses").into());
        }
        run(py, _into, |events, tag| match (load, queue) {
            (Load::One(message), None) => self.0.send_async(message, timeout, events, tag),
            (Load::One(message), Some(to)) => {
                self.0.send_to_queue_async(message, &to.0, timeout, events, tag)
            }
            (Load::Many(messages), _) => self.0.send_batch_async(messages, timeout, events, tag),
        })
    }

    /// Divides messages into lists that `send` takes, small enough for one request each, their order kept. Sends nothing.
    fn split(&self, messages: &Bound<'_, PyAny>) -> Result<Vec<Vec<Message>>> {
        let Load::Many(messages) = Load::new(messages)? else {
            return Err(PyTypeError::new_err("split wants a list of Messages").into());
        };
        let lists = self.0.split_batch(messages)?;
        Ok(lists.into_iter().map(|list| list.into_iter().map(Message).collect()).collect())
    }

    /// Gives the queues of a topic that can be sent to, in the order of brokers and numbers; known without asking once
    /// the topic was sent to.
    ///
    /// Raises NotFoundError, TimeoutError, ClosedError, ArgumentError, ForkedError, or another Error.
    #[pyo3(signature = (topic, _into=None), text_signature = "($self, topic)")]
    fn queues(&self, py: Python<'_>, topic: &str, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |queue, tag| self.0.queues_async(topic, queue, tag))
    }

    /// Sends a message and asks for no answer: returns when it is handed to the connection. It may get lost.
    #[pyo3(signature = (message, _into=None), text_signature = "($self, message)")]
    fn send_oneway(
        &self,
        py: Python<'_>,
        message: &Bound<'_, Message>,
        _into: Into<'_>,
    ) -> Result<Py<PyAny>> {
        let message = message.get().0.clone();
        run(py, _into, |queue, tag| self.0.send_oneway_async(message, queue, tag))
    }

    /// Waits for the answers to what was sent, then refuses to send more; does nothing when closed already.
    #[pyo3(signature = (timeout=None, _into=None), text_signature = "($self, timeout=None)")]
    fn close(&self, py: Python<'_>, timeout: Option<Timeout>, _into: Into<'_>) -> Result<Py<PyAny>> {
        let timeout = duration(timeout);
        run(py, _into, |queue, tag| self.0.close_async(timeout, queue, tag))
    }

    fn __enter__(slf: Py<Producer>) -> Py<Producer> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> Result<()> {
        self.close(py, None, None).map(drop)
    }
}
