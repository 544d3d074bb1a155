//! Headers of the NameServer's requests.

use super::header;

header! {
    /// GET_ROUTEINFO_BY_TOPIC (105).
    GetRouteInfoRequest<'a> {
        topic: &'a str = "topic",
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly",
    }
}

header! {
    /// REGISTER_BROKER (103).
    RegisterBrokerRequest<'a> {
        broker_name: &'a str = "brokerName",
        broker_addr: &'a str = "brokerAddr",
        cluster_name: &'a str = "clusterName",
        ha_server_addr: &'a str = "haServerAddr",
        broker_id: i64 = "brokerId",
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        enable_acting_master: Option<bool> = "enableActingMaster",
        compressed: Option<bool> = "compressed",
        /// CRC-32 & 0x7FFFFFFF of the body; 0 is not checked.
        body_crc32: Option<i32> = "bodyCrc32",
    }
}

header! {
    /// Answer to REGISTER_BROKER (103); for slaves only.
    RegisterBrokerResponse<'a> {
        ha_server_addr: Option<&'a str> = "haServerAddr",
        master_addr: Option<&'a str> = "masterAddr",
    }
}

header! {
    /// UNREGISTER_BROKER (104) and QUERY_DATA_VERSION (322).
    BrokerIdentityRequest<'a> {
        broker_name: &'a str = "brokerName",
        broker_addr: &'a str = "brokerAddr",
        cluster_name: &'a str = "clusterName",
        broker_id: i64 = "brokerId",
    }
}

header! {
    /// Answer to QUERY_DATA_VERSION (322).
    QueryDataVersionResponse {
        changed: bool = "changed",
    }
}

header! {
    /// BROKER_HEARTBEAT (904).
    BrokerHeartbeatRequest<'a> {
        cluster_name: &'a str = "clusterName",
        broker_addr: &'a str = "brokerAddr",
        broker_name: &'a str = "brokerName",
        broker_id: Option<i64> = "brokerId",
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMills",
    }
}

header! {
    /// GET_BROKER_MEMBER_GROUP (901).
    BrokerMemberGroupRequest<'a> {
        cluster_name: &'a str = "clusterName",
        broker_name: &'a str = "brokerName",
    }
}

header! {
    /// PUT_KV_CONFIG (100).
    PutKvRequest<'a> {
        namespace: &'a str = "namespace",
        key: &'a str = "key",
        value: &'a str = "value",
    }
}

header! {
    /// GET_KV_CONFIG (101) and DELETE_KV_CONFIG (102).
    KvKeyRequest<'a> {
        namespace: &'a str = "namespace",
        key: &'a str = "key",
    }
}

header! {
    /// Answer to GET_KV_CONFIG (101).
    KvValueResponse<'a> {
        value: Option<&'a str> = "value",
    }
}

header! {
    /// GET_KVLIST_BY_NAMESPACE (219).
    KvNamespaceRequest<'a> {
        namespace: &'a str = "namespace",
    }
}

header! {
    /// A request about one topic: 202, 215, 216, 217, 300, 351.
    TopicRequest<'a> {
        topic: &'a str = "topic",
    }
}

header! {
    /// DELETE_TOPIC_IN_NAMESRV (216).
    DeleteTopicRequest<'a> {
        topic: &'a str = "topic",
        cluster_name: Option<&'a str> = "clusterName",
    }
}

header! {
    /// GET_TOPICS_BY_CLUSTER (224).
    ClusterRequest<'a> {
        cluster: &'a str = "cluster",
    }
}

header! {
    /// WIPE_WRITE_PERM_OF_BROKER (205) and ADD_WRITE_PERM_OF_BROKER (327).
    BrokerNameRequest<'a> {
        broker_name: &'a str = "brokerName",
    }
}

header! {
    /// Answer to WIPE_WRITE_PERM_OF_BROKER (205).
    WipeWritePermResponse {
        wipe_topic_count: i32 = "wipeTopicCount",
    }
}

header! {
    /// Answer to ADD_WRITE_PERM_OF_BROKER (327).
    AddWritePermResponse {
        add_topic_count: i32 = "addTopicCount",
    }
}
