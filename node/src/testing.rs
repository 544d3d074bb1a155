//! The embedded broker. Its calls block, so they run on libuv's worker threads and give promises.

use std::cell::RefCell;

use mq_binding::{Error, ErrorCode};
use napi::bindgen_prelude::{AsyncTask, Env, Task, ToNapiValue, TypeName};
use napi_derive::napi;

use crate::client::{config, limit};
use crate::error::{Throw, thrown};

/// A blocking call, and its error until it is thrown.
pub struct Blocking<T> {
    work: Option<Box<dyn FnOnce() -> Result<T, Error> + Send>>,
    error: Option<Error>,
}

fn blocking<T>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> AsyncTask<Blocking<T>>
where
    T: Send + ToNapiValue + TypeName + 'static,
{
    AsyncTask::new(Blocking { work: Some(Box::new(work)), error: None })
}

impl<T: Send + ToNapiValue + TypeName + 'static> Task for Blocking<T> {
    type Output = T;
    type JsValue = T;

    fn compute(&mut self) -> napi::Result<T> {
        let done = self.work.take().map(|work| mq_binding::fence(work));
        match done {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => {
                let placeholder = napi::Error::from_reason(error.message());
                self.error = Some(error);
                Err(placeholder)
            }
            None => Err(napi::Error::from_reason("a task runs once")),
        }
    }

    fn resolve(&mut self, _: Env, value: T) -> napi::Result<T> {
        Ok(value)
    }

    fn reject(&mut self, env: Env, placeholder: napi::Error) -> napi::Result<T> {
        Err(self.error.take().map_or(placeholder, |error| thrown(&env, &error)))
    }
}

/// A NameServer and a broker in this process; empty once closed.
#[napi]
pub struct Broker(RefCell<Option<mq_binding::Broker>>);

#[napi]
impl Broker {
    /// Starts one; resolves with it.
    #[napi]
    pub fn start(settings: Vec<String>) -> AsyncTask<Blocking<Broker>> {
        blocking(move || Ok(Broker(RefCell::new(Some(mq_binding::Broker::start(&config(&settings)?)?)))))
    }

    /// The address of its NameServer, its own address, and where its data is.
    #[napi]
    pub fn place(&self, env: Env) -> napi::Result<Vec<String>> {
        let place = |broker: mq_binding::Broker| {
            Ok(vec![broker.address()?, broker.broker_address()?, broker.data_dir()?.display().to_string()])
        };
        self.open().and_then(place).throw(env)
    }

    /// Creates a topic.
    #[napi]
    pub fn create_topic(&self, name: String, queues: i32) -> AsyncTask<Blocking<()>> {
        let broker = self.open();
        blocking(move || broker?.create_topic(&name, queues))
    }

    /// Ends it as `kill -9` would.
    #[napi]
    pub fn kill(&self) -> AsyncTask<Blocking<()>> {
        let broker = self.open();
        blocking(move || broker?.kill())
    }

    /// Starts it again on the same data.
    #[napi]
    pub fn restart(&self) -> AsyncTask<Blocking<()>> {
        let broker = self.open();
        blocking(move || broker?.restart())
    }

    /// Stops it; its data stays.
    #[napi]
    pub fn stop(&self) -> AsyncTask<Blocking<()>> {
        let broker = self.open();
        blocking(move || broker?.stop(None))
    }

    /// Stops it and lets it go with its temporary directory.
    #[napi]
    pub fn close(&self) -> AsyncTask<Blocking<()>> {
        let broker = self.0.take();
        blocking(move || broker.map_or(Ok(()), |broker| broker.stop(None)))
    }

    /// As `close`, at once: the process ends and nobody is there to be told.
    #[napi]
    pub fn close_now(&self) {
        if let Some(broker) = self.0.take() {
            let _ = broker.stop(None);
        }
    }

    /// A fault for the next `times` requests: `fail` with the answer `code`, `delay` by milliseconds, `drop` or `lose_answer`.
    #[napi]
    pub fn fault(
        &self,
        env: Env,
        kind: String,
        request: String,
        times: u32,
        code: Option<String>,
        delay: Option<f64>,
    ) -> napi::Result<()> {
        let set = |broker: mq_binding::Broker| match kind.as_str() {
            "fail" => broker.fail_next(&request, &code.unwrap_or_default(), times),
            "delay" => broker.delay_next(&request, limit(delay).unwrap_or_default(), times),
            "drop" => broker.drop_next(&request, times),
            _ => broker.lose_answer_next(&request, times),
        };
        self.open().and_then(set).throw(env)
    }

    /// Whether new connections are closed at once.
    #[napi]
    pub fn refuse_connections(&self, env: Env, refuse: bool) -> napi::Result<()> {
        let set = |broker: mq_binding::Broker| broker.refuse_connections(refuse);
        self.open().and_then(set).throw(env)
    }

    /// Takes all faults back.
    #[napi]
    pub fn clear_faults(&self, env: Env) -> napi::Result<()> {
        let clear = |broker: mq_binding::Broker| broker.clear_faults();
        self.open().and_then(clear).throw(env)
    }

    /// Moves its clock forward by milliseconds.
    #[napi]
    pub fn advance_clock(&self, env: Env, millis: f64) -> napi::Result<()> {
        let advance =
            |broker: mq_binding::Broker| broker.advance_clock(limit(Some(millis)).unwrap_or_default());
        self.open().and_then(advance).throw(env)
    }

    /// Puts its clock to milliseconds since the epoch.
    #[napi]
    pub fn set_clock(&self, env: Env, millis: i64) -> napi::Result<()> {
        let set = |broker: mq_binding::Broker| broker.set_clock(millis);
        self.open().and_then(set).throw(env)
    }

    /// Its time in milliseconds since the epoch.
    #[napi]
    pub fn clock(&self, env: Env) -> napi::Result<i64> {
        self.open().and_then(|broker| broker.clock()).throw(env)
    }

    fn open(&self) -> Result<mq_binding::Broker, Error> {
        let closed = || Error::new(ErrorCode::Closed, "the broker is closed; start a new one");
        self.0.borrow().clone().ok_or_else(closed)
    }
}
