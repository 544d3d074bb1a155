//! `mq produce`: sends the given texts, or each line of stdin.

use std::io::IsTerminal;

use clap::Args;
use mq_client::{Client, ClientConfig, Message, Producer, ProducerConfig, SendReceipt};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::Cluster;
use crate::failure::Failure;
use crate::output;
use crate::server::block_on;

pub(crate) const EXAMPLE: &str = "Examples:
  mq produce orders --tag paid --key 42 'text'
  journalctl | mq produce logs --tag host1";

#[derive(Args)]
pub(crate) struct ProduceArgs {
    /// The topic
    topic: String,
    /// Bodies, one message each; without any, each line of stdin is one
    body: Vec<String>,
    /// Tag of the messages
    #[arg(long)]
    tag: Option<String>,
    /// Key of the messages; may be given several times
    #[arg(long = "key")]
    keys: Vec<String>,
    /// Property of the messages; may be given several times
    #[arg(long = "property", value_name = "NAME=VALUE")]
    properties: Vec<String>,
    /// Message group: all messages go to one queue, in order
    #[arg(long = "group-key", value_name = "KEY")]
    message_group: Option<String>,
    /// Producer group
    #[arg(long, default_value = "mq-produce")]
    group: String,
    /// Prints each receipt as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Serialize)]
struct ReceiptLine<'a> {
    message_id: &'a str,
    offset_message_id: &'a str,
    broker_name: &'a str,
    queue_id: i32,
    queue_offset: i64,
    status: &'static str,
}

impl ProduceArgs {
    fn message(&self, body: String) -> Result<Message, Failure> {
        let mut message = Message::new(&self.topic, body);
        if let Some(tag) = &self.tag {
            message = message.tag(tag);
        }
        for key in &self.keys {
            message = message.key(key);
        }
        for pair in &self.properties {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                Failure::Usage(format!("--property '{pair}' is not of the form NAME=VALUE"))
            })?;
            message = message.property(name, value);
        }
        if let Some(group) = &self.message_group {
            message = message.message_group(group);
        }
        Ok(message)
    }

    fn report(&self, receipt: &SendReceipt) -> Result<(), Failure> {
        if self.json {
            return output::json(&ReceiptLine {
                message_id: &receipt.message_id,
                offset_message_id: &receipt.offset_message_id,
                broker_name: &receipt.broker_name,
                queue_id: receipt.queue_id,
                queue_offset: receipt.queue_offset,
                status: receipt.status.name(),
            });
        }
        output::line(&format!(
            "{} {} queue {} offset {}",
            receipt.message_id, receipt.broker_name, receipt.queue_id, receipt.queue_offset
        ))
    }

    async fn send(&self, producer: &Producer, body: String) -> Result<(), Failure> {
        let receipt = producer.send(self.message(body)?).await?;
        self.report(&receipt)
    }

    async fn send_all(&self, producer: &Producer) -> Result<(), Failure> {
        if !self.body.is_empty() {
            for body in &self.body {
                self.send(producer, body.clone()).await?;
            }
            return Ok(());
        }
        if std::io::stdin().is_terminal() {
            eprintln!("mq: each line is a message; end with Ctrl-D");
        }
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            // A message needs a body.
            if !line.is_empty() {
                self.send(producer, line).await?;
            }
        }
        Ok(())
    }
}

pub(crate) fn run(args: ProduceArgs) -> Result<(), Failure> {
    block_on(async {
        let client = Client::new(ClientConfig::new(&args.cluster.namesrv)?)?;
        let producer = client.producer(ProducerConfig::new(&args.group))?;
        let done = args.send_all(&producer).await;
        client.close().await;
        done
    })
}
