//! The task of one connection: reads many frames at once, handles them, writes all answers together.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use mq_protocol::frame::MAX_FRAME;
use mq_protocol::{Frame, FrameError, RequestCode, ResponseCode};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::watch;
use tracing::debug;

use super::budget::{Share, Unanswered};
use super::exchange::{Answer, Call, Dispatch, Refusal, Reply, Scratch};
use super::output::Output;
use super::peer::{Letter, Peer};
use crate::testing::Fault;

/// Room for one read: the least, and what it grows to while reads fill it.
const READ_MIN: usize = 1024;
const READ_MAX: usize = 128 * 1024;

/// Codes of sends whose message was stored, though not made safe in time.
const STORED: [ResponseCode; 3] =
    [ResponseCode::FLUSH_DISK_TIMEOUT, ResponseCode::SLAVE_NOT_AVAILABLE, ResponseCode::FLUSH_SLAVE_TIMEOUT];

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the peer closed it in the middle of a frame, after {0} bytes")]
    HalfFrame(usize),
    #[error("all connections together hold too many bytes of frames that are not complete")]
    Budget,
}

impl End {
    /// Whether the peer broke the protocol, rather than just went away.
    pub(super) fn is_fault(&self) -> bool {
        matches!(self, End::Frame(_) | End::Budget)
    }
}

/// What a connection may take of what it shares with others.
pub(super) struct Allowance {
    /// Of the memory for unfinished frames.
    pub(super) input: Share,
    /// Of the requests without an answer.
    pub(super) unanswered: Unanswered,
    /// Bytes of output that may wait while further requests are handled.
    pub(super) output: usize,
}

struct Connection<'a, D> {
    peer: &'a Arc<Peer>,
    dispatch: &'a D,
    input: BytesMut,
    allowance: Allowance,
    /// Room for the next read; follows what reads bring.
    read_size: usize,
    /// When the newest bytes of `input` were read, or could be looked at again.
    arrived: Instant,
    /// Whether requests wait in `input` or `letters` because too much output waits.
    held_back: bool,
    letters: VecDeque<Letter>,
    output: Output,
    later: FuturesUnordered<BoxFuture<'static, Answer>>,
    scratch: Scratch,
}

pub(super) async fn run<D: Dispatch>(
    mut reader: OwnedReadHalf,
    peer: &Arc<Peer>,
    dispatch: &D,
    allowance: Allowance,
    mut stop: watch::Receiver<bool>,
) -> Result<(), End> {
    let mut connection = Connection {
        peer,
        dispatch,
        input: BytesMut::new(),
        allowance,
        read_size: READ_MIN,
        arrived: Instant::now(),
        held_back: false,
        letters: VecDeque::new(),
        output: Output::default(),
        later: FuturesUnordered::new(),
        scratch: Scratch::default(),
    };
    let mut stopping = *stop.borrow();
    loop {
        connection.take_late_answers();
        connection.handle_letters();
        connection.handle_input()?;
        connection.write()?;
        if peer.is_cut() || (stopping && connection.is_done()) {
            return Ok(());
        }
        let open = !connection.is_full();
        connection.allowance.unanswered.set(connection.later.len());
        if open && connection.held_back {
            tokio::task::consume_budget().await;
            continue;
        }
        let reading = open && !stopping;
        if peer.may_rest() {
            connection.give_back_buffers();
        }
        if reading {
            connection.make_room()?;
        }
        let Connection { input, output, later, .. } = &mut connection;
        tokio::select! {
            biased;
            read = reader.read_buf(input), if reading => {
                if read? == 0 {
                    return connection.end_of_input();
                }
                connection.note_read();
            }
            ready = peer.socket.writable(), if !output.is_empty() => ready?,
            () = peer.wake.notified() => {}
            Some(answer) = later.next(), if !later.is_empty() => push(output, answer),
            _ = stop.changed(), if !stopping => stopping = true,
        }
    }
}

