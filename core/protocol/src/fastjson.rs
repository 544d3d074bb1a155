//! fastjson's peculiarities: unquoted and object keys are made strict before a strict parser reads them.
//!
//! Apache writes maps with number keys as `{0:"a"}` and maps whose keys are objects as `{{"topic":"T"}:1}`.
//! [`normalize`] turns such keys into strings; [`to_vec`] writes the first form, [`to_object_key_map`] the second.

use std::borrow::Cow;
use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Deepest nesting that is looked at; a deeper text is left for the strict parser to refuse.
const MAX_DEPTH: usize = 64;

/// Parses a body that Apache wrote.
///
/// # Errors
/// The text is not JSON even with fastjson's leniency, or has another shape.
pub fn from_slice<T: DeserializeOwned>(text: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(&normalize(text))
}

/// Compact JSON as fastjson writes it: integer keys of maps are not quoted.
///
/// # Errors
/// The value cannot be written as JSON.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::with_capacity(128);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut text, BareKeys::default()))?;
    Ok(text)
}

/// Leaves out the quotes around an integer that is written as a key.
#[derive(Default)]
enum BareKeys {
    #[default]
    Value,
    Key,
    /// The key's first quote is not written yet: what follows decides.
    Held,
    /// The key is an integer.
    Bare,
}

impl BareKeys {
    fn release<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if matches!(self, BareKeys::Held) {
            *self = BareKeys::Key;
            writer.write_all(b"\"")?;
        }
        Ok(())
    }
}

macro_rules! bare_integers {
    ($($method:ident: $type:ty),*) => {$(
        fn $method<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: $type) -> io::Result<()> {
            if matches!(self, BareKeys::Held) {
                *self = BareKeys::Bare;
            }
            writer.write_all(itoa::Buffer::new().format(value).as_bytes())
        }
    )*};
}

impl serde_json::ser::Formatter for BareKeys {
    bare_integers!(write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64);
    bare_integers!(write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64);

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        *self = BareKeys::Key;
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        *self = BareKeys::Value;
        Ok(())
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if matches!(self, BareKeys::Key) {
            *self = BareKeys::Held;
            return Ok(());
        }
        writer.write_all(b"\"")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        self.release(writer)?;
        writer.write_all(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: serde_json::ser::CharEscape,
    ) -> io::Result<()> {
        self.release(writer)?;
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        // An empty text as key still holds its first quote; an integer has none at all.
        self.release(writer)?;
        if matches!(self, BareKeys::Bare) { Ok(()) } else { writer.write_all(b"\"") }
    }
}

/// A map whose keys are JSON objects, as fastjson writes it: `{{"topic":"T"}:value,…}`.
///
/// # Errors
/// A key or value cannot be written as JSON.
pub fn to_object_key_map<K: Serialize, V: Serialize>(
    entries: impl IntoIterator<Item = (K, V)>,
) -> Result<String, serde_json::Error> {
    let mut text = String::from("{");
    for (key, value) in entries {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&key)?);
        text.push(':');
        text.push_str(&serde_json::to_string(&value)?);
    }
    text.push('}');
    Ok(text)
}

/// Rewrites unquoted, single-quoted and object keys as strings and drops superfluous commas; what is strict already stays as it is.
#[must_use]
pub fn normalize(text: &[u8]) -> Cow<'_, [u8]> {
    let mut scan = Scan { text, at: 0, out: Vec::new(), copied: 0 };
    scan.value(0);
    if scan.out.is_empty() && scan.copied == 0 {
        return Cow::Borrowed(text);
    }
    scan.out.extend_from_slice(text.get(scan.copied..).unwrap_or_default());
    Cow::Owned(scan.out)
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// Everything before this stands in `out` already.
    copied: usize,
}

