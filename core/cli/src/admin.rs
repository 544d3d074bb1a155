//! `mq admin`: topics and brokers of any RocketMQ cluster.

use clap::{Args, Subcommand};
use mq_client::{Admin, Client, ClientConfig, Target};
use serde::Serialize;

use crate::Cluster;
use crate::failure::Failure;
use crate::output::{self, table};
use crate::server::block_on;

#[derive(Args)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Look at topics and create them
    Topic {
        #[command(subcommand)]
        command: TopicCommand,
    },
    /// Show the brokers of all clusters
    #[command(after_help = "Example:\n  mq admin cluster -n 127.0.0.1:9876")]
    Cluster(Query),
}

#[derive(Args)]
struct Query {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Subcommand)]
enum TopicCommand {
    /// Create a topic, or change its queues
    #[command(after_help = "Example:\n  mq admin topic create orders --queues 8")]
    Create {
        /// Name of the topic
        topic: String,
        /// Queues to read from and to write to, on each broker
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(i32).range(1..=65_535))]
        queues: i32,
        /// Only on the brokers of this cluster
        #[arg(long = "cluster", value_name = "NAME", conflicts_with = "broker")]
        cluster_name: Option<String>,
        /// Only on the broker at this address
        #[arg(long, value_name = "HOST:PORT")]
        broker: Option<String>,
        #[command(flatten)]
        query: Query,
    },
    /// Name all topics
    #[command(after_help = "Example:\n  mq admin topic list")]
    List(Query),
    /// Show where a topic's queues are
    #[command(after_help = "Example:\n  mq admin topic route orders")]
    Route {
        /// Name of the topic
        topic: String,
        #[command(flatten)]
        query: Query,
    },
    /// Show what a topic's queues hold
    #[command(after_help = "Example:\n  mq admin topic status orders --json")]
    Status {
        /// Name of the topic
        topic: String,
        #[command(flatten)]
        query: Query,
    },
}

pub(crate) fn run(args: AdminArgs) -> Result<(), Failure> {
    block_on(async {
        let query = match &args.command {
            AdminCommand::Cluster(query) | AdminCommand::Topic { command: TopicCommand::List(query) } => {
                query
            }
            AdminCommand::Topic {
                command:
                    TopicCommand::Create { query, .. }
                    | TopicCommand::Route { query, .. }
                    | TopicCommand::Status { query, .. },
            } => query,
        };
        let client = Client::new(ClientConfig::new(&query.cluster.namesrv)?)?;
        let done = ask(&client.admin(), &args.command).await;
        client.close().await;
        done
    })
}

async fn ask(admin: &Admin, command: &AdminCommand) -> Result<(), Failure> {
    match command {
        AdminCommand::Cluster(query) => cluster(admin, query.json).await,
        AdminCommand::Topic { command } => match command {
            TopicCommand::Create { topic, queues, cluster_name, broker, query } => {
                let target = match (cluster_name, broker) {
                    (Some(name), _) => Target::Cluster(name.clone()),
                    (None, Some(address)) => Target::Broker(address.clone()),
                    (None, None) => Target::All,
                };
                create(admin, topic, *queues, &target, query.json).await
            }
            TopicCommand::List(query) => list(admin, query.json).await,
            TopicCommand::Route { topic, query } => route(admin, topic, query.json).await,
            TopicCommand::Status { topic, query } => status(admin, topic, query.json).await,
        },
    }
}

#[derive(Serialize)]
struct Created<'a> {
    topic: &'a str,
    queues: i32,
    brokers: Vec<String>,
}

async fn create(admin: &Admin, topic: &str, queues: i32, target: &Target, json: bool) -> Result<(), Failure> {
    admin.create_topic(topic, queues, target).await?;
    let brokers = admin.masters(target).await?;
    if json {
        return output::json(&Created { topic, queues, brokers });
    }
    output::line(&format!("topic {topic} has {queues} queues on {}", brokers.join(", ")))
}

async fn list(admin: &Admin, json: bool) -> Result<(), Failure> {
    let topics = admin.topics(None).await?;
    if json {
        return output::json(&topics);
    }
    topics.iter().try_for_each(|topic| output::line(topic))
}

