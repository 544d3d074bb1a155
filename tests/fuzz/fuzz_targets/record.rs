//! Message records, one behind the other, as pulls carry them and the log holds them.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use mq_protocol::message::{NewRecord, Place, peek};
use mq_protocol::{MessageRecord, id, property};

fuzz_target!(|data: &[u8]| {
    let mut rest = Bytes::copy_from_slice(data);
    let _ = peek(&rest);
    while let Ok(Some(record)) = MessageRecord::take(&mut rest) {
        let layout = *record.layout();
        let _ = layout.check_body(record.raw());
        assert!(property::pairs(record.properties()).count() <= record.properties().len());
        let id = record.offset_msg_id();
        if layout.physical_offset >= 0 {
            let (host, offset) = id::parse_offset_msg_id(&id).expect("an id that we made");
            assert_eq!((host, offset), (layout.store_host, layout.physical_offset.cast_unsigned()));
        }
        let body = record.body();
        let new = NewRecord {
            topic: record.topic(),
            queue_id: layout.queue_id,
            flag: layout.flag,
            sys_flag: layout.sys_flag,
            born_timestamp: layout.born_timestamp,
            born_host: layout.born_host,
            store_host: layout.store_host,
            reconsume_times: layout.reconsume_times,
            prepared_transaction_offset: layout.prepared_transaction_offset,
            body: &body,
            body_crc: layout.body_crc,
            properties: record.properties(),
        };
        let place = Place {
            queue_offset: layout.queue_offset,
            physical_offset: layout.physical_offset,
            store_timestamp: layout.store_timestamp,
        };
        let mut out = BytesMut::new();
        new.encode(place, &mut out);
        assert_eq!(out.len(), new.encoded_len());
        // A short topic in the long form is written in the short one.
        let again =
            MessageRecord::take(&mut out.freeze()).expect("what we write can be read").expect("it is whole");
        assert_eq!((again.topic(), again.body()), (record.topic(), body));
        if again.raw().len() == record.raw().len() {
            assert_eq!(again.raw(), record.raw());
        }
    }
});
