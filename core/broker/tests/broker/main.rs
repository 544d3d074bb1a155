//! Drives NameServer and broker over TCP with raw frames, polite ones and hostile ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod admin;
mod client;
mod consuming;
mod hostile;
mod lifecycle;
mod namesrv;
mod progress;
mod sending;
mod testing;
