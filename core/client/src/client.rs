//! The client: connections, routes and heartbeats that producers, consumers and admin share.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use mq_protocol::header::UnregisterClientRequest;
use mq_protocol::id::UniqueIds;
use mq_protocol::{RequestCode, name};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::message::MessageIds;
use crate::remoting::{NameServers, Peer, Remoting, instance_of};
use crate::route::{Route, Routes, Template, Topic};
use crate::tasks::Tasks;
use crate::{
    Admin, ClientConfig, DeadLetters, Error, ErrorCode, Listener, Producer, ProducerConfig, PullConsumer,
    PullConsumerConfig, PushConsumer, PushConsumerConfig, producer,
};

mod group;
mod heartbeat;
mod inbound;
mod member;

pub(crate) use member::Member;

/// How long closing waits for brokers that are told of it.
const UNREGISTER_LIMIT: Duration = Duration::from_secs(1);
/// How long closing waits for connections to write what is queued.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// The root object: address, connections, routes and background tasks of one cluster.
///
/// Clones share one client. Make one per cluster and process, and everything else from it.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: ClientConfig,
    pub(crate) client_id: String,
    /// As the client id, but the same after a restart unless the instance name is not: `DEFAULT` stays as it is.
    pub(crate) stable_id: String,
    pub(crate) runtime: Handle,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) remoting: Remoting,
    pub(crate) namesrv: NameServers,
    pub(crate) routes: Routes,
    pub(crate) ids: MessageIds,
    /// Open producers, several of one group perhaps.
    producers: Mutex<Vec<(String, Weak<producer::Inner>)>>,
    /// Consumers by group.
    consumers: Mutex<HashMap<String, Member>>,
    closed: AtomicBool,
    /// Told when the brokers should hear of a change at once.
    changed: Arc<Notify>,
    /// Brokers to which a connection was made since the last heartbeat.
    connected: Mutex<BTreeSet<String>>,
}

impl Client {
    /// Makes a client. No connection is made yet. Must be called inside a tokio runtime, whose threads then
    /// do the work.
    ///
    /// # Errors
    /// `CONFIG`: a setting is not acceptable. `STATE`: there is no runtime.
    pub fn new(mut config: ClientConfig) -> Result<Client, Error> {
        config.check()?;
        if config.namespace.is_empty()
            && let Some(instance) = config.namesrv.first().and_then(|address| instance_of(address))
        {
            config.namespace = instance.to_owned();
        }
        let runtime = Handle::try_current().map_err(|_| {
            Error::new(ErrorCode::State, "a client must be made inside a tokio runtime; enter one first")
        })?;
        let own_ip = own_ip(&config)?;
        let (client_id, stable_id, salt, seed) = identity(&config, own_ip);
        let tasks = Arc::new(Tasks::new(runtime.clone()));
        let remoting = Remoting::new(&config, tasks.clone());
        let namesrv = NameServers::new(&remoting, &config, seed);
        let inner = Arc::new(Inner {
            client_id,
            stable_id,
            runtime,
            tasks,
            remoting,
            namesrv,
            routes: Routes::new(seed, config.vip_channel),
            ids: MessageIds::new(UniqueIds::new(own_ip, std::process::id(), salt)),
            producers: Mutex::default(),
            consumers: Mutex::default(),
            closed: AtomicBool::new(false),
            changed: Arc::new(Notify::new()),
            connected: Mutex::default(),
            config,
        });
        let weak: Weak<Inner> = Arc::downgrade(&inner);
        inner.remoting.listen(weak.clone());
        inner.tasks.spawn_loop(keep_routes(weak.clone(), inner.config.poll_name_server_interval));
        if inner.namesrv.are_discovered() {
            let period = inner.config.namesrv_domain_interval;
            inner.tasks.spawn_loop(keep_name_servers(weak.clone(), period));
        }
        let beat = heartbeat::keep(weak, inner.changed.clone(), inner.config.heartbeat_broker_interval);
        inner.tasks.spawn_loop(beat);
        tracing::debug!(client = inner.client_id, namesrv = inner.namesrv.names(), "client made");
        Ok(Client { inner })
    }

