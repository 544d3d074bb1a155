//! A consumer of any kind, as the client sees it: a member of a group that brokers ask things of.

use std::sync::Arc;

use bytes::Bytes;
use mq_protocol::Frame;
use mq_protocol::body::ConsumerData;

use crate::remoting::Connection;
use crate::{Error, consumer};

#[derive(Clone)]
pub(crate) enum Member {
    Push(Arc<consumer::Inner>),
}

impl Member {
    pub(crate) fn group(&self) -> &str {
        match self {
            Member::Push(consumer) => consumer.group(),
        }
    }

    pub(super) fn subscribes(&self, topic: &str) -> bool {
        match self {
            Member::Push(consumer) => consumer.subscribes(topic),
        }
    }

    pub(super) fn heartbeat(&self) -> ConsumerData {
        match self {
            Member::Push(consumer) => consumer.heartbeat(),
        }
    }

    pub(super) fn members_changed(&self) {
        match self {
            Member::Push(consumer) => consumer.members_changed(),
        }
    }

    pub(super) fn reset_offsets(&self, body: &Bytes) {
        match self {
            Member::Push(consumer) => consumer.reset_offsets(body),
        }
    }

    pub(super) fn status_body(&self, topic: &str) -> Result<String, Error> {
        match self {
            Member::Push(consumer) => consumer.status_body(topic),
        }
    }

    pub(super) fn running_info_body(&self, stacks: bool) -> Result<String, Error> {
        match self {
            Member::Push(consumer) => consumer.running_info_body(stacks),
        }
    }

    pub(super) fn consume_directly(&self, frame: Frame, from: Arc<Connection>) -> Result<(), Error> {
        match self {
            Member::Push(consumer) => consumer.consume_directly(frame, from),
        }
        Ok(())
    }

    pub(super) async fn close(&self) {
        match self {
            Member::Push(consumer) => consumer.close().await,
        }
    }
}
