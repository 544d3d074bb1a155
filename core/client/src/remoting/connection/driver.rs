//! The task of a connection: writes what has gathered, reads, hands out answers, ends what takes too long.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use mq_protocol::{Frame, ResponseCode};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Connection, Shared};
use crate::remoting::Inbound;
use crate::{Error, ErrorCode};

/// Free room kept for reading; a larger frame gets more when its length is known.
const READ_ROOM: usize = 32 * 1024;
/// Most room made for a frame on the word of its length alone.
const LONGEST_TRUST: usize = 1024 * 1024;
/// Slices given to one vectored write.
const SLICES: usize = 32;

/// The task of a connection.
pub(in crate::remoting) struct Driver {
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
    /// Requests of the server keep the handle alive only while they are answered.
    pub(super) fn new(
        shared: Arc<Shared>,
        connection: Weak<Connection>,
        stream: TcpStream,
        inbound: Option<Weak<dyn Inbound>>,
    ) -> Driver {
        let now = Instant::now();
        Driver {
            shared,
            connection,
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
        }
    }

    pub(in crate::remoting) async fn run(mut self) {
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
