//! The embedded broker, and the core's log.

use std::collections::HashMap;
use std::ffi::OsString;

use mq_binding::{Event, LogLevel, Queue, set_log_queue};
use pyo3::prelude::*;

use crate::convert::{Result, config};
use crate::events::NAP;

/// A NameServer and a broker in this process.
#[pyclass(frozen)]
pub(crate) struct Broker(mq_binding::Broker);

#[pymethods]
impl Broker {
    #[new]
    fn new(py: Python<'_>, settings: HashMap<String, String>) -> Result<Broker> {
        let config = config(settings)?;
        Ok(Broker(py.detach(|| mq_binding::Broker::start(&config))?))
    }

    #[getter]
    fn address(&self) -> Result<String> {
        Ok(self.0.address()?)
    }

    #[getter]
    fn broker_address(&self) -> Result<String> {
        Ok(self.0.broker_address()?)
    }

    #[getter]
    fn data_dir(&self) -> Result<OsString> {
        Ok(self.0.data_dir()?.as_os_str().to_owned())
    }

    fn create_topic(&self, py: Python<'_>, name: &str, queues: i32) -> Result<()> {
        Ok(py.detach(|| self.0.create_topic(name, queues))?)
    }

    fn stop(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| self.0.stop(None))?)
    }

    fn kill(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| self.0.kill())?)
    }

    fn restart(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| self.0.restart())?)
    }
}

/// The core's log lines, for a thread that passes them on.
#[pyclass(frozen)]
pub(crate) struct Logs(Queue);

#[pymethods]
impl Logs {
    /// Begins to collect lines up to a level, 1 (errors) to 5 (everything).
    #[new]
    fn new(level: i32) -> Result<Logs> {
        let queue = Queue::new();
        set_log_queue(Some(&queue), LogLevel::from_number(level).unwrap_or(LogLevel::Trace))?;
        Ok(Logs(queue))
    }

    /// Waits for the next lines: level, target, text; None when closed and all are taken.
    fn next(&self, py: Python<'_>) -> Option<Vec<(u8, String, String)>> {
        loop {
            let mut events = Vec::new();
            py.detach(|| self.0.poll(&mut events, 256, NAP)).ok()?;
            let lines = events.into_iter().filter_map(|event| match event {
                Event::Log { level, target, message } => Some((level as u8, target, message)),
                _ => None,
            });
            let lines: Vec<_> = lines.collect();
            if !lines.is_empty() {
                return Some(lines);
            }
        }
    }

    /// Collects no more lines, and lets `next` end after those that are there.
    fn close(&self, py: Python<'_>) -> Result<()> {
        py.detach(|| set_log_queue(None, LogLevel::Off))?;
        Ok(self.0.close()?)
    }
}
