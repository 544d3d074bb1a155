//! A scripted server for tests: NameServer and broker in one, whose answers each test decides.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

pub mod shelf;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use mq_client::{Client, ClientConfig};
use mq_protocol::frame::MAX_FRAME;
use mq_protocol::header::{SendMessageRequestV2, SendMessageResponse};
use mq_protocol::{Frame, RequestCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What the server does about a request.
pub enum Act {
    /// What a healthy server does.
    Usual,
    Answer(Frame),
    /// Answers after the request that follows on the same connection.
    AfterNext(Frame),
    Silence,
    Cut,
    /// Answers whenever it likes through the sender.
    With(Box<dyn FnOnce(mpsc::UnboundedSender<Frame>) + Send>),
}

type Script = dyn Fn(&Frame) -> Act + Send + Sync;

pub struct FakeServer {
    pub address: SocketAddr,
    pub seen: Arc<Mutex<Vec<Frame>>>,
    pub connections: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
    kick: watch::Sender<usize>,
    pushes: Arc<Mutex<Vec<mpsc::UnboundedSender<Frame>>>>,
}

pub struct Setup {
    /// Broker name to address and number of queues, for every topic that does not start with `no_`.
    pub brokers: Vec<(String, String, i32)>,
}

impl FakeServer {
    /// A server whose routes lead to itself, with four queues.
    pub async fn start(script: impl Fn(&Frame) -> Act + Send + Sync + 'static) -> FakeServer {
        FakeServer::start_on("127.0.0.1:0", None, script).await
    }

    pub async fn start_on(
        bind: &str,
        setup: Option<Setup>,
        script: impl Fn(&Frame) -> Act + Send + Sync + 'static,
    ) -> FakeServer {
        let listener = TcpListener::bind(bind).await.unwrap();
        let address = listener.local_addr().unwrap();
        let setup = Arc::new(
            setup.unwrap_or(Setup { brokers: vec![("broker-a".to_owned(), address.to_string(), 4)] }),
        );
        let script: Arc<Script> = Arc::new(script);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (kick, kicked) = watch::channel(0);
        let pushes = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        {
            let (seen, connections, pushes) = (seen.clone(), connections.clone(), pushes.clone());
            tasks.spawn(async move {
                let mut served = JoinSet::new();
                loop {
                    let Ok((stream, _)) = listener.accept().await else { return };
                    connections.fetch_add(1, Ordering::SeqCst);
                    let (sender, receiver) = mpsc::unbounded_channel();
                    pushes.lock().unwrap().push(sender.clone());
                    served.spawn(serve(
                        stream,
                        script.clone(),
                        setup.clone(),
                        seen.clone(),
                        kicked.clone(),
                        receiver,
                        sender,
                    ));
                }
            });
        }
        FakeServer { address, seen, connections, tasks, kick, pushes }
    }

    /// Cuts all connections that stand.
    pub fn cut_all(&self) {
        self.kick.send_modify(|n| *n += 1);
    }

    /// Sends a request of the server on all connections.
    pub fn push(&self, frame: &Frame) {
        self.pushes.lock().unwrap().retain(|sender| sender.send(frame.clone()).is_ok());
    }

    pub fn count(&self, code: RequestCode) -> usize {
        self.seen.lock().unwrap().iter().filter(|f| f.code == code.0 && !f.is_response()).count()
    }

    pub fn frames(&self, code: RequestCode) -> Vec<Frame> {
        self.seen.lock().unwrap().iter().filter(|f| f.code == code.0 && !f.is_response()).cloned().collect()
    }

    pub fn client(&self) -> Client {
        Client::new(self.config()).unwrap()
    }

    pub fn config(&self) -> ClientConfig {
        ClientConfig::new(&self.address.to_string()).unwrap()
    }

    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Script>,
    setup: Arc<Setup>,
    seen: Arc<Mutex<Vec<Frame>>>,
    mut kicked: watch::Receiver<usize>,
    mut pushes: mpsc::UnboundedReceiver<Frame>,
    own: mpsc::UnboundedSender<Frame>,
) {
    kicked.mark_unchanged();
    let mut inbox = BytesMut::new();
    let mut held: Option<Frame> = None;
    loop {
        tokio::select! {
            _ = kicked.changed() => return,
            Some(frame) = pushes.recv() => write(&mut stream, &frame).await,
            read = stream.read_buf(&mut inbox) => {
                if read.unwrap_or(0) == 0 { return }
                while let Some(frame) = Frame::decode(&mut inbox, MAX_FRAME).unwrap() {
                    seen.lock().unwrap().push(frame.clone());
                    if frame.is_response() { continue }
                    match script(&frame) {
                        Act::Usual => {
                            let answer = usual(&frame, &setup);
                            if !frame.is_oneway() { write(&mut stream, &answer).await }
                        }
                        Act::Answer(answer) => write(&mut stream, &answer).await,
                        Act::AfterNext(answer) => { held = Some(answer); continue }
                        Act::Silence => {}
                        Act::Cut => return,
                        Act::With(answer) => answer(own.clone()),
                    }
                    if let Some(frame) = held.take() { write(&mut stream, &frame).await }
                }
            }
        }
    }
}

async fn write(stream: &mut TcpStream, frame: &Frame) {
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    let _ = stream.write_all(&out).await;
}

static OFFSETS: AtomicI64 = AtomicI64::new(0);

/// The answer of a healthy server.
pub fn usual(frame: &Frame, setup: &Setup) -> Frame {
    let ok = Frame::response(frame, ResponseCode::SUCCESS);
    match frame.request_code() {
        RequestCode::GET_ROUTEINFO_BY_TOPIC if frame.ext.get("topic").unwrap().starts_with("no_") => {
            Frame::response(frame, ResponseCode::TOPIC_NOT_EXIST)
        }
        RequestCode::GET_ROUTEINFO_BY_TOPIC => ok.with_body(route(&setup.brokers)),
        RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => {
            stored(frame, ResponseCode::SUCCESS)
        }
        _ => ok,
    }
}

pub fn stored(frame: &Frame, code: ResponseCode) -> Frame {
    let header: SendMessageRequestV2<'_> = frame.header().unwrap();
    Frame::response(frame, code).with_header(&SendMessageResponse {
        msg_id: "0A00000200002A9F0000000000001000",
        queue_id: header.queue_id,
        queue_offset: OFFSETS.fetch_add(1, Ordering::SeqCst),
        transaction_id: None,
        region_id: Some("DefaultRegion"),
        trace_on: Some(true),
    })
}

pub fn route(brokers: &[(String, String, i32)]) -> String {
    let datas: Vec<String> = brokers
        .iter()
        .map(|(name, address, _)| {
            format!(r#"{{"brokerAddrs":{{0:"{address}"}},"brokerName":"{name}","cluster":"C"}}"#)
        })
        .collect();
    let queues: Vec<String> = brokers
        .iter()
        .map(|(name, _, count)| {
            format!(r#"{{"brokerName":"{name}","perm":6,"readQueueNums":{count},"writeQueueNums":{count}}}"#)
        })
        .collect();
    format!(r#"{{"brokerDatas":[{}],"queueDatas":[{}]}}"#, datas.join(","), queues.join(","))
}

/// Waits until a condition holds; fails the test if it does not within half a minute.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_async(what, async || holds()).await;
}

pub async fn until_async(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Fails the test instead of hanging.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("hangs")
}
