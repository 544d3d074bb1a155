//! Key-value settings by namespace, kept in a file (`KVConfigManager`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mq_protocol::fastjson;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Namespace of the order settings of topics.
pub(crate) const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

type Table = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    config_table: Table,
}

/// The settings. One lock, also held while the file is written so that files keep the order of changes.
#[derive(Debug)]
pub(crate) struct KvConfig {
    content: Mutex<Content>,
    file: Option<PathBuf>,
}

impl KvConfig {
    /// Settings from `file`, or an empty table in memory.
    pub(crate) fn load(file: Option<PathBuf>) -> io::Result<KvConfig> {
        let text = match file.as_deref().map(fs::read).transpose() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            text => text?,
        };
        let content = match text.filter(|text| !text.is_empty()) {
            Some(text) => fastjson::from_slice(&text).map_err(io::Error::other)?,
            None => Content::default(),
        };
        Ok(KvConfig { content: Mutex::new(content), file })
    }

    pub(crate) fn get(&self, namespace: &str, key: &str) -> Option<String> {
        self.content.lock().config_table.get(namespace)?.get(key).cloned()
    }

    pub(crate) fn namespace(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        self.content.lock().config_table.get(namespace).cloned()
    }

    pub(crate) fn put(&self, namespace: &str, key: &str, value: &str) -> io::Result<()> {
        let mut content = self.content.lock();
        let entries = content.config_table.entry(namespace.to_owned()).or_default();
        entries.insert(key.to_owned(), value.to_owned());
        self.save(&content)
    }

    pub(crate) fn delete(&self, namespace: &str, key: &str) -> io::Result<()> {
        let mut content = self.content.lock();
        if let Some(entries) = content.config_table.get_mut(namespace) {
            entries.remove(key);
        }
        self.save(&content)
    }

    fn save(&self, content: &Content) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        write_whole(file, &serde_json::to_vec(content)?)
    }
}

/// Replaces a file so that a crash leaves the old or the new content.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = path.with_extension("new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_in_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("namesrv/kvConfig.json");
        let kv = KvConfig::load(Some(file.clone())).unwrap();
        kv.put("ns", "k", "v").unwrap();
        kv.put("ns", "gone", "v").unwrap();
        kv.delete("ns", "gone").unwrap();
        let kv = KvConfig::load(Some(file)).unwrap();
        assert_eq!(kv.get("ns", "k").as_deref(), Some("v"));
        assert_eq!(kv.get("ns", "gone"), None);
        assert_eq!(kv.namespace("other"), None);
    }
}
