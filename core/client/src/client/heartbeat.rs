//! Heartbeats: what the brokers are told of this client's groups, and when.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use mq_protocol::RequestCode;
use mq_protocol::body::{HeartbeatData, ProducerData};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Inner;
use crate::Error;
use crate::remoting::Bare;

/// Sends heartbeats from time to time, and at once to a broker to which a connection was made.
pub(super) async fn keep(client: Weak<Inner>, changed: Arc<Notify>, period: Duration) {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = tokio::select! {
            _ = ticks.tick() => true,
            () = changed.notified() => false,
        };
        let Some(inner) = client.upgrade() else { return };
        let fresh = std::mem::take(&mut *inner.connected.lock());
        let addresses = if due { inner.heartbeat_addresses() } else { fresh.into_iter().collect() };
        inner.beat(&addresses).await;
    }
}

impl Inner {
    fn heartbeat_addresses(&self) -> Vec<String> {
        // Consumers may read from slaves; producers write to masters only.
        self.routes.broker_addresses(!self.consumers.lock().is_empty())
    }

    /// Tells all known brokers now.
    pub(crate) async fn beat_all(&self) {
        self.beat(&self.heartbeat_addresses()).await;
    }

    async fn beat(&self, addresses: &[String]) {
        let Some(body) = self.heartbeat_body() else { return };
        let body = &body;
        let beats = addresses.iter().map(|address| async move {
            if let Err(error) = self.beat_one(address, body).await {
                tracing::warn!(broker = address, %error, "heartbeat failed");
            }
        });
        join_all(beats).await;
    }

    async fn beat_one(&self, address: &str, body: &Bytes) -> Result<(), Error> {
        let peer = self.remoting.peer(address);
        self.remoting.ask(&peer, RequestCode::HEART_BEAT, &Bare, body, self.short()).await?;
        Ok(())
    }

    /// `None` if there is no group to tell of.
    fn heartbeat_body(&self) -> Option<Bytes> {
        let data = HeartbeatData {
            client_id: self.client_id.clone(),
            producer_data_set: self
                .producer_groups()
                .into_iter()
                .map(|group_name| ProducerData { group_name })
                .collect(),
            consumer_data_set: self.consumers.lock().values().map(|consumer| consumer.heartbeat()).collect(),
            ..HeartbeatData::default()
        };
        if data.producer_data_set.is_empty() && data.consumer_data_set.is_empty() {
            return None;
        }
        serde_json::to_vec(&data).ok().map(Bytes::from)
    }
}
