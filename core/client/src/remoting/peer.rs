//! One server address: its connection, how it is made, and how long to wait after a failure.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{Connection, Inbound, Options};
use crate::tasks::Tasks;
use crate::{Error, ErrorCode};

const FIRST_BACK_OFF: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

pub(crate) struct Peer {
    address: Arc<str>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    link: Link,
    /// Failed attempts in a row.
    failures: u32,
}

enum Link {
    Idle,
    Connecting,
    Up(Arc<Connection>),
    /// The last attempt failed; the next may be made at `until`.
    Down {
        error: Error,
        until: Instant,
    },
    Closed,
}

impl Peer {
    pub(super) fn new(address: Arc<str>) -> Peer {
        Peer { address, state: Mutex::new(State { link: Link::Idle, failures: 0 }), changed: Notify::new() }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The connection if one stands.
    pub(crate) fn open_connection(&self) -> Option<Arc<Connection>> {
        match &self.state.lock().link {
            Link::Up(connection) if connection.is_open() => Some(connection.clone()),
            _ => None,
        }
    }

    /// Whether the last attempt to connect failed and none succeeded since.
    pub(crate) fn is_down(&self) -> bool {
        let state = self.state.lock();
        state.failures > 0 && !matches!(state.link, Link::Up(_))
    }

    pub(super) fn is_busy(&self) -> bool {
        match &self.state.lock().link {
            Link::Connecting => true,
            Link::Up(connection) => connection.is_waited_for(),
            _ => false,
        }
    }

    /// Waits for a connection; many callers share one attempt.
    pub(super) async fn connect(
        self: &Arc<Self>,
        options: &Options,
        tasks: &Arc<Tasks>,
        inbound: Option<&Weak<dyn Inbound>>,
        deadline: Instant,
    ) -> Result<Arc<Connection>, Error> {
        let mut waited = false;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let pause = {
                let mut state = self.state.lock();
                match &state.link {
                    Link::Up(connection) if connection.is_open() => return Ok(connection.clone()),
                    Link::Closed => return Err(Error::closed("the client")),
                    Link::Connecting => None,
                    Link::Down { error, .. } if waited => return Err(error.clone()),
                    Link::Down { until, .. } if *until > Instant::now() => Some(*until),
                    Link::Idle | Link::Up(_) | Link::Down { .. } => {
                        state.link = Link::Connecting;
                        let attempt = self.clone().attempt(options.clone(), tasks.clone(), inbound.cloned());
                        if !tasks.spawn(attempt) {
                            state.link = Link::Closed;
                            return Err(Error::closed("the client"));
                        }
                        None
                    }
                }
            };
            match pause {
                Some(until) if until < deadline => sleep_until(until).await,
                Some(_) => {
                    sleep_until(deadline).await;
                    return Err(self.late());
                }
                None => {
                    timeout_at(deadline, changed).await.map_err(|_| self.late())?;
                    waited = true;
                }
            }
        }
    }

    fn late(&self) -> Error {
        match &self.state.lock().link {
            Link::Down { error, .. } => error.clone(),
            _ => Error::network(&self.address, "not established in the time given for the call"),
        }
    }

    async fn attempt(
        self: Arc<Self>,
        options: Options,
        tasks: Arc<Tasks>,
        inbound: Option<Weak<dyn Inbound>>,
    ) {
        let result = open(&self.address, options.connect_timeout).await;
        let mut up = false;
        {
            let mut state = self.state.lock();
            if matches!(state.link, Link::Closed) {
                return;
            }
            match result {
                Ok(stream) => {
                    let (connection, driver) =
                        Connection::new(self.address.clone(), stream, &options, inbound.clone());
                    if tasks.spawn(driver.run()) {
                        state.link = Link::Up(connection);
                        state.failures = 0;
                        up = true;
                    } else {
                        state.link = Link::Closed;
                    }
                }
                Err(error) => {
                    let back_off = FIRST_BACK_OFF * 2_u32.saturating_pow(state.failures.min(16));
                    let until = Instant::now() + back_off.min(LONGEST_BACK_OFF);
                    tracing::debug!(address = %self.address, %error, "connecting failed");
                    state.link = Link::Down { error, until };
                    state.failures = state.failures.saturating_add(1);
                }
            }
        }
        if up && let Some(inbound) = inbound.and_then(|weak| weak.upgrade()) {
            inbound.connected(&self.address);
        }
        self.changed.notify_waiters();
    }

    pub(super) fn close(&self) {
        let link = std::mem::replace(&mut self.state.lock().link, Link::Closed);
        if let Link::Up(connection) = link {
            connection.close();
        }
        self.changed.notify_waiters();
    }
}

async fn open(address: &str, limit: Duration) -> Result<TcpStream, Error> {
    let refused = |cause: &dyn std::fmt::Display| {
        Error::new(
            ErrorCode::Network,
            format!("cannot connect to {address}: {cause}; check the address and that the server runs"),
        )
    };
    let stream = match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(refused(&error)),
        Err(_) => return Err(refused(&format_args!("no answer within {limit:?}"))),
    };
    let _ = stream.set_nodelay(true);
    // A port of the ephemeral range on which nobody listens can connect to itself.
    if stream.local_addr().ok().is_some_and(|local| stream.peer_addr().is_ok_and(|peer| peer == local)) {
        return Err(refused(&"nobody listens there"));
    }
    Ok(stream)
}
