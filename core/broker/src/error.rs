//! Why a broker or NameServer does not start or does not do what was asked.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::ConfigError;

/// Error of a broker or NameServer.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A port cannot be bound.
    #[error("{what} cannot listen on {address}: {source}; choose another port or 0 for a free one")]
    Bind {
        /// What wanted to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of settings or offsets cannot be read or written.
    #[error("file {file} cannot be used: {reason}", file = file.display())]
    ConfigFile {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The store does not open or close.
    #[error(transparent)]
    Store(#[from] mq_store::StoreError),
    /// What was asked cannot be done; the text says why.
    #[error("{0}")]
    Refused(String),
}
