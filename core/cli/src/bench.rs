//! `mq bench`: how fast messages go through a broker, in the figures that RocketMQ users know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use futures_util::future::BoxFuture;
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use mq_client::{
    Client, ClientConfig, ConsumeResult, Error, Listener, Message, MessageView, Producer, ProducerConfig,
    PushConsumerConfig,
};
use serde::Serialize;
use tokio::sync::Notify;

use crate::Cluster;
use crate::failure::Failure;
use crate::output;
use crate::server::{block_on, ended};

mod latency;
mod scale;
mod store;

#[derive(Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand)]
enum BenchCommand {
    /// Send as fast as the broker takes it
    #[command(after_help = "Examples:
  mq bench produce --threads 64 --size 1024 --seconds 30
  mq bench produce load --threads 4 --window 256 --count 1000000 --json")]
    Produce(ProduceArgs),
    /// Consume as fast as the broker gives it
    #[command(after_help = "Example:\n  mq bench consume load --group drain --count 1000000 --json")]
    Consume(ConsumeArgs),
    /// Measure how long messages take from sender to listener, at shares of the greatest load
    #[command(after_help = "Examples:
  mq bench latency load --load 10,50,90 --seconds 20
  mq bench latency load --rate 1000,20000 --size 1024 --json")]
    Latency(latency::LatencyBench),
    /// Measure the disk and the store's append beside it, without a broker
    #[command(after_help = "Example:\n  mq bench store --dir /var/lib/rocketmq --appenders 1,16,64,256")]
    Store(store::StoreBench),
    /// Measure stores with many queues, many messages and long logs: opening, memory, files, latency
    #[command(
        after_help = "Example:\n  mq bench scale --dir /var/lib/rocketmq --messages 20000000 --logs 1,5"
    )]
    Scale(scale::ScaleBench),
}

#[derive(Args)]
struct ProduceArgs {
    /// The topic
    #[arg(default_value = "BenchmarkTest")]
    topic: String,
    /// Senders at work at the same time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: u32,
    /// Bytes of a body
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    size: u32,
    /// Messages in one request
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Requests that each sender has in flight; 1 sends one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    window: u32,
    /// Ends after so many seconds [default: 10, unless --count is given]
    #[arg(long)]
    seconds: Option<u64>,
    /// Ends after so many messages
    #[arg(long)]
    count: Option<u64>,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Args)]
struct ConsumeArgs {
    /// The topic
    #[arg(default_value = "BenchmarkTest")]
    topic: String,
    /// Consumer group
    #[arg(long, default_value = "mq-bench")]
    group: String,
    /// Tags to consume; * is all
    #[arg(long, default_value = "*")]
    tags: String,
    /// Ends after so many seconds [default: 10, unless --count is given]
    #[arg(long)]
    seconds: Option<u64>,
    /// Ends after so many messages
    #[arg(long)]
    count: Option<u64>,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: Cluster,
}

pub(crate) fn run(args: BenchArgs) -> Result<(), Failure> {
    match args.command {
        BenchCommand::Produce(args) => block_on(produce(args)),
        BenchCommand::Consume(args) => block_on(consume(args)),
        BenchCommand::Latency(args) => latency::run(args),
        BenchCommand::Store(args) => store::run(&args),
        BenchCommand::Scale(args) => scale::run(&args),
    }
}

/// What a bench measured.
#[derive(Serialize)]
struct Report {
    messages: u64,
    failed: u64,
    seconds: f64,
    tps: f64,
    mib_per_second: f64,
    /// User and system time of this process.
    cpu_seconds: f64,
    /// Round trip of a send, or age of a message when it is consumed, in milliseconds.
    rt_ms: Latency,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure: Option<String>,
}

