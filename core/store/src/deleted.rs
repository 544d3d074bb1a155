//! Numbering of deleted queues: kept until the last record that was theirs has left the log.
//!
//! Otherwise a queue that is made again would start at 0 while old records with the same numbers are still in the log, and
//! a rebuild could not tell them apart.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::StoreConfig;
use crate::config_file::ConfigFile;
use crate::error::StoreError;
use crate::queue::Queue;

/// One deleted queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeletedQueue {
    pub(crate) topic: String,
    pub(crate) queue_id: i32,
    /// The queue offset that its next record gets.
    pub(crate) next_offset: i64,
    /// Records before this position of the log are no longer part of it.
    pub(crate) before: u64,
}

/// The list of deleted queues, which is written as a whole.
#[derive(Debug)]
pub(crate) struct DeletedQueues {
    file: ConfigFile,
    queues: Vec<DeletedQueue>,
}

impl DeletedQueues {
    pub(crate) fn load(config: &StoreConfig) -> Result<DeletedQueues, StoreError> {
        let path = config.path("config").join("mq-deletedQueues.json");
        let file = ConfigFile::new(Arc::clone(&config.file_system), path);
        let queues = file.load_json()?.unwrap_or_default();
        Ok(DeletedQueues { file, queues })
    }

    pub(crate) fn all(&self) -> &[DeletedQueue] {
        &self.queues
    }

    pub(crate) fn find(&self, topic: &str, queue_id: i32) -> Option<&DeletedQueue> {
        self.queues.iter().find(|queue| queue.topic == topic && queue.queue_id == queue_id)
    }

    /// Notes that queues are deleted up to the end of the log; forgets those whose records have all expired.
    pub(crate) fn note(
        &mut self,
        queues: &[Arc<Queue>],
        log_min: u64,
        log_end: u64,
    ) -> Result<(), StoreError> {
        self.queues.retain(|old| {
            old.before > log_min
                && !queues.iter().any(|new| *new.topic == *old.topic && new.id == old.queue_id)
        });
        self.queues.extend(queues.iter().filter(|queue| queue.next() > 0).map(|queue| DeletedQueue {
            topic: queue.topic.to_string(),
            queue_id: queue.id,
            next_offset: queue.next(),
            before: log_end,
        }));
        let text = serde_json::to_vec_pretty(&self.queues).unwrap_or_else(|_| b"[]".to_vec());
        self.file.save(&text)
    }
}
