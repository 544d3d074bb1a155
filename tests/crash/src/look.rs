//! Looking at what is left: over the wire, in the files, and in what the start says.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mq_protocol::compression::Compression;
use mq_protocol::header::{PullMessageRequest, PullMessageResponse, pull_flag};
use mq_protocol::{Frame, MessageRecord, RequestCode, ResponseCode, fastjson};
use mq_store::check::StoppedStore;
use serde::Deserialize;

use crate::Problem;
use crate::broker::{Broker, store_config};
use crate::ledger::{Kept, Ledger, QueueKey, body, id_of};

const MAX_FRAME: usize = 16 << 20;

/// A connection that asks one thing at a time.
struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    fn connect(address: &str) -> std::io::Result<Wire> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Wire { stream, buffer: BytesMut::new() })
    }

    fn call(&mut self, request: &Frame) -> Result<Frame, Problem> {
        let mut out = BytesMut::new();
        request.encode(&mut out);
        self.stream.write_all(&out).map_err(|e| format!("sending a request: {e}"))?;
        let mut piece = vec![0; 64 << 10];
        loop {
            if let Some(frame) =
                Frame::decode(&mut self.buffer, MAX_FRAME).map_err(|e| format!("reading an answer: {e}"))?
            {
                return Ok(frame);
            }
            let read = self.stream.read(&mut piece).map_err(|e| format!("reading an answer: {e}"))?;
            if read == 0 {
                return Err("the broker closed the connection".to_owned());
            }
            self.buffer.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }

    /// All records of a queue, from its smallest offset on.
    fn queue(&mut self, (topic, queue_id): &QueueKey) -> Result<Vec<MessageRecord>, Problem> {
        let (mut offset, mut records) = (0, Vec::new());
        loop {
            let header = PullMessageRequest {
                consumer_group: "TOOLS_CONSUMER",
                topic,
                queue_id: *queue_id,
                queue_offset: offset,
                max_msg_nums: 32,
                sys_flag: pull_flag::SUBSCRIPTION,
                commit_offset: 0,
                suspend_timeout_millis: 0,
                subscription: Some("*"),
                sub_version: 0,
                expression_type: Some("TAG"),
                max_msg_bytes: None,
            };
            let answer = self.call(&Frame::request(RequestCode::PULL_MESSAGE, &header))?;
            let next = answer.header::<PullMessageResponse>().map_err(|e| format!("a pull's answer: {e}"))?;
            match answer.response_code() {
                ResponseCode::SUCCESS => {
                    let found = MessageRecord::take_all(answer.body.clone());
                    records.extend(found.map_err(|e| format!("{topic}-{queue_id} at {offset}: {e}"))?);
                }
                ResponseCode::PULL_RETRY_IMMEDIATELY => {}
                ResponseCode::PULL_NOT_FOUND => return Ok(records),
                code => {
                    return Err(format!(
                        "pulling {topic}-{queue_id} at {offset}: {code:?} {:?}",
                        answer.remark
                    ));
                }
            }
            if next.next_begin_offset <= offset {
                return Err(format!(
                    "a pull of {topic}-{queue_id} at {offset} leads to {}",
                    next.next_begin_offset
                ));
            }
            offset = next.next_begin_offset;
        }
    }
}

/// The body as its producer gave it.
fn plain_body(record: &MessageRecord) -> Result<Bytes, Problem> {
    let flags = record.layout().sys_flag;
    let kind = Compression::of_flags(flags).map_err(|e| e.to_string())?;
    match kind {
        None => Ok(record.body()),
        Some(kind) => kind.decompress(&record.body(), MAX_FRAME).map(Bytes::from).map_err(|e| e.to_string()),
    }
}

/// Every record of a queue stands at the next offset, carries the body that belongs to its id, and acknowledged ones are where
/// their receipt says.
fn compare(
    key: &QueueKey,
    records: &[MessageRecord],
    kept: Option<&std::collections::HashMap<i64, Kept>>,
) -> Result<(), Problem> {
    let (topic, queue_id) = key;
    let mut found = std::collections::HashMap::with_capacity(records.len());
    for (wanted, record) in (0..).zip(records) {
        let offset = record.layout().queue_offset;
        if offset != wanted {
            return Err(format!("{topic}-{queue_id}: offset {offset} stands where {wanted} belongs"));
        }
        let bytes = plain_body(record)?;
        let id =
            id_of(&bytes).ok_or_else(|| format!("{topic}-{queue_id} offset {offset}: the body has no id"))?;
        if *bytes != *body(id) {
            return Err(format!(
                "{topic}-{queue_id} offset {offset}: the body of message {id} is not what was sent"
            ));
        }
        found.insert(offset, id);
    }
    for (offset, kept) in kept.into_iter().flatten() {
        if found.get(offset) != Some(&kept.id) {
            return Err(format!(
                "{topic}-{queue_id} offset {offset}: message {} was acknowledged here; found is {:?} of {} messages",
                kept.id,
                found.get(offset),
                records.len()
            ));
        }
    }
    Ok(())
}

