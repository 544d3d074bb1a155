//! Which servers a producer turns to: brokers that fail, second ports, namespaces, NameServers.

use std::sync::Arc;
use std::time::Duration;

use mq_client::{Client, ClientConfig, ErrorCode, ProducerConfig};
use mq_protocol::header::SendMessageRequestV2;
use mq_protocol::{Frame, Properties, RequestCode, ResponseCode};

use crate::support::{Act, FakeServer, Setup, until, until_async, within};
use crate::{SEND, message, refuse};

/// Two brokers of one queue each behind one NameServer; `a` answers as `script` says.
async fn two_brokers(
    script: impl Fn(&Frame) -> Act + Send + Sync + 'static,
) -> (FakeServer, FakeServer, FakeServer) {
    let a = FakeServer::start(script).await;
    let b = FakeServer::start(|_| Act::Usual).await;
    let brokers = vec![
        ("broker-a".to_owned(), a.address.to_string(), 1),
        ("broker-b".to_owned(), b.address.to_string(), 1),
    ];
    let namesrv = FakeServer::start_on("127.0.0.1:0", Some(Setup { brokers }), |_| Act::Usual).await;
    (namesrv, a, b)
}

#[tokio::test]
async fn brokers_that_fail_are_avoided_if_that_is_wanted() {
    for enabled in [true, false] {
        let busy = |frame: &Frame| match frame.request_code() {
            SEND => refuse(frame, ResponseCode::SYSTEM_BUSY),
            _ => Act::Usual,
        };
        let (namesrv, a, b) = two_brokers(busy).await;
        let client = namesrv.client();
        let mut config = ProducerConfig::default();
        config.set("sendLatencyFaultEnable", if enabled { "true" } else { "false" }).unwrap();
        let producer = client.producer(config).unwrap();
        for _ in 0..10 {
            let receipt = within(producer.send(message())).await.unwrap();
            assert_eq!(&*receipt.broker_name, "broker-b");
        }
        assert_eq!(b.count(SEND), 10);
        // Without the memory every second send tries the broker that is busy.
        let tried = a.count(SEND);
        if enabled {
            assert!(tried <= 1, "{tried}")
        } else {
            assert_eq!(tried, 5)
        }
        within(client.close()).await;
    }
}

#[tokio::test]
async fn an_attempt_that_hangs_leaves_time_for_another_broker() {
    let deaf = |frame: &Frame| if frame.request_code() == SEND { Act::Silence } else { Act::Usual };
    let (namesrv, a, _b) = two_brokers(deaf).await;
    let client = namesrv.client();
    let mut config = ProducerConfig::default();
    config.set("sendMsgMaxTimeoutPerRequest", "1s").unwrap();
    config.send_timeout = Duration::from_secs(25);
    let producer = client.producer(config).unwrap();
    for _ in 0..2 {
        let receipt = within(producer.send(message())).await.unwrap();
        assert_eq!(&*receipt.broker_name, "broker-b");
    }
    assert_eq!(a.count(SEND), 1);
    within(client.close()).await;
}

#[tokio::test]
async fn the_time_limit_holds_for_all_attempts_together() {
    let deaf = |frame: &Frame| if frame.request_code() == SEND { Act::Silence } else { Act::Usual };
    let (namesrv, a, b) = two_brokers(deaf).await;
    let client = namesrv.client();
    let mut config = ProducerConfig { retry_times_when_send_failed: 100, ..ProducerConfig::default() };
    config.set("send_timeout_per_request", "20ms").unwrap();
    let producer = client.producer(config).unwrap();
    // The other broker hangs too once it is gone.
    b.stop().await;
    let error = within(producer.send_with_timeout(message(), Duration::from_millis(300))).await.unwrap_err();
    assert!(matches!(error.code(), ErrorCode::Timeout | ErrorCode::Network), "{error}");
    assert!(a.count(SEND) < 20);
    within(client.close()).await;
}