async fn route(admin: &Admin, topic: &str, json: bool) -> Result<(), Failure> {
    let route = admin.route(topic).await?;
    if json {
        return output::json(&route);
    }
    let mut rows = vec![head(&["BROKER", "CLUSTER", "ADDRESSES", "READ", "WRITE", "PERM"])];
    for queues in &route.queue_datas {
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == queues.broker_name);
        let addresses =
            broker.map(|b| b.broker_addrs.iter().map(|(id, at)| format!("{id}={at}")).collect::<Vec<_>>());
        rows.push(vec![
            queues.broker_name.clone(),
            broker.map(|b| b.cluster.clone()).unwrap_or_default(),
            addresses.unwrap_or_default().join(" "),
            queues.read_queue_nums.to_string(),
            queues.write_queue_nums.to_string(),
            queues.perm.to_string(),
        ]);
    }
    table(&rows)
}

#[derive(Serialize)]
struct TopicStatus<'a> {
    topic: &'a str,
    queues: Vec<QueueStatus>,
}

#[derive(Serialize)]
struct QueueStatus {
    broker_name: String,
    queue_id: i32,
    min_offset: i64,
    max_offset: i64,
    last_update_timestamp: i64,
}

async fn status(admin: &Admin, topic: &str, json: bool) -> Result<(), Failure> {
    let stats = admin.topic_status(topic).await?;
    let queues: Vec<QueueStatus> = stats
        .offset_table
        .iter()
        .map(|(queue, offsets)| QueueStatus {
            broker_name: queue.broker_name.clone(),
            queue_id: queue.queue_id,
            min_offset: offsets.min_offset,
            max_offset: offsets.max_offset,
            last_update_timestamp: offsets.last_update_timestamp,
        })
        .collect();
    if json {
        return output::json(&TopicStatus { topic, queues });
    }
    let mut rows = vec![head(&["BROKER", "QUEUE", "MIN", "MAX", "MESSAGES"])];
    for queue in &queues {
        let numbers = [queue.min_offset, queue.max_offset, queue.max_offset - queue.min_offset];
        let mut row = vec![queue.broker_name.clone(), queue.queue_id.to_string()];
        row.extend(numbers.map(|number| number.to_string()));
        rows.push(row);
    }
    table(&rows)
}

#[derive(Serialize)]
struct BrokerLine {
    cluster: String,
    name: String,
    id: i64,
    address: String,
    /// What the broker calls itself; absent when it does not answer.
    version: Option<String>,
    put_tps: Option<String>,
    get_tps: Option<String>,
}

async fn cluster(admin: &Admin, json: bool) -> Result<(), Failure> {
    let info = admin.cluster().await?;
    let mut brokers = Vec::new();
    for broker in info.broker_addr_table.values() {
        for (id, address) in &broker.broker_addrs {
            // A broker that is gone is shown, not an error.
            let status = admin.broker_status(address).await.unwrap_or_default();
            let first =
                |key: &str| status.get(key).and_then(|text| text.split(' ').next()).map(str::to_owned);
            brokers.push(BrokerLine {
                cluster: broker.cluster.clone(),
                name: broker.broker_name.clone(),
                id: *id,
                address: address.clone(),
                version: status.get("brokerVersionDesc").cloned(),
                put_tps: first("putTps"),
                get_tps: first("getTransferredTps"),
            });
        }
    }
    if json {
        return output::json(&brokers);
    }
    let mut rows = vec![head(&["CLUSTER", "BROKER", "ID", "ADDRESS", "VERSION", "IN TPS", "OUT TPS"])];
    for broker in brokers {
        let text = |value: Option<String>| value.unwrap_or_else(|| "?".to_owned());
        // Brokers tell all digits that a double has.
        let rate = |value: Option<String>| match value.as_deref().map(str::parse::<f64>) {
            Some(Ok(rate)) => format!("{rate:.2}"),
            _ => text(value),
        };
        rows.push(vec![
            broker.cluster,
            broker.name,
            broker.id.to_string(),
            broker.address,
            text(broker.version),
            rate(broker.put_tps),
            rate(broker.get_tps),
        ]);
    }
    table(&rows)
}

fn head(titles: &[&str]) -> Vec<String> {
    titles.iter().map(|title| (*title).to_owned()).collect()
}
