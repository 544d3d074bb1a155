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

    /// Adds a field of which the name only is a part of that text; `write` appends its value.
    pub(super) fn push_part_with(
        &mut self,
        name: Range<usize>,
        write: impl FnOnce(&mut String) -> Option<()>,
    ) -> Option<()> {
        let start = self.text.len();
        write(&mut self.text)?;
        self.fields.push(Span::new(name, start..self.text.len()));
        Some(())
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

    /// The values of fields by their names; of a name that stands twice the last one.
    pub(crate) fn pick<const N: usize>(&self, names: &[&str; N]) -> [Option<&str>; N] {
        let mut values = [None; N];
        // Most senders write the fields in the order in which their class, and so `names`, has them.
        let mut expected = 0;
        for Span([name, name_end, value, value_end]) in &self.fields {
            let Some(name) = self.text.as_bytes().get(*name as usize..*name_end as usize) else { continue };
            let (before, behind) = names.split_at(expected);
            let found = match behind.iter().position(|known| same(known.as_bytes(), name)) {
                Some(at) => expected + at,
                None => match before.iter().position(|known| same(known.as_bytes(), name)) {
                    Some(at) => at,
                    None => continue,
                },
            };
            if let Some(slot) = values.get_mut(found) {
                *slot = self.text.get(*value as usize..*value_end as usize);
            }
            expected = found + 1;
        }
        values
    }

    fn pair(&self, span: Span) -> (&str, &str) {
        let part = |start: u32, end: u32| self.text.get(start as usize..end as usize).unwrap_or("");
        let Span([name, name_end, value, value_end]) = span;
        (part(name, name_end), part(value, value_end))
    }
}

/// Whether two names are the same. Those of the headers that matter most have one letter.
fn same(known: &[u8], name: &[u8]) -> bool {
    match (known, name) {
        ([known], [name]) => known == name,
        _ => known == name,
    }
}

/// Fields whose bytes are copied and looked at together: much cheaper than one by one.
pub(super) struct UncheckedFields {
    text: Vec<u8>,
    fields: Vec<Span>,
}

impl UncheckedFields {
    /// Fields are to be taken out of these bytes.
    pub(super) fn within(bytes: &[u8]) -> UncheckedFields {
        UncheckedFields { text: bytes.to_vec(), fields: Vec::with_capacity(16) }
    }

    /// These of the bytes belong to no field, and need not be text.
    pub(super) fn pass(&mut self, bytes: Range<usize>) {
        if let Some(bytes) = self.text.get_mut(bytes) {
            bytes.fill(0);
        }
    }

    /// Adds a field whose name and value are parts of the bytes.
    pub(super) fn push(&mut self, name: Range<usize>, value: Range<usize>) {
        self.fields.push(Span::new(name, value));
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
            let mut fields = UncheckedFields::within(&[b"\xFF", name, value, b"\xFF"].concat());
            let (middle, end) = (1 + name.len(), 1 + name.len() + value.len());
            fields.pass(0..1);
            fields.push(1..middle, middle..end);
            fields.pass(end..end + 1);
            fields.check()
        };
        assert_eq!(fields("ü".as_bytes(), "中".as_bytes()).unwrap().get("ü"), Some("中"));
        assert!(fields(b"a\xC3", b"\xBCb").is_none());
        assert!(fields(b"a", b"\xFF").is_none());
    }

    #[test]
    fn fields_may_come_in_any_order_and_the_last_of_a_name_counts() {
        let names = ["a", "b", "cc"];
        for order in [
            &["a", "b", "cc"][..],
            &["cc", "b", "a"],
            &["b", "x", "a", "cc"],
            &["cc", "", "b", "c", "aa"],
            &["b", "b", "a", "b"],
            &["a", "cc", "a"],
            &["x"],
            &[],
        ] {
            let mut ext = ExtFields::default();
            for (at, name) in order.iter().enumerate() {
                ext.push(name, &at.to_string());
            }
            let last = |name| order.iter().rposition(|other| *other == name).map(|at| at.to_string());
            assert_eq!(ext.pick(&names).map(|value| value.map(str::to_owned)), names.map(last), "{order:?}");
        }
    }
}
