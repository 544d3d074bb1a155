//! A second, independent reader of store directories that follows Apache's loading and recovery to the letter.
//!
//! It shares no code with the store. Whatever it refuses or would change, Apache's broker refuses or changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Position, size and tags code of a queue's units; `None` where the queue begins behind 0.
pub type Units = Vec<Option<(i64, i32, i64)>>;
pub type Queues = BTreeMap<(String, i32), Units>;

#[derive(Debug, PartialEq, Eq)]
pub struct View {
    /// End of the last record.
    pub end: u64,
    /// What consumers see after Apache's start.
    pub queues: Queues,
}

struct Record {
    phy: u64,
    size: u64,
    topic: String,
    queue_id: i32,
    queue_offset: i64,
    stored_phy: i64,
    store_timestamp: i64,
    tags_code: i64,
    queued: bool,
}

enum Found {
    Record(Box<Record>),
    Blank,
    Nothing,
}

fn int(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn long(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `UtilAll.crc32`, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc & 0x7FFF_FFFF
}

/// `CommitLog.checkMessageAndReturnSize` at `at` of a file that begins at `start`.
fn check(file: &[u8], start: u64, at: usize) -> Found {
    let left = file.len() - at;
    if left < 5 {
        return Found::Nothing;
    }
    let total = int(file, at);
    if left < 8 || i64::from(total) - 4 > left as i64 {
        return Found::Nothing;
    }
    let magic = int(file, at + 4).cast_unsigned();
    match magic {
        0xDAA3_20A7 | 0xDAA3_20AB => {}
        0xCBD4_3194 => return Found::Blank,
        _ => return Found::Nothing,
    }
    let b = &file[at..];
    let parse = || -> Option<Record> {
        let need = |end: usize| (end <= b.len()).then_some(());
        need(91)?;
        let sys_flag = int(b, 36);
        let born = if sys_flag & 0x10 == 0 { 8 } else { 20 };
        let store = if sys_flag & 0x20 == 0 { 8 } else { 20 };
        let mut p = 48 + born;
        need(p + 8 + store + 12 + 4)?;
        let store_timestamp = long(b, p);
        p += 8 + store + 4 + 8;
        let body_length = usize::try_from(int(b, p)).ok()?;
        p += 4;
        need(p + body_length + 2)?;
        let body = &b[p..p + body_length];
        if body_length > 0 && crc(body) != int(b, 8).cast_unsigned() {
            return None;
        }
        p += body_length;
        let topic_length = if magic == 0xDAA3_20A7 {
            p += 1;
            usize::try_from(b[p - 1].cast_signed()).ok()?
        } else {
            p += 2;
            usize::try_from(i16::from_be_bytes([b[p - 2], b[p - 1]])).ok()?
        };
        need(p + topic_length + 2)?;
        let topic = String::from_utf8(b[p..p + topic_length].to_vec()).ok()?;
        p += topic_length;
        let properties_length = usize::try_from(i16::from_be_bytes([b[p], b[p + 1]])).ok()?;
        p += 2;
        need(p + properties_length)?;
        let properties = String::from_utf8(b[p..p + properties_length].to_vec()).ok()?;
        p += properties_length;
        if p != usize::try_from(total).ok()? {
            return None;
        }
        let property = |name: &str| {
            properties
                .split('\u{2}')
                .filter_map(|pair| pair.split_once('\u{1}'))
                .find(|(key, _)| *key == name)
        };
        let mut tags_code = property("TAGS").map_or(0, |(_, tags)| i64::from(hash(tags)));
        if topic == "SCHEDULE_TOPIC_XXXX"
            && let Some((_, level)) = property("DELAY")
        {
            const SECONDS: [i64; 18] =
                [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];
            let level: usize = level.parse().ok()?;
            tags_code = store_timestamp + SECONDS[level.min(18) - 1] * 1000;
        }
        Some(Record {
            phy: start + at as u64,
            size: p as u64,
            topic,
            queue_id: int(b, 12),
            queue_offset: long(b, 20),
            stored_phy: long(b, 28),
            store_timestamp,
            tags_code,
            queued: !matches!(sys_flag & 0xC, 0x4 | 0xC),
        })
    };
    parse().map_or(Found::Nothing, |record| Found::Record(Box::new(record)))
}

fn regular_files(dir: &Path) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            files.push((entry.file_name().into_string().unwrap(), entry.path()));
        }
    }
    files.sort();
    files
}

