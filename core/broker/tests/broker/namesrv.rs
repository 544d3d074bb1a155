//! The NameServer: registration, routes, key-value settings, lists, settings.

use std::collections::BTreeMap;

use mq_broker::{Broker, NameServer, NameServerConfig};
use mq_protocol::body::{
    BrokerMemberGroupBody, ClusterInfo, DataVersion, KvTable, RegisterBrokerBody, TopicConfig, TopicList,
    TopicTable,
};
use mq_protocol::compression::Compression;
use mq_protocol::header::{
    BrokerIdentityRequest, BrokerMemberGroupRequest, BrokerNameRequest, ClusterRequest, DeleteTopicRequest,
    GetRouteInfoRequest, KvKeyRequest, KvNamespaceRequest, KvValueResponse, PutKvRequest,
    QueryDataVersionResponse, RegisterBrokerRequest, RegisterBrokerResponse, WipeWritePermResponse,
};
use mq_protocol::id::body_crc;
use mq_protocol::{Encoding, Frame, RequestCode, ResponseCode, fastjson};

use crate::client::{Client, TestBroker, settings, until, within};

async fn start() -> NameServer {
    NameServer::start(NameServerConfig { listen_port: 0, ..NameServerConfig::default() }).await.unwrap()
}

fn table(counter: i64, topics: &[&str]) -> TopicTable {
    let topics = topics.iter().map(|name| ((*name).to_owned(), TopicConfig::new(*name, 4, 6))).collect();
    TopicTable { data_version: DataVersion { counter, ..DataVersion::default() }, topic_config_table: topics }
}

fn registration<'a>(address: &'a str, id: i64) -> RegisterBrokerRequest<'a> {
    RegisterBrokerRequest {
        broker_name: "broker-x",
        broker_addr: address,
        cluster_name: "C",
        ha_server_addr: "10.0.0.1:10912",
        broker_id: id,
        heartbeat_timeout_millis: None,
        enable_acting_master: None,
        compressed: Some(false),
        body_crc32: Some(0),
    }
}

fn register(header: &RegisterBrokerRequest<'_>, topics: TopicTable) -> Frame {
    let body = RegisterBrokerBody { filter_server_list: vec![], topic_config_serialize_wrapper: topics };
    Frame::request(RequestCode::REGISTER_BROKER, header).with_body(serde_json::to_vec(&body).unwrap())
}

fn identity<'a>(address: &'a str) -> BrokerIdentityRequest<'a> {
    BrokerIdentityRequest { broker_name: "broker-x", broker_addr: address, cluster_name: "C", broker_id: 0 }
}

