//! What every language wrapper needs, written once: runtime, fork guard, completion queue, settings and errors.
//!
//! All types here can be used from any thread of a host that knows nothing of async Rust. A call either blocks (and is
//! refused on the library's own threads) or takes a [`Queue`] and a tag and gives exactly one [`Event`] later.
//!
//! ```no_run
//! # fn example() -> Result<(), mq_binding::Error> {
//! use std::time::Duration;
//! use mq_binding::{Client, Config, Event, Message, Queue};
//!
//! let mut config = Config::new();
//! config.set("namesrv", "127.0.0.1:9876")?;
//! let client = Client::new(&config, "RUST")?;
//! let producer = client.producer(&Config::new())?;
//! let queue = Queue::new();
//! producer.send_async(Message::new("orders", "42 apples"), None, &queue, 7)?;
//! let mut events = Vec::new();
//! queue.poll(&mut events, 64, Duration::from_secs(5))?;
//! for event in events {
//!     if let Event::Done { tag, result } = event {
//!         println!("call {tag}: {result:?}");
//!     }
//! }
//! client.close(None)
//! # }
//! ```

mod broker;
mod calls;
mod client;
mod closing;
mod completion;
mod config;
mod dead_letters;
mod deadline;
mod event;
mod fence;
mod fork;
mod log;
mod producer;
mod pull_consumer;
mod pump;
mod push_consumer;
mod queue;
mod runtime;
mod token;
mod wakeup;

pub use broker::Broker;
pub use bytes::Bytes;
pub use client::Client;
pub use config::Config;
pub use dead_letters::DeadLetters;
pub use event::{Event, Outcome};
pub use fence::{fence, panicked};
pub use log::{LogHook, LogLevel, set_log_hook, set_log_queue};
pub use mq_client::{
    ConsumeResult, Delivery, Error, ErrorCode, Kind, Message, MessageQueue, MessageView, QueueChange, Scope,
    SendReceipt, SendStatus, Setting, Warning, WarningCode, settings,
};
pub use producer::Producer;
pub use pull_consumer::{PullConsumer, Seek};
pub use push_consumer::PushConsumer;
pub use queue::Queue;
pub use runtime::on_library_thread;
pub use token::ReplyToken;
pub use wakeup::Callback;

/// The library's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
