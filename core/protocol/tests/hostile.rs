//! Hostile input: truncations, mutations and noise give errors, never a panic and never more memory than the input justifies.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use bytes::{Bytes, BytesMut};
use mq_protocol::body::{ClusterInfo, HeartbeatData, TopicRoute, TopicStats};
use mq_protocol::compression::Compression;
use mq_protocol::frame::MAX_FRAME;
use mq_protocol::header::{PullMessageRequest, SendMessageRequestV2};
use mq_protocol::id::{body_crc, parse_offset_msg_id};
use mq_protocol::message::batch::BatchElement;
use mq_protocol::message::{NewRecord, Place};
use mq_protocol::{
    Encoding, Frame, Header, MessageRecord, Properties, RequestCode, fastjson, filter, property,
};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Everything that a peer can send goes through every decoder.
fn decode_all(bytes: &[u8]) {
    if let Ok(Some(frame)) = Frame::decode(&mut BytesMut::from(bytes), MAX_FRAME) {
        let _ = SendMessageRequestV2::read(&frame.ext);
        let _ = PullMessageRequest::read(&frame.ext);
        let mut again = BytesMut::new();
        frame.encode(&mut again);
        let back = Frame::decode(&mut again, usize::MAX)
            .expect("what was decoded can be written and read")
            .expect("whole");
        assert_eq!(back, frame);
        decode_body(&frame.body);
    }
    decode_body(bytes);
}

fn decode_body(bytes: &[u8]) {
    let _ = MessageRecord::take_all(Bytes::copy_from_slice(bytes));
    let _ = BatchElement::take_all(bytes);
    let _ = fastjson::from_slice::<TopicRoute>(bytes);
    let _ = fastjson::from_slice::<HeartbeatData>(bytes);
    let _ = fastjson::from_slice::<TopicStats>(bytes);
    let _ = fastjson::from_slice::<ClusterInfo>(bytes);
    for kind in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
        if let Ok(inflated) = kind.decompress(bytes, 1 << 16) {
            assert!(inflated.len() <= 1 << 16);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let clean = Properties::parse(text);
        assert_eq!(Properties::parse(clean.as_text()), clean);
        let _ = property::pairs(text).count();
        let _ = filter::TagFilter::parse(text);
        let _ = parse_offset_msg_id(text);
    }
}

fn samples() -> Vec<Vec<u8>> {
    let header = SendMessageRequestV2 {
        producer_group: "senders",
        topic: "orders",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 3,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        flag: 0,
        properties: Some("KEYS\u{1}k\u{2}TAGS\u{1}größe\u{2}"),
        reconsume_times: None,
        unit_mode: Some(false),
        max_reconsume_times: None,
        batch: None,
    };
    let record = NewRecord {
        topic: "orders",
        queue_id: 3,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: "10.0.0.1:50000".parse().unwrap(),
        store_host: "[::1]:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"hello",
        body_crc: body_crc(b"hello"),
        properties: "KEYS\u{1}k\u{2}",
    };
    let mut records = Vec::new();
    record.encode(Place { queue_offset: 0, physical_offset: 0, store_timestamp: 2 }, &mut records);
    record.encode(Place { queue_offset: 1, physical_offset: 200, store_timestamp: 2 }, &mut records);
    let mut batch = Vec::new();
    BatchElement { flag: 0, body: b"hello", properties: "A\u{1}b\u{2}" }.encode(&mut batch);
    let route =
        br#"{"brokerDatas":[{"brokerAddrs":{0:"h:1"},"brokerName":"b","cluster":"c"}],"queueDatas":[]}"#
            .to_vec();
    let stats =
        br#"{"offsetTable":{{"topic":"T","brokerName":"b","queueId":0}:{"maxOffset":1}},"topicPutTps":0.5}"#
            .to_vec();
    let zlib = Compression::Zlib.compress(&[b'x'; 5000], 5).unwrap();
    let mut all = vec![records.clone(), batch, route, stats, zlib];
    for encoding in [Encoding::Json, Encoding::Binary] {
        let mut frame = Frame::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(records.clone());
        frame.encoding = encoding;
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        all.push(out.to_vec());
    }
    all
}

#[test]
fn every_truncation_of_every_sample() {
    for sample in samples() {
        for end in 0..=sample.len() {
            decode_all(&sample[..end]);
        }
    }
}

#[test]
fn a_small_input_cannot_ask_for_much_memory() {
    // Lengths that promise gigabytes in each place where a length stands.
    for sample in samples() {
        for at in 0..sample.len().saturating_sub(4) {
            for lie in [0x7FFF_FFFF_u32, 0x8000_0000, 0xFFFF_FFFF, 0x00FF_FFFF] {
                let mut lying = sample.clone();
                lying[at..at + 4].copy_from_slice(&lie.to_be_bytes());
                let before = ALLOCATOR.current_usage();
                ALLOCATOR.reset_peak_usage();
                let _ = Frame::decode(&mut BytesMut::from(&lying[..]), MAX_FRAME);
                let _ = MessageRecord::take_all(Bytes::from(lying.clone()));
                let _ = BatchElement::take_all(&lying);
                let _ = fastjson::from_slice::<TopicRoute>(&lying);
                let used = ALLOCATOR.peak_usage().saturating_sub(before);
                // Other tests run beside this one; a lie that is believed costs far more than they do.
                assert!(
                    used < 256 << 20,
                    "{used} bytes for an input of {} (lie {lie:#x} at {at})",
                    lying.len()
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn mutations_of_samples(which in 0_usize..7, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut sample = samples().swap_remove(which);
        for (at, byte) in edits {
            let at = at.index(sample.len());
            sample[at] = byte;
        }
        decode_all(&sample);
    }

    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_all(&bytes);
    }

    #[test]
    fn json_like_noise(text in r#"[\{\}\[\]:,"'0-9a-z\\ ]{0,80}"#) {
        decode_all(text.as_bytes());
    }
}
