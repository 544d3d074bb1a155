//! JSON state files beside the log (`ConfigManager`): replaced as a whole, with the state before as `.bak`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mq_protocol::fastjson;
use parking_lot::Mutex;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{IoContext as _, StoreError};
use crate::fs::{FileSystem, OpenMode, create_dir_durably};

/// One file of the `config` directory. Clones save one after another.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    saving: Arc<Mutex<()>>,
}

impl ConfigFile {
    pub(crate) fn new(fs: Arc<dyn FileSystem>, path: PathBuf) -> ConfigFile {
        ConfigFile { fs, path, saving: Arc::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(suffix);
        self.path.with_file_name(name)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.fs.exists(path).context("look for", path)? {
            return Ok(None);
        }
        let file = self.fs.open(path, OpenMode::Read).context("open", path)?;
        let size = file.size().context("look at", path)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_at(&mut bytes, 0).context("read", path)?;
        Ok(Some(bytes))
    }

    /// What the file says, or its `.bak` if it is missing, empty or not readable as `T`; `None` if there is neither.
    ///
    /// Accepts what fastjson writes and accepts, such as unquoted keys. Changes nothing on the disk.
    ///
    /// # Errors
    /// A file cannot be read, or neither file can be parsed.
    pub fn load_json<T: DeserializeOwned>(&self) -> Result<Option<T>, StoreError> {
        self.load_parsed(|bytes| fastjson::from_slice(bytes).map_err(|error| error.to_string()))
    }

    /// The bytes of the file (or of its `.bak`, see [`load_json`](ConfigFile::load_json)), which are JSON as fastjson understands it.
    ///
    /// # Errors
    /// A file cannot be read, or neither file is JSON.
    pub fn load(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.load_parsed(|bytes| {
            fastjson::from_slice::<IgnoredAny>(bytes).map_err(|error| error.to_string())?;
            Ok(bytes.to_vec())
        })
    }

    fn load_parsed<T>(&self, parse: impl Fn(&[u8]) -> Result<T, String>) -> Result<Option<T>, StoreError> {
        let mut wrong = None;
        for path in [self.path.clone(), self.beside(".bak")] {
            match self.read(&path)? {
                None => {}
                Some(bytes) => match parse(&bytes) {
                    Ok(parsed) => {
                        if let Some(what) = wrong {
                            tracing::warn!(path = %self.path.display(), what, "a config file is not readable; its .bak is used");
                        }
                        return Ok(Some(parsed));
                    }
                    Err(what) => {
                        wrong.get_or_insert(what);
                    }
                },
            }
        }
        match wrong {
            None => Ok(None),
            Some(what) => Err(StoreError::ConfigFile { path: self.path.clone(), what }),
        }
    }

    /// Replaces the file; the state before becomes its `.bak`. A crash at any point leaves one of the two states.
    ///
    /// # Errors
    /// The disk refuses; the file is then as it was, or has the new state if only its directory could not be synced.
    pub fn save(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let _one = self.saving.lock();
        let fs = &*self.fs;
        let dir = self.path.parent().unwrap_or(&self.path);
        create_dir_durably(fs, dir).context("create directory", dir)?;
        let new = self.beside(".tmp");
        let file = fs.open(&new, OpenMode::Truncate).context("create", &new)?;
        file.write_at(bytes, 0).context("write", &new)?;
        file.sync().context("sync", &new)?;
        if fs.exists(&self.path).context("look for", &self.path)? {
            // A second name for the old state, so that the file never vanishes; where links are not possible it does for
            // a moment, in which the `.bak` counts.
            let (old, bak) = (self.beside(".bak.tmp"), self.beside(".bak"));
            fs.remove_file(&old).context("remove", &old)?;
            match fs.hard_link(&self.path, &old) {
                Ok(()) => fs.rename(&old, &bak).context("rename to", &bak)?,
                Err(_) => fs.rename(&self.path, &bak).context("rename to", &bak)?,
            }
        }
        fs.rename(&new, &self.path).context("rename to", &self.path)?;
        fs.sync_dir(dir).context("sync directory", dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFileSystem;
    use std::collections::BTreeMap;

    fn file(dir: &Path) -> ConfigFile {
        ConfigFile::new(Arc::new(RealFileSystem), dir.join("config/delayOffset.json"))
    }

    #[test]
    fn the_state_before_is_kept_and_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path());
        assert_eq!(file.load().unwrap(), None);
        file.save(b"{\"offsetTable\":{1:1}}").unwrap();
        file.save(b"{\"offsetTable\":{1:2}}").unwrap();
        let names = |dir: &Path| {
            let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&dir.path().join("config")), ["delayOffset.json", "delayOffset.json.bak"]);
        let load =
            || file.load_json::<BTreeMap<String, BTreeMap<i32, i64>>>().unwrap().unwrap()["offsetTable"][&1];
        assert_eq!(load(), 2);
        std::fs::write(file.path(), b"{\"offsetTable\":{1:").unwrap();
        assert_eq!(load(), 1);
        std::fs::write(file.path(), b"").unwrap();
        assert_eq!(load(), 1);
        std::fs::remove_file(file.path()).unwrap();
        assert_eq!(load(), 1);
        std::fs::write(file.path(), b"[").unwrap();
        std::fs::write(file.path().with_extension("json.bak"), b"nothing").unwrap();
        assert!(file.load().unwrap_err().to_string().contains("delayOffset.json"));
    }

    #[test]
    fn fastjsons_leniency_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path());
        file.save(b"{'dataVersion':{counter:3},\"offsetTable\":{\"T@G\":{0:15,1:9,},},}").unwrap();
        let value: serde_json::Value = file.load_json().unwrap().unwrap();
        assert_eq!(value["offsetTable"]["T@G"]["1"], 9);
        assert_eq!(value["dataVersion"]["counter"], 3);
    }
}
