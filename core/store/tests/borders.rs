//! Sizes around every limit: the end of a file, batches that do not fit, long names and properties.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{apache, config, drain, fast_dir, record};
use mq_store::{AppendError, Store, StoreConfig};
use proptest::prelude::*;
use std::collections::BTreeMap;

const LOG: u64 = 4096;
const QUEUE: u64 = 200;

fn small(root: &std::path::Path) -> StoreConfig {
    StoreConfig { commit_log_file_size: LOG, consume_queue_file_size: QUEUE, ..config(root) }
}

/// Bytes of a record of topic `T` without body and properties.
const BARE: u64 = 92;

#[test]
fn a_record_leaves_exactly_room_for_the_blank_or_goes_to_the_next_file() {
    for spare in 0..=16_u64 {
        let dir = fast_dir();
        let store = Store::open(small(dir.path())).unwrap();
        let first = store.append(&record("T", 0, &[1; 1000], "")).unwrap();
        let size = LOG - first.end - spare;
        let body = vec![2; usize::try_from(size - BARE).unwrap()];
        let second = store.append(&record("T", 0, &body, "")).unwrap();
        let third = store.append(&record("T", 0, b"three", "")).unwrap();
        if spare >= 8 {
            assert_eq!((second.physical_offset, third.physical_offset), (first.end, LOG), "{spare}");
        } else {
            assert_eq!(second.physical_offset, LOG, "{spare}");
            assert_eq!(third.physical_offset, second.end, "{spare}");
        }
        assert_eq!(drain(&store, "T", 0).len(), 3);
        store.close().unwrap();
        let view = apache::open(dir.path(), LOG, QUEUE).unwrap();
        assert_eq!((view.end, view.queues[&("T".to_owned(), 0)].len()), (third.end, 3));
    }
}

#[test]
fn a_batch_lands_in_one_file() {
    for spare in 0..=16_u64 {
        let dir = fast_dir();
        let store = Store::open(small(dir.path())).unwrap();
        let first = store.append(&record("T", 0, &[1; 500], "")).unwrap();
        let each = (LOG - first.end - spare) / 3;
        let last = LOG - first.end - spare - 2 * each;
        let bodies = [each, each, last].map(|size| vec![3; usize::try_from(size - BARE).unwrap()]);
        let batch = bodies.each_ref().map(|body| record("T", 0, body, ""));
        let all = store.append_batch(&batch).unwrap();
        let start = if spare >= 8 { first.end } else { LOG };
        assert_eq!(all[0].physical_offset, start, "{spare}");
        let total = LOG - first.end - spare;
        assert!(
            all.iter().all(|one| one.end == start + total && one.store_timestamp == all[0].store_timestamp)
        );
        assert_eq!(all.iter().map(|one| one.queue_offset).collect::<Vec<_>>(), [1, 2, 3]);
        store.close().unwrap();
        apache::open(dir.path(), LOG, QUEUE).unwrap();
    }
}

