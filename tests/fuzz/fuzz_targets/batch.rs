//! The body of a batch: what is read can be written, and is then the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mq_protocol::message::batch::BatchElement;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some(element)) = BatchElement::take(&mut rest) {
        let mut out = Vec::new();
        element.encode(&mut out);
        assert_eq!(out.len(), element.encoded_len());
        let again = BatchElement::take_all(&out).expect("what we write can be read");
        assert_eq!(again.len(), 1);
        assert_eq!(format!("{:?}", again[0]), format!("{element:?}"));
    }
    let _ = BatchElement::take_all(data);
});
