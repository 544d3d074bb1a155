//! RocketMQ's store: commit log, consume queues, index and config files as Apache writes them; knows no sockets.
//!
//! [`Store`] is the whole of it. Appending is one short critical section; what is derived from the log (queues on disk,
//! index) follows on threads of the store and is rebuilt from the log after a crash. Readers get slices of the mapped log.

mod append;
mod bell;
pub mod check;
mod checkpoint;
mod clock;
mod config;
mod config_file;
mod deleted;
mod error;
mod flush;
pub mod fs;
mod gate;
mod index;
pub mod limit;
mod lock;
mod log;
mod lookup;
#[cfg(test)]
mod power_loss;
mod queue;
mod read;
mod rebuild;
mod recovery;
mod retention;
mod shared;
mod store;
mod tip;
mod workers;

pub use append::Appended;
pub use clock::{Clock, SystemClock};
pub use config::{DelayLevels, FlushDisk, StoreConfig};
pub use config_file::ConfigFile;
pub use error::{AppendError, StoreError};
pub use flush::{FlushStatus, Flushed, Wake, WakeHere};
pub use index::{KeyQuery, KeyResult, MAX_KEY_RESULTS};
pub use lookup::{Boundary, QueueEntry};
pub use read::{Filter, Read, ReadRequest, ReadStatus};
pub use rebuild::{Rebuilt, rebuild};
pub use recovery::RecoveryReport;
pub use shared::Arrival;
pub use store::{Store, StoreStatus};
