//! Frames captured from Apache's own programs (`tests/vectors/wire`): read, understood, written again, cut and mutated.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use mq_protocol::body::{
    ClusterInfo, ConsumeStats, ConsumerConnections, ConsumerIdList, GroupConfig, GroupList, GroupTable,
    HaStatus, HeartbeatData, KvTable, LockBatchBody, LockOkBody, ProducerConnections, RegisterBrokerBody,
    TopicConfig, TopicList, TopicRoute, TopicStats,
};
use mq_protocol::compression::Compression;
use mq_protocol::frame::MAX_FRAME;
use mq_protocol::header::*;
use mq_protocol::message::batch::BatchElement;
use mq_protocol::{Encoding, ExtFields, Frame, Header, MessageRecord, fastjson};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Vector {
    file: String,
    code: i32,
    direction: String,
    #[serde(default)]
    response_code: Option<i32>,
    encoding: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/wire")
}

fn vectors() -> Vec<(Vector, Vec<u8>)> {
    let index = std::fs::read(folder().join("index.json")).expect("tests/vectors/wire/index.json");
    let all: Vec<Vector> = serde_json::from_slice(&index).expect("the index is JSON");
    assert!(all.len() > 200, "only {} vectors", all.len());
    all.into_iter()
        .map(|vector| {
            let bytes =
                std::fs::read(folder().join(&vector.file)).expect("each vector of the index is there");
            (vector, bytes)
        })
        .collect()
}

fn decode(bytes: &[u8]) -> Frame {
    let mut buffer = BytesMut::from(bytes);
    let frame = Frame::decode(&mut buffer, MAX_FRAME).expect("it decodes").expect("it is whole");
    assert!(buffer.is_empty(), "bytes are left");
    frame
}

/// Reads a typed header, writes it again and compares: whatever is written must be what Apache wrote.
fn check_header<'a, H: Header<'a>>(frame: &'a Frame) {
    let header: H = frame.header().expect("the header reads");
    let mut again = ExtFields::default();
    header.write(&mut again);
    for (name, value) in again.iter() {
        assert_eq!(frame.ext.get(name), Some(value), "field {name}");
    }
}

fn check_body<T: DeserializeOwned>(frame: &Frame) -> T {
    fastjson::from_slice(&frame.body).expect("the body parses")
}

fn check_records(body: &Bytes) {
    let records = MessageRecord::take_all(body.clone()).expect("records parse");
    assert!(!records.is_empty());
    for record in records {
        record.layout().check_body(record.raw()).expect("the CRC is right");
        if let Some(kind) = Compression::of_flags(record.layout().sys_flag).expect("a known compression") {
            assert!(!kind.decompress(&record.body(), 4 << 20).expect("the body inflates").is_empty());
        }
    }
}

