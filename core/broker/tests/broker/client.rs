//! A small client of the remoting protocol, and brokers to test.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use mq_broker::{Broker, BrokerConfig};
use mq_protocol::body::{ConsumerData, HeartbeatData, ProducerData, SubscriptionData, TopicRoute};
use mq_protocol::frame::MAX_FRAME;
use mq_protocol::header::{
    CreateTopicRequest, GetRouteInfoRequest, OffsetResponse, PullMessageRequest, PullMessageResponse,
    QueueRequest, SendMessageRequestV2, SendMessageResponse, pull_flag,
};
use mq_protocol::{Frame, Header, MessageRecord, RequestCode, ResponseCode, fastjson};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No test takes longer than this.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a test; one that hangs fails.
pub(crate) async fn within<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, test).await.expect("the test did not end in time")
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE / 2, wait).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

/// A broker on free ports with data of its own.
pub(crate) struct TestBroker {
    pub(crate) broker: Broker,
    pub(crate) folder: TempDir,
}

/// Settings for free ports and data in `folder`.
pub(crate) fn settings(folder: &TempDir) -> BrokerConfig {
    BrokerConfig {
        listen_port: 0,
        namesrv_listen_port: 0,
        store_path_root_dir: folder.path().join("store"),
        mapped_file_size_commit_log: 16 * 1024 * 1024,
        max_hash_slot_num: 1000,
        max_index_num: 4000,
        ..BrokerConfig::default()
    }
}

impl TestBroker {
    pub(crate) async fn start() -> TestBroker {
        TestBroker::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut BrokerConfig)) -> TestBroker {
        let folder = tempfile::tempdir().unwrap();
        let mut config = settings(&folder);
        change(&mut config);
        TestBroker { broker: Broker::start(config).await.unwrap(), folder }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.broker.broker_addr()).await
    }

    pub(crate) async fn namesrv(&self) -> Client {
        Client::connect(self.broker.namesrv_addr().unwrap()).await
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    input: BytesMut,
    next_opaque: i32,
    /// Requests that the server sent.
    requests: VecDeque<Frame>,
    /// Answers that nobody has asked for yet.
    answers: VecDeque<Frame>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            input: BytesMut::new(),
            next_opaque: 1,
            requests: VecDeque::new(),
            answers: VecDeque::new(),
        }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a frame; returns its opaque.
    pub(crate) async fn post(&mut self, mut frame: Frame) -> i32 {
        if !frame.is_response() {
            frame.opaque = self.next_opaque;
            self.next_opaque += 1;
        }
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        self.raw(&out).await;
        frame.opaque
    }

    async fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = Frame::decode(&mut self.input, MAX_FRAME).unwrap() {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// The answer to a request that was posted; `None` if the server closes the connection instead.
    pub(crate) async fn try_answer(&mut self, opaque: i32) -> Option<Frame> {
        if let Some(at) = self.answers.iter().position(|frame| frame.opaque == opaque) {
            return self.answers.remove(at);
        }
        loop {
            let frame = self.read().await?;
            if !frame.is_response() {
                self.requests.push_back(frame);
            } else if frame.opaque == opaque {
                return Some(frame);
            } else {
                self.answers.push_back(frame);
            }
        }
    }

    /// The answer to a request that was posted.
    pub(crate) async fn answer(&mut self, opaque: i32) -> Frame {
        self.try_answer(opaque).await.expect("the server closed the connection")
    }

    /// The next request that the server sends of its own accord.
    pub(crate) async fn request(&mut self) -> Frame {
        if let Some(frame) = self.requests.pop_front() {
            return frame;
        }
        loop {
            let frame = self.read().await.expect("the server closed the connection");
            if frame.is_response() {
                self.answers.push_back(frame);
            } else {
                return frame;
            }
        }
    }

    /// Waits until the server closes the connection.
    pub(crate) async fn closed(&mut self) {
        while self.read().await.is_some() {}
    }

    pub(crate) async fn call(&mut self, frame: Frame) -> Frame {
        let opaque = self.post(frame).await;
        self.answer(opaque).await
    }

    /// A call that must succeed.
    pub(crate) async fn ok(&mut self, frame: Frame) -> Frame {
        let answer = self.call(frame).await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{}", answer.remark);
        answer
    }

    /// A call with a header that must fail with a code.
    pub(crate) async fn refused<'a, H: Header<'a>>(
        &mut self,
        code: RequestCode,
        header: &H,
        want: ResponseCode,
    ) -> Frame {
        let answer = self.call(Frame::request(code, header)).await;
        assert_eq!(answer.response_code(), want, "{}", answer.remark);
        answer
    }

    pub(crate) async fn route(&mut self, topic: &str) -> Option<TopicRoute> {
        let header = GetRouteInfoRequest { topic, accept_standard_json_only: None };
        let answer = self.call(Frame::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header)).await;
        match answer.response_code() {
            ResponseCode::SUCCESS => Some(fastjson::from_slice(&answer.body).unwrap()),
            ResponseCode::TOPIC_NOT_EXIST => None,
            other => panic!("{other}: {}", answer.remark),
        }
    }

    pub(crate) async fn send(&mut self, topic: &str, queue: i32, properties: &str, body: &[u8]) -> Sent {
        let answer = self.ok(send_request(topic, queue, properties, body)).await;
        Sent::of(&answer)
    }

    pub(crate) async fn create_topic(&mut self, topic: &str, queues: i32) {
        self.ok(Frame::request(RequestCode::UPDATE_AND_CREATE_TOPIC, &topic_header(topic, queues))).await;
    }

    pub(crate) async fn heartbeat(
        &mut self,
        client_id: &str,
        consumers: Vec<ConsumerData>,
        producers: &[&str],
    ) {
        let data = HeartbeatData {
            client_id: client_id.to_owned(),
            consumer_data_set: consumers,
            producer_data_set: producers
                .iter()
                .map(|group| ProducerData { group_name: (*group).to_owned() })
                .collect(),
            ..HeartbeatData::default()
        };
        let body = serde_json::to_vec(&data).unwrap();
        self.ok(Frame::bare_request(RequestCode::HEART_BEAT).with_body(body)).await;
    }

    /// Pulls with the subscription in the request; does not wait.
    pub(crate) async fn pull(
        &mut self,
        group: &str,
        topic: &str,
        queue: i32,
        offset: i64,
        tags: &str,
    ) -> Pulled {
        let header = PullMessageRequest {
            sys_flag: pull_flag::SUBSCRIPTION,
            subscription: Some(tags),
            ..pull_header(group, topic, queue, offset)
        };
        Pulled::of(self.call(Frame::request(RequestCode::PULL_MESSAGE, &header)).await)
    }

    pub(crate) async fn max_offset(&mut self, topic: &str, queue_id: i32) -> i64 {
        let answer =
            self.ok(Frame::request(RequestCode::GET_MAX_OFFSET, &QueueRequest { topic, queue_id })).await;
        answer.header::<OffsetResponse>().unwrap().offset
    }
}

