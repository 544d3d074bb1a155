//! The broker's requests: which code is served by which handler, in one table.
//!
//! To serve another code: write a handler in the file of its family and add its line to [`handler`].

use std::sync::Arc;

use mq_protocol::{RequestCode, ResponseCode};

use crate::broker::State;
use crate::server::{Call, Dispatch, Peer, Refusal, Reply};
use crate::testing::Faults;

mod admin;
mod client;
mod group;
mod lock;
mod offset;
mod progress;
mod pull;
mod query;
mod relay;
mod reset;
mod send;
mod send_back;
mod topic;

pub(crate) use send::Stamps;

type Handler = fn(&State, &mut Call<'_>) -> Result<Reply, Refusal>;

/// The handler of a request code: the one place to add one.
fn handler(code: RequestCode) -> Option<Handler> {
    Some(match code {
        RequestCode::SEND_MESSAGE => send::send_v1,
        RequestCode::SEND_MESSAGE_V2 | RequestCode::SEND_BATCH_MESSAGE => send::send_v2,
        RequestCode::CONSUMER_SEND_MSG_BACK => send_back::send_back,

        RequestCode::PULL_MESSAGE => pull::pull,
        RequestCode::LITE_PULL_MESSAGE => pull::lite_pull,

        RequestCode::QUERY_CONSUMER_OFFSET => offset::query_consumer_offset,
        RequestCode::UPDATE_CONSUMER_OFFSET => offset::update_consumer_offset,
        RequestCode::GET_MAX_OFFSET => offset::max_offset,
        RequestCode::GET_MIN_OFFSET => offset::min_offset,
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => offset::search_offset,
        RequestCode::GET_EARLIEST_MSG_STORETIME => offset::earliest_store_time,
        RequestCode::GET_ALL_CONSUMER_OFFSET => offset::all_consumer_offsets,
        RequestCode::GET_ALL_DELAY_OFFSET => offset::all_delay_offsets,

        RequestCode::HEART_BEAT => client::heartbeat,
        RequestCode::UNREGISTER_CLIENT => client::unregister,
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => client::consumer_list,
        RequestCode::CHECK_CLIENT_CONFIG => client::check_client_config,

        RequestCode::LOCK_BATCH_MQ => lock::lock,
        RequestCode::UNLOCK_BATCH_MQ => lock::unlock,

        RequestCode::QUERY_MESSAGE => query::by_key,
        RequestCode::VIEW_MESSAGE_BY_ID => query::by_offset,
        RequestCode::QUERY_CONSUME_QUEUE => query::consume_queue,

        RequestCode::UPDATE_AND_CREATE_TOPIC => topic::update,
        RequestCode::UPDATE_AND_CREATE_TOPIC_LIST => topic::update_list,
        RequestCode::DELETE_TOPIC_IN_BROKER => topic::delete,
        RequestCode::GET_ALL_TOPIC_CONFIG => topic::all,
        RequestCode::GET_TOPIC_CONFIG => topic::one,
        RequestCode::GET_TOPIC_STATS_INFO => topic::stats,
        RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => topic::consumed_by,
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => topic::system_list,

        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => group::update,
        RequestCode::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => group::update_list,
        RequestCode::DELETE_SUBSCRIPTIONGROUP => group::delete,
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => group::all,
        RequestCode::GET_SUBSCRIPTIONGROUP_CONFIG => group::one,
        RequestCode::GET_CONSUMER_CONNECTION_LIST => group::consumer_connections,
        RequestCode::GET_PRODUCER_CONNECTION_LIST => group::producer_connections,
        RequestCode::GET_ALL_PRODUCER_INFO => group::all_producers,
        RequestCode::QUERY_TOPICS_BY_CONSUMER => group::topics,
        RequestCode::QUERY_SUBSCRIPTION_BY_CONSUMER => group::subscription,
        RequestCode::UPDATE_AND_GET_GROUP_FORBIDDEN => group::forbidden,

        RequestCode::GET_CONSUME_STATS => progress::consume_stats,
        RequestCode::GET_BROKER_CONSUME_STATS => progress::broker_consume_stats,
        RequestCode::QUERY_CONSUME_TIME_SPAN => progress::time_span,
        RequestCode::CLONE_GROUP_OFFSET => progress::clone_offsets,
        RequestCode::QUERY_CORRECTION_OFFSET => progress::correction_offsets,

        RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => reset::reset_offset,
        RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => reset::consumer_status,

        RequestCode::GET_BROKER_RUNTIME_INFO => admin::runtime_info,
        RequestCode::GET_BROKER_CONFIG => admin::get_config,
        RequestCode::UPDATE_BROKER_CONFIG => admin::update_config,
        RequestCode::VIEW_BROKER_STATS_DATA => admin::view_stats,
        RequestCode::GET_BROKER_HA_STATUS => admin::ha_status,
        RequestCode::CLEAN_EXPIRED_CONSUMEQUEUE => admin::clean_expired_queues,
        RequestCode::DELETE_EXPIRED_COMMITLOG => admin::delete_expired_log,
        RequestCode::CLEAN_UNUSED_TOPIC => admin::clean_unused_topics,

        RequestCode::GET_CONSUMER_RUNNING_INFO => relay::consumer_running_info,
        RequestCode::CONSUME_MESSAGE_DIRECTLY => relay::consume_directly,

        _ => return None,
    })
}

impl Dispatch for State {
    fn dispatch(&self, call: &mut Call<'_>) -> Result<Reply, Refusal> {
        match handler(call.request.request_code()) {
            Some(handler) => handler(self, call),
            None => Err(Refusal::not_supported(&call.request)),
        }
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn refuses_connections(&self) -> bool {
        self.faults.refuses_connections()
    }

    fn closed(&self, peer: &Arc<Peer>) {
        self.waiting.connection_closed(peer.id);
        self.producers.connection_closed(peer.id);
        self.consumers.connection_closed(peer.id);
    }
}

/// A refusal for lack of permission.
fn no_permission(remark: impl Into<String>) -> Refusal {
    Refusal::new(ResponseCode::NO_PERMISSION, remark)
}

/// What is asked for cannot be read from the disk, which is not the same as not being there.
#[allow(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn unreadable(error: mq_store::StoreError) -> Refusal {
    Refusal::system(error.to_string())
}

/// A refusal for a parameter that makes no sense.
fn invalid(remark: impl Into<String>) -> Refusal {
    Refusal::new(ResponseCode::INVALID_PARAMETER, remark)
}
