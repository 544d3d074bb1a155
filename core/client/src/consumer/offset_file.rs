//! The offsets of a broadcasting consumer, in the file that Java's client keeps (`LocalFileOffsetStore`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mq_protocol::body::{MessageQueue, ResetOffsetBody};
use mq_protocol::fastjson;
use parking_lot::Mutex;

use crate::{Error, ErrorCode};

const FILE: &str = "offsets.json";

/// `DIR/CLIENT/GROUP/offsets.json`, with the version before in `offsets.json.bak`.
pub(crate) struct OffsetFile {
    path: PathBuf,
    /// What is in the file.
    table: Mutex<BTreeMap<MessageQueue, i64>>,
    /// Held while the file is written.
    writing: Mutex<()>,
    /// Keeps other consumers from the file, in this process and in others.
    lock: Mutex<Option<fs::File>>,
}

impl OffsetFile {
    /// Reads the file if there is one; makes the directories otherwise.
    ///
    /// # Errors
    /// `CONFIG`: the directory cannot be made, or the file cannot be read. `STATE`: another consumer has it.
    pub(crate) fn open(dir: &Path, client_id: &str, group: &str) -> Result<OffsetFile, Error> {
        let folder = dir.join(client_id).join(group);
        fs::create_dir_all(&folder).map_err(|error| {
            Error::new(
                ErrorCode::Config,
                format!(
                    "setting 'offset_dir' is '{}', where '{}' cannot be made: {error}; name a directory that can be written",
                    dir.display(),
                    folder.display()
                ),
            )
        })?;
        let path = folder.join(FILE);
        let lock = Mutex::new(Some(lock(&path.with_extension("json.lock"), client_id)?));
        let table = read(&path)?;
        Ok(OffsetFile { path, table: Mutex::new(table), writing: Mutex::new(()), lock })
    }

    /// Lets other consumers have the file; nothing may be kept after this.
    pub(crate) fn release(&self) {
        self.lock.lock().take();
    }

    pub(crate) fn get(&self, queue: &MessageQueue) -> Option<i64> {
        self.table.lock().get(queue).copied()
    }

    /// Puts offsets into the file; those of other queues stay.
    pub(crate) async fn keep(self: Arc<Self>, offsets: Vec<(MessageQueue, i64)>) -> Result<(), Error> {
        let write = tokio::task::spawn_blocking(move || {
            let _turn = self.writing.lock();
            let mut table = self.table.lock().clone();
            table.extend(offsets);
            if table == *self.table.lock() {
                return Ok(());
            }
            replace(&self.path, &show(&table)?).map_err(|error| {
                Error::new(
                    ErrorCode::Internal,
                    format!("'{}' cannot be written: {error}; see to space and rights", self.path.display()),
                )
            })?;
            *self.table.lock() = table;
            Ok(())
        });
        write.await.map_err(|error| {
            Error::new(ErrorCode::Internal, format!("writing offsets ended early: {error}"))
        })?
    }
}

/// Two consumers with one file would undo each other's offsets.
fn lock(path: &Path, client_id: &str) -> Result<fs::File, Error> {
    let open = || fs::File::options().create(true).append(true).open(path);
    let file = open().map_err(|error| {
        Error::new(
            ErrorCode::Config,
            format!("'{}' cannot be made: {error}; name an offset_dir that can be written", path.display()),
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::new(
            ErrorCode::State,
            format!(
                "'{}' is in use by another consumer of the group that is '{client_id}' too; give each client an instance_name of its own",
                path.display()
            ),
        )),
        // A file system without locks: the user has been told to keep the names apart.
        Err(fs::TryLockError::Error(error)) => {
            tracing::debug!(file = %path.display(), %error, "not locked");
            Ok(file)
        }
    }
}

/// The file, or if it cannot be read the version before; empty if there is neither.
fn read(path: &Path) -> Result<BTreeMap<MessageQueue, i64>, Error> {
    let mut trouble = None;
    for path in [path.to_owned(), backup(path)] {
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                trouble.get_or_insert(format!("'{}': {error}", path.display()));
                continue;
            }
        };
        match fastjson::from_slice::<ResetOffsetBody>(&text) {
            Ok(body) => return Ok(body.offset_table),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "offsets cannot be read");
                trouble.get_or_insert(format!("'{}': {error}", path.display()));
            }
        }
    }
    match trouble {
        None => Ok(BTreeMap::new()),
        Some(trouble) => Err(Error::new(
            ErrorCode::Config,
            format!(
                "the offsets cannot be read from {trouble}; restore the file, or delete it to begin anew"
            ),
        )),
    }
}

