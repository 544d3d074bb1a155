//! The embedded broker, and the core's log.

use std::collections::HashMap;
use std::ffi::OsString;

use mq_binding::{Error, ErrorCode, Event, LogLevel, Queue, set_log_queue};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::convert::{Result, Timeout, config};
use crate::events::NAP;

/// A NameServer and a broker in this process.
#[pyclass(frozen)]
pub(crate) struct Broker(Mutex<Option<mq_binding::Broker>>);

impl Broker {
    fn core(&self) -> Result<mq_binding::Broker> {
        let closed = || Error::new(ErrorCode::Closed, "the broker is closed; make a new one");
        Ok(self.0.lock().clone().ok_or_else(closed)?)
    }
}

#[pymethods]
impl Broker {
    #[new]
    fn new(py: Python<'_>, settings: HashMap<String, String>) -> Result<Broker> {
        let config = config(settings)?;
        Ok(Broker(Mutex::new(Some(py.detach(|| mq_binding::Broker::start(&config))?))))
    }

    #[getter]
    fn address(&self) -> Result<String> {
        Ok(self.core()?.address()?)
    }

    #[getter]
    fn broker_address(&self) -> Result<String> {
        Ok(self.core()?.broker_address()?)
    }

    #[getter]
    fn data_dir(&self) -> Result<OsString> {
        Ok(self.core()?.data_dir()?.as_os_str().to_owned())
    }

    fn create_topic(&self, py: Python<'_>, name: &str, queues: i32) -> Result<()> {
        let core = self.core()?;
        Ok(py.detach(|| core.create_topic(name, queues))?)
    }

    fn stop(&self, py: Python<'_>) -> Result<()> {
        let core = self.core()?;
        Ok(py.detach(|| core.stop(None))?)
    }

    fn kill(&self, py: Python<'_>) -> Result<()> {
        let core = self.core()?;
        Ok(py.detach(|| core.kill())?)
    }

    fn restart(&self, py: Python<'_>) -> Result<()> {
        let core = self.core()?;
        Ok(py.detach(|| core.restart())?)
    }

    fn fail_next(&self, request: &str, code: &str, times: u32) -> Result<()> {
        Ok(self.core()?.fail_next(request, code, times)?)
    }

    fn delay_next(&self, request: &str, delay: Timeout, times: u32) -> Result<()> {
        Ok(self.core()?.delay_next(request, delay.0, times)?)
    }

    fn drop_next(&self, request: &str, times: u32) -> Result<()> {
        Ok(self.core()?.drop_next(request, times)?)
    }

    fn lose_answer_next(&self, request: &str, times: u32) -> Result<()> {
        Ok(self.core()?.lose_answer_next(request, times)?)
    }

    fn refuse_connections(&self, refuse: bool) -> Result<()> {
        Ok(self.core()?.refuse_connections(refuse)?)
    }

    fn clear_faults(&self) -> Result<()> {
        Ok(self.core()?.clear_faults()?)
    }

    fn advance_clock(&self, py: Python<'_>, time: Timeout) -> Result<()> {
        let core = self.core()?;
        Ok(py.detach(|| core.advance_clock(time.0))?)
    }

    fn set_clock(&self, py: Python<'_>, millis: i64) -> Result<()> {
        let core = self.core()?;
        Ok(py.detach(|| core.set_clock(millis))?)
    }

    fn clock(&self) -> Result<i64> {
        Ok(self.core()?.clock()?)
    }

    /// Gives it up, with its data if they are temporary.
    fn close(&self, py: Python<'_>) {
        let core = self.0.lock().take();
        py.detach(|| drop(core));
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
