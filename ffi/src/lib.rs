//! The stable C ABI of libmq.
//!
//! One file per family of the header, `include/mq.h`, which is generated from them by
//! `cargo run -p mq-ffi-xtask -- header`. Its comments are the documentation; they are written for readers of C.

#![allow(
    clippy::missing_safety_doc,
    reason = "the docs are the header's comments; its first one has the rules"
)]
#![allow(non_camel_case_types, reason = "the names are C's")]

pub mod broker;
mod call;
pub mod client;
pub mod config;
pub mod dead_letters;
pub mod error;
pub mod event;
pub mod faults;
pub mod log;
pub mod message;
pub mod message_queues;
pub mod packed;
pub mod producer;
pub mod pull_consumer;
pub mod pull_consumer_async;
pub mod push_consumer;
pub mod queue;
pub mod receipt;
pub mod version;
pub mod view;
