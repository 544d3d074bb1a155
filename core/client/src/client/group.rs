//! What a member of a consumer group asks of the brokers: who else is in it, and offsets of queues.

use bytes::Bytes;
use mq_protocol::body::{ConsumerIdList, MessageQueue};
use mq_protocol::header::{
    ConsumerGroupRequest, OffsetResponse, QueryConsumerOffsetRequest, QueueRequest, SearchOffsetRequest,
    UpdateConsumerOffsetRequest,
};
use mq_protocol::{Header, RequestCode, ResponseCode, fastjson};

use super::Inner;
use crate::remoting::refusal;
use crate::{Error, ErrorCode};

impl Inner {
    /// Ids of the group's members, this one among them, from any broker of the topic.
    pub(crate) async fn members(&self, group: &str, topic: &str) -> Result<Vec<String>, Error> {
        let mut members = self.ask_members(group, topic).await.unwrap_or_default();
        if !members.contains(&self.client_id) {
            // A broker that just came (back), or one that was not known at the last heartbeat.
            self.beat_all().await;
            members = self.ask_members(group, topic).await?;
        }
        if !members.contains(&self.client_id) {
            return Err(Error::new(
                ErrorCode::State,
                format!("the broker does not know member '{}' of group '{group}' yet", self.client_id),
            ));
        }
        Ok(members)
    }

    async fn ask_members(&self, group: &str, topic: &str) -> Result<Vec<String>, Error> {
        let (turn, route) = self.route(topic, None, self.short()).await?;
        let brokers = &route.data.broker_datas;
        let code = RequestCode::GET_CONSUMER_LIST_BY_GROUP;
        let header = ConsumerGroupRequest { consumer_group: group };
        let mut last = Error::new(ErrorCode::NotFound, format!("topic '{topic}' has no broker"));
        let first = turn.turn();
        for step in 0..brokers.len() {
            let Some(broker) = brokers.get(first.wrapping_add(step) % brokers.len()) else { break };
            let peer = self.broker(&broker.broker_name, 0)?;
            match self.remoting.ask(&peer, code, &header, &Bytes::new(), self.short()).await {
                Ok(frame) => {
                    let list: ConsumerIdList = fastjson::from_slice(&frame.body).map_err(|error| {
                        Error::new(ErrorCode::Broker, format!("members of group '{group}': {error}"))
                    })?;
                    return Ok(list.consumer_id_list);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The offset that the broker keeps for a group; `None` if there is none.
    pub(crate) async fn committed_offset(
        &self,
        group: &str,
        queue: &MessageQueue,
    ) -> Result<Option<i64>, Error> {
        let code = RequestCode::QUERY_CONSUMER_OFFSET;
        let header = QueryConsumerOffsetRequest {
            consumer_group: group,
            topic: &queue.topic,
            queue_id: queue.queue_id,
            set_zero_if_not_found: None,
        };
        let peer = self.broker(&queue.broker_name, 0)?;
        let frame = self.remoting.call(&peer, code, &header, &Bytes::new(), self.short()).await?;
        match frame.response_code() {
            ResponseCode::SUCCESS => Ok(Some(frame.header::<OffsetResponse>()?.offset)),
            ResponseCode::QUERY_NOT_FOUND => Ok(None),
            _ => Err(refusal(&frame, code, peer.address())),
        }
    }

    /// Commits an offset and waits until the broker has it.
    pub(crate) async fn commit_offset(
        &self,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
    ) -> Result<(), Error> {
        let peer = self.broker(&queue.broker_name, 0)?;
        let header = commit_header(group, queue, offset);
        let code = RequestCode::UPDATE_CONSUMER_OFFSET;
        self.remoting.ask(&peer, code, &header, &Bytes::new(), self.short()).await?;
        Ok(())
    }

    /// Sends an offset without waiting for an answer, as Java does every five seconds.
    pub(crate) async fn commit_unconfirmed(
        &self,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
    ) -> Result<(), Error> {
        let peer = self.broker(&queue.broker_name, 0)?;
        let header = commit_header(group, queue, offset);
        let code = RequestCode::UPDATE_CONSUMER_OFFSET;
        self.remoting.tell(&peer, code, &header, &Bytes::new(), self.short()).await
    }

    /// The smallest offset that a queue still has.
    pub(crate) async fn min_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        let header = QueueRequest { topic: &queue.topic, queue_id: queue.queue_id };
        self.ask_offset(queue, RequestCode::GET_MIN_OFFSET, &header).await
    }

    /// The offset that the next message of a queue gets.
    pub(crate) async fn max_offset(&self, queue: &MessageQueue) -> Result<i64, Error> {
        let header = QueueRequest { topic: &queue.topic, queue_id: queue.queue_id };
        self.ask_offset(queue, RequestCode::GET_MAX_OFFSET, &header).await
    }

    /// The first offset that was stored at this time or later, in milliseconds since 1970.
    pub(crate) async fn offset_at(&self, queue: &MessageQueue, timestamp: i64) -> Result<i64, Error> {
        let header = SearchOffsetRequest {
            topic: &queue.topic,
            queue_id: queue.queue_id,
            timestamp,
            boundary_type: None,
        };
        self.ask_offset(queue, RequestCode::SEARCH_OFFSET_BY_TIMESTAMP, &header).await
    }

    async fn ask_offset<'h, H: Header<'h> + Sync>(
        &self,
        queue: &MessageQueue,
        code: RequestCode,
        header: &H,
    ) -> Result<i64, Error> {
        let peer = self.broker(&queue.broker_name, 0)?;
        let frame = self.remoting.ask(&peer, code, header, &Bytes::new(), self.short()).await?;
        Ok(frame.header::<OffsetResponse>()?.offset)
    }
}

fn commit_header<'a>(
    group: &'a str,
    queue: &'a MessageQueue,
    offset: i64,
) -> UpdateConsumerOffsetRequest<'a> {
    UpdateConsumerOffsetRequest {
        consumer_group: group,
        topic: &queue.topic,
        queue_id: queue.queue_id,
        commit_offset: offset,
    }
}
