//! Peers that lie, stammer, never read, or come in crowds: the broker serves the others and stays small.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use mq_broker::{NameServer, NameServerConfig};
use mq_protocol::header::{ConsumerRunningInfoRequest, PullMessageRequest, SendMessageRequestV2, pull_flag};
use mq_protocol::message::batch::BatchElement;
use mq_protocol::{Frame, RequestCode, ResponseCode};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::client::{Client, TestBroker, consumer, pull_header, send_header, send_request, until, within};

async fn still_serves(broker: &TestBroker) {
    let mut c = broker.client().await;
    c.send("alive", 0, "", b"x").await;
}

#[tokio::test]
async fn lies_and_garbage_close_only_their_own_connection() {
    within(async {
        let broker = TestBroker::start().await;
        let header = |word: u32, header: &[u8]| {
            let mut out = BytesMut::new();
            out.put_u32(u32::try_from(4 + header.len()).unwrap());
            out.put_u32(word);
            out.put_slice(header);
            out.to_vec()
        };
        let json = |text: &str| header(u32::try_from(text.len()).unwrap(), text.as_bytes());
        let mut hostile: Vec<Vec<u8>> = vec![
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![0xFF; 64],
            vec![0; 64],
            vec![0x7F, 0xFF, 0xFF, 0xFF],
            vec![0, 0, 0, 3, 0, 0, 0],
            vec![0x01, 0, 0, 0],
            header(0x00FF_FFFF, b"{}"),
            header(0x0200_0002, b"{}"),
            header(0x0100_0002, b"{}"),
            json("{"),
            json("[]"),
            json(r#"{"code":99999999999}"#),
            json(r#"{"code":"ten"}"#),
            json(&"[".repeat(5000)),
            json(&format!(r#"{{"code":34,"x":{}1}}"#, "[".repeat(5000))),
        ];
        // The binary header with lengths that lie.
        for at in [13, 17] {
            let mut binary = vec![0, 34, 0, 1, 0xDF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            binary[at] = 0x7F;
            hostile.push(header(0x0100_0015, &binary));
        }
        for bytes in hostile {
            let mut c = broker.client().await;
            let _ = c.stream.write_all(&bytes).await;
            c.closed().await;
        }
        still_serves(&broker).await;
    })
    .await;
}

#[tokio::test]
async fn bodies_and_fields_that_make_no_sense_are_refused() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        c.create_topic("T", 1).await;
        for code in (0..400).chain([513, 901, 904, 200_050, i32::MAX, i32::MIN, -1]).map(RequestCode) {
            let bare = c.call(Frame::bare_request(code)).await;
            assert!(bare.is_response());
            let mut strange = Frame::bare_request(code).with_body(&b"\x00\xFF{[not json"[..]);
            for name in ["topic", "b", "consumerGroup", "group", "a", "producerGroup", "groupName", "key"] {
                strange.ext.push(name, "%RETRY%\u{1}\u{2}");
            }
            for name in
                ["queueId", "offset", "queueOffset", "maxMsgNums", "e", "timestamp", "maxNum", "commitOffset"]
            {
                strange.ext.push(name, "-9223372036854775808");
            }
            assert!(c.call(strange).await.is_response());
        }
        let absurd = PullMessageRequest {
            sys_flag: i32::MAX,
            max_msg_nums: i32::MAX,
            suspend_timeout_millis: i64::MAX,
            commit_offset: i64::MIN,
            max_msg_bytes: Some(i32::MAX),
            subscription: Some("*"),
            ..pull_header("g", "T", 0, i64::MAX)
        };
        c.refused(RequestCode::PULL_MESSAGE, &absurd, ResponseCode::PULL_OFFSET_MOVED).await;
        still_serves(&broker).await;
    })
    .await;
}

#[tokio::test]
async fn frames_that_come_byte_by_byte_are_put_together() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        let mut wire = BytesMut::new();
        for opaque in 1..=3 {
            let mut frame = send_request("T", 0, "", b"slow");
            frame.opaque = opaque;
            frame.encode(&mut wire);
        }
        for part in wire.chunks(7) {
            c.raw(part).await;
            tokio::task::yield_now().await;
        }
        for opaque in 1..=3 {
            assert_eq!(c.answer(opaque).await.response_code(), ResponseCode::SUCCESS);
        }
        // A large frame in pieces, and requests behind it.
        let big = vec![b'x'; 3 * 1024 * 1024];
        assert_eq!(c.send("T", 0, "", &big).await.queue_offset, 3);
        assert_eq!(c.pull("g", "T", 0, 3, "*").await.records[0].body().len(), big.len());
    })
    .await;
}

