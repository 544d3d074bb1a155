//! The pull consumer against a scripted server: answers that no good broker gives, and what brokers ask.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use mq_client::body::{ConsumerRunningInfo, ConsumerStatusBody, ResetOffsetBody};
use mq_client::{
    Client, ConsumeFrom, ErrorCode, MessageQueue, MessageView, PullConsumer, PullConsumerConfig,
};
use mq_protocol::compression::Compression;
use mq_protocol::header::{
    ConsumerGroupRequest, ConsumerStatusRequest, PullMessageRequest, ResetOffsetRequest,
};
use mq_protocol::{Frame, RequestCode, ResponseCode, fastjson};
use support::shelf::{Shelf, pull_answer};
use support::{Act, FakeServer, Setup, until, until_async, within};

const LITE: RequestCode = RequestCode::LITE_PULL_MESSAGE;
const LONG: Duration = Duration::from_secs(10);

fn config() -> PullConsumerConfig {
    let mut config = PullConsumerConfig::new("G").subscribe("T", "*");
    config.consume_from_where = ConsumeFrom::First;
    config.pull_delay_when_failed = Duration::from_millis(10);
    config
}

/// One broker with one queue, and a shelf with this many messages in it.
async fn broker(
    messages: usize,
    script: impl Fn(&Frame) -> Option<Act> + Send + Sync + 'static,
) -> (FakeServer, Arc<Shelf>) {
    let shelf = Shelf::new();
    for n in 0..messages {
        shelf.put("T", 0, 0, format!("m{n}").as_bytes(), "");
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let setup = Setup { brokers: vec![("b".to_owned(), address.clone(), 1)] };
    let own = shelf.clone();
    let act = move |frame: &Frame| script(frame).unwrap_or_else(|| own.act(frame));
    (FakeServer::start_on(&address, Some(setup), act).await, shelf)
}

async fn start(server: &FakeServer, config: PullConsumerConfig) -> (Client, PullConsumer) {
    let client = server.client();
    let consumer = within(client.pull_consumer(config)).await.unwrap();
    (client, consumer)
}

async fn poll(consumer: &PullConsumer) -> Vec<String> {
    let messages = within(consumer.poll(LONG)).await.unwrap();
    messages.iter().map(|message| String::from_utf8(message.body().to_vec()).unwrap()).collect()
}

fn queue() -> MessageQueue {
    MessageQueue { topic: "T".to_owned(), broker_name: "b".to_owned(), queue_id: 0 }
}

#[tokio::test]
async fn pulls_are_those_of_javas_lite_consumer() {
    let (server, shelf) = broker(3, |_| None).await;
    let (client, consumer) = start(&server, config().subscribe("T", "a || b")).await;
    until("it pulls", || server.count(LITE) > 0).await;
    let frame = server.frames(LITE).remove(0);
    let header: PullMessageRequest<'_> = frame.header().unwrap();
    assert_eq!((header.consumer_group, header.topic, header.queue_offset), ("G", "T", 0));
    assert_eq!((header.subscription, header.expression_type), (Some("a || b"), Some("TAG")));
    assert_eq!((header.sys_flag, header.sub_version, header.max_msg_nums), (2 | 4 | 16, 0, 32));
    assert_eq!(header.suspend_timeout_millis, 20_000);
    // None of them has a tag: they are left out here too, and the position moves on.
    until_async("the position moves on", async || {
        assert!(consumer.poll(Duration::from_millis(10)).await.unwrap().is_empty());
        consumer.position(&queue()).await.unwrap() == 3
    })
    .await;
    within(client.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(3));
}

#[tokio::test]
async fn a_broker_before_5_is_pulled_from_as_push_consumers_do() {
    let (server, _) = broker(2, |frame| {
        (frame.request_code() == LITE)
            .then(|| Act::Answer(Frame::response(frame, ResponseCode::REQUEST_CODE_NOT_SUPPORTED)))
    })
    .await;
    let (client, consumer) = start(&server, config()).await;
    assert_eq!(poll(&consumer).await, ["m0", "m1"]);
    assert_eq!(server.count(LITE), 1);
    let frame = server.frames(RequestCode::PULL_MESSAGE).remove(0);
    let header: PullMessageRequest<'_> = frame.header().unwrap();
    assert_eq!(header.sys_flag, 2 | 4 | 16);
    within(client.close()).await;
}

#[tokio::test]
async fn an_offset_outside_the_queue_is_moved() {
    let (server, shelf) = broker(5, |frame| {
        let header: PullMessageRequest<'_> =
            (frame.request_code() == LITE).then(|| frame.header().unwrap())?;
        (header.queue_offset < 3).then(|| Act::Answer(pull_answer(frame, ResponseCode::PULL_OFFSET_MOVED, 3)))
    })
    .await;
    let (client, consumer) = start(&server, config()).await;
    assert_eq!(poll(&consumer).await, ["m3", "m4"]);
    within(client.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(5));
}

#[tokio::test]
async fn failures_are_tried_again_and_nothing_is_lost_or_doubled() {
    let count = AtomicI64::new(0);
    let (server, _) = broker(40, move |frame| {
        if frame.request_code() != LITE {
            return None;
        }
        match count.fetch_add(1, Ordering::SeqCst) % 5 {
            0 => Some(Act::Answer(Frame::response(frame, ResponseCode::SYSTEM_BUSY))),
            1 => Some(Act::Answer(Frame::response(frame, ResponseCode::FLOW_CONTROL))),
            2 => Some(Act::Cut),
            3 => Some(Act::Answer(Frame::response(frame, ResponseCode::SUCCESS).with_body("nonsense"))),
            _ => None,
        }
    })
    .await;
    let mut config = config();
    config.pull_batch_size = 8;
    let (client, consumer) = start(&server, config).await;
    let mut seen = Vec::new();
    while seen.len() < 40 {
        seen.extend(poll(&consumer).await);
    }
    assert_eq!(seen, (0..40).map(|n| format!("m{n}")).collect::<Vec<_>>());
    within(client.close()).await;
}

#[tokio::test]
async fn a_start_offset_that_nobody_tells_is_asked_for_again() {
    let away = Arc::new(AtomicBool::new(true));
    let scripted = away.clone();
    let (server, _) = broker(1, move |frame| {
        (frame.request_code() == RequestCode::QUERY_CONSUMER_OFFSET && scripted.load(Ordering::SeqCst))
            .then(|| Act::Answer(Frame::response(frame, ResponseCode::SYSTEM_ERROR)))
    })
    .await;
    let (client, consumer) = start(&server, config()).await;
    assert_eq!(consumer.assignment(), [queue()]);
    assert!(within(consumer.position(&queue())).await.is_err());
    assert_eq!(server.count(LITE), 0);
    away.store(false, Ordering::SeqCst);
    assert_eq!(poll(&consumer).await, ["m0"]);
    within(client.close()).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_reported_once_and_passed() {
    let (server, shelf) = broker(1, |_| None).await;
    shelf.put("T", 0, Compression::Zlib.flags(), b"not zlib", "");
    shelf.put("T", 0, 0, b"after", "");
    let (client, consumer) = start(&server, config()).await;
    assert_eq!(poll(&consumer).await, ["m0"]);
    let error = within(consumer.poll(LONG)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Broker);
    assert_eq!(poll(&consumer).await, ["after"]);
    within(client.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(3));
}

#[tokio::test]
async fn a_seek_takes_effect_while_a_pull_waits_at_the_broker() {
    // A pull at the end of the queue is held for ever.
    let (server, _) = broker(3, |frame| {
        let header: PullMessageRequest<'_> =
            (frame.request_code() == LITE).then(|| frame.header().unwrap())?;
        (header.queue_offset >= 3).then_some(Act::Silence)
    })
    .await;
    let (client, consumer) = start(&server, config()).await;
    assert_eq!(poll(&consumer).await.len(), 3);
    until("a pull is held", || server.count(LITE) == 2).await;
    within(consumer.seek(&queue(), 1)).await.unwrap();
    assert_eq!(poll(&consumer).await, ["m1", "m2"]);
    // Closing does not wait for the pull that is held.
    within(client.close()).await;
}

#[tokio::test]
async fn commits_that_fail_are_told() {
    let (server, _) = broker(3, |frame| {
        (frame.request_code() == RequestCode::UPDATE_CONSUMER_OFFSET && !frame.is_oneway())
            .then(|| Act::Answer(Frame::response(frame, ResponseCode::NO_PERMISSION)))
    })
    .await;
    let (client, consumer) = start(&server, config()).await;
    assert_eq!(poll(&consumer).await.len(), 3);
    assert_eq!(within(consumer.commit()).await.unwrap_err().code(), ErrorCode::Denied);
    within(client.close()).await;
}

#[tokio::test]
async fn brokers_and_tools_get_answers() {
    let (server, shelf) = broker(3, |_| None).await;
    let (client, consumer) = start(&server, config()).await;
    assert_eq!(poll(&consumer).await.len(), 3);
    let ask = async |opaque: i32, mut frame: Frame| {
        frame.opaque = opaque;
        server.push(&frame);
        let seen = server.seen.clone();
        let find = || seen.lock().unwrap().iter().find(|f| f.is_response() && f.opaque == opaque).cloned();
        until("it is answered", || find().is_some()).await;
        find().unwrap()
    };
    let group = ConsumerGroupRequest { consumer_group: "G" };
    let answer = ask(7001, Frame::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &group)).await;
    let info: ConsumerRunningInfo = fastjson::from_slice(&answer.body).unwrap();
    assert_eq!(info.properties["PROP_CONSUME_TYPE"], "CONSUME_ACTIVELY");
    assert_eq!(info.mq_table[&queue()].commit_offset, 3);
    let answer = ask(7002, Frame::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &group)).await;
    assert!(answer.code != 0 && answer.remark.contains("no listener"), "{answer:?}");
    let status = ConsumerStatusRequest { topic: "T", group: "G", client_addr: None };
    let answer = ask(7003, Frame::request(RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT, &status)).await;
    let body: ConsumerStatusBody = fastjson::from_slice(&answer.body).unwrap();
    assert_eq!(body.message_queue_table[&queue()], 3);

    let reset = ResetOffsetRequest {
        topic: "T",
        group: "G",
        timestamp: 0,
        is_force: Some(true),
        queue_id: None,
        offset: None,
    };
    let table = ResetOffsetBody { offset_table: [(queue(), 1)].into() };
    let frame = Frame::request(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, &reset);
    server.push(&frame.with_body(table.to_body().unwrap()).oneway());
    assert_eq!(poll(&consumer).await, ["m1", "m2"]);
    within(client.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(3));
}

