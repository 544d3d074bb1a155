//! Starting, stopping, killing and starting again on the same data.

use std::time::Duration;

use mq_broker::Broker;
use mq_protocol::header::{OffsetResponse, QueryConsumerOffsetRequest, UpdateConsumerOffsetRequest};
use mq_protocol::{Frame, RequestCode};

use crate::client::{Client, TestBroker, consumer, settings, until, within};

#[tokio::test]
async fn everything_survives_a_clean_stop() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 2).await;
        c.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        for n in 0..10 {
            c.send("T", 1, "", n.to_string().as_bytes()).await;
        }
        let header =
            UpdateConsumerOffsetRequest { consumer_group: "g", topic: "T", queue_id: 1, commit_offset: 4 };
        c.ok(Frame::request(RequestCode::UPDATE_CONSUMER_OFFSET, &header)).await;
        broker.broker.stop().await.unwrap();
        broker.broker.stop().await.unwrap();
        c.closed().await;
        assert!(!broker.folder.path().join("store/abort").exists());

        let again = Broker::start(settings(&broker.folder)).await.unwrap();
        let mut c = Client::connect(again.broker_addr()).await;
        let header = QueryConsumerOffsetRequest {
            consumer_group: "g",
            topic: "T",
            queue_id: 1,
            set_zero_if_not_found: None,
        };
        let answer = c.ok(Frame::request(RequestCode::QUERY_CONSUMER_OFFSET, &header)).await;
        assert_eq!(answer.header::<OffsetResponse>().unwrap().offset, 4);
        assert_eq!(c.pull("g", "T", 1, 4, "*").await.bodies(), ["4", "5", "6", "7", "8", "9"]);
        again.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_the_ports_are_free_at_once() {
    within(async {
        let mut broker = TestBroker::start().await;
        let mut expected = Vec::new();
        for round in 0..3 {
            let mut c = broker.client().await;
            for n in 0..20 {
                let text = format!("{round}-{n}");
                c.send("auto", 0, "", text.as_bytes()).await;
                expected.push(text);
            }
            let (port, namesrv_port) =
                (broker.broker.broker_addr().port(), broker.broker.namesrv_addr().unwrap().port());
            broker.broker.kill();
            c.closed().await;
            let mut config = settings(&broker.folder);
            config.listen_port = port;
            config.namesrv_listen_port = namesrv_port;
            broker.broker = Broker::start(config).await.unwrap();
            let mut c = broker.client().await;
            let mut found = Vec::new();
            while found.len() < expected.len() {
                let offset = i64::try_from(found.len()).unwrap();
                let pulled = c.pull("g", "auto", 0, offset, "*").await;
                assert!(!pulled.records.is_empty(), "{} of {} are left", found.len(), expected.len());
                found.extend(pulled.bodies());
            }
            assert_eq!(found, expected);
            assert!(broker.namesrv().await.route("auto").await.is_some());
        }
    })
    .await;
}

#[tokio::test]
async fn offsets_are_saved_while_the_broker_runs() {
    within(async {
        let broker =
            TestBroker::start_with(|config| config.set("flushConsumerOffsetInterval", "20").unwrap()).await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        c.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        let header =
            UpdateConsumerOffsetRequest { consumer_group: "g", topic: "T", queue_id: 0, commit_offset: 9 };
        c.ok(Frame::request(RequestCode::UPDATE_CONSUMER_OFFSET, &header)).await;
        let file = broker.folder.path().join("store/config/consumerOffset.json");
        until("the file has it", async || {
            std::fs::read_to_string(&file).is_ok_and(|text| text.contains(r#""T@g":{0:9}"#))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_second_broker_on_the_same_port_or_data_is_refused() {
    within(async {
        let broker = TestBroker::start().await;
        let error = Broker::start(settings(&broker.folder)).await.unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        let other = tempfile::tempdir().unwrap();
        let mut config = settings(&other);
        config.listen_port = broker.broker.broker_addr().port();
        let error = Broker::start(config).await.unwrap_err();
        assert!(error.to_string().contains("cannot listen on 127.0.0.1"), "{error}");
        let mut config = settings(&other);
        config.broker_name = "not a name".to_owned();
        let error = Broker::start(config).await.unwrap_err();
        assert!(error.to_string().contains("'brokerName'"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn old_clients_find_the_fast_port() {
    within(async {
        // Two free ports at the right distance.
        for _ in 0..100 {
            let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = tempfile::tempdir().unwrap();
            let mut config = settings(&folder);
            config.listen_port = probe;
            let Ok(broker) = Broker::start(config).await else { continue };
            if let Ok(stream) = tokio::net::TcpStream::connect(("127.0.0.1", probe - 2)).await {
                drop(stream);
                let mut c = Client::connect(([127, 0, 0, 1], probe - 2).into()).await;
                c.send("auto", 0, "", b"fast").await;
                broker.stop().await.unwrap();
                return;
            }
        }
        panic!("no two free ports");
    })
    .await;
}

#[tokio::test]
async fn dropping_a_broker_frees_its_data() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..3 {
            let broker = Broker::start(settings(&folder)).await.unwrap();
            let mut c = Client::connect(broker.broker_addr()).await;
            assert_eq!(c.send("auto", 0, "", b"x").await.queue_offset, round);
        }
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.send("auto", 0, "", b"x").await;
        broker.broker.kill();
        drop(broker);
        tokio::time::timeout(Duration::from_secs(10), c.closed()).await.unwrap();
    })
    .await;
}
