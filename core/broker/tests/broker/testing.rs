//! Faults and the movable clock.

use std::time::Duration;

use mq_broker::Broker;
use mq_broker::testing::{Faults, TestClock};
use mq_protocol::body::{LockBatchBody, LockOkBody, MessageQueue};
use mq_protocol::header::{
    ConsumerGroupRequest, PullMessageRequest, SendMessageResponse, SendMsgBackRequest, pull_flag,
};
use mq_protocol::{Frame, MessageRecord, RequestCode, ResponseCode, fastjson};

use crate::client::{
    Client, Pulled, TestBroker, consumer, properties, pull_header, send_request, settings, subscription,
    until, within,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn chosen_requests_fail_are_delayed_or_lose_their_answer() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        let faults = broker.broker.faults();

        faults.fail_next(RequestCode::SEND_MESSAGE, ResponseCode::SYSTEM_BUSY, 2);
        for _ in 0..2 {
            let answer = c.call(send_request("T", 0, "", b"x")).await;
            assert_eq!(answer.response_code(), ResponseCode::SYSTEM_BUSY);
        }
        assert_eq!(c.send("T", 0, "", b"kept").await.queue_offset, 0, "what failed was not stored");

        // Codes that say "stored, but not safe yet" come with the message stored.
        for (offset, code) in [
            (1, ResponseCode::FLUSH_DISK_TIMEOUT),
            (2, ResponseCode::SLAVE_NOT_AVAILABLE),
            (3, ResponseCode::FLUSH_SLAVE_TIMEOUT),
        ] {
            faults.fail_next(RequestCode::SEND_MESSAGE, code, 1);
            let answer = c.call(send_request("T", 0, "", code.0.to_string().as_bytes())).await;
            assert_eq!(answer.response_code(), code);
            assert_eq!(answer.header::<SendMessageResponse>().unwrap().queue_offset, offset);
        }
        // What the broker refuses by itself stays refused.
        faults.fail_next(RequestCode::SEND_MESSAGE, ResponseCode::FLUSH_DISK_TIMEOUT, 1);
        let answer = c.call(send_request("T", 9, "", b"x")).await;
        assert_eq!(answer.response_code(), ResponseCode::INVALID_PARAMETER);

        faults.lose_answer_next(RequestCode::SEND_MESSAGE, 1);
        let lost = c.post(send_request("T", 0, "", b"unanswered")).await;
        assert_eq!(c.send("T", 0, "", b"after").await.queue_offset, 5, "what was not answered was stored");

        faults.delay_next(RequestCode::SEND_MESSAGE, Duration::from_millis(50), 1);
        let late = c.post(send_request("T", 0, "", b"late")).await;
        assert_eq!(c.max_offset("T", 0).await, 6, "others go on meanwhile");
        assert_eq!(c.answer(late).await.response_code(), ResponseCode::SUCCESS);
        assert_eq!(
            c.pull("g", "T", 0, 0, "*").await.bodies(),
            ["kept", "10", "11", "12", "unanswered", "after", "late"],
            "request {lost} stays without an answer"
        );

        // Also of a request that waits.
        faults.lose_answer_next(RequestCode::PULL_MESSAGE, 1);
        let header = PullMessageRequest {
            sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
            subscription: Some("*"),
            ..pull_header("g", "T", 0, 7)
        };
        c.post(Frame::request(RequestCode::PULL_MESSAGE, &header)).await;
        let second = c.post(Frame::request(RequestCode::PULL_MESSAGE, &header)).await;
        c.send("T", 0, "", b"more").await;
        assert_eq!(Pulled::of(c.answer(second).await).bodies(), ["more"]);
    })
    .await;
}