#[tokio::test]
async fn views_share_what_was_received() {
    let (server, _) = broker(1, |_| None).await;
    let (client, consumer) = start(&server, config()).await;
    let message: MessageView = within(consumer.poll(LONG)).await.unwrap().remove(0);
    assert_eq!((message.topic(), message.broker_name(), message.queue_offset()), ("T", "b", 0));
    // Dropping all handles closes in the background.
    drop(consumer);
    until("it left the group", || server.count(RequestCode::UNREGISTER_CLIENT) > 0).await;
    within(client.close()).await;
}

#[tokio::test]
async fn a_refusal_that_waiting_does_not_mend_is_told() {
    let refuse = Arc::new(AtomicBool::new(true));
    let scripted = refuse.clone();
    let (server, _) = broker(1, move |frame| {
        (frame.request_code() == LITE && scripted.load(Ordering::SeqCst))
            .then(|| Act::Answer(Frame::response(frame, ResponseCode::NO_PERMISSION)))
    })
    .await;
    let (client, consumer) = start(&server, config()).await;
    until("it was refused", || server.count(LITE) > 1).await;
    let error = within(consumer.poll(Duration::from_millis(20))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Denied);
    refuse.store(false, Ordering::SeqCst);
    assert_eq!(poll(&consumer).await, ["m0"]);
    assert!(within(consumer.poll(Duration::from_millis(20))).await.unwrap().is_empty());
    within(client.close()).await;
}