#[tokio::test]
async fn idle_and_half_finished_connections_are_closed() {
    within(async {
        let broker = TestBroker::start_with(|config| config.server_channel_max_idle_time_seconds = 3).await;
        let mut idle = broker.client().await;
        let mut half = broker.client().await;
        half.raw(&[0, 0, 1, 0, 0, 0]).await;
        let mut drip = broker.client().await;
        drip.raw(&[0, 0, 1, 0]).await;
        let (mut read, mut write) = drip.stream.into_split();
        let dripping = tokio::spawn(async move {
            // One byte now and then keeps it from being idle, but its frame never ends.
            while write.write_all(&[0]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let mut nothing = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut read, &mut nothing).await;
        assert!(nothing.is_empty());
        dripping.await.unwrap();
        idle.closed().await;
        half.closed().await;
        still_serves(&broker).await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_reads_is_cut_off_and_costs_little() {
    within(async {
        let broker = TestBroker::start_with(|config| config.server_channel_max_idle_time_seconds = 3).await;
        let mut c = broker.client().await;
        c.send("T", 0, "", &vec![b'x'; 200_000]).await;
        let mut greedy = broker.client().await;
        let header = PullMessageRequest {
            sys_flag: pull_flag::SUBSCRIPTION,
            subscription: Some("*"),
            ..pull_header("g", "T", 0, 0)
        };
        let mut wire = BytesMut::new();
        let mut frame = Frame::request(RequestCode::PULL_MESSAGE, &header);
        for opaque in 0..1000 {
            frame.opaque = opaque;
            frame.encode(&mut wire);
        }
        // Asks for far more than it ever reads; at some point the broker takes no more questions, then it hangs up.
        let asking = async { while greedy.stream.write_all(&wire).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(30), asking).await.expect("cut off");
        still_serves(&broker).await;
    })
    .await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed_and_room_is_found_again() {
    within(async {
        let config =
            NameServerConfig { listen_port: 0, server_max_connections: 50, ..NameServerConfig::default() };
        let namesrv = NameServer::start(config).await.unwrap();
        let mut open = Vec::new();
        for _ in 0..50 {
            let mut c = Client::connect(namesrv.addr()).await;
            assert!(c.route("none").await.is_none());
            open.push(c);
        }
        for _ in 0..20 {
            Client::connect(namesrv.addr()).await.closed().await;
        }
        for c in &mut open {
            assert!(c.route("none").await.is_none());
        }
        open.truncate(10);
        until("there is room again", async || {
            let mut c = Client::connect(namesrv.addr()).await;
            let frame = Frame::bare_request(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER);
            let mut out = BytesMut::new();
            frame.encode(&mut out);
            c.stream.write_all(&out).await.is_ok() && c.stream.readable().await.is_ok() && {
                let mut byte = [0];
                c.stream.peek(&mut byte).await.is_ok_and(|n| n > 0)
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn unfinished_frames_of_many_connections_take_bounded_memory() {
    within(async {
        let broker =
            TestBroker::start_with(|config| config.set("serverMaxUnfinishedBytes", "16777216").unwrap())
                .await;
        // Each begins a frame of 15 MiB and sends 7 of them: no three fit at the same time.
        let mut senders = JoinSet::new();
        for _ in 0..4 {
            let mut c = broker.client().await;
            senders.spawn(async move {
                let mut wire = vec![0; 7 * 1024 * 1024];
                wire[..4].copy_from_slice(&(15_u32 * 1024 * 1024).to_be_bytes());
                let _ = c.stream.write_all(&wire).await;
                c.closed().await;
            });
        }
        for _ in 0..2 {
            senders.join_next().await.unwrap().unwrap();
        }
        senders.shutdown().await;
        until("the memory is free again", async || {
            let mut c = broker.client().await;
            let opaque = c.post(send_request("T", 0, "", &vec![b'x'; 4_000_000])).await;
            c.try_answer(opaque).await.is_some_and(|answer| answer.response_code() == ResponseCode::SUCCESS)
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn thousands_of_connections_are_served() {
    within(async {
        let broker = TestBroker::start().await;
        let mut all = Vec::new();
        // Both ends are in this process: stay under the usual limit of 1024 open files.
        for n in 0..400 {
            let mut c = broker.client().await;
            let body = n.to_string();
            let opaque = c.post(send_request("T", 0, "", body.as_bytes())).await;
            all.push((c, opaque));
        }
        for (c, opaque) in &mut all {
            assert_eq!(c.answer(*opaque).await.response_code(), ResponseCode::SUCCESS);
        }
        assert_eq!(all[0].0.max_offset("T", 0).await, 400);
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_pipelined_requests_is_answered_in_full() {
    within(async {
        let broker = TestBroker::start().await;
        let mut c = broker.client().await;
        let mut wire = BytesMut::new();
        for opaque in 1..=5000 {
            let mut frame = send_request("T", 0, "", b"0123456789");
            frame.opaque = opaque;
            frame.encode(&mut wire);
        }
        c.raw(&wire).await;
        for opaque in 1..=5000 {
            assert_eq!(c.answer(opaque).await.response_code(), ResponseCode::SUCCESS);
        }
        assert_eq!(c.max_offset("T", 0).await, 5000);
    })
    .await;
}

#[tokio::test]
async fn too_many_unanswered_requests_are_refused_and_room_is_found_again() {
    within(async {
        let broker = TestBroker::start_with(|config| {
            config.set("serverMaxUnansweredRequests", "3").unwrap();
            config.set("serverMaxUnansweredRequestsPerConnection", "2").unwrap();
        })
        .await;
        let (mut a, mut b, mut member) =
            (broker.client().await, broker.client().await, broker.client().await);
        a.create_topic("T", 1).await;
        member.heartbeat("cid", vec![consumer("g", vec![])], &[]).await;
        let question = || {
            let header =
                ConsumerRunningInfoRequest { consumer_group: "g", client_id: "cid", jstack_enable: None };
            Frame::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header)
        };
        let relayed = async |member: &mut Client| loop {
            let request = member.request().await;
            if request.request_code() == RequestCode::GET_CONSUMER_RUNNING_INFO {
                break request;
            }
        };
        // As long as the member does not answer, these are unanswered too.
        let first = a.post(question()).await;
        let told = relayed(&mut member).await;
        a.post(question()).await;
        relayed(&mut member).await;
        let busy = a.call(question()).await;
        assert_eq!(busy.response_code(), ResponseCode::SYSTEM_BUSY);
        assert!(busy.remark.starts_with("[OVERLOAD]system busy"), "{}", busy.remark);
        a.heartbeat("a", vec![], &["p"]).await;
        assert_eq!(b.max_offset("T", 0).await, 0, "others are served");
        b.post(question()).await;
        relayed(&mut member).await;
        assert_eq!(b.call(question()).await.response_code(), ResponseCode::SYSTEM_BUSY);

        member.post(Frame::response(&told, ResponseCode::SUCCESS)).await;
        assert_eq!(a.answer(first).await.response_code(), ResponseCode::SUCCESS);
        assert_eq!(a.max_offset("T", 0).await, 0);
    })
    .await;
}

#[tokio::test]
async fn waiting_pulls_and_entries_that_wait_for_the_disk_have_limits() {
    within(async {
        let broker = TestBroker::start_with(|config| {
            config.set("maxWaitingPulls", "3").unwrap();
            config.set("maxWaitingPullsPerConnection", "2").unwrap();
            config.set("maxPendingQueueEntries", "2").unwrap();
        })
        .await;
        let (mut a, mut b) = (broker.client().await, broker.client().await);
        a.create_topic("T", 1).await;
        let waits = || {
            let header = PullMessageRequest {
                sys_flag: pull_flag::SUBSCRIPTION | pull_flag::SUSPEND,
                subscription: Some("*"),
                ..pull_header("g", "T", 0, 0)
            };
            Frame::request(RequestCode::PULL_MESSAGE, &header)
        };
        let first = a.post(waits()).await;
        a.post(waits()).await;
        let busy = a.call(waits()).await;
        assert_eq!(busy.response_code(), ResponseCode::SYSTEM_BUSY);
        assert!(busy.remark.starts_with("[OVERLOAD]system busy"), "{}", busy.remark);
        b.post(waits()).await;
        assert_eq!(b.call(waits()).await.response_code(), ResponseCode::SYSTEM_BUSY);

        // Three messages that are stored together have three entries.
        let mut batch = BytesMut::new();
        for _ in 0..3 {
            BatchElement { flag: 0, body: b"x", properties: "" }.encode(&mut batch);
        }
        let header = SendMessageRequestV2 { batch: Some(true), ..send_header("T", 0, "") };
        let send = Frame::request(RequestCode::SEND_BATCH_MESSAGE, &header).with_body(batch.to_vec());
        let busy = b.call(send).await;
        assert_eq!(busy.response_code(), ResponseCode::SYSTEM_BUSY);
        assert!(busy.remark.starts_with("[PC_SYNCHRONIZED]broker busy"), "{}", busy.remark);

        b.send("T", 0, "", b"wakes all").await;
        assert_eq!(a.answer(first).await.response_code(), ResponseCode::SUCCESS);
        let again = PullMessageRequest { queue_offset: 1, ..pull_header("g", "T", 0, 0) };
        a.post(Frame::request(RequestCode::PULL_MESSAGE, &again)).await;
        assert_eq!(a.max_offset("T", 0).await, 1);
    })
    .await;
}

#[tokio::test]
async fn how_long_and_how_much_a_slow_reader_may_leave_unread_is_a_setting() {
    within(async {
        let broker = TestBroker::start_with(|config| {
            config.set("serverWriteStallTimeout", "200").unwrap();
            config.set("serverMaxOutputBytesPerConnection", "65536").unwrap();
        })
        .await;
        let mut c = broker.client().await;
        c.send("T", 0, "", &vec![b'x'; 200_000]).await;
        let mut slow = broker.client().await;
        let header = PullMessageRequest {
            sys_flag: pull_flag::SUBSCRIPTION,
            subscription: Some("*"),
            ..pull_header("g", "T", 0, 0)
        };
        let mut wire = BytesMut::new();
        let mut frame = Frame::request(RequestCode::PULL_MESSAGE, &header);
        for opaque in 0..1000 {
            frame.opaque = opaque;
            frame.encode(&mut wire);
        }
        // Far below the idle time of two minutes.
        let asking = async { while slow.stream.write_all(&wire).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(30), asking).await.expect("cut off");
        still_serves(&broker).await;
    })
    .await;
}
