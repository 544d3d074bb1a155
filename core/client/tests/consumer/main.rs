//! The push consumer against a broker: delivery, order, broadcasting, sharing, limits.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../support/mod.rs"]
mod support;

mod admin;
mod broadcasting;
mod dead_letters;
mod delivery;
mod limits;
mod orderly;
mod prelude;
mod sharing;
mod subscribing;
mod warnings;
