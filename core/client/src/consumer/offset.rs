//! Offsets of a group: where a queue begins, and keeping what is consumed, with the brokers or in a file.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use mq_protocol::body::MessageQueue;
use mq_protocol::name;

use super::offset_file::OffsetFile;
use crate::client::Inner as ClientInner;
use crate::{ConsumeFrom, Error};

/// The offsets of one group, wherever they are kept. Queues are in the client's namespace.
pub(crate) struct Offsets {
    client: Arc<ClientInner>,
    group: String,
    /// `None`: the brokers keep them (`RemoteBrokerOffsetStore`).
    file: Option<Arc<OffsetFile>>,
}

impl Offsets {
    /// Kept by the brokers.
    pub(crate) fn at_brokers(client: Arc<ClientInner>, group: &str) -> Offsets {
        Offsets { client, group: group.to_owned(), file: None }
    }

    /// Kept in a file below `dir`, for this member alone.
    ///
    /// # Errors
    /// `CONFIG`: the directory cannot be made or written to, or its file cannot be read.
    pub(crate) fn in_directory(client: Arc<ClientInner>, group: &str, dir: &Path) -> Result<Offsets, Error> {
        let file = OffsetFile::open(dir, &client.stable_id, group)?;
        Ok(Offsets { client, group: group.to_owned(), file: Some(Arc::new(file)) })
    }

    /// Whether pulls may carry what is to be committed: the brokers keep it.
    pub(crate) fn are_at_brokers(&self) -> bool {
        self.file.is_none()
    }

    /// Lets another consumer have the file; nothing may be kept after this.
    pub(crate) fn release(&self) {
        if let Some(file) = &self.file {
            file.release();
        }
    }

    /// Keeps offsets without waiting for brokers, as Java does every five seconds; trouble is logged, and the next
    /// turn brings them anyway.
    pub(crate) async fn tell(&self, offsets: Vec<(MessageQueue, i64)>) {
        if self.file.is_some() {
            return self.commit_all(offsets).await;
        }
        for (queue, offset) in offsets {
            if let Err(error) = self.client.commit_unconfirmed(&self.group, &queue, offset).await {
                tracing::debug!(group = self.group, topic = queue.topic, %error, "offset not sent");
            }
        }
    }

    /// Keeps offsets and waits until they are kept; trouble is logged.
    pub(crate) async fn commit_all(&self, offsets: Vec<(MessageQueue, i64)>) {
        if let Some(file) = &self.file {
            if let Err(error) = file.clone().keep(offsets).await {
                tracing::warn!(group = self.group, %error, "offsets not kept; messages may come again");
            }
            return;
        }
        let commits = offsets.iter().map(|(queue, offset)| async move {
            if let Err(error) = self.commit(queue, *offset).await {
                let (topic, id) = (&queue.topic, queue.queue_id);
                tracing::warn!(group = self.group, topic, queue = id, offset, %error, "offset not committed; messages may come again");
            }
        });
        join_all(commits).await;
    }

    /// Keeps one offset and waits until it is kept.
    ///
    /// # Errors
    /// `NOT_FOUND`, `NETWORK`, `TIMEOUT`, `BROKER`: the broker did not take it. `INTERNAL`: the file cannot be written.
    pub(crate) async fn commit(&self, queue: &MessageQueue, offset: i64) -> Result<(), Error> {
        match &self.file {
            Some(file) => file.clone().keep(vec![(queue.clone(), offset)]).await,
            None => self.client.commit_offset(&self.group, queue, offset).await,
        }
    }

    /// What is kept of a queue; `None` if nothing is.
    ///
    /// # Errors
    /// `NOT_FOUND`, `NETWORK`, `TIMEOUT`, `BROKER`: the broker does not tell.
    pub(crate) async fn committed(&self, queue: &MessageQueue) -> Result<Option<i64>, Error> {
        match &self.file {
            Some(file) => Ok(file.get(queue)),
            None => self.client.committed_offset(&self.group, queue).await,
        }
    }

    /// Where a queue that is new to this member begins (`RebalancePushImpl.computePullFromWhere`): at what is
    /// kept, else where `from` tells; `timestamp` in milliseconds since 1970 is for `TIMESTAMP`.
    ///
    /// # Errors
    /// `NOT_FOUND`, `NETWORK`, `TIMEOUT`, `BROKER`: the broker does not tell.
    pub(crate) async fn start(
        &self,
        queue: &MessageQueue,
        from: ConsumeFrom,
        timestamp: i64,
    ) -> Result<i64, Error> {
        if let Some(offset) = self.committed(queue).await? {
            return Ok(offset);
        }
        // A retry that was sent before the group had an offset is a message of this group all the same.
        let is_retry = queue.topic.starts_with(name::RETRY_PREFIX);
        match if is_retry { ConsumeFrom::First } else { from } {
            ConsumeFrom::First => self.client.min_offset(queue).await,
            ConsumeFrom::Last => self.client.max_offset(queue).await,
            ConsumeFrom::Timestamp => self.client.offset_at(queue, timestamp).await,
        }
    }
}
