//! Admin requests: topics, groups, figures, settings, queries, relays to consumers.

use mq_protocol::body::{
    ConsumeStats, ConsumerConnections, GroupConfig, GroupList, GroupTable, HaStatus, KvTable,
    ProducerConnections, TopicConfig, TopicList, TopicStats, TopicTable,
};
use mq_protocol::header::{
    ConsumeMessageDirectlyRequest, ConsumeStatsRequest, ConsumerGroupRequest, ConsumerRunningInfoRequest,
    CreateTopicRequest, DeleteGroupRequest, GroupRequest, ProducerGroupRequest, QueryMessageRequest,
    TopicRequest, UpdateConsumerOffsetRequest,
};
use mq_protocol::{Frame, MessageRecord, RequestCode, ResponseCode, fastjson};

use crate::client::{
    Client, TestBroker, consumer, properties, send_request, subscription, topic_header, until, within,
};

#[tokio::test]
async fn topics_are_made_changed_listed_and_deleted() {
    within(async {
        let broker = TestBroker::start().await;
        let (mut c, mut namesrv) = (broker.client().await, broker.namesrv().await);
        let update = RequestCode::UPDATE_AND_CREATE_TOPIC;
        let header = CreateTopicRequest { attributes: Some("+message.type=FIFO"), ..topic_header("T", 3) };
        c.ok(Frame::request(update, &header)).await;
        assert_eq!(namesrv.route("T").await.unwrap().queue_datas[0].read_queue_nums, 3);
        c.create_topic("T", 5).await;
        assert_eq!(namesrv.route("T").await.unwrap().queue_datas[0].read_queue_nums, 5);
        let one = c.ok(Frame::request(RequestCode::GET_TOPIC_CONFIG, &TopicRequest { topic: "T" })).await;
        let one: TopicConfig = fastjson::from_slice(&one.body).unwrap();
        assert_eq!((one.write_queue_nums, &*one.attributes["message.type"]), (5, "FIFO"));
        let all = c.ok(Frame::bare_request(RequestCode::GET_ALL_TOPIC_CONFIG)).await;
        let all: TopicTable = fastjson::from_slice(&all.body).unwrap();
        assert_eq!(all.topic_config_table["T"], one);
        assert_eq!(all.topic_config_table["SCHEDULE_TOPIC_XXXX"].read_queue_nums, 18);

        for bad in ["", "a b", "TBW102", "DefaultCluster", "broker-a"] {
            c.refused(update, &topic_header(bad, 1), ResponseCode::INVALID_PARAMETER).await;
        }
        c.refused(update, &topic_header("Q", -1), ResponseCode::INVALID_PARAMETER).await;
        let mixed = CreateTopicRequest { attributes: Some("+message.type=MIXED"), ..topic_header("Q", 1) };
        c.refused(update, &mixed, ResponseCode::INVALID_PARAMETER).await;
        let odd = CreateTopicRequest { attributes: Some("+color=red"), ..topic_header("Q", 1) };
        c.refused(update, &odd, ResponseCode::SYSTEM_ERROR).await;
        let odd = CreateTopicRequest { topic: "a b", ..odd };
        c.refused(update, &odd, ResponseCode::INVALID_PARAMETER).await;
        let list = r#"{"topicConfigList":[{"topicName":"L1","readQueueNums":1,"writeQueueNums":2,"perm":6,
            "attributes":{"+message.type":"DELAY"}},{"topicName":"L2"}]}"#;
        c.ok(Frame::bare_request(RequestCode::UPDATE_AND_CREATE_TOPIC_LIST).with_body(list)).await;
        assert_eq!(namesrv.route("L1").await.unwrap().queue_datas[0].write_queue_nums, 2);

        c.send("T", 0, "", b"x").await;
        let delete = RequestCode::DELETE_TOPIC_IN_BROKER;
        c.refused(delete, &TopicRequest { topic: "TBW102" }, ResponseCode::INVALID_PARAMETER).await;
        c.ok(Frame::request(delete, &TopicRequest { topic: "T" })).await;
        c.refused(RequestCode::GET_TOPIC_CONFIG, &TopicRequest { topic: "T" }, ResponseCode::TOPIC_NOT_EXIST)
            .await;
        c.create_topic("T", 1).await;
        assert!(c.pull("g", "T", 0, 0, "*").await.records.is_empty(), "the old messages are gone");
        let system = c.ok(Frame::bare_request(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER)).await;
        let system: TopicList = fastjson::from_slice(&system.body).unwrap();
        assert!(system.topic_list.contains(&"TBW102".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn groups_are_made_changed_listed_and_deleted() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        let config = GroupConfig { group_name: "g".into(), retry_max_times: 3, ..GroupConfig::default() };
        let update = |config: &GroupConfig| {
            Frame::bare_request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP)
                .with_body(serde_json::to_vec(config).unwrap())
        };
        c.ok(update(&config)).await;
        let one = c
            .ok(Frame::request(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG, &GroupRequest { group: "g" }))
            .await;
        assert_eq!(fastjson::from_slice::<GroupConfig>(&one.body).unwrap(), config);
        let all = c.ok(Frame::bare_request(RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG)).await;
        let all: GroupTable = fastjson::from_slice(&all.body).unwrap();
        assert!(all.subscription_group_table.contains_key("TOOLS_CONSUMER"));
        assert_eq!(all.subscription_group_table["g"].retry_max_times, 3);
        let bad = GroupConfig { group_name: "a b".into(), ..GroupConfig::default() };
        assert_eq!(c.call(update(&bad)).await.response_code(), ResponseCode::INVALID_PARAMETER);
        let attributes = |name: &str| GroupConfig {
            attributes: [(name.to_owned(), "50".to_owned())].into(),
            ..config.clone()
        };
        c.ok(update(&attributes("+priority.factor"))).await;
        let one = c
            .ok(Frame::request(RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG, &GroupRequest { group: "g" }))
            .await;
        assert_eq!(fastjson::from_slice::<GroupConfig>(&one.body).unwrap(), attributes("priority.factor"));
        let bad = c.call(update(&attributes("+color"))).await;
        assert_eq!(bad.response_code(), ResponseCode::SYSTEM_ERROR);
        let list = r#"{"groupConfigList":[{"groupName":"g2"},{"groupName":"g3","retryQueueNums":2}]}"#;
        c.ok(Frame::bare_request(RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST).with_body(list))
            .await;
        let delete = DeleteGroupRequest { group_name: "g", clean_offset: Some(true), remove_offset: None };
        c.ok(Frame::request(RequestCode::DELETE_SUBSCRIPTIONGROUP, &delete)).await;

        let strict =
            TestBroker::start_with(|config| config.set("autoCreateSubscriptionGroup", "false").unwrap())
                .await;
        let mut c = strict.client().await;
        c.heartbeat("cid", vec![consumer("unknown", vec![])], &[]).await;
        let header = GroupRequest { group: "unknown" };
        let code = RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG;
        c.refused(code, &header, ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST).await;
    })
    .await;
}