fn backup(path: &Path) -> PathBuf {
    path.with_extension("json.bak")
}

/// At any moment the file or its backup is whole, even after a crash of the machine.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("json.tmp");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    match fs::rename(path, backup(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&fresh, path)
}

/// The text as the Java client 5.5.0 writes it.
fn show(table: &BTreeMap<MessageQueue, i64>) -> Result<String, Error> {
    let json = |text: &str| {
        serde_json::to_string(text)
            .map_err(|error| Error::new(ErrorCode::Internal, format!("writing JSON: {error}")))
    };
    let mut text = String::from("{\n\t\"offsetTable\":{");
    for (index, (queue, offset)) in table.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (broker, topic, number) = (json(&queue.broker_name)?, json(&queue.topic)?, queue.queue_id);
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "{comma}\n\t\t{{\n\t\t\t\"brokerName\":{broker},\n\t\t\t\"queueId\":{number},\n\t\t\t\"topic\":{topic}\n\t\t}}:{offset}"
        );
    }
    text.push_str(if table.is_empty() { "}\n}" } else { "\n\t}\n}" });
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const JAVA_55: &str = include_str!("../../../../tests/vectors/offsets/java-5.5.0.json");
    const JAVA_49: &str = include_str!("../../../../tests/vectors/offsets/java-4.9.7.json");

    fn queue(topic: &str, broker: &str, queue_id: i32) -> MessageQueue {
        MessageQueue { topic: topic.into(), broker_name: broker.into(), queue_id }
    }

    fn sample() -> Vec<(MessageQueue, i64)> {
        vec![(queue("T\"é", "b", 11), 1_234_567_890_123), (queue("T-1", "broker-a", 0), 5)]
    }

    #[tokio::test]
    async fn files_of_java_are_read_and_ours_are_theirs() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("5.5", JAVA_55), ("4.9", JAVA_49)] {
            let folder = dir.path().join(name).join("G");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(FILE), text).unwrap();
            let file = OffsetFile::open(dir.path(), name, "G").unwrap();
            assert_eq!(*file.table.lock(), sample().into_iter().collect());
        }
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
            lines.sort();
            lines
        };
        let ours = show(&sample().into_iter().collect()).unwrap();
        assert_eq!(sorted(&ours), sorted(JAVA_55), "only the order of the queues may differ");
    }

    #[tokio::test]
    async fn offsets_outlive_the_process_and_a_broken_file() {
        let dir = tempfile::tempdir().unwrap();
        let open = || OffsetFile::open(dir.path(), "1.2.3.4@DEFAULT", "G");
        let file = Arc::new(open().unwrap());
        assert_eq!(file.get(&queue("T-1", "broker-a", 0)), None);
        file.clone().keep(sample()).await.unwrap();
        file.clone().keep(vec![(queue("T-1", "broker-a", 0), 6)]).await.unwrap();
        let refused = open().err().unwrap();
        assert_eq!(refused.code(), ErrorCode::State);
        assert!(
            refused.to_string().contains("'1.2.3.4@DEFAULT' too; give each client an instance_name"),
            "{refused}"
        );
        file.release();
        let again = open().unwrap();
        assert_eq!(again.get(&queue("T-1", "broker-a", 0)), Some(6));
        assert_eq!(again.get(&queue("T\"é", "b", 11)), Some(1_234_567_890_123));
        drop(again);
        // The version before takes the place of a file that was cut off, and of one that is away.
        fs::write(&file.path, "{\"offsetTable\":{{").unwrap();
        assert_eq!(open().unwrap().get(&queue("T-1", "broker-a", 0)), Some(5));
        fs::remove_file(&file.path).unwrap();
        assert_eq!(open().unwrap().get(&queue("T-1", "broker-a", 0)), Some(5));
        // What cannot be read at all is not taken for a new beginning.
        fs::write(&file.path, "").unwrap();
        fs::write(backup(&file.path), "nonsense").unwrap();
        let error = open().err().unwrap();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(error.to_string().contains("delete it to begin anew"), "{error}");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("file");
        fs::write(&taken, "x").unwrap();
        let error = OffsetFile::open(&taken, "c", "G").err().unwrap();
        assert!(error.to_string().contains("'offset_dir'"), "{error}");
    }
}
