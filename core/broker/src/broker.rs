//! The broker: opens the store, starts the services, listens, registers, and stops it all in order.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mq_protocol::body::{DataVersion, MessageQueue, TopicConfig, perm};
use mq_protocol::header::ConsumerRunningInfoRequest;
use mq_protocol::name::{SCHEDULE_TOPIC, check_topic};
use mq_protocol::{Frame, RequestCode};
use mq_store::{Store, StoreConfig};
use parking_lot::{Mutex, RwLock};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::{error, info, warn};

use crate::config::{BrokerConfig, FlushDiskType, NameServerConfig};
use crate::error::BrokerError;
use crate::handler::Stamps;
use crate::namesrv::NameServer;
use crate::server::{Peer, PeerId, Refusal, Server, bind};
use crate::service::consumers::Consumers;
use crate::service::groups::Groups;
use crate::service::intake::Intake;
use crate::service::locks::QueueLocks;
use crate::service::now_millis;
use crate::service::offsets::Offsets;
use crate::service::producers::Producers;
use crate::service::registrar::{BrokerIdentity, Registrar, Timing};
use crate::service::schedule::Schedule;
use crate::service::stats::{SAMPLE_PERIOD, Stats};
use crate::service::topics::Topics;
use crate::service::waiting::Waiting;
use crate::testing::{Faults, TestClock};
use crate::wake::WakeInside;

/// How long a start waits for its first registration at other NameServers.
const FIRST_REGISTRATION: Duration = Duration::from_secs(3);
/// How long a stop waits for the farewell to other NameServers.
const FAREWELL: Duration = Duration::from_secs(3);
/// Time between two looks for clients that stopped sending heartbeats (`ClientHousekeepingService`).
const CLIENT_SCAN: Duration = Duration::from_secs(10);
/// Requests that wait for records of the disk at most; more are told to come again.
const MAX_COLD: usize = 1024;
/// How long a client may take to show that it is there, when the clock was moved past its next heartbeat.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);

/// What the broker's handlers work on.
#[derive(Debug)]
pub(crate) struct State {
    config: RwLock<Arc<BrokerConfig>>,
    config_version: Mutex<DataVersion>,
    pub(crate) store: Store,
    /// Address that records carry as the place where they are stored.
    pub(crate) store_host: SocketAddr,
    pub(crate) stamps: Stamps,
    pub(crate) topics: Arc<Topics>,
    pub(crate) groups: Groups,
    pub(crate) offsets: Arc<Offsets>,
    pub(crate) producers: Producers,
    pub(crate) consumers: Consumers,
    pub(crate) locks: QueueLocks,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) intake: Intake,
    /// Requests that may wait for a record to be read from the disk before they are handled.
    pub(crate) cold: Arc<Semaphore>,
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) clock: TestClock,
    pub(crate) faults: Faults,
    registrar: Arc<Registrar>,
    name: String,
    next_queue: AtomicU32,
}

impl State {
    /// The settings as they are now.
    pub(crate) fn config(&self) -> Arc<BrokerConfig> {
        self.config.read().clone()
    }

    pub(crate) fn set_config(&self, config: Arc<BrokerConfig>) {
        let permission = config.broker_permission;
        *self.config.write() = config;
        self.config_version.lock().advance(now_millis());
        if self.registrar.set_permission(permission) {
            self.registrar.register_local(self.topics.renewed());
            self.registrar.register_elsewhere();
        }
    }

    pub(crate) fn config_version(&self) -> DataVersion {
        *self.config_version.lock()
    }

    /// The broker's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A queue of this broker.
    pub(crate) fn queue(&self, topic: &str, queue_id: i32) -> MessageQueue {
        MessageQueue { topic: topic.to_owned(), broker_name: self.name.clone(), queue_id }
    }

    /// One of `count` queues, in turn.
    pub(crate) fn any_queue(&self, count: i32) -> i32 {
        let turn = self.next_queue.fetch_add(1, Ordering::Relaxed);
        let count = u32::try_from(count).unwrap_or(1).max(1);
        i32::try_from(turn % count).unwrap_or(0)
    }
}

