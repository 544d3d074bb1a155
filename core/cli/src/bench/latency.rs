//! `mq bench latency`: how long messages take from their sender to a listener, at shares of the greatest load.
//!
//! Open loop: each message has a time at which it is due, and its latency counts from then, also when it could only be
//! sent later. So a stall of the broker, or of this program, is seen in the figures of all messages that were due meanwhile.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use clap::Args;
use futures_util::future::{BoxFuture, join_all};
use hdrhistogram::Histogram;
use mq_client::{
    Client, ClientConfig, ConsumeResult, Listener, Message, MessageView, Producer, ProducerConfig,
    PushConsumerConfig,
};
use serde::Serialize;
use tokio::sync::{Notify, Semaphore};

use super::{Latency, cpu_seconds, empty_histogram};
use crate::Cluster;
use crate::failure::Failure;
use crate::output;
use crate::server::block_on;

#[derive(Args)]
pub(super) struct LatencyBench {
    /// The topic
    #[arg(default_value = "BenchmarkTest")]
    topic: String,
    /// Consumer group
    #[arg(long, default_value = "mq-bench-latency")]
    group: String,
    /// Shares of the greatest load to measure at, in percent; the greatest load is measured first
    #[arg(long, value_delimiter = ',', default_values_t = [10.0, 50.0, 90.0], value_parser = share)]
    load: Vec<f64>,
    /// Messages a second to measure at, instead of shares
    #[arg(long, value_delimiter = ',', conflicts_with = "load", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Vec<u32>,
    /// Length of each measurement in seconds, after a warm-up of a second
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Bytes of a body
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(i64::from(HEAD)..=4_194_304))]
    size: u32,
    /// Messages between sender and listener while the greatest load is looked for
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    window: u32,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: Cluster,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if percent > 0.0 && percent <= 1000.0 => Ok(percent),
        _ => Err("a percentage above 0 and up to 1000".into()),
    }
}

/// What a body begins with: which run and measurement it belongs to, and when it was due.
const HEAD: u32 = 24;
/// What is due longer than this before the measurement begins is sent, but does not count.
const WARM_UP: Duration = Duration::from_secs(1);
/// Sends under way; whoever is due then waits, and that time counts.
const OUTSTANDING: u32 = 100_000;
/// How long messages that are missing are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What arrives, for the measurement that is under way.
struct Arrivals {
    start: Instant,
    run: u64,
    measurement: AtomicU64,
    /// Nanoseconds after `start` from which on messages count.
    counts_from: AtomicU64,
    received: AtomicI64,
    micros: Mutex<Histogram<u64>>,
    /// Room between sender and listener while the greatest load is looked for.
    room: Semaphore,
    bounded: AtomicBool,
    news: Notify,
}