impl Scan<'_> {
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn replace(&mut self, start: usize, end: usize, with: &[u8]) {
        self.out.extend_from_slice(self.text.get(self.copied..start).unwrap_or_default());
        self.out.extend_from_slice(with);
        self.copied = end;
    }

    /// Passes over one value; `false` if the text is not understood, which ends the rewriting.
    fn value(&mut self, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(b'"'),
            Some(b'\'') => self.single_quoted(),
            Some(_) => self.bare(),
            None => false,
        }
    }

    fn array(&mut self, depth: usize) -> bool {
        self.at += 1;
        let mut after_comma = None;
        loop {
            match self.peek() {
                Some(b']') => {
                    self.drop_comma(after_comma);
                    self.at += 1;
                    return true;
                }
                Some(b',') => {
                    self.drop_comma(after_comma);
                    after_comma = Some(self.at);
                    self.at += 1;
                }
                Some(_) => {
                    after_comma = None;
                    if !self.value(depth + 1) {
                        return false;
                    }
                }
                None => return false,
            }
        }
    }

    fn drop_comma(&mut self, at: Option<usize>) {
        if let Some(at) = at.filter(|at| *at >= self.copied) {
            self.replace(at, at + 1, b"");
        }
    }

    fn object(&mut self, depth: usize) -> bool {
        self.at += 1;
        let mut after_comma = None;
        loop {
            match self.peek() {
                Some(b'}') => {
                    self.drop_comma(after_comma);
                    self.at += 1;
                    return true;
                }
                Some(b',') => {
                    self.drop_comma(after_comma);
                    after_comma = Some(self.at);
                    self.at += 1;
                    continue;
                }
                Some(_) => after_comma = None,
                None => return false,
            }
            if !self.key(depth) || self.peek() != Some(b':') {
                return false;
            }
            self.at += 1;
            if !self.value(depth + 1) {
                return false;
            }
        }
    }

    fn key(&mut self, depth: usize) -> bool {
        let start = self.at;
        match self.text.get(start) {
            Some(b'"') => self.string(b'"'),
            Some(b'\'') => self.single_quoted(),
            Some(b'{' | b'[') => {
                let mut inner = Scan { text: self.text, at: start, out: Vec::new(), copied: start };
                if !inner.value(depth + 1) {
                    return false;
                }
                let end = inner.at;
                inner.out.extend_from_slice(self.text.get(inner.copied..end).unwrap_or_default());
                self.at = end;
                self.quote(start, end, &inner.out)
            }
            Some(_) => {
                while self.text.get(self.at).is_some_and(|b| {
                    !matches!(b, b':' | b',' | b'}' | b'{' | b'"') && !b.is_ascii_whitespace()
                }) {
                    self.at += 1;
                }
                let key = self.text.get(start..self.at).unwrap_or_default();
                !key.is_empty() && self.quote(start, self.at, key)
            }
            None => false,
        }
    }

    /// Puts `inside` as one JSON string in place of `start..end`.
    fn quote(&mut self, start: usize, end: usize, inside: &[u8]) -> bool {
        let Ok(inside) = std::str::from_utf8(inside) else { return false };
        let Ok(quoted) = serde_json::to_string(inside) else { return false };
        self.replace(start, end, quoted.as_bytes());
        true
    }

    fn string(&mut self, quote: u8) -> bool {
        self.at += 1;
        while let Some(byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                byte if *byte == quote => return true,
                _ => {}
            }
        }
        false
    }

    fn single_quoted(&mut self) -> bool {
        let start = self.at;
        if !self.string(b'\'') {
            return false;
        }
        let inside = self.text.get(start + 1..self.at - 1).unwrap_or_default();
        // Only the quote itself is escaped differently; other escapes are JSON's own.
        let mut text = vec![b'"'];
        let mut bytes = inside.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' if bytes.peek() == Some(&b'\'') => {}
                b'"' => text.extend_from_slice(b"\\\""),
                b'\\' => {
                    text.push(byte);
                    text.extend(bytes.next());
                }
                _ => text.push(byte),
            }
        }
        text.push(b'"');
        self.replace(start, self.at, &text);
        true
    }

    fn bare(&mut self) -> bool {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|b| !matches!(b, b',' | b'}' | b']' | b':' | b'{' | b'[')) {
            self.at += 1;
        }
        self.at > start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &str) {
        let got = normalize(text.as_bytes());
        assert_eq!(std::str::from_utf8(&got).unwrap(), want);
        let _: serde_json::Value = serde_json::from_slice(&got).unwrap();
    }

    #[test]
    fn strict_text_is_left_alone() {
        let text = r#"{"a":[1,{"b":"c\"}"}],"d":null}"#;
        assert!(matches!(normalize(text.as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn keys_become_strings() {
        check(r#"{0:"a",1:{-2:3}}"#, r#"{"0":"a","1":{"-2":3}}"#);
        check(r#"{"t":{{"q":0,"m":{1:2}}:7}}"#, r#"{"t":{"{\"q\":0,\"m\":{\"1\":2}}":7}}"#);
        check("{ a : 'it\\'s \"x\"', }", r#"{ "a" : "it's \"x\"" }"#);
        check("[1,,2,]", "[1,2]");
    }

    #[test]
    fn integer_keys_are_written_bare_and_read_back() {
        use std::collections::BTreeMap;
        let map = BTreeMap::from([
            ("1".to_owned(), BTreeMap::from([(0_i64, "a\"b\n".to_owned()), (-7, String::new())])),
            (String::new(), BTreeMap::new()),
            ("x\"".to_owned(), BTreeMap::new()),
        ]);
        let text = to_vec(&map).unwrap();
        let want = r#"{"":{},"1":{-7:"",0:"a\"b\n"},"x\"":{}}"#;
        assert_eq!(std::str::from_utf8(&text).unwrap(), want);
        assert_eq!(from_slice::<BTreeMap<String, BTreeMap<i64, String>>>(&text).unwrap(), map);
    }

    #[test]
    fn garbage_does_not_panic_or_hang() {
        for text in ["", "{", "{0", "{0:", "{{", "{{}", "[", "[,", "'", "\"\\", "{\u{0}:1}", "{:}", "}", ":"]
        {
            let _ = normalize(text.as_bytes());
        }
        let deep = "[".repeat(100_000);
        let _ = normalize(deep.as_bytes());
        let deep = "{".repeat(100_000);
        let _ = normalize(deep.as_bytes());
    }
}
