//! Message ids, tag hashes and the rules that make them (`MessageClientIDSetter`, `MessageDecoder`).

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Java's `String.hashCode` over UTF-16 code units, wrapping at 32 bits.
#[must_use]
pub fn java_hash(text: &str) -> i32 {
    java_hash_on(0, text)
}

/// The hash of a text of which `hash` is the hash of the beginning and `text` the rest.
#[must_use]
pub fn java_hash_on(hash: i32, text: &str) -> i32 {
    let step = |hash: i32, unit: i32| hash.wrapping_mul(31).wrapping_add(unit);
    if !text.is_ascii() {
        return text.encode_utf16().fold(hash, |hash, unit| step(hash, i32::from(unit)));
    }
    // Eight at a time, of which only one multiplication has to wait for the one before.
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    let hash = eights.iter().fold(hash, |hash, eight| {
        let part =
            |sum: i32, (power, byte): (&i32, &u8)| sum.wrapping_add(power.wrapping_mul(i32::from(*byte)));
        POWERS[1..].iter().zip(eight).fold(hash.wrapping_mul(POWERS[0]), part)
    });
    rest.iter().fold(hash, |hash, byte| step(hash, i32::from(*byte)))
}

/// Powers of 31 from the eighth to none.
const POWERS: [i32; 9] = {
    let mut powers = [1_i32; 9];
    let mut at = 8;
    while at > 0 {
        powers[at - 1] = powers[at].wrapping_mul(31);
        at -= 1;
    }
    powers
};

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
    push_offset_msg_id(&mut id, host, offset);
    id
}

/// Appends the offset message id of a record.
pub fn push_offset_msg_id(id: &mut String, host: SocketAddr, offset: u64) {
    let (port, offset) = (u32::from(host.port()).to_be_bytes(), offset.to_be_bytes());
    match host.ip() {
        IpAddr::V4(ip) => push_hex(id, &[&ip.octets(), &port, &offset]),
        IpAddr::V6(ip) => push_hex(id, &[&ip.octets(), &port, &offset]),
    }
}

/// Appends the digits of parts that have each a multiple of four bytes, and all together 28 at most.
fn push_hex(id: &mut String, parts: &[&[u8]]) {
    let mut digits = [0; 56];
    let fours = parts.iter().flat_map(|part| part.as_chunks::<4>().0);
    let mut length = 0;
    for (out, four) in digits.as_chunks_mut::<8>().0.iter_mut().zip(fours) {
        *out = hex_digits(*four);
        length += out.len();
    }
    id.push_str(digits.get(..length).and_then(|all| std::str::from_utf8(all).ok()).unwrap_or_default());
}

/// The upper-case digits of four bytes, all at once.
fn hex_digits(bytes: [u8; 4]) -> [u8; 8] {
    let all = u64::from(u32::from_be_bytes(bytes));
    // Each half of a byte into a byte of its own.
    let spread = (all << 16 | all) & 0x0000_FFFF_0000_FFFF;
    let spread = (spread << 8 | spread) & 0x00FF_00FF_00FF_00FF;
    let spread = (spread << 4 | spread) & 0x0F0F_0F0F_0F0F_0F0F;
    let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    (spread + 0x3030_3030_3030_3030 + letters * u64::from(b'A' - b'9' - 1)).to_be_bytes()
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
        match ip {
            IpAddr::V4(ip) => push_hex(&mut prefix, &[&ip.octets()]),
            IpAddr::V6(ip) => push_hex(&mut prefix, &[&ip.octets()]),
        }
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
        let one_by_one = |text: &str| {
            text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
        };
        let text: String = (0..40_u8).map(|n| char::from(b'!' + n * 2)).chain("ü中😀".chars()).collect();
        for (at, _) in text.char_indices() {
            let (before, behind) = text.split_at(at);
            assert_eq!(java_hash(before), one_by_one(before), "{before}");
            assert_eq!(java_hash_on(java_hash(before), behind), one_by_one(&text), "{before}|{behind}");
        }
    }

    #[test]
    fn digits_are_those_of_each_byte() {
        for byte in 0..=u8::MAX {
            let want = format!("{byte:02X}{:02X}00FF", !byte);
            assert_eq!(hex_digits([byte, !byte, 0, 0xFF]), want.as_bytes());
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