impl Arrivals {
    fn nanos(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A body of this measurement that is due so many nanoseconds after the start.
    fn body(&self, size: u32, due: u64) -> Bytes {
        let mut body = BytesMut::with_capacity(size as usize);
        body.put_u64(self.run);
        body.put_u64(self.measurement.load(Ordering::Relaxed));
        body.put_u64(due);
        body.resize(size as usize, b'x');
        body.freeze()
    }

    /// Begins a measurement; nothing of the one before is under way any more, or it is not counted.
    fn begin(&self, counts_from: u64, bounded: bool) {
        self.measurement.fetch_add(1, Ordering::Relaxed);
        self.counts_from.store(counts_from, Ordering::Relaxed);
        self.received.store(0, Ordering::Relaxed);
        self.bounded.store(bounded, Ordering::Relaxed);
        if let Ok(mut micros) = self.micros.lock() {
            micros.reset();
        }
    }

    /// Waits until so many messages that count have come; false if they do not.
    async fn until(&self, wanted: i64) -> bool {
        let arrived = async {
            while self.received.load(Ordering::Relaxed) < wanted {
                self.news.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, arrived).await.is_ok()
    }
}

/// The run, the measurement and the due time of a body of ours.
fn head(body: &[u8]) -> Option<(u64, u64, u64)> {
    let field = |at: usize| Some(u64::from_be_bytes(body.get(at..at + 8)?.try_into().ok()?));
    Some((field(0)?, field(8)?, field(16)?))
}

impl Listener for Arrivals {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        let now = self.nanos();
        let (measurement, counts_from) =
            (self.measurement.load(Ordering::Relaxed), self.counts_from.load(Ordering::Relaxed));
        let mut counted = 0;
        if let Ok(mut micros) = self.micros.lock() {
            for message in &messages {
                match head(&message.body()) {
                    Some((run, of, due)) if (run, of) == (self.run, measurement) && due >= counts_from => {
                        micros.saturating_record(now.saturating_sub(due) / 1000);
                        counted += 1;
                    }
                    _ => {}
                }
            }
        }
        if self.bounded.load(Ordering::Relaxed) {
            self.room.add_permits(messages.len());
        }
        self.received.fetch_add(counted, Ordering::Relaxed);
        self.news.notify_one();
        Box::pin(std::future::ready(ConsumeResult::Success))
    }
}

/// Sends under way and what became of those that count.
struct Sends {
    producer: Producer,
    topic: String,
    size: u32,
    under_way: Semaphore,
    micros: Mutex<Histogram<u64>>,
    failed: AtomicU64,
    first_failure: Mutex<Option<mq_client::Error>>,
}

impl Sends {
    /// Sends messages that are due; each is done with its latency since then in microseconds, if it was stored.
    async fn due(&self, arrivals: &Arrivals, due: Vec<u64>) {
        let count = due.len();
        let done = join_all(due.into_iter().map(|due| async move {
            let message = Message::new(self.topic.as_str(), arrivals.body(self.size, due));
            match self.producer.send(message).await {
                Ok(_) => Some((due, arrivals.nanos().saturating_sub(due) / 1000)),
                Err(error) => {
                    self.fail(error);
                    None
                }
            }
        }))
        .await;
        let counts_from = arrivals.counts_from.load(Ordering::Relaxed);
        if let Ok(mut micros) = self.micros.lock() {
            done.into_iter().flatten().filter(|(due, _)| *due >= counts_from).for_each(|(_, took)| {
                micros.saturating_record(took);
            });
        }
        // Last, because whoever has all of them reads what was recorded.
        self.under_way.add_permits(count);
    }

    fn fail(&self, error: mq_client::Error) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut first) = self.first_failure.lock() {
            first.get_or_insert(error);
        }
    }
}

/// One measurement.
#[derive(Serialize)]
struct Row {
    /// Of the greatest load, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<f64>,
    /// Messages a second that were due.
    rate: f64,
    /// Messages a second that were stored.
    tps: f64,
    stored: u64,
    failed: u64,
    /// Messages that were stored but did not come to the listener.
    missing: u64,
    cpu_seconds: f64,
    /// From the time at which a message was due to the broker's answer.
    send_ms: Latency,
    /// From the time at which a message was due to the listener.
    end_to_end_ms: Latency,
}

#[derive(Serialize)]
struct Report {
    /// Messages a second from sender to listener with `window` on their way.
    #[serde(skip_serializing_if = "Option::is_none")]
    greatest: Option<f64>,
    measurements: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_failure: Option<String>,
}

struct Bench {
    arrivals: Arc<Arrivals>,
    sends: Arc<Sends>,
    seconds: u32,
}

