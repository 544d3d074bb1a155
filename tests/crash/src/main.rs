//! `mq-crash`: load on a real broker, kill -9 at a random moment, start it again on the same folder, and look.
//!
//! After each kill: every acknowledged message can be read with its content; queues have no hole and no offset twice; the
//! files hold nothing wrong that the start does not repair; no stored consumer offset is ahead of what was handed out; and
//! the start has read no more of the log than what was written since the last checkpoints. After some rounds on one folder:
//! a clean stop, everything fits together, and queues built anew from the log have the same bytes.

#![forbid(unsafe_code)]

mod broker;
mod ledger;
mod load;
mod look;
mod random;

use std::path::PathBuf;
use std::process::ExitCode;

use broker::{Broker, Flush, store_config};
use clap::Parser;
use ledger::Ledger;
use random::Random;

/// What went wrong, as a sentence.
type Problem = String;

/// Rounds on one folder before the next one begins with an empty folder.
const ROUNDS_OF_A_LIFE: u64 = 10;

/// Kills a broker under load, again and again, and checks that nothing acknowledged is lost.
#[derive(Parser)]
struct Args {
    /// How many times the broker is killed
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Where the random decisions begin; a failure prints it [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// The program to kill
    #[arg(long, env = "MQ_BIN", default_value = "target/release/mq")]
    mq: PathBuf,
}

/// What all rounds did together.
#[derive(Default)]
struct Totals {
    acknowledged: u64,
    unanswered: u64,
    read: u64,
    consumed: u64,
    /// Most bytes of the log that a start has read.
    most_scanned: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = args.seed.unwrap_or_else(|| u64::try_from(clock.as_millis()).unwrap_or(0));
    match run(&args, seed) {
        Ok(totals) => {
            println!(
                "{} kills, none lost anything: {} acknowledged messages, {} unanswered, {} read back, {} consumed, at most {} bytes \
                 read by a start (seed {seed})",
                args.rounds,
                totals.acknowledged,
                totals.unanswered,
                totals.read,
                totals.consumed,
                totals.most_scanned
            );
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("FAILED: {problem}\nagain with: mq-crash --rounds {} --seed {seed}", args.rounds);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, seed: u64) -> Result<Totals, Problem> {
    let mut random = Random::new(seed);
    let mut totals = Totals::default();
    let mut left = args.rounds;
    while left > 0 {
        let rounds = left.min(ROUNDS_OF_A_LIFE);
        let dir = tempfile::Builder::new()
            .prefix("mq-crash-")
            .tempdir()
            .map_err(|e| format!("cannot make a folder: {e}"))?;
        if let Err(problem) = life(args, rounds, &mut random, dir.path(), &mut totals) {
            let kept = dir.keep();
            return Err(format!("{problem}\nthe folder is kept: {}", kept.display()));
        }
        left -= rounds;
    }
    Ok(totals)
}

/// Some rounds on one folder, then a clean stop and a rebuild.
fn life(
    args: &Args,
    rounds: u64,
    random: &mut Random,
    dir: &std::path::Path,
    totals: &mut Totals,
) -> Result<(), Problem> {
    let data = dir.join("store");
    let mut ledger = Ledger::default();
    let mut ends = Vec::new();
    for round in 0..rounds {
        let flush = if random.below(2) == 0 { Flush::Sync } else { Flush::Async };
        let broker = Broker::start(&args.mq, &data, flush)?;
        if round > 0 {
            totals.most_scanned = totals.most_scanned.max(look::recovery(&broker, &ends)?);
            totals.read += look::over_the_wire(&broker, &ledger)?;
        }
        let plan = load::Plan { seed: random.next(), acknowledged: 100 + random.below(2500), flush };
        let done = load::run(&broker, &plan, &mut ledger)?;
        totals.acknowledged += done.acknowledged;
        totals.unanswered += done.unanswered;
        totals.consumed += done.consumed;
        broker.gone()?;
        ends.push(look::at_rest(&data, &ledger, false)?);
    }
    let broker = Broker::start(&args.mq, &data, Flush::Async)?;
    totals.most_scanned = totals.most_scanned.max(look::recovery(&broker, &ends)?);
    totals.read += look::over_the_wire(&broker, &ledger)?;
    broker.stop()?;
    look::at_rest(&data, &ledger, true)?;
    let before = look::queue_files(&data)?;
    mq_store::rebuild(store_config(&data)).map_err(|e| format!("rebuilding: {e}"))?;
    look::at_rest(&data, &ledger, true)?;
    if before != look::queue_files(&data)? {
        return Err("queues that are built anew from the log have other bytes".to_owned());
    }
    Ok(())
}
