//! Topics: made, deleted, listed, found and counted.

use std::time::Duration;

use bytes::Bytes;
use mq_protocol::body::{TopicConfig, TopicList, TopicRoute, TopicStats, perm};
use mq_protocol::header::{
    ClusterRequest, CreateTopicRequest, GetRouteInfoRequest, KvKeyRequest, TopicRequest,
};
use mq_protocol::{RequestCode, ResponseCode, name};
use tokio::time::{Instant, sleep};

use super::{Admin, Target, read};
use crate::remoting::{Bare, success};
use crate::{Error, ErrorCode};

/// How often a NameServer is asked whether it knows a new topic.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Admin {
    /// Makes a topic with this many queues on each master, or changes its number of queues, and waits until
    /// the NameServer leads there.
    ///
    /// # Errors
    /// `ARGUMENT`: the name is not acceptable. `NOT_FOUND`: there is no such broker. `TIMEOUT`: the broker has
    /// the topic, but the NameServer does not know of it in time.
    pub async fn create_topic(&self, topic: &str, queues: i32, target: &Target) -> Result<(), Error> {
        self.set_topic(&TopicConfig::new(topic, queues, perm::READ | perm::WRITE), target).await
    }

    /// Makes a topic with these settings on each master, or changes them.
    ///
    /// # Errors
    /// As [`Admin::create_topic`].
    pub async fn set_topic(&self, config: &TopicConfig, target: &Target) -> Result<(), Error> {
        name::check_topic(&config.topic_name)?;
        if config.read_queue_nums < 1 || config.write_queue_nums < 1 {
            return Err(Error::argument(format!(
                "topic '{}' shall have {} queues to read and {} to write; give at least 1",
                config.topic_name, config.read_queue_nums, config.write_queue_nums
            )));
        }
        let topic = self.client.wrap(&config.topic_name).into_owned();
        let attributes: Vec<String> =
            config.attributes.iter().map(|(key, value)| format!("+{key}={value}")).collect();
        let attributes = attributes.join(",");
        let header = CreateTopicRequest {
            topic: &topic,
            default_topic: Some(name::AUTO_CREATE_TOPIC),
            read_queue_nums: config.read_queue_nums,
            write_queue_nums: config.write_queue_nums,
            perm: config.perm,
            topic_filter_type: Some(&config.topic_filter_type),
            topic_sys_flag: Some(config.topic_sys_flag),
            order: Some(config.order),
            attributes: (!attributes.is_empty()).then_some(&attributes),
        };
        let masters = self.masters(target).await?;
        for address in &masters {
            self.broker(address, RequestCode::UPDATE_AND_CREATE_TOPIC, &header, Bytes::new()).await?;
        }
        self.until_routed(&topic, &masters, config.write_queue_nums).await
    }

    /// Waits until the route of a topic leads to these brokers.
    async fn until_routed(&self, topic: &str, masters: &[String], queues: i32) -> Result<(), Error> {
        let deadline = self.deadline();
        loop {
            match self.route_of(topic).await {
                Ok(route) => {
                    let leads_to = |address: &String| {
                        let broker =
                            route.broker_datas.iter().find(|b| b.broker_addrs.get(&0) == Some(address));
                        broker.is_none_or(|broker| {
                            route.queue_datas.iter().any(|queues_of| {
                                queues_of.broker_name == broker.broker_name
                                    && queues_of.write_queue_nums == queues
                            })
                        })
                    };
                    let known = masters.iter().filter(|address| {
                        route.broker_datas.iter().any(|b| b.broker_addrs.get(&0) == Some(*address))
                    });
                    if known.count() > 0 && masters.iter().all(leads_to) {
                        return Ok(());
                    }
                }
                Err(error) if error.code() == ErrorCode::NotFound => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Err(Error::new(
                    ErrorCode::Timeout,
                    format!(
                        "topic '{topic}' is made, but NameServer {} does not lead to it yet; wait a little",
                        self.client.namesrv.names()
                    ),
                ));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Deletes a topic on all masters and in the NameServers; its messages cannot be read any more.
    ///
    /// # Errors
    /// `ARGUMENT`: the name is not acceptable, or RocketMQ's own. `NOT_FOUND`: there is no such broker.
    pub async fn delete_topic(&self, topic: &str, target: &Target) -> Result<(), Error> {
        name::check_topic(topic)?;
        let wrapped = self.client.wrap(topic).into_owned();
        let header = TopicRequest { topic: &wrapped };
        for address in self.masters(target).await? {
            self.broker(&address, RequestCode::DELETE_TOPIC_IN_BROKER, &header, Bytes::new()).await?;
        }
        if *target == Target::All {
            self.each_name_server(RequestCode::DELETE_TOPIC_IN_NAMESRV, &header).await?;
            let order = KvKeyRequest { namespace: "ORDER_TOPIC_CONFIG", key: &wrapped };
            self.each_name_server(RequestCode::DELETE_KV_CONFIG, &order).await?;
        }
        Ok(())
    }

    /// Tells every NameServer: each keeps a table of its own.
    async fn each_name_server<'h, H: mq_protocol::Header<'h> + Sync>(
        &self,
        code: RequestCode,
        header: &H,
    ) -> Result<(), Error> {
        let remoting = &self.client.remoting;
        for peer in self.client.namesrv.known(remoting, self.deadline()).await?.iter() {
            let frame = remoting.call(peer, code, header, &Bytes::new(), self.deadline()).await?;
            success(frame, code, peer.address())?;
        }
        Ok(())
    }

    /// Names of all topics, or of those of a cluster, RocketMQ's own among them, in order.
    ///
    /// # Errors
    /// `NETWORK`, `TIMEOUT`: no NameServer answers.
    pub async fn topics(&self, cluster: Option<&str>) -> Result<Vec<String>, Error> {
        let frame = match cluster {
            Some(cluster) => {
                self.namesrv(RequestCode::GET_TOPICS_BY_CLUSTER, &ClusterRequest { cluster }).await?
            }
            None => self.namesrv(RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER, &Bare).await?,
        };
        let mut list = read::<TopicList>(&frame, "the list of topics")?.topic_list;
        list.sort();
        list.dedup();
        Ok(list)
    }

    /// The brokers and queues of a topic.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such topic.
    pub async fn route(&self, topic: &str) -> Result<TopicRoute, Error> {
        name::check_topic(topic)?;
        self.route_of(&self.client.wrap(topic)).await
    }

    pub(super) async fn route_of(&self, topic: &str) -> Result<TopicRoute, Error> {
        let header = GetRouteInfoRequest { topic, accept_standard_json_only: Some(true) };
        let answer = self.namesrv(RequestCode::GET_ROUTEINFO_BY_TOPIC, &header).await;
        let frame = answer.map_err(|error| {
            if error.is_broker(ResponseCode::TOPIC_NOT_EXIST) {
                let names = self.client.namesrv.names();
                return Error::new(
                    ErrorCode::NotFound,
                    format!("NameServer {names} knows no topic '{topic}'"),
                );
            }
            error
        })?;
        read(&frame, "the route")
    }

    /// Smallest and largest offset of each queue of a topic, and when it was written last.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such topic.
    pub async fn topic_status(&self, topic: &str) -> Result<TopicStats, Error> {
        let route = self.route(topic).await?;
        let wrapped = self.client.wrap(topic);
        let header = TopicRequest { topic: &wrapped };
        let mut all = TopicStats::default();
        for (_, frame) in self.each_broker(&route, RequestCode::GET_TOPIC_STATS_INFO, &header).await? {
            let stats: TopicStats = read(&frame, "the topic's status")?;
            all.offset_table.extend(stats.offset_table);
            all.topic_put_tps += stats.topic_put_tps;
        }
        Ok(all)
    }
}
