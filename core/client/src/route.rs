//! Routes: which brokers have which queues of a topic, asked of the NameServers and kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use mq_protocol::body::{MessageQueue, TopicRoute, perm};
use mq_protocol::header::GetRouteInfoRequest;
use mq_protocol::{RequestCode, ResponseCode, fastjson};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::remoting::{NameServers, Peer, Remoting, refusal};
use crate::{Error, ErrorCode};

/// A topic that nobody used during so many refreshes is forgotten.
const FORGET_AFTER: u32 = 120;
/// After a failure a route is asked for again, but not more often than this.
const SHORTEST_AGE: Duration = Duration::from_secs(1);

/// A queue that can be sent to.
#[derive(Clone)]
pub(crate) struct PublishQueue {
    pub(crate) broker_name: Arc<str>,
    pub(crate) queue_id: i32,
    /// The master.
    pub(crate) peer: Arc<Peer>,
}

/// Where a topic is, at one time.
pub(crate) struct Route {
    pub(crate) data: TopicRoute,
    /// Queues to send to, in Java's order: by broker name, then by number.
    pub(crate) publish: Vec<PublishQueue>,
    /// Queues to consume from, in the same order.
    pub(crate) subscribe: Vec<MessageQueue>,
}

impl Route {
    fn new(topic: &str, mut data: TopicRoute, remoting: &Remoting, vip: bool) -> Route {
        data.queue_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        let (mut publish, mut subscribe) = (Vec::new(), Vec::new());
        for queues in &data.queue_datas {
            if queues.perm & perm::READ != 0 {
                subscribe.extend((0..queues.read_queue_nums.min(MAX_QUEUES)).map(|queue_id| MessageQueue {
                    topic: topic.to_owned(),
                    broker_name: queues.broker_name.clone(),
                    queue_id,
                }));
            }
            let broker = data.broker_datas.iter().find(|broker| broker.broker_name == queues.broker_name);
            let master = broker.and_then(|broker| broker.broker_addrs.get(&0));
            if let Some(address) = master
                && queues.perm & perm::WRITE != 0
            {
                let broker_name: Arc<str> = queues.broker_name.as_str().into();
                let peer = if vip { remoting.peer(&vip_address(address)) } else { remoting.peer(address) };
                publish.extend((0..queues.write_queue_nums.min(MAX_QUEUES)).map(|queue_id| PublishQueue {
                    broker_name: broker_name.clone(),
                    queue_id,
                    peer: peer.clone(),
                }));
            }
        }
        Route { data, publish, subscribe }
    }
}

/// The second port of a broker, for sends (`MixAll.brokerVIPChannel`); the first if there is none below it.
pub(crate) fn vip_address(address: &str) -> String {
    let second = address.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse::<u16>().ok()?.checked_sub(2).filter(|port| *port > 0)?;
        Some(format!("{host}:{port}"))
    });
    second.unwrap_or_else(|| address.to_owned())
}

/// More queues than this on one broker are not believed (Apache's own limit of a topic).
const MAX_QUEUES: i32 = 65_536;

/// What is known of one topic.
pub(crate) struct Topic {
    name: String,
    route: RwLock<Option<Arc<Route>>>,
    /// Round robin over the queues to send to.
    next: AtomicUsize,
    /// Consumers need it, whether or not it is used otherwise.
    subscribed: AtomicBool,
    /// Refreshes since a producer used it last.
    idle: AtomicU32,
    /// Only one asks at a time.
    asking: tokio::sync::Mutex<()>,
    /// Number of answers so far, and the last.
    answers: AtomicU64,
    last: Mutex<Option<(Instant, Result<(), Error>)>>,
}

impl Topic {
    fn route(&self) -> Option<Arc<Route>> {
        self.route.read().clone()
    }

