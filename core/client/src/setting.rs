//! The machinery of settings: one declaration per setting, from which parsing, checks, hints and docs follow.

use std::time::Duration;

use mq_protocol::Language;

use crate::{Error, ErrorCode};

/// The objects that settings belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// [`crate::ClientConfig`].
    Client,
    /// [`crate::ProducerConfig`].
    Producer,
    /// [`crate::PushConsumerConfig`].
    PushConsumer,
    /// [`crate::PullConsumerConfig`].
    PullConsumer,
}

impl Scope {
    /// The name in messages and docs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::Client => "client",
            Scope::Producer => "producer",
            Scope::PushConsumer => "push_consumer",
            Scope::PullConsumer => "pull_consumer",
        }
    }
}

/// How a setting's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `host:port`, several joined by `;`.
    Addresses,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// Whole numbers joined by commas.
    Integers,
    /// A time such as `3s` or `500ms`; a bare number counts milliseconds.
    Millis,
    /// A time such as `15m` or `90s`; a bare number counts minutes.
    Minutes,
    /// One of a few words.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What a value must look like, for docs and messages.
    #[must_use]
    pub fn expects(self) -> String {
        match self {
            Kind::Text => "a text".to_owned(),
            Kind::Addresses => "host:port, several joined by ';'".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Integer => "a whole number".to_owned(),
            Kind::Integers => "whole numbers joined by commas".to_owned(),
            Kind::Millis => "a duration such as 3s or 500ms (a bare number counts milliseconds)".to_owned(),
            Kind::Minutes => "a duration such as 15m or 90s (a bare number counts minutes)".to_owned(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

/// One setting, as the docs show it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Name in snake case.
    pub name: &'static str,
    /// Name in Apache's Java client, accepted as well.
    pub alias: Option<&'static str>,
    /// How its text is read.
    pub kind: Kind,
    /// Default as text; empty if there is none.
    pub default: String,
    /// Smallest and largest value; milliseconds for durations.
    pub limits: Option<(i64, i64)>,
    /// The object it belongs to.
    pub scope: Scope,
    /// What it does.
    pub doc: &'static str,
}

/// A Rust type that a setting can have.
pub(crate) trait Value: Sized {
    /// How its text is read unless the setting says otherwise.
    const KIND: Kind;

    /// Reads the text; `None` if it is not of the kind.
    fn parse(text: &str, kind: Kind) -> Option<Self>;

    /// The text that parses to this value.
    fn show(&self) -> String;

    /// What limits apply to.
    fn measure(&self) -> Option<i64> {
        None
    }
}

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str, _: Kind) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for bool {
    const KIND: Kind = Kind::Bool;

    fn parse(text: &str, _: Kind) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! integer_value {
    ($($type:ty),*) => {$(
        impl Value for $type {
            const KIND: Kind = Kind::Integer;

            fn parse(text: &str, _: Kind) -> Option<Self> {
                text.replace('_', "").parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn measure(&self) -> Option<i64> {
                Some(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }
    )*};
}

integer_value!(i32, u32, i64, usize);

impl Value for Duration {
    const KIND: Kind = Kind::Millis;

    fn parse(text: &str, kind: Kind) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let millis = match (unit.trim(), kind) {
            ("", Kind::Minutes) | ("m" | "min", _) => number.checked_mul(60_000)?,
            ("" | "ms", _) => number,
            ("s", _) => number.checked_mul(1000)?,
            ("h", _) => number.checked_mul(3_600_000)?,
            _ => return None,
        };
        Some(Duration::from_millis(millis))
    }

    fn show(&self) -> String {
        let millis = self.as_millis();
        match millis {
            0 => "0".to_owned(),
            m if m % 60_000 == 0 => format!("{}m", m / 60_000),
            m if m % 1000 == 0 => format!("{}s", m / 1000),
            m => format!("{m}ms"),
        }
    }

    fn measure(&self) -> Option<i64> {
        Some(i64::try_from(self.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Value for Vec<String> {
    const KIND: Kind = Kind::Addresses;

    fn parse(text: &str, _: Kind) -> Option<Self> {
        crate::remoting::parse_addresses(text).ok()
    }

    fn show(&self) -> String {
        self.join(";")
    }
}

impl Value for Vec<i32> {
    const KIND: Kind = Kind::Integers;

    fn parse(text: &str, _: Kind) -> Option<Self> {
        text.split([',', ' ']).filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
    }

    fn show(&self) -> String {
        self.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Value for Language {
    const KIND: Kind = Kind::Text;

    fn parse(text: &str, _: Kind) -> Option<Self> {
        let language = Language::from_name(&text.to_ascii_uppercase());
        (language != Language::OTHER || text.eq_ignore_ascii_case("OTHER")).then_some(language)
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

/// Declares an enum whose values are words of a setting; other spellings after `|` are accepted too.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal $(| $other:literal)*,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $crate::setting::Value for $name {
            const KIND: $crate::setting::Kind = $crate::setting::Kind::Choice(&[$($word,)*]);

            fn parse(text: &str, _: $crate::setting::Kind) -> Option<Self> {
                $(if text.eq_ignore_ascii_case($word) $(|| text.eq_ignore_ascii_case($other))* {
                    return Some($name::$variant);
                })*
                None
            }

            fn show(&self) -> String {
                match self { $($name::$variant => $word,)* }.to_owned()
            }
        }
    };
}
pub(crate) use choice;

/// Declares the settings of one object: the struct, its defaults, `set`, `check` and its part of the table.
macro_rules! declare {
    (
        $(#[$doc:meta])* $name:ident: $scope:ident {
            $(#[doc = $text:literal] $field:ident: $type:ty $(as $kind:ident)? $([$min:literal, $max:literal])?
                = $default:expr $(, $alias:literal)?;)*
        }
        $(plus { $($(#[$edoc:meta])* $extra:ident: $etype:ty,)* })?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(#[doc = $text] pub $field: $type,)*
            $($($(#[$edoc])* pub $extra: $etype,)*)?
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* $($($extra: Default::default(),)*)? }
            }
        }

        impl $name {
            /// Sets the setting of this name (or Java name) from a text.
            ///
            /// # Errors
            /// `CONFIG`: the name is not known (the message names the nearest one), or the value is not
            /// acceptable.
            pub fn set(&mut self, key: &str, value: &str) -> Result<(), $crate::Error> {
                match key {
                    $(stringify!($field) $(| $alias)? => {
                        self.$field = $crate::setting::read(key, value, Self::kind_of_field(stringify!($field)),
                            $crate::setting::limits!($($min, $max)?))?;
                    })*
                    _ => return Err($crate::setting::unknown(key, $crate::setting::Scope::$scope)),
                }
                Ok(())
            }

            /// Compares all values with their limits.
            ///
            /// # Errors
            /// `CONFIG`: names the first setting that is outside its limits.
            pub fn check_limits(&self) -> Result<(), $crate::Error> {
                $($crate::setting::check_limits(stringify!($field), &self.$field,
                    $crate::setting::limits!($($min, $max)?))?;)*
                Ok(())
            }

            /// All settings as text, each under its Java name if it has one.
            #[allow(dead_code, reason = "not every object shows its settings")]
            pub(crate) fn values(&self) -> impl Iterator<Item = (&'static str, String)> {
                [$(($crate::setting::alias!($($alias)?).unwrap_or(stringify!($field)),
                    $crate::setting::Value::show(&self.$field)),)*].into_iter()
            }

            fn kind_of_field(field: &str) -> $crate::setting::Kind {
                match field {
                    $(stringify!($field) => $crate::setting::kind!($type $(, $kind)?),)*
                    _ => $crate::setting::Kind::Text,
                }
            }

            /// The table's part for this object.
            pub(crate) fn table(out: &mut Vec<$crate::setting::Setting>) {
                let defaults = Self::default();
                $(out.push($crate::setting::Setting {
                    name: stringify!($field),
                    alias: $crate::setting::alias!($($alias)?),
                    kind: $crate::setting::kind!($type $(, $kind)?),
                    default: $crate::setting::Value::show(&defaults.$field),
                    limits: $crate::setting::limits!($($min, $max)?),
                    scope: $crate::setting::Scope::$scope,
                    doc: $text.trim_ascii(),
                });)*
            }
        }
    };
}
pub(crate) use declare;

macro_rules! limits {
    () => {
        None
    };
    ($min:literal, $max:literal) => {
        Some(($min, $max))
    };
}
pub(crate) use limits;

macro_rules! alias {
    () => {
        None
    };
    ($alias:literal) => {
        Some($alias)
    };
}
pub(crate) use alias;

macro_rules! kind {
    ($type:ty) => {
        <$type as $crate::setting::Value>::KIND
    };
    ($type:ty, $kind:ident) => {
        $crate::setting::Kind::$kind
    };
}
pub(crate) use kind;

/// All settings of all objects.
#[must_use]
pub fn settings() -> &'static [Setting] {
    static TABLE: std::sync::LazyLock<Vec<Setting>> = std::sync::LazyLock::new(|| {
        let mut table = Vec::new();
        crate::ClientConfig::table(&mut table);
        crate::ProducerConfig::table(&mut table);
        crate::PushConsumerConfig::table(&mut table);
        crate::PullConsumerConfig::table(&mut table);
        table
    });
    &TABLE
}

pub(crate) fn read<T: Value>(
    key: &str,
    text: &str,
    kind: Kind,
    limits: Option<(i64, i64)>,
) -> Result<T, Error> {
    let text = text.trim();
    let value = T::parse(text, kind).ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        Error::new(
            ErrorCode::Config,
            format!("setting '{key}' is '{shown}', which is not {}", kind.expects()),
        )
    })?;
    check_limits(key, &value, limits)?;
    Ok(value)
}

pub(crate) fn check_limits<T: Value>(key: &str, value: &T, limits: Option<(i64, i64)>) -> Result<(), Error> {
    let (Some((min, max)), Some(measure)) = (limits, value.measure()) else { return Ok(()) };
    if (min..=max).contains(&measure) {
        return Ok(());
    }
    let show = |limit: i64| match T::KIND {
        Kind::Millis => Duration::from_millis(u64::try_from(limit).unwrap_or(0)).show(),
        _ => limit.to_string(),
    };
    Err(Error::new(
        ErrorCode::Config,
        format!("setting '{key}' is {}; it must be from {} to {}", value.show(), show(min), show(max)),
    ))
}

/// The error for a name that this object does not have, with the nearest one that it has.
pub(crate) fn unknown(key: &str, scope: Scope) -> Error {
    let names = |setting: &'static Setting| std::iter::once(setting.name).chain(setting.alias);
    if let Some(other) = settings().iter().find(|setting| names(setting).any(|name| name == key)) {
        return Error::new(
            ErrorCode::Config,
            format!(
                "setting '{key}' belongs to the {}, not to the {}; give it there",
                other.scope.name(),
                scope.name()
            ),
        );
    }
    let shown: String = key.chars().take(80).collect();
    let plain = |text: &str| text.replace(['_', '-', '.'], "").to_ascii_lowercase();
    let wanted = plain(&shown);
    let nearest = settings()
        .iter()
        .filter(|setting| setting.scope == scope)
        .flat_map(names)
        .map(|name| (strsim::normalized_damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((_, name)) => format!("did you mean '{name}'?"),
        None => "see the list of settings".to_owned(),
    };
    Error::new(ErrorCode::Config, format!("'{shown}' is not a setting of the {}; {hint}", scope.name()))
}
