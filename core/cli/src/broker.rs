//! `mq broker` and `mq namesrv`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use mq_broker::{Broker, BrokerConfig, NameServer, NameServerConfig};

use crate::failure::Failure;
use crate::output;
use crate::server::{block_on, ended};

pub(crate) const EXAMPLE: &str = "Examples:
  mq broker --data ./data
  mq broker -c broker.conf --port 0 --namesrv-port 0

-c takes the keys of Apache's broker.conf; flags win over the file. When every port accepts, one line on stdout tells
the addresses: ready namesrv=HOST:PORT broker=HOST:PORT data=DIR";

#[derive(Args)]
pub(crate) struct BrokerArgs {
    /// Directory of all data (storePathRootDir) [default: ./store]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on (bindAddress) [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Port of the broker (listenPort); 0 takes a free one [default: 10911]
    #[arg(long)]
    port: Option<u16>,
    /// Port of the NameServer (namesrvListenPort); 0 takes a free one [default: 9876]
    #[arg(long)]
    namesrv_port: Option<u16>,
    /// A broker.conf
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets any key of broker.conf, as in --set flushDiskType=SYNC_FLUSH; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl BrokerArgs {
    fn config(&self) -> Result<BrokerConfig, Failure> {
        let mut config = BrokerConfig::default();
        if let Some(file) = &self.config {
            let text = std::fs::read_to_string(file).map_err(|e| {
                Failure::Usage(format!("cannot read the settings file {}: {e}", file.display()))
            })?;
            let (read, unknown) = BrokerConfig::from_properties(&text)
                .map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))?;
            for key in unknown {
                eprintln!("mq: warning: {}: {key}", file.display());
            }
            config = read;
        }
        let mut set =
            |key: &str, value: &str| config.set(key, value).map_err(|e| Failure::Usage(e.to_string()));
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Failure::Usage(format!("--set '{pair}' is not of the form KEY=VALUE")))?;
            set(key.trim(), value.trim())?;
        }
        if let Some(data) = &self.data {
            set("storePathRootDir", &data.to_string_lossy())?;
        }
        if let Some(host) = self.host {
            set("bindAddress", &host.to_string())?;
        }
        if let Some(port) = self.port {
            set("listenPort", &port.to_string())?;
        }
        if let Some(port) = self.namesrv_port {
            set("namesrvListenPort", &port.to_string())?;
        }
        Ok(config)
    }
}

pub(crate) fn run(args: BrokerArgs) -> Result<(), Failure> {
    let config = args.config()?;
    let others = config.namesrv_addr.0.join(";");
    block_on(async {
        let broker = Broker::start(config).await.map_err(|e| Failure::to("start the broker", e))?;
        let namesrv = broker.namesrv_addr().map_or(others, |address| address.to_string());
        let data = broker.data_dir().display().to_string();
        ready(&format!("ready namesrv={namesrv} broker={} data={data}", broker.broker_addr()))?;
        ended().await?;
        broker.stop().await.map_err(|e| Failure::to("stop in order", e))
    })
}

#[derive(Args)]
pub(crate) struct NamesrvArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    host: IpAddr,
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 9876)]
    port: u16,
}

pub(crate) fn run_namesrv(args: &NamesrvArgs) -> Result<(), Failure> {
    let config =
        NameServerConfig { bind_address: args.host, listen_port: args.port, ..NameServerConfig::default() };
    block_on(async {
        let server = NameServer::start(config).await.map_err(|e| Failure::to("start the NameServer", e))?;
        ready(&format!("ready namesrv={}", server.addr()))?;
        ended().await?;
        server.stop().await;
        Ok(())
    })
}

fn ready(line: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).map_err(|e| Failure::to("write to stdout", e))?;
    output::line_end(&mut out)
}
