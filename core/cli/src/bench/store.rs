//! `mq bench store`: what the disk allows, and what the store makes of it, in one run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use mq_broker::WakeInside;
use mq_protocol::message::NewRecord;
use mq_store::limit::{self, Speed};
use mq_store::{FlushDisk, FlushStatus, Store, StoreConfig};
use serde::Serialize;

use crate::failure::Failure;
use crate::output;
use crate::server::runtime;

/// What a broker adds to a message that has a tag.
const PROPERTIES: &str = "UNIQ_KEY\u{1}7F00000100002A9F4C6E18B4AAC20000\u{2}WAIT\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}\
    MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}TAGS\u{1}TagA\u{2}";
const LOG_FILE: u64 = 256 << 20;
/// File of the limit with synchronous flush: so long that a slice only appends, as the store does, for blocks that were written
/// before are faster.
const RAW_FILE: u64 = 4 << 30;

#[derive(Args)]
pub(super) struct StoreBench {
    /// Folder on the disk to measure, with 5 GiB free; what the bench writes there is removed again
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Bytes of each body
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    size: u32,
    /// Seconds for each measurement with synchronous flush
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Messages for each measurement with asynchronous flush
    #[arg(long, default_value_t = 900_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// How many append at a time with synchronous flush, one measurement for each number
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    appenders: Vec<u32>,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
}

/// One measurement beside its limit, in messages a second over all its slices.
#[derive(Serialize)]
struct Row {
    flush: &'static str,
    appenders: u32,
    limit: f64,
    ours: f64,
    ratio: f64,
}

/// Slices of a measurement with synchronous flush, of the limit and of ours in turns; each ratio is the middle one of theirs.
const SLICES: u32 = 5;
/// The same with asynchronous flush, where one takes no second and the machine's memory is of many moods.
const MANY_SLICES: u32 = 15;

/// Slices of the limit, each with the one of ours that came behind it.
#[derive(Default)]
struct Pairs(Vec<(Speed, Speed)>);

impl Pairs {
    fn add(&mut self, limit: Speed, ours: Speed) {
        self.0.push((limit, ours));
    }

    fn per_second(&self, which: impl Fn(&(Speed, Speed)) -> Speed) -> f64 {
        let all = self.0.iter().map(which).fold((0, Duration::ZERO), |(messages, time), speed| {
            (messages + speed.messages, time + speed.time)
        });
        Speed { messages: all.0, time: all.1 }.per_second()
    }

    fn ratio(&self) -> f64 {
        let mut ratios: Vec<f64> =
            self.0.iter().map(|(limit, ours)| ours.per_second() / limit.per_second()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(0.0)
    }

    fn row(&self, flush: &'static str, appenders: u32) -> Row {
        let (limit, ours) = (self.per_second(|pair| pair.0), self.per_second(|pair| pair.1));
        Row { flush, appenders, limit, ours, ratio: self.ratio() }
    }
}

pub(super) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

pub(super) fn record(body: &[u8], queue_id: i32) -> NewRecord<'_> {
    let host = std::net::SocketAddr::from(([127, 0, 0, 1], 10911));
    NewRecord {
        born_timestamp: 1_700_000_000_000,
        properties: PROPERTIES,
        ..NewRecord::new("BenchmarkTest", queue_id, host, body)
    }
}

