//! The command line `mq`: broker, NameServer, produce, consume, bench, admin and store.

#![forbid(unsafe_code)]

mod admin;
mod bench;
mod broker;
mod consume;
mod failure;
mod output;
mod produce;
mod server;
mod store;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use failure::Failure;

/// A broker, a NameServer and tools for RocketMQ 4.9 and 5.x.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage.
#[derive(Parser)]
#[command(name = "mq", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log on stderr: off, error, warn, info, debug, trace, or a filter such as mq_broker=debug.
    #[arg(long, global = true, default_value = "warn", env = "MQ_LOG", value_name = "FILTER")]
    log: String,
}

#[derive(Subcommand)]
enum Command {
    /// Run a broker and, unless namesrvAddr is set, its NameServer.
    #[command(after_help = broker::EXAMPLE)]
    Broker(broker::BrokerArgs),
    /// Run a NameServer alone.
    #[command(after_help = "Example:\n  mq namesrv --port 9876")]
    Namesrv(broker::NamesrvArgs),
    /// Send messages: the given texts, or the lines of stdin.
    #[command(after_help = produce::EXAMPLE)]
    Produce(produce::ProduceArgs),
    /// Print messages as they come.
    #[command(after_help = consume::EXAMPLE)]
    Consume(consume::ConsumeArgs),
    /// Look at topics and brokers, and create topics.
    Admin(admin::AdminArgs),
    /// Check, print and repair the directory of a stopped broker, ours or Apache's.
    Store(store::StoreArgs),
    /// Measure how fast messages go through a broker, ours or Apache's.
    Bench(bench::BenchArgs),
}

/// Where the NameServers are; shared by every command that is a client.
#[derive(clap::Args)]
struct Cluster {
    /// NameServers: host:port, several joined by ';'.
    #[arg(short, long, env = "NAMESRV_ADDR", default_value = "127.0.0.1:9876", value_name = "HOST:PORT")]
    namesrv: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(problem) = log_to_stderr(&cli.log) {
        eprintln!("mq: {problem}");
        return ExitCode::from(2);
    }
    let done = match cli.command {
        Command::Broker(args) => broker::run(args),
        Command::Namesrv(args) => broker::run_namesrv(&args),
        Command::Produce(args) => produce::run(args),
        Command::Consume(args) => consume::run(args),
        Command::Admin(args) => admin::run(args),
        Command::Store(args) => store::run(args),
        Command::Bench(args) => bench::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mq: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn log_to_stderr(filter: &str) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::builder().parse(filter).map_err(|e| {
        Failure::Usage(format!("--log '{filter}' is no filter: {e}; try warn or mq_broker=debug"))
    })?;
    let ansi = output::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    Ok(())
}