impl Bench {
    /// Nothing is measured before every queue has been assigned to the consumer.
    async fn ready(&self) -> Result<(), Failure> {
        let queues = self.sends.producer.queues(&self.sends.topic).await?;
        self.arrivals.begin(0, false);
        for queue in &queues {
            let body = self.arrivals.body(self.sends.size, self.arrivals.nanos());
            self.sends.producer.send_to_queue(Message::new(&self.sends.topic, body), queue).await?;
        }
        if self.arrivals.until(i64::try_from(queues.len()).unwrap_or(i64::MAX)).await {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "the listener got {} of {} messages, one of each queue, within {} s; is another consumer in its group?",
            self.arrivals.received.load(Ordering::Relaxed),
            queues.len(),
            PATIENCE.as_secs()
        )))
    }

    /// The greatest load: as many messages a second as come to the listener with so many on their way.
    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    async fn greatest(&self, window: u32) -> Result<f64, Failure> {
        let arrivals = &self.arrivals;
        arrivals.begin(0, true);
        arrivals.room.add_permits(window as usize);
        let over = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..window)
            .map(|_| {
                let (arrivals, sends, over) =
                    (Arc::clone(arrivals), Arc::clone(&self.sends), Arc::clone(&over));
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        match arrivals.room.acquire().await {
                            Ok(room) => room.forget(),
                            Err(_) => return,
                        }
                        let body = arrivals.body(sends.size, arrivals.nanos());
                        if let Err(error) = sends.producer.send(Message::new(&sends.topic, body)).await {
                            arrivals.room.add_permits(1);
                            sends.fail(error);
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(WARM_UP).await;
        let (start, before) = (Instant::now(), arrivals.received.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_secs(self.seconds.into())).await;
        let (took, received) = (start.elapsed(), arrivals.received.load(Ordering::Relaxed) - before);
        over.store(true, Ordering::Relaxed);
        // Whoever waits for room gets it and ends.
        arrivals.room.add_permits(window as usize);
        for sender in senders {
            sender.await.map_err(|e| Failure::to("run a sender", e))?;
        }
        arrivals.room.forget_permits(usize::MAX);
        if received <= 0 {
            return Err(self.failure().unwrap_or_else(|| {
                Failure::Failed(format!("no message came to the listener within {} s", self.seconds))
            }));
        }
        Ok(received as f64 / took.as_secs_f64())
    }

    fn failure(&self) -> Option<Failure> {
        self.sends.first_failure.lock().ok()?.take().map(Failure::from)
    }

    /// Sends `rate` messages a second, evenly, for the time of a measurement.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "figures for people, in range"
    )]
    async fn at(&self, load: Option<f64>, rate: f64) -> Result<Row, Failure> {
        let (arrivals, sends) = (Arc::clone(&self.arrivals), Arc::clone(&self.sends));
        let begins = arrivals.nanos();
        let warm_up = WARM_UP.as_nanos() as u64;
        let counts_from = begins + warm_up;
        let ends = counts_from + u64::from(self.seconds) * 1_000_000_000;
        arrivals.begin(counts_from, false);
        sends.failed.store(0, Ordering::Relaxed);
        if let Ok(mut micros) = sends.micros.lock() {
            micros.reset();
        }
        let (cpu, runtime) = (cpu_seconds(), tokio::runtime::Handle::current());
        // A thread of its own: the runtime's timers know only milliseconds.
        let pacer = std::thread::spawn(move || {
            let mut next = 0_u64;
            let due_at = |number: u64| begins + (number as f64 * 1e9 / rate).round() as u64;
            while due_at(next) < ends {
                let now = arrivals.nanos();
                let mut due = Vec::new();
                while due_at(next) <= now
                    && due_at(next) < ends
                    && sends.under_way.try_acquire().map(|p| p.forget()).is_ok()
                {
                    due.push(due_at(next));
                    next += 1;
                }
                if due.is_empty() {
                    let wait = due_at(next).saturating_sub(now).clamp(20_000, 1_000_000_000);
                    std::thread::sleep(Duration::from_nanos(wait));
                    continue;
                }
                let (arrivals, sends) = (Arc::clone(&arrivals), Arc::clone(&sends));
                runtime.spawn(async move { sends.due(&arrivals, due).await });
            }
        });
        tokio::task::spawn_blocking(move || pacer.join())
            .await
            .map_err(|e| Failure::to("wait for the sends", e))?
            .map_err(|_| Failure::Failed("the thread that sends has panicked".into()))?;
        // Every send has ended.
        let all = self
            .sends
            .under_way
            .acquire_many(OUTSTANDING)
            .await
            .map_err(|e| Failure::to("wait for the sends", e))?;
        drop(all);
        let took = Duration::from_nanos(self.arrivals.nanos() - counts_from);
        let stored = self.sends.micros.lock().map_or(0, |micros| micros.len());
        let wanted = i64::try_from(stored).unwrap_or(i64::MAX);
        self.arrivals.until(wanted).await;
        // Fewer than were stored: lost. More: a send that seemed to fail had been stored, or a message came twice.
        let missing = wanted - self.arrivals.received.load(Ordering::Relaxed);
        let latency = |micros: &Mutex<Histogram<u64>>| {
            micros.lock().map_or_else(|_| Latency::of(&empty_histogram()), |micros| Latency::of(&micros))
        };
        Ok(Row {
            load,
            rate,
            tps: stored as f64 / took.as_secs_f64(),
            stored,
            failed: self.sends.failed.load(Ordering::Relaxed),
            missing: u64::try_from(missing).unwrap_or(0),
            cpu_seconds: cpu_seconds() - cpu,
            send_ms: latency(&self.sends.micros),
            end_to_end_ms: latency(&self.arrivals.micros),
        })
    }
}

