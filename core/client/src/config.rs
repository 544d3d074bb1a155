//! The settings of clients, producers and consumers: the one table that all languages share.

use std::collections::BTreeMap;
use std::time::Duration;

use mq_protocol::{Encoding, Language, compression::Compression, name};

use crate::setting::{choice, declare};
use crate::{Error, ErrorCode};

mod pull_consumer;

pub use pull_consumer::PullConsumerConfig;

choice! {
    /// How headers are written on the wire; both are understood on reading.
    SerializeType {
        /// The compact binary header.
        RocketMq = "ROCKETMQ",
        /// The JSON header.
        Json = "JSON",
    }
}

choice! {
    /// How large bodies are compressed.
    CompressType {
        /// Understood by every client.
        Zlib = "ZLIB",
        /// Understood by clients from 4.9.4 on.
        Lz4 = "LZ4",
        /// Understood by clients from 4.9.4 on.
        Zstd = "ZSTD",
    }
}

choice! {
    /// Where a group begins in a queue of which it has consumed nothing yet.
    ConsumeFrom {
        /// At the end: what arrives from now on. Java's three retired values mean this too.
        Last = "LAST" | "CONSUME_FROM_LAST_OFFSET" | "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST"
            | "CONSUME_FROM_MIN_OFFSET" | "CONSUME_FROM_MAX_OFFSET",
        /// At the beginning.
        First = "FIRST" | "CONSUME_FROM_FIRST_OFFSET",
        /// At `consume_timestamp`.
        Timestamp = "TIMESTAMP" | "CONSUME_FROM_TIMESTAMP",
    }
}

choice! {
    /// How queues are divided between the members of a group; all members must use the same.
    AllocateStrategy {
        /// Neighbouring queues to each member (Java's and Go's default).
        Average = "AVG" | "averagely",
        /// One queue to each member in turn.
        AverageByCircle = "AVG_BY_CIRCLE" | "averagely_by_circle",
        /// Only the queues of brokers named `room@name` whose room is among `machine_rooms`, averagely.
        MachineRoom = "MACHINE_ROOM",
        /// Queues of brokers named `room@name` to the members whose `unit_name` is that room, averagely; queues of
        /// rooms without members to all members, averagely.
        MachineRoomNearby = "MACHINE_ROOM_NEARBY" | "MACHINE_ROOM_NEARBY-AVG",
        /// By a ring of hashes, so that few queues move when members come and go.
        ConsistentHash = "CONSISTENT_HASH",
        /// The queues named by `allocate_queues`, whoever else is in the group.
        Config = "CONFIG",
    }
}

choice! {
    /// How many listener calls may hold messages of one queue.
    ConsumeMode {
        /// Any number: messages of a queue are consumed side by side.
        Concurrent = "CONCURRENT" | "concurrently",
        /// One: the messages of a queue are consumed one after another, in order.
        Orderly = "ORDERLY",
    }
}

