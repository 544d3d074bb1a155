//! Sending: answers, checks in Apache's order, batches, topics made on the way, retries and dead letters.

use mq_broker::{Broker, FlushDiskType};
use mq_protocol::header::{
    PullMessageRequest, SendMessageRequest, SendMessageRequestV2, SendMsgBackRequest, ViewMessageRequest,
    pull_flag,
};
use mq_protocol::id::parse_offset_msg_id;
use mq_protocol::message::batch::BatchElement;
use mq_protocol::{Encoding, Frame, MessageRecord, RequestCode, ResponseCode};

use crate::client::{
    Client, Pulled, Sent, TestBroker, consumer, properties, pull_header, send_header, send_request, settings,
    until, within,
};

#[tokio::test]
async fn a_message_is_stored_as_it_was_sent() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 4).await;
        let text = properties(&[("UNIQ_KEY", "U1"), ("TAGS", "a"), ("mine", "x=y")]);
        let sent = c.send("T", 2, &text, b"hello").await;
        assert_eq!((sent.queue_id, sent.queue_offset), (2, 0));
        assert_eq!(sent.transaction_id.as_deref(), Some("U1"));
        let (host, _) = parse_offset_msg_id(&sent.msg_id).unwrap();
        assert_eq!(host, broker.broker.broker_addr());

        let pulled = c.pull("g", "T", 2, 0, "*").await;
        assert_eq!((pulled.code, pulled.next, pulled.min, pulled.max), (ResponseCode::SUCCESS, 1, 0, 1));
        let record = &pulled.records[0];
        assert_eq!(&record.body()[..], b"hello");
        assert_eq!(record.offset_msg_id(), sent.msg_id);
        assert_eq!(record.property("mine"), Some("x=y"));
        assert_eq!(record.property("CLUSTER"), Some("DefaultCluster"));
        assert_eq!(record.property("MSG_REGION"), Some("DefaultRegion"));
        assert_eq!(record.property("TRACE_ON"), Some("true"));
        let layout = record.layout();
        assert_eq!((layout.flag, layout.born_timestamp), (7, 1_700_000_000_000));
        assert_eq!(layout.born_host, c.stream.local_addr().unwrap());

        let view = ViewMessageRequest { offset: layout.physical_offset };
        let viewed = c.ok(Frame::request(RequestCode::VIEW_MESSAGE_BY_ID, &view)).await;
        let mut body = viewed.body;
        assert_eq!(MessageRecord::take(&mut body).unwrap().as_ref(), Some(record));
    })
    .await;
}

#[tokio::test]
async fn both_headers_and_encodings_and_one_way() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        let v1 = SendMessageRequest::from(send_header("T", 0, ""));
        let mut frame = Frame::request(RequestCode::SEND_MESSAGE, &v1).with_body("one");
        frame.encoding = Encoding::Binary;
        let answer = c.ok(frame).await;
        assert_eq!(answer.encoding, Encoding::Binary);
        assert_eq!(Sent::of(&answer).transaction_id.map(|id| id.len()), Some(32));
        c.post(send_request("T", 0, "", b"two").oneway()).await;
        // The refusal of a one-way request is silent too: the next answer belongs to the next request.
        c.post(send_request("SCHEDULE_TOPIC_XXXX", 0, "", b"no").oneway()).await;
        assert_eq!(c.send("T", 0, "", b"three").await.queue_offset, 2);
        assert_eq!(c.pull("g", "T", 0, 0, "*").await.bodies(), ["one", "two", "three"]);
    })
    .await;
}

