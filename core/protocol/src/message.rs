//! The layout of a message record, which is the same in the commit log and on the wire (`MessageDecoder`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{Buf, BufMut, Bytes};

use crate::id::{body_crc, offset_msg_id};
use crate::property;

pub mod batch;
mod prop_crc;

pub use prop_crc::PROP_CRC_LENGTH;

/// Magic of a record with a one-byte topic length.
pub const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record with a two-byte topic length (topics over 127 bytes; Apache 5.1 on).
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Magic of the filler at the end of a commit log file.
pub const MAGIC_BLANK: u32 = 0xCBD4_3194;

/// Where QUEUEOFFSET stands in a record.
pub const QUEUE_OFFSET_AT: usize = 20;
/// Where PHYSICALOFFSET stands in a record.
pub const PHYSICAL_OFFSET_AT: usize = 28;

/// Bits of a record's sysFlag (`MessageSysFlag`).
pub mod sys_flag {
    /// The body is compressed.
    pub const COMPRESSED: i32 = 0x1;
    /// The topic's filter type is MULTI_TAG.
    pub const MULTI_TAGS: i32 = 0x2;
    /// Half message.
    pub const TRANSACTION_PREPARED: i32 = 0x4;
    /// Committed message.
    pub const TRANSACTION_COMMIT: i32 = 0x8;
    /// Rolled back, and the mask of the transaction bits.
    pub const TRANSACTION_ROLLBACK: i32 = 0xC;
    /// The born host is an IPv6 address.
    pub const BORN_HOST_V6: i32 = 0x10;
    /// The store host is an IPv6 address.
    pub const STORE_HOST_V6: i32 = 0x20;
    /// The client has to split an inner batch.
    pub const NEED_UNWRAP: i32 = 0x40;
    /// One record holds a whole batch.
    pub const INNER_BATCH: i32 = 0x80;
    /// The compression type.
    pub const COMPRESSION_MASK: i32 = 0x700;
    /// Where the compression type begins.
    pub const COMPRESSION_SHIFT: i32 = 8;
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum RecordError {
    #[error("record is cut off: {have} bytes where {need} are needed")]
    Truncated { need: usize, have: usize },
    #[error("record size {0} is impossible")]
    Size(i64),
    #[error("record magic is {0:#010x}, which is neither version 1 nor 2")]
    Magic(u32),
    #[error("the parts of the record make {parts} bytes, its size field says {size}")]
    Parts { parts: usize, size: usize },
    #[error("{0} of the record has a negative length")]
    Negative(&'static str),
    #[error("{0} of the record is not UTF-8")]
    Text(&'static str),
    #[error("port {0} of a record's host is impossible")]
    Port(i32),
    #[error("body CRC is {found:#010x}, the record says {stored:#010x}")]
    Crc { stored: u32, found: u32 },
    #[error("the CRC of the record is {found}, its property __CRC32# says {}", said(*.stored))]
    PropCrc { stored: Option<u64>, found: u32 },
}

fn said(stored: Option<u64>) -> String {
    stored.map_or_else(|| "no number".to_owned(), |stored| stored.to_string())
}

/// The fixed fields of a record and where its variable parts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are named as in the record")]
pub struct RecordLayout {
    pub total_size: usize,
    pub magic: u32,
    pub body_crc: u32,
    pub queue_id: i32,
    pub flag: i32,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_timestamp: i64,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    body: (usize, usize),
    topic: (usize, usize),
    properties: (usize, usize),
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let found = rest
            .first_chunk::<N>()
            .ok_or(RecordError::Truncated { need: self.at + N, have: self.bytes.len() })?;
        self.at += N;
        Ok(*found)
    }

    fn int(&mut self) -> Result<i32, RecordError> {
        self.array().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, RecordError> {
        self.array().map(i64::from_be_bytes)
    }

    fn host(&mut self, v6: bool) -> Result<SocketAddr, RecordError> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))
        };
        let port = self.int()?;
        Ok(SocketAddr::new(ip, u16::try_from(port).map_err(|_| RecordError::Port(port))?))
    }

    fn part(&mut self, length: i32, what: &'static str) -> Result<(usize, usize), RecordError> {
        let length = usize::try_from(length).map_err(|_| RecordError::Negative(what))?;
        let start = self.at;
        let end = start.saturating_add(length);
        if end > self.bytes.len() {
            return Err(RecordError::Truncated { need: end, have: self.bytes.len() });
        }
        self.at = end;
        Ok((start, end))
    }
}