    /// A producer. It may be used from any number of threads at a time.
    ///
    /// # Errors
    /// `CONFIG` or `ARGUMENT`: a setting is not acceptable. `CLOSED`: the client is.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, Error> {
        self.inner.check_open()?;
        Producer::new(self.inner.clone(), config)
    }

    /// Starts a push consumer. When this returns it has its share of the queues, so what is sent from then on
    /// arrives even with `consume_from_where = LAST`.
    ///
    /// # Errors
    /// `CONFIG` or `ARGUMENT`: a setting or subscription is not acceptable. `STATE`: this client has a consumer
    /// of the group already. `NETWORK`, `TIMEOUT`: no NameServer answers. `CLOSED`: the client is closed.
    pub async fn push_consumer(
        &self,
        config: PushConsumerConfig,
        listener: Arc<dyn Listener>,
    ) -> Result<PushConsumer, Error> {
        self.inner.check_open()?;
        PushConsumer::start(self.inner.clone(), config, listener).await
    }

    /// Starts a pull consumer. With subscriptions in the settings it has its share of the queues when this returns;
    /// without, it waits for [`PullConsumer::subscribe`] or [`PullConsumer::assign`].
    ///
    /// # Errors
    /// As [`Client::push_consumer`].
    pub async fn pull_consumer(&self, config: PullConsumerConfig) -> Result<PullConsumer, Error> {
        self.inner.check_open()?;
        PullConsumer::start(self.inner.clone(), config).await
    }

    /// The dead letters of a consumer group: what it failed to consume too often.
    ///
    /// # Errors
    /// `ARGUMENT`: the group's name is not acceptable. `CLOSED`: the client is.
    pub fn dead_letters(&self, group: &str) -> Result<DeadLetters, Error> {
        self.inner.check_open()?;
        DeadLetters::new(self.inner.clone(), group)
    }

    /// Administration of the cluster.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.inner.clone())
    }

    /// The id under which brokers know this client.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.inner.client_id
    }

    /// Closes all producers and consumers of this client, then its connections. Later calls do nothing.
    pub async fn close(&self) {
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let consumers: Vec<_> = self.inner.consumers.lock().values().cloned().collect();
        join_all(consumers.iter().map(|consumer| consumer.close())).await;
        let producers: Vec<_> = self.inner.producers.lock().iter().filter_map(|(_, p)| p.upgrade()).collect();
        join_all(producers.iter().map(|producer| producer.close())).await;
        self.inner.remoting.close();
        self.inner.tasks.close(CLOSE_LIMIT).await;
        tracing::debug!(client = self.inner.client_id, "client closed");
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.remoting.close();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("client_id", &self.inner.client_id).finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) { Err(Error::closed("the client")) } else { Ok(()) }
    }

    /// Deadline of a short request that is sent now.
    pub(crate) fn short(&self) -> Instant {
        Instant::now() + self.config.request_timeout
    }

    pub(crate) async fn route(
        &self,
        topic: &str,
        template: Option<Template<'_>>,
        deadline: Instant,
    ) -> Result<(Arc<Topic>, Arc<Route>), Error> {
        if let Some(known) = self.routes.known(topic) {
            return Ok(known);
        }
        // Boxed, as the other rare ways are: the future of a send is moved about, so it is kept small.
        Box::pin(self.routes.get(topic, template, &self.remoting, &self.namesrv, deadline)).await
    }

    pub(crate) async fn refresh_route(
        &self,
        topic: &str,
        template: Option<Template<'_>>,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.routes.refresh(topic, template, &self.remoting, &self.namesrv, deadline).await
    }

    /// The peer of a broker by name; the master if the wanted id is not known.
    pub(crate) fn broker(&self, name: &str, id: i64) -> Result<Arc<Peer>, Error> {
        let address = self.routes.broker_address(name, id).ok_or_else(|| {
            Error::new(ErrorCode::NotFound, format!("no address of broker '{name}' is known"))
        })?;
        Ok(self.remoting.peer(&address))
    }

    /// Name in this client's namespace.
    pub(crate) fn wrap<'a>(&self, resource: &'a str) -> std::borrow::Cow<'a, str> {
        name::with_namespace(&self.config.namespace, resource)
    }

    pub(crate) fn add_producer(&self, group: &str, producer: Weak<producer::Inner>) {
        self.producers.lock().push((group.to_owned(), producer));
    }

    /// Takes a producer off; tells whether it was the last of its group.
    pub(crate) fn remove_producer(&self, group: &str, producer: *const producer::Inner) -> bool {
        let mut producers = self.producers.lock();
        producers.retain(|(_, other)| !std::ptr::eq(other.as_ptr(), producer));
        producers.iter().all(|(other, _)| other != group)
    }

    fn producer_groups(&self) -> BTreeSet<String> {
        self.producers.lock().iter().map(|(group, _)| group.clone()).collect()
    }

    pub(crate) fn add_consumer(&self, consumer: Member) -> Result<(), Error> {
        match self.consumers.lock().entry(consumer.group().to_owned()) {
            Entry::Occupied(_) => Err(Error::new(
                ErrorCode::State,
                format!(
                    "this client has a consumer of group '{}' already; close it, or make another client for the second member",
                    consumer.group()
                ),
            )),
            Entry::Vacant(entry) => {
                entry.insert(consumer);
                Ok(())
            }
        }
    }

    pub(crate) fn remove_consumer(&self, group: &str) {
        self.consumers.lock().remove(group);
    }

    /// Whether a consumer of this client wants the topic.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        self.consumers.lock().values().any(|consumer| consumer.subscribes(topic))
    }

    /// Tells all brokers that groups of this client end; does not wait for long.
    pub(crate) async fn unregister(&self, producer_groups: &[String], consumer_group: Option<&str>) {
        let deadline = Instant::now() + self.config.request_timeout.min(UNREGISTER_LIMIT);
        let mut requests = Vec::new();
        for address in self.routes.broker_addresses(true) {
            let peer = self.remoting.peer(&address);
            // A broker that has no connection knows nothing of this client.
            let Some(connection) = peer.open_connection() else { continue };
            let groups = producer_groups.iter().map(|group| (Some(group.as_str()), None));
            for (producer_group, consumer_group) in
                groups.chain(consumer_group.map(|group| (None, Some(group))))
            {
                let connection = connection.clone();
                requests.push(async move {
                    let header = UnregisterClientRequest {
                        client_id: &self.client_id,
                        producer_group,
                        consumer_group,
                    };
                    let code = RequestCode::UNREGISTER_CLIENT;
                    if let Err(error) = connection.call(code, &header, &bytes::Bytes::new(), deadline).await {
                        tracing::debug!(%error, "unregistering failed; the broker will notice by itself");
                    }
                });
            }
        }
        join_all(requests).await;
    }
}