/// `MappedFileQueue.load`: every file has the full size and a decimal name.
fn load(dir: &Path, size: u64) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let mut files = Vec::new();
    let names = regular_files(dir);
    for (n, (name, path)) in names.iter().enumerate() {
        let bytes = std::fs::read(path).unwrap();
        if bytes.is_empty() && n + 1 == names.len() {
            continue;
        }
        if bytes.len() as u64 != size {
            return Err(format!("{} has {} bytes instead of {size}", path.display(), bytes.len()));
        }
        let start = name.parse().map_err(|_| format!("{} has a name that is no number", path.display()))?;
        if name.len() != 20 {
            return Err(format!("{} has not 20 digits", path.display()));
        }
        files.push((start, bytes));
    }
    Ok(files)
}

/// One consume queue while Apache starts.
struct Queue {
    first: u64,
    units: Vec<(i64, i32, i64)>,
    max_phy: i64,
}

impl Queue {
    /// `ConsumeQueue.recover`: units up to the first invalid one.
    fn recover(files: &[(u64, Vec<u8>)]) -> Result<Queue, String> {
        let first = files.first().map_or(0, |(start, _)| *start);
        let mut queue = Queue { first: first / 20, units: Vec::new(), max_phy: -1 };
        for (n, (start, bytes)) in files.iter().enumerate() {
            if *start != first + n as u64 * bytes.len() as u64 {
                return Err("a queue file is missing".to_owned());
            }
            if bytes[..20].iter().all(|b| *b == 0) {
                // Unit 0 of such a file is taken as an entry (`truncateDirtyLogicFiles`).
                return Err(format!("queue file {start} begins with an empty unit"));
            }
            for unit in bytes.chunks(20) {
                let (phy, size, tags) = (long(unit, 0), int(unit, 8), long(unit, 12));
                if phy < 0 || size <= 0 {
                    if n + 1 != files.len() {
                        return Err(format!("queue file {start} is not full, but another follows"));
                    }
                    return Ok(queue);
                }
                queue.units.push((phy, size, tags));
                queue.max_phy = phy + i64::from(size);
            }
        }
        Ok(queue)
    }

    /// `putMessagePositionInfo`.
    fn put(&mut self, record: &Record) {
        if (record.phy + record.size) as i64 <= self.max_phy {
            return;
        }
        let unit = (record.stored_phy, i32::try_from(record.size).unwrap(), record.tags_code);
        let next = self.first + self.units.len() as u64;
        if self.units.is_empty() {
            self.first = record.queue_offset as u64;
        } else if (record.queue_offset as u64) < next && record.queue_offset != 0 {
            return;
        }
        self.units.push(unit);
        self.max_phy = (record.phy + record.size) as i64;
    }

    fn view(&self) -> Units {
        let mut units: Units = vec![None; usize::try_from(self.first).unwrap()];
        units.extend(self.units.iter().map(|unit| if unit.1 == i32::MAX { None } else { Some(*unit) }));
        units
    }
}