impl RecordLayout {
    /// Reads the record at the front of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// Says what is wrong; the body CRC is not looked at.
    pub fn parse(bytes: &[u8]) -> Result<RecordLayout, RecordError> {
        let mut cursor = Cursor { bytes, at: 0 };
        let size = cursor.int()?;
        let total_size =
            usize::try_from(size).ok().filter(|n| *n >= 91).ok_or(RecordError::Size(i64::from(size)))?;
        let bytes =
            bytes.get(..total_size).ok_or(RecordError::Truncated { need: total_size, have: bytes.len() })?;
        cursor.bytes = bytes;
        let magic = u32::from_be_bytes(cursor.array()?);
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::Magic(magic));
        }
        let body_crc = u32::from_be_bytes(cursor.array()?);
        let queue_id = cursor.int()?;
        let flag = cursor.int()?;
        let queue_offset = cursor.long()?;
        let physical_offset = cursor.long()?;
        let sys_flag = cursor.int()?;
        let born_timestamp = cursor.long()?;
        let born_host = cursor.host(sys_flag & sys_flag::BORN_HOST_V6 != 0)?;
        let store_timestamp = cursor.long()?;
        let store_host = cursor.host(sys_flag & sys_flag::STORE_HOST_V6 != 0)?;
        let reconsume_times = cursor.int()?;
        let prepared_transaction_offset = cursor.long()?;
        let length = cursor.int()?;
        let body = cursor.part(length, "body")?;
        let length = if magic == MAGIC_V1 {
            i32::from(i8::from_be_bytes(cursor.array()?))
        } else {
            i32::from(i16::from_be_bytes(cursor.array()?))
        };
        let topic = cursor.part(length, "topic")?;
        let length = i32::from(i16::from_be_bytes(cursor.array()?));
        let properties = cursor.part(length, "properties")?;
        if cursor.at != total_size {
            return Err(RecordError::Parts { parts: cursor.at, size: total_size });
        }
        for (what, (start, end)) in [("topic", topic), ("properties", properties)] {
            if std::str::from_utf8(bytes.get(start..end).unwrap_or_default()).is_err() {
                return Err(RecordError::Text(what));
            }
        }
        Ok(RecordLayout {
            total_size,
            magic,
            body_crc,
            queue_id,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp,
            born_host,
            store_timestamp,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        })
    }

    /// The body inside the record's bytes.
    #[must_use]
    pub fn body<'a>(&self, record: &'a [u8]) -> &'a [u8] {
        record.get(self.body.0..self.body.1).unwrap_or_default()
    }

    /// The topic inside the record's bytes.
    #[must_use]
    pub fn topic<'a>(&self, record: &'a [u8]) -> &'a str {
        text(record, self.topic)
    }

    /// The properties text inside the record's bytes.
    #[must_use]
    pub fn properties<'a>(&self, record: &'a [u8]) -> &'a str {
        text(record, self.properties)
    }

    /// Compares the body with its CRC, as Apache's recovery does; an empty body is not looked at.
    ///
    /// # Errors
    /// The CRC differs.
    pub fn check_body(&self, record: &[u8]) -> Result<(), RecordError> {
        let body = self.body(record);
        let found = body_crc(body);
        if body.is_empty() || found == self.body_crc {
            Ok(())
        } else {
            Err(RecordError::Crc { stored: self.body_crc, found })
        }
    }
}

