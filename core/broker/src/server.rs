//! Listening ports: accept connections, bound their number, close the idle ones, cut all of them at once.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tracing::{debug, info, warn};

mod budget;
mod connection;
mod exchange;
mod output;
mod peer;

use budget::{Budget, Share, Unanswered};
use connection::Allowance;
pub(crate) use exchange::{Answer, Call, Dispatch, Refusal, Reply, Scratch, reply};
pub(crate) use output::Output;
pub(crate) use peer::{InvokeError, Peer, PeerId};

/// What a listening port allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at one time over all ports of this server; more are closed at once.
    pub(crate) connections: usize,
    /// A connection without a byte in either direction for this long is closed (Apache:
    /// `serverChannelMaxIdleTimeSeconds`), and so is one whose frame stays incomplete for this long.
    pub(crate) idle: Duration,
    /// Bytes of unfinished frames at one time over all connections; the connection that would exceed it is closed.
    pub(crate) unfinished: usize,
    /// Requests at one time, over all connections, that are handled and not answered yet.
    pub(crate) unanswered: usize,
    /// The same of one connection.
    pub(crate) unanswered_per_connection: usize,
    /// While more bytes than this wait to be written, no further request of the connection is handled.
    pub(crate) output: usize,
    /// A connection that takes none of the bytes that wait for it for this long is closed.
    pub(crate) stall: Duration,
}

/// How long the kernel lets sent bytes stay without an acknowledgement before it gives the peer up.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// How long a stop waits for connections to write their last answers.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// One or more listening ports with the same handlers.
#[derive(Debug)]
pub(crate) struct Server {
    listeners: Vec<Arc<TcpListener>>,
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug)]
struct Shared {
    /// `namesrv` or `broker`, for log lines.
    name: &'static str,
    limits: Limits,
    next_id: AtomicU64,
    peers: Mutex<HashMap<PeerId, (Arc<Peer>, AbortHandle)>>,
    /// Told when the last connection has gone.
    empty: Notify,
    stop: watch::Sender<bool>,
    unfinished: Arc<Budget>,
    unanswered: Arc<AtomicUsize>,
}

/// Binds a listening port; port 0 takes a free one.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

impl Server {
    /// Begins to accept on bound ports. Must be called inside a tokio runtime.
    pub(crate) fn start<D: Dispatch>(
        name: &'static str,
        listeners: Vec<TcpListener>,
        dispatch: &Arc<D>,
        limits: Limits,
    ) -> Server {
        let shared = Arc::new(Shared {
            name,
            limits,
            next_id: AtomicU64::new(1),
            peers: Mutex::default(),
            empty: Notify::new(),
            stop: watch::channel(false).0,
            unfinished: Arc::new(Budget::new(limits.unfinished)),
            unanswered: Arc::default(),
        });
        let listeners: Vec<_> = listeners.into_iter().map(Arc::new).collect();
        let mut tasks: Vec<_> = listeners
            .iter()
            .map(|listener| {
                let accept = accept(listener.clone(), shared.clone(), dispatch.clone());
                tokio::spawn(accept).abort_handle()
            })
            .collect();
        tasks.push(tokio::spawn(sweep(shared.clone())).abort_handle());
        Server { listeners, shared, tasks }
    }

    /// Ends accepting, lets connections write the answers they have, then closes them.
    pub(crate) async fn stop(&self) {
        self.end_tasks();
        self.shared.stop.send_replace(true);
        let all_gone = async {
            loop {
                let gone = self.shared.empty.notified();
                if self.shared.peers.lock().is_empty() {
                    return;
                }
                gone.await;
            }
        };
        if tokio::time::timeout(STOP_GRACE, all_gone).await.is_err() {
            warn!(server = self.shared.name, "connections did not end in {STOP_GRACE:?}; cutting them");
        }
        self.cut_all();
    }

    /// Cuts every connection and closes the ports at once.
    pub(crate) fn kill(&self) {
        self.end_tasks();
        self.cut_all();
    }

