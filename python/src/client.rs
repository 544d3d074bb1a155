//! Client, producer and push consumer. A call blocks, or resolves the future that it is given as `_into`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::convert::{Result, Timeout, config, duration};
use crate::events::{Events, Into, run};
use crate::message::Message;

type Settings = HashMap<String, String>;

/// A client of one cluster.
#[pyclass(frozen)]
pub(crate) struct Client(mq_binding::Client);

#[pymethods]
impl Client {
    #[new]
    fn new(settings: Settings) -> Result<Client> {
        Ok(Client(mq_binding::Client::new(&config(settings)?, "PYTHON")?))
    }

    fn producer(&self, settings: Settings) -> Result<Producer> {
        Ok(Producer(self.0.producer(&config(settings)?)?))
    }

    fn push_consumer(
        &self,
        settings: Settings,
        subscriptions: Settings,
        events: &Events,
    ) -> Result<PushConsumer> {
        static TAG: AtomicU64 = AtomicU64::new(1);
        let tag = TAG.fetch_add(1, Ordering::Relaxed);
        let config = config(settings)?;
        let consume_thread_max = config.push_consumer()?.consume_thread_max;
        let core = self.0.push_consumer(&config, events.queue(), tag)?;
        for (topic, expression) in subscriptions {
            core.subscribe(&topic, &expression)?;
        }
        Ok(PushConsumer { core, tag, consume_thread_max })
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
    /// all, and its receipt has the ids of its messages joined by commas.
    ///
    /// Raises TimeoutError, NotFoundError (no route to the topic), ThrottledError, TooLargeError, DeniedError, ClosedError,
    /// ArgumentError, ForkedError, or another Error.
    #[pyo3(signature = (message, timeout=None, _into=None), text_signature = "($self, message, timeout=None)")]
    fn send(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        timeout: Option<Timeout>,
        _into: Into<'_>,
    ) -> Result<Py<PyAny>> {
        let (load, timeout) = (Load::new(message)?, duration(timeout));
        run(py, _into, |queue, tag| match load {
            Load::One(message) => self.0.send_async(message, timeout, queue, tag),
            Load::Many(messages) => self.0.send_batch_async(messages, timeout, queue, tag),
        })
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

/// A member of a consumer group; its messages come through the `Events` it was made with.
#[pyclass(frozen)]
pub(crate) struct PushConsumer {
    core: mq_binding::PushConsumer,
    /// What its deliveries are marked with; unlike any other in this process.
    #[pyo3(get)]
    tag: u64,
    /// How many deliveries may be unanswered at a time.
    #[pyo3(get)]
    consume_thread_max: usize,
}

#[pymethods]
impl PushConsumer {
    #[pyo3(signature = (_into=None))]
    fn start(&self, py: Python<'_>, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |queue, tag| self.core.start_async(None, queue, tag))
    }

    #[pyo3(signature = (timeout=None, _into=None))]
    fn close(&self, py: Python<'_>, timeout: Option<Timeout>, _into: Into<'_>) -> Result<Py<PyAny>> {
        let timeout = duration(timeout);
        run(py, _into, |queue, tag| self.core.close_async(timeout, queue, tag))
    }
}
