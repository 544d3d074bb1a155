//! Consumer groups: settings, members, progress and offsets.

use std::collections::BTreeMap;

use bytes::Bytes;
use mq_protocol::body::{
    ConsumeStats, ConsumerConnections, ConsumerRunningInfo, GroupConfig, GroupList, MessageQueue,
    ResetOffsetBody,
};
use mq_protocol::header::{
    ConsumeStatsRequest, ConsumerGroupRequest, ConsumerRunningInfoRequest, DeleteGroupRequest,
    OffsetResponse, QueueRequest, ResetOffsetRequest, SearchOffsetRequest, TopicRequest,
};
use mq_protocol::{Header, RequestCode, ResponseCode, name};

use super::{Admin, Target, read, write};
use crate::remoting::Bare;
use crate::{Error, ErrorCode};

impl Admin {
    /// Makes a consumer group with these settings on each master, or changes them.
    ///
    /// # Errors
    /// `ARGUMENT`: the name is not acceptable. `NOT_FOUND`: there is no such broker.
    pub async fn set_group(&self, config: &GroupConfig, target: &Target) -> Result<(), Error> {
        name::check_group(&config.group_name)?;
        let mut config = config.clone();
        config.group_name = self.client.wrap(&config.group_name).into_owned();
        let body = write(&config)?;
        for address in self.masters(target).await? {
            let code = RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
            self.broker(&address, code, &Bare, body.clone()).await?;
        }
        Ok(())
    }

    /// Deletes a consumer group on each master, its offsets included if wanted.
    ///
    /// # Errors
    /// `ARGUMENT`: the name is not acceptable. `NOT_FOUND`: there is no such broker.
    pub async fn delete_group(&self, group: &str, offsets: bool, target: &Target) -> Result<(), Error> {
        name::check_group(group)?;
        let wrapped = self.client.wrap(group);
        // Two names of one field: 5.x and 4.9.
        let header = DeleteGroupRequest {
            group_name: &wrapped,
            clean_offset: Some(offsets),
            remove_offset: Some(offsets),
        };
        for address in self.masters(target).await? {
            self.broker(&address, RequestCode::DELETE_SUBSCRIPTIONGROUP, &header, Bytes::new()).await?;
        }
        Ok(())
    }

    /// How far a group is in each queue: `broker_offset - consumer_offset` messages are left.
    ///
    /// # Errors
    /// `NOT_FOUND`: no broker knows the group.
    pub async fn consumer_progress(&self, group: &str, topic: Option<&str>) -> Result<ConsumeStats, Error> {
        name::check_group(group)?;
        let group = self.client.wrap(group).into_owned();
        let topic = topic.map(|topic| self.client.wrap(topic).into_owned());
        let route = self.route_of(&name::retry_topic(&group)).await?;
        let header =
            ConsumeStatsRequest { consumer_group: &group, topic: topic.as_deref(), topic_list: None };
        let mut all = ConsumeStats::default();
        for (_, frame) in self.each_broker(&route, RequestCode::GET_CONSUME_STATS, &header).await? {
            let stats: ConsumeStats = read(&frame, "the group's progress")?;
            all.offset_table.extend(stats.offset_table);
            all.consume_tps += stats.consume_tps;
        }
        Ok(all)
    }

