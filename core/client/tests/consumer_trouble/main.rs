//! The push consumer against a scripted server: answers that no good broker gives, and what brokers ask.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod consistency;
mod locks;
mod subscribing;
mod thresholds;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mq_client::body::{ConsumeDirectlyResult, ConsumerRunningInfo, ConsumerStatusBody, ResetOffsetBody};
use mq_client::{ConsumeFrom, ConsumeResult, Listener, MessageQueue, MessageView, PushConsumerConfig};
use mq_protocol::compression::Compression;
use mq_protocol::header::{
    ConsumerGroupRequest, ConsumerRunningInfoRequest, ConsumerStatusRequest, PullMessageRequest,
    ResetOffsetRequest, SendMessageRequestV2, SendMsgBackRequest,
};
use mq_protocol::{Frame, Properties, RequestCode, ResponseCode, fastjson};
use support::shelf::{Shelf, pull_answer};
use support::{Act, FakeServer, Setup, until, within};

type Seen = Arc<Mutex<Vec<MessageView>>>;

/// A listener that keeps what it sees and answers by the body.
fn listener(answer: fn(&MessageView) -> ConsumeResult) -> (Seen, Arc<dyn Listener>) {
    let seen = Seen::default();
    let kept = seen.clone();
    let listener = move |messages: Vec<MessageView>| {
        let result = answer(&messages[0]);
        kept.lock().unwrap().extend(messages);
        async move { result }
    };
    (seen, Arc::new(listener))
}

fn bodies(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().iter().map(|m| String::from_utf8(m.body().to_vec()).unwrap()).collect()
}

fn config() -> PushConsumerConfig {
    let mut config = PushConsumerConfig::new("G").subscribe("T", "*");
    config.consume_from_where = ConsumeFrom::First;
    config.pull_delay_when_failed = Duration::from_millis(10);
    config
}