#[tokio::test]
async fn figures_of_topics_groups_and_the_broker() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 2).await;
        for n in 0..5 {
            c.send("T", 1, "", n.to_string().as_bytes()).await;
        }
        c.heartbeat("cid", vec![consumer("g", vec![subscription("T", "a", 4)])], &["p"]).await;
        let update =
            UpdateConsumerOffsetRequest { consumer_group: "g", topic: "T", queue_id: 1, commit_offset: 3 };
        c.ok(Frame::request(RequestCode::UPDATE_CONSUMER_OFFSET, &update)).await;

        let stats =
            c.ok(Frame::request(RequestCode::GET_TOPIC_STATS_INFO, &TopicRequest { topic: "T" })).await;
        let stats: TopicStats = fastjson::from_slice(&stats.body).unwrap();
        let of_queue = |id| stats.offset_table.iter().find(|(queue, _)| queue.queue_id == id).unwrap().1;
        assert_eq!((of_queue(1).max_offset, of_queue(0).max_offset), (5, 0));
        assert!(of_queue(1).last_update_timestamp > 0);

        let header = ConsumeStatsRequest { consumer_group: "g", topic: None, topic_list: None };
        let stats = c.ok(Frame::request(RequestCode::GET_CONSUME_STATS, &header)).await;
        let stats: ConsumeStats = fastjson::from_slice(&stats.body).unwrap();
        let queue = stats.offset_table.iter().find(|(queue, _)| queue.queue_id == 1).unwrap().1;
        assert_eq!((queue.broker_offset, queue.consumer_offset), (5, 3));
        assert!(queue.last_timestamp > 0);

        let who =
            c.ok(Frame::request(RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, &TopicRequest { topic: "T" })).await;
        assert_eq!(fastjson::from_slice::<GroupList>(&who.body).unwrap().group_list, ["g"]);
        let header = ConsumerGroupRequest { consumer_group: "g" };
        let online = c.ok(Frame::request(RequestCode::GET_CONSUMER_CONNECTION_LIST, &header)).await;
        let online: ConsumerConnections = fastjson::from_slice(&online.body).unwrap();
        assert_eq!(online.connection_set[0].client_id, "cid");
        assert_eq!(online.connection_set[0].language, "RUST");
        assert_eq!(online.connection_set[0].client_addr, c.stream.local_addr().unwrap().to_string());
        assert_eq!(online.subscription_table["T"].sub_string, "a");
        let header = ProducerGroupRequest { producer_group: "p" };
        let online = c.ok(Frame::request(RequestCode::GET_PRODUCER_CONNECTION_LIST, &header)).await;
        let online: ProducerConnections = fastjson::from_slice(&online.body).unwrap();
        assert_eq!(online.connection_set.len(), 1);
        let header = ConsumerGroupRequest { consumer_group: "nobody" };
        let code = RequestCode::GET_CONSUMER_CONNECTION_LIST;
        c.refused(code, &header, ResponseCode::CONSUMER_NOT_ONLINE).await;

        let info = c.ok(Frame::bare_request(RequestCode::GET_BROKER_RUNTIME_INFO)).await;
        let table = fastjson::from_slice::<KvTable>(&info.body).unwrap().table;
        assert_eq!(table["msgPutTotalTodayNow"], "5");
        for key in ["putTps", "getTransferredTps"] {
            assert_eq!(table[key].split(' ').filter(|n| n.parse::<f64>().is_ok()).count(), 3, "{key}");
        }
        for key in [
            "sendThreadPoolQueueSize",
            "pullThreadPoolQueueHeadWaitTimeMills",
            "ackThreadPoolQueueSize",
            "pageCacheLockTimeMills",
            "earliestMessageTimeStamp",
            "commitLogDiskRatio",
            "timerReadBehind",
            "timerCongestNum",
            "msgGetTotalYesterdayMorning",
            "msgPutTotalTodayMorning",
        ] {
            assert!(table[key].parse::<f64>().is_ok(), "{key} is {}", table[key]);
        }
        let ha = c.ok(Frame::bare_request(RequestCode::GET_BROKER_HA_STATUS)).await;
        let ha: HaStatus = fastjson::from_slice(&ha.body).unwrap();
        let end: i64 = table["commitLogMaxOffset"].parse().unwrap();
        assert_eq!((ha.master, ha.in_sync_slave_nums), (true, 0));
        assert!(ha.master_commit_log_max_offset >= end && end > 0, "{ha:?}");
        let delays = c.ok(Frame::bare_request(RequestCode::GET_ALL_DELAY_OFFSET)).await;
        assert!(String::from_utf8_lossy(&delays.body).contains(r#""offsetTable":{"#));
    })
    .await;
}

