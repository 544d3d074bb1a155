//! What an append costs: asynchronous by size, synchronous by the number of appenders that share a sync.

#![allow(missing_docs, reason = "made by criterion's macros")]
#![allow(clippy::unwrap_used, reason = "a failure ends the benchmark")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mq_protocol::message::NewRecord;
use mq_store::{FlushDisk, FlushStatus, Store, StoreConfig};

const PROPERTIES: &str = "UNIQ_KEY\u{1}7F00000100002A9F4C6E18B4AAC20000\u{2}WAIT\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}\
    MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}TAGS\u{1}TagA\u{2}";

fn record(body: &[u8], queue_id: i32) -> NewRecord<'_> {
    NewRecord {
        born_timestamp: 1_700_000_000_000,
        properties: PROPERTIES,
        ..NewRecord::new("BenchmarkTest", queue_id, "127.0.0.1:10911".parse().unwrap(), body)
    }
}

/// A store that forgets: old files go at once, so that a long run needs little disk.
fn store(flush_disk: FlushDisk) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        flush_disk,
        commit_log_file_size: 256 << 20,
        file_reserved_time: Duration::ZERO,
        delete_when: (0..24).collect(),
        clean_resource_interval: Duration::from_millis(500),
        ..StoreConfig::at(dir.path())
    };
    let store = Store::open(config).unwrap();
    (dir, store)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn asynchronous(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append/async");
    for size in [128, 1024] {
        let (_dir, store) = store(FlushDisk::Async);
        let body = vec![b'x'; size];
        let record = record(&body, 0);
        group.throughput(Throughput::Bytes(record.encoded_len() as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| store.append(&record).unwrap());
        });
    }
    group.finish();
}

fn synchronous(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append/sync");
    let (_dir, store) = store(FlushDisk::Sync);
    let body = vec![b'x'; 128];
    for appenders in [1, 16, 64] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(appenders), |bencher| {
            bencher.iter_custom(|iterations| {
                let left = AtomicU64::new(iterations);
                let started = Instant::now();
                thread::scope(|scope| {
                    for queue in 0..appenders {
                        let (store, left, body) = (&store, &left, &body);
                        scope.spawn(move || {
                            let record = record(body, queue % 8);
                            while left
                                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                                .is_ok()
                            {
                                let appended = store.append(&record).unwrap();
                                assert_eq!(block_on(store.flushed(appended.end)), FlushStatus::Flushed);
                            }
                        });
                    }
                });
                started.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = asynchronous, synchronous
}
criterion_main!(benches);
