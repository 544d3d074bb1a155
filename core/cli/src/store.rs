//! `mq store`: looking at the directory of a stopped broker, and building its queues and index anew.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use mq_broker::BrokerConfig;
use mq_protocol::message::{MessageRecord, sys_flag};
use mq_protocol::property;
use mq_store::check::{CheckReport, Fault, StoppedStore, sizes_of_files};
use mq_store::{StoreConfig, SystemClock};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::output;

#[derive(Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Verify every record, queue entry, index entry, the checkpoint and config/*.json; changes nothing
    ///
    /// Exit code 1 if anything is wrong. What an unclean stop leaves and the next start repairs is shown and is no fault.
    #[command(after_help = "Example:\n  mq store check ./data --json")]
    Check(Place),
    /// Print the messages of the log, or of one queue
    #[command(
        after_help = "Example:\n  mq store dump ./data --topic orders --queue 3 --from 1000 --count 10"
    )]
    Dump {
        /// Only this topic
        #[arg(long)]
        topic: Option<String>,
        /// Only this queue
        #[arg(long, requires = "topic")]
        queue: Option<i32>,
        /// Only messages with this queue offset or a later one
        #[arg(long, default_value_t = 0, requires = "topic", value_parser = clap::value_parser!(i64).range(0..))]
        from: i64,
        /// Ends after so many messages
        #[arg(long)]
        count: Option<u64>,
        #[command(flatten)]
        place: Place,
    },
    /// Build all consume queues and index files anew from the log
    ///
    /// Refuses a log that is damaged in its middle, unless --set acceptDamagedLog=true allows to lose all behind it.
    #[command(after_help = "Example:\n  mq store rebuild ./data")]
    Rebuild(Place),
}

/// Which store, and how its files are made.
#[derive(Args)]
struct Place {
    /// Directory of the store (storePathRootDir); no broker may have it open
    dir: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// The broker.conf of the store; without it sizes are those of the files that are there
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets any key of broker.conf, as in --set maxHashSlotNum=5000; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Place {
    fn store_config(&self) -> Result<StoreConfig, Failure> {
        let mut config = BrokerConfig::default();
        if let Some(file) = &self.config {
            let text = std::fs::read_to_string(file).map_err(|e| {
                Failure::Usage(format!("cannot read the settings file {}: {e}", file.display()))
            })?;
            config.update(&text).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
        }
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::Usage(format!("--set '{pair}' is not of the form KEY=VALUE")))?;
            config.set(key.trim(), value.trim()).map_err(|e| Failure::Usage(e.to_string()))?;
        }
        let root = self.dir.to_string_lossy();
        config.set("storePathRootDir", &root).map_err(|e| Failure::Usage(e.to_string()))?;
        let config = config.store_config(Arc::new(SystemClock)).map_err(|e| Failure::Usage(e.to_string()))?;
        if !config.commit_log_dir().is_dir() {
            return Err(Failure::Usage(format!(
                "there is no store in {root}: {} is no directory",
                config.commit_log_dir().display()
            )));
        }
        // A size that was set counts; one that was not is what the files show.
        let found = sizes_of_files(config.clone()).map_err(failed)?;
        let apache = StoreConfig::at(&config.root);
        let choose = |set: u64, default: u64, found: u64| if set == default { found } else { set };
        let index_set =
            (config.index_slots, config.index_entries) != (apache.index_slots, apache.index_entries);
        let (index_slots, index_entries) = if index_set {
            (config.index_slots, config.index_entries)
        } else {
            (found.index_slots, found.index_entries)
        };
        Ok(StoreConfig {
            commit_log_file_size: choose(
                config.commit_log_file_size,
                apache.commit_log_file_size,
                found.commit_log_file_size,
            ),
            consume_queue_file_size: choose(
                config.consume_queue_file_size,
                apache.consume_queue_file_size,
                found.consume_queue_file_size,
            ),
            index_slots,
            index_entries,
            ..config
        })
    }

    fn open(&self) -> Result<StoppedStore, Failure> {
        StoppedStore::open(self.store_config()?).map_err(failed)
    }
}

fn failed(error: mq_store::StoreError) -> Failure {
    Failure::Failed(error.to_string())
}

pub(crate) fn run(args: StoreArgs) -> Result<(), Failure> {
    match args.command {
        StoreCommand::Check(place) => check(&place),
        StoreCommand::Dump { topic, queue, from, count, place } => {
            dump(&place, topic.as_deref(), queue, from, count.unwrap_or(u64::MAX))
        }
        StoreCommand::Rebuild(place) => rebuild(&place),
    }
}

/// A fault as JSON: its fields, and the sentence that people get.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    fault: &'a Fault,
    message: String,
}

fn shown(faults: &[Fault]) -> Vec<Shown<'_>> {
    faults.iter().map(|fault| Shown { fault, message: fault.to_string() }).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CheckOutput<'a> {
    ok: bool,
    #[serde(flatten)]
    report: &'a CheckReport,
    fault_count: u64,
    faults: Vec<Shown<'a>>,
    repairable_count: u64,
    repairable: Vec<Shown<'a>>,
}

