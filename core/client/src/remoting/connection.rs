//! One connection: callers encode into a shared buffer, one task writes what has gathered and hands out answers.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use mq_protocol::header::Fields;
use mq_protocol::{Encoding, ExtFields, Frame, Header, HeaderError, Language, RequestCode};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Inbound;
use crate::{ClientConfig, Error, ErrorCode};

mod driver;

pub(super) use driver::Driver;

/// Bodies from this size on are written from where they are instead of being copied into the buffer.
const SHARED_BODY: usize = 16 * 1024;

/// What a connection needs to know of the client's settings.
#[derive(Clone)]
pub(crate) struct Options {
    language: Language,
    encoding: Encoding,
    frame_max_length: usize,
    max_queued_bytes: usize,
    /// Goes with every request if it is not empty.
    namespace_v2: String,
    pub(super) connect_timeout: Duration,
}

impl Options {
    pub(super) fn new(config: &ClientConfig) -> Options {
        Options {
            language: config.language,
            encoding: config.encoding(),
            frame_max_length: config.frame_max_length,
            max_queued_bytes: config.max_queued_bytes,
            namespace_v2: config.namespace_v2.clone(),
            connect_timeout: config.connect_timeout,
        }
    }
}

/// The header of a request that has no fields.
pub(crate) struct Bare;

impl<'a> Header<'a> for Bare {
    fn read(_: &'a ExtFields) -> Result<Self, HeaderError> {
        Ok(Bare)
    }

    fn write(&self, _: &mut impl Fields) {}
}

/// The handle of a connection; the connection closes when the last one is dropped.
pub(crate) struct Connection(Arc<Shared>);

struct Shared {
    address: Arc<str>,
    options: Options,
    queue: Mutex<Queue>,
    /// The task that reads and writes.
    driver: AtomicWaker,
    /// Told when what was queued has been taken for writing.
    space: Notify,
    /// New requests are welcome.
    open: AtomicBool,
    /// The server asked to be left.
    going_away: AtomicBool,
}

/// Opaque numbers are counted up, so their lowest bits spread well by themselves.
#[derive(Default)]
struct OpaqueHasher(u64);

