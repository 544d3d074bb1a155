//! Reading values as leniently as fastjson does: numbers and booleans in quotes, enums by number, `null` for the default.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

/// `null` and absence both mean the type's default; Go sends `null` for empty sets.
pub(super) fn null_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A number that may stand in quotes, as C++ and Go write some.
pub(super) fn number<'de, D: Deserializer<'de>, T: FromStr + TryFrom<i64> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Scalar).and_then(|scalar| scalar.number())
}

/// A list of such numbers.
pub(super) fn numbers<'de, D: Deserializer<'de>, T: FromStr + TryFrom<i64> + Default>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(Numbers(PhantomData))
}

/// A boolean that may stand in quotes.
pub(super) fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match deserializer.deserialize_any(Scalar)? {
        ScalarValue::Null => false,
        ScalarValue::Bool(value) => value,
        ScalarValue::Number(value) => value != 0,
        ScalarValue::Text(text) => text.eq_ignore_ascii_case("true"),
    })
}

/// The name of an enum's value, which C++ writes as its number.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D, names: &[&str]) -> Result<String, D::Error> {
    Ok(match deserializer.deserialize_any(Scalar)? {
        ScalarValue::Text(text) => text,
        ScalarValue::Number(value) => {
            usize::try_from(value).ok().and_then(|at| names.get(at)).copied().unwrap_or_default().to_owned()
        }
        ScalarValue::Null | ScalarValue::Bool(_) => String::new(),
    })
}

enum ScalarValue {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
}

impl ScalarValue {
    fn number<T: FromStr + TryFrom<i64> + Default, E: de::Error>(self) -> Result<T, E> {
        let bad =
            |text: &dyn fmt::Display| E::custom(format_args!("'{text}' is not a number that fits here"));
        match self {
            ScalarValue::Null => Ok(T::default()),
            ScalarValue::Bool(value) => Err(bad(&value)),
            ScalarValue::Number(value) => T::try_from(value).map_err(|_| bad(&value)),
            ScalarValue::Text(text) if text.is_empty() => Ok(T::default()),
            ScalarValue::Text(text) => {
                text.parse().map_err(|_| bad(&text.chars().take(32).collect::<String>()))
            }
        }
    }
}

struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = ScalarValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a boolean, a text or null")
    }

    fn visit_unit<E>(self) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Number(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ScalarValue, E> {
        i64::try_from(value).map(ScalarValue::Number).map_err(E::custom)
    }

    fn visit_str<E>(self, value: &str) -> Result<ScalarValue, E> {
        Ok(ScalarValue::Text(value.to_owned()))
    }
}

struct OneNumber<T>(T);

impl<'de, T: FromStr + TryFrom<i64> + Default> Deserialize<'de> for OneNumber<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer).map(OneNumber)
    }
}

struct Numbers<T>(PhantomData<T>);

impl<'de, T: FromStr + TryFrom<i64> + Default> Visitor<'de> for Numbers<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers or null")
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(OneNumber(one)) = list.next_element()? {
            all.push(one);
        }
        Ok(all)
    }
}
