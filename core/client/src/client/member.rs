//! A consumer of any kind, as the client sees it: a member of a group that brokers ask things of.

use std::sync::Arc;

use bytes::Bytes;
use mq_protocol::Frame;
use mq_protocol::body::ConsumerData;

use crate::remoting::Connection;
use crate::{Error, ErrorCode, consumer, pull_consumer};

#[derive(Clone)]
pub(crate) enum Member {
    Push(Arc<consumer::Inner>),
    Pull(Arc<pull_consumer::Inner>),
}

impl Member {
    pub(crate) fn group(&self) -> &str {
        match self {
            Member::Push(consumer) => consumer.group(),
            Member::Pull(consumer) => consumer.group(),
        }
    }

    pub(super) fn subscribes(&self, topic: &str) -> bool {
        match self {
            Member::Push(consumer) => consumer.subscribes(topic),
            Member::Pull(consumer) => consumer.subscribes(topic),
        }
    }

    pub(super) fn heartbeat(&self) -> ConsumerData {
        match self {
            Member::Push(consumer) => consumer.heartbeat(),
            Member::Pull(consumer) => consumer.heartbeat(),
        }
    }

    pub(super) fn members_changed(&self) {
        match self {
            Member::Push(consumer) => consumer.members_changed(),
            Member::Pull(consumer) => consumer.members_changed(),
        }
    }

    pub(super) fn reset_offsets(&self, body: &Bytes) {
        match self {
            Member::Push(consumer) => consumer.reset_offsets(body),
            Member::Pull(consumer) => consumer.reset_offsets(body),
        }
    }

    pub(super) fn status_body(&self, topic: &str) -> Result<String, Error> {
        match self {
            Member::Push(consumer) => consumer.status_body(topic),
            Member::Pull(consumer) => consumer.status_body(topic),
        }
    }

    pub(super) fn running_info_body(&self, stacks: bool) -> Result<String, Error> {
        match self {
            Member::Push(consumer) => consumer.running_info_body(stacks),
            Member::Pull(consumer) => consumer.running_info_body(),
        }
    }

    pub(super) fn consume_directly(&self, frame: Frame, from: Arc<Connection>) -> Result<(), Error> {
        match self {
            Member::Push(consumer) => {
                consumer.consume_directly(frame, from);
                Ok(())
            }
            Member::Pull(consumer) => Err(Error::new(
                ErrorCode::Unsupported,
                format!(
                    "group '{}' polls its messages here; it has no listener to give one to",
                    consumer.group()
                ),
            )),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Member::Push(consumer) => consumer.close().await,
            Member::Pull(consumer) => consumer.close().await,
        }
    }
}
