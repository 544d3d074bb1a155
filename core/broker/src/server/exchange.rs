//! One request and what comes of it: the types between the connections and the handlers.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mq_protocol::{Frame, Header, HeaderError, ResponseCode};

use super::{Output, Peer};
use crate::testing::Faults;

/// Handlers of one server.
pub(crate) trait Dispatch: Send + Sync + 'static {
    /// Handles one request. Runs on a connection's task: it must not block.
    fn dispatch(&self, call: &mut Call<'_>) -> Result<Reply, Refusal>;

    /// The faults that tests have set.
    fn faults(&self) -> &Faults;

    /// Whether new connections are closed at once, because a test wants it.
    fn refuses_connections(&self) -> bool {
        false
    }

    /// A connection is gone; forget everything about it.
    fn closed(&self, peer: &Arc<Peer>);
}

/// A request with what a handler needs beside it.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) request: Frame,
    pub(crate) peer: &'a Arc<Peer>,
    /// Buffers of this connection that handlers use again and again.
    pub(crate) scratch: &'a mut Scratch,
    /// When it was read, or when what it had to wait for had happened.
    pub(crate) arrived: Instant,
    /// Requests of its connection that wait for their answer.
    pub(crate) unanswered: usize,
    /// What goes out on this connection, for answers that are ready and have no body.
    pub(crate) output: &'a mut Output,
    /// The request was held and what it waited for may have happened; it must not be held again.
    pub(crate) resumed: bool,
}

/// Buffers that one connection's requests share; their content means nothing between requests.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Properties of the message that is being stored.
    pub(crate) properties: String,
    /// Any other text.
    pub(crate) text: String,
}

/// What a handler has to say.
pub(crate) enum Reply {
    /// The answer.
    Now(Answer),
    /// The answer comes later; other requests of the connection go on meanwhile.
    Later(BoxFuture<'static, Answer>),
    /// No answer, or it stands in the output already, or somebody else will send it.
    None,
}

/// An answer: a frame, and a body that is not part of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) frame: Frame,
    /// The body, if the frame itself has none; written as it stands in memory.
    pub(crate) slices: Vec<Bytes>,
}

impl From<Frame> for Answer {
    fn from(frame: Frame) -> Answer {
        Answer { frame, slices: Vec::new() }
    }
}

impl From<Frame> for Reply {
    fn from(frame: Frame) -> Reply {
        Reply::Now(frame.into())
    }
}

/// A request that is refused, with the code and the text of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ResponseCode,
    pub(crate) remark: String,
}

impl Refusal {
    pub(crate) fn new(code: ResponseCode, remark: impl Into<String>) -> Refusal {
        Refusal { code, remark: remark.into() }
    }

    /// Something went wrong in this broker.
    pub(crate) fn system(remark: impl Into<String>) -> Refusal {
        Refusal::new(ResponseCode::SYSTEM_ERROR, remark)
    }

    /// The request code is not served here.
    pub(crate) fn not_supported(request: &Frame) -> Refusal {
        Refusal::new(
            ResponseCode::REQUEST_CODE_NOT_SUPPORTED,
            format!("request type {} not supported", request.code),
        )
    }

    /// The answer that says so.
    pub(crate) fn answer(self, request: &Frame) -> Frame {
        Frame::response(request, self.code).with_remark(self.remark)
    }
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Refusal {
        Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string())
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Refusal {
        Refusal::new(ResponseCode::SYSTEM_ERROR, format!("the body does not parse: {error}"))
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        Refusal::new(ResponseCode::SYSTEM_ERROR, format!("the change could not be saved: {error}"))
    }
}

/// Answers of a handler, made from the request.
pub(crate) mod reply {
    use super::{Answer, Bytes, Frame, Header, Refusal, Reply, ResponseCode};

    /// An answer that may have to wait for the disk: it is worked out away from the threads that serve connections.
    pub(crate) fn from_disk<A: Into<Answer> + Send + 'static>(
        request: &Frame,
        work: impl FnOnce(&Frame) -> Result<A, Refusal> + Send + 'static,
    ) -> Reply {
        let failed = Refusal::system("the request ended early").answer(request);
        // The request without its body, which the work has taken what it needs from.
        let request = Frame { body: Bytes::new(), ..request.clone() };
        let work = tokio::task::spawn_blocking(move || match work(&request) {
            Ok(answer) => answer.into(),
            Err(refusal) => refusal.answer(&request).into(),
        });
        Reply::Later(Box::pin(async move { work.await.unwrap_or_else(|_| failed.into()) }))
    }

    /// Success without header or body.
    pub(crate) fn ok(request: &Frame) -> Reply {
        Frame::response(request, ResponseCode::SUCCESS).into()
    }

    /// Success with a header.
    pub(crate) fn header<'a, H: Header<'a>>(request: &Frame, header: &H) -> Reply {
        Frame::response(request, ResponseCode::SUCCESS).with_header(header).into()
    }

    /// Success with a body.
    pub(crate) fn body(request: &Frame, body: impl Into<Bytes>) -> Reply {
        Frame::response(request, ResponseCode::SUCCESS).with_body(body).into()
    }
}
