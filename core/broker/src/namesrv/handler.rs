//! The NameServer's requests (`DefaultRequestProcessor`, `ClientRequestProcessor`).

use std::sync::Arc;
use std::time::Duration;

use mq_protocol::body::{BrokerMemberGroupBody, DataVersion, KvTable, TopicList, TopicRoute};
use mq_protocol::header::{
    AddWritePermResponse, BrokerHeartbeatRequest, BrokerIdentityRequest, BrokerMemberGroupRequest,
    BrokerNameRequest, ClusterRequest, DeleteTopicRequest, GetRouteInfoRequest, KvKeyRequest,
    KvNamespaceRequest, KvValueResponse, PutKvRequest, QueryDataVersionResponse, RegisterBrokerRequest,
    RegisterBrokerResponse, TopicRequest, WipeWritePermResponse,
};
use mq_protocol::id::body_crc;
use mq_protocol::{Frame, RequestCode, ResponseCode, fastjson};
use serde::Serialize;

use super::State;
use super::kv::ORDER_TOPIC_CONFIG;
use super::registration;
use super::routes::{Identity, Origin, Registration, UnitTopics};
use crate::config::{NameServerConfig, write_properties};
use crate::server::{Call, Dispatch, Peer, Refusal, Reply, reply};
use crate::testing::Faults;

/// Callers from 4.9.4 on read standard JSON routes.
const STANDARD_JSON: i32 = 401;
/// Settings that nobody may change over the network.
const BLACK_LIST: [&str; 3] = ["configBlackList", "configStorePath", "kvConfigPath"];

type Handler = fn(&State, &Call<'_>) -> Result<Reply, Refusal>;

/// The handler of a request code: the one place to add one.
fn handler(code: RequestCode) -> Option<Handler> {
    Some(match code {
        RequestCode::GET_ROUTEINFO_BY_TOPIC => route,
        RequestCode::REGISTER_BROKER => register_broker,
        RequestCode::UNREGISTER_BROKER => unregister_broker,
        RequestCode::QUERY_DATA_VERSION => query_data_version,
        RequestCode::BROKER_HEARTBEAT => broker_heartbeat,
        RequestCode::GET_BROKER_CLUSTER_INFO => cluster_info,
        RequestCode::GET_BROKER_MEMBER_GROUP => member_group,
        RequestCode::WIPE_WRITE_PERM_OF_BROKER => wipe_write_perm,
        RequestCode::ADD_WRITE_PERM_OF_BROKER => add_write_perm,
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER => all_topics,
        RequestCode::GET_TOPICS_BY_CLUSTER => topics_by_cluster,
        RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS => system_topics,
        RequestCode::GET_UNIT_TOPIC_LIST => |state, call| unit_topics(state, call, UnitTopics::Unit),
        RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST => {
            |state, call| unit_topics(state, call, UnitTopics::UnitSub)
        }
        RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST => {
            |state, call| unit_topics(state, call, UnitTopics::UnitSubWithoutUnit)
        }
        RequestCode::REGISTER_TOPIC_IN_NAMESRV => register_topic,
        RequestCode::DELETE_TOPIC_IN_NAMESRV => delete_topic,
        RequestCode::PUT_KV_CONFIG => put_kv,
        RequestCode::GET_KV_CONFIG => get_kv,
        RequestCode::DELETE_KV_CONFIG => delete_kv,
        RequestCode::GET_KVLIST_BY_NAMESPACE => kv_namespace,
        RequestCode::UPDATE_NAMESRV_CONFIG => update_config,
        RequestCode::GET_NAMESRV_CONFIG => get_config,
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

    fn closed(&self, peer: &Arc<Peer>) {
        self.routes.connection_closed(peer.id);
    }
}

fn json<T: Serialize>(request: &Frame, value: &T) -> Result<Reply, Refusal> {
    Ok(reply::body(request, serde_json::to_vec(value)?))
}

/// A body with maps whose keys are integers, as fastjson writes them by default.
fn fastjson<T: Serialize>(request: &Frame, value: &T) -> Result<Reply, Refusal> {
    Ok(reply::body(request, fastjson::to_vec(value)?))
}

fn route(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: GetRouteInfoRequest<'_> = call.request.header()?;
    let (acting_master, ordered) = {
        let config = state.config.read();
        (config.support_acting_master, config.order_message_enable)
    };
    let Some(mut route) = state.routes.route(header.topic, call.peer.local.ip(), acting_master) else {
        return Err(Refusal::new(
            ResponseCode::TOPIC_NOT_EXIST,
            format!("No topic route info in name server for the topic: {}", header.topic),
        ));
    };
    if ordered {
        route.order_topic_conf = state.kv.get(ORDER_TOPIC_CONFIG, header.topic);
    }
    if call.request.version >= STANDARD_JSON || header.accept_standard_json_only == Some(true) {
        json(&call.request, &route)
    } else {
        fastjson(&call.request, &route)
    }
}

fn register_broker(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: RegisterBrokerRequest<'_> = call.request.header()?;
    let expected = header.body_crc32.unwrap_or(0);
    if expected != 0 && i64::from(body_crc(&call.request.body)) != i64::from(expected) {
        return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, "crc32 not match"));
    }
    let topics = registration::topics(&call.request, header.compressed == Some(true))
        .map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    let (drop_unnamed, with_order) = {
        let config = state.config.read();
        (config.delete_topic_with_broker_registration, config.return_order_topic_config_to_broker)
    };
    let timeout = header.heartbeat_timeout_millis.and_then(|millis| u64::try_from(millis).ok());
    let registered = state
        .routes
        .register(&Registration {
            broker: Identity {
                cluster: header.cluster_name,
                name: header.broker_name,
                address: header.broker_addr,
                id: header.broker_id,
            },
            ha_address: header.ha_server_addr,
            timeout: timeout.map(Duration::from_millis),
            acting_master: header.enable_acting_master,
            topics: &topics,
            origin: Origin::Peer(call.peer.id),
            drop_unnamed,
        })
        .map_err(|_| Refusal::new(ResponseCode::SYSTEM_ERROR, "register broker failed"))?;
    let mut answer =
        Frame::response(&call.request, ResponseCode::SUCCESS).with_header(&RegisterBrokerResponse {
            ha_server_addr: registered.ha_address.as_deref(),
            master_addr: registered.master_address.as_deref(),
        });
    if with_order && let Some(table) = state.kv.namespace(ORDER_TOPIC_CONFIG) {
        answer = answer.with_body(serde_json::to_vec(&KvTable { table })?);
    }
    Ok(answer.into())
}

fn identity<'a>(header: &BrokerIdentityRequest<'a>) -> Identity<'a> {
    Identity {
        cluster: header.cluster_name,
        name: header.broker_name,
        address: header.broker_addr,
        id: header.broker_id,
    }
}