#[derive(Serialize)]
struct Latency {
    average: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Latency {
        // Micros to millis.
        let at = |quantile| to_millis(histogram.value_at_quantile(quantile));
        Latency {
            average: histogram.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: to_millis(histogram.max()),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn to_millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl Report {
    fn print(&self, what: &str, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        let rt = &self.rt_ms;
        let mut rows = vec![
            vec![format!("{what} TPS"), format!("{:.0}", self.tps)],
            vec!["MiB/s".into(), format!("{:.1}", self.mib_per_second)],
            vec!["Messages".into(), self.messages.to_string()],
            vec!["Failed".into(), self.failed.to_string()],
            vec!["Seconds".into(), format!("{:.2}", self.seconds)],
            vec!["CPU seconds".into(), format!("{:.2}", self.cpu_seconds)],
        ];
        let quantiles = [
            ("Average", rt.average),
            ("p50", rt.p50),
            ("p90", rt.p90),
            ("p99", rt.p99),
            ("p99.9", rt.p999),
            ("Max", rt.max),
        ];
        rows.extend(
            quantiles.iter().map(|(name, value)| vec![format!("{name} RT(ms)"), format!("{value:.3}")]),
        );
        if let Some(failure) = &self.first_failure {
            rows.push(vec!["First failure".into(), failure.clone()]);
        }
        output::table(&rows)
    }
}

/// User and system time of this process in seconds.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default().as_secs_f64()
}

/// When a bench ends: after a time, after a number of messages, or by a signal.
struct Limit {
    left: AtomicU64,
    deadline: Option<Instant>,
    stopped: std::sync::atomic::AtomicBool,
}

impl Limit {
    fn new(seconds: Option<u64>, count: Option<u64>) -> Arc<Limit> {
        let seconds = seconds.or(if count.is_none() { Some(10) } else { None });
        Arc::new(Limit {
            left: AtomicU64::new(count.unwrap_or(u64::MAX)),
            deadline: seconds.and_then(|n| Instant::now().checked_add(Duration::from_secs(n))),
            stopped: false.into(),
        })
    }

    /// Takes leave to send up to `wanted` messages; 0 at the end.
    fn take(&self, wanted: u64) -> u64 {
        if self.is_over() {
            return 0;
        }
        let mut taken = 0;
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            taken = left.min(wanted);
            Some(left - taken)
        });
        taken
    }

    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// A line on the terminal that shows how it goes; nothing elsewhere.
fn progress(count: Option<u64>) -> ProgressBar {
    if !output::is_terminal(&std::io::stderr()) {
        return ProgressBar::hidden();
    }
    let (bar, template) = match count {
        Some(count) => (ProgressBar::new(count), "{wide_bar} {human_pos}/{human_len} {per_sec} {eta}"),
        None => (ProgressBar::no_length(), "{spinner} {human_pos} messages {per_sec} {elapsed}"),
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style)
}

/// What one sender did.
struct Tally {
    sent: u64,
    failed: u64,
    first_failure: Option<Error>,
    micros: Histogram<u64>,
}

impl Tally {
    fn new() -> Tally {
        Tally { sent: 0, failed: 0, first_failure: None, micros: empty_histogram() }
    }

    fn add(&mut self, other: Tally) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        let _ = self.micros.add(&other.micros);
    }
}

/// Up to ten minutes in microseconds, three digits.
fn empty_histogram() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_max(600_000_000, 3).unwrap_or_else(|_| {
        // The bounds above are fixed and valid.
        unreachable!("fixed histogram bounds are valid")
    });
    histogram.auto(true);
    histogram
}

