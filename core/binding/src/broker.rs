//! The embedded broker: NameServer and broker inside the host's process, on free ports and a directory of their own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq_broker::testing::{Faults, RequestCode, ResponseCode, TestClock};
use mq_broker::{BrokerConfig, BrokerError};
use mq_client::{Error, ErrorCode};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::client::in_background;
use crate::config::Config;
use crate::deadline::deadline;
use crate::fork::Owned;
use crate::runtime::{Runtime, refuse_on_runtime_thread};

/// How long stopping may take when no time is given.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A NameServer and a broker inside this process. Clones share it; usable from any thread. All calls block.
///
/// Without the setting `data_dir` its data is in a temporary directory, which is removed when the last clone is
/// dropped; a stopped or killed broker can be started again on the same data until then.
#[derive(Clone, Debug)]
pub struct Broker(Arc<Owned<Inner>>);

struct Inner {
    /// As for the next start: with the ports that the last one got.
    config: Mutex<BrokerConfig>,
    /// Whether the ports were given, and must be had.
    fixed_ports: (bool, bool),
    addresses: Mutex<Addresses>,
    /// Outlive a restart, as the data does.
    clock: TestClock,
    faults: Faults,
    /// `None` while it does not run; locked while it is started or stopped.
    running: tokio::sync::Mutex<Option<Running>>,
    data_dir: PathBuf,
    /// Removed when dropped.
    temporary: Option<TempDir>,
}

struct Running {
    broker: mq_broker::Broker,
    runtime: Runtime,
}

struct Addresses {
    namesrv: String,
    broker: String,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl Broker {
    /// Starts a broker and waits until it accepts.
    ///
    /// Settings are those of Apache's `broker.conf`; also `data_dir`, `listen_port` and `namesrv_port`. Unless set, the
    /// directory is a temporary one and the ports are free ones, on loopback.
    ///
    /// # Errors
    /// CONFIG: a setting is not a broker's or has a bad value. IO: directory or port. STATE on a runtime thread.
    pub fn start(config: &Config) -> Result<Broker, Error> {
        refuse_on_runtime_thread("starting a broker")?;
        let mut settings = config.broker()?;
        let runtime = Runtime::share()?;
        let temporary = match config.get("data_dir") {
            Some(_) => None,
            None => Some(temporary_directory(&runtime)?),
        };
        if let Some(directory) = &temporary {
            settings.store_path_root_dir = directory.path().to_owned();
        }
        let inner = Inner {
            fixed_ports: (settings.listen_port != 0, settings.namesrv_listen_port != 0),
            data_dir: settings.store_path_root_dir.clone(),
            config: Mutex::new(settings),
            addresses: Mutex::new(Addresses { namesrv: String::new(), broker: String::new() }),
            clock: TestClock::default(),
            faults: Faults::default(),
            running: tokio::sync::Mutex::new(None),
            temporary,
        };
        runtime.block_on("starting a broker", async {
            let running = inner.start(&runtime).await?;
            *inner.running.lock().await = Some(running);
            Ok::<_, Error>(())
        })??;
        Ok(Broker(Arc::new(Owned::new("the broker", inner))))
    }

    /// `host:port` of its NameServer (of the NameServers that it registers at, if `namesrvAddr` is set): what a client wants.
    ///
    /// # Errors
    /// FORKED.
    pub fn address(&self) -> Result<String, Error> {
        Ok(self.0.get()?.addresses.lock().namesrv.clone())
    }

    /// `host:port` of the broker itself.
    ///
    /// # Errors
    /// FORKED.
    pub fn broker_address(&self) -> Result<String, Error> {
        Ok(self.0.get()?.addresses.lock().broker.clone())
    }

    /// The directory of its data.
    ///
    /// # Errors
    /// FORKED.
    pub fn data_dir(&self) -> Result<&Path, Error> {
        Ok(&self.0.get()?.data_dir)
    }

    /// Creates a topic with this number of queues, or changes the number.
    ///
    /// # Errors
    /// ARGUMENT: the name or the number is not acceptable. STATE: the broker does not run, or this is a runtime thread. FORKED.
    pub fn create_topic(&self, name: &str, queues: i32) -> Result<(), Error> {
        let inner = self.0.get()?;
        refuse_on_runtime_thread("creating a topic")?;
        match inner.running.blocking_lock().as_ref() {
            Some(running) => running.broker.create_topic(name, queues).map_err(failed),
            None => Err(Error::new(ErrorCode::State, "the broker does not run; restart it first")),
        }
    }

    /// Stops cleanly, within `timeout` (10 s if none is given). Its data stays. Stopping twice is no error.
    ///
    /// # Errors
    /// TIMEOUT: it was cut as by [`Broker::kill`]. STATE on a runtime thread, FORKED.
    pub fn stop(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let inner = self.0.get()?;
        refuse_on_runtime_thread("stopping a broker")?;
        inner.stop(deadline(timeout.unwrap_or(STOP_TIMEOUT)))
    }

    /// Ends it as `kill -9` would: connections are cut, nothing is flushed, the mark of an unclean stop stays.
    ///
    /// # Errors
    /// STATE on a runtime thread, FORKED.
    pub fn kill(&self) -> Result<(), Error> {
        let inner = self.0.get()?;
        refuse_on_runtime_thread("killing a broker")?;
        let Some(Running { broker, runtime }) = inner.running.blocking_lock().take() else { return Ok(()) };
        let kill = runtime.handle().spawn_blocking(move || broker.kill());
        let killed = runtime.block_on("killing a broker", kill)?;
        killed.map_err(|e| Error::new(ErrorCode::Internal, format!("killing the broker failed: {e}")))
    }

    /// Starts it again on the same data and the same ports; on others if somebody took free ones meanwhile. One that runs is stopped first.
    ///
    /// # Errors
    /// As [`Broker::start`]; FORKED.
    pub fn restart(&self) -> Result<(), Error> {
        let inner = self.0.get()?;
        refuse_on_runtime_thread("restarting a broker")?;
        inner.stop(deadline(STOP_TIMEOUT))?;
        let runtime = Runtime::share()?;
        runtime.block_on("restarting a broker", async {
            let mut running = inner.running.lock().await;
            if running.is_none() {
                *running = Some(inner.start(&runtime).await?);
            }
            Ok(())
        })?
    }
}

/// What tests do to a broker. Faults and the clock stay as they are over a stop, a kill and a restart.
///
/// Requests and answers are named as in RocketMQ (`SEND_MESSAGE`, `SYSTEM_BUSY`) or by their numbers. `SEND_MESSAGE`
/// stands for all requests that send, `PULL_MESSAGE` for both that pull. Several faults of one request apply one after
/// the other, in the order in which they were set.
impl Broker {
    /// The next `times` requests of this name are not carried out; their answer has the code `response`. Those that are
    /// answered with `FLUSH_DISK_TIMEOUT`, `SLAVE_NOT_AVAILABLE` or `FLUSH_SLAVE_TIMEOUT` are carried out, as these codes say.
    ///
    /// # Errors
    /// ARGUMENT: a name is not known. FORKED.
    pub fn fail_next(&self, request: &str, response: &str, times: u32) -> Result<(), Error> {
        self.0.get()?.faults.fail_next(request_code(request)?, response_code(response)?, times);
        Ok(())
    }

