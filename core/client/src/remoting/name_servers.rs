//! The NameServers of a cluster: one answers all questions until it fails, then the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use mq_protocol::{Frame, Header, RequestCode};
use tokio::time::Instant;

use super::{Peer, Remoting};
use crate::{Error, ErrorCode};

pub(crate) struct NameServers {
    peers: Vec<Arc<Peer>>,
    current: AtomicUsize,
}

impl NameServers {
    /// `start` chooses the first to be asked, so that clients spread over all.
    pub(crate) fn new(remoting: &Remoting, addresses: &[String], start: usize) -> NameServers {
        let peers: Vec<_> = addresses.iter().map(|address| remoting.peer(address)).collect();
        NameServers { current: AtomicUsize::new(start % peers.len().max(1)), peers }
    }

    pub(crate) fn peers(&self) -> &[Arc<Peer>] {
        &self.peers
    }

    pub(crate) fn contains(&self, address: &str) -> bool {
        self.peers.iter().any(|peer| peer.address() == address)
    }

    /// All addresses, for messages.
    pub(crate) fn names(&self) -> String {
        self.peers.iter().map(|peer| peer.address()).collect::<Vec<_>>().join(";")
    }

    /// Asks until one answers or the deadline passes; the time left is divided between those not asked yet.
    pub(crate) async fn call<'h, H: Header<'h> + Sync>(
        &self,
        remoting: &Remoting,
        code: RequestCode,
        header: &H,
        deadline: Instant,
    ) -> Result<(Frame, Arc<Peer>), Error> {
        let first = self.current.load(Ordering::Relaxed);
        let count = self.peers.len();
        let mut last = Error::new(ErrorCode::Config, "no NameServer is configured; set 'namesrv'");
        for turn in 0..count {
            let index = (first + turn) % count;
            let Some(peer) = self.peers.get(index) else { break };
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
