//! Reading the commit log of a stopped store from its files, also past damage, with a bounded buffer and without mapping.

use std::path::PathBuf;
use std::sync::Arc;

use mq_protocol::message::{MAGIC_BLANK, RecordLayout, peek};

use super::fault::{Fault, Findings};
use crate::config::{StoreConfig, file_name, file_position};
use crate::error::{IoContext as _, StoreError};
use crate::fs::{File, OpenMode};

/// Bytes that are read at once.
const WINDOW: usize = 1 << 20;
/// Records above this size are taken for damage unless `maxMessageSize` allows more.
const MAX_RECORD: usize = 64 << 20;
/// The bytes that both record magics begin with.
const MAGIC: [u8; 3] = [0xDA, 0xA3, 0x20];

/// One file of the log as the directory shows it.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) start: u64,
    pub(super) size: u64,
    pub(super) path: PathBuf,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.size
    }
}

/// What stands at a position.
pub(super) enum Found<'a> {
    Record {
        at: u64,
        layout: RecordLayout,
        bytes: &'a [u8],
    },
    /// Zeros, or the end of the last file.
    End,
    Broken(String),
}

/// The files of a log, and a window on one of them.
#[derive(Debug)]
pub(super) struct LogReader {
    config: StoreConfig,
    pub(super) pieces: Vec<Piece>,
    open: Option<(usize, Arc<dyn File>)>,
    window: Vec<u8>,
    /// Log position of the window's first byte.
    window_at: u64,
    max_record: usize,
}

impl LogReader {
    /// Lists the files; those that cannot belong to a log are found wrong and left out.
    pub(super) fn open(config: &StoreConfig, findings: &mut Findings) -> Result<LogReader, StoreError> {
        let dir = config.commit_log_dir();
        let mut entries = config.file_system.list(&dir).context("list directory", &dir)?;
        entries.retain(|entry| !entry.directory);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let last = entries.len().saturating_sub(1);
        let mut pieces: Vec<Piece> = Vec::with_capacity(entries.len());
        for (number, entry) in entries.iter().enumerate() {
            let path = dir.join(&entry.name);
            let start = file_position(&path).filter(|start| file_name(*start) == entry.name);
            let Some(start) = start else {
                let what =
                    "no commit log file has such a name; no broker starts while it is there".to_owned();
                findings.add(Fault::File { path, what });
                continue;
            };
            if entry.size == 0 && number == last {
                // Made and not sized when the process ended; a start removes it.
                continue;
            }
            let size = config.commit_log_file_size;
            if entry.size != size {
                let what = format!("it has {} bytes where all files of this log have {size}", entry.size);
                findings.add(Fault::File { path: path.clone(), what });
            }
            if start % size != 0 {
                let what = format!("its name is no multiple of the file size {size}");
                findings.add(Fault::File { path, what });
                continue;
            }
            // Never into the next file's range, or one position would stand for two bytes.
            pieces.push(Piece { start, size: entry.size.min(size), path });
        }
        let max_record = MAX_RECORD.max(config.max_message_size.saturating_add(128 << 10));
        Ok(LogReader {
            config: config.clone(),
            pieces,
            open: None,
            window: Vec::new(),
            window_at: 0,
            max_record,
        })
    }

    /// Position of the oldest byte; 0 for an empty log.
    pub(super) fn min(&self) -> u64 {
        self.pieces.first().map_or(0, |first| first.start)
    }

    /// Number of the file that holds a position.
    fn piece_of(&self, at: u64) -> Option<usize> {
        let after = self.pieces.partition_point(|piece| piece.start <= at);
        let number = after.checked_sub(1)?;
        self.pieces.get(number).filter(|piece| at < piece.end()).map(|_| number)
    }

    fn file(&mut self, number: usize) -> Result<Arc<dyn File>, String> {
        if let Some((open, file)) = &self.open
            && *open == number
        {
            return Ok(Arc::clone(file));
        }
        let piece = self.pieces.get(number).ok_or("there is no such file")?;
        let file = self.config.file_system.open(&piece.path, OpenMode::Read).map_err(|e| e.to_string())?;
        self.open = Some((number, Arc::clone(&file)));
        Ok(file)
    }

    /// Makes the window hold `at..at + length`, which must lie in one file; returns where it begins in the window.
    fn load(&mut self, number: usize, at: u64, length: usize) -> Result<usize, String> {
        let end = at + length as u64;
        if at >= self.window_at && end <= self.window_at + self.window.len() as u64 {
            return Ok(usize::try_from(at - self.window_at).unwrap_or(0));
        }
        let (start, rest) = self.pieces.get(number).map_or((at, 0), |piece| (piece.start, piece.end() - at));
        let wanted = usize::try_from(rest).unwrap_or(usize::MAX).min(WINDOW).max(length);
        let file = self.file(number)?;
        self.window.clear();
        self.window.resize(wanted, 0);
        self.window_at = at;
        if let Err(error) = file.read_at(&mut self.window, at - start) {
            self.window.clear();
            return Err(format!("it cannot be read: {error}"));
        }
        Ok(0)
    }