impl Hasher for OpaqueHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_i32(&mut self, number: i32) {
        // The map takes its control bits from the top.
        self.0 = u64::from(number.cast_unsigned()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

struct Queue {
    /// Ready to be written, in order, before `tail`.
    parts: VecDeque<Bytes>,
    tail: BytesMut,
    queued: usize,
    /// What all requests have in common.
    scratch: Frame,
    waiters: HashMap<i32, Waiter, BuildHasherDefault<OpaqueHasher>>,
    next_opaque: i32,
    /// No waiter's deadline is before this.
    earliest: Option<Instant>,
    starved: bool,
    closing: bool,
    closed: Option<Error>,
}

struct Waiter {
    code: RequestCode,
    sent: Instant,
    deadline: Instant,
    answer: oneshot::Sender<Result<Frame, Error>>,
}

/// Why a request could not be queued.
pub(crate) enum Refused {
    /// Too many bytes wait already.
    Full,
    Failed(Error),
}

impl Connection {
    pub(super) fn new(
        address: Arc<str>,
        stream: TcpStream,
        options: &Options,
        inbound: Option<Weak<dyn Inbound>>,
    ) -> (Arc<Connection>, Driver) {
        let mut scratch = Frame::bare_request(RequestCode(0));
        scratch.language = options.language;
        scratch.encoding = options.encoding;
        if !options.namespace_v2.is_empty() {
            // `NamespaceRpcHook`
            scratch.ext.push("nsd", "true");
            scratch.ext.push("ns", &options.namespace_v2);
        }
        let shared = Arc::new(Shared {
            address,
            options: options.clone(),
            queue: Mutex::new(Queue {
                parts: VecDeque::new(),
                tail: BytesMut::new(),
                queued: 0,
                scratch,
                waiters: HashMap::default(),
                next_opaque: 1,
                earliest: None,
                starved: false,
                closing: false,
                closed: None,
            }),
            driver: AtomicWaker::new(),
            space: Notify::new(),
            open: AtomicBool::new(true),
            going_away: AtomicBool::new(false),
        });
        let connection = Arc::new(Connection(shared.clone()));
        let driver = Driver::new(shared, Arc::downgrade(&connection), stream, inbound);
        (connection, driver)
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// Whether new requests may use this connection.
    pub(crate) fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Relaxed)
    }

    pub(super) fn is_waited_for(&self) -> bool {
        !self.0.queue.lock().waiters.is_empty()
    }

    /// Queues a request; the future is its answer. Nothing is spawned and no timer made.
    pub(crate) fn start<'h, H: Header<'h>>(
        &self,
        code: RequestCode,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Call, Refused> {
        let sent = Instant::now();
        let (answer, receiver) = oneshot::channel();
        let waiter = Waiter { code, sent, deadline, answer };
        let encode = |frame: &Frame, body, out: &mut BytesMut| frame.encode_head_with(header, body, out);
        let opaque = self.0.queue_request(code, &encode, body, Some(waiter))?;
        Ok(Call { shared: Some(self.0.clone()), opaque, answer: receiver })
    }

    /// Sends a request and waits for its answer until `deadline`, also for room in the queue.
    pub(crate) async fn call<'h, H: Header<'h> + Sync>(
        &self,
        code: RequestCode,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Frame, Error> {
        match self.start(code, header, body, deadline) {
            Ok(call) => return call.await,
            Err(Refused::Failed(error)) => return Err(error),
            Err(Refused::Full) => {}
        }
        Box::pin(self.with_room(code, deadline, || self.start(code, header, body, deadline))).await?.await
    }

    /// Sends a request that gets no answer.
    pub(crate) async fn tell<'h, H: Header<'h> + Sync>(
        &self,
        code: RequestCode,
        header: &H,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<(), Error> {
        let encode = |frame: &Frame, body, out: &mut BytesMut| frame.encode_head_with(header, body, out);
        let queue = || self.0.queue_request(code, &encode, body, None);
        match queue() {
            Ok(_) => Ok(()),
            Err(Refused::Failed(error)) => Err(error),
            Err(Refused::Full) => Box::pin(self.with_room(code, deadline, queue)).await.map(|_| ()),
        }
    }

    /// Answers a request of the server; dropped if the server does not read.
    pub(crate) fn reply(&self, frame: &Frame) {
        let mut queue = self.0.queue.lock();
        if queue.closed.is_some() || queue.queued > self.0.options.max_queued_bytes {
            return;
        }
        let wake = queue.queued == 0;
        let before = queue.tail.len();
        frame.encode(&mut queue.tail);
        queue.queued += queue.tail.len() - before;
        drop(queue);
        if wake {
            self.0.driver.wake();
        }
    }

    async fn with_room<T>(
        &self,
        code: RequestCode,
        deadline: Instant,
        mut attempt: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, Error> {
        loop {
            let space = self.0.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            match attempt() {
                Ok(done) => return Ok(done),
                Err(Refused::Failed(error)) => return Err(error),
                Err(Refused::Full) => {}
            }
            if timeout_at(deadline, space).await.is_err() {
                return Err(Error::new(
                    ErrorCode::Timeout,
                    format!(
                        "{code} to {} could not be sent in time: more than {} bytes wait to be written and the server does not read",
                        self.0.address, self.0.options.max_queued_bytes
                    ),
                ));
            }
        }
    }

    /// Writes what is queued if that is possible at once, then cuts the connection.
    pub(super) fn close(&self) {
        self.0.open.store(false, Ordering::Relaxed);
        self.0.queue.lock().closing = true;
        self.0.driver.wake();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn queue_request(
        &self,
        code: RequestCode,
        encode: &dyn Fn(&Frame, usize, &mut BytesMut),
        body: &Bytes,
        waiter: Option<Waiter>,
    ) -> Result<i32, Refused> {
        let mut guard = self.queue.lock();
        let queue = &mut *guard;
        if let Some(error) = &queue.closed {
            return Err(Refused::Failed(error.clone()));
        }
        if queue.closing {
            return Err(Refused::Failed(Error::network(&self.address, "closed by this client")));
        }
        if queue.queued > self.options.max_queued_bytes {
            queue.starved = true;
            return Err(Refused::Full);
        }
        let opaque = queue.opaque();
        let before = queue.tail.len();
        queue.scratch.code = code.0;
        queue.scratch.opaque = opaque;
        queue.scratch.flag = if waiter.is_some() { 0 } else { 2 };
        encode(&queue.scratch, body.len(), &mut queue.tail);
        let length = queue.tail.len() - before + body.len();
        if length > self.options.frame_max_length {
            queue.tail.truncate(before);
            return Err(Refused::Failed(Error::new(
                ErrorCode::TooLarge,
                format!(
                    "{code} needs a frame of {length} bytes; at most {} are allowed ('frame_max_length')",
                    self.options.frame_max_length
                ),
            )));
        }
        if body.len() < SHARED_BODY {
            queue.tail.extend_from_slice(body);
        } else {
            let head = queue.tail.split().freeze();
            queue.parts.push_back(head);
            queue.parts.push_back(body.clone());
        }
        let mut wake = queue.queued == 0;
        queue.queued += length;
        if let Some(waiter) = waiter {
            if queue.earliest.is_none_or(|earliest| waiter.deadline < earliest) {
                queue.earliest = Some(waiter.deadline);
                wake = true;
            }
            queue.waiters.insert(opaque, waiter);
        }
        drop(guard);
        if wake {
            self.driver.wake();
        }
        Ok(opaque)
    }

    /// Fails all who wait and all who come later.
    fn shut(&self, error: Error) {
        self.open.store(false, Ordering::Relaxed);
        let waiters = {
            let mut queue = self.queue.lock();
            if queue.closed.is_some() {
                return;
            }
            queue.closed = Some(error.clone());
            queue.parts.clear();
            queue.tail = BytesMut::new();
            std::mem::take(&mut queue.waiters)
        };
        for (_, waiter) in waiters {
            let _ = waiter.answer.send(Err(error.clone()));
        }
        self.space.notify_waiters();
    }
}

impl Queue {
    /// A number that no waiter has.
    fn opaque(&mut self) -> i32 {
        loop {
            let opaque = self.next_opaque;
            self.next_opaque = if opaque == i32::MAX { 1 } else { opaque + 1 };
            if !self.waiters.contains_key(&opaque) {
                return opaque;
            }
        }
    }
}

/// The answer of one request. Dropping it gives the answer up; a late one is thrown away.
pub(crate) struct Call {
    /// `None` once answered.
    shared: Option<Arc<Shared>>,
    opaque: i32,
    answer: oneshot::Receiver<Result<Frame, Error>>,
}

impl Future for Call {
    type Output = Result<Frame, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        self.shared = None;
        // The sender is dropped unused only if the driver was, and that fails its waiters first.
        Poll::Ready(answer.unwrap_or_else(|_| Err(Error::closed("the connection"))))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.queue.lock().waiters.remove(&self.opaque);
        }
    }
}
