//! The string-to-string fields of a frame's header (`extFields`), kept in one text.

use std::fmt;
use std::ops::Range;

/// Room that the first field makes.
const FIRST_FIELDS: usize = 8;
const FIRST_BYTES: usize = 192;

/// Header fields in the order they were read or written.
///
/// Two allocations whatever their number: all names and values stand in one string.
#[derive(Clone, Default)]
pub struct ExtFields {
    text: String,
    fields: Vec<Span>,
}

/// Where a field stands in the text: its name from the first to the second, its value from the third to the fourth.
#[derive(Clone, Copy)]
struct Span([u32; 4]);

impl Span {
    fn new(name: Range<usize>, value: Range<usize>) -> Span {
        // A header is at most 16 MiB, so positions fit.
        Span([name.start, name.end, value.start, value.end].map(|at| u32::try_from(at).unwrap_or(u32::MAX)))
    }
}

impl ExtFields {
    /// Room for `fields` fields of `bytes` bytes in all.
    pub(super) fn with_capacity(fields: usize, bytes: usize) -> ExtFields {
        ExtFields { text: String::with_capacity(bytes), fields: Vec::with_capacity(fields) }
    }

    /// Adds a field. A name may stand twice; the last one counts.
    pub fn push(&mut self, name: &str, value: &str) {
        self.push_with(name, |text| text.push_str(value));
    }

    /// Adds a field whose value is written by `write`.
    pub(crate) fn push_with(&mut self, name: &str, write: impl FnOnce(&mut String)) {
        if self.fields.capacity() == 0 {
            // Room for the usual header at once, rather than in many small steps.
            self.text.reserve(FIRST_BYTES);
            self.fields.reserve(FIRST_FIELDS);
        }
        let start = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        write(&mut self.text);
        self.fields.push(Span::new(start..middle, middle..self.text.len()));
    }

    /// Fields are to be taken out of this text with [`ExtFields::push_part`].
    pub(super) fn within(text: &str) -> ExtFields {
        let mut own = String::with_capacity(text.len() + text.len() / 2);
        own.push_str(text);
        ExtFields { text: own, fields: Vec::with_capacity(16) }
    }

    /// Adds a field whose name and value are parts of the text that this was made with.
    pub(super) fn push_part(&mut self, name: Range<usize>, value: Range<usize>) {
        self.fields.push(Span::new(name, value));
    }

    /// Adds a field of which the name only is a part of that text.
    pub(super) fn push_part_with(&mut self, name: Range<usize>, value: &str) {
        let start = self.text.len();
        self.text.push_str(value);
        self.fields.push(Span::new(name, start..self.text.len()));
    }

    /// Value of `name`, the last one if there are several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .rev()
            .map(|span| self.pair(*span))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|span| self.pair(*span))
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Removes all fields and keeps the memory, so that a sender can reuse it.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn pair(&self, span: Span) -> (&str, &str) {
        let part = |start: u32, end: u32| self.text.get(start as usize..end as usize).unwrap_or("");
        let Span([name, name_end, value, value_end]) = span;
        (part(name, name_end), part(value, value_end))
    }
}

/// Fields whose bytes are looked at together at the end: much cheaper than one by one.
pub(super) struct UncheckedFields {
    text: Vec<u8>,
    fields: Vec<Span>,
}

impl UncheckedFields {
    /// Room for `fields` fields of `bytes` bytes in all.
    pub(super) fn with_capacity(fields: usize, bytes: usize) -> UncheckedFields {
        UncheckedFields { text: Vec::with_capacity(bytes), fields: Vec::with_capacity(fields) }
    }

    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        let middle = self.text.len();
        self.text.extend_from_slice(value);
        self.fields.push(Span::new(start..middle, middle..self.text.len()));
    }

    /// The fields, if each name and each value is UTF-8.
    pub(super) fn check(self) -> Option<ExtFields> {
        let text = String::from_utf8(self.text).ok()?;
        // A character may not begin in one part and end in the next.
        let whole = |span: &Span| span.0.iter().all(|at| text.is_char_boundary(*at as usize));
        self.fields.iter().all(whole).then_some(ExtFields { text, fields: self.fields })
    }
}

impl PartialEq for ExtFields {
    fn eq(&self, other: &Self) -> bool {
        let sorted = |fields: &Self| {
            let mut all: Vec<(String, String)> =
                fields.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            all.sort();
            all
        };
        self.len() == other.len() && sorted(self) == sorted(other)
    }
}

impl fmt::Debug for ExtFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_must_be_text_of_its_own() {
        let fields = |name: &[u8], value: &[u8]| {
            let mut fields = UncheckedFields::with_capacity(1, 8);
            fields.push(name, value);
            fields.check()
        };
        assert_eq!(fields("ü".as_bytes(), "中".as_bytes()).unwrap().get("ü"), Some("中"));
        assert!(fields(b"a\xC3", b"\xBCb").is_none());
        assert!(fields(b"a", b"\xFF").is_none());
    }
}
