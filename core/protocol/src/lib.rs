//! RocketMQ's remoting protocol as a pure codec: frames, headers, bodies, message layout and filters; no I/O.

#![forbid(unsafe_code)]
