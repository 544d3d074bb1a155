//! Messages to send, messages that arrived, receipts.

use std::borrow::Cow;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyBytes, PyDict, PyMapping};

use crate::convert::{Result, bytes, from_queue};

/// One key, or several.
#[derive(FromPyObject)]
pub(crate) enum Keys {
    #[pyo3(transparent)]
    One(String),
    #[pyo3(transparent)]
    Many(Vec<String>),
}

/// A message to send, checked when made; immutable, and it may be sent many times.
///
/// The body is bytes-like; keys are what the message can be looked up by; messages of one message group
/// go to one queue, in order; delay levels are the broker's, 1 to 18 (1 s to 2 h by default). Without `wait_store` the
/// broker answers before disk and replicas have the message.
#[pyclass(frozen, module = "libmq")]
pub(crate) struct Message(pub(crate) mq_binding::Message);

#[pymethods]
impl Message {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments")]
    #[pyo3(signature = (topic, body, *, tag=None, keys=None, properties=None, message_group=None, delay_level=None, wait_store=true))]
    fn new(
        topic: &str,
        body: &Bound<'_, PyAny>,
        tag: Option<String>,
        keys: Option<Keys>,
        properties: Option<&Bound<'_, PyMapping>>,
        message_group: Option<String>,
        delay_level: Option<u32>,
        wait_store: bool,
    ) -> Result<Message> {
        let mut message = mq_binding::Message::new(topic, bytes(body)?).wait_store(wait_store);
        message.tag = tag;
        message.keys = match keys {
            None => Vec::new(),
            Some(Keys::One(key)) => vec![key],
            Some(Keys::Many(keys)) => keys,
        };
        if let Some(properties) = properties {
            message.properties = properties.items()?.extract()?;
        }
        message.message_group = message_group;
        if let Some(level) = delay_level {
            message = message.delay_level(level);
        }
        message.check()?;
        Ok(Message(message))
    }

    /// Where it goes.
    #[getter]
    fn topic(&self) -> &str {
        &self.0.topic
    }

    /// What it says.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }

    /// What consumers filter by.
    #[getter]
    fn tag(&self) -> Option<&str> {
        self.0.tag.as_deref()
    }

    /// What it can be looked up by.
    #[getter]
    fn keys(&self) -> &[String] {
        &self.0.keys
    }

    /// The application's own properties.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.0.properties.iter().map(|(name, value)| (name, value)).into_py_dict(py)
    }

    /// Messages of one group go to one queue and stay in order.
    #[getter]
    fn message_group(&self) -> Option<&str> {
        self.0.message_group.as_deref()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (topic, tag, keys) = (repr(py, self.topic())?, repr(py, self.tag())?, repr(py, self.keys())?);
        Ok(format!("<libmq.Message topic={topic} tag={tag} keys={keys} body={} bytes>", self.0.body.len()))
    }
}

/// Python's `repr`.
fn repr<'py>(py: Python<'py>, value: impl IntoPyObjectExt<'py>) -> PyResult<String> {
    Ok(value.into_bound_py_any(py)?.repr()?.to_string())
}

/// A message that arrived; its parts are converted when asked for.
#[pyclass(frozen, module = "libmq")]
pub(crate) struct MessageView {
    view: mq_binding::MessageView,
    body: PyOnceLock<Py<PyBytes>>,
}

impl MessageView {
    pub(crate) fn new(view: mq_binding::MessageView) -> MessageView {
        MessageView { view, body: PyOnceLock::new() }
    }

    pub(crate) fn core(&self) -> &mq_binding::MessageView {
        &self.view
    }
}

#[pymethods]
impl MessageView {
    /// The topic it was sent to, also when it was delivered before.
    #[getter]
    fn topic(&self) -> &str {
        self.view.topic()
    }

    /// What it says, decompressed.
    #[getter]
    fn body(&self, py: Python<'_>) -> Py<PyBytes> {
        self.body.get_or_init(py, || PyBytes::new(py, &self.view.body()).unbind()).clone_ref(py)
    }

    /// The tag, if it has one.
    #[getter]
    fn tag(&self) -> Option<&str> {
        self.view.tag()
    }