fn unregister_broker(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: BrokerIdentityRequest<'_> = call.request.header()?;
    state.routes.unregister(identity(&header));
    Ok(reply::ok(&call.request))
}

fn query_data_version(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: BrokerIdentityRequest<'_> = call.request.header()?;
    let version: DataVersion = fastjson::from_slice(&call.request.body)?;
    let (changed, known) = state.routes.compare_version(identity(&header), &version);
    let mut answer = Frame::response(&call.request, ResponseCode::SUCCESS)
        .with_header(&QueryDataVersionResponse { changed });
    if let Some(known) = known {
        answer = answer.with_body(serde_json::to_vec(&known)?);
    }
    Ok(answer.into())
}

fn broker_heartbeat(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: BrokerHeartbeatRequest<'_> = call.request.header()?;
    state.routes.touch(header.cluster_name, header.broker_addr);
    Ok(reply::ok(&call.request))
}

fn cluster_info(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    fastjson(&call.request, &state.routes.cluster_info(call.peer.local.ip()))
}

fn member_group(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: BrokerMemberGroupRequest<'_> = call.request.header()?;
    let group = state.routes.member_group(header.cluster_name, header.broker_name, call.peer.local.ip());
    fastjson(&call.request, &BrokerMemberGroupBody { broker_member_group: Some(group) })
}

fn wipe_write_perm(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: BrokerNameRequest<'_> = call.request.header()?;
    let count = state.routes.set_write_permission(header.broker_name, false);
    let wipe_topic_count = i32::try_from(count).unwrap_or(i32::MAX);
    Ok(reply::header(&call.request, &WipeWritePermResponse { wipe_topic_count }))
}