#[tokio::test]
async fn refusals_come_in_apaches_order_with_apaches_codes() {
    within(async {
        let broker = TestBroker::start_with(|config| config.set("maxMessageSize", "1000").unwrap()).await;
        let mut c = broker.client().await;
        c.create_topic("T", 2).await;
        let code = RequestCode::SEND_MESSAGE_V2;
        for topic in ["", "a b", "x\u{e4}", &"x".repeat(128)] {
            c.refused(code, &send_header(topic, 0, ""), ResponseCode::INVALID_PARAMETER).await;
        }
        for topic in ["SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "SELF_TEST_TOPIC"] {
            c.refused(code, &send_header(topic, 0, ""), ResponseCode::NO_PERMISSION).await;
        }
        let no_pattern = SendMessageRequestV2 { default_topic: "none", ..send_header("new", 0, "") };
        let refused = c.refused(code, &no_pattern, ResponseCode::TOPIC_NOT_EXIST).await;
        assert!(refused.remark.contains("topic[new] not exist"), "{}", refused.remark);
        c.refused(code, &send_header("T", 2, ""), ResponseCode::INVALID_PARAMETER).await;
        let big = c.call(send_request("T", 0, "", &[0; 1001])).await;
        assert_eq!(big.response_code(), ResponseCode::MESSAGE_ILLEGAL, "{}", big.remark);
        let long = properties(&[("k", &"v".repeat(32_767))]);
        let long = c.call(send_request("T", 0, &long, b"x")).await;
        assert_eq!(long.response_code(), ResponseCode::MESSAGE_ILLEGAL, "{}", long.remark);
        let half = send_header("T", 0, "TRAN_MSG\u{1}true\u{2}");
        c.refused(code, &half, ResponseCode::NO_PERMISSION).await;
        let timed = send_header("T", 0, "TIMER_DELAY_SEC\u{1}5\u{2}");
        c.refused(code, &timed, ResponseCode::SYSTEM_ERROR).await;
        let bad = Frame::bare_request(code);
        assert_eq!(c.call(bad).await.response_code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!(c.max_offset("T", 0).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_send_that_has_waited_too_long_is_refused() {
    within(async {
        let broker = TestBroker::start_with(|config| {
            // Whatever comes has waited for no time at least.
            config.set("waitTimeMillsInSendQueue", "0").unwrap();
        })
        .await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        let busy = c.call(send_request("T", 0, "", b"late")).await;
        assert_eq!(busy.response_code(), ResponseCode::SYSTEM_BUSY);
        let told = "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: ";
        assert!(busy.remark.starts_with(told), "{}", busy.remark);
        assert_eq!(c.max_offset("T", 0).await, 0);
        let set =
            |text: &str| Frame::bare_request(RequestCode::UPDATE_BROKER_CONFIG).with_body(text.to_owned());
        c.ok(set("brokerFastFailureEnable=false")).await;
        assert_eq!(c.send("T", 0, "", b"late").await.queue_offset, 0);
        c.ok(set("brokerFastFailureEnable=true\nwaitTimeMillsInSendQueue=600000")).await;
        assert_eq!(c.send("T", 0, "", b"in time").await.queue_offset, 1);
    })
    .await;
}

#[tokio::test]
async fn topics_are_made_after_tbw102() {
    within(async {
        let broker = TestBroker::start().await;
        let (mut c, mut namesrv) = (broker.client().await, broker.namesrv().await);
        assert_eq!(namesrv.route("TBW102").await.unwrap().queue_datas[0].perm, 7);
        assert!(namesrv.route("fresh").await.is_none());
        let sent = c.send("fresh", -1, "", b"x").await;
        assert!((0..4).contains(&sent.queue_id));
        let route = namesrv.route("fresh").await.expect("registered before the send is answered");
        let queues = &route.queue_datas[0];
        assert_eq!((queues.read_queue_nums, queues.write_queue_nums, queues.perm), (4, 4, 6));
        let many = SendMessageRequestV2 { default_topic_queue_nums: 100, ..send_header("many", 0, "") };
        c.ok(Frame::request(RequestCode::SEND_MESSAGE_V2, &many).with_body("x")).await;
        assert_eq!(namesrv.route("many").await.unwrap().queue_datas[0].write_queue_nums, 8);

        let strict =
            TestBroker::start_with(|config| config.set("autoCreateTopicEnable", "false").unwrap()).await;
        let (mut c, mut namesrv) = (strict.client().await, strict.namesrv().await);
        assert!(namesrv.route("TBW102").await.is_none());
        c.refused(RequestCode::SEND_MESSAGE_V2, &send_header("fresh", 0, ""), ResponseCode::TOPIC_NOT_EXIST)
            .await;
    })
    .await;
}

fn batch(elements: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (text, properties) in elements {
        BatchElement { flag: 3, body: text.as_bytes(), properties }.encode(&mut body);
    }
    body
}

#[tokio::test]
async fn a_batch_becomes_single_messages() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        c.send("T", 0, "", b"zero").await;
        let (a, b) = (properties(&[("UNIQ_KEY", "A"), ("TAGS", "t")]), properties(&[("UNIQ_KEY", "B")]));
        let header =
            SendMessageRequestV2 { batch: Some(true), ..send_header("T", 0, "UNIQ_KEY\u{1}ALL\u{2}") };
        let frame = |body: Vec<u8>| Frame::request(RequestCode::SEND_BATCH_MESSAGE, &header).with_body(body);
        let sent = Sent::of(&c.ok(frame(batch(&[("one", &a), ("two", &b)]))).await);
        assert_eq!(sent.queue_offset, 1);
        assert_eq!(sent.transaction_id.as_deref(), Some("ALL"));
        let ids: Vec<&str> = sent.msg_id.split(',').collect();
        let pulled = c.pull("g", "T", 0, 1, "*").await;
        assert_eq!(pulled.bodies(), ["one", "two"]);
        assert_eq!(pulled.records.iter().map(MessageRecord::offset_msg_id).collect::<Vec<_>>(), ids);
        assert_eq!(pulled.records[0].property("UNIQ_KEY"), Some("A"));
        assert_eq!(pulled.records[1].layout().flag, 3);
        assert_eq!(c.pull("g", "T", 0, 0, "t").await.bodies(), ["one"]);

        let whole = batch(&[("one", ""), ("two", "")]);
        for bad in [Vec::new(), whole[..whole.len() - 1].to_vec(), b"garbage!".to_vec()] {
            let answer = c.call(frame(bad)).await;
            assert_eq!(answer.response_code(), ResponseCode::MESSAGE_ILLEGAL, "{}", answer.remark);
        }
        let delayed = c.call(frame(batch(&[("one", "DELAY\u{1}3\u{2}")]))).await;
        assert_eq!(delayed.response_code(), ResponseCode::MESSAGE_ILLEGAL);
        c.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        let retry = SendMessageRequestV2 { batch: Some(true), ..send_header("%RETRY%g", 0, "") };
        let answer = c
            .call(Frame::request(RequestCode::SEND_BATCH_MESSAGE, &retry).with_body(batch(&[("x", "")])))
            .await;
        assert_eq!(answer.response_code(), ResponseCode::MESSAGE_ILLEGAL);
        assert_eq!(c.max_offset("T", 0).await, 3);
    })
    .await;
}

#[tokio::test]
async fn with_sync_flush_the_disk_has_it_and_others_are_not_kept_waiting() {
    within(async {
        let broker = TestBroker::start_with(|config| config.flush_disk_type = FlushDiskType::Sync).await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        let mut posted = Vec::new();
        for n in 0..200 {
            posted.push(c.post(send_request("T", 0, "", n.to_string().as_bytes())).await);
        }
        for (n, opaque) in posted.into_iter().enumerate() {
            let answer = c.answer(opaque).await;
            assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
            assert_eq!(Sent::of(&answer).queue_offset, i64::try_from(n).unwrap());
        }
        assert_eq!(c.max_offset("T", 0).await, 200);
    })
    .await;
}

async fn send_back(c: &mut Client, offset: i64, level: i32, max: Option<i32>) -> Frame {
    let header = SendMsgBackRequest {
        offset,
        group: "g",
        delay_level: level,
        origin_msg_id: None,
        origin_topic: Some("T"),
        unit_mode: Some(false),
        max_reconsume_times: max,
    };
    c.call(Frame::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header)).await
}

/// Takes the files in a directory out of the page cache.
fn forget(dir: &std::path::Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            forget(&path);
        } else {
            let file = std::fs::File::open(&path).unwrap();
            file.sync_all().unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
    }
}

