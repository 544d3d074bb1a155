//! The native module of `@libmq/client`: thin classes over the binding, driven by `lib/`. Not a public interface.
//!
//! Asynchronous calls take a tag and complete on the thread's [`Queue`]; JavaScript drains it in batches.

mod batch;
mod client;
mod consumer;
mod dead_letters;
mod error;
mod queue;
mod testing;
