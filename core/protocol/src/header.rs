//! Typed headers: one short declaration each, from which reading and writing of `extFields` follows.

use crate::ExtFields;

mod admin;
mod consume;
mod namesrv;
mod send;

pub use admin::*;
pub use consume::*;
pub use namesrv::*;
pub use send::*;

/// A header field that is missing or not of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum HeaderError {
    #[error("header field '{0}' is missing")]
    Missing(&'static str),
    #[error("header field '{field}' is '{value}', which is not {expected}")]
    Invalid { field: &'static str, value: String, expected: &'static str },
}

/// A typed header of one request or response; strings are borrowed from the frame.
pub trait Header<'a>: Sized {
    /// Reads the header from a frame's fields. Unknown fields are ignored.
    ///
    /// # Errors
    /// Names the field that is missing or not of its type.
    fn read(ext: &'a ExtFields) -> Result<Self, HeaderError>;

    /// Adds the header's fields; absent optional ones are left out.
    fn write(&self, fields: &mut impl Fields);
}

/// What the fields of a typed header are written to: the fields of a frame, or the wire itself.
pub trait Fields {
    /// Adds a field.
    fn add(&mut self, name: &str, value: &str);
}

impl Fields for ExtFields {
    fn add(&mut self, name: &str, value: &str) {
        self.push(name, value);
    }
}

/// A type that a header field can have.
pub(crate) trait Field<'a>: Sized {
    fn read(text: Option<&'a str>, name: &'static str) -> Result<Self, HeaderError>;
    fn write(&self, name: &'static str, fields: &mut impl Fields);
}

impl<'a> Field<'a> for &'a str {
    fn read(text: Option<&'a str>, name: &'static str) -> Result<Self, HeaderError> {
        text.ok_or(HeaderError::Missing(name))
    }

    fn write(&self, name: &'static str, fields: &mut impl Fields) {
        fields.add(name, self);
    }
}

fn parse<T: std::str::FromStr>(
    text: Option<&str>,
    field: &'static str,
    expected: &'static str,
) -> Result<T, HeaderError> {
    let text = text.ok_or(HeaderError::Missing(field))?;
    text.parse().map_err(|_| HeaderError::Invalid { field, value: excerpt(text), expected })
}

/// At most 64 characters of a value that is quoted in an error.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

macro_rules! integer_field {
    ($($type:ty: $expected:literal),*) => {$(
        impl<'a> Field<'a> for $type {
            fn read(text: Option<&'a str>, name: &'static str) -> Result<Self, HeaderError> {
                parse(text, name, $expected)
            }

            fn write(&self, name: &'static str, fields: &mut impl Fields) {
                fields.add(name, itoa::Buffer::new().format(*self));
            }
        }
    )*};
}

integer_field!(i32: "a 32-bit integer", i64: "a 64-bit integer");

impl<'a> Field<'a> for bool {
    fn read(text: Option<&'a str>, name: &'static str) -> Result<Self, HeaderError> {
        let text = text.ok_or(HeaderError::Missing(name))?;
        // Java's Boolean.parseBoolean: whatever is not "true" is false.
        Ok(text.eq_ignore_ascii_case("true"))
    }

    fn write(&self, name: &'static str, fields: &mut impl Fields) {
        fields.add(name, if *self { "true" } else { "false" });
    }
}

impl<'a, T: Field<'a>> Field<'a> for Option<T> {
    fn read(text: Option<&'a str>, name: &'static str) -> Result<Self, HeaderError> {
        match text {
            None | Some("") => Ok(None),
            present => T::read(present, name).map(Some),
        }
    }

    fn write(&self, name: &'static str, fields: &mut impl Fields) {
        if let Some(value) = self {
            value.write(name, fields);
        }
    }
}

/// Declares a header: `header! { /// doc  pub struct Name<'a> { topic: &'a str = "topic", … } }`.
///
/// The string after `=` is the name on the wire; a field of type `Option` may be absent.
macro_rules! header {
    ($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? {
        $($(#[$fdoc:meta])* $field:ident: $type:ty = $wire:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, reason = "fields are named as on the wire")]
        pub struct $name $(<$life>)? { $($(#[$fdoc])* pub $field: $type,)* }

        impl<'a> $crate::Header<'a> for $name $(<$life>)? {
            fn read(ext: &'a $crate::ExtFields) -> Result<Self, $crate::HeaderError> {
                let [$($field,)*] = ext.pick(&[$($wire,)*]);
                Ok($name { $($field: $crate::header::Field::read($field, $wire)?,)* })
            }

            fn write(&self, fields: &mut impl $crate::header::Fields) {
                $($crate::header::Field::write(&self.$field, $wire, fields);)*
            }
        }
    };
}
pub(crate) use header;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_bad_fields_are_named() {
        let mut ext = ExtFields::default();
        ext.push("topic", "T");
        assert_eq!(QueueRequest::read(&ext), Err(HeaderError::Missing("queueId")));
        ext.push("queueId", "three");
        let error = QueueRequest::read(&ext).unwrap_err();
        assert_eq!(error.to_string(), "header field 'queueId' is 'three', which is not a 32-bit integer");
        ext.push("queueId", "3");
        assert_eq!(QueueRequest::read(&ext), Ok(QueueRequest { topic: "T", queue_id: 3 }));
    }
}