/// Asks for all routes again from time to time and forgets brokers that are in none.
async fn keep_routes(client: Weak<Inner>, period: Duration) {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(client) = client.upgrade() else { return };
        for topic in client.routes.names() {
            if let Err(error) = client.refresh_route(&topic, None, client.short()).await {
                tracing::debug!(topic, %error, "route not refreshed");
            }
        }
        let brokers = client.routes.broker_addresses(true);
        client.remoting.prune(|address| {
            let main = client.routes.main_address(address);
            client.namesrv.contains(address) || main.is_some_and(|main| brokers.contains(&main))
        });
    }
}

/// Asks for the addresses of the NameServers again from time to time.
async fn keep_name_servers(client: Weak<Inner>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        let Some(client) = client.upgrade() else { return };
        if let Err(error) = client.namesrv.find(&client.remoting).await {
            tracing::warn!(%error, "NameServers not asked for again; those known are used");
        }
    }
}

/// The address that other hosts see, as far as this host knows; nothing is sent for this.
fn own_ip(config: &ClientConfig) -> Result<IpAddr, Error> {
    if !config.client_ip.is_empty() {
        return config.client_ip.parse().map_err(|_| {
            Error::new(
                ErrorCode::Config,
                format!("setting 'client_ip' is '{}', which is not an IP address", config.client_ip),
            )
        });
    }
    // Addresses for documentation: to find the way to them asks no other host.
    let routed =
        [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")].into_iter().find_map(|(own, other)| {
            let socket = UdpSocket::bind(own).ok()?;
            socket.connect(other).ok()?;
            socket.local_addr().ok()
        });
    Ok(routed.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip()))
}

/// Client id, the id that outlives restarts, the part of message ids that tells clients of one process apart, and a
/// random number.
fn identity(config: &ClientConfig, ip: IpAddr) -> (String, String, u32, usize) {
    static CLIENTS: AtomicU32 = AtomicU32::new(0);
    let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().hash_one((std::process::id(), number, crate::message::now_millis()));
    let with_unit = |instance: &str| match config.unit_name.as_str() {
        "" => format!("{ip}@{instance}"),
        unit => format!("{ip}@{instance}@{unit}"),
    };
    let stable_id = with_unit(&config.instance_name);
    let client_id = if config.instance_name == "DEFAULT" {
        with_unit(&format!("{}#{random:x}", std::process::id()))
    } else {
        stable_id.clone()
    };
    let halves = random.to_be_bytes();
    let salt = halves.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (client_id, stable_id, salt, usize::from(halves[6]) << 8 | usize::from(halves[7]))
}
