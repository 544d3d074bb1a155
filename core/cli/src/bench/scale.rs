//! `mq bench scale`: what a store costs when it has many queues, many messages, or a long log, and how fast it is open again.
//!
//! Before each opening the store's files leave the page cache, as after a restart of the machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use mq_store::{Store, StoreConfig};
use serde::Serialize;

use super::store::{Scratch, failed, record};
use super::{empty_histogram, to_millis};
use crate::failure::Failure;
use crate::output;

#[derive(Args)]
pub(super) struct ScaleBench {
    /// Folder for the stores; what the bench writes there is removed again
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Topics of the first store, with four queues each; 0 leaves it out
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    topics: u32,
    /// Messages of 100 bytes in one topic of the second store; 0 leaves it out
    #[arg(long, default_value_t = 20_000_000)]
    messages: u64,
    /// Sizes in GiB of logs after which a crash is recovered from, with messages of 64 KiB; 0 for none
    #[arg(long, value_delimiter = ',', default_values_t = [1, 5, 20])]
    logs: Vec<u64>,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
}

const QUEUES: i32 = 4;
/// Appends whose latency is measured.
const SAMPLES: u64 = 20_000;

/// What the process holds at one moment.
#[derive(Serialize)]
struct Held {
    resident_mib: f64,
    /// Of that, what is not a file's pages.
    anonymous_mib: f64,
    open_files: usize,
    maps: usize,
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn held() -> Held {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib: u64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        kib as f64 / 1024.0
    };
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    Held {
        resident_mib: mib("VmRSS:"),
        anonymous_mib: mib("RssAnon:"),
        open_files: std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        maps: maps.lines().count(),
    }
}

/// A store at one moment.
#[derive(Serialize)]
struct Row {
    what: String,
    /// How long the step took.
    seconds: f64,
    /// Of an append, in milliseconds.
    p50_ms: f64,
    p99_ms: f64,
    /// The median as a multiple of an empty store's.
    times_empty: f64,
    /// Records that opening has read.
    read_by_open: u64,
    /// Where they stand: bytes of the log in MiB.
    read_mib: f64,
    #[serde(flatten)]
    held: Held,
}

impl Row {
    fn cells(&self) -> Vec<String> {
        vec![
            self.what.clone(),
            format!("{:.2}", self.seconds),
            format!("{:.4}", self.p50_ms),
            format!("{:.4}", self.p99_ms),
            format!("{:.2}", self.times_empty),
            self.read_by_open.to_string(),
            format!("{:.1}", self.read_mib),
            format!("{:.0}", self.held.resident_mib),
            format!("{:.0}", self.held.anonymous_mib),
            self.held.open_files.to_string(),
            self.held.maps.to_string(),
        ]
    }
}

/// Median and 99th percentile of appends in milliseconds.
fn latency(store: &Store) -> Result<(f64, f64), Failure> {
    let (body, mut nanos) = (vec![b'x'; 100], empty_histogram());
    for _ in 0..SAMPLES {
        let start = Instant::now();
        store.append(&record(&body, 0)).map_err(failed)?;
        nanos.saturating_record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    let at = |quantile| to_millis(nanos.value_at_quantile(quantile)) / 1000.0;
    Ok((at(0.5), at(0.99)))
}

/// Measures a store and adds what it found. The first row is the empty store's.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn measure(what: String, store: &Store, time: Duration, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let (p50_ms, p99_ms) = latency(store)?;
    let recovery = store.status().recovery;
    rows.push(Row {
        what,
        seconds: time.as_secs_f64(),
        p50_ms,
        p99_ms,
        times_empty: rows.first().map_or(1.0, |empty| p50_ms / empty.p50_ms.max(1e-9)),
        read_by_open: recovery.records,
        read_mib: (recovery.end - recovery.scanned_from) as f64 / f64::from(1 << 20),
        held: held(),
    });
    Ok(())
}

