//! The producer against a scripted server: what goes over the wire, and every kind of bad luck.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mq_client::{Client, ClientConfig, ErrorCode, Message, MessageQueue, ProducerConfig, SendStatus};
use mq_protocol::compression::Compression;
use mq_protocol::header::SendMessageRequestV2;
use mq_protocol::message::batch::BatchElement;
use mq_protocol::{Frame, Properties, RequestCode, ResponseCode};
use support::{Act, FakeServer, Setup, stored, until, until_async, within};

const SEND: RequestCode = RequestCode::SEND_MESSAGE_V2;

fn refuse(frame: &Frame, code: ResponseCode) -> Act {
    Act::Answer(Frame::response(frame, code).with_remark("as scripted"))
}

fn message() -> Message {
    Message::new("T", "hello")
}

#[tokio::test]
async fn a_send_carries_what_apache_expects_and_reports_where_it_went() {
    let server = FakeServer::start(|_| Act::Usual).await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::new("G")).unwrap();
    let receipt = within(producer.send(message().tag("a").key("k").property("p", "1"))).await.unwrap();
    assert_eq!((receipt.status, receipt.topic.as_str()), (SendStatus::Ok, "T"));
    assert_eq!((&*receipt.broker_name, receipt.message_id.len()), ("broker-a", 32));
    assert_eq!(receipt.offset_message_id, "0A00000200002A9F0000000000001000");
    assert_eq!(receipt.region_id.as_deref(), Some("DefaultRegion"));

    let frame = server.frames(SEND).remove(0);
    let header: SendMessageRequestV2<'_> = frame.header().unwrap();
    assert_eq!((header.producer_group, header.topic, header.default_topic), ("G", "T", "TBW102"));
    assert_eq!((header.default_topic_queue_nums, header.sys_flag, header.batch), (4, 0, Some(false)));
    assert_eq!(header.queue_id, receipt.queue_id);
    let properties = Properties::parse(header.properties.unwrap());
    assert_eq!(properties.get("TAGS"), Some("a"));
    assert_eq!(properties.get("KEYS"), Some("k"));
    assert_eq!(properties.get("p"), Some("1"));
    assert_eq!(properties.get("UNIQ_KEY"), Some(receipt.message_id.as_str()));
    assert_eq!(&frame.body[..], b"hello");

    within(client.close()).await;
    until("unregistered", || server.count(RequestCode::UNREGISTER_CLIENT) == 1).await;
    let error = within(producer.send(message())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Closed);
    assert_eq!(client.producer(ProducerConfig::new("G")).unwrap_err().code(), ErrorCode::Closed);
    within(client.close()).await;
    within(producer.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sends_at_a_time_share_one_connection_and_spread_over_queues() {
    let server = FakeServer::start(|_| Act::Usual).await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sends = (0..64).map(|_| {
        let producer = producer.clone();
        tokio::spawn(async move {
            let mut receipts = Vec::new();
            for _ in 0..20 {
                receipts.push(producer.send(Message::new("T", "x")).await.unwrap());
            }
            receipts
        })
    });
    let receipts: Vec<_> = within(join_all(sends)).await.into_iter().flat_map(Result::unwrap).collect();
    let ids: HashSet<_> = receipts.iter().map(|r| r.message_id.clone()).collect();
    assert_eq!(ids.len(), 64 * 20);
    for queue in 0..4 {
        assert_eq!(receipts.iter().filter(|r| r.queue_id == queue).count(), 320);
    }
    // One to the NameServer's role and the broker's role of the same address.
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    assert_eq!(server.count(RequestCode::GET_ROUTEINFO_BY_TOPIC), 1);
    within(client.close()).await;
}

#[tokio::test]
async fn lists_oneway_compression_and_chosen_queues() {
    let server = FakeServer::start(|_| Act::Usual).await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();

    let list = vec![Message::new("T", "a").tag("x"), Message::new("T", "b")];
    let receipt = within(producer.send_batch(list)).await.unwrap();
    assert_eq!(receipt.message_id.split(',').count(), 2);
    let frame = server.frames(RequestCode::SEND_BATCH_MESSAGE).remove(0);
    assert_eq!(frame.ext.get("m"), Some("true"));
    let elements = BatchElement::take_all(&frame.body).unwrap();
    assert_eq!(elements.iter().map(|e| e.body).collect::<Vec<_>>(), [b"a", b"b"]);
    for (bad, code) in [
        (vec![], ErrorCode::Argument),
        (vec![Message::new("T", "a"), Message::new("U", "a")], ErrorCode::Argument),
        (vec![Message::new("T", "a").delay_level(1)], ErrorCode::Argument),
        (vec![Message::new("T", vec![0; 3 << 20]), Message::new("T", vec![0; 2 << 20])], ErrorCode::TooLarge),
    ] {
        assert_eq!(within(producer.send_batch(bad)).await.unwrap_err().code(), code);
    }

    let lists = producer.split_batch(vec![Message::new("T", vec![0; 3 << 20]); 3]).unwrap();
    assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    for list in lists {
        within(producer.send_batch(list)).await.unwrap();
    }
    let list = vec![message().wait_store(false), message().wait_store(false)];
    within(producer.send_batch(list)).await.unwrap();
    let frame = server.frames(RequestCode::SEND_BATCH_MESSAGE).pop().unwrap();
    assert_eq!(Properties::parse(frame.ext.get("i").unwrap()).get("WAIT"), Some("false"));
    for element in BatchElement::take_all(&frame.body).unwrap() {
        assert_eq!(Properties::parse(element.properties).get("WAIT"), Some("false"));
    }

    within(producer.send_oneway(message())).await.unwrap();
    until("one-way arrives", || server.frames(SEND).iter().any(Frame::is_oneway)).await;

    let body = vec![b'a'; 200_000];
    within(producer.send(Message::new("T", body.clone()))).await.unwrap();
    let frame = server.frames(SEND).pop().unwrap();
    let flags = frame.header::<SendMessageRequestV2<'_>>().unwrap().sys_flag;
    assert_eq!(Compression::of_flags(flags).unwrap(), Some(Compression::Zlib));
    assert_eq!(Compression::Zlib.decompress(&frame.body, body.len()).unwrap(), body);

    let mut queues = within(producer.queues("T")).await.unwrap();
    assert_eq!(queues.len(), 4);
    let queue = queues.remove(2);
    let wait = Duration::from_secs(3);
    let receipt = within(producer.send_to_queue_with_timeout(message(), &queue, wait)).await.unwrap();
    assert_eq!(receipt.queue_id, 2);
    let nowhere = MessageQueue { queue_id: 9, ..queue };
    let error = within(producer.send_to_queue(message(), &nowhere)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    let elsewhere = MessageQueue { topic: "U".to_owned(), queue_id: 1, ..nowhere };
    let error = within(producer.send_to_queue(message(), &elsewhere)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    let third = |queues: &[MessageQueue]| queues.iter().position(|queue| queue.queue_id == 3).unwrap();
    assert_eq!(within(producer.send_selected(message(), third, wait)).await.unwrap().queue_id, 3);
    let error = within(producer.send_selected(message(), |queues| queues.len(), wait)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    for _ in 0..3 {
        // hashCode("group-1") % 4 in Java.
        let receipt = within(producer.send(message().message_group("group-1"))).await.unwrap();
        assert_eq!(receipt.queue_id, i64::from(mq_protocol::id::java_hash("group-1")).abs() as i32 % 4);
    }
    within(client.close()).await;
}

#[tokio::test]
async fn other_statuses_are_reported_and_other_codes_are_errors() {
    let code = Arc::new(AtomicUsize::new(10));
    let scripted = code.clone();
    let server = FakeServer::start(move |frame| {
        if frame.request_code() != SEND {
            return Act::Usual;
        }
        match scripted.load(Ordering::SeqCst) as i32 {
            stored_as @ 10..=12 => Act::Answer(stored(frame, ResponseCode(stored_as))),
            other => refuse(frame, ResponseCode(other)),
        }
    })
    .await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for (number, status) in [
        (10, SendStatus::FlushDiskTimeout),
        (11, SendStatus::SlaveNotAvailable),
        (12, SendStatus::FlushSlaveTimeout),
    ] {
        code.store(number, Ordering::SeqCst);
        assert_eq!(within(producer.send(message())).await.unwrap().status, status);
    }
    let mut before = server.count(SEND);
    for (number, want, attempts) in [
        (13, ErrorCode::Argument, 1),
        (16, ErrorCode::Denied, 3),
        (2, ErrorCode::Throttled, 3),
        (17, ErrorCode::NotFound, 3),
        (14, ErrorCode::Broker, 3),
        (3, ErrorCode::Unsupported, 1),
    ] {
        code.store(number, Ordering::SeqCst);
        let error = within(producer.send(message())).await.unwrap_err();
        assert_eq!((error.code(), error.broker_code()), (want, Some(number as i32)));
        assert!(error.to_string().contains("as scripted"), "{error}");
        assert_eq!(server.count(SEND) - before, attempts, "code {number}");
        before = server.count(SEND);
    }
    within(client.close()).await;
}

#[tokio::test]
async fn a_failed_send_goes_to_another_broker_under_the_same_id() {
    let bad = FakeServer::start(|frame| {
        if frame.request_code() == SEND { refuse(frame, ResponseCode::SYSTEM_BUSY) } else { Act::Usual }
    })
    .await;
    let good = FakeServer::start(|_| Act::Usual).await;
    let brokers = vec![
        ("bad".to_owned(), bad.address.to_string(), 1),
        ("good".to_owned(), good.address.to_string(), 1),
    ];
    let namesrv = FakeServer::start_on("127.0.0.1:0", Some(Setup { brokers }), |_| Act::Usual).await;
    let client = namesrv.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for _ in 0..4 {
        let receipt = within(producer.send(message())).await.unwrap();
        assert_eq!(&*receipt.broker_name, "good");
    }
    assert_eq!((bad.count(SEND), good.count(SEND)), (2, 4));
    let ids = |server: &FakeServer| -> HashSet<String> {
        let id = |frame: &Frame| {
            Properties::parse(frame.ext.get("i").unwrap()).get("UNIQ_KEY").unwrap().to_owned()
        };
        server.frames(SEND).iter().map(id).collect()
    };
    assert!(ids(&bad).is_subset(&ids(&good)));
    within(client.close()).await;
}

#[tokio::test]
async fn a_silent_broker_means_a_timeout_in_total_and_a_late_answer_is_thrown_away() {
    let first = AtomicBool::new(true);
    let server = FakeServer::start(move |frame| {
        if frame.request_code() == SEND && first.swap(false, Ordering::SeqCst) {
            Act::AfterNext(stored(frame, ResponseCode::SUCCESS))
        } else {
            Act::Usual
        }
    })
    .await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let timeout = Duration::from_millis(100);
    let error = within(producer.send_with_timeout(message(), timeout)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
    assert_eq!(server.count(SEND), 1, "no time was left for another attempt");
    // The next answer comes together with the late one.
    let mut receipts = Vec::new();
    for _ in 0..3 {
        receipts.push(within(producer.send(message())).await.unwrap());
    }
    let sent: Vec<_> = server.frames(SEND);
    for (receipt, frame) in receipts.iter().zip(&sent[1..]) {
        assert!(frame.ext.get("i").unwrap().contains(&receipt.message_id));
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    within(client.close()).await;
}

#[tokio::test]
async fn a_cut_connection_fails_what_is_in_flight_at_once_and_is_made_again() {
    let silent = Arc::new(AtomicBool::new(true));
    let scripted = silent.clone();
    let server = FakeServer::start(move |frame| {
        if frame.request_code() == SEND && scripted.load(Ordering::SeqCst) {
            Act::Silence
        } else {
            Act::Usual
        }
    })
    .await;
    let client = server.client();
    let config = ProducerConfig { retry_times_when_send_failed: 0, ..ProducerConfig::default() };
    let once = client.producer(config).unwrap();
    let again = client.producer(ProducerConfig::default()).unwrap();
    let hour = Duration::from_secs(3600);
    let sends = async {
        tokio::join!(once.send_with_timeout(message(), hour), again.send_with_timeout(message(), hour))
    };
    let cut = async {
        until("both are on their way", || server.count(SEND) == 2).await;
        silent.store(false, Ordering::SeqCst);
        server.cut_all();
    };
    let ((once_result, again_result), ()) = within(async { tokio::join!(sends, cut) }).await;
    let error = once_result.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Network);
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
    assert!(error.retryable());
    again_result.unwrap();
    within(once.send(message())).await.unwrap();
    within(client.close()).await;
}

#[tokio::test]
async fn nowhere_to_send_to() {
    let server = FakeServer::start(|frame| match frame.ext.get("topic") {
        Some("TBW102") => refuse(frame, ResponseCode::TOPIC_NOT_EXIST),
        _ => Act::Usual,
    })
    .await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sends = (0..50).map(|_| producer.send(Message::new("no_topic", "x")));
    for result in within(join_all(sends)).await {
        let error = result.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
        assert!(error.to_string().contains("'no_topic'"), "{error}");
    }
    // All of them shared one question.
    assert_eq!(server.count(RequestCode::GET_ROUTEINFO_BY_TOPIC), 2);
    within(client.close()).await;
    let gone = server.address;
    server.stop().await;

    let client = Client::new(ClientConfig::new(&gone.to_string()).unwrap()).unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let error = within(producer.send_with_timeout(message(), Duration::from_millis(300))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Network);
    assert!(error.to_string().contains(&gone.to_string()), "{error}");
    within(client.close()).await;
}

#[tokio::test]
async fn new_topics_are_sent_to_by_the_template_and_other_name_servers_are_asked() {
    let server = FakeServer::start(|frame| match (frame.request_code(), frame.ext.get("topic")) {
        (RequestCode::GET_ROUTEINFO_BY_TOPIC, Some("new")) => refuse(frame, ResponseCode::TOPIC_NOT_EXIST),
        _ => Act::Usual,
    })
    .await;
    let gone = {
        let unused = FakeServer::start(|_| Act::Usual).await;
        let address = unused.address;
        unused.stop().await;
        address
    };
    for addresses in [format!("{gone};{}", server.address), format!("{};{gone}", server.address)] {
        let client = Client::new(ClientConfig::new(&addresses).unwrap()).unwrap();
        let config = ProducerConfig { default_topic_queue_nums: 2, ..ProducerConfig::default() };
        let producer = client.producer(config).unwrap();
        for _ in 0..4 {
            let receipt = within(producer.send(Message::new("new", "x"))).await.unwrap();
            assert!(receipt.queue_id < 2);
        }
        within(client.close()).await;
    }
}

#[tokio::test]
async fn bounds_hold_when_the_broker_does_not_answer() {
    let server =
        FakeServer::start(|frame| if frame.request_code() == SEND { Act::Silence } else { Act::Usual }).await;
    let client = server.client();
    let config = ProducerConfig { max_in_flight: 2, wait_when_full: false, ..ProducerConfig::default() };
    let producer = client.producer(config).unwrap();
    let wait = Duration::from_secs(30);
    let mut stuck = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let producer = producer.clone();
        stuck.spawn(async move { producer.send_with_timeout(message(), wait).await });
    }
    until("two are on their way", || server.count(SEND) == 2).await;
    let error = within(producer.send(message())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::QueueFull);
    assert!(error.retryable());
    // A send that is given up makes room.
    stuck.shutdown().await;
    let error = within(producer.send_with_timeout(message(), Duration::from_millis(20))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    within(client.close()).await;
}

#[tokio::test]
async fn closing_waits_for_what_is_on_its_way() {
    // First an answer that comes with the next one, then none.
    let sends = AtomicUsize::new(0);
    let server = FakeServer::start(move |frame| {
        if frame.request_code() != SEND {
            return Act::Usual;
        }
        match sends.fetch_add(1, Ordering::SeqCst) {
            0 => Act::AfterNext(stored(frame, ResponseCode::SUCCESS)),
            1 => Act::Usual,
            _ => Act::Silence,
        }
    })
    .await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let wait = Duration::from_secs(30);
    let busy = {
        let producer = producer.clone();
        tokio::spawn(async move { producer.send_with_timeout(message(), wait).await })
    };
    until("it is on its way", || server.count(SEND) == 1).await;
    let other = client.producer(ProducerConfig::new("other")).unwrap();
    let release = async {
        other.send(message()).await.unwrap();
    };
    within(async { tokio::join!(producer.close(), release) }).await;
    busy.await.unwrap().unwrap();
    assert_eq!(within(producer.send(message())).await.unwrap_err().code(), ErrorCode::Closed);

    // With no hope of an answer it does not wait longer than it should, and nobody is left hanging.
    let config = ProducerConfig { close_timeout: Duration::from_millis(50), ..ProducerConfig::default() };
    let producer = client.producer(config).unwrap();
    let busy = {
        let producer = producer.clone();
        tokio::spawn(async move { producer.send_with_timeout(message(), wait).await })
    };
    until("it is on its way", || server.count(SEND) == 3).await;
    within(producer.close()).await;
    within(client.close()).await;
    let error = within(busy).await.unwrap().unwrap_err();
    assert!(matches!(error.code(), ErrorCode::Network | ErrorCode::Closed), "{error}");
}

#[tokio::test]
async fn a_server_that_never_reads_holds_up_nobody_for_ever() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = listener.local_addr().unwrap().to_string();
    let brokers = vec![("deaf".to_owned(), deaf, 1)];
    let namesrv = FakeServer::start_on("127.0.0.1:0", Some(Setup { brokers }), |_| Act::Usual).await;
    let mut config = namesrv.config();
    config.max_queued_bytes = 65_536;
    let client = Client::new(config).unwrap();
    let config = ProducerConfig {
        retry_times_when_send_failed: 0,
        compress_body_over: usize::MAX >> 33,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config).unwrap();
    let body = vec![7_u8; 1 << 20];
    let sends = (0..32)
        .map(|_| producer.send_with_timeout(Message::new("T", body.clone()), Duration::from_millis(500)));
    for result in within(join_all(sends)).await {
        assert_eq!(result.unwrap_err().code(), ErrorCode::Timeout);
    }
    within(client.close()).await;
}

#[tokio::test]
async fn ipv6_addresses_work() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // This machine has no IPv6.
        return;
    }
    let server = FakeServer::start_on("[::1]:0", None, |_| Act::Usual).await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    within(producer.send(message())).await.unwrap();
    within(client.close()).await;
}

#[tokio::test]
async fn requests_that_nobody_knows_are_answered() {
    let server = FakeServer::start(|_| Act::Usual).await;
    let client = server.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    within(producer.send(message())).await.unwrap();
    let mut question = Frame::bare_request(RequestCode(4711));
    question.opaque = 99;
    server.push(&question);
    until("it is answered", || {
        let seen = server.seen.lock().unwrap();
        seen.iter().any(|f| f.is_response() && f.opaque == 99 && f.code == 3)
    })
    .await;
    within(client.close()).await;
}

#[tokio::test]
async fn garbage_from_the_server_cuts_the_connection_with_a_reason() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let babbler = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let client = Client::new(ClientConfig::new(&address).unwrap()).unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let error = within(producer.send(message())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Network);
    within(client.close()).await;
    babbler.abort();
}

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
    config.set("sendMsgMaxTimeoutPerRequest", "500ms").unwrap();
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
