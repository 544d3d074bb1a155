//! What a connection still has to write: encoded heads and slices of the log, gathered into vectored writes.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use mq_protocol::{Frame, Header, ResponseCode};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// Most slices in one write.
const MAX_SLICES: usize = 64;
/// A buffer that grew larger than this is given back when it is empty.
const KEEP_BUFFER: usize = 256 * 1024;

/// Output in the order in which it goes out: first the queue, then the tail.
#[derive(Debug, Default)]
pub(crate) struct Output {
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Encoded frames; small answers gather here without an allocation of their own.
    tail: BytesMut,
    /// As what [`Output::succeed`] answers, while a test wants another code than SUCCESS.
    pub(super) success: Option<ResponseCode>,
}

impl Output {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.queued + self.tail.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a frame with its own body.
    pub(super) fn push(&mut self, frame: &Frame) {
        frame.encode(&mut self.tail);
    }

    /// Adds the answer to a request that went well, unless it wants none: a frame without a body, which is never made.
    pub(crate) fn succeed<'a, H: Header<'a>>(&mut self, request: &Frame, header: &H) {
        if !request.is_oneway() {
            let code = self.success.unwrap_or(ResponseCode::SUCCESS);
            Frame::response(request, code).encode_head_with(header, 0, &mut self.tail);
        }
    }

    /// Adds a frame whose body is `slices`; they are referred to, not copied.
    pub(super) fn push_slices(&mut self, frame: &Frame, slices: Vec<Bytes>) {
        let body: usize = slices.iter().map(Bytes::len).sum();
        frame.encode_head(body, &mut self.tail);
        let head = self.tail.split().freeze();
        for part in std::iter::once(head).chain(slices) {
            self.queued += part.len();
            self.queue.push_back(part);
        }
    }

    /// Frees memory that is not needed now.
    pub(super) fn give_back_buffer(&mut self) {
        if self.is_empty() {
            self.tail = BytesMut::new();
        }
    }

    /// Writes until all is out or the socket takes no more; tells how many bytes went out.
    pub(super) fn write(&mut self, socket: &OwnedWriteHalf) -> io::Result<usize> {
        let mut total = 0;
        while !self.is_empty() {
            match self.write_once(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => total += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.is_empty() && self.tail.capacity() > KEEP_BUFFER {
            self.tail = BytesMut::new();
        }
        Ok(total)
    }

    fn write_once(&mut self, socket: &OwnedWriteHalf) -> io::Result<usize> {
        let socket: &TcpStream = socket.as_ref();
        if self.queue.is_empty() {
            let written = socket.try_write(&self.tail)?;
            if written == self.tail.len() {
                self.tail.clear();
            } else {
                self.tail.advance(written);
            }
            return Ok(written);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut count = 0;
        let parts = self.queue.iter().map(|part| &part[..]).chain(std::iter::once(&self.tail[..]));
        for (slot, part) in slices.iter_mut().zip(parts) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        // Unlike a plain vectored write this never raises SIGPIPE, which would end a host that embeds the broker.
        let send = || Ok(sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL)?);
        let written = socket.try_io(Interest::WRITABLE, send)?;
        self.consume(written);
        Ok(written)
    }

    fn consume(&mut self, mut written: usize) {
        while let Some(front) = self.queue.front_mut() {
            let part = front.len().min(written);
            front.advance(part);
            self.queued -= part;
            written -= part;
            if !front.is_empty() {
                return;
            }
            self.queue.pop_front();
        }
        self.tail.advance(written);
    }
}
