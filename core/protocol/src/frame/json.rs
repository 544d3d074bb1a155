//! The JSON header of a frame, read as leniently as fastjson reads it.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Encoding, ExtFields, Frame, FrameError, Language};

mod quick;
mod write;

pub(super) use write::{
    after_fields as encode_after_fields, before_fields as encode_before_fields, field as encode_field,
};

pub(super) fn decode(header: &[u8]) -> Result<Frame, FrameError> {
    quick::decode(header).map_or_else(|| decode_fully(header), Ok)
}

/// Reads whatever fastjson would read, and says what is wrong with the rest.
fn decode_fully(header: &[u8]) -> Result<Frame, FrameError> {
    let mut parser = serde_json::Deserializer::from_slice(header);
    let frame = parser.deserialize_map(HeaderVisitor).map_err(|e| FrameError::Json(e.to_string()))?;
    parser.end().map_err(|e| FrameError::Json(e.to_string()))?;
    Ok(frame)
}

/// Where in a text the first byte stands that ends it or means something in it: quote, backslash, control character.
#[inline]
fn plain_run(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let special = special_bytes(u64::from_le_bytes(*eight));
        if special != 0 {
            return Some(at + (special.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    text.get(at..)?.iter().position(special).map(|rest| at + rest)
}

/// The highest bit of each of eight bytes that means something. Only what is behind the first of them may be wrong.
fn special_bytes(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below = |bytes: u64, limit: u8| bytes.wrapping_sub(ONES * u64::from(limit)) & !bytes;
    let equal = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    (below(eight, b' ') | equal(b'"') | equal(b'\\')) & (ONES << 7)
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Frame;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a remoting header object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Frame, A::Error> {
        let mut frame = Frame::new(0, 0);
        frame.encoding = Encoding::Json;
        frame.language = Language::OTHER;
        frame.version = 0;
        let mut text = String::new();
        while map.next_key_seed(Text(&mut text))?.is_some() {
            match text.as_str() {
                "code" => frame.code = number(&mut map)?,
                "version" => frame.version = number(&mut map)?,
                "opaque" => frame.opaque = number(&mut map)?,
                "flag" => frame.flag = number(&mut map)?,
                "language" => {
                    text.clear();
                    map.next_value_seed(Text(&mut text))?;
                    frame.language = Language::from_name(&text);
                }
                "remark" => {
                    frame.remark.clear();
                    map.next_value_seed(Text(&mut frame.remark))?;
                }
                "extFields" => frame.ext = map.next_value_seed(Ext)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            text.clear();
        }
        Ok(frame)
    }
}

fn number<'de, A: MapAccess<'de>>(map: &mut A) -> Result<i32, A::Error> {
    let mut text = String::new();
    map.next_value_seed(Text(&mut text))?;
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| de::Error::custom(format_args!("'{text}' is not a 32-bit integer")))
}

/// Reads any scalar as its text and appends it; tells whether it was not null.
struct Text<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, number, boolean or null")
    }

    fn visit_str<E>(self, value: &str) -> Result<bool, E> {
        self.0.push_str(value);
        Ok(true)
    }

    fn visit_i64<E>(self, value: i64) -> Result<bool, E> {
        self.0.push_str(itoa::Buffer::new().format(value));
        Ok(true)
    }

    fn visit_u64<E>(self, value: u64) -> Result<bool, E> {
        self.0.push_str(itoa::Buffer::new().format(value));
        Ok(true)
    }

    fn visit_f64<E>(self, value: f64) -> Result<bool, E> {
        self.0.push_str(&value.to_string());
        Ok(true)
    }

    fn visit_bool<E>(self, value: bool) -> Result<bool, E> {
        self.0.push_str(if value { "true" } else { "false" });
        Ok(true)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

struct Ext;

impl<'de> DeserializeSeed<'de> for Ext {
    type Value = ExtFields;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ExtFields, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Ext {
    type Value = ExtFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of header fields")
    }

    fn visit_unit<E>(self) -> Result<ExtFields, E> {
        Ok(ExtFields::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExtFields, A::Error> {
        let mut ext = ExtFields::with_capacity(16, 384);
        let (mut name, mut value) = (String::new(), String::new());
        while map.next_key_seed(Text(&mut name))?.is_some() {
            if map.next_value_seed(Text(&mut value))? {
                ext.push(&name, &value);
            }
            name.clear();
            value.clear();
        }
        Ok(ext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_at_the_first_byte_that_means_something() {
        for length in 0..40 {
            let mut text = vec![b'x'; length];
            assert_eq!(plain_run(&text), None);
            // Backwards, so that bytes that mean something stand behind each one that is looked at.
            for at in (0..length).rev() {
                for byte in 0..=255 {
                    text[at] = byte;
                    let special = byte < b' ' || byte == b'"' || byte == b'\\';
                    let behind = (at + 1 < length).then_some(at + 1);
                    assert_eq!(plain_run(&text), if special { Some(at) } else { behind }, "{byte} at {at}");
                }
                text[at] = b'"';
            }
        }
    }
}