#[tokio::test]
async fn connections_are_cut_and_refused() {
    within(async {
        let broker = TestBroker::start().await;
        let faults = broker.broker.faults();
        let (mut c, mut other) = (broker.client().await, broker.client().await);
        other.create_topic("T", 1).await;
        faults.drop_connection_next(RequestCode::SEND_MESSAGE, 1);
        let cut = c.post(send_request("T", 0, "", b"x")).await;
        assert!(c.try_answer(cut).await.is_none());
        assert_eq!(other.max_offset("T", 0).await, 0);

        faults.refuse_connections(true);
        broker.client().await.closed().await;
        assert_eq!(other.max_offset("T", 0).await, 0, "open connections stay");
        assert!(broker.namesrv().await.route("T").await.is_some(), "the NameServer is another matter");
        let mut namesrv = broker.namesrv().await;
        faults.fail_next(RequestCode::GET_ROUTEINFO_BY_TOPIC, ResponseCode::TOPIC_NOT_EXIST, 1);
        assert!(namesrv.route("T").await.is_none() && namesrv.route("T").await.is_some());

        faults.fail_next(RequestCode::GET_MAX_OFFSET, ResponseCode::SYSTEM_ERROR, 1);
        faults.clear();
        assert_eq!(broker.client().await.max_offset("T", 0).await, 0);
    })
    .await;
}

#[tokio::test]
async fn delayed_messages_arrive_when_the_clock_is_moved() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        // Level 18 is two hours.
        c.send("T", 0, &properties(&[("DELAY", "18")]), b"late").await;
        c.send("T", 0, &properties(&[("DELAY", "17")]), b"sooner").await;
        let start = broker.broker.clock().now_millis();
        let header = PullMessageRequest {
            sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
            subscription: Some("*"),
            suspend_timeout_millis: 60_000,
            ..pull_header("g", "T", 0, 0)
        };
        let waiting = c.post(Frame::request(RequestCode::PULL_MESSAGE, &header)).await;
        assert_eq!(c.max_offset("T", 0).await, 0);
        broker.broker.clock().advance(HOUR);
        let pulled = Pulled::of(c.answer(waiting).await);
        assert_eq!(pulled.bodies(), ["sooner"]);
        let stored = pulled.records[0].layout().store_timestamp;
        assert!(stored >= start + 3_600_000, "messages carry the clock's time");
        assert_eq!(c.max_offset("T", 0).await, 1);
        broker.broker.clock().set_millis(start + 2 * 3_600_000 + 60_000);
        until("the second message", async || c.max_offset("T", 0).await == 2).await;
    })
    .await;
}

