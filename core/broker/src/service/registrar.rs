//! Registration at NameServers: the one of this process at once, others over the network (`BrokerOuterAPI`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use mq_protocol::body::{DataVersion, RegisterBrokerBody, TopicConfig, TopicTable, perm};
use mq_protocol::frame::MAX_FRAME;
use mq_protocol::header::{BrokerIdentityRequest, RegisterBrokerRequest};
use mq_protocol::id::body_crc;
use mq_protocol::{Frame, FrameError, RequestCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::namesrv::{Identity, Origin, Registration, Routes};

/// How long a connection to a NameServer may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a farewell may take.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);
/// Pause before a NameServer that cannot be reached is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// This broker as NameServers see it.
#[derive(Clone, Debug)]
pub(crate) struct BrokerIdentity {
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) id: i64,
    /// Address that clients connect to.
    pub(crate) address: SocketAddr,
    pub(crate) ha_address: SocketAddr,
    /// The broker's port if it listens on all interfaces and nobody set another address.
    pub(crate) any_interface: Option<u16>,
}

/// Tells NameServers what this broker serves.
#[derive(Debug)]
pub(crate) struct Registrar {
    identity: BrokerIdentity,
    address: String,
    /// What the broker permits; topics are registered with no more than that.
    permission: AtomicI32,
    /// The NameServer of this process.
    local: Option<Arc<Routes>>,
    /// Moves when the topics change, so that [`Registrar::run`] registers again.
    changes: watch::Sender<u64>,
}

/// How to register at a NameServer of another process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) period: Duration,
    pub(crate) answer: Duration,
}

/// Why a NameServer did not take a registration.
#[derive(Debug, thiserror::Error)]
enum OuterError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it answered {0}: {1}")]
    Refused(ResponseCode, String),
    #[error("it closed the connection")]
    Closed,
}

impl Registrar {
    pub(crate) fn new(identity: BrokerIdentity, permission: i32, local: Option<Arc<Routes>>) -> Registrar {
        let address = identity.address.to_string();
        let permission = AtomicI32::new(permission);
        Registrar { identity, address, permission, local, changes: watch::channel(0).0 }
    }

    /// Sets what the broker permits; tells whether that is something else than before. Registering is up to the caller.
    pub(crate) fn set_permission(&self, permission: i32) -> bool {
        self.permission.swap(permission, Ordering::Relaxed) != permission
    }

    /// Has [`Registrar::run`] register again soon.
    pub(crate) fn register_elsewhere(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Topics as they are registered: a broker that may not be written to has no writable topics.
    fn permitted(&self, topic: &mut TopicConfig) {
        const ALL: i32 = perm::READ | perm::WRITE;
        let permission = self.permission.load(Ordering::Relaxed);
        if permission & ALL != ALL {
            topic.perm &= permission;
        }
    }

    fn route_identity(&self) -> Identity<'_> {
        let BrokerIdentity { cluster, name, id, .. } = &self.identity;
        Identity { cluster, name, address: &self.address, id: *id }
    }

    /// Registers all topics at the NameServer of this process.
    pub(crate) fn register_local(&self, mut topics: TopicTable) {
        let Some(routes) = &self.local else { return };
        topics.topic_config_table.values_mut().for_each(|topic| self.permitted(topic));
        let registered = routes.register(&Registration {
            broker: self.route_identity(),
            ha_address: &self.identity.ha_address.to_string(),
            timeout: None,
            acting_master: Some(false),
            topics: &topics,
            origin: Origin::Process { any_interface: self.identity.any_interface },
            drop_unnamed: false,
        });
        if registered.is_err() {
            warn!("the NameServer of this process refused the registration");
        }
    }

    /// A topic is new or has changed.
    pub(crate) fn topic_changed(&self, topic: &TopicConfig, version: DataVersion) {
        if let Some(routes) = &self.local {
            let mut topic = topic.clone();
            self.permitted(&mut topic);
            routes.update_topic(self.route_identity(), Some(&topic), version);
        }
        self.register_elsewhere();
    }

    /// A topic is gone. NameServers drop it when an admin tells them, as with Apache's brokers.
    pub(crate) fn topic_deleted(&self, version: DataVersion) {
        if let Some(routes) = &self.local {
            routes.update_topic(self.route_identity(), None, version);
        }
        self.register_elsewhere();
    }

    /// Says farewell to the NameServer of this process.
    pub(crate) fn unregister_local(&self) {
        if let Some(routes) = &self.local {
            routes.unregister(self.route_identity());
        }
    }

