//! Kinds of values that a setting can have.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::ConfigError;

/// A type that a setting can have.
pub(crate) trait Value: Sized + PartialOrd {
    /// What the setting takes, for messages.
    const EXPECTED: &'static str;
    fn parse(text: &str) -> Option<Self>;
    fn show(&self) -> String;
}

/// Parses and checks against the allowed range.
pub(crate) fn checked<T: Value>(
    key: &'static str,
    text: &str,
    range: Option<RangeInclusive<T>>,
) -> Result<T, ConfigError> {
    let text = text.trim();
    let value = T::parse(text).filter(|value| range.as_ref().is_none_or(|range| range.contains(value)));
    value.ok_or_else(|| ConfigError::Value {
        key,
        value: text.chars().take(200).collect(),
        expected: match range {
            Some(range) if range.start() == range.end() => format!("nothing but {}", range.start().show()),
            Some(range) => {
                format!("{} from {} to {}", T::EXPECTED, range.start().show(), range.end().show())
            }
            None => T::EXPECTED.to_owned(),
        },
    })
}

macro_rules! integers {
    ($($type:ty: $expected:literal),*) => {$(
        impl Value for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

integers!(
    u16: "a whole number from 0 to 65535",
    u32: "a whole number",
    i32: "a whole number",
    i64: "a whole number",
    u64: "a whole number",
    usize: "a whole number"
);

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Some(true),
            _ if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a text that is not empty";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for IpAddr {
    const EXPECTED: &'static str = "an IP address";

    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

/// When a send is answered: after the disk has it, or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Default)]
pub enum FlushDiskType {
    /// `ASYNC_FLUSH`: what is acknowledged survives the end of the process, not of the machine.
    #[default]
    Async,
    /// `SYNC_FLUSH`: what is acknowledged survives the end of the machine.
    Sync,
}

impl Value for FlushDiskType {
    const EXPECTED: &'static str = "SYNC_FLUSH or ASYNC_FLUSH";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "SYNC_FLUSH" => Some(FlushDiskType::Sync),
            "ASYNC_FLUSH" => Some(FlushDiskType::Async),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            FlushDiskType::Async => "ASYNC_FLUSH".to_owned(),
            FlushDiskType::Sync => "SYNC_FLUSH".to_owned(),
        }
    }
}

/// What a broker is within its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Default)]
pub enum BrokerRole {
    /// `ASYNC_MASTER`
    #[default]
    AsyncMaster,
    /// `SYNC_MASTER`; the same here, as there are no replicas to wait for.
    SyncMaster,
}

impl Value for BrokerRole {
    const EXPECTED: &'static str = "ASYNC_MASTER or SYNC_MASTER; this broker cannot be a SLAVE";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "ASYNC_MASTER" => Some(BrokerRole::AsyncMaster),
            "SYNC_MASTER" => Some(BrokerRole::SyncMaster),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            BrokerRole::AsyncMaster => "ASYNC_MASTER".to_owned(),
            BrokerRole::SyncMaster => "SYNC_MASTER".to_owned(),
        }
    }
}

/// A list of addresses, separated by `;`, each `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Default)]
pub struct Addresses(pub Vec<String>);

impl Value for Addresses {
    const EXPECTED: &'static str = "addresses of the form host:port, separated by ';'";

    fn parse(text: &str) -> Option<Self> {
        let mut all = Vec::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (host, port) = part.rsplit_once(':')?;
            if host.is_empty()
                || host.contains(char::is_whitespace)
                || !port.parse().is_ok_and(|p: u16| p > 0)
            {
                return None;
            }
            all.push(part.to_owned());
        }
        Some(Addresses(all))
    }

    fn show(&self) -> String {
        self.0.join(";")
    }
}

/// Hours of the day, separated by `;`, such as `04` or `04;16`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd)]
pub struct Hours(pub Vec<u32>);

impl Value for Hours {
    const EXPECTED: &'static str = "hours of the day (00 to 23), separated by ';'";

    fn parse(text: &str) -> Option<Self> {
        let hours: Option<Vec<u32>> = text
            .split(';')
            .filter(|part| !part.trim().is_empty())
            .map(|part| part.trim().parse().ok().filter(|hour| *hour < 24))
            .collect();
        hours.filter(|hours| !hours.is_empty()).map(Hours)
    }

    fn show(&self) -> String {
        let hours: Vec<String> = self.0.iter().map(|hour| format!("{hour:02}")).collect();
        hours.join(";")
    }
}

/// Delay levels as `1s 5s 10s 1m 2h 1d`; level 1 is the first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd)]
pub struct Delays(String);

impl Default for Delays {
    fn default() -> Self {
        Delays("1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h".to_owned())
    }
}

impl Delays {
    /// The levels as they were written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Delays {
    const EXPECTED: &'static str = "delays such as '1s 5m 2h 1d', separated by blanks";

    fn parse(text: &str) -> Option<Self> {
        mq_store::DelayLevels::parse(text).ok().map(|_| Delays(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