    /// What it can be looked up by.
    #[getter]
    fn keys(&self) -> Vec<&str> {
        self.view.keys().collect()
    }

    /// All properties, RocketMQ's own ones included.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.view.properties().into_py_dict(py)
    }

    /// The message group, if it has one.
    #[getter]
    fn message_group(&self) -> Option<&str> {
        self.view.message_group()
    }

    /// The id that the sender gave it; the same at each delivery.
    #[getter]
    fn message_id(&self) -> Cow<'_, str> {
        self.view.message_id()
    }

    /// The broker's id: its address and the place in its log.
    #[getter]
    fn offset_message_id(&self) -> String {
        self.view.offset_message_id()
    }

    /// The broker that it came from.
    #[getter]
    fn broker_name(&self) -> &str {
        self.view.broker_name()
    }

    /// The queue within topic and broker.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.view.queue_id()
    }

    /// Where it was: topic, broker and number together.
    #[getter]
    fn queue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        from_queue(py, self.topic(), self.broker_name(), self.queue_id())
    }

    /// The place in the queue.
    #[getter]
    fn queue_offset(&self) -> i64 {
        self.view.queue_offset()
    }

    /// When it was sent, by the sender's clock: milliseconds since 1970 (UTC).
    #[getter]
    fn born_timestamp(&self) -> i64 {
        self.view.born_timestamp()
    }

    /// Who sent it, `host:port` as the broker saw it.
    #[getter]
    fn born_host(&self) -> String {
        self.view.born_host().to_string()
    }

    /// When it was stored, by the broker's clock: milliseconds since 1970 (UTC).
    #[getter]
    fn store_timestamp(&self) -> i64 {
        self.view.store_timestamp()
    }

    /// Who stored it, `host:port`.
    #[getter]
    fn store_host(&self) -> String {
        self.view.store_host().to_string()
    }

    /// How often it was given back before: 0 at first.
    #[getter]
    fn reconsume_times(&self) -> i32 {
        self.view.reconsume_times()
    }

    /// The number of this delivery: 1 at first.
    #[getter]
    fn delivery_attempt(&self) -> i32 {
        self.view.delivery_attempt()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (topic, id) = (repr(py, self.topic())?, repr(py, self.message_id())?);
        Ok(format!(
            "<libmq.MessageView topic={topic} message_id={id} delivery_attempt={}>",
            self.delivery_attempt()
        ))
    }
}

/// What the broker answers to a message, or to a list of messages, that it has taken.
#[pyclass(frozen, module = "libmq")]
pub(crate) struct SendReceipt(pub(crate) mq_binding::SendReceipt);

#[pymethods]
impl SendReceipt {
    /// The message's id; of a list the ids joined by commas.
    #[getter]
    fn message_id(&self) -> &str {
        &self.0.message_id
    }

    /// The broker's id: its address and the place in its log; of a list the ids joined by commas.
    #[getter]
    fn offset_message_id(&self) -> &str {
        &self.0.offset_message_id
    }

    /// The topic.
    #[getter]
    fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The broker that has it.
    #[getter]
    fn broker_name(&self) -> &str {
        &self.0.broker_name
    }

    /// The queue within topic and broker.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.0.queue_id
    }

    /// The place in the queue; of a list that of its first message.
    #[getter]
    fn queue_offset(&self) -> i64 {
        self.0.queue_offset
    }

    /// How safely it is stored, a SendStatus; stored it is in any case.
    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static KIND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        KIND.import(py, "libmq._types", "SendStatus")?.call1((self.0.status.name(),))
    }

    /// The id of the transaction, of transactional messages.
    #[getter]
    fn transaction_id(&self) -> Option<&str> {
        self.0.transaction_id.as_deref()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (topic, id) = (repr(py, self.topic())?, repr(py, self.message_id())?);
        let place = format!("queue_id={} queue_offset={}", self.queue_id(), self.queue_offset());
        Ok(format!(
            "<libmq.SendReceipt topic={topic} message_id={id} {place} status={}>",
            self.0.status.name()
        ))
    }
}
