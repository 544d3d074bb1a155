//! The producer against a scripted server: what goes over the wire, and every kind of bad luck.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../support/mod.rs"]
mod support;

mod servers;

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
use support::{Act, FakeServer, Setup, stored, until, within};

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
        // On a slow machine the time may be over before the connection stands.
        let error = result.unwrap_err();
        assert!(matches!(error.code(), ErrorCode::Timeout | ErrorCode::Network), "{error}");
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
