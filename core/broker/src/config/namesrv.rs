//! Settings of a NameServer (`NamesrvConfig`, `NettyServerConfig`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::settings;
use crate::server::Limits;

settings! {
    /// Settings of a NameServer, under Apache's names; see [`NameServerConfig::TABLE`].
    NameServerConfig {
        /// Address of the network interface to listen on; `0.0.0.0` is all of them.
        bind_address: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST), "bindAddress", AtStart;
        /// Port to listen on; 0 takes a free one.
        listen_port: u16 = 9876, "listenPort", AtStart;
        /// File in which key-value settings survive; without it they live in memory only.
        kv_config_path: Option<PathBuf> = None, "kvConfigPath", AtStart;
        /// Routes carry the order of queues that ORDER_TOPIC_CONFIG holds.
        order_message_enable: bool = false, "orderMessageEnable", Live;
        /// Answers to registering brokers carry the order settings.
        return_order_topic_config_to_broker: bool = true, "returnOrderTopicConfigToBroker", Live;
        /// Topics that a registration does not name any more are removed.
        delete_topic_with_broker_registration: bool = false, "deleteTopicWithBrokerRegistration", Live;
        /// The smallest broker id stands in for a master that is gone.
        support_acting_master: bool = false, "supportActingMaster", Live;
        /// Whether GET_ALL_TOPIC_LIST_FROM_NAMESERVER is answered.
        enable_all_topic_list: bool = true, "enableAllTopicList", Live;
        /// Whether the other topic lists are answered.
        enable_topic_list: bool = true, "enableTopicList", Live;
        /// Time between two looks for brokers that stopped registering, in milliseconds.
        scan_not_active_broker_interval: u64 = 5_000, "scanNotActiveBrokerInterval", AtStart, 10..=3_600_000;
        /// Idle time after which a connection is closed, in seconds.
        server_channel_max_idle_time_seconds: u64 = 120, "serverChannelMaxIdleTimeSeconds", AtStart, 1..=86_400;
        /// Most connections at one time; our own setting.
        server_max_connections: usize = 10_000, "serverMaxConnections", AtStart, 1..=1_000_000;
        /// Most bytes of frames that are not complete yet, over all connections; our own setting.
        server_max_unfinished_bytes: usize = 536_870_912, "serverMaxUnfinishedBytes", AtStart, 16_777_216..=1_099_511_627_776;
        /// Most requests at one time that wait for something before they are answered, such as the disk or a consumer; more
        /// are answered with SYSTEM_BUSY. Pulls that wait for messages do not count. Our own setting.
        server_max_unanswered_requests: usize = 65_536, "serverMaxUnansweredRequests", AtStart, 1..=10_000_000;
        /// The same for one connection; our own setting.
        server_max_unanswered_requests_per_connection: usize = 4_096, "serverMaxUnansweredRequestsPerConnection", AtStart, 1..=1_000_000;
        /// While more bytes of answers than this wait for a connection to take them, its further requests wait; our own
        /// setting.
        server_max_output_bytes_per_connection: usize = 1_048_576, "serverMaxOutputBytesPerConnection", AtStart, 1_024..=1_073_741_824;
        /// A connection that takes no byte of its answers for this long is closed, in milliseconds; our own setting.
        server_write_stall_timeout: u64 = 30_000, "serverWriteStallTimeout", AtStart, 100..=3_600_000;
    }
}

impl NameServerConfig {
    /// What the server's ports allow.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connections: self.server_max_connections,
            idle: Duration::from_secs(self.server_channel_max_idle_time_seconds),
            unfinished: self.server_max_unfinished_bytes,
            unanswered: self.server_max_unanswered_requests,
            unanswered_per_connection: self.server_max_unanswered_requests_per_connection,
            output: self.server_max_output_bytes_per_connection,
            stall: Duration::from_millis(self.server_write_stall_timeout),
        }
    }
}