#[tokio::test]
async fn locks_expire_and_silent_clients_go_but_those_that_answer_stay() {
    within(async {
        let broker = TestBroker::start().await;
        let (mut alive, mut frozen) = (broker.client().await, broker.client().await);
        let group = || vec![consumer("g", vec![subscription("T", "*", 1)])];
        alive.heartbeat("alive", group(), &["p"]).await;
        frozen.heartbeat("frozen", group(), &["p"]).await;
        let lock = |client: &str| {
            let body = LockBatchBody {
                client_id: client.to_owned(),
                consumer_group: "g".to_owned(),
                mq_set: vec![MessageQueue { topic: "T".into(), broker_name: "broker-a".into(), queue_id: 0 }],
                only_this_broker: false,
            };
            Frame::bare_request(RequestCode::LOCK_BATCH_MQ).with_body(serde_json::to_vec(&body).unwrap())
        };
        let held =
            |answer: &Frame| fastjson::from_slice::<LockOkBody>(&answer.body).unwrap().lock_ok_mq_set.len();
        assert_eq!(held(&frozen.ok(lock("frozen")).await), 1);
        assert_eq!(held(&alive.ok(lock("alive")).await), 0);

        broker.broker.clock().advance(HOUR);
        let question = loop {
            let request = alive.request().await;
            if request.request_code() == RequestCode::GET_CONSUMER_RUNNING_INFO {
                break request;
            }
        };
        alive.post(Frame::response(&question, ResponseCode::SYSTEM_ERROR)).await;
        assert_eq!(held(&alive.ok(lock("alive")).await), 1);
        frozen.closed().await;
        let header = ConsumerGroupRequest { consumer_group: "g" };
        until("only the client that answered is left", async || {
            let list = alive.ok(Frame::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header)).await;
            &list.body[..] == br#"{"consumerIdList":["alive"]}"#
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn old_files_go_when_the_clock_is_moved_and_both_seams_outlive_a_restart() {
    within(async {
        let mut broker = TestBroker::start_with(|config| {
            config.mapped_file_size_commit_log = 64 * 1024;
            config.file_reserved_time = 2;
            config.delete_when = mq_broker::Hours((0..24).collect());
        })
        .await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        for _ in 0..8 {
            c.send("T", 0, "", &[b'x'; 30_000]).await;
        }
        let (clock, faults) = (broker.broker.clock().clone(), broker.broker.faults().clone());
        let min = async |c: &mut Client| c.pull("g", "T", 0, 0, "*").await.min;
        assert_eq!(min(&mut c).await, 0);
        clock.advance(HOUR);
        clock.advance(HOUR);
        until("old files are gone", async || min(&mut c).await > 0).await;

        broker.broker.stop().await.unwrap();
        let start = |config, clock: &TestClock, faults: &Faults| {
            Broker::start_with(config, clock.clone(), faults.clone())
        };
        let mut config = settings(&broker.folder);
        config.mapped_file_size_commit_log = 64 * 1024;
        broker.broker = start(config, &clock, &faults).await.unwrap();
        faults.fail_next(RequestCode::GET_MAX_OFFSET, ResponseCode::SYSTEM_ERROR, 1);
        let mut c = broker.client().await;
        let sent = c.call(send_request("T", 0, "", b"x")).await;
        assert_eq!(sent.response_code(), ResponseCode::SUCCESS);
        let last = c.pull("g", "T", 0, 8, "*").await.records.pop().unwrap();
        assert!(last.layout().store_timestamp >= clock.now_millis() - 60_000);
    })
    .await;
}

#[tokio::test]
async fn all_sixteen_retries_come_once_each_and_then_the_dead_letters() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        c.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        let sent = c.send("T", 0, &properties(&[("UNIQ_KEY", "K")]), b"poison").await;
        let mut record = c.pull("g", "T", 0, 0, "*").await.records.remove(0);
        // Levels 3 to 18.
        let seconds = [10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];
        for (retry, seconds) in (0..).zip(seconds) {
            send_back(&mut c, &record).await;
            assert_eq!(c.max_offset("SCHEDULE_TOPIC_XXXX", 2 + retry).await, 1);
            let header = PullMessageRequest {
                sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
                subscription: Some("*"),
                suspend_timeout_millis: 60_000,
                ..pull_header("g", "%RETRY%g", 0, i64::from(retry))
            };
            let waiting = c.post(Frame::request(RequestCode::PULL_MESSAGE, &header)).await;
            assert_eq!(c.max_offset("%RETRY%g", 0).await, i64::from(retry), "not before its time");
            broker.broker.clock().advance(Duration::from_secs(seconds));
            let mut again = Pulled::of(c.answer(waiting).await).records;
            assert_eq!(again.len(), 1);
            record = again.remove(0);
            assert_eq!(record.layout().reconsume_times, retry + 1);
        }
        broker.broker.clock().advance(24 * HOUR);
        assert_eq!(c.max_offset("%RETRY%g", 0).await, 16);
        send_back(&mut c, &record).await;
        let dead = c.pull("g", "%DLQ%g", 0, 0, "*").await.records;
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].layout().reconsume_times, 17);
        for (name, value) in
            [("RETRY_TOPIC", "T"), ("ORIGIN_MESSAGE_ID", &*sent.msg_id), ("UNIQ_KEY", "K"), ("DELAY", "0")]
        {
            assert_eq!(dead[0].property(name), Some(value), "{name}");
        }
        assert_eq!(broker.namesrv().await.route("%DLQ%g").await.unwrap().queue_datas[0].perm, 6);
    })
    .await;
}

async fn send_back(c: &mut Client, record: &MessageRecord) {
    let header = SendMsgBackRequest {
        offset: record.layout().physical_offset,
        group: "g",
        delay_level: 0,
        origin_msg_id: None,
        origin_topic: Some("T"),
        unit_mode: Some(false),
        max_reconsume_times: None,
    };
    c.ok(Frame::request(RequestCode::CONSUMER_SEND_MSG_BACK, &header)).await;
}
