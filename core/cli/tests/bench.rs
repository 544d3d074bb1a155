//! `mq bench latency` against `mq broker`: what it counts, and that a stall of the broker is in its figures.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const MQ: &str = env!("CARGO_BIN_EXE_mq");

/// A running broker, which ends with the test.
struct Broker {
    child: Child,
    namesrv: String,
    _data: tempfile::TempDir,
}

impl Broker {
    fn start() -> Broker {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(MQ)
            .args(["broker", "--port", "0", "--namesrv-port", "0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let namesrv = line.split_whitespace().find_map(|word| word.strip_prefix("namesrv=")).unwrap();
        Broker { namesrv: namesrv.to_owned(), child, _data: data }
    }

    fn bench(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(MQ);
        command.args(["bench", "latency", "--json", "-n", &self.namesrv]).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Messages that the topic has received.
    fn received(&self, topic: &str) -> u64 {
        let arguments = ["admin", "topic", "status", topic, "--json", "-n", &self.namesrv];
        let status = Command::new(MQ).args(arguments).output().unwrap();
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        let queues = status["queues"].as_array().cloned().unwrap_or_default();
        queues.iter().filter_map(|queue| queue["max_offset"].as_u64()).sum()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn report(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_message_that_was_due_is_counted_on_both_ways() {
    let broker = Broker::start();
    let report = report(broker.bench(&["even", "--rate", "100,300", "--seconds", "1"]));
    assert!(report.get("greatest").is_none());
    let rows = report["measurements"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, due) in rows.iter().zip([100, 300]) {
        assert_eq!(
            (row["stored"].as_u64(), row["failed"].as_u64(), row["missing"].as_u64()),
            (Some(due), Some(0), Some(0))
        );
        let (sent, came) = (&row["send_ms"], &row["end_to_end_ms"]);
        for name in ["p50", "p99", "p999", "max"] {
            assert!(sent[name].as_f64().unwrap() > 0.0 && came[name].as_f64().unwrap() > 0.0, "{row}");
        }
    }
    // The probes, one of each queue, those of the warm-ups (a second each), and those that count.
    assert!(broker.received("even") >= 2 * 400);
}

#[test]
fn shares_are_of_the_greatest_load_that_was_found() {
    let broker = Broker::start();
    let report = report(broker.bench(&["share", "--load", "1,2", "--seconds", "1", "--window", "8"]));
    let greatest = report["greatest"].as_f64().unwrap();
    let rows = report["measurements"].as_array().unwrap();
    for (row, share) in rows.iter().zip([0.01, 0.02]) {
        assert!((row["rate"].as_f64().unwrap() - greatest * share).abs() < 1e-6, "{report}");
        assert_eq!(row["missing"], 0);
    }
}

/// A load that waits for each answer would count a stall once; here it is in the figure of every message that was due.
#[test]
fn a_stall_is_in_the_figures_of_all_messages_that_were_due_meanwhile() {
    let broker = Broker::start();
    let bench = broker.bench(&["stall", "--rate", "100", "--seconds", "8"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    // Beyond the warm-up of a second.
    while broker.received("stall") < 120 {
        assert!(Instant::now() < deadline, "the bench does not send");
        std::thread::sleep(Duration::from_millis(20));
    }
    broker.signal(rustix::process::Signal::STOP);
    std::thread::sleep(Duration::from_secs(2));
    broker.signal(rustix::process::Signal::CONT);
    let report = report(bench);
    let row = &report["measurements"][0];
    assert_eq!(row["missing"], 0, "{report}");
    // A quarter of the messages fell into the two seconds in which nothing was answered: a tenth waited 1.2 s and more.
    for way in ["send_ms", "end_to_end_ms"] {
        assert!(row[way]["p90"].as_f64().unwrap() >= 500.0, "{report}");
    }
}
