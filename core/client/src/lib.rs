//! The Rust client for RocketMQ: producers, consumers and admin.

#![forbid(unsafe_code)]
