//! What the machine itself can do: the measures that the store's speed is compared with. Knows nothing of the store.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::{IoContext as _, StoreError};
use crate::fs::{FileSystem as _, OpenMode, RealFileSystem};

/// Messages in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// How many.
    pub messages: u64,
    /// In which time.
    pub time: Duration,
}

impl Speed {
    /// Messages a second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn per_second(&self) -> f64 {
        self.messages as f64 / self.time.as_secs_f64().max(1e-9)
    }
}

/// Writes groups of `group` messages of `size` bytes into a preallocated file of `file_size` bytes, with a sync behind each
/// group, for `limit`; begins at the front again when the file is full.
///
/// # Errors
/// The file cannot be made, written or synced.
pub fn synced_groups(
    path: &Path,
    file_size: u64,
    size: usize,
    group: usize,
    limit: Duration,
) -> Result<Speed, StoreError> {
    let file = RealFileSystem.open(path, OpenMode::Truncate).context("create", path)?;
    file.set_size(file_size).context("extend", path)?;
    file.reserve(0, file_size).context("reserve", path)?;
    file.sync().context("sync", path)?;
    let piece = vec![0x78; size * group];
    let (mut at, mut messages) = (0, 0);
    let start = Instant::now();
    while start.elapsed() < limit {
        if at + piece.len() as u64 > file_size {
            at = 0;
        }
        file.write_at(&piece, at).context("write", path)?;
        file.sync().context("sync", path)?;
        at += piece.len() as u64;
        messages += group as u64;
    }
    Ok(Speed { messages, time: start.elapsed() })
}

/// Computes the CRC of `body` and copies a record of `size` bytes into a preallocated mapped file, `messages` times, on
/// `threads` threads which share nothing but the place where the next record goes.
///
/// # Errors
/// The file cannot be made or mapped.
pub fn copied_with_crc(
    path: &Path,
    body: &[u8],
    size: usize,
    messages: u64,
    threads: usize,
) -> Result<Speed, StoreError> {
    let file_size = messages * size as u64;
    let file = RealFileSystem.open(path, OpenMode::Truncate).context("create", path)?;
    file.set_size(file_size).context("extend", path)?;
    file.reserve(0, file_size).context("reserve", path)?;
    let map = file.map(true).context("map", path)?;
    let record = vec![0x78_u8; size];
    let next = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= messages {
                        return;
                    }
                    let crc = mq_protocol::id::body_crc(std::hint::black_box(body));
                    let at = usize::try_from(number).unwrap_or(0) * size;
                    // SAFETY: each number is handed out once, so that nobody else touches this range; its blocks are reserved.
                    if let Some(out) = unsafe { map.slice_mut(at..at + size) } {
                        out.copy_from_slice(&record);
                        if let Some(place) = out.first_chunk_mut::<4>() {
                            *place = crc.to_be_bytes();
                        }
                    }
                }
            });
        }
    });
    Ok(Speed { messages, time: start.elapsed() })
}
