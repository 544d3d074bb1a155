//! The NameServers of a cluster: one answers all questions until it fails, then the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use mq_protocol::{Frame, Header, RequestCode};
use parking_lot::RwLock;
use tokio::time::{Instant, timeout_at};

use super::discovery::Discovery;
use super::{Peer, Remoting};
use crate::{ClientConfig, Error, ErrorCode};

pub(crate) struct NameServers {
    peers: RwLock<Arc<[Arc<Peer>]>>,
    current: AtomicUsize,
    /// `None` if the addresses are in the settings.
    discovery: Option<Discovery>,
    /// Only one asks for the addresses at a time.
    finding: tokio::sync::Mutex<()>,
}

impl NameServers {
    /// `start` chooses the first to be asked, so that clients spread over all.
    pub(crate) fn new(remoting: &Remoting, config: &ClientConfig, start: usize) -> NameServers {
        let peers: Arc<[_]> = config.namesrv.iter().map(|address| remoting.peer(address)).collect();
        NameServers {
            current: AtomicUsize::new(start),
            peers: RwLock::new(peers),
            discovery: config.namesrv.is_empty().then(|| Discovery::new(config)),
            finding: tokio::sync::Mutex::new(()),
        }
    }

    fn peers(&self) -> Arc<[Arc<Peer>]> {
        self.peers.read().clone()
    }

    pub(crate) fn contains(&self, address: &str) -> bool {
        self.peers.read().iter().any(|peer| peer.address() == address)
    }

    /// All addresses, for messages.
    pub(crate) fn names(&self) -> String {
        self.peers.read().iter().map(|peer| peer.address()).collect::<Vec<_>>().join(";")
    }

    /// Whether the addresses are to be asked for again from time to time.
    pub(crate) fn are_discovered(&self) -> bool {
        self.discovery.is_some()
    }

    /// Asks for the addresses, unless they are in the settings; those known stay if that fails.
    pub(crate) async fn find(&self, remoting: &Remoting) -> Result<(), Error> {
        let Some(discovery) = &self.discovery else { return Ok(()) };
        let addresses = discovery.ask().await?;
        let known = self.peers();
        if known.iter().map(|peer| peer.address()).eq(addresses.iter().map(String::as_str)) {
            return Ok(());
        }
        tracing::info!(namesrv = addresses.join(";"), "NameServers found");
        *self.peers.write() = addresses.iter().map(|address| remoting.peer(address)).collect();
        Ok(())
    }

    /// The peers; asked for if they are not known yet.
    pub(crate) async fn known(
        &self,
        remoting: &Remoting,
        deadline: Instant,
    ) -> Result<Arc<[Arc<Peer>]>, Error> {
        let peers = self.peers();
        if !peers.is_empty() {
            return Ok(peers);
        }
        let finding = async {
            let _turn = self.finding.lock().await;
            if self.peers.read().is_empty() { self.find(remoting).await } else { Ok(()) }
        };
        timeout_at(deadline, finding).await.map_err(|_| {
            Error::new(ErrorCode::Timeout, "the addresses of the NameServers did not arrive in time")
        })??;
        Ok(self.peers())
    }

    /// Asks until one answers or the deadline passes; the time left is divided between those not asked yet.
    pub(crate) async fn call<'h, H: Header<'h> + Sync>(
        &self,
        remoting: &Remoting,
        code: RequestCode,
        header: &H,
        deadline: Instant,
    ) -> Result<(Frame, Arc<Peer>), Error> {
        let peers = self.known(remoting, deadline).await?;
        let count = peers.len();
        let first = self.current.load(Ordering::Relaxed) % count.max(1);
        let mut last = Error::new(ErrorCode::Config, "no NameServer is configured; set 'namesrv'");
        for turn in 0..count {
            let index = (first + turn) % count;
            let Some(peer) = peers.get(index) else { break };
            let now = Instant::now();
            let share = deadline.saturating_duration_since(now) / u32::try_from(count - turn).unwrap_or(1);
            match remoting.call(peer, code, header, &Bytes::new(), now + share).await {
                Ok(frame) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok((frame, peer.clone()));
                }
                Err(error) => {
                    if turn + 1 < count {
                        tracing::warn!(namesrv = peer.address(), %error, "NameServer fails, asking the next");
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }
}