fn text(record: &[u8], (start, end): (usize, usize)) -> &str {
    record.get(start..end).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A record together with its bytes, of which it keeps a reference and no copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRecord {
    raw: Bytes,
    layout: RecordLayout,
}

impl MessageRecord {
    /// Takes the record from the front of `bytes`; `None` at the end.
    ///
    /// # Errors
    /// Says what is wrong with the record; `bytes` is then left as it was.
    pub fn take(bytes: &mut Bytes) -> Result<Option<MessageRecord>, RecordError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let layout = RecordLayout::parse(bytes)?;
        let raw = bytes.split_to(layout.total_size);
        Ok(Some(MessageRecord { raw, layout }))
    }

    /// All records of a pull's body.
    ///
    /// # Errors
    /// One of the records is damaged.
    pub fn take_all(mut bytes: Bytes) -> Result<Vec<MessageRecord>, RecordError> {
        let mut all = Vec::new();
        while let Some(record) = MessageRecord::take(&mut bytes)? {
            all.push(record);
        }
        Ok(all)
    }

    /// The fixed fields.
    #[must_use]
    pub fn layout(&self) -> &RecordLayout {
        &self.layout
    }

    /// The record as it is stored.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The body as it is stored, possibly compressed.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.raw.slice(self.layout.body.0..self.layout.body.1)
    }

    /// The topic it is stored under.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.layout.topic(&self.raw)
    }

    /// The properties text.
    #[must_use]
    pub fn properties(&self) -> &str {
        self.layout.properties(&self.raw)
    }

    /// Value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        property::find(self.properties(), name)
    }

    /// The offset message id: where the record is stored.
    #[must_use]
    pub fn offset_msg_id(&self) -> String {
        offset_msg_id(self.layout.store_host, u64::try_from(self.layout.physical_offset).unwrap_or(0))
    }
}

/// What a record is made of, before it has its place in a log.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "fields are named as in the record")]
pub struct NewRecord<'a> {
    pub topic: &'a str,
    pub queue_id: i32,
    pub flag: i32,
    /// Host bits are set by the encoder, whatever stands here.
    pub sys_flag: i32,
    pub born_timestamp: i64,
    pub born_host: SocketAddr,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: &'a [u8],
    /// [`body_crc`] of the body, 0 for an empty one.
    pub body_crc: u32,
    pub properties: &'a str,
}

/// The place of a record: what is known only when it is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are named as in the record")]
pub struct Place {
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub store_timestamp: i64,
}

impl<'a> NewRecord<'a> {
    /// A record with a body and nothing else: no properties, no flags, born at 0 on the host that stores it.
    #[must_use]
    pub fn new(topic: &'a str, queue_id: i32, host: SocketAddr, body: &'a [u8]) -> NewRecord<'a> {
        NewRecord {
            topic,
            queue_id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            body_crc: body_crc(body),
            properties: "",
        }
    }
}

impl NewRecord<'_> {
    fn is_v2(&self) -> bool {
        self.topic.len() > i8::MAX as usize
    }

    /// The sysFlag with the host bits as the addresses are.
    #[must_use]
    pub fn stored_sys_flag(&self) -> i32 {
        let mut flags = self.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
        if self.born_host.is_ipv6() {
            flags |= sys_flag::BORN_HOST_V6;
        }
        if self.store_host.is_ipv6() {
            flags |= sys_flag::STORE_HOST_V6;
        }
        flags
    }

    /// Size of the record in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let hosts = [self.born_host, self.store_host].iter().filter(|host| host.is_ipv6()).count() * 12;
        91 + hosts + usize::from(self.is_v2()) + self.body.len() + self.topic.len() + self.properties.len()
    }

    /// Writes the record. Lengths must have been checked: topic ≤ 32767 bytes, properties ≤ 32767 bytes.
    pub fn encode(&self, place: Place, out: &mut impl BufMut) {
        self.encode_before(place, 0, out);
    }

    /// Writes the record but for `more` bytes of properties, which follow.
    fn encode_before(&self, place: Place, more: usize, out: &mut impl BufMut) {
        self.encode_front(place, more, out);
        out.put_slice(self.body);
        self.encode_back(more, out);
    }

    /// Writes the record without its body, and returns before which of these bytes the body belongs.
    pub fn encode_around(&self, place: Place, out: &mut &mut [u8]) -> usize {
        let whole = out.len();
        self.encode_front(place, 0, out);
        let front = whole - out.len();
        self.encode_back(0, out);
        front
    }

    fn encode_front(&self, place: Place, more: usize, out: &mut impl BufMut) {
        out.put_u32(u32::try_from(self.encoded_len() + more).unwrap_or(u32::MAX));
        out.put_u32(if self.is_v2() { MAGIC_V2 } else { MAGIC_V1 });
        out.put_u32(self.body_crc);
        out.put_i32(self.queue_id);
        out.put_i32(self.flag);
        out.put_i64(place.queue_offset);
        out.put_i64(place.physical_offset);
        out.put_i32(self.stored_sys_flag());
        out.put_i64(self.born_timestamp);
        put_host(out, self.born_host);
        out.put_i64(place.store_timestamp);
        put_host(out, self.store_host);
        out.put_i32(self.reconsume_times);
        out.put_i64(self.prepared_transaction_offset);
        out.put_u32(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
    }

    fn encode_back(&self, more: usize, out: &mut impl BufMut) {
        if self.is_v2() {
            out.put_u16(u16::try_from(self.topic.len()).unwrap_or(u16::MAX));
        } else {
            out.put_u8(u8::try_from(self.topic.len()).unwrap_or(u8::MAX));
        }
        out.put_slice(self.topic.as_bytes());
        out.put_u16(u16::try_from(self.properties.len() + more).unwrap_or(u16::MAX));
        out.put_slice(self.properties.as_bytes());
    }
}

