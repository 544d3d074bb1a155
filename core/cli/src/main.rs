//! The command line `mq`: broker, NameServer, produce, consume, bench and admin.

#![forbid(unsafe_code)]

fn main() {}