fn add_write_perm(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: BrokerNameRequest<'_> = call.request.header()?;
    let count = state.routes.set_write_permission(header.broker_name, true);
    let add_topic_count = i32::try_from(count).unwrap_or(i32::MAX);
    Ok(reply::header(&call.request, &AddWritePermResponse { add_topic_count }))
}

/// Refuses a topic list that the settings switch off.
fn lists_enabled(state: &State, switch: fn(&NameServerConfig) -> bool) -> Result<(), Refusal> {
    if switch(&state.config.read()) {
        Ok(())
    } else {
        Err(Refusal::new(ResponseCode::SYSTEM_ERROR, "disable"))
    }
}

fn topic_list(call: &Call<'_>, topic_list: Vec<String>) -> Result<Reply, Refusal> {
    json(&call.request, &TopicList { broker_addr: None, topic_list })
}

fn all_topics(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    lists_enabled(state, |config| config.enable_all_topic_list)?;
    topic_list(call, state.routes.all_topics())
}

fn topics_by_cluster(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    lists_enabled(state, |config| config.enable_topic_list)?;
    let header: ClusterRequest<'_> = call.request.header()?;
    topic_list(call, state.routes.topics_of_cluster(header.cluster))
}

fn system_topics(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let (topic_list, broker_addr) = state.routes.system_topics(call.peer.local.ip());
    json(&call.request, &TopicList { broker_addr, topic_list })
}

fn unit_topics(state: &State, call: &Call<'_>, wanted: UnitTopics) -> Result<Reply, Refusal> {
    lists_enabled(state, |config| config.enable_topic_list)?;
    topic_list(call, state.routes.unit_topics(wanted))
}

fn register_topic(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: TopicRequest<'_> = call.request.header()?;
    let route: TopicRoute = fastjson::from_slice(&call.request.body)?;
    state.routes.register_topic(header.topic, route.queue_datas);
    Ok(reply::ok(&call.request))
}

fn delete_topic(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: DeleteTopicRequest<'_> = call.request.header()?;
    state.routes.delete_topic(header.topic, header.cluster_name);
    Ok(reply::ok(&call.request))
}

fn put_kv(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: PutKvRequest<'_> = call.request.header()?;
    state.kv.put(header.namespace, header.key, header.value)?;
    Ok(reply::ok(&call.request))
}

fn get_kv(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: KvKeyRequest<'_> = call.request.header()?;
    match state.kv.get(header.namespace, header.key) {
        Some(value) => Ok(reply::header(&call.request, &KvValueResponse { value: Some(&value) })),
        None => Err(Refusal::new(
            ResponseCode::QUERY_NOT_FOUND,
            format!("No config item, Namespace: {} Key: {}", header.namespace, header.key),
        )),
    }
}

fn delete_kv(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: KvKeyRequest<'_> = call.request.header()?;
    state.kv.delete(header.namespace, header.key)?;
    Ok(reply::ok(&call.request))
}

fn kv_namespace(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let header: KvNamespaceRequest<'_> = call.request.header()?;
    match state.kv.namespace(header.namespace) {
        Some(table) => json(&call.request, &KvTable { table }),
        None => Err(Refusal::new(
            ResponseCode::QUERY_NOT_FOUND,
            format!("No config item, Namespace: {}", header.namespace),
        )),
    }
}

fn update_config(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    let text = String::from_utf8_lossy(&call.request.body);
    let mut changed = state.config.read().clone();
    let old = changed.to_map();
    let unknown =
        changed.update(&text).map_err(|error| Refusal::new(ResponseCode::SYSTEM_ERROR, error.to_string()))?;
    let black = |key: &str| BLACK_LIST.contains(&key);
    let new = changed.to_map();
    if unknown.iter().any(|u| black(&u.key)) || old.iter().any(|(k, v)| black(k) && new.get(k) != Some(v)) {
        return Err(Refusal::new(ResponseCode::NO_PERMISSION, "Can not update config in black list."));
    }
    crate::config::only_live_changes(NameServerConfig::TABLE, &old, &new, &unknown)
        .map_err(|remark| Refusal::new(ResponseCode::SYSTEM_ERROR, remark))?;
    *state.config.write() = changed;
    Ok(reply::ok(&call.request))
}

fn get_config(state: &State, call: &Call<'_>) -> Result<Reply, Refusal> {
    Ok(reply::body(&call.request, write_properties(&state.config.read().to_map())))
}