/// A folder that is removed at the end.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(dir: &Path) -> Result<Scratch, Failure> {
        let path = dir.join(format!("mq-bench-store-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| Failure::to(format!("make {}", path.display()), e))?;
        Ok(Scratch(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn clear(&self) {
        for name in ["raw", "store"] {
            let path = self.0.join(name);
            let _ = std::fs::remove_file(&path);
            let _ = std::fs::remove_dir_all(&path);
        }
    }

    fn store(&self, flush_disk: FlushDisk) -> Result<Store, Failure> {
        let root = self.0.join("store");
        let wake = Arc::new(WakeInside::current());
        Store::open(StoreConfig { flush_disk, wake, commit_log_file_size: LOG_FILE, ..StoreConfig::at(root) })
            .map_err(failed)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tasks that append one message after the other and wait for the disk each time.
async fn synced(store: &Store, size: usize, appenders: u32, limit: Duration) -> Result<Speed, Failure> {
    let (over, messages) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let body = Bytes::from(vec![b'x'; size]);
    let start = Instant::now();
    let tasks: Vec<_> = (0..appenders)
        .map(|number| {
            let (store, over, messages, body) =
                (store.clone(), Arc::clone(&over), Arc::clone(&messages), body.clone());
            tokio::spawn(async move {
                let queue_id = i32::try_from(number % 8).unwrap_or(0);
                while !over.load(Ordering::Relaxed) {
                    let appended =
                        store.append_until_flushed(&record(&body, queue_id), &body).map_err(failed)?;
                    match store.flushed(appended.end).await {
                        FlushStatus::Flushed => messages.fetch_add(1, Ordering::Relaxed),
                        other => return Err(Failure::Failed(format!("a flush ended as {other:?}"))),
                    };
                }
                Ok(())
            })
        })
        .collect();
    tokio::time::sleep(limit).await;
    let speed = Speed { messages: messages.load(Ordering::Relaxed), time: start.elapsed() };
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.map_err(|e| Failure::to("run an appender", e))??;
    }
    Ok(speed)
}

/// Threads that append without waiting.
fn unsynced(store: &Store, size: usize, messages: u64, threads: u32) -> Result<Speed, Failure> {
    let (next, start) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let next = &next;
                scope.spawn(move || {
                    let body = vec![b'x'; size];
                    while next.fetch_add(1, Ordering::Relaxed) < messages {
                        let record = record(std::hint::black_box(&body), i32::try_from(thread).unwrap_or(0));
                        store.append(&record).map_err(failed)?;
                    }
                    Ok(())
                })
            })
            .collect();
        handles.into_iter().try_for_each(|handle| {
            handle.join().unwrap_or_else(|_| Err(Failure::Failed("an appender panicked".to_owned())))
        })
    })?;
    Ok(Speed { messages, time: start.elapsed() })
}

pub(super) fn run(args: &StoreBench) -> Result<(), Failure> {
    let scratch = Scratch::new(&args.dir)?;
    // As in the broker.
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let (raw, size) = (scratch.0.join("raw"), args.size as usize);
    let encoded = record(&vec![b'x'; size], 0).encoded_len();
    let slice = Duration::from_secs(args.seconds) / SLICES;
    let mut rows = Vec::new();
    for appenders in &args.appenders {
        let mut pairs = Pairs::default();
        let store = scratch.store(FlushDisk::Sync)?;
        // In turns, so that whatever else the machine does meets both.
        for _ in 0..SLICES {
            let group = *appenders as usize;
            let limit = limit::synced_groups(&raw, RAW_FILE, encoded, group, slice).map_err(failed)?;
            pairs.add(limit, runtime.block_on(synced(&store, size, *appenders, slice))?);
        }
        store.close().map_err(failed)?;
        drop(store);
        scratch.clear();
        rows.push(pairs.row("SYNC_FLUSH", *appenders));
    }
    let body = vec![b'x'; size];
    for threads in [1, 2] {
        let mut pairs = Pairs::default();
        let count = args.count.div_ceil(u64::from(MANY_SLICES));
        for _ in 0..MANY_SLICES {
            let limit =
                limit::copied_with_crc(&raw, &body, encoded, count, threads as usize).map_err(failed)?;
            scratch.clear();
            let store = scratch.store(FlushDisk::Async)?;
            pairs.add(limit, unsynced(&store, size, count, threads)?);
            store.close().map_err(failed)?;
            drop(store);
            scratch.clear();
        }
        rows.push(pairs.row("ASYNC_FLUSH", threads));
    }
    if args.json {
        return output::json(&rows);
    }
    let head = ["Flush", "Appenders", "Limit msg/s", "Store msg/s", "Ratio"].map(str::to_owned).to_vec();
    let cells = |row: &Row| {
        vec![
            row.flush.to_owned(),
            row.appenders.to_string(),
            format!("{:.0}", row.limit),
            format!("{:.0}", row.ours),
            format!("{:.0} %", row.ratio * 100.0),
        ]
    };
    output::table(&std::iter::once(head).chain(rows.iter().map(cells)).collect::<Vec<_>>())
}
