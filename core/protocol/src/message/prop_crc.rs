//! The property that closes a record with a CRC of all that stands before it (`enabledAppendPropCRC`, Apache 5.2 on).

use bytes::BufMut;

use super::{NewRecord, Place, RecordError, RecordLayout};
use crate::id::body_crc;
use crate::property::{NAME_END, VALUE_END, key};

/// Digits of the CRC; numbers of 31 bits have ten at most.
const DIGITS: usize = 10;
/// Bytes of the property: its name, the digits and what ends each (`CommitLog.CRC32_RESERVED_LEN`).
pub const PROP_CRC_LENGTH: usize = key::PROP_CRC.len() + 1 + DIGITS + 1;

impl NewRecord<'_> {
    /// Bytes that the property adds; one more where the properties before it are not closed.
    #[must_use]
    pub fn prop_crc_room(&self) -> usize {
        let open = !self.properties.is_empty() && !self.properties.ends_with(VALUE_END);
        PROP_CRC_LENGTH + usize::from(open)
    }

    /// Writes the record with the property. The properties must not hold one of this name, and lengths must have been checked.
    ///
    /// `out` has room for exactly [`encoded_len`](NewRecord::encoded_len) and [`prop_crc_room`](NewRecord::prop_crc_room).
    pub fn encode_with_crc(&self, place: Place, out: &mut [u8]) {
        let room = self.prop_crc_room();
        let Some(covered) = out.len().checked_sub(PROP_CRC_LENGTH) else { return };
        let (head, mut last) = out.split_at_mut(covered);
        {
            let mut head = &mut *head;
            self.encode_before(place, room, &mut head);
            if room > PROP_CRC_LENGTH {
                head.put_u8(VALUE_END as u8);
            }
        }
        last.put_slice(key::PROP_CRC.as_bytes());
        last.put_u8(NAME_END as u8);
        // The least significant digit first (`MessageDecoder.createCrc32`).
        let mut rest = body_crc(head);
        for _ in 0..DIGITS {
            last.put_u8(b'0' + u8::try_from(rest % 10).unwrap_or(0));
            rest /= 10;
        }
        last.put_u8(VALUE_END as u8);
    }
}

impl RecordLayout {
    /// Compares the record with the CRC in its last property; `false` if it has none.
    ///
    /// # Errors
    /// They differ.
    pub fn check_prop_crc(&self, record: &[u8]) -> Result<bool, RecordError> {
        let covered = self.total_size.saturating_sub(PROP_CRC_LENGTH);
        let record = record.get(..self.total_size).unwrap_or_default();
        let Some((head, last)) = record.split_at_checked(covered) else { return Ok(false) };
        let digits = last
            .strip_prefix(key::PROP_CRC.as_bytes())
            .and_then(|rest| rest.strip_prefix(&[NAME_END as u8]))
            .and_then(|rest| rest.strip_suffix(&[VALUE_END as u8]));
        let inside = self.properties.1 - self.properties.0 >= PROP_CRC_LENGTH;
        let Some(digits) = digits.filter(|_| inside) else { return Ok(false) };
        let stored = digits.iter().rev().try_fold(0_u64, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        });
        let found = body_crc(head);
        if stored == Some(u64::from(found)) { Ok(true) } else { Err(RecordError::PropCrc { stored, found }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(properties: &str) -> NewRecord<'_> {
        NewRecord {
            topic: "TopicTest",
            queue_id: 3,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000,
            born_host: "127.0.0.1:54321".parse().unwrap(),
            store_host: "127.0.0.1:10911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"hello",
            body_crc: body_crc(b"hello"),
            properties,
        }
    }

    const PLACE: Place = Place { queue_offset: 5, physical_offset: 0, store_timestamp: 1_700_000_000_123 };
    const PROPERTIES: &str = "KEYS\u{1}KEY1\u{2}UNIQ_KEY\u{1}7F00000100002A9F4C6E18B4AAC20000\u{2}TAGS\u{1}TagA\u{2}\
        CLUSTER\u{1}DefaultCluster\u{2}";

    fn encoded(properties: &str) -> Vec<u8> {
        let record = record(properties);
        let mut out = vec![0; record.encoded_len() + record.prop_crc_room()];
        record.encode_with_crc(PLACE, &mut out);
        out
    }

    #[test]
    fn the_property_is_apaches_byte_for_byte() {
        let out = encoded(PROPERTIES);
        assert_eq!(out.len(), 210);
        assert_eq!(out[..4], [0, 0, 0, 0xd2]);
        assert_eq!(&out[190..], b"__CRC32#\x012830309911\x02");
        // Not closed, it is closed first.
        let open = encoded(PROPERTIES.strip_suffix('\u{2}').unwrap());
        assert_eq!(open, out);
        assert!(encoded("").ends_with(b"\x02"));
    }

    #[test]
    fn every_flipped_byte_is_found() {
        for properties in [PROPERTIES, "", "a\u{1}b"] {
            let out = encoded(properties);
            let layout = RecordLayout::parse(&out).unwrap();
            assert_eq!(layout.check_prop_crc(&out), Ok(true));
            for at in 4..out.len() - PROP_CRC_LENGTH {
                let mut bad = out.clone();
                bad[at] ^= 1;
                assert!(layout.check_prop_crc(&bad).is_err(), "{at}");
            }
        }
        let mut plain = Vec::new();
        record(PROPERTIES).encode(PLACE, &mut plain);
        assert_eq!(RecordLayout::parse(&plain).unwrap().check_prop_crc(&plain), Ok(false));
    }
}