    /// The next number of the round robin.
    pub(crate) fn turn(&self) -> usize {
        self.idle.store(0, Ordering::Relaxed);
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// How a producer helps itself when a topic does not exist yet.
#[derive(Clone, Copy)]
pub(crate) struct Template<'a> {
    pub(crate) topic: &'a str,
    pub(crate) queues: i32,
}

pub(crate) struct Routes {
    topics: RwLock<HashMap<String, Arc<Topic>>>,
    /// Broker name to its addresses by id.
    brokers: RwLock<HashMap<String, BTreeMap<i64, String>>>,
    seed: usize,
    /// Sends use the brokers' second port.
    vip: bool,
}

impl Routes {
    pub(crate) fn new(seed: usize, vip: bool) -> Routes {
        Routes { topics: RwLock::default(), brokers: RwLock::default(), seed, vip }
    }

    fn topic(&self, name: &str) -> Arc<Topic> {
        if let Some(topic) = self.topics.read().get(name) {
            return topic.clone();
        }
        let mut topics = self.topics.write();
        let topic = topics.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Topic {
                name: name.to_owned(),
                route: RwLock::new(None),
                next: AtomicUsize::new(self.seed),
                subscribed: AtomicBool::new(false),
                idle: AtomicU32::new(0),
                asking: tokio::sync::Mutex::new(()),
                answers: AtomicU64::new(0),
                last: Mutex::new(None),
            })
        });
        topic.clone()
    }

    /// The route that is known, without asking.
    pub(crate) fn known(&self, name: &str) -> Option<(Arc<Topic>, Arc<Route>)> {
        let topics = self.topics.read();
        let topic = topics.get(name)?;
        let route = topic.route()?;
        Some((topic.clone(), route))
    }

    /// The route of a topic; asked for if it is not known. A producer gives the template of new topics.
    pub(crate) async fn get(
        &self,
        name: &str,
        template: Option<Template<'_>>,
        remoting: &Remoting,
        namesrv: &NameServers,
        deadline: Instant,
    ) -> Result<(Arc<Topic>, Arc<Route>), Error> {
        let topic = self.topic(name);
        if let Some(route) = topic.route() {
            return Ok((topic, route));
        }
        let asked = self.ask(&topic, template, remoting, namesrv, deadline).await;
        match topic.route() {
            Some(route) => Ok((topic, route)),
            None => Err(asked.err().unwrap_or_else(|| no_route(name, namesrv))),
        }
    }

    /// Asks for the route again unless that was done a moment ago.
    pub(crate) async fn refresh(
        &self,
        name: &str,
        template: Option<Template<'_>>,
        remoting: &Remoting,
        namesrv: &NameServers,
        deadline: Instant,
    ) -> Result<(), Error> {
        let topic = self.topic(name);
        let fresh = topic.last.lock().as_ref().is_some_and(|(at, _)| at.elapsed() < SHORTEST_AGE);
        if fresh { Ok(()) } else { self.ask(&topic, template, remoting, namesrv, deadline).await }
    }

    /// Keeps the topic known and fresh for a consumer, or no longer.
    pub(crate) fn subscribe(&self, name: &str, on: bool) {
        self.topic(name).subscribed.store(on, Ordering::Relaxed);
    }

    /// Names of all topics that are to be kept fresh; those unused for long are forgotten.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut topics = self.topics.write();
        topics.retain(|_, topic| {
            // A topic that never had a route is worth nothing unless somebody asks for it just now.
            topic.subscribed.load(Ordering::Relaxed)
                || Arc::strong_count(topic) > 1
                || (topic.route.read().is_some() && topic.idle.fetch_add(1, Ordering::Relaxed) < FORGET_AFTER)
        });
        topics.keys().cloned().collect()
    }

    async fn ask(
        &self,
        topic: &Topic,
        template: Option<Template<'_>>,
        remoting: &Remoting,
        namesrv: &NameServers,
        deadline: Instant,
    ) -> Result<(), Error> {
        let before = topic.answers.load(Ordering::Acquire);
        let late = || {
            Error::new(
                ErrorCode::Timeout,
                format!("the route of topic '{}' did not arrive in time", topic.name),
            )
        };
        let _turn = tokio::time::timeout_at(deadline, topic.asking.lock()).await.map_err(|_| late())?;
        if topic.answers.load(Ordering::Acquire) != before {
            // Somebody else asked while this one waited: his answer is as good.
            if let Some((_, result)) = &*topic.last.lock() {
                return result.clone();
            }
        }
        let result = self.fetch(topic, template, remoting, namesrv, deadline).await;
        *topic.last.lock() = Some((Instant::now(), result.clone()));
        topic.answers.fetch_add(1, Ordering::Release);
        result
    }

    async fn fetch(
        &self,
        topic: &Topic,
        template: Option<Template<'_>>,
        remoting: &Remoting,
        namesrv: &NameServers,
        deadline: Instant,
    ) -> Result<(), Error> {
        let mut data = query(&topic.name, remoting, namesrv, deadline).await?;
        let has_route = topic.route.read().is_some();
        if let (None, Some(template), false) = (&data, template, has_route) {
            data = query(template.topic, remoting, namesrv, deadline).await?;
            for queues in data.iter_mut().flat_map(|data| &mut data.queue_datas) {
                queues.read_queue_nums = queues.read_queue_nums.min(template.queues);
                queues.write_queue_nums = queues.read_queue_nums;
            }
        }
        let Some(data) = data else { return Err(no_route(&topic.name, namesrv)) };
        if topic.route.read().as_ref().is_some_and(|old| old.data == data) {
            return Ok(());
        }
        tracing::debug!(topic = topic.name, brokers = data.broker_datas.len(), "route changed");
        {
            let mut brokers = self.brokers.write();
            for broker in &data.broker_datas {
                brokers.insert(broker.broker_name.clone(), broker.broker_addrs.clone());
            }
        }
        let route = Arc::new(Route::new(&topic.name, data, remoting, self.vip));
        *topic.route.write() = Some(route);
        Ok(())
    }

    /// Address of a broker: the wanted id if it is known, else the master, else any.
    pub(crate) fn broker_address(&self, name: &str, id: i64) -> Option<String> {
        let brokers = self.brokers.read();
        let addresses = brokers.get(name)?;
        addresses.get(&id).or_else(|| addresses.get(&0)).or_else(|| addresses.values().next()).cloned()
    }

    /// The broker's own address if this is one of a broker, be it its second port.
    pub(crate) fn main_address(&self, address: &str) -> Option<String> {
        let brokers = self.brokers.read();
        let mut known = brokers.values().flat_map(BTreeMap::values);
        known.find(|own| *own == address || (self.vip && vip_address(own) == address)).cloned()
    }

    /// Addresses of all brokers of the known routes: the masters, or all.
    pub(crate) fn broker_addresses(&self, slaves: bool) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for topic in self.topics.read().values() {
            for broker in topic.route().iter().flat_map(|route| &route.data.broker_datas) {
                all.extend(
                    broker.broker_addrs.iter().filter(|(id, _)| slaves || **id == 0).map(|(_, a)| a.clone()),
                );
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn no_route(topic: &str, namesrv: &NameServers) -> Error {
    Error::new(
        ErrorCode::NotFound,
        format!(
            "NameServer {} knows no route of topic '{topic}'; create the topic or correct its name",
            namesrv.names()
        ),
    )
}

/// Asks the NameServers; `None` if they do not know the topic.
async fn query(
    topic: &str,
    remoting: &Remoting,
    namesrv: &NameServers,
    deadline: Instant,
) -> Result<Option<TopicRoute>, Error> {
    let code = RequestCode::GET_ROUTEINFO_BY_TOPIC;
    let header = GetRouteInfoRequest { topic, accept_standard_json_only: Some(true) };
    let (frame, peer) = namesrv.call(remoting, code, &header, deadline).await?;
    match frame.response_code() {
        ResponseCode::SUCCESS => fastjson::from_slice(&frame.body).map(Some).map_err(|error| {
            Error::new(
                ErrorCode::Broker,
                format!("the route of topic '{topic}' from {} cannot be read: {error}", peer.address()),
            )
        }),
        ResponseCode::TOPIC_NOT_EXIST => Ok(None),
        _ => Err(refusal(&frame, code, peer.address())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_ports_are_two_below() {
        assert_eq!(vip_address("10.0.0.1:10911"), "10.0.0.1:10909");
        assert_eq!(vip_address("[::1]:10911"), "[::1]:10909");
        assert_eq!(vip_address("b:2"), "b:2");
    }
}