/// Reads all queues from the running broker; returns the number of messages.
pub(crate) fn over_the_wire(broker: &Broker, ledger: &Ledger) -> Result<u64, Problem> {
    let mut wire = Wire::connect(&broker.address).map_err(|e| format!("connecting to the broker: {e}"))?;
    let mut count = 0;
    for (key, kept) in &ledger.acknowledged {
        let records = wire.queue(key)?;
        compare(key, &records, Some(kept))?;
        count += records.len() as u64;
    }
    Ok(count)
}

/// `consumerOffset.json`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConsumerOffsets {
    offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// Checks the files of a broker that does not run; returns the end of the log.
///
/// After a clean stop nothing may be left to repair either.
pub(crate) fn at_rest(data: &Path, ledger: &Ledger, clean: bool) -> Result<u64, Problem> {
    let store = StoppedStore::open(store_config(data)).map_err(|e| format!("looking at the files: {e}"))?;
    let report = store.check().map_err(|e| format!("checking the files: {e}"))?;
    let findings = &report.findings;
    let left = if clean { findings.repairable.as_slice() } else { &[] };
    if let Some(fault) = findings.faults.iter().chain(left).next() {
        return Err(format!(
            "{} faults in the files, the first: {fault}",
            findings.fault_count + left.len() as u64
        ));
    }
    if report.clean != clean {
        return Err(format!(
            "the files say that the stop was {}",
            if report.clean { "clean" } else { "unclean" }
        ));
    }
    // Also those without a receipt must be whole.
    let mut by_queue: BTreeMap<QueueKey, Vec<MessageRecord>> = BTreeMap::new();
    store
        .records(|record| {
            by_queue.entry((record.topic().to_owned(), record.layout().queue_id)).or_default().push(record);
            true
        })
        .map_err(|e| format!("reading the log: {e}"))?;
    for (key, records) in by_queue.iter().filter(|((topic, _), _)| topic.starts_with("crash-")) {
        compare(key, records, ledger.acknowledged.get(key))?;
    }
    consumer_offsets(data, ledger)?;
    Ok(report.log_end)
}

fn consumer_offsets(data: &Path, ledger: &Ledger) -> Result<(), Problem> {
    let path = data.join("config/consumerOffset.json");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    // A crash leaves the old or the new file, never half of one.
    let offsets: ConsumerOffsets =
        fastjson::from_slice(&bytes).map_err(|e| format!("{} is torn: {e}", path.display()))?;
    for (name, table) in offsets.offset_table {
        let Some((topic, group)) = name.split_once('@').filter(|(topic, _)| topic.starts_with("crash-"))
        else {
            continue;
        };
        for (queue_id, offset) in table {
            let key = (group.to_owned(), (topic.to_owned(), queue_id));
            let handed_out = ledger.handed_out.get(&key).copied().unwrap_or(0);
            if offset > handed_out {
                return Err(format!(
                    "{name}, queue {queue_id}: stored is {offset}, consumers were given only up to {handed_out}"
                ));
            }
        }
    }
    Ok(())
}

/// How many bytes of the log the start has read; they must not be more than what the last ten runs wrote.
pub(crate) fn recovery(broker: &Broker, ends: &[u64]) -> Result<u64, Problem> {
    let log = broker.log_with("the store is open")?;
    let line = log.last();
    let number = |name: &str| -> Option<u64> {
        line?.split_whitespace().find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let (Some(from), Some(end)) = (number("scanned_from"), number("end")) else {
        return Err(format!("the broker does not say what its start has read:\n{}", log.join("\n")));
    };
    // Checkpoints come every 100 ms, but no faster than the disk syncs them: a busy one may take some of these short runs.
    let bound = ends.len().checked_sub(11).and_then(|at| ends.get(at)).copied().unwrap_or(0);
    if from < bound {
        return Err(format!(
            "the start has read the log from {from} on, although it was on the disk up to {bound} long before"
        ));
    }
    Ok(end - from)
}

/// The bytes of all queue files.
pub(crate) fn queue_files(data: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Problem> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![data.join("consumequeue")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))? {
            let path = entry.map_err(|e| format!("{}: {e}", dir.display()))?.path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                all.insert(path, bytes);
            }
        }
    }
    Ok(all)
}
