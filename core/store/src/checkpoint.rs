//! The `checkpoint` file that Apache reads, and our own note beside it that makes recovery short and exact.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::StoreConfig;
use crate::error::{IoContext as _, StoreError};
use crate::fs::{File, FileSystem, OpenMode};
use crate::index::Durable;

/// Size of the checkpoint file.
pub(crate) const SIZE: usize = 4096;
/// First bytes of our note.
const NOTE_MAGIC: [u8; 4] = *b"mqr2";
/// Size of a note.
const NOTE_SIZE: usize = 88;
/// Notes are written to two places in turn, so that the one before stays whole; a disk writes 512 bytes at once.
const NOTE_PLACES: [u64; 2] = [0, 512];

/// `StoreCheckpoint`: up to which store timestamp each part is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Of the newest record whose log bytes are on the disk (`physicMsgTimestamp`).
    pub(crate) log: i64,
    /// Of the newest record whose queue unit is on the disk (`logicsMsgTimestamp`).
    pub(crate) queues: i64,
    /// Of the newest record in the newest finished index file (`indexMsgTimestamp`).
    pub(crate) index: i64,
    /// Replication's; kept as it is.
    pub(crate) master_flushed: i64,
    /// Replication's; kept as it is.
    pub(crate) confirmed: i64,
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let fields = [self.log, self.queues, self.index, self.master_flushed, self.confirmed];
        for (out, field) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
            *out = field.to_be_bytes();
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; SIZE]) -> Checkpoint {
        let field = |n: usize| bytes.as_chunks::<8>().0.get(n).map_or(0, |field| i64::from_be_bytes(*field));
        Checkpoint {
            log: field(0),
            queues: field(1),
            index: field(2),
            master_flushed: field(3),
            confirmed: field(4),
        }
    }

    /// What is older than this is on the disk for certain (`getMinTimestamp`).
    pub(crate) fn safe_timestamp(&self) -> i64 {
        self.log.min(self.queues).saturating_sub(3000).max(0)
    }
}

/// Positions that the checkpoint cannot express. Valid only together with the very checkpoint it was written with:
/// once Apache's broker ran on the directory, the two differ and the note is ignored.
///
/// A note is on the disk before the checkpoint that it belongs to, so there is one for the checkpoint at all times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The log is on the disk up to here; a record ends here.
    pub(crate) flushed: u64,
    /// Queue units of all records before this are on the disk; a record begins here.
    pub(crate) queued: u64,
    /// Keys of all records before this are in index files, on the disk after a clean stop; a record begins here.
    pub(crate) indexed: u64,
    /// Number of queue files; 0 if it is not known.
    pub(crate) queue_files: u64,
    /// What of the index is on the disk.
    pub(crate) index: Durable,
}

