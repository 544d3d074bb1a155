//! What tests of applications do to a broker: faults for chosen requests, and a clock that can be moved.
//!
//! Both work inside the process only; nothing of this can be reached over the network, and a broker that is left
//! alone pays one relaxed load a request for it.

mod clock;
mod faults;

pub use clock::TestClock;
pub use faults::Faults;

pub use mq_protocol::{RequestCode, ResponseCode};

pub(crate) use faults::Fault;
