//! Deleting what is expired, and refusing messages while the disk is nearly full (`CleanCommitLogService`).

use std::sync::atomic::Ordering;

use crate::clock::LocalTime;
use crate::fs::DiskSpace;
use crate::shared::Shared;

/// What the fill level of the disk asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    /// Delete expired files at any hour.
    now: bool,
    /// Delete the oldest files whatever their age.
    forced: bool,
    /// Take no messages.
    full: bool,
}

impl Shared {
    /// Space of the partitions of the log and of everything else.
    pub(crate) fn disk_space(&self) -> (Option<DiskSpace>, Option<DiskSpace>) {
        let fs = &self.config.file_system;
        (fs.space(self.log.dir()).ok(), fs.space(&self.config.root).ok())
    }

    fn need(&self) -> Need {
        let config = &self.config;
        let (log, root) = self.disk_space();
        let used = [log, root].into_iter().flatten().map(|space| space.used_percent()).max().unwrap_or(0);
        let forced =
            used > config.disk_space_clean_forcibly_ratio || used > config.disk_space_warning_level_ratio;
        Need {
            now: used > config.disk_max_used_space_ratio,
            forced: forced && config.clean_file_forcibly_enable,
            full: used > config.disk_space_warning_level_ratio,
        }
    }

    /// One round, which counts as one of those that were asked for.
    pub(crate) fn clean_round(&self) {
        let asked = self
            .rounds_any_hour
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        self.clean_up(asked.is_ok());
    }

    /// The disk's fill level, expired log files, then what pointed into them.
    pub(crate) fn clean_up(&self, any_hour: bool) {
        let need = self.need();
        self.gate.set_disk_full(need.full);
        if need.full {
            tracing::error!("the disk is nearly full; no messages are taken");
        }
        let now = self.config.clock.now_millis();
        let hour = u8::try_from(LocalTime::at(now).hour).unwrap_or(0);
        if any_hour || need.now || need.forced || self.config.delete_when.contains(&hour) {
            self.delete_expired(now, need.forced);
        }
        let log_min = self.log.min();
        if self.expired_before.swap(log_min, Ordering::AcqRel) != log_min {
            let queues = self.queues.all();
            for queue in &queues {
                if let Err(error) = self.queue_files.correct_min(queue, log_min) {
                    tracing::warn!(topic = %queue.topic, queue = queue.id, %error, "the queue's oldest entry cannot be found");
                }
            }
            self.queue_files.set_removing(true);
            let noted = self.write_checkpoint();
            for queue in queues.iter().filter(|_| noted.is_ok()) {
                if let Err(error) = self.queue_files.expire(queue) {
                    tracing::warn!(topic = %queue.topic, queue = queue.id, %error, "expired queue files cannot be removed");
                }
            }
            self.queue_files.set_removing(false);
            if let Err(error) = noted {
                // The next round tries again.
                self.expired_before.store(0, Ordering::Release);
                tracing::warn!(%error, "expired queue files stay");
            }
            if let Err(error) = self.index.expire(log_min) {
                tracing::warn!(%error, "expired index files cannot be removed");
            }
        }
    }

    /// Deletes the oldest log files that are expired, or any if `forced`; at most one batch, never the last file.
    fn delete_expired(&self, now: i64, forced: bool) {
        let reserved = i64::try_from(self.config.file_reserved_time.as_millis()).unwrap_or(i64::MAX);
        let entries = match self.config.file_system.list(self.log.dir()) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "the commit log's directory cannot be read");
                return;
            }
        };
        // Until its queue units are on the disk a record is all that they can be made from.
        let safe = self.flush.flushed().min(self.progress.queued.load(Ordering::Acquire));
        for file in self.log.files().iter().take(self.config.delete_file_batch_max) {
            let name = file.path().file_name().unwrap_or_default().to_string_lossy();
            let modified =
                entries.iter().find(|entry| *entry.name == *name).map_or(now, |entry| entry.modified);
            if !forced && modified.saturating_add(reserved) > now {
                return;
            }
            match self.log.remove_oldest(safe) {
                Ok(true) => tracing::info!(file = %name, forced, "removed a commit log file"),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "an expired commit log file stays");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use mq_protocol::message::NewRecord;

    use crate::fs::SimulatedFiles;
    use crate::{Store, StoreConfig};

    /// A store without threads that holds some log files, all of them expired, of which nothing is on the disk.
    fn unsafe_files() -> Store {
        let files = SimulatedFiles::new(1, Path::new("/store"));
        files.set_used_percent(Some(10));
        let config = StoreConfig {
            commit_log_file_size: 4 << 10,
            file_reserved_time: Duration::ZERO,
            delete_when: Vec::new(),
            delete_file_batch_max: 1,
            file_system: Arc::new(files),
            ..StoreConfig::at("/store")
        };
        let store = Store::recover(config).unwrap();
        let record = NewRecord {
            topic: "T",
            queue_id: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: "127.0.0.1:1".parse().unwrap(),
            store_host: "127.0.0.1:2".parse().unwrap(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &[7; 1000],
            body_crc: mq_protocol::id::body_crc(&[7; 1000]),
            properties: "",
        };
        (0..30).for_each(|_| _ = store.append(&record).unwrap());
        store
    }

    fn bring_to_disk(store: &Store) {
        store.sync().unwrap();
        store.shared().write_queues(true).unwrap();
    }

    #[test]
    fn a_request_to_delete_waits_until_files_may_go() {
        let store = unsafe_files();
        store.clean_soon(true);
        store.shared().clean_round();
        assert_eq!(store.status().min_physical_offset, 0, "queues can be made from the log alone");
        bring_to_disk(&store);
        store.shared().clean_round();
        store.shared().clean_round();
        assert_eq!(store.status().min_physical_offset, 2 * (4 << 10));
        store.close().unwrap();
    }

    #[test]
    fn a_request_to_delete_is_over_after_twenty_rounds() {
        let store = unsafe_files();
        store.clean_soon(true);
        (0..20).for_each(|_| store.shared().clean_round());
        bring_to_disk(&store);
        store.shared().clean_round();
        assert_eq!(store.status().min_physical_offset, 0);
        // Another one begins to count anew, and does not add to the first.
        store.clean_soon(true);
        store.clean_soon(true);
        store.shared().clean_round();
        assert_eq!(store.status().min_physical_offset, 4 << 10);
        assert_eq!(store.shared().rounds_any_hour.load(std::sync::atomic::Ordering::Relaxed), 19);
        store.close().unwrap();
    }
}