    /// Keeps this broker registered at one NameServer until `stop` says to leave it.
    ///
    /// `first` is told when the first attempt is over, whatever came of it.
    pub(crate) async fn run(
        self: Arc<Self>,
        namesrv: String,
        topics: impl Fn() -> TopicTable,
        timing: Timing,
        mut stop: watch::Receiver<bool>,
        first: tokio::sync::oneshot::Sender<()>,
    ) {
        let mut first = Some(first);
        let mut changes = self.changes.subscribe();
        let mut link: Option<Link> = None;
        loop {
            changes.mark_unchanged();
            let registered = self.register_at(&namesrv, &mut link, topics(), timing.answer).await;
            match &registered {
                Ok(()) if first.is_some() => info!(%namesrv, "registered"),
                Ok(()) => debug!(%namesrv, "registered"),
                Err(error) => {
                    warn!(%namesrv, %error, "registration failed");
                    link = None;
                }
            }
            if let Some(first) = first.take() {
                let _ = first.send(());
            }
            let pause = if registered.is_ok() { timing.period } else { RETRY_PAUSE };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = changes.changed() => if changed.is_err() { return },
                _ = stop.changed() => {
                    if let Some(link) = &mut link {
                        self.unregister_at(link).await;
                    }
                    return;
                }
                // A NameServer that restarted has forgotten us.
                () = until_closed(&mut link) => link = None,
            }
        }
    }

    async fn register_at(
        &self,
        namesrv: &str,
        link: &mut Option<Link>,
        mut topics: TopicTable,
        answer: Duration,
    ) -> Result<(), OuterError> {
        let link = match link {
            Some(link) => link,
            None => link.insert(Link::connect(namesrv).await?),
        };
        topics.topic_config_table.values_mut().for_each(|topic| self.permitted(topic));
        let body =
            RegisterBrokerBody { filter_server_list: Vec::new(), topic_config_serialize_wrapper: topics };
        let body = serde_json::to_vec(&body).map_err(std::io::Error::from)?;
        let header = RegisterBrokerRequest {
            broker_name: &self.identity.name,
            broker_addr: &self.address,
            cluster_name: &self.identity.cluster,
            ha_server_addr: &self.identity.ha_address.to_string(),
            broker_id: self.identity.id,
            heartbeat_timeout_millis: None,
            enable_acting_master: Some(false),
            compressed: Some(false),
            body_crc32: i32::try_from(body_crc(&body)).ok(),
        };
        let request = Frame::request(RequestCode::REGISTER_BROKER, &header).with_body(body);
        link.call(request, answer).await
    }

    async fn unregister_at(&self, link: &mut Link) {
        let header = BrokerIdentityRequest {
            broker_name: &self.identity.name,
            broker_addr: &self.address,
            cluster_name: &self.identity.cluster,
            broker_id: self.identity.id,
        };
        let request = Frame::request(RequestCode::UNREGISTER_BROKER, &header);
        if let Err(error) = link.call(request, UNREGISTER_TIMEOUT).await {
            debug!(%error, "a NameServer was not told that this broker leaves");
        }
    }
}

async fn until_closed(link: &mut Option<Link>) {
    match link {
        Some(link) => link.until_closed().await,
        None => std::future::pending().await,
    }
}

/// A connection to a NameServer, one call at a time.
struct Link {
    stream: TcpStream,
    input: BytesMut,
    next_opaque: i32,
}

impl Link {
    async fn connect(namesrv: &str) -> Result<Link, OuterError> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(namesrv));
        let stream = stream.await.map_err(|_| OuterError::Timeout)??;
        stream.set_nodelay(true)?;
        Ok(Link { stream, input: BytesMut::new(), next_opaque: 1 })
    }

    async fn call(&mut self, mut request: Frame, limit: Duration) -> Result<(), OuterError> {
        let deadline = Instant::now() + limit;
        request.opaque = self.next_opaque;
        self.next_opaque = self.next_opaque.wrapping_add(1);
        let mut out = BytesMut::new();
        request.encode(&mut out);
        let exchange = async {
            self.stream.write_all(&out).await?;
            loop {
                let frame = self.next_frame().await?;
                if frame.is_response() && frame.opaque == request.opaque {
                    return match frame.response_code() {
                        ResponseCode::SUCCESS => Ok(()),
                        code => Err(OuterError::Refused(code, frame.remark)),
                    };
                }
            }
        };
        tokio::time::timeout_at(deadline, exchange).await.map_err(|_| OuterError::Timeout)?
    }

    /// The next frame; what a NameServer asks of its own accord is refused on the way.
    async fn next_frame(&mut self) -> Result<Frame, OuterError> {
        loop {
            if let Some(frame) = Frame::decode(&mut self.input, MAX_FRAME)? {
                if frame.is_response() {
                    return Ok(frame);
                }
                if !frame.is_oneway() {
                    let mut out = BytesMut::new();
                    crate::server::Refusal::not_supported(&frame).answer(&frame).encode(&mut out);
                    self.stream.write_all(&out).await?;
                }
                continue;
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(OuterError::Closed);
            }
        }
    }

    /// Returns when the connection has ended. Answers that come too late are dropped.
    async fn until_closed(&mut self) {
        while self.next_frame().await.is_ok() {}
    }
}