/// A running broker, with a NameServer of its own unless `namesrvAddr` is set.
///
/// All methods may be called from any thread. Dropping a broker that was not stopped closes its store.
pub struct Broker {
    state: Arc<State>,
    server: Server,
    namesrv: Option<NameServer>,
    address: SocketAddr,
    data_dir: PathBuf,
    tasks: Vec<AbortHandle>,
    registrations: Mutex<Vec<JoinHandle<()>>>,
    leave: watch::Sender<bool>,
    ended: Mutex<bool>,
}

impl Broker {
    /// Starts a broker; when this returns all its ports accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// A port cannot be bound, or the store or one of its config files cannot be opened.
    pub async fn start(config: BrokerConfig) -> Result<Broker, BrokerError> {
        Broker::start_with(config, TestClock::default(), Faults::default()).await
    }

    /// As [`Broker::start`], with the clock and the faults of an earlier start, say.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub async fn start_with(
        config: BrokerConfig,
        clock: TestClock,
        faults: Faults,
    ) -> Result<Broker, BrokerError> {
        check_names(&config)?;
        let (listeners, address) = listen(&config).await?;
        let namesrv = if config.namesrv_addr.0.is_empty() {
            Some(start_namesrv(&config, &faults).await?)
        } else {
            None
        };
        let store_config = StoreConfig {
            wake: Arc::new(WakeInside::current()),
            ..config.store_config(Arc::new(clock.clone()))?
        };
        let delay_levels = store_config.delay_levels.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(store_config))
            .await
            .map_err(|failed| BrokerError::Refused(format!("opening the store failed: {failed}")))??;

        let advertised = SocketAddr::new(advertised_ip(&config, address), address.port());
        let any_interface = config.broker_ip1.is_none() && address.ip().is_unspecified();
        let ha_port = config.ha_listen_port.unwrap_or_else(|| address.port().wrapping_add(1));
        let identity = BrokerIdentity {
            cluster: config.broker_cluster_name.clone(),
            name: config.broker_name.clone(),
            id: config.broker_id,
            address: advertised,
            ha_address: SocketAddr::new(advertised.ip(), ha_port),
            any_interface: any_interface.then_some(address.port()),
        };
        let routes = namesrv.as_ref().map(NameServer::routes);
        let registrar = Arc::new(Registrar::new(identity, config.broker_permission, routes));
        let sync_flush = config.flush_disk_type == FlushDiskType::Sync;
        let state = Arc::new(State {
            config_version: Mutex::new(DataVersion { timestamp: now_millis(), ..DataVersion::default() }),
            store_host: advertised,
            stamps: Stamps::new(&config, advertised.ip()),
            topics: Arc::new(Topics::load(&config, &store, registrar.clone())?),
            groups: Groups::load(&store)?,
            offsets: Arc::new(Offsets::load(&store)?),
            producers: Producers::default(),
            consumers: Consumers::default(),
            locks: QueueLocks::new(clock.clone()),
            waiting: Arc::new(Waiting::new(
                config.max_waiting_pulls,
                config.max_waiting_pulls_per_connection,
            )),
            intake: Intake::new(store.clone(), delay_levels.max_level(), sync_flush),
            cold: Arc::new(Semaphore::new(MAX_COLD)),
            schedule: Arc::new(Schedule::load(&store, clock.clone(), delay_levels)?),
            stats: Arc::new(Stats::new()),
            clock,
            faults,
            registrar,
            name: config.broker_name.clone(),
            next_queue: AtomicU32::new(0),
            store,
            config: RwLock::new(Arc::new(config)),
        });
        state.watch_arrivals();
        state.registrar.register_local(state.topics.snapshot());
        let config = state.config();
        let limits = config.limits();
        let leave = watch::channel(false).0;
        let broker = Broker {
            server: Server::start("broker", listeners, &state, limits),
            namesrv,
            address,
            data_dir: config.store_path_root_dir.clone(),
            tasks: start_tasks(&state),
            registrations: Mutex::new(start_registrations(&state, &leave).await),
            leave,
            ended: Mutex::new(false),
            state,
        };
        info!(%address, data = %broker.data_dir.display(), "broker {} listens", config.broker_name);
        Ok(broker)
    }

    /// The address of the NameServer in this process, if there is one.
    #[must_use]
    pub fn namesrv_addr(&self) -> Option<SocketAddr> {
        self.namesrv.as_ref().map(NameServer::addr)
    }

    /// The address on which the broker listens.
    #[must_use]
    pub fn broker_addr(&self) -> SocketAddr {
        self.address
    }

    /// Faults that a test of an application can set.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// The clock, which a test of an application can move.
    #[must_use]
    pub fn clock(&self) -> &TestClock {
        &self.state.clock
    }

    /// The directory of the data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Makes a topic with `queues` queues to read and write, or gives an existing one that many.
    ///
    /// # Errors
    /// The name or the number is not allowed, or the settings cannot be saved.
    pub fn create_topic(&self, name: &str, queues: i32) -> Result<(), BrokerError> {
        let refused = |refusal: Refusal| BrokerError::Refused(refusal.remark);
        check_topic(name).map_err(|error| BrokerError::Refused(error.to_string()))?;
        if self.state.topics.is_system(name) {
            return Err(BrokerError::Refused(format!("topic '{name}' belongs to the broker itself")));
        }
        if !(1..=65_536).contains(&queues) {
            return Err(BrokerError::Refused(format!(
                "topic '{name}' cannot have {queues} queues; 1 to 65536 are possible"
            )));
        }
        let mut topic = TopicConfig::new(name, queues, perm::READ | perm::WRITE);
        if let Some(known) = self.state.topics.get(name) {
            topic.attributes.clone_from(&known.attributes);
        }
        self.state.topics.update(vec![topic]).map_err(refused)
    }

    /// Stops in order: NameServers are told, connections get their last answers, the store is closed cleanly.
    /// A second call does nothing.
    ///
    /// # Errors
    /// The store could not be closed cleanly; what was acknowledged is recovered at the next start.
    pub async fn stop(&self) -> Result<(), BrokerError> {
        if std::mem::replace(&mut *self.ended.lock(), true) {
            return Ok(());
        }
        self.leave.send_replace(true);
        self.state.registrar.unregister_local();
        let leaving = std::mem::take(&mut *self.registrations.lock());
        let farewell = async {
            for registration in leaving {
                let _ = registration.await;
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            warn!("a NameServer did not take the farewell in time");
        }
        self.server.stop().await;
        if let Some(namesrv) = &self.namesrv {
            namesrv.stop().await;
        }
        self.end_tasks();
        let state = self.state.clone();
        let closed = tokio::task::spawn_blocking(move || state.close()).await;
        info!("broker {} stopped", self.state.name);
        closed.map_err(|failed| BrokerError::Refused(format!("closing the store failed: {failed}")))?
    }

    /// Ends as if the process were killed: sockets are cut, nothing is flushed or saved. The same data directory can
    /// be started again at once.
    pub fn kill(&self) {
        if std::mem::replace(&mut *self.ended.lock(), true) {
            return;
        }
        self.state.store.kill();
        self.server.kill();
        if let Some(namesrv) = &self.namesrv {
            namesrv.kill();
        }
        for registration in self.registrations.lock().drain(..) {
            registration.abort();
        }
        self.end_tasks();
    }

    fn end_tasks(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("name", &self.state.name)
            .field("address", &self.address)
            .field("namesrv", &self.namesrv_addr())
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::mem::replace(self.ended.get_mut(), true) {
            return;
        }
        self.server.kill();
        for registration in self.registrations.get_mut().drain(..) {
            registration.abort();
        }
        self.end_tasks();
        if let Err(error) = self.state.close() {
            error!(%error, "the store was not closed cleanly");
        }
    }
}

