//! What a send costs in the codec alone: reading the request, writing the answer, writing the record.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench stops by panicking")]

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use mq_protocol::frame::MAX_FRAME;
use mq_protocol::header::{SendMessageRequestV2, SendMessageResponse};
use mq_protocol::id::body_crc;
use mq_protocol::message::{NewRecord, Place};
use mq_protocol::{Encoding, Frame, Language, RequestCode, ResponseCode};

fn request(encoding: Encoding) -> BytesMut {
    let header = SendMessageRequestV2 {
        producer_group: "benchmark_producer",
        topic: "BenchmarkTest",
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        queue_id: 3,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        flag: 0,
        properties: Some("UNIQ_KEY\u{1}7F0000010A2B18B4AAC2499602D20001\u{2}WAIT\u{1}true\u{2}"),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        max_reconsume_times: None,
        batch: Some(false),
    };
    let mut frame = Frame::request(RequestCode::SEND_MESSAGE_V2, &header).with_body(vec![b'x'; 128]);
    frame.encoding = encoding;
    frame.language = Language::JAVA;
    let mut out = BytesMut::new();
    frame.encode(&mut out);
    out
}

fn codec(c: &mut Criterion) {
    for (name, encoding) in [("json", Encoding::Json), ("binary", Encoding::Binary)] {
        let wire = request(encoding).freeze();
        c.bench_function(&format!("read a send, {name}"), |b| {
            b.iter(|| {
                let mut buffer = BytesMut::from(&wire[..]);
                let frame = Frame::decode(&mut buffer, MAX_FRAME).unwrap().unwrap();
                frame.header::<SendMessageRequestV2>().unwrap().queue_id
            });
        });
        let frame = Frame::decode(&mut BytesMut::from(&wire[..]), MAX_FRAME).unwrap().unwrap();
        let mut out = BytesMut::with_capacity(1024);
        c.bench_function(&format!("write the answer, {name}"), |b| {
            b.iter(|| {
                out.clear();
                let header = SendMessageResponse {
                    msg_id: "7F00000100002A9F0000000000001000",
                    queue_id: 3,
                    queue_offset: 12_345,
                    transaction_id: None,
                    region_id: Some("DefaultRegion"),
                    trace_on: Some(true),
                };
                Frame::response(&frame, ResponseCode::SUCCESS).with_header(&header).encode(&mut out);
            });
        });
    }
    let body = vec![b'x'; 128];
    let mut out = Vec::with_capacity(1024);
    c.bench_function("write a record of 128 bytes", |b| {
        b.iter(|| {
            out.clear();
            let record = NewRecord {
                topic: "BenchmarkTest",
                queue_id: 3,
                flag: 0,
                sys_flag: 0,
                born_timestamp: 1_700_000_000_000,
                born_host: "127.0.0.1:50000".parse().unwrap(),
                store_host: "127.0.0.1:10911".parse().unwrap(),
                reconsume_times: 0,
                prepared_transaction_offset: 0,
                body: &body,
                body_crc: body_crc(&body),
                properties: "UNIQ_KEY\u{1}7F0000010A2B18B4AAC2499602D20001\u{2}WAIT\u{1}true\u{2}",
            };
            record.encode(Place { queue_offset: 1, physical_offset: 2, store_timestamp: 3 }, &mut out);
        });
    });
}

criterion_group!(benches, codec);
criterion_main!(benches);