    /// The next `times` requests of this name are handled after `delay`; others go on meanwhile.
    ///
    /// # Errors
    /// As [`Broker::fail_next`].
    pub fn delay_next(&self, request: &str, delay: Duration, times: u32) -> Result<(), Error> {
        self.0.get()?.faults.delay_next(request_code(request)?, delay, times);
        Ok(())
    }

    /// The next `times` requests of this name are not carried out; their connections are closed.
    ///
    /// # Errors
    /// As [`Broker::fail_next`].
    pub fn drop_next(&self, request: &str, times: u32) -> Result<(), Error> {
        self.0.get()?.faults.drop_connection_next(request_code(request)?, times);
        Ok(())
    }

    /// The next `times` requests of this name are carried out, but not answered.
    ///
    /// # Errors
    /// As [`Broker::fail_next`].
    pub fn lose_answer_next(&self, request: &str, times: u32) -> Result<(), Error> {
        self.0.get()?.faults.lose_answer_next(request_code(request)?, times);
        Ok(())
    }

    /// Whether the broker closes new connections at once. Open ones stay, and its NameServer goes on accepting.
    ///
    /// # Errors
    /// FORKED.
    pub fn refuse_connections(&self, refuse: bool) -> Result<(), Error> {
        self.0.get()?.faults.refuse_connections(refuse);
        Ok(())
    }

    /// Takes all faults back.
    ///
    /// # Errors
    /// FORKED.
    pub fn clear_faults(&self) -> Result<(), Error> {
        self.0.get()?.faults.clear();
        Ok(())
    }

    /// Moves the broker's clock forward: delayed messages and retries that become due are delivered at once; locks,
    /// clients that do not answer and old files expire. Clients that are there stay.
    ///
    /// # Errors
    /// FORKED.
    pub fn advance_clock(&self, time: Duration) -> Result<(), Error> {
        self.0.get()?.clock.advance(time);
        Ok(())
    }

    /// Sets the broker's clock to this time in milliseconds since the epoch.
    ///
    /// # Errors
    /// FORKED.
    pub fn set_clock(&self, millis: i64) -> Result<(), Error> {
        self.0.get()?.clock.set_millis(millis);
        Ok(())
    }

