//! The JSON header of a frame, read as leniently as fastjson reads it.

use std::fmt;

use bytes::{BufMut, BytesMut};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Encoding, ExtFields, Frame, FrameError, Language};

pub(super) fn decode(header: &[u8]) -> Result<Frame, FrameError> {
    let mut parser = serde_json::Deserializer::from_slice(header);
    let frame = parser.deserialize_map(HeaderVisitor).map_err(|e| FrameError::Json(e.to_string()))?;
    parser.end().map_err(|e| FrameError::Json(e.to_string()))?;
    Ok(frame)
}

pub(super) fn encode(frame: &Frame, out: &mut BytesMut) {
    // Writing strings and integers into memory cannot fail.
    let _ = serde_json::to_writer(out.writer(), &HeaderText(frame));
}

struct HeaderText<'a>(&'a Frame);
struct ExtText<'a>(&'a ExtFields);

impl Serialize for HeaderText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let frame = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", &frame.code)?;
        // Java leaves an empty map out, but Go wants an object when a response has fields at all.
        map.serialize_entry("extFields", &ExtText(&frame.ext))?;
        map.serialize_entry("flag", &frame.flag)?;
        map.serialize_entry("language", frame.language.name())?;
        map.serialize_entry("opaque", &frame.opaque)?;
        if !frame.remark.is_empty() {
            map.serialize_entry("remark", &frame.remark)?;
        }
        map.serialize_entry("serializeTypeCurrentRPC", "JSON")?;
        map.serialize_entry("version", &frame.version)?;
        map.end()
    }
}

impl Serialize for ExtText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
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
