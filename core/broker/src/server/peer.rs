//! The handle of one connection: other tasks send through it, call the peer, wake held requests, or cut it off.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mq_protocol::{Encoding, Frame};
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, oneshot};

/// Identity of a connection within its server; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerId(pub(crate) u64);

/// Most letters that wait for one connection's task; a peer that lets more pile up does not read.
const MAX_LETTERS: usize = 32 * 1024;
/// Most bytes of frames that wait for one connection's task.
const MAX_LETTER_BYTES: usize = 8 * 1024 * 1024;
/// Most calls to one peer that wait for its answer.
const MAX_CALLS: usize = 1024;
/// A connection that moved no byte for this long gives its buffers back.
const REST: Duration = Duration::from_secs(10);

/// What other tasks leave for a connection's task.
#[derive(Debug)]
pub(super) enum Letter {
    /// Write this frame.
    Send(Frame),
    /// Handle this request again: what it waited for may have happened.
    Resume(Frame),
    /// Handle this request now, which a fault has delayed.
    Handle(Frame),
}

#[derive(Debug, Default)]
struct Mailbox {
    letters: Vec<Letter>,
    bytes: usize,
}

/// Why a call to a peer has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvokeError {
    #[error("the client did not answer in time")]
    Timeout,
    #[error("the client's connection was closed")]
    Closed,
    #[error("too many calls to this client are unanswered")]
    Full,
}

/// One connection as others see it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    /// Address of the other side.
    pub(crate) remote: SocketAddr,
    /// Our address on this connection: one that this peer can reach.
    pub(crate) local: SocketAddr,
    /// Only the connection's task writes; others only shut it down.
    pub(super) socket: OwnedWriteHalf,
    mailbox: Mutex<Mailbox>,
    has_mail: AtomicBool,
    may_rest: AtomicBool,
    pub(super) wake: Notify,
    calls: Mutex<HashMap<i32, oneshot::Sender<Frame>>>,
    next_opaque: AtomicI32,
    /// Whether the last request's header was binary; what the server sends on its own follows it.
    binary: AtomicBool,
    cut: Mutex<Option<&'static str>>,
    clock: Clock,
}

/// Times in milliseconds since `start`; 0 stands for "not".
#[derive(Debug)]
struct Clock {
    start: Instant,
    active: AtomicU64,
    /// The time of activity after which the connection was told to rest.
    rested: AtomicU64,
    frame_began: AtomicU64,
    write_blocked: AtomicU64,
}

impl Clock {
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// An IPv4 address that arrived in IPv6 clothes, undressed.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl Peer {
    pub(super) fn new(id: PeerId, remote: SocketAddr, local: SocketAddr, socket: OwnedWriteHalf) -> Peer {
        Peer {
            id,
            remote: plain(remote),
            local: plain(local),
            socket,
            mailbox: Mutex::default(),
            has_mail: AtomicBool::new(false),
            may_rest: AtomicBool::new(false),
            wake: Notify::new(),
            calls: Mutex::default(),
            next_opaque: AtomicI32::new(1),
            binary: AtomicBool::new(false),
            cut: Mutex::new(None),
            clock: Clock {
                start: Instant::now(),
                active: AtomicU64::new(1),
                rested: AtomicU64::new(0),
                frame_began: AtomicU64::new(0),
                write_blocked: AtomicU64::new(0),
            },
        }
    }

    /// Ends the connection from outside; the first reason is the one that is logged.
    pub(crate) fn cut(&self, reason: &'static str) {
        {
            let mut cut = self.cut.lock();
            if cut.is_some() {
                return;
            }
            *cut = Some(reason);
        }
        let _ = SockRef::from(self.socket.as_ref()).shutdown(std::net::Shutdown::Both);
        self.wake.notify_one();
        // Whoever waits for an answer of this peer learns that none will come.
        self.calls.lock().clear();
    }

