//! Consuming: pulls with and without waiting, filters, groups and their notifications, offsets, locks.

use std::time::Duration;

use mq_protocol::body::{ConsumerIdList, HeartbeatData, LockBatchBody, LockOkBody, MessageQueue};
use mq_protocol::header::{
    ConsumerGroupRequest, OffsetResponse, ProducerGroupRequest, PullMessageRequest,
    QueryConsumerOffsetRequest, QueueRequest, SearchOffsetRequest, TimestampResponse,
    UnregisterClientRequest, UpdateConsumerOffsetRequest, pull_flag,
};
use mq_protocol::{Frame, RequestCode, ResponseCode, fastjson};

use crate::client::{
    Client, Pulled, TestBroker, consumer, properties, pull_header, subscription, until, within,
};

async fn with_topic(queues: i32) -> (TestBroker, Client) {
    let broker = TestBroker::start().await;
    let mut c = broker.client().await;
    c.create_topic("T", queues).await;
    (broker, c)
}

fn waiting<'a>(queue: i32, offset: i64, tags: &'a str, millis: i64) -> PullMessageRequest<'a> {
    PullMessageRequest {
        sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
        subscription: Some(tags),
        suspend_timeout_millis: millis,
        ..pull_header("g", "T", queue, offset)
    }
}

#[tokio::test]
async fn outcomes_of_pulls_have_apaches_codes_and_offsets() {
    within(async {
        let (_broker, mut c) = with_topic(2).await;
        for n in 0..40 {
            let tag = if n % 2 == 0 { "even" } else { "odd" };
            c.send("T", 0, &properties(&[("TAGS", tag)]), n.to_string().as_bytes()).await;
        }
        let pulled = c.pull("g", "T", 0, 0, "*").await;
        assert_eq!((pulled.code, pulled.records.len(), pulled.next), (ResponseCode::SUCCESS, 32, 32));
        let pulled = c.pull("g", "T", 0, 30, "odd || none").await;
        assert_eq!(pulled.bodies(), ["31", "33", "35", "37", "39"]);
        let none = c.pull("g", "T", 0, 0, "nothing").await;
        assert_eq!((none.code, none.next), (ResponseCode::PULL_RETRY_IMMEDIATELY, 40));
        let end = c.pull("g", "T", 0, 40, "*").await;
        assert_eq!((end.code, end.next, end.max), (ResponseCode::PULL_NOT_FOUND, 40, 40));
        let beyond = c.pull("g", "T", 0, 41, "*").await;
        assert_eq!((beyond.code, beyond.next), (ResponseCode::PULL_OFFSET_MOVED, 40));
        let before = c.pull("g", "T", 0, -1, "*").await;
        assert_eq!((before.code, before.next), (ResponseCode::PULL_OFFSET_MOVED, 0));
        let empty = c.pull("g", "T", 1, 0, "*").await;
        assert_eq!((empty.code, empty.next), (ResponseCode::PULL_NOT_FOUND, 0));
        let empty = c.pull("g", "T", 1, 5, "*").await;
        assert_eq!((empty.code, empty.next), (ResponseCode::PULL_OFFSET_MOVED, 0));
    })
    .await;
}

#[tokio::test]
async fn refusals_of_pulls() {
    within(async {
        let (_broker, mut c) = with_topic(1).await;
        let code = RequestCode::PULL_MESSAGE;
        let mut refused = async |header: PullMessageRequest<'_>, want| c.refused(code, &header, want).await;
        refused(pull_header("a b", "T", 0, 0), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST).await;
        refused(pull_header("g", "none", 0, 0), ResponseCode::TOPIC_NOT_EXIST).await;
        for queue in [-1, 1] {
            refused(pull_header("g", "T", queue, 0), ResponseCode::INVALID_PARAMETER).await;
        }
        refused(pull_header("g", "T", 0, 0), ResponseCode::SUBSCRIPTION_NOT_EXIST).await;
        refused(waiting(0, 0, "||", 0), ResponseCode::SUBSCRIPTION_PARSE_FAILED).await;
        let sql = PullMessageRequest { expression_type: Some("SQL92"), ..waiting(0, 0, "a > 1", 0) };
        refused(sql, ResponseCode::SYSTEM_ERROR).await;

        c.heartbeat("cid", vec![consumer("g", vec![subscription("U", "*", 5)])], &[]).await;
        c.refused(code, &pull_header("g", "T", 0, 0), ResponseCode::SUBSCRIPTION_NOT_EXIST).await;
        c.heartbeat("cid", vec![consumer("g", vec![subscription("T", "*", 5)])], &[]).await;
        let newer = PullMessageRequest { sub_version: 6, ..pull_header("g", "T", 0, 0) };
        c.refused(code, &newer, ResponseCode::SUBSCRIPTION_NOT_LATEST).await;
        let known = PullMessageRequest { sub_version: 5, ..pull_header("g", "T", 0, 0) };
        c.refused(code, &known, ResponseCode::PULL_NOT_FOUND).await;
    })
    .await;
}