#[tokio::test]
async fn settings_are_shown_and_some_change_at_run_time() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        let shown = c.ok(Frame::bare_request(RequestCode::GET_BROKER_CONFIG)).await;
        assert!(shown.ext.get("version").is_some_and(|version| version.contains("counter")));
        let text = String::from_utf8(shown.body.to_vec()).unwrap();
        assert!(
            text.contains("brokerName=broker-a\n") && text.contains("flushDiskType=ASYNC_FLUSH\n"),
            "{text}"
        );
        let update =
            |text: &str| Frame::bare_request(RequestCode::UPDATE_BROKER_CONFIG).with_body(text.to_owned());
        c.create_topic("T", 1).await;
        c.ok(update("brokerPermission=4")).await;
        assert_eq!(broker.namesrv().await.route("T").await.unwrap().queue_datas[0].perm, 4);
        c.ok(update("brokerPermission=6\nlitePullMessageEnable=false\n")).await;
        assert_eq!(broker.namesrv().await.route("T").await.unwrap().queue_datas[0].perm, 6);
        let lite = c.call(Frame::bare_request(RequestCode::LITE_PULL_MESSAGE)).await;
        assert_eq!(lite.response_code(), ResponseCode::NO_PERMISSION);
        for (bad, part) in [
            ("listenPort=1234", "listenPort can only be set at the start"),
            ("brokerPermision=4", "did you mean 'brokerPermission'?"),
            ("brokerPermission=high", "whole number"),
        ] {
            let answer = c.call(update(bad)).await;
            assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
            assert!(answer.remark.contains(part), "{}", answer.remark);
        }
        let black = c.call(update("brokerConfigPath=/etc/passwd")).await;
        assert_eq!(black.response_code(), ResponseCode::NO_PERMISSION);
    })
    .await;
}