choice! {
    /// Which members of a group get a message.
    MessageModel {
        /// One of them.
        Clustering = "CLUSTERING",
        /// Each of them.
        Broadcasting = "BROADCASTING",
    }
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

declare! {
    /// Settings of a [`crate::Client`].
    ClientConfig: Client {
        /// Addresses of the NameServers; one is used until it fails, then the next.
        namesrv: Vec<String> = Vec::new(), "namesrvAddr";
        /// HTTP server that tells the addresses of the NameServers where 'namesrv' does not: host or host:port (8080 if none is given). Empty: nobody is asked.
        namesrv_domain: String = String::new(), "rocketmq.namesrv.domain";
        /// Last part of the path that is asked for there.
        namesrv_domain_subgroup: String = "nsaddr".to_owned(), "rocketmq.namesrv.domain.subgroup";
        /// How often it is asked again.
        namesrv_domain_interval: Duration [10, 86_400_000] = seconds(120);
        /// Language of the application, shown by admin tools.
        language: Language = Language::RUST;
        /// Part of the client id; DEFAULT stands for a name that is unique for this process and client.
        instance_name: String = "DEFAULT".to_owned(), "instanceName";
        /// Part of the client id for deployments that are divided into units.
        unit_name: String = String::new(), "unitName";
        /// Whether topics and groups belong to a unit of the deployment: `unitMode` of sends and heartbeats.
        unit_mode: bool = false, "unitMode";
        /// Own address in the client id and in message ids; empty: the address of the default network interface.
        client_ip: String = String::new(), "clientIP";
        /// Namespace of the old kind, such as MQ_INST_1234: prefix of all topics and groups, added on the way out and removed on the way in. Empty: that of the instance which the first address of 'namesrv' names, if it does (MQ_INST_1234_abc.host:80).
        namespace: String = String::new();
        /// Namespace of the new kind (5.2): goes with every request, names stay as they are.
        namespace_v2: String = String::new(), "namespaceV2";
        /// Whether sends go to the brokers' second port, two below their own, which serves no consumers.
        vip_channel: bool = false, "vipChannelEnabled";
        /// How often the routes of all known topics are asked for again.
        poll_name_server_interval: Duration [10, 3_600_000] = seconds(30), "pollNameServerInterval";
        /// How often brokers are told that this client lives; they forget it after 120 s.
        heartbeat_broker_interval: Duration [10, 110_000] = seconds(30), "heartbeatBrokerInterval";
        /// How often consumed offsets are sent to the brokers.
        persist_consumer_offset_interval: Duration [10, 3_600_000] = seconds(5), "persistConsumerOffsetInterval";
        /// Time limit of a short request to a NameServer or broker.
        request_timeout: Duration [1, 600_000] = seconds(3), "mqClientApiTimeout";
        /// Time limit for connecting.
        connect_timeout: Duration [1, 600_000] = seconds(3), "connectTimeoutMillis";
        /// How request headers are written.
        serialize_type: SerializeType = SerializeType::RocketMq, "serializeType";
        /// Largest frame that is accepted or sent, in bytes.
        frame_max_length: usize [4096, 1_073_741_824] = 16 * 1024 * 1024, "frameMaxLength";
        /// Bytes that may wait to be written to one connection before senders have to wait.
        max_queued_bytes: usize [65_536, 1_073_741_824] = 8 * 1024 * 1024;
    }
}

declare! {
    /// Settings of a [`crate::Producer`].
    ProducerConfig: Producer {
        /// Name of the producer group.
        group: String = "libmq_producer".to_owned(), "producerGroup";
        /// Time limit of one send, with all its retries.
        send_timeout: Duration [1, 3_600_000] = seconds(3), "sendMsgTimeout";
        /// Time limit of one attempt, so that a broker that hangs leaves time for another; 0: that of the whole send.
        send_timeout_per_request: Duration [0, 3_600_000] = seconds(0), "sendMsgMaxTimeoutPerRequest";
        /// Whether brokers that failed or were slow are avoided for a time: from 2 s after an answer that took 0.55 s to 30 s after one that took 15 s.
        send_latency_fault_enable: bool = false, "sendLatencyFaultEnable";
        /// How often a failed send is tried again, on another broker if there is one.
        retry_times_when_send_failed: u32 [0, 100] = 2, "retryTimesWhenSendFailed";
        /// Whether a message that was stored but not flushed or replicated in time is sent to another broker too.
        retry_another_broker_when_not_store_ok: bool = false, "retryAnotherBrokerWhenNotStoreOK";
        /// Response codes after which a send is tried again.
        retry_response_codes: Vec<i32> = vec![17, 14, 1, 2, 16, 204, 205, 1500], "retryResponseCodes";
        /// Bodies of at least this many bytes are compressed.
        compress_body_over: usize [0, 2_147_483_647] = 4096, "compressMsgBodyOverHowmuch";
        /// How bodies are compressed.
        compress_type: CompressType = CompressType::Zlib, "compressType";
        /// Compression level: 0 to 9 for ZLIB, 1 to 22 for ZSTD, without effect for LZ4.
        compress_level: i32 [0, 22] = 5, "compressLevel";
        /// Largest body of a message, or of a list of messages, in bytes before compression.
        max_message_size: usize [1, 1_073_741_824] = 4 * 1024 * 1024, "maxMessageSize";
        /// Number of queues of a topic that the broker creates at the first send.
        default_topic_queue_nums: i32 [1, 65_535] = 4, "defaultTopicQueueNums";
        /// Topic whose settings a topic takes that the broker creates at the first send.
        create_topic_key: String = name::AUTO_CREATE_TOPIC.to_owned(), "createTopicKey";
        /// Messages that may be on their way at a time.
        max_in_flight: usize [1, 1_000_000] = 10_000, "backPressureForAsyncSendNum";
        /// Body bytes that may be on their way at a time.
        max_in_flight_bytes: usize [1, 17_179_869_184] = 100 * 1024 * 1024, "backPressureForAsyncSendSize";
        /// Whether a send waits while too much is on its way; if not it fails with QUEUE_FULL.
        wait_when_full: bool = true;
        /// Asynchronous sends of a language binding that may be accepted and not yet completed and polled.
        async_send_max: usize [1, 10_000_000] = 100_000;
        /// Body bytes that these sends may hold.
        async_send_max_bytes: usize [1, 17_179_869_184] = 512 * 1024 * 1024;
        /// How long closing waits for sends that are on their way.
        close_timeout: Duration [0, 3_600_000] = seconds(5);
    }
}

declare! {
    /// Settings of a [`crate::PushConsumer`].
    PushConsumerConfig: PushConsumer {
        /// Name of the consumer group.
        group: String = String::new(), "consumerGroup";
        /// CONCURRENT: messages of a queue are consumed side by side. ORDERLY: one listener call a queue at a time, in the queue's order, under a lock of the broker; a message that fails is tried again here before the next one.
        consume_mode: ConsumeMode = ConsumeMode::Concurrent;
        /// CLUSTERING: each message goes to one member of the group, and the broker keeps the offsets. BROADCASTING: each member gets each message; offsets are kept in offset_dir, and a message that fails does not come again.
        message_model: MessageModel = MessageModel::Clustering, "messageModel";
        /// Directory for the offsets of a BROADCASTING consumer, which needs one; they are in its file CLIENT/GROUP/offsets.json, where CLIENT is client_ip@instance_name, with @unit_name behind it if there is one. Processes that share the directory need instance_names of their own.
        offset_dir: String = String::new(), "localOffsetStoreDir";
        /// Where a new group begins in queues of which it has consumed nothing.
        consume_from_where: ConsumeFrom = ConsumeFrom::Last, "consumeFromWhere";
        /// Where TIMESTAMP begins: yyyyMMddHHmmss in local time, or milliseconds since 1970; empty: half an hour ago.
        consume_timestamp: String = String::new(), "consumeTimestamp";
        /// Listener calls that the consumer is ready for at rest; lowered to consume_thread_max if that is less.
        consume_thread_min: usize [1, 1000] = 5, "consumeThreadMin";
        /// Listener calls that may run at a time when there is much to do; they become fewer after a minute with less.
        consume_thread_max: usize [1, 1000] = 64, "consumeThreadMax";
        /// Largest number of messages given to one listener call.
        consume_message_batch_max_size: usize [1, 1024] = 1, "consumeMessageBatchMaxSize";
        /// After this time a listener call counts as failed and its messages are sent back; without effect for ORDERLY, whose order would be lost.
        consume_timeout: Duration as Minutes [1, 86_400_000] = seconds(15 * 60), "consumeTimeout";
        /// How often a failed message comes again before it goes to the dead letters; -1: 16 times, or for ever if ORDERLY.
        max_reconsume_times: i32 [-1, 2_147_483_647] = -1, "maxReconsumeTimes";
        /// How long an ORDERLY queue rests after a message failed, unless the listener gives a time itself.
        suspend_current_queue_time: Duration [10, 30_000] = seconds(1), "suspendCurrentQueueTimeMillis";
        /// Messages a second that are given to the listener, of all queues together; 0: no limit.
        max_messages_per_second: u32 [0, 1_000_000_000] = 0;
        /// Messages that listener calls may hold at a time, of all queues together; 0: no limit but the threads' and batches'.
        max_in_flight: usize [0, 1_000_000] = 0;
        /// Largest number of messages asked for at a time.
        pull_batch_size: i32 [1, 1024] = 32, "pullBatchSize";
        /// Largest number of bytes asked for at a time.
        pull_batch_size_in_bytes: i32 [1, 2_147_483_647] = 256 * 1024, "pullBatchSizeInBytes";
        /// Pause between two pulls of a queue.
        pull_interval: Duration [0, 65_535] = millis(0), "pullInterval";
        /// Messages of one queue that may be held here, waiting or being consumed.
        pull_threshold_for_queue: usize [1, 65_535] = 1000, "pullThresholdForQueue";
        /// Mebibytes of one queue that may be held here.
        pull_threshold_size_for_queue: usize [1, 1024] = 100, "pullThresholdSizeForQueue";
        /// Messages of one topic that may be held here, divided between its queues; -1: no limit but the queues'.
        pull_threshold_for_topic: i32 [-1, 6_553_500] = -1, "pullThresholdForTopic";
        /// Mebibytes of one topic that may be held here, divided between its queues; -1: no limit but the queues'.
        pull_threshold_size_for_topic: i32 [-1, 102_400] = -1, "pullThresholdSizeForTopic";
        /// Mebibytes of all queues that may be held here.
        pull_threshold_size_total: usize [1, 1_048_576] = 512;
        /// Distance between the oldest and newest message of a queue that may be held here; without effect for ORDERLY.
        consume_concurrently_max_span: i64 [1, 65_535] = 2000, "consumeConcurrentlyMaxSpan";
        /// How long a broker may hold a pull until a message arrives.
        broker_suspend_max_time: Duration [0, 600_000] = seconds(15), "brokerSuspendMaxTimeMillis";
        /// Time limit of a pull, the holding included.
        consumer_timeout_when_suspend: Duration [1, 3_600_000] = seconds(30), "consumerTimeoutMillisWhenSuspend";
        /// Pause after a pull that failed.
        pull_delay_when_failed: Duration [1, 600_000] = seconds(1), "pullTimeDelayMillsWhenException";
        /// Whether each pull carries the subscription, instead of relying on the heartbeat's.
        post_subscription_when_pull: bool = false, "postSubscriptionWhenPull";
        /// How queues are divided between the members of the group; all members must use the same.
        allocate_strategy: AllocateStrategy = AllocateStrategy::Average, "allocateMessageQueueStrategy";
        /// The queues that CONFIG gives this member: topic:broker:number, or topic:broker:first-last, joined by commas.
        allocate_queues: String = String::new(), "messageQueueList";
        /// The rooms that MACHINE_ROOM takes queues of, joined by commas.
        machine_rooms: String = String::new(), "consumeridcs";
        /// How often the division is looked at when nothing tells that it changed.
        rebalance_interval: Duration [10, 600_000] = seconds(20), "rebalanceWaitInterval";
        /// How often the locks of ORDERLY queues are renewed; brokers forget them after 60 s.
        lock_interval: Duration [10, 50_000] = seconds(20), "lockInterval";
        /// How long an ORDERLY queue is consumed after its lock was renewed last; must be longer than lock_interval.
        lock_max_live_time: Duration [10, 55_000] = seconds(30), "lockMaxLiveTime";
        /// Largest body after decompression, in bytes; a message that needs more is sent back unread.
        max_decompressed_size: usize [1, 1_073_741_824] = 64 * 1024 * 1024;
        /// How long closing waits for listener calls that are running.
        close_timeout: Duration [0, 3_600_000] = seconds(5), "awaitTerminationMillisWhenShutdown";
    }
    plus {
        /// What is consumed: topic to tag expression, such as `*` or `paid || refunded`.
        subscriptions: BTreeMap<String, String>,
        /// Topics that were subscribed to again with another expression, and the expressions that this replaced;
        /// the start warns of them ([`crate::WarningCode::DuplicateSubscription`]).
        replaced_subscriptions: Vec<(String, String)>,
    }
}

impl ClientConfig {
    /// Settings for these NameServers, `host:port` joined by `;`.
    ///
    /// # Errors
    /// `CONFIG`: an address is not acceptable.
    pub fn new(namesrv: &str) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::default();
        config.set("namesrv", namesrv)?;
        Ok(config)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_limits()?;
        if self.namesrv.is_empty() && self.namesrv_domain.trim().is_empty() {
            return Err(Error::new(
                ErrorCode::Config,
                "setting 'namesrv' is empty; give the address of a NameServer, such as 127.0.0.1:9876",
            ));
        }
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        for (key, value) in [
            ("namesrv_domain", &self.namesrv_domain),
            ("namesrv_domain_subgroup", &self.namesrv_domain_subgroup),
        ] {
            if value.trim().contains(odd) {
                return Err(Error::new(
                    ErrorCode::Config,
                    format!(
                        "setting '{key}' is '{value}', which is not a name; leave out http:// and spaces"
                    ),
                ));
            }
        }
        for address in &self.namesrv {
            crate::remoting::parse_addresses(address)?;
        }
        if self.instance_name.is_empty() {
            return Err(Error::new(
                ErrorCode::Config,
                "setting 'instance_name' is empty; leave it out for a unique name",
            ));
        }
        Ok(())
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self.serialize_type {
            SerializeType::RocketMq => Encoding::Binary,
            SerializeType::Json => Encoding::Json,
        }
    }
}

