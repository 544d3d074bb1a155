//! Settings under Apache's own names: one table from which reading, checking, showing and the docs follow.

use std::collections::BTreeMap;
use std::fmt;

mod broker;
mod namesrv;
mod properties;
mod value;

pub use broker::BrokerConfig;
pub use namesrv::NameServerConfig;
pub use value::{Addresses, BrokerRole, Delays, FlushDiskType, Hours};

pub(crate) use properties::write as write_properties;
pub(crate) use value::Value;

/// When a changed setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesEffect {
    /// At once, also when an admin tool changes it while the broker runs.
    Live,
    /// At the next start only.
    AtStart,
}

/// One row of a settings table.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name, as in `broker.conf`.
    pub key: &'static str,
    /// What kind of value it takes.
    pub expected: &'static str,
    /// The default as text.
    pub default: fn() -> String,
    /// What it does.
    pub doc: &'static str,
    /// When a change takes effect.
    pub takes_effect: TakesEffect,
}

/// A key that no setting has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// The key as it was written.
    pub key: String,
    /// The setting whose name is nearest, if one is near.
    pub nearest: Option<&'static str>,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "setting '{}' is not known", self.key)?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean '{nearest}'?"),
            None => f.write_str(" to this broker"),
        }
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No setting has this key.
    #[error("{0}")]
    Unknown(UnknownKey),
    /// The value does not fit its setting.
    #[error("setting '{key}' has the value '{value}'; it takes {expected}")]
    Value {
        /// The setting.
        key: &'static str,
        /// The value as it was written.
        value: String,
        /// What the setting takes.
        expected: String,
    },
    /// A line that is no `key=value`.
    #[error("line {line} of the settings, '{text}', is not of the form key=value")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// The key of `table` that is nearest to `key`, if it is near enough to be a slip of the finger.
fn nearest(table: &'static [Setting], key: &str) -> Option<&'static str> {
    let lower = key.to_lowercase();
    table
        .iter()
        .map(|setting| (strsim::jaro_winkler(&setting.key.to_lowercase(), &lower), setting.key))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.87)
        .map(|(_, key)| key)
}

/// Declares a settings struct and its table. A row is
/// `/// doc` `field: type = default, "key", TakesEffect [, allowed range];`
macro_rules! settings {
    ($(#[$meta:meta])* $name:ident {
        $(#[doc = $doc:literal] $(#[doc = $more:literal])*
          $field:ident: $type:ty = $default:expr, $key:literal, $when:ident $(, $range:expr)?;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(#[doc = $doc] $(#[doc = $more])* #[doc = concat!("\n\nKey: `", $key, "`.")] pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            /// All settings.
            pub const TABLE: &'static [$crate::config::Setting] = &[$($crate::config::Setting {
                key: $key,
                expected: <$type as $crate::config::Value>::EXPECTED,
                default: || $crate::config::Value::show(&$name::default().$field),
                doc: concat!($doc, $($more,)*),
                takes_effect: $crate::config::TakesEffect::$when,
            },)*];

            /// Sets one setting from text.
            ///
            /// # Errors
            /// The key is unknown (the error names the nearest one) or the value does not fit.
            pub fn set(&mut self, key: &str, value: &str) -> Result<(), $crate::config::ConfigError> {
                match key {
                    $($key => {
                        self.$field = $crate::config::value::checked(
                            $key, value, settings!(@range $($range)?),
                        )?;
                        Ok(())
                    })*
                    _ => Err($crate::config::ConfigError::Unknown($crate::config::UnknownKey {
                        key: key.to_owned(),
                        nearest: $crate::config::nearest(Self::TABLE, key),
                    })),
                }
            }

            /// All settings as text, by key.
            #[must_use]
            pub fn to_map(&self) -> std::collections::BTreeMap<&'static str, String> {
                [$(($key, $crate::config::Value::show(&self.$field)),)*].into_iter().collect()
            }

            /// Reads Java properties text such as a `broker.conf`.
            ///
            /// Keys that are not known come back for a warning; the last of several equal keys counts.
            ///
            /// # Errors
            /// A line is no `key=value`, or a value does not fit its setting.
            pub fn from_properties(
                text: &str,
            ) -> Result<($name, Vec<$crate::config::UnknownKey>), $crate::config::ConfigError> {
                let mut config = $name::default();
                let unknown = config.update(text)?;
                Ok((config, unknown))
            }

            /// Changes the settings that Java properties text names.
            ///
            /// # Errors
            /// As [`Self::from_properties`]; some settings may have been changed already.
            pub fn update(
                &mut self,
                text: &str,
            ) -> Result<Vec<$crate::config::UnknownKey>, $crate::config::ConfigError> {
                let mut unknown = Vec::new();
                for (key, value) in $crate::config::properties::read(text)? {
                    match self.set(&key, &value) {
                        Err($crate::config::ConfigError::Unknown(key)) => unknown.push(key),
                        other => other?,
                    }
                }
                Ok(unknown)
            }
        }
    };
    (@range) => { None };
    (@range $range:expr) => { Some($range) };
}
pub(crate) use settings;

