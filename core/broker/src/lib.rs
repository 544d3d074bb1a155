//! NameServer and broker in one process, each able to start alone.

#![forbid(unsafe_code)]

mod config;
mod error;
mod namesrv;
mod server;

pub use config::{
    BrokerConfig, ConfigError, FlushDiskType, NameServerConfig, Setting, TakesEffect, UnknownKey,
};
pub use error::BrokerError;
pub use namesrv::NameServer;