/// One sender that waits for each answer.
async fn sender(producer: Producer, args: Arc<ProduceArgs>, limit: Arc<Limit>, bar: ProgressBar) -> Tally {
    let body = bytes::Bytes::from(vec![b'x'; args.size as usize]);
    let mut tally = Tally::new();
    loop {
        let count = limit.take(u64::from(args.batch));
        if count == 0 {
            return tally;
        }
        let message = || Message::new(args.topic.as_str(), body.clone());
        let start = Instant::now();
        let done = if args.batch == 1 {
            producer.send(message()).await
        } else {
            producer.send_batch((0..count).map(|_| message()).collect()).await
        };
        match done {
            Ok(_) => {
                tally.sent += count;
                bar.inc(count);
                let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                tally.micros.saturating_record(micros);
            }
            Err(error) => {
                tally.failed += count;
                tally.first_failure.get_or_insert(error);
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
async fn produce(args: ProduceArgs) -> Result<(), Failure> {
    let client = Client::new(ClientConfig::new(&args.cluster.namesrv)?)?;
    let producer = client.producer(ProducerConfig::new("mq-bench"))?;
    // The route is known and the topic is there before the clock starts.
    producer.send(Message::new(&args.topic, vec![b'x'; args.size as usize])).await?;
    let limit = Limit::new(args.seconds, args.count);
    let bar = progress(args.count);
    let args = Arc::new(args);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let senders: Vec<_> = (0..args.threads * args.window)
        .map(|_| tokio::spawn(sender(producer.clone(), Arc::clone(&args), Arc::clone(&limit), bar.clone())))
        .collect();
    let stopper = tokio::spawn({
        let limit = Arc::clone(&limit);
        async move {
            if ended().await.is_ok() {
                limit.stop();
            }
        }
    });
    let mut tally = Tally::new();
    for sender in senders {
        tally.add(sender.await.map_err(|e| Failure::to("run a sender", e))?);
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    stopper.abort();
    bar.finish_and_clear();
    client.close().await;
    let report = Report {
        messages: tally.sent,
        failed: tally.failed,
        seconds,
        tps: tally.sent as f64 / seconds,
        mib_per_second: tally.sent as f64 * f64::from(args.size) / seconds / 1_048_576.0,
        cpu_seconds: cpu,
        rt_ms: Latency::of(&tally.micros),
        first_failure: tally.first_failure.as_ref().map(ToString::to_string),
    };
    report.print("Send", args.json)?;
    match tally.first_failure {
        Some(error) if tally.sent == 0 => Err(Failure::from(error)),
        _ => Ok(()),
    }
}

/// Counts messages, their bytes and their age.
struct Counter {
    seen: AtomicU64,
    bytes: AtomicU64,
    wanted: u64,
    first: std::sync::OnceLock<(Instant, f64)>,
    last: std::sync::Mutex<Option<Instant>>,
    age: std::sync::Mutex<Histogram<u64>>,
    bar: ProgressBar,
    enough: Notify,
}

impl Listener for Counter {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        self.first.get_or_init(|| (Instant::now(), cpu_seconds()));
        let mut bytes = 0;
        if let Ok(mut age) = self.age.lock() {
            for message in &messages {
                bytes += message.body().len() as u64;
                let millis = u64::try_from(now - message.born_timestamp()).unwrap_or(0);
                age.saturating_record(millis.saturating_mul(1000));
            }
        }
        let count = messages.len() as u64;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(count);
        if let Ok(mut last) = self.last.lock() {
            *last = Some(Instant::now());
        }
        if self.seen.fetch_add(count, Ordering::Relaxed) + count >= self.wanted {
            self.enough.notify_one();
        }
        Box::pin(std::future::ready(ConsumeResult::Success))
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
async fn consume(args: ConsumeArgs) -> Result<(), Failure> {
    let client = Client::new(ClientConfig::new(&args.cluster.namesrv)?)?;
    let mut config = PushConsumerConfig::new(&args.group).subscribe(&args.topic, &args.tags);
    config.set("consume_from_where", "FIRST")?;
    config.set("consume_message_batch_max_size", "32")?;
    let counter = Arc::new(Counter {
        seen: 0.into(),
        bytes: 0.into(),
        wanted: args.count.unwrap_or(u64::MAX),
        first: std::sync::OnceLock::new(),
        last: std::sync::Mutex::new(None),
        age: std::sync::Mutex::new(empty_histogram()),
        bar: progress(args.count),
        enough: Notify::new(),
    });
    let seconds = args.seconds.or(if args.count.is_none() { Some(10) } else { None });
    let consumer = client.push_consumer(config, Arc::clone(&counter) as Arc<dyn Listener>).await?;
    let time_over = async {
        match seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = counter.enough.notified() => {}
        () = time_over => {}
        result = ended() => result?,
    }
    let (start, cpu) = counter.first.get().copied().unwrap_or((Instant::now(), cpu_seconds()));
    let cpu = cpu_seconds() - cpu;
    let last = counter.last.lock().ok().and_then(|last| *last).unwrap_or(start);
    let took = last.duration_since(start).as_secs_f64().max(1e-9);
    counter.bar.finish_and_clear();
    consumer.close().await;
    client.close().await;
    let messages = counter.seen.load(Ordering::Relaxed);
    let age = counter.age.lock().map_or_else(|_| empty_histogram(), |age| age.clone());
    let report = Report {
        messages,
        failed: 0,
        seconds: took,
        tps: messages as f64 / took,
        mib_per_second: counter.bytes.load(Ordering::Relaxed) as f64 / took / 1_048_576.0,
        cpu_seconds: cpu,
        rt_ms: Latency::of(&age),
        first_failure: None,
    };
    report.print("Consume", args.json)?;
    match args.count {
        Some(count) if messages < count => Err(Failure::Failed(format!(
            "only {messages} of {count} messages came; the topic may hold no more"
        ))),
        _ => Ok(()),
    }
}