/// One broker with one queue for every topic but retry topics.
async fn server(script: impl Fn(&Frame) -> Act + Send + Sync + 'static) -> FakeServer {
    let no_retry = move |frame: &Frame| match (frame.request_code(), frame.ext.get("topic")) {
        (RequestCode::GET_ROUTEINFO_BY_TOPIC, Some(topic)) if topic.starts_with("%RETRY%") => {
            Act::Answer(Frame::response(frame, ResponseCode::TOPIC_NOT_EXIST))
        }
        _ => script(frame),
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let setup = Setup { brokers: vec![("b".to_owned(), address.clone(), 1)] };
    FakeServer::start_on(&address, Some(setup), no_retry).await
}

#[tokio::test]
async fn a_message_that_the_broker_does_not_take_back_is_sent_as_a_copy() {
    let shelf = Shelf::new();
    shelf.put("T", 0, 0, b"x", "UNIQ_KEY\u{1}ID\u{2}TAGS\u{1}t\u{2}");
    let scripted = shelf.clone();
    let server = server(move |frame| match frame.request_code() {
        RequestCode::CONSUMER_SEND_MSG_BACK => {
            Act::Answer(Frame::response(frame, ResponseCode::SYSTEM_ERROR))
        }
        _ => scripted.act(frame),
    })
    .await;
    let client = server.client();
    let (seen, listener) = listener(|_| ConsumeResult::LATER);
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    until("a copy is sent", || server.count(RequestCode::SEND_MESSAGE_V2) == 1).await;
    let asked = server.frames(RequestCode::CONSUMER_SEND_MSG_BACK).remove(0);
    let header: SendMsgBackRequest<'_> = asked.header().unwrap();
    assert_eq!((header.offset, header.group, header.delay_level), (1000, "G", 0));
    assert_eq!((header.origin_msg_id, header.max_reconsume_times), (Some("ID"), Some(16)));
    let copy = server.frames(RequestCode::SEND_MESSAGE_V2).remove(0);
    let header: SendMessageRequestV2<'_> = copy.header().unwrap();
    assert_eq!(
        (header.topic, header.reconsume_times, header.max_reconsume_times),
        ("%RETRY%G", Some(1), Some(16))
    );
    let properties = Properties::parse(header.properties.unwrap());
    assert_eq!((properties.get("RETRY_TOPIC"), properties.get("DELAY")), (Some("T"), Some("3")));
    assert_eq!((properties.get("UNIQ_KEY"), properties.get("TAGS")), (Some("ID"), Some("t")));
    until("it counts as consumed", || seen.lock().unwrap().len() == 1 && consumer.queues().len() == 1).await;
    within(consumer.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(1));
    within(client.close()).await;
}

#[tokio::test]
async fn an_offset_outside_the_queue_is_moved_and_committed() {
    let shelf = Shelf::new();
    for n in 0..5 {
        shelf.put("T", 0, 0, format!("m{n}").as_bytes(), "");
    }
    let scripted = shelf.clone();
    let server = server(move |frame| {
        if frame.request_code() == RequestCode::PULL_MESSAGE {
            let header: PullMessageRequest<'_> = frame.header().unwrap();
            if header.queue_offset < 3 {
                return Act::Answer(pull_answer(frame, ResponseCode::PULL_OFFSET_MOVED, 3));
            }
        }
        scripted.act(frame)
    })
    .await;
    let client = server.client();
    let (seen, listener) = listener(|_| ConsumeResult::Success);
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    until("the rest arrives", || seen.lock().unwrap().len() == 2).await;
    assert_eq!(bodies(&seen), ["m3", "m4"]);
    within(consumer.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(5));
    within(client.close()).await;
}

#[tokio::test]
async fn a_refused_pull_is_tried_again_after_a_heartbeat() {
    let shelf = Shelf::new();
    shelf.put("T", 0, 0, b"x", "");
    let scripted = shelf.clone();
    let refusals = AtomicUsize::new(0);
    let server = server(move |frame| {
        if frame.request_code() == RequestCode::PULL_MESSAGE && refusals.fetch_add(1, Ordering::SeqCst) < 2 {
            return Act::Answer(Frame::response(frame, ResponseCode::SUBSCRIPTION_NOT_LATEST));
        }
        scripted.act(frame)
    })
    .await;
    let client = server.client();
    let (seen, listener) = listener(|_| ConsumeResult::Success);
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    until("it arrives", || seen.lock().unwrap().len() == 1).await;
    assert!(server.count(RequestCode::HEART_BEAT) >= 4);
    within(consumer.close()).await;
    within(client.close()).await;
}

#[tokio::test]
async fn a_cut_connection_is_made_again_and_consuming_goes_on() {
    let shelf = Shelf::new();
    let scripted = shelf.clone();
    let server = server(move |frame| scripted.act(frame)).await;
    let client = server.client();
    let (seen, listener) = listener(|_| ConsumeResult::Success);
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    for round in 1..4 {
        shelf.put("T", 0, 0, b"x", "");
        until("it arrives", || seen.lock().unwrap().len() == round).await;
        let beats = server.count(RequestCode::HEART_BEAT);
        server.cut_all();
        until("the broker hears of the member again", || server.count(RequestCode::HEART_BEAT) > beats).await;
    }
    within(consumer.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(3));
    within(client.close()).await;
}

#[tokio::test]
async fn a_body_that_does_not_inflate_is_sent_back_and_the_others_arrive() {
    let shelf = Shelf::new();
    let bomb = Compression::Zlib.compress(&vec![0; 1_000_000], 9).unwrap();
    shelf.put("T", 0, Compression::Zlib.flags(), b"nonsense", "");
    shelf.put("T", 0, Compression::Zlib.flags(), &bomb, "");
    shelf.put("T", 0, 0, b"good", "");
    let scripted = shelf.clone();
    let server = server(move |frame| scripted.act(frame)).await;
    let client = server.client();
    let (seen, listener) = listener(|_| ConsumeResult::Success);
    let mut config = config();
    config.max_decompressed_size = 100_000;
    let consumer = within(client.push_consumer(config, listener)).await.unwrap();
    until("the good one arrives", || bodies(&seen) == ["good"]).await;
    assert_eq!(server.count(RequestCode::CONSUMER_SEND_MSG_BACK), 2);
    within(consumer.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(3));
    within(client.close()).await;
}

#[tokio::test]
async fn what_brokers_ask_is_answered() {
    let shelf = Shelf::new();
    for n in 0..4 {
        shelf.put("T", 0, 0, format!("m{n}").as_bytes(), "");
    }
    let scripted = shelf.clone();
    let server = server(move |frame| scripted.act(frame)).await;
    let client = server.client();
    let (seen, listener) = listener(|message| match &message.body()[..] {
        b"direct" => ConsumeResult::LATER,
        _ => ConsumeResult::Success,
    });
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    until("all arrive", || seen.lock().unwrap().len() == 4).await;
    let answer = async |opaque: i32, question: Frame| {
        let mut question = question;
        question.opaque = opaque;
        server.push(&question);
        let find = || {
            let frames = server.seen.lock().unwrap();
            frames.iter().find(|f| f.is_response() && f.opaque == opaque).cloned()
        };
        until("it is answered", || find().is_some()).await;
        find().unwrap()
    };

    let status = ConsumerStatusRequest { topic: "T", group: "G", client_addr: None };
    until("all is consumed", || consumer.queues().len() == 1).await;
    let frame = answer(1, Frame::request(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, &status)).await;
    let status: ConsumerStatusBody = fastjson::from_slice(&frame.body).unwrap();
    assert_eq!(status.message_queue_table.values().copied().collect::<Vec<_>>(), [4]);

    let unknown = ConsumerGroupRequest { consumer_group: "other" };
    let frame = answer(2, Frame::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &unknown)).await;
    assert_eq!(frame.response_code(), ResponseCode::SYSTEM_ERROR);
    assert!(frame.remark.contains("'other'"), "{}", frame.remark);

    let asked = ConsumerRunningInfoRequest {
        consumer_group: "G",
        client_id: client.client_id(),
        jstack_enable: Some(true),
    };
    let frame = answer(5, Frame::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &asked)).await;
    let info: ConsumerRunningInfo = fastjson::from_slice(&frame.body).unwrap();
    assert_eq!(info.properties["consumeMessageBatchMaxSize"], "1");
    assert!(info.jstack.unwrap().starts_with("0 listener calls run; 5 of at most 64 workers are there"));

    let own = ConsumerGroupRequest { consumer_group: "G" };
    let mut body = bytes::BytesMut::new();
    let record = mq_protocol::message::NewRecord {
        topic: "T",
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: server.address,
        store_host: server.address,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"direct",
        body_crc: 0,
        properties: "",
    };
    let place = mq_protocol::message::Place { queue_offset: 0, physical_offset: 0, store_timestamp: 0 };
    record.encode(place, &mut body);
    let direct = Frame::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &own);
    let frame = answer(3, direct.clone().with_body(body.freeze())).await;
    let result: ConsumeDirectlyResult = fastjson::from_slice(&frame.body).unwrap();
    assert_eq!(result.consume_result, "CR_LATER");
    assert_eq!(server.count(RequestCode::CONSUMER_SEND_MSG_BACK), 0);
    let frame = answer(4, direct.with_body(&b"garbage"[..])).await;
    assert_eq!(frame.response_code(), ResponseCode::SYSTEM_ERROR);

    // Back to offset 2: the last two come again.
    seen.lock().unwrap().clear();
    let mut table = ResetOffsetBody::default();
    let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 0 };
    table.offset_table.insert(queue, 2);
    let reset = ResetOffsetRequest {
        topic: "T",
        group: "G",
        timestamp: 0,
        is_force: Some(true),
        queue_id: None,
        offset: None,
    };
    let request = Frame::request(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, &reset);
    server.push(&request.with_body(table.to_body().unwrap()).oneway());
    until("two come again", || bodies(&seen) == ["m2", "m3"]).await;
    within(consumer.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(4));
    within(client.close()).await;
}

#[tokio::test]
async fn a_server_that_asks_to_be_left_is_left_and_found_again() {
    let leave = Arc::new(AtomicBool::new(true));
    let scripted = leave.clone();
    let server = FakeServer::start(move |frame| {
        if frame.request_code() == RequestCode::SEND_MESSAGE_V2 && scripted.swap(false, Ordering::SeqCst) {
            return Act::Answer(Frame::response(frame, ResponseCode::GO_AWAY));
        }
        Act::Usual
    })
    .await;
    let client = server.client();
    let producer = client.producer(mq_client::ProducerConfig::default()).unwrap();
    within(producer.send(mq_client::Message::new("T", "x"))).await.unwrap();
    assert!(!leave.load(Ordering::SeqCst));
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    within(client.close()).await;
}
