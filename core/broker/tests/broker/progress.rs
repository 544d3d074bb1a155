//! How far groups are, and setting it: resets, copies, corrections, times, counters.

use std::collections::BTreeMap;

use mq_protocol::body::{
    BrokerStatsData, ConsumeQueueDump, ConsumeStats, ConsumeStatsList, ConsumeTimeSpans, ConsumerStatusBody,
    ConsumerStatusTable, CorrectionOffsets, GroupForbidden, GroupSubscription, MessageQueue, ProducerTable,
    ResetOffsetBody, TopicList,
};
use mq_protocol::header::{
    BrokerConsumeStatsRequest, CloneGroupOffsetRequest, ConsumeQueueRequest, ConsumeStatsRequest,
    ConsumerStatusRequest, CorrectionOffsetRequest, GroupForbiddenRequest, GroupRequest, GroupTopicRequest,
    OffsetResponse, PullMessageRequest, QueryConsumerOffsetRequest, ResetOffsetRequest, SendMsgBackRequest,
    UpdateConsumerOffsetRequest, ViewStatsRequest, pull_flag,
};
use mq_protocol::{Frame, Language, RequestCode, ResponseCode, fastjson};

use crate::client::{
    Client, Pulled, TestBroker, consumer, pull_header, send_request, subscription, until, within,
};

fn queue(id: i32) -> MessageQueue {
    MessageQueue { topic: "T".into(), broker_name: "broker-a".into(), queue_id: id }
}

fn reset(queue_id: Option<i32>, offset: Option<i64>, timestamp: i64) -> ResetOffsetRequest<'static> {
    ResetOffsetRequest { topic: "T", group: "g", timestamp, is_force: Some(true), queue_id, offset }
}

const RESET: RequestCode = RequestCode::INVOKE_BROKER_TO_RESET_OFFSET;

async fn commit(c: &mut Client, group: &str, queue_id: i32, commit_offset: i64) -> Frame {
    let header = UpdateConsumerOffsetRequest { consumer_group: group, topic: "T", queue_id, commit_offset };
    c.ok(Frame::request(RequestCode::UPDATE_CONSUMER_OFFSET, &header)).await
}

async fn committed(c: &mut Client, group: &str, queue_id: i32) -> Option<i64> {
    let header = QueryConsumerOffsetRequest {
        consumer_group: group,
        topic: "T",
        queue_id,
        set_zero_if_not_found: Some(false),
    };
    let answer = c.call(Frame::request(RequestCode::QUERY_CONSUMER_OFFSET, &header)).await;
    (answer.response_code() == ResponseCode::SUCCESS)
        .then(|| answer.header::<OffsetResponse>().unwrap().offset)
}

/// A broker with six messages in each of two queues and a group with a member.
async fn started() -> (TestBroker, Client) {
    let broker = TestBroker::start().await;
    let mut c = broker.client().await;
    c.create_topic("T", 2).await;
    for n in 0..12 {
        c.send("T", n % 2, "", n.to_string().as_bytes()).await;
    }
    c.heartbeat("cid", vec![consumer("g", vec![subscription("T", "*", 1)])], &["p"]).await;
    (broker, c)
}