pub(crate) fn topic_header(topic: &str, queues: i32) -> CreateTopicRequest<'_> {
    CreateTopicRequest {
        topic,
        default_topic: Some("TBW102"),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: 6,
        topic_filter_type: Some("SINGLE_TAG"),
        topic_sys_flag: Some(0),
        order: Some(false),
        attributes: None,
    }
}

pub(crate) fn send_header<'a>(
    topic: &'a str,
    queue_id: i32,
    properties: &'a str,
) -> SendMessageRequestV2<'a> {
    SendMessageRequestV2 {
        producer_group: "P",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        flag: 7,
        properties: Some(properties),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        max_reconsume_times: None,
        batch: Some(false),
    }
}

pub(crate) fn send_request(topic: &str, queue: i32, properties: &str, body: &[u8]) -> Frame {
    Frame::request(RequestCode::SEND_MESSAGE_V2, &send_header(topic, queue, properties))
        .with_body(body.to_vec())
}

pub(crate) fn pull_header<'a>(
    group: &'a str,
    topic: &'a str,
    queue_id: i32,
    offset: i64,
) -> PullMessageRequest<'a> {
    PullMessageRequest {
        consumer_group: group,
        topic,
        queue_id,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: 0,
        commit_offset: 0,
        suspend_timeout_millis: 15_000,
        subscription: None,
        sub_version: 0,
        expression_type: Some("TAG"),
        max_msg_bytes: None,
    }
}

pub(crate) fn subscription(topic: &str, tags: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.to_owned(),
        sub_string: tags.to_owned(),
        sub_version: version,
        expression_type: "TAG".to_owned(),
        ..SubscriptionData::default()
    }
}

pub(crate) fn consumer(group: &str, subscriptions: Vec<SubscriptionData>) -> ConsumerData {
    ConsumerData {
        consume_from_where: "CONSUME_FROM_LAST_OFFSET".to_owned(),
        consume_type: "CONSUME_PASSIVELY".to_owned(),
        group_name: group.to_owned(),
        message_model: "CLUSTERING".to_owned(),
        subscription_data_set: subscriptions,
        unit_mode: false,
    }
}

/// A properties text.
pub(crate) fn properties(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}\u{1}{value}\u{2}")).collect()
}

/// What the answer to a send says.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) msg_id: String,
    pub(crate) queue_id: i32,
    pub(crate) queue_offset: i64,
    pub(crate) transaction_id: Option<String>,
}

impl Sent {
    pub(crate) fn of(answer: &Frame) -> Sent {
        let header: SendMessageResponse<'_> = answer.header().unwrap();
        Sent {
            msg_id: header.msg_id.to_owned(),
            queue_id: header.queue_id,
            queue_offset: header.queue_offset,
            transaction_id: header.transaction_id.map(str::to_owned),
        }
    }
}

/// What the answer to a pull says.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) code: ResponseCode,
    pub(crate) next: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) records: Vec<MessageRecord>,
}

impl Pulled {
    pub(crate) fn of(answer: Frame) -> Pulled {
        let code = answer.response_code();
        let Ok(header) = answer.header::<PullMessageResponse>() else {
            panic!("{code}: {}", answer.remark);
        };
        Pulled {
            code,
            next: header.next_begin_offset,
            min: header.min_offset,
            max: header.max_offset,
            records: MessageRecord::take_all(answer.body).unwrap(),
        }
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.records.iter().map(|record| String::from_utf8(record.body().to_vec()).unwrap()).collect()
    }
}