impl ProducerConfig {
    /// Settings for a producer of this group.
    #[must_use]
    pub fn new(group: impl Into<String>) -> ProducerConfig {
        ProducerConfig { group: group.into(), ..ProducerConfig::default() }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_limits()?;
        name::check_group(&self.group)?;
        name::check_topic(&self.create_topic_key)?;
        Ok(())
    }

    pub(crate) fn compression(&self) -> Compression {
        match self.compress_type {
            CompressType::Zlib => Compression::Zlib,
            CompressType::Lz4 => Compression::Lz4,
            CompressType::Zstd => Compression::Zstd,
        }
    }
}

impl PushConsumerConfig {
    /// Settings for a consumer of this group.
    #[must_use]
    pub fn new(group: impl Into<String>) -> PushConsumerConfig {
        PushConsumerConfig { group: group.into(), ..PushConsumerConfig::default() }
    }

    /// Adds a topic with a tag expression: `*`, or tags joined by `||`.
    #[must_use]
    pub fn subscribe(mut self, topic: impl Into<String>, expression: impl Into<String>) -> Self {
        self.insert(topic.into(), expression.into());
        self
    }

    /// Adds a topic with a tag expression, as [`PushConsumerConfig::subscribe`], checked at once.
    ///
    /// # Errors
    /// `ARGUMENT`: the topic or the expression is not acceptable.
    pub fn add_subscription(&mut self, topic: &str, expression: &str) -> Result<(), Error> {
        name::check_topic(topic)?;
        crate::consumer::check_expression(topic, expression)?;
        self.insert(topic.to_owned(), expression.to_owned());
        Ok(())
    }

