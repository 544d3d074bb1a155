//! NameServer and broker in one process, each able to start alone.

#![forbid(unsafe_code)]

mod broker;
mod config;
mod error;
mod handler;
mod namesrv;
mod server;
mod service;
pub mod testing;
mod wake;

pub use broker::Broker;
pub use config::{
    Addresses, BrokerConfig, BrokerRole, ConfigError, Delays, FlushDiskType, Hours, NameServerConfig,
    Setting, TakesEffect, UnknownKey,
};
pub use error::BrokerError;
pub use namesrv::NameServer;
pub use wake::WakeInside;
