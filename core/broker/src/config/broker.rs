//! Settings of a broker (`BrokerConfig`, `MessageStoreConfig`, `NettyServerConfig`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use std::sync::Arc;
use std::time::Duration;

use mq_store::{Clock, DelayLevels, FlushDisk, StoreConfig, StoreError};

use super::settings;
use super::value::{Addresses, BrokerRole, Delays, FlushDiskType, Hours};
use crate::server::Limits;

settings! {
    /// Settings of a broker, under the names of Apache's `broker.conf`; see [`BrokerConfig::TABLE`].
    ///
    /// The defaults are Apache's, except that it listens on loopback only and starts its own NameServer
    /// unless `namesrvAddr` is set.
    BrokerConfig {
        /// Name of this broker, under which its master and replicas are known.
        broker_name: String = "broker-a".to_owned(), "brokerName", AtStart;
        /// Name of the cluster.
        broker_cluster_name: String = "DefaultCluster".to_owned(), "brokerClusterName", AtStart;
        /// Id of this broker; 0 is the master, which is what this broker can be.
        broker_id: i64 = 0, "brokerId", AtStart, 0..=0;
        /// Role of this broker; it cannot be a replica.
        broker_role: BrokerRole = BrokerRole::AsyncMaster, "brokerRole", AtStart;
        /// Port to listen on; 0 takes a free one. The port two below is opened as well when it is free (Apache's
        /// fast port, which older clients use).
        listen_port: u16 = 10_911, "listenPort", AtStart;
        /// Address of the network interface to listen on; `0.0.0.0` is all of them.
        bind_address: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST), "bindAddress", AtStart;
        /// NameServers to register at; empty: this process runs its own.
        namesrv_addr: Addresses = Addresses::default(), "namesrvAddr", AtStart;
        /// Port of the NameServer in this process; 0 takes a free one. Our own setting.
        namesrv_listen_port: u16 = 9_876, "namesrvListenPort", AtStart;
        /// Address that clients are told to connect to, if it is not the one this broker listens on.
        broker_ip1: Option<IpAddr> = None, "brokerIP1", AtStart;
        /// Directory of all data.
        store_path_root_dir: PathBuf = PathBuf::from("store"), "storePathRootDir", AtStart;
        /// Directory of the commit log; by default `commitlog` in the data directory.
        store_path_commit_log: Option<PathBuf> = None, "storePathCommitLog", AtStart;
        /// Size of one commit log file in bytes. Must stay as it was when the store was made.
        mapped_file_size_commit_log: u64 = 1_073_741_824, "mappedFileSizeCommitLog", AtStart, 4_096..=4_294_967_296;
        /// Size of one consume queue file in bytes. Must stay as it was when the store was made.
        mapped_file_size_consume_queue: u64 = 6_000_000, "mappedFileSizeConsumeQueue", AtStart, 20..=4_294_967_296;
        /// Slots of an index file. Must stay as it was when the store was made.
        max_hash_slot_num: u32 = 5_000_000, "maxHashSlotNum", AtStart, 1..=100_000_000;
        /// Entries of an index file. Must stay as it was when the store was made.
        max_index_num: u32 = 20_000_000, "maxIndexNum", AtStart, 2..=400_000_000;
        /// Whether messages can be found by key.
        message_index_enable: bool = true, "messageIndexEnable", AtStart;
        /// Whether a send is answered before or after the disk has the message.
        flush_disk_type: FlushDiskType = FlushDiskType::Async, "flushDiskType", AtStart;
        /// Time between two flushes of the commit log, in milliseconds.
        flush_interval_commit_log: u64 = 500, "flushIntervalCommitLog", AtStart, 1..=3_600_000;
        /// Time between two flushes of the consume queues, in milliseconds.
        flush_interval_consume_queue: u64 = 1_000, "flushIntervalConsumeQueue", AtStart, 1..=3_600_000;
        /// Time between two flushes of all consume queues, in milliseconds.
        flush_consume_queue_thorough_interval: u64 = 60_000, "flushConsumeQueueThoroughInterval", AtStart, 1..=3_600_000;
        /// Longest wait of a send for the disk, in milliseconds; then FLUSH_DISK_TIMEOUT.
        sync_flush_timeout: u64 = 5_000, "syncFlushTimeout", AtStart, 1..=3_600_000;
        /// Largest body of a message in bytes.
        max_message_size: usize = 4_194_304, "maxMessageSize", AtStart, 1..=16_000_000;
        /// Age in hours at which commit log files may be deleted.
        file_reserved_time: u64 = 72, "fileReservedTime", AtStart, 0..=876_000;
        /// Hours of the day in which old files are deleted.
        delete_when: Hours = Hours(vec![4]), "deleteWhen", AtStart;
        /// Used part of the disk in percent from which old files are deleted at any hour.
        disk_max_used_space_ratio: u32 = 75, "diskMaxUsedSpaceRatio", AtStart, 10..=95;
        /// Used part of the disk in percent from which files are deleted whatever their age.
        disk_space_clean_forcibly_ratio: u32 = 85, "diskSpaceCleanForciblyRatio", AtStart, 30..=100;
        /// Used part of the disk in percent from which nothing is stored any more.
        disk_space_warning_level_ratio: u32 = 90, "diskSpaceWarningLevelRatio", AtStart, 35..=100;
        /// Whether files are deleted before their time when the disk is nearly full.
        clean_file_forcibly_enable: bool = true, "cleanFileForciblyEnable", AtStart;
        /// Most files that are deleted at one time.
        delete_file_batch_max: usize = 10, "deleteFileBatchMax", AtStart, 1..=100_000;
        /// Time between two looks for files to delete, in milliseconds.
        clean_resource_interval: u64 = 10_000, "cleanResourceInterval", AtStart, 10..=86_400_000;
        /// Part of the memory in percent that the newest messages are taken to occupy; older ones count as on disk.
        access_message_in_memory_max_ratio: u32 = 40, "accessMessageInMemoryMaxRatio", AtStart, 1..=100;
        /// How long one message may wait for the disk while others wait for it, in milliseconds, before these are answered with
        /// SYSTEM_BUSY.
        os_page_cache_busy_time_out_mills: u64 = 1_000, "osPageCacheBusyTimeOutMills", AtStart, 1..=3_600_000;
        /// Whether sends that have waited here for long are answered with SYSTEM_BUSY instead of being stored.
        broker_fast_failure_enable: bool = true, "brokerFastFailureEnable", Live;
        /// How long that is, in milliseconds, from their arrival on.
        wait_time_mills_in_send_queue: u64 = 200, "waitTimeMillsInSendQueue", Live, 0..=3_600_000;
        /// Whether each stored message ends with a CRC of all that stands before it (5.2 and later).
        enabled_append_prop_crc: bool = false, "enabledAppendPropCRC", AtStart;
        /// Whether a start takes messages without that CRC for damaged: not for a store that has older messages.
        force_verify_prop_crc: bool = false, "forceVerifyPropCRC", AtStart;
        /// Start although the log is damaged in its middle, and lose what follows; our own setting.
        accept_damaged_log: bool = false, "acceptDamagedLog", AtStart;
        /// Delays of the levels 1, 2, 3 … of delayed messages and of retries.
        message_delay_level: Delays = Delays::default(), "messageDelayLevel", AtStart;
        /// Whether a send to an unknown topic makes it, after the pattern of TBW102.
        auto_create_topic_enable: bool = true, "autoCreateTopicEnable", AtStart;
        /// Queues of the pattern TBW102: the most that an automatically made topic gets.
        default_topic_queue_nums: i32 = 8, "defaultTopicQueueNums", AtStart, 1..=65_535;
        /// Whether an unknown consumer group is made when it is first used.
        auto_create_subscription_group: bool = true, "autoCreateSubscriptionGroup", Live;
        /// What this broker permits: 4 reading, 2 writing, 6 both.
        broker_permission: i32 = 6, "brokerPermission", Live, 0..=7;
        /// Whether topics may be made that are named like the cluster.
        cluster_topic_enable: bool = true, "clusterTopicEnable", AtStart;
        /// Whether topics may be made that are named like the broker.
        broker_topic_enable: bool = true, "brokerTopicEnable", AtStart;
        /// Whether the topic of message traces is made at the start.
        trace_topic_enable: bool = false, "traceTopicEnable", AtStart;
        /// Whether clients are told to trace messages.
        trace_on: bool = true, "traceOn", AtStart;
        /// Region that messages and send answers carry.
        region_id: String = "DefaultRegion".to_owned(), "regionId", AtStart;
        /// Whether a pull that finds nothing waits as long as the client asks.
        long_polling_enable: bool = true, "longPollingEnable", Live;
        /// How long a pull waits when long polling is off, in milliseconds.
        short_polling_time_mills: u64 = 1_000, "shortPollingTimeMills", Live, 1..=60_000;
        /// Whether LITE_PULL_MESSAGE is served.
        lite_pull_message_enable: bool = true, "litePullMessageEnable", Live;
        /// Whether heartbeats of pull consumers are passed over.
        reject_pull_consumer_enable: bool = false, "rejectPullConsumerEnable", Live;
        /// Whether consumers are told when members of their group come and go.
        notify_consumer_ids_changed_enable: bool = true, "notifyConsumerIdsChangedEnable", Live;
        /// Whether system topics are protected against changes by admin tools.
        validate_system_topic_when_update_topic: bool = true, "validateSystemTopicWhenUpdateTopic", Live;
        /// Whether topics with the message type MIXED may be made.
        enable_mixed_message_type: bool = false, "enableMixedMessageType", Live;
        /// Whether half messages are refused. This broker has no transactions yet.
        reject_transaction_message: bool = true, "rejectTransactionMessage", AtStart, true..=true;
        /// Whether messages with a time of delivery are taken. This broker has no timer yet.
        timer_wheel_enable: bool = false, "timerWheelEnable", AtStart, false..=false;
        /// Whether subscriptions by SQL92 are served. This broker does not evaluate them yet.
        enable_property_filter: bool = false, "enablePropertyFilter", AtStart, false..=false;
        /// Whether a reset of offsets is done here, so that it works without any consumer (as 5.2 and later), or by the
        /// consumers that are there.
        use_server_side_reset_offset: bool = true, "useServerSideResetOffset", Live;
        /// Time from which on messages are taken, in milliseconds since the epoch.
        start_accept_send_request_time_stamp: i64 = 0, "startAcceptSendRequestTimeStamp", Live;
        /// Most messages of a pull from recent data.
        max_transfer_count_on_message_in_memory: usize = 32, "maxTransferCountOnMessageInMemory", AtStart, 1..=100_000;
        /// Most bytes of a pull from recent data.
        max_transfer_bytes_on_message_in_memory: usize = 262_144, "maxTransferBytesOnMessageInMemory", AtStart, 1..=16_000_000;
        /// Most messages of a pull from old data.
        max_transfer_count_on_message_in_disk: usize = 8, "maxTransferCountOnMessageInDisk", AtStart, 1..=100_000;
        /// Most bytes of a pull from old data.
        max_transfer_bytes_on_message_in_disk: usize = 65_536, "maxTransferBytesOnMessageInDisk", AtStart, 1..=16_000_000;
        /// Messages that a query by unique key returns at most.
        default_query_max_num: i32 = 32, "defaultQueryMaxNum", Live, 1..=64;
        /// Time between two savings of consumer offsets, in milliseconds.
        flush_consumer_offset_interval: u64 = 5_000, "flushConsumerOffsetInterval", AtStart, 10..=3_600_000;
        /// Time between two savings of the offsets of delayed messages, in milliseconds.
        flush_delay_offset_interval: u64 = 10_000, "flushDelayOffsetInterval", AtStart, 10..=3_600_000;
        /// Time between two registrations at other NameServers, in milliseconds.
        register_name_server_period: u64 = 30_000, "registerNameServerPeriod", AtStart, 10_000..=60_000;
        /// Longest wait for the answer to a registration, in milliseconds.
        register_broker_timeout_mills: u64 = 24_000, "registerBrokerTimeoutMills", AtStart, 100..=600_000;
        /// Time without a heartbeat after which a client counts as gone, in milliseconds.
        channel_expired_timeout: u64 = 120_000, "channelExpiredTimeout", AtStart, 1_000..=86_400_000;
        /// Port that registrations name for replication; nothing listens there.
        ha_listen_port: Option<u16> = None, "haListenPort", AtStart;
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
        /// Most pulls at one time that wait for messages; more are answered with SYSTEM_BUSY. Our own setting.
        max_waiting_pulls: usize = 1_000_000, "maxWaitingPulls", AtStart, 1..=100_000_000;
        /// The same for one connection; our own setting.
        max_waiting_pulls_per_connection: usize = 16_384, "maxWaitingPullsPerConnection", AtStart, 1..=1_000_000;
        /// Most entries of consume queues that wait for being written; while there are more, sends are answered with
        /// SYSTEM_BUSY. Our own setting.
        max_pending_queue_entries: usize = 1_048_576, "maxPendingQueueEntries", AtStart, 1..=1_073_741_824;
    }
}

