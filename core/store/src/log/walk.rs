//! Walking over the records of the log in order, as recovery and index building do.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use mq_protocol::message::{MAGIC_BLANK, RecordLayout, peek};

use super::{CommitLog, LogFile};

/// What stands at a position of the log.
#[derive(Debug)]
pub(crate) enum Step {
    /// A complete record.
    Record { at: u64, layout: RecordLayout, bytes: Bytes },
    /// Nothing was ever written here: the log ends.
    End,
    /// Something that is no record.
    Broken(String),
    /// The disk cannot give what stands here.
    Unreadable(io::Error),
}

/// How much is checked of each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Layout, stored position and body CRC, with `enabledAppendPropCRC` also the CRC of the whole record where it has one
    /// (`checkMessageAndReturnSize`).
    All,
    /// Layout and stored position.
    Layout,
}

/// A walk over the log; it goes on behind blanks by itself.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    log: &'a CommitLog,
    /// Where the next record begins.
    pub(crate) at: u64,
    limit: u64,
    check: Check,
    /// The file of the last step.
    file: Option<Arc<LogFile>>,
    /// Bytes before this are in memory, as far as they lie in the file of `at`.
    reached: u64,
}

/// Bytes that are brought into memory together.
const REACHED: u64 = 256 << 10;

impl<'a> Walk<'a> {
    /// A walk from the record boundary `at` to `limit`, also over what is not published yet.
    pub(crate) fn new(log: &'a CommitLog, at: u64, limit: u64, check: Check) -> Walk<'a> {
        Walk { log, at, limit, check, file: None, reached: 0 }
    }

    /// Brings what stands at `at` into memory, `length` bytes at least; `rest` of them are in the file.
    fn reach(&mut self, file: &LogFile, length: u64, rest: u64) -> io::Result<()> {
        if self.reached < self.at + length.min(rest) {
            let end = self.at + length.max(REACHED).min(rest);
            file.reach(self.at - file.start..end - file.start)?;
            self.reached = end;
        }
        Ok(())
    }

    /// The next record; the walk then stands behind it. At an end or a broken record it stays before it.
    pub(crate) fn step(&mut self) -> Step {
        loop {
            if self.at >= self.limit {
                return Step::End;
            }
            let last = self.file.take().filter(|file| (file.start..file.end()).contains(&self.at));
            let Some(file) = last.or_else(|| self.log.file_of(self.at)) else { return Step::End };
            let rest = self.limit.min(file.end()) - self.at;
            let used = self.at - file.start;
            if let Err(error) = self.reach(&file, 8, rest) {
                return Step::Unreadable(error);
            }
            let Some(bytes) = file.bytes(used..used + rest) else { return Step::End };
            match peek(&bytes) {
                None => return Step::Broken(format!("{rest} bytes are left, too few for a record")),
                Some((0, 0)) => return Step::End,
                Some((size, MAGIC_BLANK)) => {
                    let blank = file.end() - self.at;
                    if u64::try_from(size) != Ok(blank) {
                        return Step::Broken(format!(
                            "a blank of {size} bytes stands {blank} bytes before the file's end"
                        ));
                    }
                    self.at = file.end();
                }
                Some((size, _)) => {
                    let size = u64::try_from(size).unwrap_or(0).min(rest);
                    if let Err(error) = self.reach(&file, size, rest) {
                        return Step::Unreadable(error);
                    }
                    file.note_read(used, size);
                    self.file = Some(file);
                    return self.record(bytes);
                }
            }
        }
    }

    fn record(&mut self, mut bytes: Bytes) -> Step {
        let layout = match RecordLayout::parse(&bytes) {
            Ok(layout) => layout,
            Err(error) => return Step::Broken(error.to_string()),
        };
        if u64::try_from(layout.physical_offset) != Ok(self.at) {
            return Step::Broken(format!("the record says that it stands at {}", layout.physical_offset));
        }
        if self.check == Check::All {
            let whole = || if self.log.verify_prop_crc { layout.check_prop_crc(&bytes) } else { Ok(true) };
            match layout.check_body(&bytes).and_then(|()| whole()) {
                Err(error) => return Step::Broken(error.to_string()),
                Ok(false) if self.log.force_prop_crc => {
                    return Step::Broken(
                        "the record has no property __CRC32#, which forceVerifyPropCRC demands".to_owned(),
                    );
                }
                Ok(_) => {}
            }
        }
        let at = self.at;
        self.at += layout.total_size as u64;
        bytes.truncate(layout.total_size);
        Step::Record { at, layout, bytes }
    }
}

/// Bytes that are searched before holes are looked for again.
const SEARCHED: u64 = 1 << 20;

/// Looks for a record that is valid in every respect from `from` on, as far as the files go.
///
/// Its own position is part of a record, so a find is no accident. Holes of the files are passed over.
///
/// # Errors
/// The disk cannot give a part of them.
pub(crate) fn find_valid(log: &CommitLog, from: u64) -> io::Result<Option<(u64, RecordLayout)>> {
    for file in log.files().iter().filter(|file| file.end() > from) {
        let mut at = from.max(file.start) - file.start;
        while at < file.size {
            at = match file.next_data(at) {
                Ok(Some(data)) => data,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "holes of a commit log file cannot be found");
                    at
                }
            };
            let end = (at + SEARCHED).min(file.size);
            // Far enough to see a magic that begins before the end of this piece.
            let range = at..(end + 8).min(file.size);
            file.reach(range.clone())?;
            let bytes = file.bytes(range).unwrap_or_default();
            let mut search = bytes.get(4..).unwrap_or_default();
            let mut position = file.start + at;
            while let Some(found) = find_magic(search) {
                position += found as u64;
                match Walk::new(log, position, u64::MAX, Check::All).step() {
                    Step::Record { at, layout, .. } => return Ok(Some((at, layout))),
                    Step::Unreadable(error) => return Err(error),
                    Step::End | Step::Broken(_) => {}
                }
                position += 1;
                search = search.get(found + 1..).unwrap_or_default();
            }
            at = end;
        }
    }
    Ok(None)
}

/// Where the bytes that both record magics begin with stand first.
fn find_magic(bytes: &[u8]) -> Option<usize> {
    const MAGIC: [u8; 3] = [0xDA, 0xA3, 0x20];
    bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
}