#[tokio::test]
async fn namespaces_units_and_the_second_port() {
    let old = FakeServer::start(|_| Act::Usual).await;
    let mut config = old.config();
    config.set("namespace", "MQ_INST_1").unwrap();
    config.set("unitName", "east").unwrap();
    config.set("unitMode", "true").unwrap();
    let client = Client::new(config).unwrap();
    assert!(client.client_id().ends_with("@east"));
    let producer = client.producer(ProducerConfig::new("G")).unwrap();
    let receipt = within(producer.send(message())).await.unwrap();
    assert_eq!(receipt.topic, "T");
    assert_eq!(within(producer.queues("T")).await.unwrap()[0].topic, "T");
    let frame = old.frames(SEND).remove(0);
    let header: SendMessageRequestV2<'_> = frame.header().unwrap();
    assert_eq!((header.topic, header.producer_group), ("MQ_INST_1%T", "MQ_INST_1%G"));
    assert_eq!(header.unit_mode, Some(true));
    assert_eq!(Properties::parse(header.properties.unwrap()).get("INSTANCE_ID"), Some("MQ_INST_1"));
    assert_eq!(frame.ext.get("nsd"), None);
    within(client.close()).await;

    let new = FakeServer::start(|_| Act::Usual).await;
    let mut config = new.config();
    config.set("namespaceV2", "ns-2").unwrap();
    let client = Client::new(config).unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    within(producer.send(message())).await.unwrap();
    within(client.close()).await;
    for frame in new.seen.lock().unwrap().iter() {
        assert_eq!((frame.ext.get("nsd"), frame.ext.get("ns")), (Some("true"), Some("ns-2")));
    }
    assert_eq!(new.frames(SEND)[0].ext.get("b"), Some("T"));

    // A broker that listens on a port and on the one two below it.
    let (main, vip) = loop {
        let main = FakeServer::start(|_| Act::Usual).await;
        let below = format!("127.0.0.1:{}", main.address.port() - 2);
        if std::net::TcpListener::bind(&below).is_ok() {
            break (main, FakeServer::start_on(&below, None, |_| Act::Usual).await);
        }
        main.stop().await;
    };
    let mut config = main.config();
    config.set("vipChannelEnabled", "true").unwrap();
    let client = Client::new(config).unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    within(producer.send(message())).await.unwrap();
    assert_eq!((main.count(SEND), vip.count(SEND)), (0, 1));
    // The broker is told of the group where it listens for all.
    until("it is told", || main.count(RequestCode::HEART_BEAT) > 0).await;
    assert_eq!(vip.count(RequestCode::HEART_BEAT), 0);
    within(client.close()).await;
}

#[tokio::test]
async fn the_name_server_that_answered_last_is_asked_again() {
    let one = FakeServer::start(|_| Act::Usual).await;
    let two = FakeServer::start(|_| Act::Usual).await;
    let client =
        Client::new(ClientConfig::new(&format!("{};{}", one.address, two.address)).unwrap()).unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let asked =
        || (one.count(RequestCode::GET_ROUTEINFO_BY_TOPIC), two.count(RequestCode::GET_ROUTEINFO_BY_TOPIC));
    for n in 0..5 {
        within(producer.queues(&format!("T{n}"))).await.unwrap();
    }
    assert!(matches!(asked(), (5, 0) | (0, 5)), "{:?}", asked());
    // When it goes away, the other takes over and stays.
    let left = if asked() == (5, 0) {
        one.stop().await;
        two
    } else {
        two.stop().await;
        one
    };
    for n in 5..10 {
        within(producer.queues(&format!("T{n}"))).await.unwrap();
    }
    assert_eq!(left.count(RequestCode::GET_ROUTEINFO_BY_TOPIC), 5);
    within(client.close()).await;
}

#[tokio::test]
async fn name_servers_are_found_by_asking_a_web_server() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let one = FakeServer::start(|_| Act::Usual).await;
    let two = FakeServer::start(|_| Act::Usual).await;
    let answer = Arc::new(std::sync::Mutex::new(format!("{}\r\n", one.address)));
    let asked = Arc::new(std::sync::Mutex::new(String::new()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web_address = listener.local_addr().unwrap();
    let (text, request) = (answer.clone(), asked.clone());
    let web = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap_or(0) > 0 {}
            *request.lock().unwrap() = String::from_utf8(head).unwrap();
            let body = text.lock().unwrap().clone();
            let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let mut config = ClientConfig::default();
    config.set("rocketmq.namesrv.domain", &web_address.to_string()).unwrap();
    config.set("namesrv_domain_interval", "20ms").unwrap();
    let client = Client::new(config.clone()).unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    within(producer.send(message())).await.unwrap();
    assert!(asked.lock().unwrap().starts_with("GET /rocketmq/nsaddr HTTP/1.1\r\n"));
    assert!(one.count(SEND) == 1);
    // Another address takes over; an answer that is none changes nothing.
    *answer.lock().unwrap() = two.address.to_string();
    let mut number = 0;
    until_async("the other is asked", async || {
        number += 1;
        producer.queues(&format!("T{number}")).await.unwrap();
        two.count(RequestCode::GET_ROUTEINFO_BY_TOPIC) > 0
    })
    .await;
    for bad in ["", "<html>"] {
        *answer.lock().unwrap() = bad.to_owned();
        asked.lock().unwrap().clear();
        until("it is asked again", || !asked.lock().unwrap().is_empty()).await;
        within(producer.send(message())).await.unwrap();
    }
    within(client.close()).await;
    let client = Client::new(config).unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let error = within(producer.send(message())).await.unwrap_err();
    assert!(error.to_string().contains("/rocketmq/nsaddr"), "{error}");
    within(client.close()).await;
    web.abort();
    for bad in ["http://x", "a b"] {
        let mut config = ClientConfig::default();
        config.set("namesrv_domain", bad).unwrap();
        assert_eq!(Client::new(config).unwrap_err().code(), ErrorCode::Config);
    }
}
