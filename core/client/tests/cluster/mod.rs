//! The broker that tests run against: one of our own in this process, or another if `MQ_TEST_NAMESRV` names its NameServer.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

use std::sync::atomic::{AtomicUsize, Ordering};

use mq_broker::{Broker, BrokerConfig};
use mq_client::{Client, ClientConfig, Target};
use tempfile::TempDir;

pub struct Cluster {
    pub namesrv: String,
    /// `None` if the broker is another's.
    own: Option<(Broker, TempDir)>,
}

impl Cluster {
    pub async fn start() -> Cluster {
        Cluster::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut BrokerConfig)) -> Cluster {
        if let Ok(namesrv) = std::env::var("MQ_TEST_NAMESRV") {
            return Cluster { namesrv, own: None };
        }
        let folder = tempfile::tempdir().unwrap();
        let mut config = settings(&folder);
        change(&mut config);
        let elsewhere = config.namesrv_addr.0.join(";");
        let broker = Broker::start(config).await.unwrap();
        let namesrv = broker.namesrv_addr().map_or(elsewhere, |address| address.to_string());
        Cluster { namesrv, own: Some((broker, folder)) }
    }

    pub fn client(&self) -> Client {
        Client::new(ClientConfig::new(&self.namesrv).unwrap()).unwrap()
    }

    /// A new topic, and a group name that nobody else uses.
    pub async fn topic(&self, queues: i32) -> (String, String) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let stamp = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let topic = format!("t{number}_{stamp}");
        let client = self.client();
        client.admin().create_topic(&topic, queues, &Target::All).await.unwrap();
        client.close().await;
        (topic, format!("g{number}_{stamp}"))
    }

    /// Our own broker, for its faults and its clock.
    pub fn broker(&self) -> &Broker {
        &self.own.as_ref().expect("only our own broker has faults and a clock").0
    }

    /// Whether the broker is ours, so that tests may stop it.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Ends the broker as kill -9 does, and starts another on the same folder and ports.
    pub async fn kill_and_restart(&mut self) {
        let (broker, folder) = self.own.take().expect("only our own broker can be restarted");
        let ports = (broker.broker_addr().port(), broker.namesrv_addr().unwrap().port());
        broker.kill();
        drop(broker);
        let mut config = settings(&folder);
        (config.listen_port, config.namesrv_listen_port) = ports;
        let broker = Broker::start(config).await.unwrap();
        self.own = Some((broker, folder));
    }

    /// Ends the broker as kill -9 does.
    pub fn kill(self) {
        let (broker, _folder) = self.own.expect("only our own broker can be killed");
        broker.kill();
    }

    pub async fn stop(self) {
        if let Some((broker, _folder)) = self.own {
            broker.stop().await.unwrap();
        }
    }
}

fn settings(folder: &TempDir) -> BrokerConfig {
    BrokerConfig {
        listen_port: 0,
        namesrv_listen_port: 0,
        store_path_root_dir: folder.path().to_path_buf(),
        mapped_file_size_commit_log: 16 * 1024 * 1024,
        max_hash_slot_num: 1000,
        max_index_num: 4000,
        ..BrokerConfig::default()
    }
}