#[tokio::test]
async fn a_message_sent_back_that_only_the_disk_has_is_read_first() {
    within(async {
        // On the disk of the build: one in memory is never cold.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let broker = Broker::start(settings(&folder)).await.unwrap();
        let mut c = Client::connect(broker.broker_addr()).await;
        c.create_topic("T", 1).await;
        for _ in 0..20 {
            c.send("T", 0, "", &[b'x'; 60_000]).await;
        }
        let offsets = c.pull("g", "T", 0, 0, "*").await.records;
        let offsets: Vec<_> = offsets.iter().map(|record| record.layout().physical_offset).collect();
        broker.stop().await.unwrap();
        forget(folder.path());
        let broker = Broker::start(settings(&folder)).await.unwrap();
        let mut c = Client::connect(broker.broker_addr()).await;
        c.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        for (n, offset) in (1..).zip(&offsets) {
            let answer = send_back(&mut c, *offset, 0, None).await;
            assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{}", answer.remark);
            assert_eq!(c.max_offset("SCHEDULE_TOPIC_XXXX", 2).await, n);
        }
        let answer = send_back(&mut c, offsets[0] + 1, 0, None).await;
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        broker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_message_sent_back_comes_again_and_dies_after_its_retries() {
    within(async {
        let broker =
            TestBroker::start_with(|config| config.set("messageDelayLevel", "1s 1s 1s 1s 2s").unwrap()).await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        c.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        let sent = c.send("T", 0, "UNIQ_KEY\u{1}K\u{2}TAGS\u{1}t\u{2}", b"body").await;
        let first = c.pull("g", "T", 0, 0, "*").await.records.remove(0);

        let answer = send_back(&mut c, first.layout().physical_offset, 0, None).await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS, "{}", answer.remark);
        assert_eq!(c.max_offset("SCHEDULE_TOPIC_XXXX", 2).await, 1, "the first retry waits at level 3");
        let header = PullMessageRequest {
            sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
            subscription: Some("*"),
            ..pull_header("g", "%RETRY%g", 0, 0)
        };
        let retried =
            Pulled::of(c.ok(Frame::request(RequestCode::PULL_MESSAGE, &header)).await).records.remove(0);
        assert_eq!(&retried.body()[..], b"body");
        assert_eq!(retried.layout().reconsume_times, 1);
        assert_eq!(retried.property("RETRY_TOPIC"), Some("T"));
        assert_eq!(retried.property("ORIGIN_MESSAGE_ID"), Some(&*sent.msg_id));
        assert_eq!(retried.property("UNIQ_KEY"), Some("K"));
        assert_eq!(retried.property("REAL_TOPIC"), Some("%RETRY%g"));
        assert_eq!(retried.layout().born_timestamp, first.layout().born_timestamp);

        let answer = send_back(&mut c, retried.layout().physical_offset, 0, Some(1)).await;
        assert_eq!(answer.response_code(), ResponseCode::SUCCESS);
        let dead = c.pull("g", "%DLQ%g", 0, 0, "*").await.records.remove(0);
        assert_eq!(dead.layout().reconsume_times, 2);
        assert_eq!(dead.property("RETRY_TOPIC"), Some("T"));
        assert_eq!(dead.property("ORIGIN_MESSAGE_ID"), Some(&*sent.msg_id));
        send_back(&mut c, first.layout().physical_offset, -1, None).await;
        assert_eq!(c.max_offset("%DLQ%g", 0).await, 2);
        let missing = send_back(&mut c, 12_345_678, 0, None).await;
        assert_eq!(missing.response_code(), ResponseCode::SYSTEM_ERROR);
    })
    .await;
}

#[tokio::test]
async fn a_client_may_retry_by_sending_to_the_retry_topic() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        let send = |retries, max| {
            let header = SendMessageRequestV2 {
                reconsume_times: Some(retries),
                max_reconsume_times: max,
                ..send_header("%RETRY%g", 0, "DELAY\u{1}3\u{2}RETRY_TOPIC\u{1}T\u{2}")
            };
            Frame::request(RequestCode::SEND_MESSAGE_V2, &header).with_body("x")
        };
        c.ok(send(2, Some(5))).await;
        assert_eq!(c.max_offset("SCHEDULE_TOPIC_XXXX", 2).await, 1);
        c.ok(send(6, Some(5))).await;
        let dead = c.pull("g", "%DLQ%g", 0, 0, "*").await.records.remove(0);
        assert_eq!(dead.property("DELAY"), Some("-1"));
        let header = send_header("%RETRY%a:b", 0, "");
        c.refused(RequestCode::SEND_MESSAGE_V2, &header, ResponseCode::INVALID_PARAMETER).await;
    })
    .await;
}