    /// The broker's time in milliseconds since the epoch.
    ///
    /// # Errors
    /// FORKED.
    pub fn clock(&self) -> Result<i64, Error> {
        Ok(self.0.get()?.clock.now_millis())
    }
}

fn request_code(name: &str) -> Result<RequestCode, Error> {
    RequestCode::from_name(name).or_else(|| name.parse().ok().map(RequestCode)).ok_or_else(|| {
        Error::new(
            ErrorCode::Argument,
            format!(
                "'{name}' is no request; write a name such as SEND_MESSAGE or PULL_MESSAGE, or its number"
            ),
        )
    })
}

fn response_code(name: &str) -> Result<ResponseCode, Error> {
    ResponseCode::from_name(name).or_else(|| name.parse().ok().map(ResponseCode)).ok_or_else(|| {
        Error::new(
            ErrorCode::Argument,
            format!("'{name}' is no answer; write a name such as SYSTEM_BUSY or SYSTEM_ERROR, or its number"),
        )
    })
}

impl Inner {
    /// Starts with the settings as they are; remembers the ports for the next time.
    async fn start(&self, runtime: &Runtime) -> Result<Running, Error> {
        let mut config = self.config.lock().clone();
        let start = |config| mq_broker::Broker::start_with(config, self.clock.clone(), self.faults.clone());
        let broker = match start(config.clone()).await {
            Err(ref error) if self.may_change_ports(&config) && matches!(error, BrokerError::Bind { .. }) => {
                // Somebody else may have taken a port that was free before.
                if !self.fixed_ports.0 {
                    config.listen_port = 0;
                }
                if !self.fixed_ports.1 {
                    config.namesrv_listen_port = 0;
                }
                start(config.clone()).await
            }
            result => result,
        };
        let broker = broker.map_err(failed)?;
        let namesrv = broker.namesrv_addr();
        config.listen_port = broker.broker_addr().port();
        if let Some(address) = namesrv {
            config.namesrv_listen_port = address.port();
        }
        let mut addresses = self.addresses.lock();
        addresses.broker = broker.broker_addr().to_string();
        addresses.namesrv = match namesrv {
            Some(address) => address.to_string(),
            None => config.namesrv_addr.0.join(";"),
        };
        drop(addresses);
        *self.config.lock() = config;
        Ok(Running { broker, runtime: runtime.clone() })
    }

    fn may_change_ports(&self, config: &BrokerConfig) -> bool {
        (!self.fixed_ports.0 && config.listen_port != 0)
            || (!self.fixed_ports.1 && config.namesrv_listen_port != 0)
    }

    fn stop(&self, deadline: Instant) -> Result<(), Error> {
        let Some(Running { broker, runtime }) = self.running.blocking_lock().take() else { return Ok(()) };
        let stopped = runtime.block_on("stopping a broker", async {
            tokio::time::timeout_at(deadline.into(), broker.stop()).await
        })?;
        match stopped {
            Ok(result) => result.map_err(failed),
            Err(_) => {
                broker.kill();
                Err(Error::new(ErrorCode::Timeout, "the broker did not stop in time; it was ended at once"))
            }
        }
    }
}

/// A new directory; made on a thread of the library, because making its name keeps memory for each thread that does.
fn temporary_directory(runtime: &Runtime) -> Result<TempDir, Error> {
    let make = runtime.handle().spawn_blocking(|| TempDir::with_prefix("mq-broker-"));
    let made = runtime.block_on("making a directory", make)?;
    made.map_err(std::io::Error::other).flatten().map_err(|e| {
        Error::new(
            ErrorCode::Io,
            format!("no temporary directory for the broker's data: {e}; set 'data_dir'"),
        )
    })
}

/// What a broker's error is to an application.
fn failed(error: BrokerError) -> Error {
    let code = match error {
        BrokerError::Config(_) => ErrorCode::Config,
        BrokerError::Bind { .. } | BrokerError::ConfigFile { .. } | BrokerError::Store(_) => ErrorCode::Io,
        BrokerError::Refused(_) => ErrorCode::Argument,
    };
    Error::new(code, error.to_string())
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(Running { broker, runtime }) = self.running.get_mut().take() else { return };
        let directory = self.temporary.take();
        let stopping = in_background("mq-stop", move || {
            // On a thread of its own, so it can block; that it took too long has nobody to be told to.
            let stop = async { tokio::time::timeout(STOP_TIMEOUT, broker.stop()).await };
            let _ = runtime.block_on("stopping a broker", stop);
            drop(directory);
        });
        if let Err(error) = stopping {
            tracing::warn!(%error, "a broker was dropped without being stopped");
        }
    }
}