/// Reads header and body of a frame by the types that the code has; `false` if no type of ours stands for it.
fn understand(vector: &Vector, frame: &Frame) -> bool {
    let request = vector.direction == "request";
    let good = vector.response_code.unwrap_or(0) == 0;
    match (vector.code, request) {
        (10, true) => check_header::<SendMessageRequest>(frame),
        (310, true) => check_header::<SendMessageRequestV2>(frame),
        (320, true) => {
            check_header::<SendMessageRequestV2>(frame);
            assert!(BatchElement::take_all(&frame.body).expect("the batch parses").len() > 1);
        }
        (10 | 310 | 320, false) if good => check_header::<SendMessageResponse>(frame),
        (11, true) => check_header::<PullMessageRequest>(frame),
        (11, false) if matches!(vector.response_code, Some(0 | 19 | 20 | 21)) => {
            check_header::<PullMessageResponse>(frame);
            if good {
                check_records(&frame.body);
            }
        }
        (12, true) => check_header::<QueryMessageRequest>(frame),
        (12, false) if good => {
            check_header::<QueryMessageResponse>(frame);
            check_records(&frame.body);
        }
        (14, true) => check_header::<QueryConsumerOffsetRequest>(frame),
        (15, true) => check_header::<UpdateConsumerOffsetRequest>(frame),
        (14 | 29 | 30 | 31, false) if good => check_header::<OffsetResponse>(frame),
        (17, true) => check_header::<CreateTopicRequest>(frame),
        (907, false) if good => assert!(check_body::<HaStatus>(frame).master),
        (28 | 219, false) if good => assert!(!check_body::<KvTable>(frame).table.is_empty()),
        (29, true) => check_header::<SearchOffsetRequest>(frame),
        (30..=32, true) => check_header::<QueueRequest>(frame),
        (32, false) => check_header::<TimestampResponse>(frame),
        (33, true) => check_header::<ViewMessageRequest>(frame),
        (33, false) if good => check_records(&frame.body),
        (34, true) => {
            let heartbeat = check_body::<HeartbeatData>(frame);
            assert!(!heartbeat.client_id.is_empty());
            assert!(!heartbeat.consumer_data_set.is_empty() || !heartbeat.producer_data_set.is_empty());
        }
        (35, true) => check_header::<UnregisterClientRequest>(frame),
        (36, true) => check_header::<SendMsgBackRequest>(frame),
        (38 | 40 | 203, true) => check_header::<ConsumerGroupRequest>(frame),
        (38, false) if good => assert!(!check_body::<ConsumerIdList>(frame).consumer_id_list.is_empty()),
        (41 | 42, true) => assert!(!check_body::<LockBatchBody>(frame).mq_set.is_empty()),
        (41, false) if good => assert!(!check_body::<LockOkBody>(frame).lock_ok_mq_set.is_empty()),
        (100, true) => check_header::<PutKvRequest>(frame),
        (101 | 102, true) => check_header::<KvKeyRequest>(frame),
        (101, false) if good => check_header::<KvValueResponse>(frame),
        (103, true) => {
            check_header::<RegisterBrokerRequest>(frame);
            // The compressed form of 4.9 is the NameServer's to read.
            if frame.header::<RegisterBrokerRequest>().expect("read above").compressed != Some(true) {
                let topics =
                    check_body::<RegisterBrokerBody>(frame).topic_config_serialize_wrapper.topic_config_table;
                assert_eq!(topics["TBW102"].perm, 7);
            }
        }
        (104 | 322, true) => check_header::<BrokerIdentityRequest>(frame),
        (105, true) => check_header::<GetRouteInfoRequest>(frame),
        (105, false) if good => {
            let route = check_body::<TopicRoute>(frame);
            assert!(!route.broker_datas[0].broker_addrs.is_empty() && !route.queue_datas.is_empty());
        }
        (106, false) if good => assert!(!check_body::<ClusterInfo>(frame).broker_addr_table.is_empty()),
        (200, true) => assert!(!check_body::<GroupConfig>(frame).group_name.is_empty()),
        (201, false) if good => assert!(!check_body::<GroupTable>(frame).subscription_group_table.is_empty()),
        (202, false) if good => assert!(!check_body::<TopicStats>(frame).offset_table.is_empty()),
        (202 | 215 | 216 | 300 | 351, true) => check_header::<TopicRequest>(frame),
        (203, false) if good => assert!(!check_body::<ConsumerConnections>(frame).connection_set.is_empty()),
        (204, true) => check_header::<ProducerGroupRequest>(frame),
        (204, false) if good => assert!(!check_body::<ProducerConnections>(frame).connection_set.is_empty()),
        (205 | 327, true) => check_header::<BrokerNameRequest>(frame),
        (206, false) if good => assert!(!check_body::<TopicList>(frame).topic_list.is_empty()),
        (207, true) => check_header::<DeleteGroupRequest>(frame),
        (208, true) => check_header::<ConsumeStatsRequest>(frame),
        (208, false) if good => assert!(!check_body::<ConsumeStats>(frame).offset_table.is_empty()),
        (300, false) if good => drop(check_body::<GroupList>(frame)),
        (307, true) => check_header::<ConsumerRunningInfoRequest>(frame),
        (309, true) => check_header::<ConsumeMessageDirectlyRequest>(frame),
        (351, false) if good => assert!(!check_body::<TopicConfig>(frame).topic_name.is_empty()),
        _ => return false,
    }
    true
}

#[test]
fn frames_of_apaches_programs_are_understood() {
    let mut understood = BTreeSet::new();
    for (vector, bytes) in vectors() {
        let frame = decode(&bytes);
        assert_eq!(frame.is_response(), vector.direction == "response", "{}", vector.file);
        let code = vector.response_code.unwrap_or(vector.code);
        assert_eq!(frame.code, if frame.is_response() { code } else { vector.code }, "{}", vector.file);
        let encoding = if vector.encoding == "JSON" { Encoding::Json } else { Encoding::Binary };
        assert_eq!(frame.encoding, encoding, "{}", vector.file);
        eprintln!("{}", vector.file);
        if understand(&vector, &frame) {
            understood.insert((vector.code, frame.is_response()));
        }
    }
    assert!(understood.len() >= 65, "only {} kinds of frames are understood", understood.len());
}

#[test]
fn a_frame_that_is_written_again_says_the_same() {
    for (vector, bytes) in vectors() {
        let frame = decode(&bytes);
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        if frame.encoding == Encoding::Binary {
            assert_eq!(out.len(), bytes.len(), "{}", vector.file);
        }
        assert_eq!(decode(&out), frame, "{}", vector.file);
    }
}

#[test]
fn truncations_and_mutations_are_errors_and_never_more() {
    for (_, bytes) in vectors() {
        for end in 0..bytes.len().min(2000) {
            let cut = &bytes[..end];
            assert_eq!(
                Frame::decode(&mut BytesMut::from(cut), MAX_FRAME),
                Ok(None),
                "a cut frame is not whole"
            );
            // The same bytes with a length that claims to be right.
            if end > 4 {
                let _ = Frame::decode_unprefixed(Bytes::copy_from_slice(&cut[4..])).map(|frame| {
                    let _ = MessageRecord::take_all(frame.body.clone());
                    let _ = BatchElement::take_all(&frame.body);
                    let _ = fastjson::from_slice::<TopicRoute>(&frame.body);
                    let _ = fastjson::from_slice::<RegisterBrokerBody>(&frame.body);
                });
            }
        }
        // One byte after the other is changed; steps keep the large bodies short.
        let step = (bytes.len() / 400).max(1);
        for at in (4..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 0xFF;
            if let Ok(frame) = Frame::decode_unprefixed(Bytes::from(changed.split_off(4))) {
                let _ = frame.header::<SendMessageRequestV2>();
                let _ = frame.header::<PullMessageRequest>();
                let _ = MessageRecord::take_all(frame.body.clone());
                let _ = BatchElement::take_all(&frame.body);
                let _ = fastjson::from_slice::<HeartbeatData>(&frame.body);
            }
        }
    }
}