    pub(super) fn why_cut(&self) -> Option<&'static str> {
        *self.cut.lock()
    }

    pub(super) fn is_cut(&self) -> bool {
        self.why_cut().is_some()
    }

    /// Queues a request of the server's own or a late answer. A peer that lets too many pile up is cut off.
    pub(crate) fn send(&self, mut frame: Frame) {
        if !frame.is_response() {
            frame.encoding =
                if self.binary.load(Ordering::Relaxed) { Encoding::Binary } else { Encoding::Json };
        }
        self.post(Letter::Send(frame));
    }

    /// Has the connection's task handle a held request again.
    pub(crate) fn resume(&self, request: Frame) {
        self.post(Letter::Resume(request));
    }

    /// Has the connection's task handle a request that has been delayed.
    pub(super) fn handle_later(self: &Arc<Self>, request: Frame, delay: Duration) {
        let peer = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            peer.post(Letter::Handle(request));
        });
    }

    fn post(&self, letter: Letter) {
        let bytes = match &letter {
            Letter::Send(frame) => frame.body.len(),
            Letter::Resume(_) | Letter::Handle(_) => 0,
        };
        let full = {
            let mut mailbox = self.mailbox.lock();
            let full = mailbox.letters.len() >= MAX_LETTERS || mailbox.bytes + bytes > MAX_LETTER_BYTES;
            if !full {
                mailbox.letters.push(letter);
                mailbox.bytes += bytes;
                self.has_mail.store(true, Ordering::Release);
            }
            full
        };
        if full {
            self.cut("the peer does not read what is sent to it");
        } else {
            self.wake.notify_one();
        }
    }

    /// Moves the letters that wait behind those in `letters`.
    pub(super) fn take_letters(&self, letters: &mut VecDeque<Letter>) {
        if self.has_mail.load(Ordering::Acquire) {
            let mut mailbox = self.mailbox.lock();
            letters.extend(mailbox.letters.drain(..));
            mailbox.bytes = 0;
            self.has_mail.store(false, Ordering::Release);
        }
    }

    /// Sends a request and waits for the peer's answer.
    pub(crate) async fn invoke(&self, mut request: Frame, timeout: Duration) -> Result<Frame, InvokeError> {
        let opaque = self.next_opaque.fetch_add(1, Ordering::Relaxed);
        request.opaque = opaque;
        let answer = {
            let mut calls = self.calls.lock();
            if self.is_cut() {
                return Err(InvokeError::Closed);
            }
            if calls.len() >= MAX_CALLS {
                return Err(InvokeError::Full);
            }
            let (sender, receiver) = oneshot::channel();
            calls.insert(opaque, sender);
            receiver
        };
        self.send(request);
        let answer = tokio::time::timeout(timeout, answer).await;
        self.calls.lock().remove(&opaque);
        match answer {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(_)) => Err(InvokeError::Closed),
            Err(_) => Err(InvokeError::Timeout),
        }
    }

    /// Hands the peer's answer to whoever waits for it; one that nobody waits for is dropped.
    pub(super) fn answered(&self, answer: Frame) {
        if let Some(waiting) = self.calls.lock().remove(&answer.opaque) {
            let _ = waiting.send(answer);
        }
    }

    pub(super) fn note_request(&self, encoding: Encoding) {
        let binary = encoding == Encoding::Binary;
        if self.binary.load(Ordering::Relaxed) != binary {
            self.binary.store(binary, Ordering::Relaxed);
        }
    }

    /// Bytes moved in either direction.
    pub(super) fn note_activity(&self) {
        self.clock.active.store(self.clock.now(), Ordering::Relaxed);
    }

    /// Whether the input ends in the middle of a frame.
    pub(super) fn note_partial_frame(&self, partial: bool) {
        let began = self.clock.frame_began.load(Ordering::Relaxed);
        if partial != (began != 0) {
            self.clock.frame_began.store(if partial { self.clock.now() } else { 0 }, Ordering::Relaxed);
        }
    }

    /// Whether output waits because the socket takes no more; each byte written starts the count anew.
    pub(super) fn note_blocked(&self, blocked: bool, progress: bool) {
        let since = self.clock.write_blocked.load(Ordering::Relaxed);
        if blocked != (since != 0) || (blocked && progress) {
            self.clock.write_blocked.store(if blocked { self.clock.now() } else { 0 }, Ordering::Relaxed);
        }
    }

    /// Tells a connection that has become quiet, once, to give its buffers back.
    pub(super) fn rest(&self) {
        let active = self.clock.active.load(Ordering::Relaxed);
        let quiet = u128::from(self.clock.now().saturating_sub(active)) >= REST.as_millis();
        if quiet && self.clock.rested.swap(active, Ordering::Relaxed) != active {
            self.may_rest.store(true, Ordering::Relaxed);
            self.wake.notify_one();
        }
    }

    /// Whether it was told so since the last time this was asked.
    pub(super) fn may_rest(&self) -> bool {
        self.may_rest.load(Ordering::Relaxed) && self.may_rest.swap(false, Ordering::Relaxed)
    }

    /// Why this connection should be closed now, if it should.
    pub(super) fn overdue(&self, idle: Duration, stall: Duration) -> Option<&'static str> {
        let now = self.clock.now();
        let older = |time: &AtomicU64, limit: Duration| {
            let time = time.load(Ordering::Relaxed);
            time != 0 && u128::from(now.saturating_sub(time)) >= limit.as_millis()
        };
        if older(&self.clock.write_blocked, stall.min(idle)) {
            Some("the peer does not read its answers")
        } else if older(&self.clock.frame_began, idle) {
            Some("a frame was begun and not finished")
        } else if older(&self.clock.active, idle) {
            Some("idle")
        } else {
            None
        }
    }
}