pub(super) fn run(args: LatencyBench) -> Result<(), Failure> {
    block_on(measure(args))
}

async fn measure(args: LatencyBench) -> Result<(), Failure> {
    let client = Client::new(ClientConfig::new(&args.cluster.namesrv)?)?;
    let mut config = ProducerConfig::new("mq-bench");
    config.set("max_in_flight", &OUTSTANDING.to_string())?;
    config.set("max_in_flight_bytes", "17179869184")?;
    let producer = client.producer(config)?;
    // The topic is there, created if need be, before the consumer asks for its route.
    producer.send(Message::new(&args.topic, "mq bench")).await?;
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let arrivals = Arc::new(Arrivals {
        start: Instant::now(),
        run: u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX),
        measurement: 0.into(),
        counts_from: 0.into(),
        received: 0.into(),
        micros: Mutex::new(empty_histogram()),
        room: Semaphore::new(0),
        bounded: false.into(),
        news: Notify::new(),
    });
    let mut config = PushConsumerConfig::new(&args.group).subscribe(&args.topic, "*");
    config.set("consume_message_batch_max_size", "32")?;
    let consumer = client.push_consumer(config, Arc::clone(&arrivals) as Arc<dyn Listener>).await?;
    let sends = Arc::new(Sends {
        producer,
        topic: args.topic.clone(),
        size: args.size,
        under_way: Semaphore::new(OUTSTANDING as usize),
        micros: Mutex::new(empty_histogram()),
        failed: 0.into(),
        first_failure: Mutex::new(None),
    });
    let bench = Bench { arrivals, sends, seconds: args.seconds };
    bench.ready().await?;
    let (greatest, steps) = if args.rate.is_empty() {
        let greatest = bench.greatest(args.window).await?;
        (Some(greatest), args.load.iter().map(|load| (Some(*load), greatest * load / 100.0)).collect())
    } else {
        (None, args.rate.iter().map(|rate| (None, f64::from(*rate))).collect::<Vec<_>>())
    };
    let mut measurements = Vec::with_capacity(steps.len());
    for (load, rate) in steps {
        measurements.push(bench.at(load, rate).await?);
    }
    consumer.close().await;
    client.close().await;
    let failure = bench.failure();
    let report = Report { greatest, measurements, first_failure: failure.as_ref().map(ToString::to_string) };
    report.print(args.json)?;
    let missing: u64 = report.measurements.iter().map(|row| row.missing).sum();
    match failure {
        Some(failure) if report.measurements.iter().all(|row| row.stored == 0) => Err(failure),
        _ if missing > 0 => Err(Failure::Failed(format!("{missing} messages did not come to the listener"))),
        _ => Ok(()),
    }
}

impl Report {
    fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(self);
        }
        if let Some(greatest) = self.greatest {
            output::line(&format!("From sender to listener at most {greatest:.0} messages a second"))?;
        }
        let head = ["Load", "Rate", "TPS", "Failed", "Missing", "CPU s", "ms", "p50", "p99", "p99.9", "Max"];
        let mut rows = vec![head.map(String::from).to_vec()];
        for row in &self.measurements {
            for (what, ms) in [("send", &row.send_ms), ("end to end", &row.end_to_end_ms)] {
                let load = row.load.map_or_else(String::new, |load| format!("{load} %"));
                let mut cells = vec![load, format!("{:.0}", row.rate), format!("{:.0}", row.tps)];
                cells.extend([
                    row.failed.to_string(),
                    row.missing.to_string(),
                    format!("{:.2}", row.cpu_seconds),
                ]);
                cells.push(what.into());
                cells.extend([ms.p50, ms.p99, ms.p999, ms.max].map(|value| format!("{value:.3}")));
                rows.push(cells);
            }
        }
        if let Some(failure) = &self.first_failure {
            rows.push(vec!["First failure".into(), failure.clone()]);
        }
        output::table(&rows)
    }
}
