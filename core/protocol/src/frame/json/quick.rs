//! The JSON headers that clients really send, read in one pass; what is unusual is left to the full reader.

use std::borrow::Cow;
use std::ops::Range;

use super::super::{Encoding, ExtFields, Frame, Language};
use super::plain_run;

/// Reads a header; `None` if something in it is not of the usual form, which need not be a fault.
pub(super) fn decode(header: &[u8]) -> Option<Frame> {
    let mut reader = Reader { text: std::str::from_utf8(header).ok()?, at: 0 };
    let frame = reader.frame()?;
    reader.blanks();
    (reader.at == reader.text.len()).then_some(frame)
}

struct Reader<'a> {
    /// The whole header.
    text: &'a str,
    at: usize,
}

/// A value that is no object and no array.
enum Scalar {
    Null,
    /// A part of the header, as it stands there.
    Plain(Range<usize>),
    /// A text with escapes, at which the reader stands.
    Escaped,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte` and the blanks around it, of which there are none as a rule.
    fn take(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            self.blanks();
            if self.peek()? != byte {
                return None;
            }
        }
        self.at += 1;
        if self.peek()? <= b' ' {
            self.blanks();
        }
        Some(())
    }

    /// Takes what separates two entries; `false` at the end of the object.
    fn more(&mut self) -> Option<bool> {
        if self.peek()? <= b' ' {
            self.blanks();
        }
        match self.peek()? {
            b',' => {
                self.take(b',')?;
                Some(true)
            }
            b'}' => {
                self.at += 1;
                Some(false)
            }
            _ => None,
        }
    }

    /// Takes the opening of an object; `false` if it is empty.
    fn open(&mut self) -> Option<bool> {
        self.take(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(false);
        }
        Some(true)
    }

    /// A name without escapes and the colon behind it.
    fn name(&mut self) -> Option<Range<usize>> {
        let name = self.plain()?;
        self.take(b':')?;
        Some(name)
    }

    /// A text without escapes. Of any other nothing is taken.
    #[inline]
    fn plain(&mut self) -> Option<Range<usize>> {
        let (b'"', rest) = self.rest().split_first()? else { return None };
        let length = plain_run(rest)?;
        if rest.get(length) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        self.at = start + length + 1;
        Some(start..start + length)
    }

    /// Appends a text with escapes.
    fn unescape(&mut self, out: &mut String) -> Option<()> {
        self.at += 1;
        loop {
            let rest = self.rest();
            let length = plain_run(rest)?;
            let end = self.at + length;
            out.push_str(self.text.get(self.at..end)?);
            self.at = end + 1;
            match rest.get(length)? {
                b'"' => return Some(()),
                b'\\' => {}
                _ => return None,
            }
            let escape = self.peek()?;
            self.at += 1;
            out.push(match escape {
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                    self.at += 4;
                    // Halves of a pair are no characters: the full reader puts them together.
                    char::from_u32(hex(digits)?)?
                }
                _ => return None,
            });
        }
    }

    fn scalar(&mut self) -> Option<Scalar> {
        match self.peek()? {
            b'"' => Some(self.plain().map_or(Scalar::Escaped, Scalar::Plain)),
            b'-' | b'0'..=b'9' => self.integer().map(|(text, _)| Scalar::Plain(text)),
            b't' => self.word("true").map(Scalar::Plain),
            b'f' => self.word("false").map(Scalar::Plain),
            b'n' => self.word("null").map(|_| Scalar::Null),
            _ => None,
        }
    }

    fn word(&mut self, word: &str) -> Option<Range<usize>> {
        let found = self.at..self.at + word.len();
        if self.text.as_bytes().get(found.clone())? != word.as_bytes() {
            return None;
        }
        self.at = found.end;
        Some(found)
    }

    /// An integer as the full reader would write it: no fraction, no exponent, no idle zeros. Its text and its value.
    fn integer(&mut self) -> Option<(Range<usize>, i64)> {
        let (start, rest) = (self.at, self.rest());
        let sign = usize::from(rest.first() == Some(&b'-'));
        let (mut digits, mut value) = (0, 0_i64);
        for byte in rest.get(sign..)?.iter().take_while(|byte| byte.is_ascii_digit()) {
            digits += 1;
            value = value.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
        }
        let next = rest.get(sign + digits);
        let idle_zero = digits > 1 && rest.get(sign) == Some(&b'0');
        // Eighteen digits fit in 64 bits; "-0" is a fraction to some.
        let usual = (1..=18).contains(&digits) && !idle_zero && !(sign == 1 && rest.get(1) == Some(&b'0'));
        if !usual || matches!(next, Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at = start + sign + digits;
        Some((start..self.at, if sign == 1 { -value } else { value }))
    }

    /// The text of a value; an empty one for null.
    fn value(&mut self) -> Option<Cow<'a, str>> {
        Some(match self.scalar()? {
            Scalar::Null => Cow::Borrowed(""),
            Scalar::Plain(part) => Cow::Borrowed(self.text.get(part)?),
            Scalar::Escaped => {
                let mut text = String::new();
                self.unescape(&mut text)?;
                Cow::Owned(text)
            }
        })
    }

    fn number(&mut self) -> Option<i32> {
        // What does not fit is a fault, which the full reader names.
        if let b'-' | b'0'..=b'9' = self.peek()? {
            return i32::try_from(self.integer()?.1).ok();
        }
        let text = self.value()?;
        if text.is_empty() { Some(0) } else { text.parse().ok() }
    }

    fn frame(&mut self) -> Option<Frame> {
        let mut frame = Frame::new(0, 0);
        frame.encoding = Encoding::Json;
        frame.language = Language::OTHER;
        frame.version = 0;
        self.blanks();
        let mut more = self.open()?;
        while more {
            let name = self.name()?;
            match self.text.get(name)? {
                "code" => frame.code = self.number()?,
                "version" => frame.version = self.number()?,
                "opaque" => frame.opaque = self.number()?,
                "flag" => frame.flag = self.number()?,
                "language" => frame.language = Language::from_name(&self.value()?),
                "remark" => frame.remark = self.value()?.into_owned(),
                "extFields" if self.peek()? == b'n' => {
                    self.word("null")?;
                    frame.ext = ExtFields::default();
                }
                "extFields" => frame.ext = self.fields()?,
                _ => {
                    self.value()?;
                }
            }
            more = self.more()?;
        }
        Some(frame)
    }

    fn fields(&mut self) -> Option<ExtFields> {
        let mut fields = ExtFields::within(self.text);
        let mut more = self.open()?;
        while more {
            let name = self.name()?;
            match self.scalar()? {
                Scalar::Null => {}
                Scalar::Plain(value) => fields.push_part(name, value),
                Scalar::Escaped => fields.push_part_with(name, |text| self.unescape(text))?,
            }
            more = self.more()?;
        }
        Some(fields)
    }
}

/// The number that four hexadecimal digits stand for.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the full reader says.
    fn full(header: &[u8]) -> Option<Frame> {
        super::super::decode_fully(header).ok()
    }

    const USUAL: &[&str] = &[
        r#"{"code":310,"extFields":{"a":"P","b":"T","c":"TBW102","d":"4","e":"0","f":"0","g":"1700000000000","h":"0","i":"UNIQ_KEY\u0001AC11\u0002WAIT\u0001true\u0002","j":"0","k":"false","m":"false"},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}"#,
        r#"{"code":11,"language":"GO","version":317,"opaque":1,"flag":0,"remark":"","extFields":{"queueId":"3","topic":"T"}}"#,
        r#"{ "code" : 34 , "extFields" : { "queueId" : 3 , "x" : true , "y" : null , "z" : -5 } , "opaque":-1 }"#,
        r#"{"code":0,"remark":"a \"quoted\" \\ / \b\f\n\r\t text ü 中","extFields":{},"flag":1}"#,
        r#"{"code":0,"extFields":null,"unknown":"x","other":12}"#,
        "{}",
        " {\"code\":\"12\"} \n",
    ];

    #[test]
    fn what_is_usual_is_read_as_the_full_reader_reads_it() {
        for text in USUAL {
            let frame = decode(text.as_bytes());
            assert!(frame.is_some(), "{text}");
            assert_eq!(frame, full(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_the_full_reader() {
        for text in [
            "",
            "[]",
            "{",
            r#"{"code":310"#,
            r#"{"code":310}x"#,
            r#"{"code":99999999999}"#,
            r#"{"code":1.5}"#,
            r#"{"code":1e3}"#,
            r#"{"code":010}"#,
            r#"{"x":{"y":1}}"#,
            r#"{"x":[1]}"#,
            r#"{"x":tru}"#,
            r#"{"code":1,}"#,
            r#"{'code':1}"#,
            r#"{code:1}"#,
            r#"{"c\u006fde":1}"#,
            r#"{"remark":"\ud83d\ude00"}"#,
            r#"{"remark":"\x"}"#,
            r#"{"remark":"\u00"#,
            r#"{"extFields":{"a":-0}}"#,
            r#"{"extFields":{"a":1234567890123456789}}"#,
        ] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode(b"{\"remark\":\"\xFF\"}"), None);
    }

    #[test]
    fn damaged_headers_are_never_read_differently() {
        for text in USUAL {
            for at in 0..text.len() {
                assert!(
                    decode(&text.as_bytes()[..at])
                        .is_none_or(|frame| Some(frame) == full(&text.as_bytes()[..at]))
                );
                for byte in [0_u8, b'"', b'\\', b'{', b'}', b',', b':', b'0', b'-', b'n', b' ', 0xC3] {
                    let mut damaged = text.as_bytes().to_vec();
                    damaged[at] = byte;
                    if let Some(frame) = decode(&damaged) {
                        let want = full(&damaged);
                        assert_eq!(Some(frame), want, "{}", String::from_utf8_lossy(&damaged));
                    }
                }
            }
        }
    }
}