impl State {
    /// Has the store tell what arrives to those who wait for it.
    fn watch_arrivals(&self) {
        let waiting = self.waiting.clone();
        // The schedule holds the store: a strong reference here would keep both alive for ever.
        let schedule = Arc::downgrade(&self.schedule);
        self.store.on_arrival(Box::new(move |arrival| {
            if arrival.topic == SCHEDULE_TOPIC
                && let Some(schedule) = schedule.upgrade()
            {
                schedule.arrived(arrival.tags_code);
            }
            waiting.arrived(arrival.topic, arrival.queue_id, arrival.tags_code);
        }));
    }

    /// Saves all tables and closes the store.
    fn close(&self) -> Result<(), BrokerError> {
        // A delivery between the saving of its offset and the closing of the store would be repeated.
        self.schedule.end();
        let saves = [
            self.offsets.save_if_changed(),
            self.schedule.save_if_changed(),
            self.topics.save(),
            self.groups.save(),
        ];
        self.store.close()?;
        for saved in saves {
            saved.map_err(|refusal| BrokerError::Refused(refusal.remark))?;
        }
        Ok(())
    }

    /// Saves offsets, takes samples, and drops silent clients, each in its period; runs until it is dropped.
    async fn housekeep(self: Arc<Self>) {
        let config = self.config();
        let every = |period: Duration| {
            let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks
        };
        let mut offsets = every(Duration::from_millis(config.flush_consumer_offset_interval));
        let mut delays = every(Duration::from_millis(config.flush_delay_offset_interval));
        let mut samples = every(SAMPLE_PERIOD);
        let silence = Duration::from_millis(config.channel_expired_timeout);
        let mut clients = every(CLIENT_SCAN.min(silence));
        let mut moves = self.clock.moves();
        loop {
            tokio::select! {
                _ = offsets.tick() => self.save_in_background(|state| state.offsets.save_if_changed()).await,
                _ = delays.tick() => self.save_in_background(|state| state.schedule.save_if_changed()).await,
                _ = samples.tick() => self.stats.sample(),
                _ = clients.tick() => self.expire_clients(silence),
                // The clock lives as long as this.
                _ = moves.changed() => {
                    self.expire_clients(silence);
                    self.store.clean_soon(false);
                }
            }
        }
    }

