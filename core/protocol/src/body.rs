//! JSON bodies of requests and answers, and the records that both the store and the broker keep.

mod cluster;
mod group;
mod lenient;
mod report;
mod route;
mod running;
mod stats;
mod topic;

pub use cluster::*;
pub use group::*;
pub use report::*;
pub use route::*;
pub use running::*;
pub use stats::*;
pub use topic::*;

use serde::{Deserialize, Serialize};

/// One queue of a topic on one broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct MessageQueue {
    #[serde(default)]
    pub topic: String,
    #[serde(default)]
    pub broker_name: String,
    #[serde(default, deserialize_with = "lenient::number")]
    pub queue_id: i32,
}

/// Version of a table: moves with each change, so that others see cheaply whether they have the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "fields are named as on the wire")]
pub struct DataVersion {
    pub counter: i64,
    pub state_version: i64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}

impl DataVersion {
    /// Moves the version on; `now` is in milliseconds since the epoch.
    pub fn advance(&mut self, now: i64) {
        self.counter += 1;
        self.timestamp = now;
    }
}
