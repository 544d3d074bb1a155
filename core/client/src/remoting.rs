//! Connections to NameServers and brokers: one per address, made when needed and again when cut.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use mq_protocol::{Frame, Header, RequestCode, ResponseCode};
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::tasks::Tasks;
use crate::{ClientConfig, Error};

mod address;
mod connection;
mod discovery;
mod name_servers;
mod peer;

pub(crate) use address::{instance_of, parse_addresses};
pub(crate) use connection::{Bare, Connection, Options, Refused};
pub(crate) use name_servers::NameServers;
pub(crate) use peer::Peer;

/// What the owner of connections is told by them.
pub(crate) trait Inbound: Send + Sync {
    /// A server asks something; must not block.
    fn request(&self, frame: Frame, from: &Arc<Connection>);

    /// A connection to this address stands (again).
    fn connected(&self, address: &Arc<str>);
}

/// All connections of one client.
pub(crate) struct Remoting {
    options: Options,
    tasks: Arc<Tasks>,
    peers: RwLock<HashMap<Arc<str>, Arc<Peer>>>,
    inbound: OnceLock<Weak<dyn Inbound>>,
}

impl Remoting {
    pub(crate) fn new(config: &ClientConfig, tasks: Arc<Tasks>) -> Remoting {
        Remoting {
            options: Options::new(config),
            tasks,
            peers: RwLock::new(HashMap::new()),
            inbound: OnceLock::new(),
        }
    }

    /// Names the one who hears of requests; once, before the first connection.
    pub(crate) fn listen(&self, inbound: Weak<dyn Inbound>) {
        let _ = self.inbound.set(inbound);
    }

    /// The peer at this address; no connection is made by this.
    pub(crate) fn peer(&self, address: &str) -> Arc<Peer> {
        if let Some(peer) = self.peers.read().get(address) {
            return peer.clone();
        }
        let mut peers = self.peers.write();
        if let Some(peer) = peers.get(address) {
            return peer.clone();
        }
        let address: Arc<str> = address.into();
        let peer = Arc::new(Peer::new(address.clone()));
        peers.insert(address, peer.clone());
        peer
    }

    /// Forgets the peers that `keep` does not want and that nobody waits for.
    pub(crate) fn prune(&self, keep: impl Fn(&str) -> bool) {
        self.peers.write().retain(|address, peer| keep(address) || peer.is_busy());
    }

    /// Sends a request and waits for its answer, whatever its code, until `deadline`.
    pub(crate) async fn call<'h, H: Header<'h> + Sync>(
        &self,
        peer: &Arc<Peer>,
        code: RequestCode,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Frame, Error> {
        let connection = self.connection(peer, deadline).await?;
        connection.call(code, header, body, deadline).await
    }

    /// As [`Remoting::call`], but an answer other than success is an error.
    pub(crate) async fn ask<'h, H: Header<'h> + Sync>(
        &self,
        peer: &Arc<Peer>,
        code: RequestCode,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Frame, Error> {
        let frame = self.call(peer, code, header, body, deadline).await?;
        success(frame, code, peer.address())
    }

    /// Sends a request that gets no answer; resolves when it is handed to the connection.
    pub(crate) async fn tell<'h, H: Header<'h> + Sync>(
        &self,
        peer: &Arc<Peer>,
        code: RequestCode,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.connection(peer, deadline).await?.tell(code, header, body, deadline).await
    }

    /// The connection to a peer, made if there is none.
    pub(crate) async fn connection(
        &self,
        peer: &Arc<Peer>,
        deadline: Instant,
    ) -> Result<Arc<Connection>, Error> {
        if let Some(connection) = peer.open_connection() {
            return Ok(connection);
        }
        Box::pin(peer.connect(&self.options, &self.tasks, self.inbound.get(), deadline)).await
    }

    /// Cuts all connections.
    pub(crate) fn close(&self) {
        for (_, peer) in self.peers.write().drain() {
            peer.close();
        }
    }
}

/// Turns an answer other than success into an error that names request and server.
pub(crate) fn success(frame: Frame, code: RequestCode, address: &str) -> Result<Frame, Error> {
    if frame.response_code() == ResponseCode::SUCCESS {
        Ok(frame)
    } else {
        Err(refusal(&frame, code, address))
    }
}

/// The error for an answer that is not what was asked for.
pub(crate) fn refusal(frame: &Frame, code: RequestCode, address: &str) -> Error {
    Error::from_response(frame.response_code(), &frame.remark, &format!("{code} at {address}"))
}