    /// Takes out clients that fell silent.
    fn expire_clients(self: &Arc<Self>, silence: Duration) {
        let now = self.clock.instant();
        if !self.clock.has_jumped() {
            self.producers.expire(now, silence);
            self.consumers.expire(now, silence);
            return;
        }
        // A heartbeat cannot have come in a time that was jumped over: those who seem silent are asked first.
        let silent =
            self.producers.silent(now, silence).into_iter().chain(self.consumers.silent(now, silence));
        let silent: HashMap<PeerId, Arc<Peer>> = silent.map(|peer| (peer.id, peer)).collect();
        for (id, peer) in silent {
            let state = self.clone();
            tokio::spawn(async move {
                let header =
                    ConsumerRunningInfoRequest { consumer_group: "", client_id: "", jstack_enable: None };
                let question = Frame::request(RequestCode::GET_CONSUMER_RUNNING_INFO, &header);
                match peer.invoke(question, SIGN_OF_LIFE).await {
                    // Any answer will do, also one that refuses.
                    Ok(_) => {
                        let now = state.clock.instant();
                        state.producers.heard_of(id, now);
                        state.consumers.heard_of(id, now);
                    }
                    // Its departure takes it out of all groups.
                    Err(_) => peer.cut("no heartbeat"),
                }
            });
        }
    }

    async fn save_in_background(
        self: &Arc<Self>,
        save: impl FnOnce(&State) -> Result<(), Refusal> + Send + 'static,
    ) {
        let state = self.clone();
        // A failure is logged where it happens, and tried again in the next period.
        let _ = tokio::task::spawn_blocking(move || save(&state)).await;
    }
}