    fn end_tasks(&self) {
        for task in &self.tasks {
            task.abort();
        }
        for listener in &self.listeners {
            // Frees the port now; the aborted task lets go of the socket a little later.
            let _ = SockRef::from(&**listener).shutdown(std::net::Shutdown::Both);
        }
    }

    fn cut_all(&self) {
        for (peer, task) in self.shared.peers.lock().values() {
            peer.cut("the server stops");
            task.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn accept<D: Dispatch>(listener: Arc<TcpListener>, shared: Arc<Shared>, dispatch: Arc<D>) {
    let mut refused = 0_u64;
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file handles or a connection that died in the queue: the port itself stays usable.
                warn!(server = shared.name, %error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if dispatch.refuses_connections() {
            continue;
        }
        let open = shared.peers.lock().len();
        if open >= shared.limits.connections {
            refused += 1;
            if refused.is_power_of_two() {
                let limit = shared.limits.connections;
                warn!(server = shared.name, %remote, refused, "connection closed: {open} are open, the limit is {limit}");
            }
            continue;
        }
        if let Err(error) = welcome(stream, remote, &shared, &dispatch) {
            debug!(server = shared.name, %remote, %error, "connection died before it began");
        }
    }
}

fn welcome<D: Dispatch>(
    stream: TcpStream,
    remote: SocketAddr,
    shared: &Arc<Shared>,
    dispatch: &Arc<D>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    // A peer that vanished without a word is noticed by the kernel.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(UNACKNOWLEDGED))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let local = stream.local_addr()?;
    let (reader, writer) = stream.into_split();
    let id = PeerId(shared.next_id.fetch_add(1, Ordering::Relaxed));
    let peer = Arc::new(Peer::new(id, remote, local, writer));
    let gone = Departure { peer: peer.clone(), shared: shared.clone(), dispatch: dispatch.clone() };
    let stop = shared.stop.subscribe();
    let allowance = Allowance {
        input: Share::of(&shared.unfinished),
        unanswered: Unanswered::new(&shared.unanswered, shared.limits),
        output: shared.limits.output,
    };
    // The table is locked while spawning, so that the task's departure finds its entry.
    let mut peers = shared.peers.lock();
    let task = tokio::spawn(async move {
        let name = gone.shared.name;
        let end = connection::run(reader, &gone.peer, &*gone.dispatch, allowance, stop).await;
        let cut = gone.peer.why_cut();
        match (end, cut) {
            (_, Some(reason)) => {
                info!(server = name, remote = %gone.peer.remote, "connection closed: {reason}")
            }
            (Ok(()), None) => debug!(server = name, remote = %gone.peer.remote, "connection closed by peer"),
            (Err(error), None) if error.is_fault() => {
                warn!(server = name, remote = %gone.peer.remote, "connection closed: {error}");
            }
            (Err(error), None) => {
                debug!(server = name, remote = %gone.peer.remote, "connection lost: {error}")
            }
        }
    });
    peers.insert(id, (peer, task.abort_handle()));
    Ok(())
}

/// Takes a connection out of all tables, however its task ended.
struct Departure<D: Dispatch> {
    peer: Arc<Peer>,
    shared: Arc<Shared>,
    dispatch: Arc<D>,
}

impl<D: Dispatch> Drop for Departure<D> {
    fn drop(&mut self) {
        self.peer.cut("the connection ended");
        self.dispatch.closed(&self.peer);
        let mut peers = self.shared.peers.lock();
        peers.remove(&self.peer.id);
        if peers.is_empty() {
            self.shared.empty.notify_waiters();
        }
    }
}

/// Closes connections that are idle, stuck in the middle of a frame, or do not take what is written to them.
async fn sweep(shared: Arc<Shared>) {
    let Limits { idle, stall, .. } = shared.limits;
    let mut tick =
        tokio::time::interval((idle.min(stall) / 8).clamp(Duration::from_millis(50), Duration::from_secs(5)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let peers: Vec<Arc<Peer>> = shared.peers.lock().values().map(|(peer, _)| peer.clone()).collect();
        for peer in peers {
            match peer.overdue(idle, stall) {
                Some(reason) => peer.cut(reason),
                None => peer.rest(),
            }
        }
    }
}
