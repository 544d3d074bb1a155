//! The broker that is killed: the real program on a folder, with small files so that borders come often.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mq_store::StoreConfig;

use crate::Problem;

/// When it answers a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// After the disk has it.
    Sync,
    /// Before. The page cache outlives the process, so a kill loses nothing either.
    Async,
}

const LOG_FILE: u64 = 1 << 20;
const QUEUE_FILE: u64 = 20 * 500;
const INDEX_SLOTS: u32 = 1000;
const INDEX_ENTRIES: u32 = 4000;

/// The settings of its store.
pub(crate) fn store_config(data: &Path) -> StoreConfig {
    StoreConfig {
        commit_log_file_size: LOG_FILE,
        consume_queue_file_size: QUEUE_FILE,
        index_slots: INDEX_SLOTS,
        index_entries: INDEX_ENTRIES,
        ..StoreConfig::at(data)
    }
}

/// A running broker. Dropping it kills it.
pub(crate) struct Broker {
    child: Mutex<Child>,
    pub(crate) namesrv: String,
    pub(crate) address: String,
    /// What it has logged.
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Broker {
    /// Starts it; returns when it accepts connections.
    pub(crate) fn start(mq: &Path, data: &Path, flush: Flush) -> Result<Broker, Problem> {
        let mode = match flush {
            Flush::Sync => "SYNC_FLUSH",
            Flush::Async => "ASYNC_FLUSH",
        };
        let mut command = Command::new("setpriv");
        // The kernel ends it even if this process is killed.
        command.args(["--pdeathsig", "KILL"]).arg(mq).args([
            "--log",
            "mq_store=info,warn",
            "broker",
            "--data",
        ]);
        command.arg(data).args(["--port", "0", "--namesrv-port", "0"]);
        for (key, value) in [
            ("flushDiskType", mode.to_owned()),
            ("mappedFileSizeCommitLog", LOG_FILE.to_string()),
            ("mappedFileSizeConsumeQueue", QUEUE_FILE.to_string()),
            ("maxHashSlotNum", INDEX_SLOTS.to_string()),
            ("maxIndexNum", INDEX_ENTRIES.to_string()),
            ("flushIntervalConsumeQueue", "100".to_owned()),
            ("flushConsumerOffsetInterval", "50".to_owned()),
        ] {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("cannot start {}: {e}", mq.display()))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let reader = err.map(|err| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(err).lines().map_while(Result::ok) {
                    if let Ok(mut log) = log.lock() {
                        log.push(line);
                    }
                }
            })
        });
        let mut broker =
            Broker { child: Mutex::new(child), namesrv: String::new(), address: String::new(), log, reader };
        let mut line = String::new();
        if let Some(out) = out {
            BufReader::new(out)
                .read_line(&mut line)
                .map_err(|e| format!("cannot read what the broker says: {e}"))?;
        }
        let part = |name: &str| {
            let found = line.split_whitespace().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned)
        };
        let (Some(namesrv), Some(address)) = (part("namesrv"), part("broker")) else {
            let _ = broker.kill();
            return Err(format!("the broker did not start:\n{}", broker.gone_log()));
        };
        (broker.namesrv, broker.address) = (namesrv, address);
        Ok(broker)
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// What it has logged up to the first line with these words, for which it waits.
    pub(crate) fn log_with(&self, words: &str) -> Result<Vec<String>, Problem> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut log = self.log();
            if let Some(at) = log.iter().position(|line| line.contains(words)) {
                log.truncate(at + 1);
                return Ok(log);
            }
            if Instant::now() > deadline {
                return Err(format!("the broker does not log '{words}':\n{}", log.join("\n")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(&self) -> Result<(), Problem> {
        let mut child = self.child.lock().map_err(|_| "the broker's handle is lost".to_owned())?;
        child.kill().map_err(|e| format!("cannot kill the broker: {e}"))
    }

    fn wait(&self) -> Result<ExitStatus, Problem> {
        let mut child = self.child.lock().map_err(|_| "the broker's handle is lost".to_owned())?;
        child.wait().map_err(|e| format!("cannot wait for the broker: {e}"))
    }

    fn gone_log(mut self) -> String {
        let _ = self.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.log().join("\n")
    }

    /// Waits until the killed process is gone; it must have run until then.
    pub(crate) fn gone(self) -> Result<(), Problem> {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.wait()?;
        if status.signal() == Some(9) {
            return Ok(());
        }
        Err(format!("the broker ended by itself ({status}):\n{}", self.gone_log()))
    }

    /// SIGTERM; it must end in order.
    pub(crate) fn stop(self) -> Result<(), Problem> {
        let pid = self
            .child
            .lock()
            .map(|child| child.id())
            .map_err(|_| "the broker's handle is lost".to_owned())?;
        let sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
        sent.map_err(|e| format!("cannot stop the broker: {e}"))?;
        let status = self.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("the broker did not stop in order ({status}):\n{}", self.gone_log()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Gone already unless something failed.
        let _ = self.kill();
        let _ = self.wait();
    }
}