    /// Takes a topic off, with what it replaced; one that is not there is no error.
    pub fn remove_subscription(&mut self, topic: &str) {
        self.subscriptions.remove(topic);
        self.replaced_subscriptions.retain(|(other, _)| other != topic);
    }

    fn insert(&mut self, topic: String, expression: String) {
        if let Some(old) = self.subscriptions.insert(topic.clone(), expression)
            && self.subscriptions.get(&topic) != Some(&old)
        {
            self.replaced_subscriptions.push((topic, old));
        }
    }

    /// Checks what can be wrong with the settings as a whole, the names of group and topics included.
    ///
    /// # Errors
    /// `CONFIG`, `ARGUMENT`: says what is not acceptable.
    pub fn check(&self) -> Result<(), Error> {
        self.check_limits()?;
        name::check_group(&self.group)?;
        check_suspend(self.consumer_timeout_when_suspend, self.broker_suspend_max_time)?;
        if self.lock_max_live_time <= self.lock_interval {
            return Err(Error::new(
                ErrorCode::Config,
                format!(
                    "setting 'lock_max_live_time' is {:?}; it must be longer than 'lock_interval' with {:?}",
                    self.lock_max_live_time, self.lock_interval
                ),
            ));
        }
        check_offset_dir(self.message_model, &self.offset_dir)?;
        self.allocation(str::to_owned)?;
        self.start_timestamp()?;
        for topic in self.subscriptions.keys() {
            name::check_topic(topic)?;
        }
        Ok(())
    }