    /// The members of a group that are online, and what they subscribe to.
    ///
    /// # Errors
    /// `NOT_FOUND`: no broker knows the group, or no member is online.
    pub async fn consumer_connections(&self, group: &str) -> Result<ConsumerConnections, Error> {
        name::check_group(group)?;
        let group = self.client.wrap(group).into_owned();
        let route = self.route_of(&name::retry_topic(&group)).await?;
        let header = ConsumerGroupRequest { consumer_group: &group };
        let mut last = None;
        for broker in &route.broker_datas {
            let Some(address) = broker.broker_addrs.values().next() else { continue };
            match self.broker(address, RequestCode::GET_CONSUMER_CONNECTION_LIST, &header, Bytes::new()).await
            {
                Ok(frame) => return read(&frame, "the group's members"),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorCode::NotFound, format!("group '{group}' has no broker"))))
    }

    /// What a member of a group says of itself: its queues, rates and settings.
    ///
    /// # Errors
    /// `NOT_FOUND`: no broker knows the group. `BROKER`: the member is not online or does not answer.
    pub async fn consumer_running_info(
        &self,
        group: &str,
        client_id: &str,
    ) -> Result<ConsumerRunningInfo, Error> {
        name::check_group(group)?;
        let group = self.client.wrap(group).into_owned();
        let route = self.route_of(&name::retry_topic(&group)).await?;
        let header =
            ConsumerRunningInfoRequest { consumer_group: &group, client_id, jstack_enable: Some(false) };
        let mut last = None;
        for broker in &route.broker_datas {
            let Some(address) = broker.broker_addrs.values().next() else { continue };
            match self.broker(address, RequestCode::GET_CONSUMER_RUNNING_INFO, &header, Bytes::new()).await {
                Ok(frame) => return read(&frame, "the member's state"),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(ErrorCode::NotFound, format!("group '{group}' has no broker"))))
    }

    /// Groups that consume a topic or did.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such topic.
    pub async fn groups_of_topic(&self, topic: &str) -> Result<Vec<String>, Error> {
        let route = self.route(topic).await?;
        let wrapped = self.client.wrap(topic);
        let header = TopicRequest { topic: &wrapped };
        let mut groups = Vec::new();
        for (_, frame) in self.each_broker(&route, RequestCode::QUERY_TOPIC_CONSUME_BY_WHO, &header).await? {
            groups.extend(read::<GroupList>(&frame, "the topic's groups")?.group_list);
        }
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    /// Sets a group's offsets in a topic to the time `timestamp` (milliseconds since 1970; -1: to the end), online
    /// members included. `force` also moves them forward.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such topic or group, or (on brokers before 5.2) no member is online.
    pub async fn reset_offset(
        &self,
        group: &str,
        topic: &str,
        timestamp: i64,
        force: bool,
    ) -> Result<BTreeMap<MessageQueue, i64>, Error> {
        name::check_group(group)?;
        let route = self.route(topic).await?;
        let (group, topic) = (self.client.wrap(group), self.client.wrap(topic));
        let header = ResetOffsetRequest {
            topic: &topic,
            group: &group,
            timestamp,
            is_force: Some(force),
            queue_id: Some(-1),
            offset: Some(-1),
        };
        let mut all = BTreeMap::new();
        for (_, frame) in
            self.each_broker(&route, RequestCode::INVOKE_BROKER_TO_RESET_OFFSET, &header).await?
        {
            all.extend(read::<ResetOffsetBody>(&frame, "the new offsets")?.offset_table);
        }
        Ok(all)
    }

    /// The smallest offset of a queue that can be read.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such broker.
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        let topic = self.client.wrap(&queue.topic);
        let header = QueueRequest { topic: &topic, queue_id: queue.queue_id };
        self.offset(queue, RequestCode::GET_MIN_OFFSET, &header).await
    }

    /// The offset that the next message of a queue gets.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such broker.
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        let topic = self.client.wrap(&queue.topic);
        let header = QueueRequest { topic: &topic, queue_id: queue.queue_id };
        self.offset(queue, RequestCode::GET_MAX_OFFSET, &header).await
    }

    /// The first offset of a queue whose message was stored at `timestamp` (milliseconds since 1970) or later.
    ///
    /// # Errors
    /// `NOT_FOUND`: there is no such broker.
    pub async fn offset_by_time(&self, queue: &MessageQueue, timestamp: i64) -> Result<i64, Error> {
        let topic = self.client.wrap(&queue.topic);
        let header =
            SearchOffsetRequest { topic: &topic, queue_id: queue.queue_id, timestamp, boundary_type: None };
        self.offset(queue, RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &header).await
    }

    async fn offset<'h, H: Header<'h> + Sync>(
        &self,
        queue: &MessageQueue,
        code: RequestCode,
        header: &H,
    ) -> Result<i64, Error> {
        let route = self.route(&queue.topic).await?;
        let broker = route.broker_datas.iter().find(|broker| broker.broker_name == queue.broker_name);
        let address = broker.and_then(|broker| broker.broker_addrs.values().next()).ok_or_else(|| {
            Error::new(
                ErrorCode::NotFound,
                format!("topic '{}' has no queue on broker '{}'", queue.topic, queue.broker_name),
            )
        })?;
        let frame = self.broker(address, code, header, Bytes::new()).await?;
        Ok(frame.header::<OffsetResponse>()?.offset)
    }

    /// Settings of a group, from the first broker that knows it.
    ///
    /// # Errors
    /// `NOT_FOUND`: no broker knows the group.
    pub async fn group(&self, group: &str) -> Result<GroupConfig, Error> {
        let wrapped = self.client.wrap(group).into_owned();
        let header = mq_protocol::header::GroupRequest { group: &wrapped };
        for address in self.masters(&Target::All).await? {
            match self
                .broker(&address, RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG, &header, Bytes::new())
                .await
            {
                Ok(frame) => return read(&frame, "the group's settings"),
                Err(error) if error.is_broker(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorCode::NotFound, format!("no broker knows group '{group}'")))
    }
}
