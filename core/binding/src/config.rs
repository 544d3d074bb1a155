//! Settings as strings: checked at once against the one table of the client and the broker's own.

use mq_broker::BrokerConfig;
use mq_client::{
    ClientConfig, Error, ErrorCode, ProducerConfig, PullConsumerConfig, PushConsumerConfig, Scope, Setting,
    settings,
};

/// Short names of the embedded broker's settings that users set most, beside Apache's.
const BROKER_NAMES: [(&str, &str); 3] =
    [("data_dir", "storePathRootDir"), ("listen_port", "listenPort"), ("namesrv_port", "namesrvListenPort")];

/// An ordered map of settings for a client, a producer, a consumer or an embedded broker.
///
/// Names are those of [`mq_client::settings`], in snake case or as the Java client has them, and those of Apache's
/// `broker.conf` (also in snake case).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// The same for all names of one setting.
    name: String,
    /// As it was given.
    key: String,
    value: String,
}

impl Config {
    /// No settings: everything has its default.
    #[must_use]
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets `key` to `value`; a later value replaces an earlier one.
    ///
    /// # Errors
    /// CONFIG: no such setting (the message names the nearest one), or the value is not acceptable.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        check(key, value)?;
        let entry = Entry { name: canonical(key), key: key.to_owned(), value: value.to_owned() };
        match self.entries.iter_mut().find(|old| old.name == entry.name) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
        Ok(())
    }

    /// What was set for `key`, or for another name of it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let name = canonical(key);
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value.as_str())
    }

    /// Names and values, in the order in which they were first set.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }

    /// Settings of a client.
    ///
    /// # Errors
    /// CONFIG: a setting is not a client's, or its value is not acceptable.
    pub fn client(&self) -> Result<ClientConfig, Error> {
        self.fill(ClientConfig::default(), ClientConfig::set)
    }

    /// Settings of a producer.
    ///
    /// # Errors
    /// CONFIG: a setting is not a producer's, or its value is not acceptable.
    pub fn producer(&self) -> Result<ProducerConfig, Error> {
        self.fill(ProducerConfig::default(), ProducerConfig::set)
    }

    /// Settings of a push consumer.
    ///
    /// # Errors
    /// CONFIG: a setting is not a push consumer's, or its value is not acceptable.
    pub fn push_consumer(&self) -> Result<PushConsumerConfig, Error> {
        self.fill(PushConsumerConfig::default(), PushConsumerConfig::set)
    }

    /// Settings of a pull consumer.
    ///
    /// # Errors
    /// CONFIG: a setting is not a pull consumer's, or its value is not acceptable.
    pub fn pull_consumer(&self) -> Result<PullConsumerConfig, Error> {
        self.fill(PullConsumerConfig::default(), PullConsumerConfig::set)
    }

    /// Settings of an embedded broker; it takes free ports unless told otherwise.
    ///
    /// # Errors
    /// CONFIG: a setting is not a broker's, or its value is not acceptable.
    pub(crate) fn broker(&self) -> Result<BrokerConfig, Error> {
        let free = BrokerConfig { listen_port: 0, namesrv_listen_port: 0, ..BrokerConfig::default() };
        self.fill(free, set_broker)
    }

    fn fill<T>(
        &self,
        mut config: T,
        set: impl Fn(&mut T, &str, &str) -> Result<(), Error>,
    ) -> Result<T, Error> {
        for (key, value) in self.iter() {
            set(&mut config, key, value)?;
        }
        Ok(config)
    }
}

fn named(key: &str) -> impl Iterator<Item = &'static Setting> {
    settings().iter().filter(move |setting| setting.name == key || setting.alias == Some(key))
}

fn canonical(key: &str) -> String {
    let name = named(key).next().map(|setting| setting.name.to_owned());
    name.unwrap_or_else(|| broker_key(key))
}

/// Checks a setting against every object that has one of this name; one that accepts it is enough.
fn check(key: &str, value: &str) -> Result<(), Error> {
    let mut scopes: Vec<Scope> = named(key).map(|setting| setting.scope).collect();
    scopes.dedup();
    let mut first_error = None;
    for scope in scopes {
        let checked = match scope {
            Scope::Client => ClientConfig::default().set(key, value),
            Scope::Producer => ProducerConfig::default().set(key, value),
            Scope::PushConsumer => PushConsumerConfig::default().set(key, value),
            Scope::PullConsumer => PullConsumerConfig::default().set(key, value),
        };
        match checked {
            Ok(()) => return Ok(()),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match set_broker(&mut BrokerConfig::default(), key, value) {
        Ok(()) => Ok(()),
        Err(error) if is_broker_key(key) => Err(first_error.unwrap_or(error)),
        Err(_) => Err(first_error.unwrap_or_else(|| unknown(key))),
    }
}

/// Apache's name of a broker setting: its own, a short name of ours, or its name in snake case.
fn broker_key(key: &str) -> String {
    if let Some((_, name)) = BROKER_NAMES.iter().find(|(short, _)| *short == key) {
        return (*name).to_owned();
    }
    // Capitals in a name that is not Apache's are a slip, which the hint shows.
    let snake_case = !key.contains(|c: char| c.is_ascii_uppercase());
    let plain = key.replace('_', "");
    let known = BrokerConfig::TABLE
        .iter()
        .find(|setting| setting.key == key || (snake_case && setting.key.eq_ignore_ascii_case(&plain)));
    known.map_or(key, |setting| setting.key).to_owned()
}

fn is_broker_key(key: &str) -> bool {
    let key = broker_key(key);
    BrokerConfig::TABLE.iter().any(|setting| setting.key == key)
}

fn set_broker(config: &mut BrokerConfig, key: &str, value: &str) -> Result<(), Error> {
    if !is_broker_key(key) {
        let hint = match named(key).next() {
            Some(setting) => format!("it belongs to the {}; give it there", setting.scope.name()),
            None => "see the list of settings".to_owned(),
        };
        return Err(config_error(format!("'{key}' is not a setting of the broker; {hint}")));
    }
    config.set(&broker_key(key), value).map_err(|error| config_error(error.to_string()))
}

/// The error for a name that no object has, with the nearest one that some object has.
fn unknown(key: &str) -> Error {
    let shown: String = key.chars().take(80).collect();
    let plain = |text: &str| text.replace(['_', '-', '.'], "").to_ascii_lowercase();
    let wanted = plain(&shown);
    let nearest = settings()
        .iter()
        .flat_map(|setting| std::iter::once(setting.name).chain(setting.alias))
        .chain(BROKER_NAMES.iter().map(|(short, _)| *short))
        .chain(BrokerConfig::TABLE.iter().map(|setting| setting.key))
        .map(|name| (strsim::normalized_damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        // Of equally near names the first one counts.
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    let hint = match nearest {
        Some((_, name)) => format!("did you mean '{name}'?"),
        None => "see the list of settings".to_owned(),
    };
    config_error(format!("'{shown}' is not a setting; {hint}"))
}

fn config_error(message: String) -> Error {
    Error::new(ErrorCode::Config, message)
}