    /// How queues are divided; `wrap` puts topics into the client's namespace.
    pub(crate) fn allocation(
        &self,
        wrap: impl Fn(&str) -> String,
    ) -> Result<crate::consumer::Allocation, Error> {
        let (strategy, queues) = (self.allocate_strategy, &self.allocate_queues);
        crate::consumer::Allocation::new(strategy, queues, &self.machine_rooms, wrap)
    }

    pub(crate) fn is_orderly(&self) -> bool {
        self.consume_mode == ConsumeMode::Orderly
    }

    pub(crate) fn is_broadcasting(&self) -> bool {
        self.message_model == MessageModel::Broadcasting
    }

    pub(crate) fn start_timestamp(&self) -> Result<i64, Error> {
        start_timestamp(&self.consume_timestamp)
    }
}

/// The time limit of a pull must leave the broker the time that it may hold the pull.
fn check_suspend(limit: Duration, hold: Duration) -> Result<(), Error> {
    if limit > hold {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Config,
        format!(
            "setting 'consumer_timeout_when_suspend' is {limit:?}; it must be longer than 'broker_suspend_max_time' with {hold:?}"
        ),
    ))
}

/// A broadcasting consumer keeps its offsets itself.
fn check_offset_dir(model: MessageModel, dir: &str) -> Result<(), Error> {
    if model == MessageModel::Broadcasting && dir.trim().is_empty() {
        return Err(Error::new(
            ErrorCode::Config,
            "setting 'offset_dir' is empty; name the directory in which a BROADCASTING consumer keeps its offsets",
        ));
    }
    Ok(())
}

