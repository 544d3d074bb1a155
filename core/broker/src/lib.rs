//! NameServer and broker in one process, each able to start alone.

#![forbid(unsafe_code)]