#[tokio::test]
async fn a_delayed_message_arrives_when_it_is_due() {
    within(async {
        let broker = TestBroker::start_with(|config| config.set("messageDelayLevel", "1s 2s").unwrap()).await;
        let mut c = broker.client().await;
        c.create_topic("T", 3).await;
        c.send("T", 2, &properties(&[("DELAY", "2"), ("TAGS", "late")]), b"two").await;
        c.send("T", 2, &properties(&[("DELAY", "1"), ("TAGS", "late")]), b"one").await;
        c.send("T", 2, &properties(&[("DELAY", "99"), ("TAGS", "other")]), b"clipped").await;
        assert_eq!(c.max_offset("T", 2).await, 0);
        until("all are delivered", async || c.max_offset("T", 2).await == 3).await;
        let pulled = c.pull("g", "T", 2, 0, "late").await;
        assert_eq!(pulled.bodies(), ["one", "two"]);
        for (record, delay) in pulled.records.iter().zip([1000, 2000]) {
            assert_eq!(record.property("REAL_TOPIC"), Some("T"));
            let waited = c.pull("g", "SCHEDULE_TOPIC_XXXX", if delay == 1000 { 0 } else { 1 }, 0, "*").await;
            let stored = waited.records[0].layout().store_timestamp;
            assert!(record.layout().store_timestamp >= stored + delay);
        }
    })
    .await;
}