#[tokio::test]
async fn a_waiting_pull_is_woken_by_what_it_wants() {
    within(async {
        let (broker, mut consumer_side) = with_topic(2).await;
        let mut producer = broker.client().await;
        let all =
            consumer_side.post(Frame::request(RequestCode::PULL_MESSAGE, &waiting(0, 0, "*", 60_000))).await;
        let a =
            consumer_side.post(Frame::request(RequestCode::PULL_MESSAGE, &waiting(0, 0, "a", 60_000))).await;
        let other = consumer_side
            .post(Frame::request(RequestCode::LITE_PULL_MESSAGE, &waiting(1, 0, "*", 60_000)))
            .await;
        // Answered in between: waiting pulls hold up nothing.
        assert_eq!(consumer_side.max_offset("T", 0).await, 0);
        producer.send("T", 0, &properties(&[("TAGS", "b")]), b"for b").await;
        assert_eq!(Pulled::of(consumer_side.answer(all).await).bodies(), ["for b"]);
        producer.send("T", 0, &properties(&[("TAGS", "a")]), b"for a").await;
        assert_eq!(Pulled::of(consumer_side.answer(a).await).bodies(), ["for a"]);
        producer.send("T", 1, "", b"elsewhere").await;
        assert_eq!(Pulled::of(consumer_side.answer(other).await).bodies(), ["elsewhere"]);
    })
    .await;
}

#[tokio::test]
async fn a_waiting_pull_ends_at_its_time() {
    within(async {
        let (_broker, mut c) = with_topic(1).await;
        let answer = c.call(Frame::request(RequestCode::PULL_MESSAGE, &waiting(0, 0, "*", 50))).await;
        assert_eq!(Pulled::of(answer).code, ResponseCode::PULL_NOT_FOUND);
        // What was passed over while waiting is not looked at again.
        let opaque = c.post(Frame::request(RequestCode::PULL_MESSAGE, &waiting(0, 0, "a", 300))).await;
        c.send("T", 0, &properties(&[("TAGS", "b")]), b"x").await;
        let pulled = Pulled::of(c.answer(opaque).await);
        assert_eq!((pulled.code, pulled.next), (ResponseCode::PULL_RETRY_IMMEDIATELY, 1));
    })
    .await;
}

