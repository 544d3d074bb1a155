//! A table that survives in one of the store's config files.

use mq_protocol::fastjson;
use mq_store::ConfigFile;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::blocking;
use crate::error::BrokerError;
use crate::server::Refusal;

/// The file of a table; writes follow each other, so the last one holds the newest content.
#[derive(Debug)]
pub(crate) struct SavedFile {
    name: &'static str,
    file: Mutex<ConfigFile>,
}

impl SavedFile {
    pub(crate) fn new(name: &'static str, file: ConfigFile) -> SavedFile {
        SavedFile { name, file: Mutex::new(file) }
    }

    /// The content, or the type's default if there is no file.
    pub(crate) fn load<T: DeserializeOwned + Default>(&self) -> Result<T, BrokerError> {
        Ok(self.file.lock().load_json()?.unwrap_or_default())
    }

    /// Writes what `content` gives, asked while no other write is under way.
    pub(crate) fn save<T: Serialize>(&self, content: impl FnOnce() -> T) -> Result<(), Refusal> {
        blocking(|| {
            let file = self.file.lock();
            let text = fastjson::to_vec(&content())?;
            file.save(&text).map_err(|error| {
                tracing::error!(file = self.name, %error, "settings could not be saved");
                Refusal::system(format!("{} could not be saved: {error}", self.name))
            })
        })
    }
}
