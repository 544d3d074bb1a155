//! Message ids, tag hashes and the rules that make them (`MessageClientIDSetter`, `MessageDecoder`).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Java's `String.hashCode` over UTF-16 code units, wrapping at 32 bits.
#[must_use]
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The tag code of a consume queue entry: the sign-extended hash, 0 without a tag.
#[must_use]
pub fn tags_code(tags: Option<&str>) -> i64 {
    tags.map_or(0, |tags| i64::from(java_hash(tags)))
}

/// CRC-32 of a body as records hold it: the sign bit cleared (`UtilAll.crc32`).
#[must_use]
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

/// The offset message id of a record: store host and commit log offset in upper-case hex.
#[must_use]
pub fn offset_msg_id(host: SocketAddr, offset: u64) -> String {
    let mut id = String::with_capacity(56);
    push_ip(&mut id, host.ip());
    push_hex(&mut id, &u32::from(host.port()).to_be_bytes());
    push_hex(&mut id, &offset.to_be_bytes());
    id
}

fn push_ip(id: &mut String, ip: IpAddr) {
    let (v4, v6);
    let octets: &[u8] = match ip {
        IpAddr::V4(ip) => {
            v4 = ip.octets();
            &v4
        }
        IpAddr::V6(ip) => {
            v6 = ip.octets();
            &v6
        }
    };
    push_hex(id, octets);
}

fn push_hex(id: &mut String, bytes: &[u8]) {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'A' + value - 10 });
    for byte in bytes {
        id.push(digit(byte >> 4));
        id.push(digit(byte & 0xF));
    }
}

/// A text that is not an offset message id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an offset message id; it has 32 (IPv4) or 56 (IPv6) hexadecimal digits")]
pub struct MsgIdError(String);

/// Store host and commit log offset of an offset message id.
///
/// # Errors
/// The text has another length or other characters.
pub fn parse_offset_msg_id(id: &str) -> Result<(SocketAddr, u64), MsgIdError> {
    let error = || MsgIdError(id.chars().take(80).collect());
    if !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(error());
    }
    let split = match id.len() {
        32 => 8,
        56 => 32,
        _ => return Err(error()),
    };
    let (ip, rest) = id.split_at(split);
    let (port, offset) = rest.split_at(8);
    let ip = u128::from_str_radix(ip, 16).map_err(|_| error())?;
    let ip = match (split, u32::try_from(ip)) {
        (8, Ok(v4)) => IpAddr::V4(Ipv4Addr::from(v4)),
        _ => IpAddr::V6(Ipv6Addr::from(ip)),
    };
    let port = u32::from_str_radix(port, 16).ok().and_then(|p| u16::try_from(p).ok()).ok_or_else(error)?;
    let offset = u64::from_str_radix(offset, 16).map_err(|_| error())?;
    Ok((SocketAddr::new(ip, port), offset))
}

/// Makes unique message ids (UNIQ_KEY): ip, pid, a number that tells processes apart, time in the month, counter.
#[derive(Debug)]
pub struct UniqueIds {
    prefix: String,
    counter: std::sync::atomic::AtomicU32,
}

impl UniqueIds {
    /// Ids of this host and process; `salt` stands where Java has its class loader's hash.
    #[must_use]
    pub fn new(ip: IpAddr, pid: u32, salt: u32) -> UniqueIds {
        let mut prefix = String::with_capacity(48);
        push_ip(&mut prefix, ip);
        let _ = write!(prefix, "{:04X}{salt:08X}", pid & 0xFFFF);
        UniqueIds { prefix, counter: std::sync::atomic::AtomicU32::new(0) }
    }

    /// The next id; `month_millis` is the time since the start of the current local month in milliseconds.
    #[must_use]
    pub fn next(&self, month_millis: u32) -> String {
        let count = self.counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed) & 0xFFFF;
        let mut id = String::with_capacity(self.prefix.len() + 12);
        id.push_str(&self.prefix);
        let _ = write!(id, "{month_millis:08X}{count:04X}");
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        for (text, hash) in
            [("TagA", 2_598_919), ("polygenelubricants", i32::MIN), ("中文", 646_394), ("😀", 1_772_899)]
        {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn offset_ids_round_trip() {
        for host in ["10.0.0.2:10911", "[2001:db8::1]:10911"] {
            let host: SocketAddr = host.parse().unwrap();
            let id = offset_msg_id(host, 4096);
            assert_eq!(parse_offset_msg_id(&id), Ok((host, 4096)));
        }
        assert_eq!(
            offset_msg_id("10.0.0.2:10911".parse().unwrap(), 4096),
            "0A00000200002A9F0000000000001000"
        );
        for bad in ["", "0A", "zz000002000000000000000000001000", "0A000002FFFFFFFF0000000000001000"] {
            assert!(parse_offset_msg_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unique_ids_have_javas_layout() {
        let ids = UniqueIds::new("192.168.1.7".parse().unwrap(), 12345, 0x18B4_AAC2);
        let _ = ids.next(1);
        assert_eq!(ids.next(1_234_567_890), "C0A80107303918B4AAC2499602D20001");
    }
}