#[tokio::test]
async fn a_broker_registers_and_its_routes_end_with_its_connection() {
    within(async {
        let namesrv = start().await;
        let mut broker = Client::connect(namesrv.addr()).await;
        let mut client = Client::connect(namesrv.addr()).await;
        assert!(client.route("T").await.is_none());
        let one = broker.call(register(&registration("10.0.0.1:10911", 0), table(1, &["T"]))).await;
        assert_eq!(one.response_code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!(one.remark, "register broker failed");
        broker.ok(register(&registration("10.0.0.1:10911", 0), table(1, &["T", "U"]))).await;
        let route = client.route("T").await.unwrap();
        assert_eq!(route.broker_datas[0].broker_addrs, BTreeMap::from([(0, "10.0.0.1:10911".to_owned())]));
        assert_eq!(route.queue_datas[0].write_queue_nums, 4);

        let mut replica = Client::connect(namesrv.addr()).await;
        let learned = replica.ok(register(&registration("10.0.0.2:10911", 1), table(1, &["T", "U"]))).await;
        let learned: RegisterBrokerResponse<'_> = learned.header().unwrap();
        assert_eq!(learned.master_addr, Some("10.0.0.1:10911"));
        assert_eq!(learned.ha_server_addr, Some("10.0.0.1:10912"));

        drop(broker);
        until("the master is gone", async || {
            client.route("T").await.unwrap().broker_datas[0].broker_addrs.len() == 1
        })
        .await;
        replica
            .ok(Frame::request(
                RequestCode::UNREGISTER_BROKER,
                &BrokerIdentityRequest { broker_id: 1, ..identity("10.0.0.2:10911") },
            ))
            .await;
        assert!(client.route("T").await.is_none());
        namesrv.stop().await;
    })
    .await;
}

#[tokio::test]
async fn damaged_and_compressed_registrations() {
    within(async {
        let namesrv = start().await;
        let mut broker = Client::connect(namesrv.addr()).await;
        let header = registration("10.0.0.1:10911", 0);
        let mut frame = register(&header, table(1, &["T", "U"]));
        frame.ext.push("bodyCrc32", "12345");
        let answer = broker.call(frame).await;
        assert_eq!(
            (answer.response_code(), &*answer.remark),
            (ResponseCode::SYSTEM_ERROR, "crc32 not match")
        );
        let mut frame = register(&header, table(1, &["T", "U"]));
        frame.ext.push("bodyCrc32", &body_crc(&frame.body).to_string());
        broker.ok(frame).await;

        let mut plain = Vec::new();
        let mut put = |text: &str| {
            plain.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
            plain.extend(text.as_bytes());
        };
        put(r#"{"counter":2}"#);
        plain.extend(2_i32.to_be_bytes());
        let mut put = |text: &str| {
            plain.extend(i32::try_from(text.len()).unwrap().to_be_bytes());
            plain.extend(text.as_bytes());
        };
        put("V 3 3 6 SINGLE_TAG");
        put("W 3 3 6 SINGLE_TAG");
        put("[]");
        let compressed = RegisterBrokerRequest { compressed: Some(true), ..header };
        let body = Compression::Zlib.compress(&plain, 9).unwrap();
        broker.ok(Frame::request(RequestCode::REGISTER_BROKER, &compressed).with_body(body)).await;
        assert_eq!(broker.route("V").await.unwrap().queue_datas[0].read_queue_nums, 3);
        for body in [&b"{"[..], b"7", b"{\"topicConfigSerializeWrapper\":7}"] {
            let frame = Frame::request(RequestCode::REGISTER_BROKER, &registration("10.0.0.1:10911", 0));
            let answer = broker.call(frame.with_body(body.to_vec())).await;
            assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        }
    })
    .await;
}

#[tokio::test]
async fn old_callers_get_bare_keys_and_new_ones_standard_json() {
    within(async {
        let namesrv = start().await;
        let mut broker = Client::connect(namesrv.addr()).await;
        broker.ok(register(&registration("10.0.0.1:10911", 0), table(1, &["T", "U"]))).await;
        let header = GetRouteInfoRequest { topic: "T", accept_standard_json_only: None };
        let mut old = Frame::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        old.version = 317;
        let text = String::from_utf8(broker.ok(old.clone()).await.body.to_vec()).unwrap();
        assert!(text.contains(r#""brokerAddrs":{0:"10.0.0.1:10911"}"#), "{text}");
        assert!(!text.contains([' ', '\n']));
        let new = Frame::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        let text = String::from_utf8(broker.ok(new).await.body.to_vec()).unwrap();
        assert!(text.contains(r#""brokerAddrs":{"0":"10.0.0.1:10911"}"#), "{text}");
        old.ext.push("acceptStandardJsonOnly", "true");
        let text = String::from_utf8(broker.ok(old).await.body.to_vec()).unwrap();
        assert!(text.contains(r#"{"0":"#), "{text}");

        // The answer comes in the encoding of the question.
        let mut binary = Frame::request(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header);
        binary.encoding = Encoding::Binary;
        assert_eq!(broker.ok(binary).await.encoding, Encoding::Binary);
    })
    .await;
}

#[tokio::test]
async fn versions_permissions_and_lists() {
    within(async {
        let namesrv = start().await;
        let mut c = Client::connect(namesrv.addr()).await;
        let topics = table(1, &["T", "U"]);
        c.ok(register(&registration("10.0.0.1:10911", 0), topics.clone())).await;
        let ask = |version: DataVersion| {
            Frame::request(RequestCode::QUERY_DATA_VERSION, &identity("10.0.0.1:10911"))
                .with_body(serde_json::to_vec(&version).unwrap())
        };
        let same = c.ok(ask(topics.data_version)).await;
        assert!(!same.header::<QueryDataVersionResponse>().unwrap().changed);
        assert_eq!(fastjson::from_slice::<DataVersion>(&same.body).unwrap(), topics.data_version);
        let other = c.ok(ask(DataVersion { counter: 9, ..DataVersion::default() })).await;
        assert!(other.header::<QueryDataVersionResponse>().unwrap().changed);

        let name = BrokerNameRequest { broker_name: "broker-x" };
        let wiped = c.ok(Frame::request(RequestCode::WIPE_WRITE_PERM_OF_BROKER, &name)).await;
        assert_eq!(wiped.header::<WipeWritePermResponse>().unwrap().wipe_topic_count, 2);
        assert_eq!(c.route("T").await.unwrap().queue_datas[0].perm, 4);
        c.ok(Frame::request(RequestCode::ADD_WRITE_PERM_OF_BROKER, &name)).await;
        assert_eq!(c.route("T").await.unwrap().queue_datas[0].perm, 6);

        let list = |frame: Frame| {
            let mut names = fastjson::from_slice::<TopicList>(&frame.body).unwrap().topic_list;
            names.sort();
            names
        };
        let all = c.ok(Frame::bare_request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).await;
        assert_eq!(list(all), ["T", "U"]);
        let cluster = ClusterRequest { cluster: "C" };
        assert_eq!(
            list(c.ok(Frame::request(RequestCode::GET_TOPICS_BY_CLUSTER, &cluster)).await),
            ["T", "U"]
        );
        let system = c.ok(Frame::bare_request(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS)).await;
        assert_eq!(list(system), ["C", "broker-x"]);
        for code in [
            RequestCode::GET_UNIT_TOPIC_LIST,
            RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST,
            RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST,
        ] {
            assert!(list(c.ok(Frame::bare_request(code)).await).is_empty());
        }
        let info = c.ok(Frame::bare_request(RequestCode::GET_BROKER_CLUSTER_INFO)).await;
        let info: ClusterInfo = fastjson::from_slice(&info.body).unwrap();
        assert_eq!(info.cluster_addr_table["C"], ["broker-x"]);
        let group = BrokerMemberGroupRequest { cluster_name: "C", broker_name: "broker-x" };
        let group = c.ok(Frame::request(RequestCode::GET_BROKER_MEMBER_GROUP, &group)).await;
        let group: BrokerMemberGroupBody = fastjson::from_slice(&group.body).unwrap();
        assert_eq!(group.broker_member_group.unwrap().broker_addrs[&0], "10.0.0.1:10911");

        let header = DeleteTopicRequest { topic: "T", cluster_name: Some("other") };
        c.ok(Frame::request(RequestCode::DELETE_TOPIC_IN_NAMESRV, &header)).await;
        assert!(c.route("T").await.is_some());
        let header = DeleteTopicRequest { topic: "T", cluster_name: None };
        c.ok(Frame::request(RequestCode::DELETE_TOPIC_IN_NAMESRV, &header)).await;
        assert!(c.route("T").await.is_none());
    })
    .await;
}

#[tokio::test]
async fn silent_brokers_expire_and_settings_are_kept() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let config = NameServerConfig {
            listen_port: 0,
            scan_not_active_broker_interval: 10,
            kv_config_path: Some(folder.path().join("kv.json")),
            ..NameServerConfig::default()
        };
        let namesrv = NameServer::start(config.clone()).await.unwrap();
        let mut c = Client::connect(namesrv.addr()).await;
        let header =
            RegisterBrokerRequest { heartbeat_timeout_millis: Some(50), ..registration("10.0.0.1:10911", 0) };
        c.ok(register(&header, table(1, &["T", "U"]))).await;
        until("the broker expires", async || c.route("T").await.is_none()).await;

        let put = PutKvRequest { namespace: "ns", key: "k", value: "v=1" };
        c.ok(Frame::request(RequestCode::PUT_KV_CONFIG, &put)).await;
        namesrv.stop().await;
        let namesrv = NameServer::start(config).await.unwrap();
        let mut c = Client::connect(namesrv.addr()).await;
        let key = KvKeyRequest { namespace: "ns", key: "k" };
        let got = c.ok(Frame::request(RequestCode::GET_KV_CONFIG, &key)).await;
        assert_eq!(got.header::<KvValueResponse<'_>>().unwrap().value, Some("v=1"));
        let ns = KvNamespaceRequest { namespace: "ns" };
        let got = c.ok(Frame::request(RequestCode::GET_KVLIST_BY_NAMESPACE, &ns)).await;
        assert_eq!(fastjson::from_slice::<KvTable>(&got.body).unwrap().table["k"], "v=1");
        c.ok(Frame::request(RequestCode::DELETE_KV_CONFIG, &key)).await;
        c.refused(RequestCode::GET_KV_CONFIG, &key, ResponseCode::QUERY_NOT_FOUND).await;

        let text = c.ok(Frame::bare_request(RequestCode::GET_NAMESRV_CONFIG)).await.body;
        assert!(String::from_utf8_lossy(&text).contains("enableTopicList=true"));
        let update =
            |text: &str| Frame::bare_request(RequestCode::UPDATE_NAMESRV_CONFIG).with_body(text.to_owned());
        c.ok(update("enableAllTopicList=false")).await;
        let off = c.call(Frame::bare_request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER)).await;
        assert_eq!((off.response_code(), &*off.remark), (ResponseCode::SYSTEM_ERROR, "disable"));
        let black = c.call(update("kvConfigPath=/tmp/x")).await;
        assert_eq!(black.response_code(), ResponseCode::NO_PERMISSION);
        for bad in ["listenPort=1", "enableTopicList=perhaps", "nonsense=1"] {
            assert_eq!(c.call(update(bad)).await.response_code(), ResponseCode::SYSTEM_ERROR, "{bad}");
        }
    })
    .await;
}

#[tokio::test]
async fn unknown_codes_and_missing_fields_are_answered() {
    within(async {
        let namesrv = start().await;
        let mut c = Client::connect(namesrv.addr()).await;
        let answer = c.call(Frame::bare_request(RequestCode(4711))).await;
        assert_eq!(answer.response_code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
        assert_eq!(answer.remark, "request type 4711 not supported");
        let answer = c.call(Frame::bare_request(RequestCode::GET_ROUTEINFO_BY_TOPIC)).await;
        assert_eq!(answer.response_code(), ResponseCode::SYSTEM_ERROR);
        assert!(answer.remark.contains("'topic' is missing"), "{}", answer.remark);
    })
    .await;
}

#[tokio::test]
async fn a_broker_registers_at_a_namesrv_elsewhere_and_leaves_it() {
    within(async {
        let namesrv = start().await;
        let folder = tempfile::tempdir().unwrap();
        let mut config = settings(&folder);
        config.set("namesrvAddr", &namesrv.addr().to_string()).unwrap();
        let broker = Broker::start(config).await.unwrap();
        assert_eq!(broker.namesrv_addr(), None);
        let mut c = Client::connect(namesrv.addr()).await;
        let route = c.route("TBW102").await.expect("registered when the start is over");
        assert_eq!(route.broker_datas[0].broker_addrs[&0], broker.broker_addr().to_string());
        broker.create_topic("made", 3).unwrap();
        until("the topic is registered", async || c.route("made").await.is_some()).await;
        broker.stop().await.unwrap();
        assert!(c.route("made").await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_broker_comes_back_to_a_namesrv_that_restarted() {
    within(async {
        let namesrv = start().await;
        let address = namesrv.addr();
        let folder = tempfile::tempdir().unwrap();
        let mut config = settings(&folder);
        config.set("namesrvAddr", &address.to_string()).unwrap();
        let broker = Broker::start(config).await.unwrap();
        namesrv.kill();
        drop(namesrv);
        let again = NameServerConfig { listen_port: address.port(), ..NameServerConfig::default() };
        let _namesrv = NameServer::start(again).await.unwrap();
        let mut c = Client::connect(address).await;
        until("the broker registers again", async || c.route("TBW102").await.is_some()).await;
        broker.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_broker_on_all_interfaces_gives_each_caller_its_own_way() {
    within(async {
        let broker = TestBroker::start_with(|config| config.set("bindAddress", "0.0.0.0").unwrap()).await;
        let port = broker.broker.namesrv_addr().unwrap().port();
        let mut c = Client::connect(([127, 0, 0, 1], port).into()).await;
        let address = c.route("TBW102").await.unwrap().broker_datas[0].broker_addrs[&0].clone();
        assert_eq!(address, format!("127.0.0.1:{}", broker.broker.broker_addr().port()));
        let info = c.ok(Frame::bare_request(RequestCode::GET_BROKER_CLUSTER_INFO)).await;
        let info: ClusterInfo = fastjson::from_slice(&info.body).unwrap();
        assert_eq!(info.broker_addr_table["broker-a"].broker_addrs[&0], address);
        Client::connect(address.parse().unwrap()).await;
    })
    .await;
}
