//! The reader of dead letters.

use pyo3::prelude::*;

use crate::convert::Result;
use crate::events::{Into, run};
use crate::message::MessageView;

/// Reads the dead letters of a group and sends them again; made by `Client.dead_letters`.
///
/// They stay where they are until they are too old for the broker.
#[pyclass(frozen, module = "libmq")]
pub(crate) struct DeadLetters(pub(crate) mq_binding::DeadLetters);

#[pymethods]
impl DeadLetters {
    /// Gives up to `max` dead letters that follow those read before, oldest first; none when there are no more.
    #[pyo3(signature = (max=32, _into=None), text_signature = "($self, max=32)")]
    fn read(&self, py: Python<'_>, max: usize, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |queue, tag| self.0.read_async(max, queue, tag))
    }

    /// Begins again with the oldest one.
    #[pyo3(signature = (_into=None), text_signature = "($self)")]
    fn rewind(&self, py: Python<'_>, _into: Into<'_>) -> Result<Py<PyAny>> {
        run(py, _into, |queue, tag| self.0.rewind_async(queue, tag))
    }

    /// Sends a dead letter to the topic that it was first sent to, as a new message, and waits for the broker's receipt.
    ///
    /// Raises the errors of `Producer.send`.
    #[pyo3(signature = (message, _into=None), text_signature = "($self, message)")]
    fn resend(&self, py: Python<'_>, message: &Bound<'_, MessageView>, _into: Into<'_>) -> Result<Py<PyAny>> {
        let letter = message.get().core();
        run(py, _into, |queue, tag| self.0.resend_async(letter, queue, tag))
    }
}
