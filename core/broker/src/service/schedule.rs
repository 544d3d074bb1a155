//! Delayed messages: delivers what is due to its real topic (`ScheduleMessageService`), kept in `delayOffset.json`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mq_protocol::body::DataVersion;
use mq_protocol::message::{MessageRecord, NewRecord};
use mq_protocol::name::{HALF_TOPIC, SCHEDULE_TOPIC};
use mq_protocol::property::{Properties, key};
use mq_store::{AppendError, DelayLevels, Store, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, warn};

use super::saved::SavedFile;
use super::{blocking, now_millis};
use crate::error::BrokerError;
use crate::server::Refusal;
use crate::testing::TestClock;

/// Deliveries after which the table's version moves (`delayOffsetUpdateVersionStep`).
const DELIVERIES_PER_VERSION: u64 = 200;
/// Queue entries looked at together.
const BATCH: usize = 64;
/// Pause after the store refused a delivery.
const RETRY_MILLIS: i64 = 100;
/// Nothing is due.
const NEVER: i64 = i64::MAX;

/// Why a delayed message is not delivered yet.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error("{0}")]
    Refused(#[from] AppendError),
    #[error("{0}")]
    Unread(#[from] StoreError),
}

/// Delivers delayed messages.
#[derive(Debug)]
pub(crate) struct Schedule {
    store: Store,
    clock: TestClock,
    levels: DelayLevels,
    table: Mutex<Table>,
    file: SavedFile,
    /// Held while one message is delivered; `true` from the end on.
    ended: Mutex<bool>,
    /// When the next delivery is due, in the store clock's milliseconds, as far as the sleeping task knows.
    next_due: AtomicI64,
    /// Told when something is due before that.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Table {
    version: DataVersion,
    /// Level → offset of the next message in its queue.
    offsets: BTreeMap<i32, i64>,
    deliveries: u64,
    dirty: bool,
}

/// `delayOffset.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DelayOffsets {
    data_version: DataVersion,
    offset_table: BTreeMap<i32, i64>,
}

impl Schedule {
    pub(crate) fn load(
        store: &Store,
        clock: TestClock,
        levels: DelayLevels,
    ) -> Result<Schedule, BrokerError> {
        let file = SavedFile::new("delayOffset.json", store.config("delayOffset.json"));
        let saved: DelayOffsets = file.load()?;
        let table = Table { version: saved.data_version, offsets: saved.offset_table, ..Table::default() };
        Ok(Schedule {
            store: store.clone(),
            clock,
            levels,
            table: Mutex::new(table),
            file,
            ended: Mutex::new(false),
            next_due: AtomicI64::new(0),
            earlier: Notify::new(),
        })
    }

    /// A message was delayed until `due`.
    pub(crate) fn arrived(&self, due: i64) {
        if due < self.next_due.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }

