//! The NameServer: brokers register at it, clients ask it for routes. Starts alone or inside a broker's process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::task::AbortHandle;
use tracing::info;

use crate::config::NameServerConfig;
use crate::error::BrokerError;
use crate::server::{Server, bind};
use crate::testing::Faults;

mod handler;
mod kv;
mod registration;
mod routes;

pub(crate) use routes::{Identity, Origin, Registration, Routes};

use kv::KvConfig;

/// What the NameServer's handlers work on.
#[derive(Debug)]
struct State {
    config: RwLock<NameServerConfig>,
    routes: Arc<Routes>,
    kv: KvConfig,
    faults: Faults,
}

/// A running NameServer. Dropping it stops it at once.
#[derive(Debug)]
pub struct NameServer {
    state: Arc<State>,
    server: Server,
    address: SocketAddr,
    expiry: AbortHandle,
}

impl NameServer {
    /// Starts to listen; must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The port cannot be bound, or the key-value file cannot be read.
    pub async fn start(config: NameServerConfig) -> Result<NameServer, BrokerError> {
        NameServer::start_with(config, Faults::default()).await
    }

    /// As [`NameServer::start`], with faults that tests set.
    pub(crate) async fn start_with(
        config: NameServerConfig,
        faults: Faults,
    ) -> Result<NameServer, BrokerError> {
        let wanted = SocketAddr::new(config.bind_address, config.listen_port);
        let listener = bind(wanted).await.map_err(|source| BrokerError::Bind {
            what: "NameServer",
            address: wanted,
            source,
        })?;
        let address = listener.local_addr().map_err(|source| BrokerError::Bind {
            what: "NameServer",
            address: wanted,
            source,
        })?;
        let kv = KvConfig::load(config.kv_config_path.clone()).map_err(|source| BrokerError::ConfigFile {
            file: config.kv_config_path.clone().unwrap_or_default(),
            reason: source.to_string(),
        })?;
        let limits = config.limits();
        let scan = Duration::from_millis(config.scan_not_active_broker_interval);
        let state = Arc::new(State { config: RwLock::new(config), routes: Arc::default(), kv, faults });
        let server = Server::start("namesrv", vec![listener], &state, limits);
        let expiring = state.clone();
        let expiry = tokio::spawn(async move {
            let mut tick = tokio::time::interval(scan);
            loop {
                tick.tick().await;
                expiring.routes.expire();
            }
        });
        info!(%address, "NameServer listens");
        Ok(NameServer { state, server, address, expiry: expiry.abort_handle() })
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops: connections get the answers that are ready, then everything is closed.
    pub async fn stop(&self) {
        self.expiry.abort();
        self.server.stop().await;
    }

    /// Cuts everything at once.
    pub fn kill(&self) {
        self.expiry.abort();
        self.server.kill();
    }

    /// The routes, for the broker of this process.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.state.routes.clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.kill();
    }
}