#[tokio::test]
async fn a_commit_by_hand_is_not_taken_back_by_the_next_automatic_one() {
    let (server, shelf) = broker(3, |_| None).await;
    let mut config = config();
    config.auto_commit_interval = Duration::from_millis(20);
    let (client, consumer) = start(&server, config).await;
    assert_eq!(poll(&consumer).await.len(), 3);
    within(consumer.commit()).await.unwrap();
    assert_eq!(shelf.offset("T", 0), Some(3));
    let sent = server.count(RequestCode::UPDATE_CONSUMER_OFFSET);
    until("two more are sent", || server.count(RequestCode::UPDATE_CONSUMER_OFFSET) >= sent + 2).await;
    assert_eq!(shelf.offset("T", 0), Some(3));
    within(client.close()).await;
}

#[tokio::test]
async fn an_assignment_that_is_given_up_in_the_middle_is_made_all_the_same() {
    let slow = Arc::new(AtomicBool::new(true));
    let scripted = slow.clone();
    let (server, _) = broker(1, move |frame| {
        (frame.request_code() == RequestCode::QUERY_CONSUMER_OFFSET && scripted.load(Ordering::SeqCst))
            .then_some(Act::Silence)
    })
    .await;
    let mut config = config();
    config.subscriptions.clear();
    let (client, consumer) = start(&server, config).await;
    let assigning = {
        let consumer = consumer.clone();
        tokio::spawn(async move { consumer.assign(&[queue()]).await })
    };
    until("the offset is asked for", || server.count(RequestCode::QUERY_CONSUMER_OFFSET) > 0).await;
    assigning.abort();
    assert!(assigning.await.unwrap_err().is_cancelled());
    slow.store(false, Ordering::SeqCst);
    assert_eq!(poll(&consumer).await, ["m0"]);
    within(client.close()).await;
}