fn put_host(out: &mut impl BufMut, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
    out.put_u32(u32::from(host.port()));
}

/// The size field of the record or blank at the front of `bytes`, with its magic; for walking over a log.
#[must_use]
pub fn peek(mut bytes: &[u8]) -> Option<(i32, u32)> {
    (bytes.len() >= 8).then(|| (bytes.get_i32(), bytes.get_u32()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(topic: &'a str, born: &str) -> NewRecord<'a> {
        NewRecord {
            topic,
            queue_id: 3,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1_700_000_000_000,
            born_host: born.parse().unwrap(),
            store_host: "10.0.0.2:10911".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"hello",
            body_crc: body_crc(b"hello"),
            properties: "KEYS\u{1}k1\u{2}TAGS\u{1}TagA\u{2}",
        }
    }

    const PLACE: Place = Place { queue_offset: 5, physical_offset: 4096, store_timestamp: 1_700_000_000_123 };

    #[test]
    fn a_record_around_its_body_is_the_record() {
        let long = "t".repeat(200);
        for (topic, born) in [("T1", "10.0.0.1:50000"), ("T1", "[::1]:50000"), (&long, "10.0.0.1:50000")] {
            let record = sample(topic, born);
            let (mut whole, mut around) = (Vec::new(), vec![0; record.encoded_len() - record.body.len()]);
            record.encode(PLACE, &mut whole);
            let mut rest = &mut around[..];
            let front = record.encode_around(PLACE, &mut rest);
            assert!(rest.is_empty());
            assert_eq!([&around[..front], record.body, &around[front..]].concat(), whole);
        }
    }

    #[test]
    fn the_layout_is_apaches_byte_for_byte() {
        let mut out = Vec::new();
        sample("T1", "10.0.0.1:50000").encode(PLACE, &mut out);
        let want = "00000074daa320a73610a68600000003000000000000000000000005000000000000100000000000\
            0000018bcfe568000a0000010000c3500000018bcfe5687b0a00000200002a9f000000000000000000000000\
            0000000568656c6c6f02543100124b455953016b310254414753015461674102";
        let got: String = out.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn records_round_trip_in_both_versions_and_address_families() {
        let long = "t".repeat(200);
        for (topic, born) in [("T1", "10.0.0.1:50000"), (&long, "10.0.0.1:50000"), ("T1", "[2001:db8::1]:9")]
        {
            let new = sample(topic, born);
            let mut out = Vec::new();
            new.encode(PLACE, &mut out);
            assert_eq!(out.len(), new.encoded_len());
            let mut bytes = Bytes::from(out);
            let record = MessageRecord::take(&mut bytes).unwrap().unwrap();
            assert!(bytes.is_empty());
            assert_eq!(record.topic(), topic);
            assert_eq!(&record.body()[..], b"hello");
            assert_eq!(record.property("TAGS"), Some("TagA"));
            assert_eq!(record.layout().born_host, new.born_host);
            assert_eq!(record.layout().queue_offset, 5);
            assert!(record.layout().check_body(record.raw()).is_ok());
            assert!(MessageRecord::take(&mut bytes).unwrap().is_none());
        }
    }

    #[test]
    fn every_truncation_and_a_flipped_body_are_found() {
        let mut out = Vec::new();
        sample("T1", "10.0.0.1:50000").encode(PLACE, &mut out);
        for end in 0..out.len() {
            assert!(RecordLayout::parse(&out[..end]).is_err(), "{end}");
        }
        let layout = RecordLayout::parse(&out).unwrap();
        out[88] ^= 1;
        assert!(matches!(layout.check_body(&out), Err(RecordError::Crc { .. })));
    }
}
