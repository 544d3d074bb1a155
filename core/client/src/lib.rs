//! The Rust client for RocketMQ: producers, consumers and admin.
//!
//! ```no_run
//! # async fn example() -> Result<(), mq_client::Error> {
//! use mq_client::{Client, ClientConfig, Message, ProducerConfig};
//!
//! let client = Client::new(ClientConfig::new("127.0.0.1:9876")?)?;
//! let producer = client.producer(ProducerConfig::new("orders"))?;
//! let receipt = producer.send(Message::new("orders", "42 apples").tag("paid").key("42")).await?;
//! println!("{} is number {} of its queue", receipt.message_id, receipt.queue_offset);
//! client.close().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod admin;
mod client;
mod config;
mod consumer;
mod dead_letters;
mod error;
mod message;
mod producer;
mod pull_consumer;
mod remoting;
mod route;
mod setting;
mod tasks;
mod view;

pub use admin::{Admin, Target};
pub use client::Client;
pub use config::{
    AllocateStrategy, ClientConfig, CompressType, ConsumeFrom, ConsumeMode, MessageModel, ProducerConfig,
    PullConsumerConfig, PushConsumerConfig, SerializeType,
};
pub use consumer::{ConsumeResult, Listener, PushConsumer, Warning, WarningCode};
pub use dead_letters::DeadLetters;
pub use error::{Error, ErrorCode};
pub use message::{Delivery, Message, SendReceipt, SendStatus};
pub use mq_protocol::Language;
pub use mq_protocol::body;
pub use mq_protocol::body::MessageQueue;
pub use producer::{Producer, split_batch};
pub use pull_consumer::{PullConsumer, QueueChange};
pub use setting::{Kind, Scope, Setting, settings};
pub use view::MessageView;