#[tokio::test]
async fn a_reset_here_reaches_the_group_with_its_next_pull() {
    within(async {
        let (broker, mut c) = started().await;
        let mut admin = broker.client().await;
        for id in 0..2 {
            commit(&mut c, "g", id, 6).await;
        }
        // A pull that waits is told at once.
        let header = PullMessageRequest {
            sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
            subscription: Some("*"),
            ..pull_header("g", "T", 1, 6)
        };
        let waiting = c.post(Frame::request(RequestCode::PULL_MESSAGE, &header)).await;
        assert_eq!(c.max_offset("T", 1).await, 6);
        let answer = admin.ok(Frame::request(RESET, &reset(None, None, 0))).await;
        let told: ResetOffsetBody = fastjson::from_slice(&answer.body).unwrap();
        assert_eq!(told.offset_table, BTreeMap::from([(queue(0), 0), (queue(1), 0)]));
        let moved = Pulled::of(c.answer(waiting).await);
        assert_eq!((moved.code, moved.next, moved.max), (ResponseCode::PULL_OFFSET_MOVED, 0, 6));
        commit(&mut c, "g", 1, 2).await;
        assert_eq!(committed(&mut c, "g", 1).await, Some(2), "it knows now");

        assert_eq!(commit(&mut c, "g", 0, 6).await.remark, "Offset has been previously reset");
        assert_eq!(committed(&mut c, "g", 0).await, Some(0), "it does not know yet");
        let moved = c.pull("g", "T", 0, 6, "*").await;
        assert_eq!((moved.code, moved.next), (ResponseCode::PULL_OFFSET_MOVED, 0));
        assert_eq!(c.pull("g", "T", 0, 0, "*").await.records.len(), 6);

        // One queue, an exact offset; the end; what is refused.
        admin.ok(Frame::request(RESET, &reset(Some(1), Some(4), 0))).await;
        assert_eq!((committed(&mut c, "g", 0).await, committed(&mut c, "g", 1).await), (Some(0), Some(4)));
        admin.ok(Frame::request(RESET, &reset(Some(1), Some(-1), -1))).await;
        assert_eq!(committed(&mut c, "g", 1).await, Some(6));
        let beyond = reset(Some(1), Some(8), 0);
        admin.refused(RESET, &beyond, ResponseCode::SYSTEM_ERROR).await;
        admin.refused(RESET, &reset(Some(2), None, 0), ResponseCode::INVALID_PARAMETER).await;
        let unknown = ResetOffsetRequest { topic: "none", ..reset(None, None, 0) };
        admin.refused(RESET, &unknown, ResponseCode::TOPIC_NOT_EXIST).await;
        let unknown = ResetOffsetRequest { group: "none", ..reset(None, None, 0) };
        admin.refused(RESET, &unknown, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST).await;
    })
    .await;
}

