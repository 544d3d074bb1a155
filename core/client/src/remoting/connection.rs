//! One connection: callers encode into a shared buffer, one task writes what has gathered and hands out answers.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use mq_protocol::{Encoding, ExtFields, Frame, Header, HeaderError, Language, RequestCode, ResponseCode};
use parking_lot::Mutex;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::Inbound;
use crate::{ClientConfig, Error, ErrorCode};

/// Bodies from this size on are written from where they are instead of being copied into the buffer.
const SHARED_BODY: usize = 16 * 1024;
/// Free room kept for reading; a larger frame gets more when its length is known.
const READ_ROOM: usize = 32 * 1024;
/// Most room made for a frame on the word of its length alone.
const LONGEST_TRUST: usize = 1024 * 1024;
/// Slices given to one vectored write.
const SLICES: usize = 32;

/// Writes what the socket takes. Unlike a plain vectored write it never raises SIGPIPE, which would end a host that does
/// not ignore it.
fn poll_send(stream: &TcpStream, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_write_ready(cx))?;
        let send = || Ok(sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?);
        match stream.try_io(Interest::WRITABLE, send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
    }
}

/// What a connection needs to know of the client's settings.
#[derive(Clone)]
pub(crate) struct Options {
    language: Language,
    encoding: Encoding,
    frame_max_length: usize,
    max_queued_bytes: usize,
    pub(super) connect_timeout: Duration,
}