fn check_names(config: &BrokerConfig) -> Result<(), BrokerError> {
    for (key, name) in
        [("brokerName", &config.broker_name), ("brokerClusterName", &config.broker_cluster_name)]
    {
        // Both are names of topics too.
        check_topic(name).map_err(|error| BrokerError::Refused(format!("setting '{key}': {error}")))?;
    }
    Ok(())
}

/// Binds the broker's port and, if it is free, Apache's fast port two below.
async fn listen(config: &BrokerConfig) -> Result<(Vec<TcpListener>, SocketAddr), BrokerError> {
    let wanted = SocketAddr::new(config.bind_address, config.listen_port);
    let failed = |source| BrokerError::Bind { what: "broker", address: wanted, source };
    let listener = bind(wanted).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut listeners = vec![listener];
    if config.listen_port > 2 {
        let fast = SocketAddr::new(config.bind_address, config.listen_port - 2);
        match bind(fast).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => warn!(%fast, %error, "the fast port, which only old clients use, is not opened"),
        }
    }
    Ok((listeners, address))
}

async fn start_namesrv(config: &BrokerConfig, faults: &Faults) -> Result<NameServer, BrokerError> {
    let config = NameServerConfig {
        bind_address: config.bind_address,
        listen_port: config.namesrv_listen_port,
        kv_config_path: Some(config.store_path_root_dir.join("config").join("kvConfig.json")),
        server_channel_max_idle_time_seconds: config.server_channel_max_idle_time_seconds,
        server_max_connections: config.server_max_connections,
        server_max_unfinished_bytes: config.server_max_unfinished_bytes,
        server_max_unanswered_requests: config.server_max_unanswered_requests,
        server_max_unanswered_requests_per_connection: config.server_max_unanswered_requests_per_connection,
        server_max_output_bytes_per_connection: config.server_max_output_bytes_per_connection,
        server_write_stall_timeout: config.server_write_stall_timeout,
        ..NameServerConfig::default()
    };
    NameServer::start_with(config, faults.clone()).await
}

/// The address that clients are told: set by hand, the one listened on, or that of the way to the outside.
fn advertised_ip(config: &BrokerConfig, address: SocketAddr) -> IpAddr {
    match config.broker_ip1 {
        Some(ip) => ip,
        None if !address.ip().is_unspecified() => address.ip(),
        None => outward_ip().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

/// The address of the interface that leads outside. Nothing is sent: connecting a datagram socket only looks up the way.
fn outward_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address reserved for documentation, so that no real host is named.
    socket.connect((Ipv4Addr::new(203, 0, 113, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

fn start_tasks(state: &Arc<State>) -> Vec<AbortHandle> {
    let waiting = state.waiting.clone();
    vec![
        tokio::spawn(async move { waiting.expire().await }).abort_handle(),
        tokio::spawn(state.schedule.clone().run()).abort_handle(),
        tokio::spawn(state.clone().housekeep()).abort_handle(),
    ]
}

/// Registers at the NameServers of other processes and keeps registered.
async fn start_registrations(state: &Arc<State>, leave: &watch::Sender<bool>) -> Vec<JoinHandle<()>> {
    let config = state.config();
    let timing = Timing {
        period: Duration::from_millis(config.register_name_server_period),
        answer: Duration::from_millis(config.register_broker_timeout_mills),
    };
    let mut tasks = Vec::new();
    let mut firsts = Vec::new();
    for namesrv in &config.namesrv_addr.0 {
        let topics = state.topics.clone();
        let (told, first) = oneshot::channel();
        firsts.push(first);
        tasks.push(tokio::spawn(state.registrar.clone().run(
            namesrv.clone(),
            move || topics.snapshot(),
            timing,
            leave.subscribe(),
            told,
        )));
    }
    let all = futures_util::future::join_all(firsts);
    let _ = tokio::time::timeout(FIRST_REGISTRATION, all).await;
    tasks
}
