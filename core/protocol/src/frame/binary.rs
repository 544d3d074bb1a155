//! The compact binary header of a frame (`RocketMQSerializable`).

use bytes::{BufMut, BytesMut};

use super::ext::UncheckedFields;
use super::{Encoding, Frame, FrameError, Language};

/// The POP request codes as the 16-bit code field truncates them, and what they were.
const TRUNCATED: [(i32, i32); 8] = [
    (3442, 200_050),
    (3443, 200_051),
    (3444, 200_052),
    (3445, 200_053),
    (3446, 200_054),
    (3447, 200_055),
    (3448, 200_056),
    (3543, 200_151),
];

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], FrameError> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(FrameError::Binary(what))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FrameError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(FrameError::Binary(what))?;
        self.0 = tail;
        Ok(*head)
    }

    fn bytes(&mut self, length: i32, what: &'static str) -> Result<&'a [u8], FrameError> {
        self.take(usize::try_from(length).map_err(|_| FrameError::Binary(what))?, what)
    }

    fn text(&mut self, length: i32, what: &'static str) -> Result<&'a str, FrameError> {
        std::str::from_utf8(self.bytes(length, what)?).map_err(|_| FrameError::Binary(what))
    }

    fn int(&mut self, what: &'static str) -> Result<i32, FrameError> {
        self.array(what).map(i32::from_be_bytes)
    }

    fn short(&mut self, what: &'static str) -> Result<i32, FrameError> {
        self.array(what).map(|bytes| i32::from(i16::from_be_bytes(bytes)))
    }
}

pub(super) fn decode(header: &[u8]) -> Result<Frame, FrameError> {
    let mut reader = Reader(header);
    let code = reader.short("code is cut off")?;
    let language = reader.array::<1>("language is cut off")?[0];
    let version = reader.short("version is cut off")?;
    let opaque = reader.int("opaque is cut off")?;
    let flag = reader.int("flag is cut off")?;
    let mut frame = Frame::new(code, flag);
    frame.encoding = Encoding::Binary;
    frame.language = Language::from_byte(language);
    frame.version = version;
    frame.opaque = opaque;
    if !frame.is_response()
        && let Some((_, whole)) = TRUNCATED.iter().find(|(short, _)| *short == code)
    {
        frame.code = *whole;
    }
    let remark_length = reader.int("remark length is cut off")?;
    frame.remark = reader.text(remark_length, "remark is cut off or not UTF-8")?.to_owned();
    let ext_length = reader.int("field map length is cut off")?;
    let ext_length =
        usize::try_from(ext_length).map_err(|_| FrameError::Binary("field map length is negative"))?;
    let all = reader.take(ext_length, "field map is cut off")?;
    let mut fields = Reader(all);
    let mut ext = UncheckedFields::within(all);
    while !fields.0.is_empty() {
        let at = all.len() - fields.0.len();
        let length = fields.short("field name length is cut off")?;
        let name = fields.bytes(length, "field name is cut off")?.len();
        let length = fields.int("field value length is cut off")?;
        let value = fields.bytes(length, "field value is cut off")?.len();
        let name = at + 2..at + 2 + name;
        let value = name.end + 4..name.end + 4 + value;
        if value.is_empty() {
            ext.pass(at..value.end);
        } else {
            ext.pass(at..name.start);
            ext.pass(name.end..value.start);
            ext.push(name, value);
        }
    }
    frame.ext = ext.check().ok_or(FrameError::Binary("a field is not UTF-8"))?;
    Ok(frame)
}

/// Appends what stands before the fields; returns where their length belongs.
pub(super) fn encode_before_fields(frame: &Frame, out: &mut BytesMut) -> usize {
    // The caller has checked that the code fits.
    out.put_i16(i16::try_from(frame.code).unwrap_or(i16::MAX));
    out.put_u8(frame.language.byte());
    out.put_i16(i16::try_from(frame.version).unwrap_or(i16::MAX));
    out.put_i32(frame.opaque);
    out.put_i32(frame.flag);
    put_text(out, &frame.remark);
    let start = out.len();
    out.put_u32(0);
    start
}

/// Appends a field; a name that is too long for the layout is left out.
pub(super) fn encode_field(name: &str, value: &str, out: &mut BytesMut) {
    if let Ok(length) = i16::try_from(name.len()) {
        out.put_i16(length);
        out.put_slice(name.as_bytes());
        put_text(out, value);
    }
}

/// Fills in the length of the fields, which stand behind `start`.
pub(super) fn encode_after_fields(start: usize, out: &mut BytesMut) {
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    out.put_slice(text.as_bytes());
}