impl BrokerConfig {
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

    /// The store's part of the settings.
    ///
    /// # Errors
    /// `messageDelayLevel` is not readable.
    pub fn store_config(&self, clock: Arc<dyn Clock>) -> Result<StoreConfig, StoreError> {
        let percent = |ratio: u32| u8::try_from(ratio).unwrap_or(100);
        Ok(StoreConfig {
            commit_log: self.store_path_commit_log.clone(),
            commit_log_file_size: self.mapped_file_size_commit_log,
            consume_queue_file_size: self.mapped_file_size_consume_queue,
            index_enable: self.message_index_enable,
            index_slots: self.max_hash_slot_num,
            index_entries: self.max_index_num,
            flush_disk: match self.flush_disk_type {
                FlushDiskType::Async => FlushDisk::Async,
                FlushDiskType::Sync => FlushDisk::Sync,
            },
            flush_interval: Duration::from_millis(self.flush_interval_commit_log),
            flush_consume_queue_interval: Duration::from_millis(self.flush_interval_consume_queue),
            flush_consume_queue_thorough_interval: Duration::from_millis(
                self.flush_consume_queue_thorough_interval,
            ),
            sync_flush_timeout: Duration::from_millis(self.sync_flush_timeout),
            max_message_size: self.max_message_size,
            delay_levels: DelayLevels::parse(self.message_delay_level.as_str())?,
            max_transfer_count_in_memory: self.max_transfer_count_on_message_in_memory,
            max_transfer_bytes_in_memory: self.max_transfer_bytes_on_message_in_memory,
            max_transfer_count_on_disk: self.max_transfer_count_on_message_in_disk,
            max_transfer_bytes_on_disk: self.max_transfer_bytes_on_message_in_disk,
            file_reserved_time: Duration::from_secs(self.file_reserved_time.saturating_mul(3600)),
            delete_when: self.delete_when.0.iter().map(|hour| u8::try_from(*hour).unwrap_or(0)).collect(),
            disk_max_used_space_ratio: percent(self.disk_max_used_space_ratio),
            clean_file_forcibly_enable: self.clean_file_forcibly_enable,
            disk_space_clean_forcibly_ratio: percent(self.disk_space_clean_forcibly_ratio),
            disk_space_warning_level_ratio: percent(self.disk_space_warning_level_ratio),
            delete_file_batch_max: self.delete_file_batch_max,
            clean_resource_interval: Duration::from_millis(self.clean_resource_interval),
            access_in_memory_max_ratio: percent(self.access_message_in_memory_max_ratio),
            os_page_cache_busy_timeout: Duration::from_millis(self.os_page_cache_busy_time_out_mills),
            append_prop_crc: self.enabled_append_prop_crc,
            force_verify_prop_crc: self.force_verify_prop_crc,
            accept_damaged_log: self.accept_damaged_log,
            max_pending_units: self.max_pending_queue_entries,
            clock,
            ..StoreConfig::at(&self.store_path_root_dir)
        })
    }
}
