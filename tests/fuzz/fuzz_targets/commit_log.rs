//! A commit log file: a store with it is checked, opened, read, written to and closed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| mq_fuzz::store_with(mq_fuzz::Part::CommitLog, data));
