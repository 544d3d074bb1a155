//! RocketMQ's remoting protocol as a pure codec: frames, headers, bodies, message layout and filters; no I/O.
//!
//! Everything here is synchronous, free of sockets and files, and safe against hostile input: a decoder
//! returns an error, it never panics and never allocates more than its input (or the stated limit) allows.

#![forbid(unsafe_code)]

pub mod body;
pub mod code;
pub mod compression;
pub mod fastjson;
pub mod filter;
pub mod frame;
pub mod header;
pub mod id;
pub mod message;
pub mod name;
pub mod property;

pub use code::{RequestCode, ResponseCode};
pub use frame::{Encoding, ExtFields, Frame, FrameError, Language};
pub use header::{Header, HeaderError};
pub use message::{MessageRecord, RecordError};
pub use property::Properties;

/// Version number put into every frame: RocketMQ 5.3.3, the newest that `MQVersion` of 5.x reports.
///
/// Java NameServers answer standard JSON routes to versions from 401 (4.9.4) on.
pub const VERSION: i32 = 479;