impl Options {
    pub(super) fn new(config: &ClientConfig) -> Options {
        Options {
            language: config.language,
            encoding: config.encoding(),
            frame_max_length: config.frame_max_length,
            max_queued_bytes: config.max_queued_bytes,
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

    fn write(&self, _: &mut ExtFields) {}
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
        let now = Instant::now();
        let driver = Driver {
            shared,
            // Requests of the server keep the handle alive only while they are answered.
            connection: Arc::downgrade(&connection),
            stream,
            inbound,
            inbox: BytesMut::new(),
            outbox: VecDeque::new(),
            gathered: false,
            frames: Vec::new(),
            matched: Vec::new(),
            last_read: now,
            alarm: Box::pin(sleep_until(now)),
            armed: None,
        };
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
        let opaque = self.0.queue_request(code, &mut |ext| header.write(ext), body, Some(waiter))?;
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
        let queue = || self.0.queue_request(code, &mut |ext| header.write(ext), body, None);
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
        write: &mut dyn FnMut(&mut ExtFields),
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
        queue.scratch.ext.clear();
        write(&mut queue.scratch.ext);
        queue.scratch.encode_head(body.len(), &mut queue.tail);
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

/// The task of a connection.
pub(super) struct Driver {
    shared: Arc<Shared>,
    connection: Weak<Connection>,
    stream: TcpStream,
    inbound: Option<Weak<dyn Inbound>>,
    inbox: BytesMut,
    outbox: VecDeque<Bytes>,
    /// Callers had one turn to add to what is queued.
    gathered: bool,
    frames: Vec<Frame>,
    matched: Vec<(oneshot::Sender<Result<Frame, Error>>, Frame)>,
    last_read: Instant,
    alarm: Pin<Box<Sleep>>,
    armed: Option<Instant>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.shut(Error::network(&self.shared.address, "closed with the client"));
    }
}

impl Driver {
    pub(super) async fn run(mut self) {
        let error = poll_fn(|cx| self.poll(cx)).await;
        let gone = self.shared.queue.lock().closing;
        if !gone {
            tracing::info!(%error, "disconnected");
        }
        self.shared.shut(error);
    }

    /// Ready with the reason when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.shared.driver.register(cx.waker());
        if let Err(error) = self.read(cx) {
            return Poll::Ready(error);
        }
        let closing = self.take_queued(cx);
        if let Err(error) = self.write(cx) {
            return Poll::Ready(error);
        }
        if closing {
            return Poll::Ready(Error::network(&self.shared.address, "closed by this client"));
        }
        self.expire(cx)
    }

    /// Moves what callers have queued into the outbox; tells whether the connection is to be closed.
    ///
    /// When several requests are on their way it first lets all tasks that are ready have their turn: they may
    /// have requests too, and many requests make one write.
    fn take_queued(&mut self, cx: &mut Context<'_>) -> bool {
        let mut queue = self.shared.queue.lock();
        let idle = queue.waiters.is_empty() && queue.queued == 0 && self.outbox.is_empty();
        let closing = queue.closing || (idle && self.shared.going_away.load(Ordering::Relaxed));
        if queue.queued == 0 || !self.outbox.is_empty() {
            return closing;
        }
        if !self.gathered && !closing && queue.waiters.len() > 1 {
            self.gathered = true;
            cx.waker().wake_by_ref();
            return false;
        }
        self.gathered = false;
        self.outbox.append(&mut queue.parts);
        if !queue.tail.is_empty() {
            let tail = queue.tail.split().freeze();
            self.outbox.push_back(tail);
        }
        queue.queued = 0;
        let starved = std::mem::take(&mut queue.starved);
        drop(queue);
        if starved {
            self.shared.space.notify_waiters();
        }
        closing
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while !self.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, part) in slices.iter_mut().zip(&self.outbox) {
                *slice = IoSlice::new(part);
                count += 1;
            }
            match poll_send(&self.stream, cx, slices.get(..count).unwrap_or_default()) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(self.cut("it takes no more bytes")),
                Poll::Ready(Ok(written)) => self.written(written),
                Poll::Ready(Err(error)) => return Err(self.cut(error)),
            }
        }
        // What was queued meanwhile woke nobody if the queue was not empty then.
        if self.shared.queue.lock().queued > 0 && !self.gathered {
            self.gathered = true;
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    fn written(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let Some(part) = self.outbox.front_mut() else { return };
            if bytes < part.len() {
                part.advance(bytes);
                return;
            }
            bytes -= part.len();
            self.outbox.pop_front();
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        loop {
            self.make_room();
            let read = pin!(self.stream.read_buf(&mut self.inbox)).poll(cx);
            match read {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(self.cut("closed by the server")),
                Poll::Ready(Ok(_)) => {
                    self.last_read = Instant::now();
                    self.decode()?;
                }
                Poll::Ready(Err(error)) => return Err(self.cut(error)),
            }
        }
    }

    fn make_room(&mut self) {
        let missing = self.inbox.first_chunk::<4>().map_or(0, |prefix| {
            (u32::from_be_bytes(*prefix) as usize).saturating_add(4).saturating_sub(self.inbox.len())
        });
        if self.inbox.capacity() - self.inbox.len() < READ_ROOM.max(missing.min(LONGEST_TRUST)) {
            self.inbox.reserve(READ_ROOM.max(missing.min(LONGEST_TRUST)));
        }
    }

    fn decode(&mut self) -> Result<(), Error> {
        loop {
            match Frame::decode(&mut self.inbox, self.shared.options.frame_max_length) {
                Ok(Some(frame)) if frame.is_response() => self.frames.push(frame),
                Ok(Some(frame)) => self.asked(frame),
                Ok(None) => break,
                Err(error) => return Err(self.cut(error)),
            }
        }
        if self.frames.is_empty() {
            return Ok(());
        }
        {
            let mut queue = self.shared.queue.lock();
            for frame in self.frames.drain(..) {
                match queue.waiters.remove(&frame.opaque) {
                    Some(waiter) => self.matched.push((waiter.answer, frame)),
                    None => {
                        tracing::debug!(address = %self.shared.address, opaque = frame.opaque, "late answer thrown away")
                    }
                }
            }
        }
        for (answer, frame) in self.matched.drain(..) {
            if frame.response_code() == ResponseCode::GO_AWAY {
                self.shared.open.store(false, Ordering::Relaxed);
                self.shared.going_away.store(true, Ordering::Relaxed);
            }
            let _ = answer.send(Ok(frame));
        }
        Ok(())
    }

    fn asked(&self, frame: Frame) {
        let Some(connection) = self.connection.upgrade() else { return };
        if let Some(inbound) = self.inbound.as_ref().and_then(Weak::upgrade) {
            inbound.request(frame, &connection);
        }
    }

    /// Fails requests whose time is over and sets the alarm for the next.
    fn expire(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            let earliest = self.shared.queue.lock().earliest;
            let Some(earliest) = earliest else {
                self.armed = None;
                return Poll::Pending;
            };
            if self.armed != Some(earliest) {
                self.alarm.as_mut().reset(earliest);
                self.armed = Some(earliest);
            }
            ready!(self.alarm.as_mut().poll(cx));
            self.armed = None;
            if let Some(error) = self.expire_now() {
                return Poll::Ready(error);
            }
        }
    }

    /// An error if the silence tells that the connection is dead.
    fn expire_now(&mut self) -> Option<Error> {
        let now = Instant::now();
        let mut late = Vec::new();
        {
            let mut queue = self.shared.queue.lock();
            let over: Vec<i32> =
                queue.waiters.iter().filter(|(_, w)| w.deadline <= now).map(|(opaque, _)| *opaque).collect();
            late.extend(over.iter().filter_map(|opaque| queue.waiters.remove(opaque)));
            queue.earliest = queue.waiters.values().map(|waiter| waiter.deadline).min();
        }
        let patience = self.shared.options.connect_timeout;
        let last_read = self.last_read;
        let dead =
            late.iter().any(|waiter| waiter.sent > last_read && now.duration_since(waiter.sent) >= patience);
        for waiter in late {
            let waited = now.duration_since(waiter.sent).as_millis();
            let _ = waiter.answer.send(Err(Error::new(
                ErrorCode::Timeout,
                format!(
                    "{} got no answer from {} within {waited} ms; it may have been carried out all the same",
                    waiter.code, self.shared.address
                ),
            )));
        }
        dead.then(|| self.cut("the server is silent"))
    }

    fn cut(&self, cause: impl std::fmt::Display) -> Error {
        Error::network(&self.shared.address, cause)
    }
}