/// Where `consume_from_where = TIMESTAMP` begins, in milliseconds since 1970.
fn start_timestamp(text: &str) -> Result<i64, Error> {
    use chrono::{Local, NaiveDateTime, TimeDelta, TimeZone, Utc};
    let text = text.trim();
    if text.is_empty() {
        return Ok((Utc::now() - TimeDelta::minutes(30)).timestamp_millis());
    }
    if text.len() == 14
        && let Ok(time) = NaiveDateTime::parse_from_str(text, "%Y%m%d%H%M%S")
    {
        // A time that the clock change skips or doubles: the earlier reading loses no message.
        let local = Local.from_local_datetime(&time).earliest();
        return Ok(local.map_or_else(|| time.and_utc().timestamp_millis(), |t| t.timestamp_millis()));
    }
    let millis = text.parse::<i64>().ok().filter(|millis| *millis >= 0 && text.len() != 14);
    millis.ok_or_else(|| {
            Error::new(
                ErrorCode::Config,
                format!(
                    "setting 'consume_timestamp' is '{text}'; give yyyyMMddHHmmss, such as 20260131235900, or milliseconds since 1970"
                ),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setting::{Kind, settings};

    #[test]
    fn values_are_read_under_both_names() {
        let mut config = ProducerConfig::default();
        for (text, want) in [("3000", 3000), ("3s", 3000), ("500ms", 500), ("2m", 120_000), (" 7 s", 7000)] {
            config.set("send_timeout", text).unwrap();
            assert_eq!(config.send_timeout, millis(want), "{text}");
        }
        config.set("sendMsgTimeout", "10").unwrap();
        assert_eq!(config.send_timeout, millis(10));
        config.set("retryResponseCodes", "1, 2").unwrap();
        assert_eq!(config.retry_response_codes, [1, 2]);
        let mut config = PushConsumerConfig::default();
        config.set("consumeTimeout", "1").unwrap();
        assert_eq!(config.consume_timeout, seconds(60));
        config.set("consume_timeout", "90s").unwrap();
        assert_eq!(config.consume_timeout, seconds(90));
        config.set("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET").unwrap();
        assert_eq!(config.consume_from_where, ConsumeFrom::First);
        let mut config = ClientConfig::default();
        config.set("namesrvAddr", "a:1;[::1]:2").unwrap();
        assert_eq!(config.namesrv, ["a:1", "[::1]:2"]);
    }

    #[test]
    fn mistakes_are_explained() {
        let mut config = ProducerConfig::default();
        let message = |error: Error| error.to_string();
        assert_eq!(
            message(config.set("send_timeot", "1").unwrap_err()),
            "'send_timeot' is not a setting of the producer; did you mean 'send_timeout'?"
        );
        assert_eq!(
            message(config.set("sendMsgTimeOut", "1").unwrap_err()),
            "'sendMsgTimeOut' is not a setting of the producer; did you mean 'sendMsgTimeout'?"
        );
        assert_eq!(
            message(config.set("namesrv", "a:1").unwrap_err()),
            "setting 'namesrv' belongs to the client, not to the producer; give it there"
        );
        assert_eq!(
            message(config.set("send_timeout", "soon").unwrap_err()),
            "setting 'send_timeout' is 'soon', which is not a duration such as 3s or 500ms (a bare number counts milliseconds)"
        );
        assert_eq!(
            message(config.set("send_timeout", "0").unwrap_err()),
            "setting 'send_timeout' is 0; it must be from 1ms to 60m"
        );
        assert!(message(config.set("compressType", "rar").unwrap_err()).contains("one of ZLIB, LZ4, ZSTD"));
        let error = ClientConfig::new("localhost").unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(ClientConfig::default().check().is_err());
        assert!(
            ProducerConfig { send_timeout: Duration::ZERO, ..ProducerConfig::default() }.check().is_err()
        );
    }

    #[test]
    fn the_table_is_whole_and_its_defaults_parse() {
        assert!(settings().iter().all(|setting| !setting.doc.is_empty()));
        let mut client = ClientConfig::default();
        let mut producer = ProducerConfig::default();
        let mut consumer = PushConsumerConfig::default();
        let mut puller = PullConsumerConfig::default();
        for setting in settings() {
            let empty_is_absent = setting.kind == Kind::Addresses;
            if setting.default.is_empty() && empty_is_absent {
                continue;
            }
            match setting.scope {
                crate::setting::Scope::Client => client.set(setting.name, &setting.default).unwrap(),
                crate::setting::Scope::Producer => producer.set(setting.name, &setting.default).unwrap(),
                crate::setting::Scope::PushConsumer => consumer.set(setting.name, &setting.default).unwrap(),
                crate::setting::Scope::PullConsumer => puller.set(setting.name, &setting.default).unwrap(),
            }
        }
        assert_eq!(client, ClientConfig::default());
        assert_eq!(producer, ProducerConfig::default());
        assert_eq!(consumer, PushConsumerConfig::default());
        assert_eq!(puller, PullConsumerConfig::default());
    }

    #[test]
    fn start_times_are_local_or_millis() {
        let mut config = PushConsumerConfig::new("g");
        config.consume_timestamp = "1700000000000".to_owned();
        assert_eq!(config.start_timestamp().unwrap(), 1_700_000_000_000);
        config.consume_timestamp = "20260131235900".to_owned();
        let local = config.start_timestamp().unwrap();
        assert!((local - 1_769_903_940_000).abs() <= 14 * 3_600_000);
        config.consume_timestamp = "20261331235900".to_owned();
        assert!(config.check().is_err());
    }
}
