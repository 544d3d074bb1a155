//! The extension module `libmq._core`: converts between Python's objects and the core's, and delegates.
#![forbid(unsafe_code)]

mod broker;
mod client;
mod consumer;
mod convert;
mod dead_letters;
mod events;
mod message;

/// What `libmq`, `libmq.aio` and `libmq.testing` are made of.
#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::broker::{Broker, Logs};
    #[pymodule_export]
    use crate::client::{Client, Producer};
    #[pymodule_export]
    use crate::consumer::{PullConsumer, PushConsumer};
    #[pymodule_export]
    use crate::dead_letters::DeadLetters;
    #[pymodule_export]
    use crate::events::{Delivery, Events};
    #[pymodule_export]
    use crate::message::{Message, MessageView, SendReceipt};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