impl Note {
    /// The note as the `number`th that was written.
    fn encode(&self, number: u64, checkpoint: &Checkpoint) -> [u8; NOTE_SIZE] {
        let mut bytes = [0; NOTE_SIZE];
        let fields = [
            number,
            self.flushed,
            self.queued,
            self.indexed,
            self.queue_files,
            self.index.files,
            self.index.entries,
            checkpoint.log.cast_unsigned(),
            checkpoint.queues.cast_unsigned(),
            checkpoint.index.cast_unsigned(),
        ];
        let body = &mut bytes[8..];
        for (out, field) in body.as_chunks_mut::<8>().0.iter_mut().zip(fields) {
            *out = field.to_be_bytes();
        }
        let crc = mq_protocol::id::body_crc(body);
        bytes[..4].copy_from_slice(&NOTE_MAGIC);
        bytes[4..8].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// How many notes were written to the file that has these bytes, and the newest that belongs to a checkpoint.
    pub(crate) fn find(file: &[u8], checkpoint: &Checkpoint) -> (u64, Option<Note>) {
        let at = |place: u64| file.get(usize::try_from(place).ok()?..)?.first_chunk();
        let mut found: Vec<_> =
            NOTE_PLACES.into_iter().filter_map(|place| Note::decode(at(place)?, checkpoint)).collect();
        found.sort_by_key(|(number, ..)| *number);
        let note = found.iter().rev().find(|(.., belongs)| *belongs).map(|(_, note, _)| *note);
        (found.last().map_or(0, |(number, ..)| *number), note)
    }

    /// A whole note with its number, and whether it belongs to a checkpoint.
    fn decode(bytes: &[u8; NOTE_SIZE], checkpoint: &Checkpoint) -> Option<(u64, Note, bool)> {
        let field =
            |n: usize| bytes[8..].as_chunks::<8>().0.get(n).map_or(0, |field| u64::from_be_bytes(*field));
        let note = Note {
            flushed: field(1),
            queued: field(2),
            indexed: field(3),
            queue_files: field(4),
            index: Durable { files: field(5), entries: field(6) },
        };
        let own = Checkpoint {
            log: field(7).cast_signed(),
            queues: field(8).cast_signed(),
            index: field(9).cast_signed(),
            ..*checkpoint
        };
        (note.encode(field(0), &own) == *bytes).then_some((field(0), note, own == *checkpoint))
    }
}

/// The two files, open.
#[derive(Debug)]
pub(crate) struct CheckpointFiles {
    checkpoint: Arc<dyn File>,
    checkpoint_path: PathBuf,
    note: Arc<dyn File>,
    note_path: PathBuf,
    /// What stands in them.
    written: (Checkpoint, Option<Note>),
    /// How many notes were written.
    notes: u64,
}

impl CheckpointFiles {
    /// Opens both files, making them if need be; returns what they say. The note counts only if both fit together.
    pub(crate) fn open(
        config: &StoreConfig,
    ) -> Result<(CheckpointFiles, Checkpoint, Option<Note>), StoreError> {
        let fs: &dyn FileSystem = &*config.file_system;
        let (checkpoint_path, note_path) = (config.path("checkpoint"), config.path("mq-recovery"));
        let checkpoint_file =
            fs.open(&checkpoint_path, OpenMode::Create).context("open", &checkpoint_path)?;
        let note_file = fs.open(&note_path, OpenMode::Create).context("open", &note_path)?;
        let size = checkpoint_file.size().context("look at", &checkpoint_path)?;
        let mut bytes = [0; SIZE];
        if size >= SIZE as u64 {
            checkpoint_file.read_at(&mut bytes, 0).context("read", &checkpoint_path)?;
        } else {
            // Apache maps 4096 bytes and so never leaves a shorter one; a torn one says nothing.
            checkpoint_file.set_size(SIZE as u64).context("extend", &checkpoint_path)?;
            checkpoint_file.write_at(&bytes, 0).context("write", &checkpoint_path)?;
        }
        let checkpoint = Checkpoint::decode(&bytes);
        let size = note_file.size().context("look at", &note_path)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX).min(SIZE)];
        note_file.read_at(&mut bytes, 0).context("read", &note_path)?;
        let (notes, note) = Note::find(&bytes, &checkpoint);
        let files = CheckpointFiles {
            checkpoint: checkpoint_file,
            checkpoint_path,
            note: note_file,
            note_path,
            written: (checkpoint, note),
            notes,
        };
        Ok((files, checkpoint, note))
    }

    /// The checkpoint that stands in the file.
    pub(crate) fn last(&self) -> Checkpoint {
        self.written.0
    }

    /// Writes both and makes them durable, unless they say this already.
    ///
    /// Without a note the one before must not fit the checkpoint.
    pub(crate) fn write(&mut self, checkpoint: Checkpoint, note: Option<Note>) -> Result<(), StoreError> {
        if self.written == (checkpoint, note) {
            return Ok(());
        }
        if let Some(note) = note {
            let number = self.notes + 1;
            let place = NOTE_PLACES[usize::from(number.is_multiple_of(2))];
            let path = &self.note_path;
            self.note.write_at(&note.encode(number, &checkpoint), place).context("write", path)?;
            self.note.sync().context("sync", path)?;
            self.notes = number;
        }
        let (bytes, path) = (checkpoint.encode(), &self.checkpoint_path);
        self.checkpoint
            .write_at(bytes.first_chunk::<40>().map_or(&[][..], |head| head), 0)
            .context("write", path)?;
        self.checkpoint.sync().context("sync", path)?;
        self.written = (checkpoint, note);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoint_has_apaches_layout() {
        let time = 1_700_000_000_123;
        let checkpoint = Checkpoint { log: time, queues: time, index: time, ..Checkpoint::default() };
        let bytes = checkpoint.encode();
        let hex: String = bytes[..40].iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "0000018bcfe5687b0000018bcfe5687b0000018bcfe5687b00000000000000000000000000000000");
        assert!(bytes[40..].iter().all(|b| *b == 0));
        assert_eq!(Checkpoint::decode(&bytes), checkpoint);
        assert_eq!(checkpoint.safe_timestamp(), time - 3000);
    }

    #[test]
    fn a_note_counts_only_with_its_checkpoint() {
        let checkpoint = Checkpoint { log: 7, ..Checkpoint::default() };
        let note = Note {
            flushed: 1,
            queued: 2,
            indexed: 3,
            queue_files: 4,
            index: Durable { files: 5, entries: 6 },
        };
        let bytes = note.encode(9, &checkpoint);
        assert_eq!(Note::decode(&bytes, &checkpoint), Some((9, note, true)));
        assert_eq!(Note::decode(&bytes, &Checkpoint { log: 8, ..checkpoint }), Some((9, note, false)));
        for at in 0..NOTE_SIZE {
            let mut torn = bytes;
            torn[at] ^= 1;
            assert_eq!(Note::decode(&torn, &checkpoint), None, "{at}");
        }
    }
}