/// Checks a change that an admin tool asks for while the server runs; the error is a text for people.
pub(crate) fn only_live_changes(
    table: &'static [Setting],
    old: &BTreeMap<&'static str, String>,
    new: &BTreeMap<&'static str, String>,
    unknown: &[UnknownKey],
) -> Result<(), String> {
    let fixed: Vec<&str> = table
        .iter()
        .filter(|setting| setting.takes_effect == TakesEffect::AtStart)
        .map(|setting| setting.key)
        .filter(|key| old.get(key) != new.get(key))
        .collect();
    if !fixed.is_empty() {
        return Err(format!("nothing was changed: {} can only be set at the start", fixed.join(", ")));
    }
    match unknown {
        [] => Ok(()),
        unknown => {
            let told: Vec<String> = unknown.iter().map(ToString::to_string).collect();
            Err(format!("nothing was changed: {}", told.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apaches_broker_conf_is_read() {
        let text = "brokerClusterName = C1\nbrokerName=b\\u002d1\n# comment\n! too\n\ndeleteWhen = 04\n\
            flushDiskType : SYNC_FLUSH\nlistenPort 0\nfileReservedTime=48\nautoCreatTopicEnable=false\nxyz=1\n";
        let (config, unknown) = BrokerConfig::from_properties(text).unwrap();
        assert_eq!(config.broker_cluster_name, "C1");
        assert_eq!(config.broker_name, "b-1");
        assert_eq!(config.flush_disk_type, FlushDiskType::Sync);
        assert_eq!(config.listen_port, 0);
        assert_eq!(config.file_reserved_time, 48);
        let told: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "setting 'autoCreatTopicEnable' is not known; did you mean 'autoCreateTopicEnable'?",
                "setting 'xyz' is not known to this broker"
            ]
        );
    }

    #[test]
    fn bad_values_name_key_value_and_what_is_expected() {
        let mut config = BrokerConfig::default();
        for (key, value, part) in [
            ("listenPort", "70000", "a whole number from 0 to 65535"),
            ("listenPort", "ten", "a whole number"),
            ("autoCreateTopicEnable", "yes", "true or false"),
            ("flushDiskType", "SYNC", "SYNC_FLUSH or ASYNC_FLUSH"),
            ("defaultTopicQueueNums", "0", "from 1 to"),
            ("messageDelayLevel", "1s 5x", "delays"),
        ] {
            let error = config.set(key, value).unwrap_err().to_string();
            assert!(error.contains(&format!("'{key}' has the value '{value}'")), "{error}");
            assert!(error.contains(part), "{error}");
        }
        assert!(matches!(
            BrokerConfig::from_properties("listenPort=abc"),
            Err(ConfigError::Value { key: "listenPort", .. })
        ));
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        let config = BrokerConfig { broker_name: "a b\tc=ü".into(), ..BrokerConfig::default() };
        let text = write_properties(&config.to_map());
        let (back, unknown) = BrokerConfig::from_properties(&text).unwrap();
        assert_eq!((back, unknown), (config, Vec::new()));
    }

    #[test]
    fn every_default_is_within_its_own_range() {
        for setting in BrokerConfig::TABLE {
            BrokerConfig::default().set(setting.key, &(setting.default)()).unwrap();
        }
        for setting in NameServerConfig::TABLE {
            NameServerConfig::default().set(setting.key, &(setting.default)()).unwrap();
        }
    }
}