    /// What stands at `at`, which is moved behind blanks.
    pub(super) fn look(&mut self, at: &mut u64) -> Found<'_> {
        loop {
            let Some(number) = self.piece_of(*at) else { return Found::End };
            let rest = self.pieces.get(number).map_or(0, |piece| piece.end() - *at);
            if rest < 8 {
                return Found::Broken(format!("{rest} bytes are left, too few for a record"));
            }
            let start = match self.load(number, *at, 8) {
                Ok(start) => start,
                Err(what) => return Found::Broken(what),
            };
            let Some((size, magic)) = self.window.get(start..).and_then(peek) else { return Found::End };
            match (size, magic) {
                (0, 0) => return Found::End,
                (size, MAGIC_BLANK) if u64::try_from(size) == Ok(rest) => *at += rest,
                (size, MAGIC_BLANK) => {
                    let what = format!("a blank of {size} bytes stands {rest} bytes before the file's end");
                    return Found::Broken(what);
                }
                (size, _) => return self.record(number, *at, size, rest),
            }
        }
    }

    fn record(&mut self, number: usize, at: u64, size: i32, rest: u64) -> Found<'_> {
        let length = usize::try_from(size).unwrap_or(0);
        if length < 91 || length as u64 > rest || length > self.max_record {
            return Found::Broken(format!(
                "a record of {size} bytes cannot stand {rest} bytes before the file's end"
            ));
        }
        let start = match self.load(number, at, length) {
            Ok(start) => start,
            Err(what) => return Found::Broken(what),
        };
        let bytes = self.window.get(start..start + length).unwrap_or_default();
        match valid(at, bytes) {
            Ok(layout) => Found::Record { at, layout, bytes },
            Err(what) => Found::Broken(what),
        }
    }

    /// The next position from `from` on at which a whole record stands; holes are passed over.
    pub(super) fn find(&mut self, from: u64) -> Option<u64> {
        let first = self.pieces.partition_point(|piece| piece.end() <= from);
        for number in first..self.pieces.len() {
            let piece = self.pieces.get(number)?.clone();
            let mut at = from.max(piece.start);
            while at + 91 <= piece.end() {
                at = match self.file(number).map(|file| file.next_data(at - piece.start)) {
                    Ok(Ok(Some(data))) => at.max(piece.start + data),
                    Ok(Ok(None)) => break,
                    // No holes known: search everything.
                    _ => at,
                };
                let length = usize::try_from(piece.end() - at).unwrap_or(usize::MAX).min(WINDOW);
                let Ok(start) = self.load(number, at, length) else {
                    at += 4096;
                    continue;
                };
                let bytes = self.window.get(start..start + length).unwrap_or_default();
                // The magic stands 4 bytes behind the record's begin.
                let hits: Vec<u64> = bytes
                    .windows(MAGIC.len())
                    .enumerate()
                    .filter(|(offset, window)| *offset >= 4 && *window == MAGIC)
                    .map(|(offset, _)| at + offset as u64 - 4)
                    .collect();
                for hit in hits {
                    if let Found::Record { at, .. } = self.look(&mut hit.clone()) {
                        return Some(at);
                    }
                }
                // A magic may lie across the border of two windows.
                at += (length.saturating_sub(16)).max(1) as u64;
            }
        }
        None
    }

    /// The log position from which a file is missing, and where the log goes on, if a file ends at `at`.
    pub(super) fn gap_at(&self, at: u64) -> Option<u64> {
        let next = self.pieces.iter().find(|piece| piece.start >= at)?;
        (next.start > at && self.pieces.iter().any(|piece| piece.end() == at)).then_some(next.start)
    }
}

/// The record that `bytes` are, if they are one in every respect.
fn valid(at: u64, bytes: &[u8]) -> Result<RecordLayout, String> {
    let layout = RecordLayout::parse(bytes).map_err(|error| error.to_string())?;
    if u64::try_from(layout.physical_offset) != Ok(at) {
        return Err(format!("the record says that it stands at {}", layout.physical_offset));
    }
    layout.check_body(bytes).map_err(|error| error.to_string())?;
    layout.check_prop_crc(bytes).map_err(|error| error.to_string())?;
    Ok(layout)
}
