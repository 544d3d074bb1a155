//! Pages of the log in this process's memory: brought in ahead of a fast writer, taken out behind it.
//!
//! The first touch of a page costs more than writing the records that it holds, and the appender touches with the append lock
//! held. All of this is for speed and memory only, so errors have no consequence.

use std::time::{Duration, Instant};

use super::CommitLog;

/// Bytes after which the log is looked at again.
pub(super) const STRETCH: u64 = 1 << 20;
/// A stretch that took no longer than this is a fast one.
const FAST: Duration = Duration::from_millis(30);
/// How far ahead of a fast writer pages are brought in.
const AHEAD: u64 = 4 << 20;
/// How far behind the end of the log pages stay.
const KEEP_MAPPED: u64 = 16 << 20;

/// How fast the log grows, and which of its pages are in this process.
#[derive(Debug)]
pub(super) struct Pace {
    /// The end at the last look, and when that was.
    last: (u64, Instant),
    /// Pages before this were brought in.
    ahead: u64,
    /// Pages before this were taken out.
    behind: u64,
}

impl Pace {
    pub(super) fn new(end: u64) -> Pace {
        Pace { last: (end, Instant::now()), ahead: end, behind: end }
    }

    /// Whether the log has grown fast since the last look.
    fn is_fast(&mut self, end: u64, now: Instant) -> bool {
        let (from, since) = std::mem::replace(&mut self.last, (end, now));
        let stretches = u32::try_from(end.saturating_sub(from) / STRETCH).unwrap_or(u32::MAX);
        stretches > 0 && now.saturating_duration_since(since) <= FAST.saturating_mul(stretches)
    }
}

impl CommitLog {
    /// Brings in the pages that a fast writer comes to next, and takes out those that it left.
    pub(super) fn keep_pace(&self, pace: &mut Pace) {
        let end = self.end();
        if pace.is_fast(end, Instant::now()) && !self.staged {
            let from = pace.ahead.max(end);
            if let Some(file) = self.file_of(from) {
                let to = (end + AHEAD).min(file.start + file.reserved());
                if from < to {
                    file.populate(from - file.start..to - file.start);
                    pace.ahead = to;
                }
            }
        }
        if end.saturating_sub(pace.behind) > 2 * KEEP_MAPPED {
            let to = end - KEEP_MAPPED;
            for file in self.files().iter().filter(|file| file.end() > pace.behind && file.start < to) {
                file.release(pace.behind.max(file.start) - file.start..to.min(file.end()) - file.start);
            }
            pace.behind = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_fast_when_each_stretch_took_little_time() {
        let mut pace = Pace::new(0);
        let start = pace.last.1;
        assert!(pace.is_fast(STRETCH, start + FAST));
        assert!(!pace.is_fast(2 * STRETCH, start + FAST * 3));
        assert!(pace.is_fast(6 * STRETCH, start + FAST * 6));
        assert!(!pace.is_fast(6 * STRETCH + 1, start + FAST * 6), "less than a stretch says nothing");
    }
}