/// What Apache's broker makes of a directory; an error if it does not start, or would lose or bend something.
pub fn open(root: &Path, log_size: u64, queue_size: u64) -> Result<View, String> {
    let clean = !root.join("abort").exists();
    let log = load(&root.join("commitlog"), log_size)?;
    let mut queues: BTreeMap<(String, i32), Queue> = BTreeMap::new();
    for topic in std::fs::read_dir(root.join("consumequeue")).into_iter().flatten() {
        let topic = topic.unwrap();
        for queue in std::fs::read_dir(topic.path()).unwrap() {
            let queue = queue.unwrap();
            let Ok(id) = queue.file_name().to_str().unwrap().parse() else { continue };
            let files = load(&queue.path(), queue_size)?;
            let name = topic.file_name().into_string().unwrap();
            if files.is_empty() {
                return Err(format!("{name}-{id} has a directory and no file"));
            }
            queues.insert((name, id), Queue::recover(&files)?);
        }
    }
    if log.is_empty() {
        return if queues.is_empty() {
            Ok(View { end: 0, queues: Queues::new() })
        } else {
            Err("the log is empty next to filled queues, which are destroyed".to_owned())
        };
    }
    // The whole log, with the strictest rules of all versions: contiguous, positions right, times in order.
    let (mut end, mut records, mut time) = (log[0].0, Vec::new(), 0);
    'files: for (n, (start, bytes)) in log.iter().enumerate() {
        if *start != log[0].0 + n as u64 * log_size {
            return Err(format!("log file {start} does not follow the one before"));
        }
        let mut at = 0;
        loop {
            match check(bytes, *start, at) {
                Found::Record(record) => {
                    if record.stored_phy as u64 != record.phy {
                        return Err(format!("the record at {} says {}", record.phy, record.stored_phy));
                    }
                    if record.store_timestamp < time {
                        return Err(format!("time goes back at {}", record.phy));
                    }
                    time = record.store_timestamp;
                    at += usize::try_from(record.size).unwrap();
                    end = *start + at as u64;
                    if bytes.len() - at < 8 {
                        return Err(format!("no room for a blank at {end}"));
                    }
                    records.push(*record);
                }
                Found::Blank => {
                    let rest = bytes.len() - at;
                    if usize::try_from(int(bytes, at)).ok() != Some(rest) {
                        return Err(format!("the blank of file {start} has a wrong size"));
                    }
                    if n + 1 == log.len() {
                        return Err(format!("file {start} ends in a blank, but no file follows"));
                    }
                    end = start + log_size;
                    break;
                }
                Found::Nothing => {
                    if clean && n + 1 != log.len() {
                        return Err(format!(
                            "file {start} ends at {end}, but files follow; they are deleted"
                        ));
                    }
                    if clean && bytes[at..].iter().any(|b| *b != 0) {
                        return Err(format!("stale bytes stand behind the end {end}"));
                    }
                    break 'files;
                }
            }
        }
    }

    let max_phy = queues.values().map(|queue| queue.max_phy).max().unwrap_or(-1);
    if clean && max_phy > end as i64 {
        return Err(format!("queues reach to {max_phy}, behind the end of the log {end}"));
    }
    for queue in queues.values_mut() {
        // `truncateDirtyLogicFiles`.
        while queue.units.last().is_some_and(|unit| unit.0 >= end as i64) {
            queue.units.pop();
        }
        queue.max_phy = queue.units.last().map_or(-1, |unit| unit.0 + i64::from(unit.1));
    }
    if !clean {
        // Without a usable checkpoint everything is dispatched again from the first file on.
        for record in records.iter().filter(|record| record.queued) {
            let key = (record.topic.clone(), record.queue_id);
            let empty = || Queue { first: 0, units: Vec::new(), max_phy: -1 };
            queues.entry(key).or_insert_with(empty).put(record);
        }
    }
    // In either case queues must now be complete, because 5.0.0 to 5.3.1 repair nothing after a clean exit.
    for record in records.iter().filter(|record| record.queued) {
        let Some(queue) = queues.get(&(record.topic.clone(), record.queue_id)) else {
            return Err(format!("queue {}-{} is missing", record.topic, record.queue_id));
        };
        let unit =
            usize::try_from(record.queue_offset - queue.first as i64).ok().and_then(|n| queue.units.get(n));
        let expected = (record.stored_phy, i32::try_from(record.size).unwrap(), record.tags_code);
        if unit != Some(&expected) {
            return Err(format!(
                "{}-{} has {unit:?} at {}, the log has {expected:?}",
                record.topic, record.queue_id, record.queue_offset
            ));
        }
    }
    Ok(View { end, queues: queues.into_iter().map(|(key, queue)| (key, queue.view())).collect() })
}