#[tokio::test]
async fn messages_are_found_by_key() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        for (unique, keys) in [("U1", "k1 both"), ("U2", "k2 both")] {
            c.send("T", 0, &properties(&[("UNIQ_KEY", unique), ("KEYS", keys)]), unique.as_bytes()).await;
        }
        let ask = |key: &'static str, unique| QueryMessageRequest {
            topic: "T",
            key,
            max_num: 32,
            begin_timestamp: 0,
            end_timestamp: i64::MAX,
            unique_key_query: unique,
        };
        for (key, unique, want) in [
            ("k2", None, vec!["U2"]),
            ("both", Some(false), vec!["U1", "U2"]),
            ("U1", Some(true), vec!["U1"]),
        ] {
            // The index follows the log a moment later.
            let asked = async |c: &mut Client| {
                MessageRecord::take_all(
                    c.call(Frame::request(RequestCode::QUERY_MESSAGE, &ask(key, unique))).await.body,
                )
                .unwrap()
                .len()
            };
            until("the messages are indexed", async || asked(&mut c).await == want.len()).await;
            let answer = c.ok(Frame::request(RequestCode::QUERY_MESSAGE, &ask(key, unique))).await;
            assert!(answer.ext.get("indexLastUpdatePhyoffset").is_some());
            let mut found: Vec<String> = MessageRecord::take_all(answer.body)
                .unwrap()
                .iter()
                .map(|record| String::from_utf8(record.body().to_vec()).unwrap())
                .collect();
            found.sort();
            assert_eq!(found, want);
        }
        c.refused(RequestCode::QUERY_MESSAGE, &ask("none", None), ResponseCode::QUERY_NOT_FOUND).await;
    })
    .await;
}

#[tokio::test]
async fn requests_to_consumers_are_passed_on() {
    within(async {
        let broker = TestBroker::start().await;
        let (mut admin, mut member) = (broker.client().await, broker.client().await);
        admin.create_topic("T", 1).await;
        let sent = admin.send("T", 0, "", b"direct").await;
        member.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        assert_eq!(member.request().await.request_code(), RequestCode::NOTIFY_CONSUMER_IDS_CHANGED);

        let header =
            ConsumerRunningInfoRequest { consumer_group: "g", client_id: "cid", jstack_enable: Some(true) };
        let asked = admin.post(Frame::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header)).await;
        let relayed = member.request().await;
        assert_eq!(relayed.request_code(), RequestCode::GET_CONSUMER_RUNNING_INFO);
        assert_eq!(relayed.ext.get("jstackEnable"), Some("true"));
        member.post(Frame::response(&relayed, ResponseCode::SUCCESS).with_body("{\"x\":1}")).await;
        assert_eq!(&admin.answer(asked).await.body[..], b"{\"x\":1}");

        let header = ConsumeMessageDirectlyRequest {
            consumer_group: "g",
            client_id: Some("cid"),
            msg_id: Some(&sent.msg_id),
            broker_name: None,
            topic: Some("T"),
        };
        let asked = admin.post(Frame::request(RequestCode::CONSUME_MESSAGE_DIRECTLY, &header)).await;
        let relayed = member.request().await;
        assert_eq!(relayed.ext.get("brokerName"), Some("broker-a"));
        assert_eq!(
            (relayed.ext.get("topicSysFlag"), relayed.ext.get("groupSysFlag")),
            (Some("0"), Some("0"))
        );
        let mut body = relayed.body.clone();
        assert_eq!(&MessageRecord::take(&mut body).unwrap().unwrap().body()[..], b"direct");
        member.post(Frame::response(&relayed, ResponseCode::SYSTEM_ERROR).with_remark("not now")).await;
        let answer = admin.answer(asked).await;
        assert_eq!((answer.response_code(), &*answer.remark), (ResponseCode::SYSTEM_ERROR, "not now"));

        // A consumer that leaves without an answer.
        let header =
            ConsumerRunningInfoRequest { consumer_group: "g", client_id: "cid", jstack_enable: None };
        let asked = admin.post(Frame::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header)).await;
        member.request().await;
        drop(member);
        assert_eq!(admin.answer(asked).await.response_code(), ResponseCode::SYSTEM_ERROR);
        admin.refused(RequestCode::GET_CONSUMER_RUNNING_INFO, &header, ResponseCode::SYSTEM_ERROR).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_not_served_is_said_to_be_so() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        for code in [RequestCode::POP_MESSAGE, RequestCode::END_TRANSACTION, RequestCode(9999)] {
            let answer = c.call(Frame::bare_request(code)).await;
            assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
            assert_eq!(answer.remark, format!("request type {} not supported", code.0));
        }
        let check = |kind: &str| {
            let body = format!(
                r#"{{"clientId":"c","group":"g","subscriptionData":{{"topic":"T","expressionType":{kind}}}}}"#
            );
            Frame::bare_request(RequestCode::CHECK_CLIENT_CONFIG).with_body(body)
        };
        c.ok(check("\"TAG\"")).await;
        c.ok(check("null")).await;
        assert_eq!(c.call(check("\"SQL92\"")).await.response_code(), ResponseCode::SYSTEM_ERROR);
        let sent = c.call(send_request("TBW102", 0, "", b"x")).await;
        assert_eq!(sent.response_code(), ResponseCode::SUCCESS, "Apache takes messages for TBW102 too");
    })
    .await;
}