#[test]
fn limits_are_apaches_and_say_so() {
    let dir = fast_dir();
    let config = StoreConfig { commit_log_file_size: 1 << 20, max_message_size: 70_000, ..small(dir.path()) };
    let store = Store::open(config).unwrap();
    let name = |length: usize| "t".repeat(length);
    let retry = |length: usize| format!("%RETRY%{}", "g".repeat(length - 7));
    store.append(&record(&name(127), 0, b"x", "")).unwrap();
    store.append(&record(&retry(128), 0, b"x", "")).unwrap();
    store.append(&record(&retry(255), 0, b"x", "")).unwrap();
    for topic in [name(128), retry(256), String::new(), "..".to_owned(), "a/b".to_owned(), "a\0".to_owned()] {
        assert!(
            matches!(store.append(&record(&topic, 0, b"x", "")), Err(AppendError::Topic { .. })),
            "{topic}"
        );
    }
    let properties = |length: usize| format!("A\u{1}{}\u{2}", "v".repeat(length - 3));
    store.append(&record("P", 0, b"x", &properties(32767))).unwrap();
    let refused = store.append(&record("P", 0, b"x", &properties(32768)));
    assert!(matches!(refused, Err(AppendError::Properties { size: 32768, .. })));
    store.append(&record("B", 0, &vec![0; 70_000], "")).unwrap();
    let error = store.append(&record("B", 0, &vec![0; 70_001], "")).unwrap_err();
    assert_eq!(error.to_string(), "the body has 70001 bytes; maxMessageSize allows 70000");
    assert!(matches!(store.append(&record("B", -1, b"", "")), Err(AppendError::QueueId(-1))));
    assert!(matches!(store.append_batch(&[]), Err(AppendError::EmptyBatch)));
    let mixed = [record("B", 0, b"", ""), record("B", 1, b"", "")];
    assert!(matches!(store.append_batch(&mixed), Err(AppendError::MixedBatch)));
    let body = vec![0; 60_000];
    let large = vec![record("B", 0, &body, ""); 18];
    assert!(matches!(store.append_batch(&large), Err(AppendError::Record { .. })));
    // Nothing of what was refused is there.
    assert_eq!(store.max_offset("B", 0), 1);
    for (topic, count) in [(name(127), 1), (retry(128), 1), (retry(255), 1), ("P".to_owned(), 1)] {
        assert_eq!(drain(&store, &topic, 0).len(), count);
    }
    store.close().unwrap();
    apache::open(dir.path(), 1 << 20, QUEUE).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        queue: i32,
        body: usize,
        properties: usize,
    },
    /// So that this many bytes are left in the file.
    Fill {
        spare: u64,
    },
    Batch {
        queue: i32,
        bodies: Vec<usize>,
    },
    Kill,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = prop_oneof![
        8 => (0..3, 0..900_usize, 0..200_usize)
            .prop_map(|(queue, body, properties)| Step::Append { queue, body, properties }),
        4 => (0..20_u64).prop_map(|spare| Step::Fill { spare }),
        2 => (0..3, prop::collection::vec(0..600_usize, 1..6)).prop_map(|(queue, bodies)| Step::Batch { queue, bodies }),
        1 => Just(Step::Kill),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(one, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_read_back_and_accepted_by_apache(steps in steps()) {
        let dir = fast_dir();
        let mut store = Store::open(small(dir.path())).unwrap();
        let mut model: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
        let mut fill = 0_u8;
        let mut body_of = |length: usize| { fill = fill.wrapping_add(1); vec![fill; length] };
        for step in steps {
            match step {
                Step::Append { queue, body, properties } => {
                    let body = body_of(body);
                    let properties = if properties < 4 { String::new() } else { format!("A\u{1}{}\u{2}", "v".repeat(properties - 3)) };
                    store.append(&record("T", queue, &body, &properties)).unwrap();
                    model.entry(queue).or_default().push(body);
                }
                Step::Fill { spare } => {
                    let used = store.status().max_physical_offset % LOG;
                    let Some(body) = (LOG - used).checked_sub(BARE + spare) else { continue };
                    let body = body_of(usize::try_from(body).unwrap());
                    let fits = store.append(&record("T", 0, &body, ""));
                    if body.len() as u64 + BARE + 8 > LOG {
                        assert!(matches!(fits, Err(AppendError::Record { .. })));
                    } else {
                        fits.unwrap();
                        model.entry(0).or_default().push(body);
                    }
                }
                Step::Batch { queue, bodies } => {
                    let bodies: Vec<_> = bodies.into_iter().map(&mut body_of).collect();
                    let batch: Vec<_> = bodies.iter().map(|body| record("T", queue, body, "")).collect();
                    store.append_batch(&batch).unwrap();
                    model.entry(queue).or_default().extend(bodies);
                }
                Step::Kill | Step::Close => {
                    if matches!(step, Step::Kill) { store.kill() } else { store.close().unwrap() }
                    apache::open(dir.path(), LOG, QUEUE).unwrap();
                    store = Store::open(small(dir.path())).unwrap();
                }
            }
        }
        for (queue, bodies) in &model {
            let found: Vec<_> = drain(&store, "T", *queue).iter().map(|record| record.body().to_vec()).collect();
            prop_assert_eq!(&found, bodies);
        }
        store.close().unwrap();
        let view = apache::open(dir.path(), LOG, QUEUE).unwrap();
        prop_assert_eq!(view.queues.len(), model.len());
    }
}
