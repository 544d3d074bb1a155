//! The embedded broker behind the bridge.

use std::time::Duration;

use mq_binding::Broker;

use crate::{Joined, Settings, call};

pub(crate) struct CoreBroker(Broker);

pub(crate) fn broker_start(settings: &Settings) -> Result<Box<CoreBroker>, Joined> {
    call(|| Broker::start(&settings.0).map(|broker| Box::new(CoreBroker(broker))))
}

impl CoreBroker {
    pub(crate) fn address(&self) -> Result<String, Joined> {
        call(|| self.0.address())
    }

    pub(crate) fn broker_address(&self) -> Result<String, Joined> {
        call(|| self.0.broker_address())
    }

    pub(crate) fn data_dir(&self) -> Result<String, Joined> {
        call(|| self.0.data_dir().map(|path| path.display().to_string()))
    }

    pub(crate) fn create_topic(&self, name: &str, queues: i32) -> Result<(), Joined> {
        call(|| self.0.create_topic(name, queues))
    }

    pub(crate) fn kill(&self) -> Result<(), Joined> {
        call(|| self.0.kill())
    }

    pub(crate) fn restart(&self) -> Result<(), Joined> {
        call(|| self.0.restart())
    }

    pub(crate) fn stop(&self) -> Result<(), Joined> {
        call(|| self.0.stop(None))
    }

    pub(crate) fn fail_next(&self, request: &str, response: &str, times: u32) -> Result<(), Joined> {
        call(|| self.0.fail_next(request, response, times))
    }

    pub(crate) fn delay_next(&self, request: &str, millis: u64, times: u32) -> Result<(), Joined> {
        call(|| self.0.delay_next(request, Duration::from_millis(millis), times))
    }

    pub(crate) fn drop_next(&self, request: &str, times: u32) -> Result<(), Joined> {
        call(|| self.0.drop_next(request, times))
    }

    pub(crate) fn lose_answer_next(&self, request: &str, times: u32) -> Result<(), Joined> {
        call(|| self.0.lose_answer_next(request, times))
    }

    pub(crate) fn refuse_connections(&self, refuse: bool) -> Result<(), Joined> {
        call(|| self.0.refuse_connections(refuse))
    }

    pub(crate) fn clear_faults(&self) -> Result<(), Joined> {
        call(|| self.0.clear_faults())
    }

    pub(crate) fn advance_clock(&self, millis: u64) -> Result<(), Joined> {
        call(|| self.0.advance_clock(Duration::from_millis(millis)))
    }

    pub(crate) fn set_clock(&self, millis: i64) -> Result<(), Joined> {
        call(|| self.0.set_clock(millis))
    }

    pub(crate) fn clock(&self) -> Result<i64, Joined> {
        call(|| self.0.clock())
    }
}
