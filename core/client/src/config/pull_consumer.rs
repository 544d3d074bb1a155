//! The settings of pull consumers.

use std::collections::BTreeMap;
use std::time::Duration;

use mq_protocol::name;

use super::{
    AllocateStrategy, ConsumeFrom, MessageModel, check_offset_dir, check_suspend, seconds, start_timestamp,
};
use crate::Error;
use crate::consumer::Allocation;
use crate::setting::declare;

declare! {
    /// Settings of a [`crate::PullConsumer`].
    PullConsumerConfig: PullConsumer {
        /// Name of the consumer group.
        group: String = String::new(), "consumerGroup";
        /// CLUSTERING: the queues of a topic are divided between the members of the group, and the broker keeps the offsets. BROADCASTING: each member has all queues; offsets are kept in offset_dir.
        message_model: MessageModel = MessageModel::Clustering, "messageModel";
        /// Directory for the offsets of a BROADCASTING consumer, which needs one; they are in its file CLIENT/GROUP/offsets.json, where CLIENT is client_ip@instance_name, with @unit_name behind it if there is one. Processes that share the directory need instance_names of their own.
        offset_dir: String = String::new(), "localOffsetStoreDir";
        /// Where a new group begins.
        consume_from_where: ConsumeFrom = ConsumeFrom::Last, "consumeFromWhere";
        /// Where TIMESTAMP begins: yyyyMMddHHmmss in local time, or milliseconds since 1970; empty: half an hour ago.
        consume_timestamp: String = String::new(), "consumeTimestamp";
        /// Whether offsets are committed from time to time and at close: what a poll gave out counts as consumed from the next poll on.
        auto_commit: bool = true, "autoCommit";
        /// How often offsets are committed.
        auto_commit_interval: Duration [10, 3_600_000] = seconds(5), "autoCommitIntervalMillis";
        /// How long a poll waits for messages if the caller does not say.
        poll_timeout: Duration [0, 3_600_000] = seconds(5), "pollTimeoutMillis";
        /// Largest number of messages that one poll gives out.
        poll_batch_size: usize [1, 65_535] = 32;
        /// Largest number of messages asked of a broker at a time.
        pull_batch_size: i32 [1, 1024] = 32, "pullBatchSize";
        /// Largest number of bytes asked of a broker at a time.
        pull_batch_size_in_bytes: i32 [1, 2_147_483_647] = 256 * 1024, "pullBatchSizeInBytes";
        /// Messages of one queue that may wait for a poll.
        pull_threshold_for_queue: usize [1, 65_535] = 1000, "pullThresholdForQueue";
        /// Mebibytes of one queue that may wait for a poll.
        pull_threshold_size_for_queue: usize [1, 1024] = 100, "pullThresholdSizeForQueue";
        /// Messages of all queues that may wait for a poll.
        pull_threshold_for_all: usize [1, 100_000_000] = 10_000, "pullThresholdForAll";
        /// Mebibytes of all queues that may wait for a poll.
        pull_threshold_size_total: usize [1, 1_048_576] = 512;
        /// Distance between the oldest and newest offset of a queue that may wait for a poll.
        consume_max_span: i64 [1, 65_535] = 2000, "consumeMaxSpan";
        /// How long a broker may hold a pull until a message arrives.
        broker_suspend_max_time: Duration [0, 600_000] = seconds(20), "brokerSuspendMaxTimeMillis";
        /// Time limit of a pull, the holding included.
        consumer_timeout_when_suspend: Duration [1, 3_600_000] = seconds(30), "consumerTimeoutMillisWhenSuspend";
        /// Pause after a pull that failed.
        pull_delay_when_failed: Duration [1, 600_000] = seconds(1), "pullTimeDelayMillsWhenException";
        /// How queues are divided between the members of the group; all members must use the same.
        allocate_strategy: AllocateStrategy = AllocateStrategy::Average, "allocateMessageQueueStrategy";
        /// The queues that CONFIG gives this member: topic:broker:number, or topic:broker:first-last, joined by commas.
        allocate_queues: String = String::new(), "messageQueueList";
        /// The rooms that MACHINE_ROOM takes queues of, joined by commas.
        machine_rooms: String = String::new(), "consumeridcs";
        /// How often the division is looked at when nothing tells that it changed.
        rebalance_interval: Duration [10, 600_000] = seconds(20), "rebalanceWaitInterval";
        /// How often the queues of watched topics are looked at.
        topic_metadata_check_interval: Duration [10, 3_600_000] = seconds(30), "topicMetadataCheckIntervalMillis";
        /// Largest body after decompression, in bytes; a poll fails once for a message that needs more.
        max_decompressed_size: usize [1, 1_073_741_824] = 64 * 1024 * 1024;
    }
    plus {
        /// What is consumed from the start: topic to tag expression, such as `*` or `paid || refunded`. Empty if
        /// topics are subscribed to, or queues assigned, later.
        subscriptions: BTreeMap<String, String>,
    }
}

impl PullConsumerConfig {
    /// Settings for a consumer of this group.
    #[must_use]
    pub fn new(group: impl Into<String>) -> PullConsumerConfig {
        PullConsumerConfig { group: group.into(), ..PullConsumerConfig::default() }
    }

    /// Adds a topic with a tag expression: `*`, or tags joined by `||`.
    #[must_use]
    pub fn subscribe(mut self, topic: impl Into<String>, expression: impl Into<String>) -> Self {
        self.subscriptions.insert(topic.into(), expression.into());
        self
    }

    /// Adds a topic with a tag expression, as [`PullConsumerConfig::subscribe`], checked at once.
    ///
    /// # Errors
    /// `ARGUMENT`: the topic or the expression is not acceptable.
    pub fn add_subscription(&mut self, topic: &str, expression: &str) -> Result<(), Error> {
        name::check_topic(topic)?;
        crate::consumer::check_expression(topic, expression)?;
        self.subscriptions.insert(topic.to_owned(), expression.to_owned());
        Ok(())
    }

    /// Checks what can be wrong with the settings as a whole, the names of group and topics included.
    ///
    /// # Errors
    /// `CONFIG`, `ARGUMENT`: says what is not acceptable.
    pub fn check(&self) -> Result<(), Error> {
        self.check_limits()?;
        name::check_group(&self.group)?;
        check_suspend(self.consumer_timeout_when_suspend, self.broker_suspend_max_time)?;
        check_offset_dir(self.message_model, &self.offset_dir)?;
        self.allocation(str::to_owned)?;
        self.start_timestamp()?;
        for topic in self.subscriptions.keys() {
            name::check_topic(topic)?;
        }
        Ok(())
    }

    /// How queues are divided; `wrap` puts topics into the client's namespace.
    pub(crate) fn allocation(&self, wrap: impl Fn(&str) -> String) -> Result<Allocation, Error> {
        Allocation::new(self.allocate_strategy, &self.allocate_queues, &self.machine_rooms, wrap)
    }

    pub(crate) fn is_broadcasting(&self) -> bool {
        self.message_model == MessageModel::Broadcasting
    }

    pub(crate) fn start_timestamp(&self) -> Result<i64, Error> {
        start_timestamp(&self.consume_timestamp)
    }
}
