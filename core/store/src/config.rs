//! The store's settings, with Apache's defaults (`MessageStoreConfig`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::StoreError;
use crate::flush::{Wake, WakeHere};
use crate::fs::{FileSystem, RealFileSystem};
use crate::queue::UNIT_SIZE;

/// When a message counts as stored (`flushDiskType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushDisk {
    /// When it is in the page cache; the disk follows within `flush_interval`.
    #[default]
    Async,
    /// When it is on the disk. Readers see only what is.
    Sync,
}

/// Delays of the levels 1, 2, … (`messageDelayLevel`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels(Vec<i64>);

impl DelayLevels {
    /// Reads `1s 5s 10s 1m 2h 1d`: units s, m, h, d, separated by blanks.
    ///
    /// # Errors
    /// A part is not a positive number with a unit, or there is none.
    pub fn parse(text: &str) -> Result<DelayLevels, StoreError> {
        let error = || StoreError::Config {
            setting: "messageDelayLevel",
            value: text.to_owned(),
            rule: "write the delay of each level as a number and s, m, h or d, separated by blanks, as in '1s 10s 1m 2h'",
        };
        let level = |part: &str| {
            let unit = match part.bytes().last()? {
                b's' => 1_000,
                b'm' => 60_000,
                b'h' => 3_600_000,
                b'd' => 86_400_000,
                _ => return None,
            };
            let number: i64 = part.get(..part.len() - 1)?.parse().ok()?;
            number.checked_mul(unit).filter(|millis| *millis > 0)
        };
        let levels: Option<Vec<i64>> = text.split_whitespace().map(level).collect();
        levels.filter(|levels| !levels.is_empty()).map(DelayLevels).ok_or_else(error)
    }

    /// The highest level.
    #[must_use]
    pub fn max_level(&self) -> i32 {
        i32::try_from(self.0.len()).unwrap_or(i32::MAX)
    }

    /// Delay of a level in milliseconds; a level above the highest counts as the highest.
    /// `None` for a level below 1.
    #[must_use]
    pub fn delay_millis(&self, level: i32) -> Option<i64> {
        let level = usize::try_from(level.min(self.max_level())).ok()?;
        self.0.get(level.checked_sub(1)?).copied()
    }
}

impl Default for DelayLevels {
    fn default() -> DelayLevels {
        const S: i64 = 1000;
        const M: i64 = 60 * S;
        let minutes = (1..=10).chain([20, 30, 60, 120]).map(|minutes| minutes * M);
        DelayLevels([S, 5 * S, 10 * S, 30 * S].into_iter().chain(minutes).collect())
    }
}

