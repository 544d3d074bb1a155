//! Writes the JSON header of a frame: keys in fastjson's order, all values of fields as strings.

use bytes::{BufMut, BytesMut};

use super::super::Frame;
use super::plain_run;

/// Appends what stands before the fields; returns where that begins.
pub(in super::super) fn before_fields(frame: &Frame, out: &mut BytesMut) -> usize {
    let start = out.len();
    // The usual header with its fields and a few escapes.
    out.reserve(frame.remark.len() + 512);
    number(out, "{\"code\":", frame.code);
    // Java leaves an empty map out, but Go wants an object when a response has fields at all.
    out.put_slice(b",\"extFields\":{");
    start
}

/// Appends a field.
pub(in super::super) fn field(first: bool, name: &str, value: &str, out: &mut BytesMut) {
    if !first {
        out.put_u8(b',');
    }
    string(out, name);
    out.put_u8(b':');
    string(out, value);
}

/// Appends what stands behind the fields.
pub(in super::super) fn after_fields(frame: &Frame, out: &mut BytesMut) {
    number(out, "},\"flag\":", frame.flag);
    out.put_slice(b",\"language\":\"");
    out.put_slice(frame.language.name().as_bytes());
    number(out, "\",\"opaque\":", frame.opaque);
    if !frame.remark.is_empty() {
        out.put_slice(b",\"remark\":");
        string(out, &frame.remark);
    }
    number(out, ",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":", frame.version);
    out.put_u8(b'}');
}

fn number(out: &mut BytesMut, before: &str, number: i32) {
    out.put_slice(before.as_bytes());
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn string(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = plain_run(rest) {
        let (plain, from) = rest.split_at(at);
        out.put_slice(plain);
        let Some((byte, behind)) = from.split_first() else { break };
        escape(out, *byte);
        rest = behind;
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}

fn escape(out: &mut BytesMut, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            out.put_slice(b"\\u00");
            // Both are below 16.
            out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xF)]]);
            return;
        }
    };
    out.put_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_written_as_others_write_it() {
        let all: String = (0..0x300_u32).filter_map(char::from_u32).chain("中\u{1F600}".chars()).collect();
        let mut out = BytesMut::new();
        string(&mut out, &all);
        assert_eq!(&out[..], serde_json::to_string(&all).unwrap().as_bytes());
    }
}