#[tokio::test]
async fn members_reset_their_offsets_themselves_if_the_setting_says_so() {
    within(async {
        let (broker, mut c) = started().await;
        let mut admin = broker.client().await;
        let update = Frame::bare_request(RequestCode::UPDATE_BROKER_CONFIG);
        admin.ok(update.with_body("useServerSideResetOffset=false")).await;
        admin.refused(RESET, &reset(None, None, 0), ResponseCode::SYSTEM_ERROR).await;
        commit(&mut c, "g", 0, 2).await;
        commit(&mut c, "g", 1, 6).await;
        c.heartbeat("cid", vec![consumer("g", vec![subscription("T", "*", 1)])], &[]).await;

        let gentle = ResetOffsetRequest { is_force: Some(false), ..reset(None, None, -1) };
        admin.ok(Frame::request(RESET, &gentle)).await;
        let pushed = async |c: &mut Client| loop {
            let request = c.request().await;
            if request.request_code() == RequestCode::RESET_CONSUMER_CLIENT_OFFSET {
                break request;
            }
        };
        let request = pushed(&mut c).await;
        assert!(request.is_oneway());
        assert_eq!(request.header::<ResetOffsetRequest<'_>>().unwrap().timestamp, -1);
        let told: ResetOffsetBody = fastjson::from_slice(&request.body).unwrap();
        assert_eq!(told.offset_table, BTreeMap::from([(queue(0), 2), (queue(1), 6)]), "nothing is skipped");

        let mut forced = Frame::request(RESET, &reset(None, None, -1));
        forced.language = Language::CPP;
        let answer = admin.ok(forced).await;
        let told: ResetOffsetBody = fastjson::from_slice(&answer.body).unwrap();
        assert_eq!(told.offset_table[&queue(0)], 6);
        let request = pushed(&mut c).await;
        let text = String::from_utf8(request.body.to_vec()).unwrap();
        assert!(text.starts_with(r#"{"offsetTable":[{"brokerName":"broker-a","offset":6,"#), "{text}");

        drop(c);
        until("the member is gone", async || {
            let answer = admin.call(Frame::request(RESET, &reset(None, None, 0))).await;
            answer.response_code() == ResponseCode::CONSUMER_NOT_ONLINE
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn members_tell_what_they_hold() {
    within(async {
        let (broker, mut c) = started().await;
        let mut admin = broker.client().await;
        let mut silent = broker.client().await;
        silent.heartbeat("gone", vec![consumer("g", vec![subscription("T", "*", 1)])], &[]).await;
        let header = ConsumerStatusRequest { topic: "T", group: "g", client_addr: None };
        let code = RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS;
        let asked = admin.post(Frame::request(code, &header)).await;
        let question = async |c: &mut Client| loop {
            let request = c.request().await;
            if request.request_code() == RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT {
                break request;
            }
        };
        let request = question(&mut c).await;
        let held = ConsumerStatusBody { message_queue_table: BTreeMap::from([(queue(1), 5)]) };
        c.post(Frame::response(&request, ResponseCode::SUCCESS).with_body(held.to_body().unwrap())).await;
        question(&mut silent).await;
        drop(silent);
        let answer = admin.answer(asked).await;
        let table = ConsumerStatusTable::from_body(&answer.body).unwrap().consumer_table;
        assert_eq!(table, BTreeMap::from([("cid".to_owned(), held.message_queue_table)]));
        let nobody = ConsumerStatusRequest { group: "nobody", ..header };
        admin.refused(code, &nobody, ResponseCode::SYSTEM_ERROR).await;
    })
    .await;
}

#[tokio::test]
async fn stats_copies_and_corrections_of_offsets() {
    within(async {
        let (_broker, mut c) = started().await;
        commit(&mut c, "g", 0, 2).await;
        commit(&mut c, "g", 1, 6).await;
        c.pull("g", "T", 0, 4, "*").await;

        let header = ConsumeStatsRequest { consumer_group: "g", topic: None, topic_list: Some("T;none;") };
        let stats = c.ok(Frame::request(RequestCode::GET_CONSUME_STATS, &header)).await;
        let stats: ConsumeStats = fastjson::from_slice(&stats.body).unwrap();
        let first = stats.offset_table[&queue(0)];
        assert_eq!((first.broker_offset, first.consumer_offset, first.pull_offset), (6, 2, 4));

        let header = BrokerConsumeStatsRequest { is_order: false };
        let all = c.ok(Frame::request(RequestCode::GET_BROKER_CONSUME_STATS, &header)).await;
        let all: ConsumeStatsList = fastjson::from_slice(&all.body).unwrap();
        assert_eq!((all.total_diff, all.total_inflight_diff), (4, 2));
        assert!(all.consume_stats_list.iter().any(|group| group.contains_key("g")));

        let header = GroupTopicRequest { group: "g", topic: "T" };
        let spans = c.ok(Frame::request(RequestCode::QUERY_CONSUME_TIME_SPAN, &header)).await;
        let spans: ConsumeTimeSpans = fastjson::from_slice(&spans.body).unwrap();
        let [first, second] = &spans.consume_time_span_set[..] else { panic!("{spans:?}") };
        assert!(first.min_time_stamp > 0 && first.consume_time_stamp >= first.min_time_stamp);
        assert!(first.max_time_stamp >= first.consume_time_stamp && first.delay_time >= 0);
        assert_eq!(second.delay_time, 0);

        let clone = CloneGroupOffsetRequest { src_group: "g", dest_group: "h", topic: None, offline: None };
        c.ok(Frame::request(RequestCode::CLONE_GROUP_OFFSET, &clone)).await;
        assert_eq!((committed(&mut c, "h", 0).await, committed(&mut c, "h", 1).await), (Some(2), Some(6)));
        commit(&mut c, "g", 0, 5).await;
        let header = CorrectionOffsetRequest { filter_groups: Some("x,h"), compare_group: "g", topic: "T" };
        let least = c.ok(Frame::request(RequestCode::QUERY_CORRECTION_OFFSET, &header)).await;
        assert_eq!(&least.body[..], br#"{"correctionOffsets":{0:5,1:6}}"#);
        let header = CorrectionOffsetRequest { filter_groups: None, ..header };
        let least = c.ok(Frame::request(RequestCode::QUERY_CORRECTION_OFFSET, &header)).await;
        let least: CorrectionOffsets = fastjson::from_slice(&least.body).unwrap();
        assert_eq!(least.correction_offsets, BTreeMap::from([(0, 2), (1, 6)]), "h still counts");

        let topics =
            c.ok(Frame::request(RequestCode::QUERY_TOPICS_BY_CONSUMER, &GroupRequest { group: "g" })).await;
        assert_eq!(fastjson::from_slice::<TopicList>(&topics.body).unwrap().topic_list, ["T"]);
        let header = GroupTopicRequest { group: "g", topic: "T" };
        let wanted = c.ok(Frame::request(RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER, &header)).await;
        let wanted: GroupSubscription = fastjson::from_slice(&wanted.body).unwrap();
        assert_eq!(wanted.subscription_data.unwrap().sub_string, "*");
        let all = c.ok(Frame::bare_request(RequestCode::GET_ALL_PRODUCER_INFO)).await;
        let all: ProducerTable = fastjson::from_slice(&all.body).unwrap();
        assert_eq!((all.data["p"][0].client_id.as_str(), all.data["p"].len()), ("cid", 1));
        assert!(all.data["p"][0].last_update_timestamp > 0);
    })
    .await;
}

#[tokio::test]
async fn queues_counters_and_rights_are_shown_and_cleaned() {
    within(async {
        let (broker, mut c) = started().await;
        let header =
            ConsumeQueueRequest { topic: "T", queue_id: 0, index: 4, count: 10, consumer_group: Some("g") };
        let dump = c.ok(Frame::request(RequestCode::QUERY_CONSUME_QUEUE, &header)).await;
        let dump: ConsumeQueueDump = fastjson::from_slice(&dump.body).unwrap();
        assert_eq!((dump.min_queue_index, dump.max_queue_index, dump.queue_data.len()), (0, 6, 2));
        assert!(dump.queue_data[0].eval && dump.queue_data[0].physic_size > 0);
        let none = ConsumeQueueRequest { queue_id: 7, ..header };
        c.refused(RequestCode::QUERY_CONSUME_QUEUE, &none, ResponseCode::SYSTEM_ERROR).await;

        let pulled = c.pull("g", "T", 0, 0, "*").await;
        let back = SendMsgBackRequest {
            offset: pulled.records[0].layout().physical_offset,
            group: "g",
            delay_level: 0,
            origin_msg_id: None,
            origin_topic: Some("T"),
            unit_mode: None,
            max_reconsume_times: None,
        };
        c.ok(Frame::request(RequestCode::CONSUMER_SEND_MSG_BACK, &back)).await;
        for (name, key, sum) in [
            ("TOPIC_PUT_NUMS", "T", 12),
            ("GROUP_GET_NUMS", "T@g", 6),
            ("SNDBCK_PUT_NUMS", "T@g", 1),
            ("BROKER_GET_NUMS", "DefaultCluster", 6),
        ] {
            let header = ViewStatsRequest { stats_name: name, stats_key: key };
            let data = c.ok(Frame::request(RequestCode::VIEW_BROKER_STATS_DATA, &header)).await;
            let data: BrokerStatsData = fastjson::from_slice(&data.body).unwrap();
            assert_eq!((data.stats_minute.sum, data.stats_day.sum), (sum, sum), "{name}");
        }
        let none = ViewStatsRequest { stats_name: "TOPIC_PUT_NUMS", stats_key: "none" };
        c.refused(RequestCode::VIEW_BROKER_STATS_DATA, &none, ResponseCode::SYSTEM_ERROR).await;

        let right = async |c: &mut Client, readable| {
            let header = GroupForbiddenRequest { group: "g", topic: "T", readable };
            let answer = c.ok(Frame::request(RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN, &header)).await;
            fastjson::from_slice::<GroupForbidden>(&answer.body).unwrap().readable
        };
        assert!(right(&mut c, None).await);
        assert!(!right(&mut c, Some(false)).await);
        let plain = PullMessageRequest { sub_version: 1, ..pull_header("g", "T", 0, 0) };
        c.refused(RequestCode::PULL_MESSAGE, &plain, ResponseCode::NO_PERMISSION).await;
        assert!(right(&mut c, Some(true)).await);
        assert_eq!(
            Pulled::of(c.call(Frame::request(RequestCode::PULL_MESSAGE, &plain)).await).records.len(),
            6
        );

        for code in [
            RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE,
            RequestCode::DELETE_EXPIRED_COMMITLOG,
            RequestCode::CLEAN_UNUSED_TOPIC,
        ] {
            c.ok(Frame::bare_request(code)).await;
        }
        assert_eq!(c.max_offset("T", 0).await, 6, "a topic that is there keeps its queues");
        let sent = c.call(send_request("T", 0, "", b"x")).await;
        assert_eq!(sent.response_code(), ResponseCode::SUCCESS);
        broker.broker.stop().await.unwrap();
    })
    .await;
}
