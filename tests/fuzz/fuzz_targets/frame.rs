//! Frames in both encodings, as a connection cuts them from its stream.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use mq_protocol::Frame;

const MAX_FRAME: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(frame)) = Frame::decode(&mut buffer, MAX_FRAME) {
        // What was understood can be said again, and then means the same.
        let mut out = BytesMut::new();
        frame.encode(&mut out);
        if out.len() <= MAX_FRAME {
            let again =
                Frame::decode(&mut out, MAX_FRAME).expect("what we write can be read").expect("it is whole");
            assert_eq!((again.code, again.opaque, again.flag), (frame.code, frame.opaque, frame.flag));
            assert_eq!(again.body, frame.body);
            let fields = |frame: &Frame| {
                frame.ext.iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>()
            };
            assert_eq!(fields(&again), fields(&frame));
        }
    }
    // Also without the length that stands before every frame, so that headers are reached at once.
    let _ = Frame::decode_unprefixed(Bytes::copy_from_slice(data));
});