fn check(place: &Place) -> Result<(), Failure> {
    let report = place.open()?.check().map_err(failed)?;
    let findings = &report.findings;
    if place.json {
        output::json(&CheckOutput {
            ok: findings.fault_count == 0,
            report: &report,
            fault_count: findings.fault_count,
            faults: shown(&findings.faults),
            repairable_count: findings.repairable_count,
            repairable: shown(&findings.repairable),
        })?;
    } else {
        summary(&report)?;
    }
    if findings.fault_count == 0 {
        Ok(())
    } else {
        Err(Failure::Failed(format!("{} faults are in {}", findings.fault_count, place.dir.display())))
    }
}

fn summary(report: &CheckReport) -> Result<(), Failure> {
    let findings = &report.findings;
    for (kind, faults, count) in [
        ("fault", &findings.faults, findings.fault_count),
        ("repaired at the next start", &findings.repairable, findings.repairable_count),
    ] {
        for fault in faults {
            output::line(&format!("{kind}: {fault}"))?;
        }
        let more = count.saturating_sub(faults.len() as u64);
        if more > 0 {
            output::line(&format!("{kind}: {more} more"))?;
        }
    }
    if report.index_absent {
        output::line("note: there is no index; that is right only with messageIndexEnable=false")?;
    }
    let stop = if report.clean { "cleanly" } else { "not cleanly" };
    output::line(&format!(
        "{} records in {} log files, {} to {}; stopped {stop}",
        report.records, report.log_files, report.log_begin, report.log_end
    ))?;
    output::line(&format!(
        "{} entries in {} queues, {} entries in {} index files, {} files of config",
        report.queue_entries, report.queues, report.index_entries, report.index_files, report.config_files
    ))
}

/// A message as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    position: i64,
    size: usize,
    topic: String,
    queue_id: i32,
    queue_offset: i64,
    sys_flag: i32,
    flag: i32,
    born_timestamp: i64,
    born_host: String,
    store_timestamp: i64,
    store_host: String,
    reconsume_times: i32,
    prepared_transaction_offset: i64,
    msg_id: String,
    body_crc: u32,
    body_size: usize,
    compressed: bool,
    properties: Map<String, Value>,
    /// As text where it is text, in hex where not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

impl Line {
    fn of(record: &MessageRecord) -> Line {
        let (layout, body) = (record.layout(), record.body());
        let text = std::str::from_utf8(&body).ok().map(str::to_owned);
        let hex = || body.iter().map(|byte| format!("{byte:02x}")).collect();
        Line {
            position: layout.physical_offset,
            size: layout.total_size,
            topic: record.topic().to_owned(),
            queue_id: layout.queue_id,
            queue_offset: layout.queue_offset,
            sys_flag: layout.sys_flag,
            flag: layout.flag,
            born_timestamp: layout.born_timestamp,
            born_host: layout.born_host.to_string(),
            store_timestamp: layout.store_timestamp,
            store_host: layout.store_host.to_string(),
            reconsume_times: layout.reconsume_times,
            prepared_transaction_offset: layout.prepared_transaction_offset,
            msg_id: record.offset_msg_id(),
            body_crc: layout.body_crc,
            body_size: body.len(),
            compressed: layout.sys_flag & sys_flag::COMPRESSED != 0,
            properties: property::pairs(record.properties())
                .map(|(name, value)| (name.to_owned(), Value::from(value)))
                .collect(),
            body_hex: if text.is_none() { Some(hex()) } else { None },
            body: text,
        }
    }

    fn text(&self) -> String {
        let body = self.body.as_deref().unwrap_or("(not text)");
        let short: String = body.chars().take(60).collect();
        let cut = if short.len() < body.len() { "…" } else { "" };
        format!(
            "{} {}-{} offset {} stored {} {} bytes {:?}{cut} {}",
            self.position,
            self.topic,
            self.queue_id,
            self.queue_offset,
            self.store_timestamp,
            self.body_size,
            short,
            Value::Object(self.properties.clone()),
        )
    }
}

fn dump(
    place: &Place,
    topic: Option<&str>,
    queue: Option<i32>,
    from: i64,
    count: u64,
) -> Result<(), Failure> {
    let store = place.open()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (mut left, mut problem) = (count, None);
    let mut print = |record: MessageRecord| {
        if left == 0 {
            return false;
        }
        let line = Line::of(&record);
        let written = if place.json {
            serde_json::to_writer(&mut out, &line)
                .map_err(std::io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
        } else {
            writeln!(out, "{}", line.text())
        };
        left -= 1;
        problem = written.err();
        problem.is_none() && left > 0
    };
    match (topic, queue) {
        (Some(topic), Some(queue)) => store.queue(topic, queue, from, &mut print),
        _ => store.records(|record| {
            let wanted =
                topic.is_none_or(|topic| topic == record.topic()) && record.layout().queue_offset >= from;
            !wanted || print(record)
        }),
    }
    .map_err(failed)?;
    match problem.map_or_else(|| out.flush(), Err) {
        // Who reads may have had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| Failure::to("write to stdout", e)),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RebuildOutput {
    log_end: u64,
    records: u64,
    queues: usize,
}

fn rebuild(place: &Place) -> Result<(), Failure> {
    let rebuilt = mq_store::rebuild(place.store_config()?).map_err(failed)?;
    let done =
        RebuildOutput { log_end: rebuilt.log_end, records: rebuilt.recovery.records, queues: rebuilt.queues };
    if place.json {
        return output::json(&done);
    }
    output::line(&format!(
        "{} records up to {} are in {} queues and in the index",
        done.records, done.log_end, done.queues
    ))
}
