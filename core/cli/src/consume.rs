//! `mq consume`: prints messages as they come.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use futures_util::future::BoxFuture;
use mq_client::{
    Client, ClientConfig, ConsumeFrom, ConsumeResult, Listener, MessageView, PushConsumerConfig,
};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::Cluster;
use crate::failure::Failure;
use crate::output;
use crate::server::{block_on, ended};

pub(crate) const EXAMPLE: &str = "Examples:
  mq consume orders --group billing
  mq consume orders --group audit --from first --max 10 --json
  mq consume orders --group paid --tags 'paid || refunded'
  mq consume orders --group ledger --set consume_mode=orderly --set max_reconsume_times=5";

#[derive(Args)]
pub(crate) struct ConsumeArgs {
    /// The topic
    topic: String,
    /// Consumer group; where it stopped, it goes on
    #[arg(long, default_value = "mq-consume")]
    group: String,
    /// Tags to consume, as in 'a || b'; * is all
    #[arg(long, default_value = "*")]
    tags: String,
    /// Where a new group begins (a group that is new on a young topic begins at the first message in any case)
    #[arg(long, value_enum, default_value_t = Start::Last)]
    from: Start,
    /// Setting of the consumer, such as consume_mode=orderly; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Ends after so many messages
    #[arg(long)]
    max: Option<u64>,
    /// Prints each message as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Clone, Copy, ValueEnum)]
enum Start {
    First,
    Last,
}

#[derive(Serialize)]
struct MessageLine<'a> {
    topic: &'a str,
    queue_id: i32,
    queue_offset: i64,
    broker_name: &'a str,
    message_id: &'a str,
    tag: Option<&'a str>,
    keys: Vec<&'a str>,
    properties: std::collections::BTreeMap<&'a str, &'a str>,
    born_timestamp: i64,
    store_timestamp: i64,
    delivery_attempt: i32,
    body: std::borrow::Cow<'a, str>,
}

/// Hands each message to the printing loop and counts it as consumed only when it was printed.
struct ToPrinter(mpsc::Sender<(MessageView, tokio::sync::oneshot::Sender<()>)>);

impl Listener for ToPrinter {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        Box::pin(async move {
            for message in messages {
                let (printed, done) = tokio::sync::oneshot::channel();
                if self.0.send((message, printed)).await.is_err() || done.await.is_err() {
                    return ConsumeResult::LATER;
                }
            }
            ConsumeResult::Success
        })
    }
}

fn print(message: &MessageView, json: bool) -> Result<(), Failure> {
    let body = message.body();
    let text = String::from_utf8_lossy(&body);
    if !json {
        return output::line(&text);
    }
    output::json(&MessageLine {
        topic: message.topic(),
        queue_id: message.queue_id(),
        queue_offset: message.queue_offset(),
        broker_name: message.broker_name(),
        message_id: &message.message_id(),
        tag: message.tag(),
        keys: message.keys().collect(),
        properties: message.properties().collect(),
        born_timestamp: message.born_timestamp(),
        store_timestamp: message.store_timestamp(),
        delivery_attempt: message.delivery_attempt(),
        body: text,
    })
}

pub(crate) fn run(args: ConsumeArgs) -> Result<(), Failure> {
    block_on(async {
        let client = Client::new(ClientConfig::new(&args.cluster.namesrv)?)?;
        let mut config = PushConsumerConfig::new(&args.group).subscribe(&args.topic, &args.tags);
        config.consume_from_where = match args.from {
            Start::First => ConsumeFrom::First,
            Start::Last => ConsumeFrom::Last,
        };
        for setting in &args.settings {
            let (name, value) = setting
                .split_once('=')
                .ok_or_else(|| Failure::Usage(format!("--set '{setting}' is not of the form NAME=VALUE")))?;
            config.set(name.trim(), value)?;
        }
        let (sender, mut messages) = mpsc::channel(1);
        let consumer = client.push_consumer(config, Arc::new(ToPrinter(sender))).await?;
        let mut left = args.max.unwrap_or(u64::MAX);
        let mut done = Ok(());
        let ended = ended();
        tokio::pin!(ended);
        while left > 0 && done.is_ok() {
            tokio::select! {
                Some((message, printed)) = messages.recv() => {
                    done = print(&message, args.json);
                    if done.is_ok() {
                        left -= 1;
                        let _ = printed.send(());
                    }
                }
                result = &mut ended => {
                    done = result;
                    break;
                }
            }
        }
        // Whoever waits for its message to be printed is told that it will not be.
        drop(messages);
        consumer.close().await;
        client.close().await;
        done
    })
}