    /// Delivers at the right times; runs until it is dropped. Asleep while nothing is delayed.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut moves = self.clock.moves();
        loop {
            // While it works, whatever arrives and whoever moves the clock must wake it again.
            moves.mark_unchanged();
            self.next_due.store(NEVER, Ordering::SeqCst);
            let worker = self.clone();
            let next = match tokio::task::spawn_blocking(move || worker.deliver_due()).await {
                Ok(next) => next,
                Err(failed) => {
                    error!(%failed, "delivering delayed messages failed");
                    self.clock.now_millis() + RETRY_MILLIS
                }
            };
            self.next_due.store(next, Ordering::SeqCst);
            if next == NEVER {
                self.earlier.notified().await;
                continue;
            }
            let wait = u64::try_from(next.saturating_sub(self.clock.now_millis())).unwrap_or(0);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                () = self.earlier.notified() => {}
                // The clock lives as long as this.
                _ = moves.changed() => {}
            }
        }
    }

    /// Ends deliveries. What was delivered until now is noted; what is due later is found again at the next start.
    pub(crate) fn end(&self) {
        *self.ended.lock() = true;
    }

    /// Delivers all that is due; tells when to look again.
    fn deliver_due(&self) -> i64 {
        let levels = 1..=self.levels.max_level();
        levels.map(|level| self.deliver_level(level)).min().unwrap_or(NEVER)
    }

    fn deliver_level(&self, level: i32) -> i64 {
        let queue = level - 1;
        let delay = self.levels.delay_millis(level).unwrap_or(0);
        let (min, max) =
            (self.store.min_offset(SCHEDULE_TOPIC, queue), self.store.max_offset(SCHEDULE_TOPIC, queue));
        let saved = self.table.lock().offsets.get(&level).copied().unwrap_or(0);
        let mut offset = saved.clamp(min, max.max(min));
        if offset != saved {
            warn!(level, saved, offset, "the offset of delayed messages was outside their queue");
            self.moved_to(level, offset);
        }
        loop {
            let entries = self.store.queue_entries(SCHEDULE_TOPIC, queue, offset, BATCH);
            if entries.is_empty() {
                // Some are there and cannot be read: the store has said why.
                let unread = offset < self.store.max_offset(SCHEDULE_TOPIC, queue);
                return if unread { self.clock.now_millis() + RETRY_MILLIS } else { NEVER };
            }
            for entry in entries {
                let now = self.clock.now_millis();
                // A due time further away than the level's delay means that the clock went back.
                let due = if entry.tags_code > now + delay { now } else { entry.tags_code };
                if due > now {
                    return due;
                }
                let ended = self.ended.lock();
                if *ended {
                    return NEVER;
                }
                match self.deliver(entry.physical_offset) {
                    Ok(()) => {}
                    Err(Undelivered::Refused(AppendError::Closed)) => return NEVER,
                    Err(error) => {
                        warn!(level, %error, "a delayed message could not be delivered yet");
                        return now + RETRY_MILLIS;
                    }
                }
                offset = entry.offset + 1;
                self.moved_to(level, offset);
            }
        }
    }

    fn moved_to(&self, level: i32, offset: i64) {
        let mut table = self.table.lock();
        table.offsets.insert(level, offset);
        table.dirty = true;
        table.deliveries += 1;
        if table.deliveries.is_multiple_of(DELIVERIES_PER_VERSION) {
            table.version.advance(now_millis());
        }
    }

    /// Stores one delayed message in its real topic. One that is not in the log or has no real topic is passed over.
    fn deliver(&self, physical_offset: u64) -> Result<(), Undelivered> {
        let Some(record) = self.store.record_at(physical_offset)? else {
            error!(physical_offset, "a delayed message is not in the log; it is passed over");
            return Ok(());
        };
        let Some((topic, queue_id)) = real_place(&record) else {
            error!(physical_offset, "a delayed message does not say where it belongs; it is passed over");
            return Ok(());
        };
        if topic == HALF_TOPIC {
            error!(physical_offset, "a delayed message is meant for the half messages; it is passed over");
            return Ok(());
        }
        // DELAY, REAL_TOPIC and REAL_QID stay visible, as consumers see them from Apache's broker.
        let mut properties = Properties::parse(record.properties());
        // It covers the record that is read, not the one that is made of it.
        properties.remove(key::PROP_CRC);
        // Both are free of separators.
        let _ = properties.set(key::WAIT, "false");
        let layout = record.layout();
        self.store.append(&NewRecord {
            topic,
            queue_id,
            flag: layout.flag,
            sys_flag: layout.sys_flag,
            born_timestamp: layout.born_timestamp,
            born_host: layout.born_host,
            store_host: layout.store_host,
            reconsume_times: layout.reconsume_times,
            prepared_transaction_offset: layout.prepared_transaction_offset,
            body: &record.body(),
            body_crc: layout.body_crc,
            properties: properties.as_text(),
        })?;
        Ok(())
    }

    /// The table as Apache writes it.
    pub(crate) fn snapshot(&self) -> DelayOffsets {
        self.table.lock().to_content()
    }

    /// Writes the file if anything changed since the last time.
    pub(crate) fn save_if_changed(&self) -> Result<(), Refusal> {
        if !self.table.lock().dirty {
            return Ok(());
        }
        // What the file calls delivered must be on the disk, or a power cut takes the copy and leaves nobody to make another.
        let _no_delivery = self.ended.lock();
        blocking(|| self.store.sync())
            .map_err(|error| Refusal::system(format!("delayOffset.json could not be saved: {error}")))?;
        let saved = self.file.save(|| {
            let mut table = self.table.lock();
            table.dirty = false;
            table.to_content()
        });
        if saved.is_err() {
            self.table.lock().dirty = true;
        }
        saved
    }
}

impl Table {
    fn to_content(&self) -> DelayOffsets {
        DelayOffsets { data_version: self.version, offset_table: self.offsets.clone() }
    }
}

fn real_place(record: &MessageRecord) -> Option<(&str, i32)> {
    let topic = record.property(key::REAL_TOPIC)?;
    let queue = record.property(key::REAL_QID)?.parse().ok()?;
    Some((topic, queue))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mq_store::fs::SimulatedFiles;
    use mq_store::{FlushDisk, StoreConfig};

    use super::*;

    #[test]
    fn a_power_cut_after_a_delivery_was_noted_does_not_take_it_back() {
        for seed in 0..20 {
            let files = SimulatedFiles::new(seed, Path::new("/store"));
            let config = StoreConfig {
                flush_disk: FlushDisk::Async,
                // Nothing is synced unless somebody asks for it.
                flush_interval: Duration::from_secs(3600),
                commit_log_file_size: 64 << 10,
                index_enable: false,
                file_system: Arc::new(files.clone()),
                delete_when: Vec::new(),
                ..StoreConfig::at("/store")
            };
            let levels = || DelayLevels::parse("1s").unwrap();
            let store = Store::open(config.clone()).unwrap();
            let schedule = Schedule::load(&store, TestClock::default(), levels()).unwrap();
            let host = std::net::SocketAddr::from(([127, 0, 0, 1], 10911));
            store
                .append(&NewRecord {
                    properties: "DELAY\u{1}1\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}0\u{2}",
                    ..NewRecord::new(SCHEDULE_TOPIC, 0, host, b"late")
                })
                .unwrap();
            store.sync().unwrap();
            schedule.clock.advance(Duration::from_secs(5));
            schedule.deliver_due();
            assert_eq!(store.max_offset("T", 0), 1);
            schedule.save_if_changed().unwrap();
            files.cut().unwrap();
            store.kill();
            drop((schedule, store));
            files.restart().unwrap();
            let store = Store::open(config).unwrap();
            let schedule = Schedule::load(&store, TestClock::default(), levels()).unwrap();
            assert_eq!(schedule.table.lock().offsets.get(&1), Some(&1), "it was noted");
            assert_eq!(store.max_offset("T", 0), 1, "seed {seed}: noted and gone");
            store.kill();
        }
    }
}