/// Takes the files below a directory out of the page cache.
fn forget(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget(&path)?;
        } else {
            let file = std::fs::File::open(&path)?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Opens the store at `root` from the disk and measures it.
fn opened(what: String, root: &Path, rows: &mut Vec<Row>) -> Result<Store, Failure> {
    if root.exists() {
        forget(root).map_err(|e| Failure::to(format!("read {}", root.display()), e))?;
    }
    let start = Instant::now();
    let store = Store::open(StoreConfig::at(root)).map_err(failed)?;
    measure(what, &store, start.elapsed(), rows)?;
    Ok(store)
}

/// Closes it, opens it, kills it, opens it, and removes it.
fn ends(what: &str, root: &Path, store: Store, rows: &mut Vec<Row>) -> Result<(), Failure> {
    store.close().map_err(failed)?;
    drop(store);
    let store = opened(format!("{what}, opened after a clean stop"), root, rows)?;
    store.kill();
    drop(store);
    let store = opened(format!("{what}, opened after a kill"), root, rows)?;
    store.close().map_err(failed)?;
    drop(store);
    std::fs::remove_dir_all(root).map_err(|e| Failure::to(format!("remove {}", root.display()), e))
}

pub(super) fn run(args: &ScaleBench) -> Result<(), Failure> {
    let scratch = Scratch::new(&args.dir)?;
    let root = scratch.path("store");
    let mut rows = Vec::new();
    drop(opened("empty".to_owned(), &root, &mut rows)?);
    std::fs::remove_dir_all(&root).map_err(|e| Failure::to(format!("remove {}", root.display()), e))?;

    let small = vec![b'x'; 100];
    if args.topics > 0 {
        let (what, start) = (format!("{} topics x {QUEUES} queues", args.topics), Instant::now());
        let store = Store::open(StoreConfig::at(&root)).map_err(failed)?;
        for topic in 0..args.topics {
            let name = format!("topic-{topic}");
            for queue_id in 0..QUEUES {
                let record = mq_protocol::message::NewRecord { topic: &name, ..record(&small, queue_id) };
                store.append(&record).map_err(failed)?;
            }
        }
        measure(what.clone(), &store, start.elapsed(), &mut rows)?;
        ends(&what, &root, store, &mut rows)?;
    }

    if args.messages > 0 {
        let (what, start) = (format!("{} messages", args.messages), Instant::now());
        let store = Store::open(StoreConfig::at(&root)).map_err(failed)?;
        append_many(&store, &small, args.messages)?;
        measure(what.clone(), &store, start.elapsed(), &mut rows)?;
        ends(&what, &root, store, &mut rows)?;
    }

    let large = vec![b'x'; 64 << 10];
    for gib in args.logs.iter().filter(|gib| **gib > 0) {
        let (what, start) = (format!("log of {gib} GiB"), Instant::now());
        let store = Store::open(StoreConfig::at(&root)).map_err(failed)?;
        append_many(&store, &large, (gib << 30) / large.len() as u64)?;
        measure(what.clone(), &store, start.elapsed(), &mut rows)?;
        // Killed at once: what the checkpoint does not cover yet has to be read.
        store.kill();
        drop(store);
        let store = opened(format!("{what}, opened after a kill"), &root, &mut rows)?;
        ends(&what, &root, store, &mut rows)?;
    }
    if args.json {
        return output::json(&rows);
    }
    let head = [
        "Store",
        "Seconds",
        "p50 ms",
        "p99 ms",
        "x empty",
        "Read by open",
        "MiB",
        "RSS MiB",
        "Anonymous",
        "Files",
        "Maps",
    ];
    let head = head.map(str::to_owned).to_vec();
    output::table(&std::iter::once(head).chain(rows.iter().map(Row::cells)).collect::<Vec<_>>())
}

/// Appends to eight queues of one topic; waits where the store asks to.
fn append_many(store: &Store, body: &[u8], count: u64) -> Result<(), Failure> {
    for number in 0..count {
        let queue_id = i32::try_from(number % 8).unwrap_or(0);
        loop {
            match store.append(&record(body, queue_id)) {
                Ok(_) => break,
                Err(mq_store::AppendError::Busy(_)) => store.sync().map_err(failed)?,
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(())
}