/// Settings of a store. `Default` has Apache's values; what a later start changes must fit what is on disk.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Directory of everything (`storePathRootDir`).
    pub root: PathBuf,
    /// Directory of the commit log if it is not `root/commitlog` (`storePathCommitLog`).
    pub commit_log: Option<PathBuf>,
    /// Size of a commit log file in bytes (`mappedFileSizeCommitLog`).
    pub commit_log_file_size: u64,
    /// Size of a consume queue file in bytes (`mappedFileSizeConsumeQueue`), rounded up to whole units of 20.
    pub consume_queue_file_size: u64,
    /// Whether keys are indexed (`messageIndexEnable`).
    pub index_enable: bool,
    /// Hash slots of an index file (`maxHashSlotNum`).
    pub index_slots: u32,
    /// Entries of an index file (`maxIndexNum`); one less is used.
    pub index_entries: u32,
    /// When a message counts as stored (`flushDiskType`).
    pub flush_disk: FlushDisk,
    /// How long appended bytes wait for the disk at most in asynchronous mode (`flushIntervalCommitLog`).
    pub flush_interval: Duration,
    /// How often queue entries are written, and queue files with two dirty pages synced (`flushIntervalConsumeQueue`).
    pub flush_consume_queue_interval: Duration,
    /// How often all queue files are synced (`flushConsumeQueueThoroughInterval`).
    pub flush_consume_queue_thorough_interval: Duration,
    /// How long [`flushed`](crate::Store::flushed) waits (`syncFlushTimeout`).
    pub sync_flush_timeout: Duration,
    /// Largest body in bytes (`maxMessageSize`).
    pub max_message_size: usize,
    /// Delays of scheduled messages (`messageDelayLevel`).
    pub delay_levels: DelayLevels,
    /// Messages of one read while they are in memory (`maxTransferCountOnMessageInMemory`).
    pub max_transfer_count_in_memory: usize,
    /// Bytes of one read while they are in memory (`maxTransferBytesOnMessageInMemory`).
    pub max_transfer_bytes_in_memory: usize,
    /// Messages of one read when they are on disk (`maxTransferCountOnMessageInDisk`).
    pub max_transfer_count_on_disk: usize,
    /// Bytes of one read when they are on disk (`maxTransferBytesOnMessageInDisk`).
    pub max_transfer_bytes_on_disk: usize,
    /// Share of the machine's memory, in percent, that the end of the log is taken to occupy (`accessMessageInMemoryMaxRatio`).
    pub access_in_memory_max_ratio: u8,
    /// How long a commit log file is kept after its last change (`fileReservedTime`, there in hours).
    pub file_reserved_time: Duration,
    /// Local hours in which expired files are deleted (`deleteWhen`).
    pub delete_when: Vec<u8>,
    /// Used percent of the disk above which expired files are deleted at any hour (`diskMaxUsedSpaceRatio`).
    pub disk_max_used_space_ratio: u8,
    /// Whether files that are not expired may be deleted on a full disk (`cleanFileForciblyEnable`).
    pub clean_file_forcibly_enable: bool,
    /// Used percent of the disk above which that happens (`diskSpaceCleanForciblyRatio`, 30 to 85).
    pub disk_space_clean_forcibly_ratio: u8,
    /// Used percent of the disk above which no message is taken (`diskSpaceWarningLevelRatio`, 35 to 90).
    pub disk_space_warning_level_ratio: u8,
    /// Files deleted in one round (`deleteFileBatchMax`).
    pub delete_file_batch_max: usize,
    /// Pause between two rounds (`cleanResourceInterval`).
    pub clean_resource_interval: Duration,
    /// Whether each record ends with a CRC of all that stands before it (`enabledAppendPropCRC`); then recovery also compares
    /// it where one is. Messages of clients may hold such a property by accident where this is off.
    pub append_prop_crc: bool,
    /// Whether recovery takes a record without that CRC for damage (`forceVerifyPropCRC`).
    pub force_verify_prop_crc: bool,
    /// Ours: whether a log that is damaged in its durable part is cut there instead of refused.
    pub accept_damaged_log: bool,
    /// Ours: how many bytes of the log have disk blocks before they are needed.
    pub reserve_ahead: u64,
    /// Ours: how many consume queue files are open at a time.
    pub open_queue_files: usize,
    /// How long an append may keep others waiting, because the disk does not take its page, before those are refused
    /// (`osPageCacheBusyTimeOutMills`).
    pub os_page_cache_busy_timeout: Duration,
    /// Ours: queue entries that may wait for being written before the store refuses messages (24 bytes each).
    pub max_pending_units: usize,
    /// Source of store timestamps.
    pub clock: Arc<dyn Clock>,
    /// Where files are.
    pub file_system: Arc<dyn FileSystem>,
    /// Wakes those who wait for the disk.
    pub wake: Arc<dyn Wake>,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
        StoreConfig {
            root: home.join("store"),
            commit_log: None,
            commit_log_file_size: 1 << 30,
            consume_queue_file_size: 300_000 * UNIT_SIZE,
            index_enable: true,
            index_slots: 5_000_000,
            index_entries: 20_000_000,
            flush_disk: FlushDisk::Async,
            flush_interval: Duration::from_millis(500),
            flush_consume_queue_interval: Duration::from_secs(1),
            flush_consume_queue_thorough_interval: Duration::from_secs(60),
            sync_flush_timeout: Duration::from_secs(5),
            max_message_size: 4 << 20,
            delay_levels: DelayLevels::default(),
            max_transfer_count_in_memory: 32,
            max_transfer_bytes_in_memory: 256 << 10,
            max_transfer_count_on_disk: 8,
            max_transfer_bytes_on_disk: 64 << 10,
            access_in_memory_max_ratio: 40,
            file_reserved_time: Duration::from_secs(72 * 3600),
            delete_when: vec![4],
            disk_max_used_space_ratio: 75,
            clean_file_forcibly_enable: true,
            disk_space_clean_forcibly_ratio: 85,
            disk_space_warning_level_ratio: 90,
            delete_file_batch_max: 10,
            clean_resource_interval: Duration::from_secs(10),
            append_prop_crc: false,
            force_verify_prop_crc: false,
            accept_damaged_log: false,
            reserve_ahead: 16 << 20,
            open_queue_files: 256,
            os_page_cache_busy_timeout: Duration::from_secs(1),
            max_pending_units: 1 << 20,
            clock: Arc::new(SystemClock),
            file_system: Arc::new(RealFileSystem),
            wake: Arc::new(WakeHere),
        }
    }
}