impl<D: Dispatch> Connection<'_, D> {
    /// Handles the whole frames of the input, unless too much output waits.
    fn handle_input(&mut self) -> Result<(), FrameError> {
        while !self.held_back {
            if self.is_full() {
                self.held_back = true;
                break;
            }
            let Some(frame) = Frame::decode(&mut self.input, MAX_FRAME)? else {
                break;
            };
            if frame.is_response() {
                self.peer.answered(frame);
            } else {
                self.peer.note_request(frame.encoding);
                match self.dispatch.faults().take(frame.request_code()) {
                    None => self.handle(frame, false),
                    Some(fault) => self.handle_faulty(frame, fault),
                }
            }
        }
        self.peer.note_partial_frame(!self.held_back && !self.input.is_empty());
        Ok(())
    }

    /// Does what other tasks left to do for this connection.
    fn handle_letters(&mut self) {
        self.peer.take_letters(&mut self.letters);
        if self.held_back || !self.letters.is_empty() {
            // What has waited on purpose, or for the peer to read its answers, has not waited for us.
            self.arrived = Instant::now();
        }
        self.held_back = false;
        while !self.is_full() {
            match self.letters.pop_front() {
                Some(Letter::Send(frame)) => self.output.push(&frame),
                Some(Letter::Resume(request)) => self.handle(request, true),
                Some(Letter::Handle(request)) => self.handle(request, false),
                None => return,
            }
        }
        self.held_back = true;
    }

    fn take_late_answers(&mut self) {
        while let Some(Some(answer)) = self.later.next().now_or_never() {
            push(&mut self.output, answer);
        }
    }

    /// Handles a request as a test wants it.
    fn handle_faulty(&mut self, mut request: Frame, fault: Fault) {
        match fault {
            Fault::Fail(code) if STORED.contains(&code) => self.handle_as(request, code),
            Fault::Fail(code) if request.is_oneway() => {
                debug!("a one-way request failed with {code} as a test wants")
            }
            Fault::Fail(code) => {
                let refusal = Refusal::new(code, format!("a test has this request fail with {code}"));
                self.output.push(&refusal.answer(&request));
            }
            Fault::Delay(delay) => self.peer.handle_later(request, delay),
            Fault::Drop => {
                self.input.clear();
                self.peer.cut("a test has this request end its connection");
            }
            Fault::LoseAnswer => {
                request = request.oneway();
                self.handle(request, false);
            }
        }
    }

    /// Handles a request, and answers with `code` what went well.
    fn handle_as(&mut self, request: Frame, code: ResponseCode) {
        let say = move |mut answer: Answer| {
            if answer.frame.code == ResponseCode::SUCCESS.0 {
                answer.frame.code = code.0;
            }
            answer
        };
        self.output.success = Some(code);
        let (scratch, output) = (&mut self.scratch, &mut self.output);
        let mut call = Call {
            request,
            peer: self.peer,
            scratch,
            output,
            arrived: self.arrived,
            unanswered: self.later.len(),
            resumed: false,
        };
        let reply = self.dispatch.dispatch(&mut call);
        call.output.success = None;
        match reply {
            _ if call.request.is_oneway() => {}
            Ok(Reply::Now(answer)) => push(&mut self.output, say(answer)),
            Ok(Reply::Later(answer)) => self.later.push(Box::pin(answer.map(say))),
            Ok(Reply::None) => {}
            Err(refusal) => call.output.push(&refusal.answer(&call.request)),
        }
    }

    /// Whether so much output waits that further requests wait too.
    fn is_full(&self) -> bool {
        self.output.len() >= self.allowance.output
    }

    fn handle(&mut self, request: Frame, resumed: bool) {
        let oneway = request.is_oneway();
        // What shows that a client is there goes through.
        let light = oneway || request.request_code() == RequestCode::HEART_BEAT;
        if !light && !self.allowance.unanswered.has_room() {
            let busy = Refusal::new(
                ResponseCode::SYSTEM_BUSY,
                "[OVERLOAD]system busy, start flow control for a while: too many requests are unanswered",
            );
            self.output.push(&busy.answer(&request));
            return;
        }
        let (scratch, output) = (&mut self.scratch, &mut self.output);
        let mut call = Call {
            request,
            peer: self.peer,
            scratch,
            output,
            arrived: self.arrived,
            unanswered: self.later.len(),
            resumed,
        };
        let reply = self.dispatch.dispatch(&mut call);
        if oneway {
            return;
        }
        match reply {
            Ok(Reply::Now(answer)) => push(&mut self.output, answer),
            Ok(Reply::Later(answer)) => {
                self.later.push(answer);
                self.allowance.unanswered.set(self.later.len());
            }
            Ok(Reply::None) => {}
            Err(refusal) => call.output.push(&refusal.answer(&call.request)),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let written = self.output.write(&self.peer.socket)?;
        self.peer.note_blocked(!self.output.is_empty(), written > 0);
        if written > 0 {
            self.peer.note_activity();
        }
        Ok(())
    }

    /// Prepares the input buffer. It grows as bytes arrive, never at the word of a length field.
    fn make_room(&mut self) -> Result<(), End> {
        if self.input.is_empty() && self.input.capacity() > 2 * READ_MAX {
            self.input = BytesMut::new();
        }
        let room = match self.input.first_chunk::<4>() {
            Some(prefix) => {
                let whole = (u32::from_be_bytes(*prefix) as usize).saturating_add(4);
                let missing = whole.saturating_sub(self.input.len());
                missing.min(self.input.len().max(self.read_size))
            }
            None => self.read_size,
        };
        if !self.allowance.input.hold(self.input.len() + room) {
            return Err(End::Budget);
        }
        self.input.reserve(room);
        Ok(())
    }

    /// A connection that is quiet keeps no buffers.
    fn give_back_buffers(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.read_size = READ_MIN;
        }
        self.output.give_back_buffer();
        self.scratch = Scratch::default();
    }

    fn note_read(&mut self) {
        self.peer.note_activity();
        self.arrived = Instant::now();
        let spare = self.input.capacity() - self.input.len();
        if spare == 0 {
            self.read_size = (self.read_size * 2).min(READ_MAX);
        } else if self.input.len() < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(READ_MIN);
        }
    }

    fn end_of_input(&self) -> Result<(), End> {
        match self.input.len() {
            0 => Ok(()),
            bytes => Err(End::HalfFrame(bytes)),
        }
    }

    /// Whether nothing is left to answer.
    fn is_done(&self) -> bool {
        self.output.is_empty() && self.later.is_empty() && !self.held_back
    }
}

fn push(output: &mut Output, answer: Answer) {
    if answer.slices.is_empty() {
        output.push(&answer.frame);
    } else {
        output.push_slices(&answer.frame, answer.slices);
    }
}