#[tokio::test]
async fn many_consumers_wait_and_all_are_served() {
    within(async {
        let (broker, mut producer) = with_topic(4).await;
        let mut consumers = Vec::new();
        for n in 0..40 {
            let mut c = broker.client().await;
            let opaque =
                c.post(Frame::request(RequestCode::PULL_MESSAGE, &waiting(n % 4, 0, "*", 60_000))).await;
            c.max_offset("T", 0).await;
            consumers.push((c, opaque));
        }
        // Those that leave while they wait do no harm.
        consumers.truncate(30);
        for queue in 0..4 {
            producer.send("T", queue, "", b"x").await;
        }
        for (mut c, opaque) in consumers {
            assert_eq!(Pulled::of(c.answer(opaque).await).records.len(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_group_learns_of_its_members_and_has_its_retry_topic() {
    within(async {
        let (broker, mut one) = with_topic(1).await;
        let subscribed = || vec![consumer("g", vec![subscription("T", "a", 1)])];
        one.heartbeat("one", subscribed(), &["p"]).await;
        let told = async |c: &mut Client| {
            let frame = c.request().await;
            assert_eq!(frame.request_code(), RequestCode::NOTIFY_CONSUMER_IDS_CHANGED);
            assert!(frame.is_oneway());
            assert_eq!(frame.header::<ConsumerGroupRequest<'_>>().unwrap().consumer_group, "g");
        };
        told(&mut one).await;
        assert!(broker.namesrv().await.route("%RETRY%g").await.is_some());
        let mut two = broker.client().await;
        two.heartbeat("two", subscribed(), &[]).await;
        told(&mut two).await;
        told(&mut one).await;
        let list = async |c: &mut Client| {
            let header = ConsumerGroupRequest { consumer_group: "g" };
            let answer = c.ok(Frame::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header)).await;
            let mut ids = fastjson::from_slice::<ConsumerIdList>(&answer.body).unwrap().consumer_id_list;
            ids.sort();
            ids
        };
        assert_eq!(list(&mut one).await, ["one", "two"]);
        // A heartbeat that changes nothing tells nobody.
        two.heartbeat("two", subscribed(), &[]).await;
        let mut resubscribed = subscribed();
        resubscribed[0].subscription_data_set.push(subscription("U", "*", 1));
        two.heartbeat("two", resubscribed, &[]).await;
        told(&mut one).await;
        drop(two);
        told(&mut one).await;
        assert_eq!(list(&mut one).await, ["one"]);
        let header = UnregisterClientRequest {
            client_id: "one",
            producer_group: Some("p"),
            consumer_group: Some("g"),
        };
        one.ok(Frame::request(RequestCode::UNREGISTER_CLIENT, &header)).await;
        let header = ConsumerGroupRequest { consumer_group: "g" };
        one.refused(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header, ResponseCode::SYSTEM_ERROR).await;
    })
    .await;
}

#[tokio::test]
async fn heartbeats_filter_pulls() {
    within(async {
        let (_broker, mut c) = with_topic(1).await;
        for tag in ["a", "b", "c"] {
            c.send("T", 0, &properties(&[("TAGS", tag)]), tag.as_bytes()).await;
        }
        c.heartbeat("cid", vec![consumer("g", vec![subscription("T", "a || c", 7)])], &[]).await;
        let header = PullMessageRequest { sub_version: 7, ..pull_header("g", "T", 0, 0) };
        let pulled = Pulled::of(c.ok(Frame::request(RequestCode::PULL_MESSAGE, &header)).await);
        assert_eq!(pulled.bodies(), ["a", "c"]);
    })
    .await;
}

fn query<'a>(group: &'a str, queue_id: i32) -> QueryConsumerOffsetRequest<'a> {
    QueryConsumerOffsetRequest { consumer_group: group, topic: "T", queue_id, set_zero_if_not_found: None }
}

fn update(queue_id: i32, commit_offset: i64) -> UpdateConsumerOffsetRequest<'static> {
    UpdateConsumerOffsetRequest { consumer_group: "g", topic: "T", queue_id, commit_offset }
}

async fn committed(c: &mut Client, queue: i32) -> i64 {
    let answer = c.ok(Frame::request(RequestCode::QUERY_CONSUMER_OFFSET, &query("g", queue))).await;
    answer.header::<OffsetResponse>().unwrap().offset
}

#[tokio::test]
async fn offsets_are_kept_and_young_queues_begin_at_zero() {
    within(async {
        let (_broker, mut c) = with_topic(2).await;
        let (ask, tell) = (RequestCode::QUERY_CONSUMER_OFFSET, RequestCode::UPDATE_CONSUMER_OFFSET);
        c.refused(ask, &query("g", 0), ResponseCode::QUERY_NOT_FOUND).await;
        c.send("T", 0, "", b"x").await;
        assert_eq!(committed(&mut c, 0).await, 0, "a young queue");
        let strict = QueryConsumerOffsetRequest { set_zero_if_not_found: Some(false), ..query("g", 0) };
        c.refused(ask, &strict, ResponseCode::QUERY_NOT_FOUND).await;
        c.refused(ask, &query("g", 1), ResponseCode::QUERY_NOT_FOUND).await;

        c.refused(tell, &update(0, 1), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST).await;
        c.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        c.ok(Frame::request(tell, &update(0, 1))).await;
        assert_eq!(committed(&mut c, 0).await, 1);
        c.post(Frame::request(tell, &update(0, 0)).oneway()).await;
        assert_eq!(committed(&mut c, 0).await, 0, "going back is allowed");
        c.refused(tell, &update(7, 1), ResponseCode::INVALID_PARAMETER).await;
        let other = UpdateConsumerOffsetRequest { topic: "none", ..update(0, 1) };
        c.refused(tell, &other, ResponseCode::TOPIC_NOT_EXIST).await;

        let pull = PullMessageRequest {
            sys_flag: pull_flag::SUBSCRIPTION | pull_flag::COMMIT_OFFSET,
            commit_offset: 1,
            ..waiting(0, 0, "*", 0)
        };
        c.ok(Frame::request(RequestCode::PULL_MESSAGE, &pull)).await;
        assert_eq!(committed(&mut c, 0).await, 1);
        let all = c.ok(Frame::bare_request(RequestCode::GET_ALL_CONSUMER_OFFSET)).await;
        let text = String::from_utf8(all.body.to_vec()).unwrap();
        assert!(text.contains(r#""T@g":{0:1}"#), "{text}");
    })
    .await;
}

#[tokio::test]
async fn offsets_of_queues_by_place_and_time() {
    within(async {
        let (_broker, mut c) = with_topic(1).await;
        let queue = QueueRequest { topic: "T", queue_id: 0 };
        let earliest = c.ok(Frame::request(RequestCode::GET_EARLIEST_MSG_STORETIME, &queue)).await;
        assert_eq!(earliest.header::<TimestampResponse>().unwrap().timestamp, -1);
        for n in 0..3 {
            c.send("T", 0, "", n.to_string().as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let times: Vec<i64> =
            c.pull("g", "T", 0, 0, "*").await.records.iter().map(|r| r.layout().store_timestamp).collect();
        let earliest = c.ok(Frame::request(RequestCode::GET_EARLIEST_MSG_STORETIME, &queue)).await;
        assert_eq!(earliest.header::<TimestampResponse>().unwrap().timestamp, times[0]);
        let min = c.ok(Frame::request(RequestCode::GET_MIN_OFFSET, &queue)).await;
        assert_eq!(min.header::<OffsetResponse>().unwrap().offset, 0);
        for (timestamp, boundary_type, want) in [
            (times[1], None, 1),
            (times[1], Some("UPPER"), 1),
            (times[1] + 1, Some("lower"), 2),
            (times[2] + 1000, None, 3),
            (times[2] + 1000, Some("upper"), 2),
            (0, None, 0),
        ] {
            let header = SearchOffsetRequest { topic: "T", queue_id: 0, timestamp, boundary_type };
            let answer = c.ok(Frame::request(RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &header)).await;
            let offset = answer.header::<OffsetResponse>().unwrap().offset;
            assert_eq!(offset, want, "{timestamp} {boundary_type:?} in {times:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn queues_are_locked_for_one_client() {
    within(async {
        let (_broker, mut c) = with_topic(2).await;
        let body = |client: &str, queues: &[i32]| {
            let queue =
                |id: &i32| MessageQueue { topic: "T".into(), broker_name: "broker-a".into(), queue_id: *id };
            let body = LockBatchBody {
                client_id: client.into(),
                consumer_group: "g".into(),
                mq_set: queues.iter().map(queue).collect(),
                only_this_broker: false,
            };
            serde_json::to_vec(&body).unwrap()
        };
        let lock = |client: &str, queues: &[i32]| {
            Frame::bare_request(RequestCode::LOCK_BATCH_MQ).with_body(body(client, queues))
        };
        let held = |frame: Frame| {
            let mut ids: Vec<i32> = fastjson::from_slice::<LockOkBody>(&frame.body)
                .unwrap()
                .lock_ok_mq_set
                .iter()
                .map(|queue| queue.queue_id)
                .collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(held(c.ok(lock("a", &[0, 1])).await), [0, 1]);
        assert!(held(c.ok(lock("b", &[0, 1])).await).is_empty());
        c.ok(Frame::bare_request(RequestCode::UNLOCK_BATCH_MQ).with_body(body("a", &[1]))).await;
        assert_eq!(held(c.ok(lock("b", &[0, 1])).await), [1]);
    })
    .await;
}

#[tokio::test]
async fn silent_members_are_taken_out() {
    within(async {
        let broker =
            TestBroker::start_with(|config| config.set("channelExpiredTimeout", "1000").unwrap()).await;
        let (mut quiet, mut admin) = (broker.client().await, broker.client().await);
        quiet.heartbeat("quiet", vec![consumer("g", vec![])], &["p"]).await;
        let header = ConsumerGroupRequest { consumer_group: "g" };
        until("it is gone", async || {
            let answer = admin.call(Frame::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header)).await;
            answer.response_code() != ResponseCode::SUCCESS
        })
        .await;
        quiet.closed().await;
        let header = ProducerGroupRequest { producer_group: "p" };
        admin.refused(RequestCode::GET_PRODUCER_CONNECTION_LIST, &header, ResponseCode::SYSTEM_ERROR).await;
    })
    .await;
}

#[tokio::test]
async fn heartbeats_of_the_second_version_may_leave_out_what_is_known() {
    within(async {
        let broker = TestBroker::start().await;
        let (mut c, mut other) = (broker.client().await, broker.client().await);
        c.create_topic("T", 1).await;
        let beat = async |c: &mut Client, fingerprint: i32, without_sub: bool| {
            let subscriptions = if without_sub { vec![] } else { vec![subscription("T", "a", 1)] };
            let data = HeartbeatData {
                client_id: "cid".to_owned(),
                consumer_data_set: vec![consumer("g", subscriptions)],
                heartbeat_fingerprint: fingerprint,
                without_sub,
                ..HeartbeatData::default()
            };
            let body = serde_json::to_vec(&data).unwrap();
            let answer = c.ok(Frame::bare_request(RequestCode::HEART_BEAT).with_body(body)).await;
            assert_eq!(answer.ext.get("IS_SUPPORT_HEART_BEAT_V2"), Some("true"));
            answer.ext.get("IS_SUB_CHANGE") == Some("true")
        };
        assert!(beat(&mut c, 5, true).await, "nothing is known of the group yet");
        assert!(!beat(&mut c, 5, false).await);
        assert!(!beat(&mut c, 5, true).await);
        let plain = PullMessageRequest { sub_version: 1, ..pull_header("g", "T", 0, 0) };
        c.refused(RequestCode::PULL_MESSAGE, &plain, ResponseCode::PULL_NOT_FOUND).await;
        assert!(beat(&mut other, 6, false).await, "another member tells something else");
        assert!(beat(&mut c, 5, true).await);
        assert!(beat(&mut c, 0, false).await, "the first version always tells all");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_connects_anew_counts_once() {
    within(async {
        let (broker, mut c) = with_topic(1).await;
        let group = || vec![consumer("g", vec![subscription("T", "*", 1)])];
        c.heartbeat("one", group(), &[]).await;
        let mut again = broker.client().await;
        again.heartbeat("one", group(), &[]).await;
        c.heartbeat("two", vec![consumer("h", vec![])], &[]).await;
        let header = ConsumerGroupRequest { consumer_group: "g" };
        let list = again.ok(Frame::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header)).await;
        let list: ConsumerIdList = fastjson::from_slice(&list.body).unwrap();
        assert_eq!(list.consumer_id_list, ["one"]);
        drop(c);
        let list = again.ok(Frame::request(RequestCode::GET_CONSUMER_LIST_BY_GROUP, &header)).await;
        let list: ConsumerIdList = fastjson::from_slice(&list.body).unwrap();
        assert_eq!(list.consumer_id_list, ["one"]);
    })
    .await;
}
