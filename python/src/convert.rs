//! Conversions that every class needs: errors, timeouts, settings, bytes.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use mq_binding::{Config, Error, ErrorCode, MessageQueue};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView};

/// Why a call failed: the core says so, or Python does.
pub(crate) enum Failure {
    Core(Error),
    Python(PyErr),
}

/// What all methods give back.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Core(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure::Python(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        match failure {
            Failure::Python(error) => error,
            Failure::Core(error) => Python::attach(|py| match exception(py, &error) {
                Ok(exception) => PyErr::from_value(exception),
                Err(error) => error,
            }),
        }
    }
}

/// Makes the exception of `libmq` for an error of the core.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MAKE.import(py, "libmq._errors", "_make")?.call1((
        error.message(),
        error.code().number(),
        error.code().name(),
        error.broker_code(),
        error.retryable(),
        error.throttled(),
        error.fatal(),
    ))
}

/// More than any wait: deadlines this far off can still be computed.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A length of time: seconds or a timedelta; longer than a century is a century.
pub(crate) struct Timeout(pub(crate) Duration);

impl FromPyObject<'_, '_> for Timeout {
    type Error = PyErr;

    fn extract(timeout: Borrowed<'_, '_, PyAny>) -> PyResult<Timeout> {
        let seconds: f64 = match timeout.extract() {
            Ok(seconds) => seconds,
            Err(_) => match timeout.call_method0(intern!(timeout.py(), "total_seconds")) {
                Ok(seconds) => seconds.extract()?,
                Err(_) => {
                    let kind = timeout.get_type().name()?;
                    return Err(PyTypeError::new_err(format!(
                        "a timeout is seconds or a timedelta, not {kind}"
                    )));
                }
            },
        };
        if seconds.is_nan() || seconds < 0.0 {
            let error =
                Error::new(ErrorCode::Argument, format!("the timeout is {seconds} seconds; give 0 or more"));
            return Err(Failure::from(error).into());
        }
        Ok(Timeout(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)))
    }
}

/// The core's length of time.
pub(crate) fn duration(timeout: Option<Timeout>) -> Option<Duration> {
    timeout.map(|timeout| timeout.0)
}

/// A queue on its way in: a tuple of topic, broker name and number.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct ToQueue(pub(crate) MessageQueue);

impl FromPyObject<'_, '_> for ToQueue {
    type Error = PyErr;

    fn extract(queue: Borrowed<'_, '_, PyAny>) -> PyResult<ToQueue> {
        let (topic, broker_name, queue_id) = queue.extract()?;
        Ok(ToQueue(MessageQueue { topic, broker_name, queue_id }))
    }
}

pub(crate) fn to_queues(queues: Vec<ToQueue>) -> Vec<MessageQueue> {
    queues.into_iter().map(|queue| queue.0).collect()
}

/// Makes a `libmq.MessageQueue`.
pub(crate) fn from_queue<'py>(
    py: Python<'py>,
    topic: &str,
    broker_name: &str,
    queue_id: i32,
) -> PyResult<Bound<'py, PyAny>> {
    static KIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    KIND.import(py, "libmq._types", "MessageQueue")?.call1((topic, broker_name, queue_id))
}

/// Makes `libmq.MessageQueue`s.
pub(crate) fn from_queues(py: Python<'_>, queues: Vec<MessageQueue>) -> PyResult<Bound<'_, PyList>> {
    let made = queues.iter().map(|queue| from_queue(py, &queue.topic, &queue.broker_name, queue.queue_id));
    PyList::new(py, made.collect::<PyResult<Vec<_>>>()?)
}

/// Settings for the core, which checks each name and value.
pub(crate) fn config(settings: HashMap<String, String>) -> Result<Config> {
    let mut config = Config::new();
    for (name, value) in settings {
        config.set(&name, &value)?;
    }
    Ok(config)
}

/// Copies the bytes of a bytes-like object.
pub(crate) fn bytes(body: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(body) = body.cast::<PyBytes>() {
        Ok(Bytes::copy_from_slice(body.as_bytes()))
    } else if let Ok(body) = body.cast::<PyByteArray>() {
        Ok(Bytes::from(body.to_vec()))
    } else if body.is_instance_of::<PyMemoryView>() {
        bytes(&body.call_method0("tobytes")?)
    } else {
        let kind = body.get_type().name()?;
        let hint = if kind == "str" { "; encode it, for instance with .encode()" } else { "" };
        Err(PyTypeError::new_err(format!(
            "the body must be bytes, bytearray or memoryview, not {kind}{hint}"
        )))
    }
}