impl StoreConfig {
    /// Apache's defaults in the directory `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> StoreConfig {
        StoreConfig { root: root.into(), ..StoreConfig::default() }
    }

    /// Directory of the commit log.
    #[must_use]
    pub fn commit_log_dir(&self) -> PathBuf {
        self.commit_log.clone().unwrap_or_else(|| self.root.join("commitlog"))
    }

    /// Directory of the consume queues.
    #[must_use]
    pub fn consume_queue_dir(&self) -> PathBuf {
        self.root.join("consumequeue")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Checks every value and rounds what Apache rounds.
    pub(crate) fn checked(mut self) -> Result<StoreConfig, StoreError> {
        fn check(
            ok: bool,
            setting: &'static str,
            value: impl ToString,
            rule: &'static str,
        ) -> Result<(), StoreError> {
            if ok { Ok(()) } else { Err(StoreError::Config { setting, value: value.to_string(), rule }) }
        }
        let file = self.commit_log_file_size;
        check(
            (1024..=1 << 40).contains(&file) && i32::try_from(file - 1).is_ok(),
            "mappedFileSizeCommitLog",
            file,
            "it must be from 1024 bytes to 2 GiB",
        )?;
        let file = self.consume_queue_file_size;
        check(
            (UNIT_SIZE..=1 << 30).contains(&file),
            "mappedFileSizeConsumeQueue",
            file,
            "it must be from 20 bytes to 1 GiB",
        )?;
        self.consume_queue_file_size = file.div_ceil(UNIT_SIZE) * UNIT_SIZE;
        check(self.index_slots > 0, "maxHashSlotNum", self.index_slots, "it must be at least 1")?;
        let entries = self.index_entries;
        let index_bytes = 40 + 4 * u64::from(self.index_slots) + 20 * u64::from(entries);
        check(
            entries > 1 && i32::try_from(index_bytes).is_ok(),
            "maxIndexNum",
            entries,
            "it must be at least 2, and an index file must stay under 2 GiB",
        )?;
        let size = self.max_message_size;
        check((1..=1 << 30).contains(&size), "maxMessageSize", size, "it must be from 1 byte to 1 GiB")?;
        let hours_ok = self.delete_when.iter().all(|hour| *hour < 24);
        check(
            hours_ok,
            "deleteWhen",
            format!("{:?}", self.delete_when),
            "hours are from 00 to 23, separated by ';'",
        )?;
        for (setting, ratio) in [
            ("diskMaxUsedSpaceRatio", self.disk_max_used_space_ratio),
            ("diskSpaceCleanForciblyRatio", self.disk_space_clean_forcibly_ratio),
            ("diskSpaceWarningLevelRatio", self.disk_space_warning_level_ratio),
            ("accessMessageInMemoryMaxRatio", self.access_in_memory_max_ratio),
        ] {
            check((1..=100).contains(&ratio), setting, ratio, "it is a percentage from 1 to 100")?;
        }
        // `CleanCommitLogService` clamps these two.
        self.disk_space_clean_forcibly_ratio = self.disk_space_clean_forcibly_ratio.clamp(30, 85);
        self.disk_space_warning_level_ratio = self.disk_space_warning_level_ratio.clamp(35, 90);
        for (setting, count) in [
            ("maxTransferCountOnMessageInMemory", self.max_transfer_count_in_memory),
            ("maxTransferCountOnMessageInDisk", self.max_transfer_count_on_disk),
            ("openQueueFiles", self.open_queue_files),
            ("maxPendingUnits", self.max_pending_units),
        ] {
            check(count > 0, setting, count, "it must be at least 1")?;
        }
        self.reserve_ahead = self.reserve_ahead.clamp(64 << 10, 1 << 30);
        Ok(self)
    }
}

/// The file name of a position: 20 digits (`UtilAll.offset2FileName`).
pub(crate) fn file_name(position: u64) -> String {
    format!("{position:020}")
}

/// The position that a file name of at least one decimal digit stands for.
pub(crate) fn file_position(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.bytes().all(|b| b.is_ascii_digit()).then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_levels_are_apaches() {
        let text = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";
        assert_eq!(DelayLevels::parse(text).unwrap(), DelayLevels::default());
        let levels = DelayLevels::default();
        assert_eq!(levels.max_level(), 18);
        assert_eq!(levels.delay_millis(3), Some(10_000));
        assert_eq!(levels.delay_millis(99), Some(7_200_000));
        assert_eq!(levels.delay_millis(0), None);
        for bad in ["", "1", "s", "-1s", "1s 2x", "0s", "99999999999999999d"] {
            assert!(DelayLevels::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_checked_and_rounded() {
        let config = StoreConfig { consume_queue_file_size: 41, ..StoreConfig::at("/x") }.checked().unwrap();
        assert_eq!(config.consume_queue_file_size, 60);
        let config = StoreConfig { commit_log_file_size: 3 << 30, ..StoreConfig::at("/x") };
        assert!(config.checked().unwrap_err().to_string().contains("mappedFileSizeCommitLog"));
        let config = StoreConfig { delete_when: vec![24], ..StoreConfig::at("/x") };
        assert!(config.checked().is_err());
    }
}
