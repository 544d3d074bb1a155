//! Subscriptions of a running push consumer: topics that come and go, expressions that change.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use mq_protocol::name;
use tokio::sync::oneshot;

use super::Inner;
use super::subscription::Subscription;
use crate::{Error, ErrorCode};

impl Inner {
    /// What is subscribed to now, the retry topic among it.
    pub(super) fn subscribed(&self) -> Vec<Arc<Subscription>> {
        self.subscriptions.lock().values().cloned().collect()
    }

    /// Keeps the route of a subscribed topic fresh.
    pub(super) async fn learn(&self, topic: &str) -> Result<(), Error> {
        self.client.routes.subscribe(topic, true);
        match self.client.route(topic, None, self.client.short()).await {
            Ok(_) => Ok(()),
            // The topic may be made later; the retry topic is made by the first heartbeat.
            Err(error) if error.code() == ErrorCode::NotFound => {
                if !topic.starts_with(name::RETRY_PREFIX) {
                    tracing::warn!(group = self.group, topic, "subscribed topic does not exist yet");
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps a route fresh no longer that no consumer of the client wants.
    pub(super) fn unlearn(&self, topic: &str) {
        if !self.client.is_subscribed(topic) {
            self.client.routes.subscribe(topic, false);
        }
    }

    /// `DefaultMQPushConsumerImpl.subscribe` after the start.
    pub(super) async fn subscribe(self: &Arc<Self>, topic: &str, expression: &str) -> Result<(), Error> {
        self.check_open()?;
        name::check_topic(topic)?;
        let topic = self.client.wrap(topic).into_owned();
        self.check_not_retry(&topic)?;
        let subscription = Subscription::new(topic.clone(), expression)?;
        if let Err(error) = self.learn(&topic).await {
            self.unlearn(&topic);
            return Err(error);
        }
        if let Err(error) = self.note(subscription) {
            self.unlearn(&topic);
            return Err(error);
        }
        // Another call may have taken the topic off meanwhile.
        self.client.routes.subscribe(&topic, true);
        tracing::info!(group = self.group, topic, expression, "subscribed");
        self.change().await;
        Ok(())
    }

    /// `DefaultMQPushConsumerImpl.unsubscribe`, which is silent about topics that are not subscribed to.
    pub(super) async fn unsubscribe(self: &Arc<Self>, topic: &str) -> Result<(), Error> {
        self.check_open()?;
        let topic = self.client.wrap(topic);
        self.check_not_retry(&topic)?;
        let known = self.subscriptions.lock().remove(&*topic).is_some();
        if known {
            self.unlearn(&topic);
            tracing::info!(group = self.group, topic = &*topic, "unsubscribed");
            self.change().await;
        }
        Ok(())
    }

    /// Puts a subscription in the place of the one before, unless both want the same.
    fn note(&self, subscription: Subscription) -> Result<(), Error> {
        let mut subscriptions = self.subscriptions.lock();
        // Whoever closes looks at the table after setting the flag.
        self.check_open()?;
        let subscription = match subscriptions.get(&subscription.topic) {
            Some(old) if old.text == subscription.text => return Ok(()),
            Some(old) => subscription.after(old),
            None => subscription,
        };
        subscriptions.insert(subscription.topic.clone(), Arc::new(subscription));
        Ok(())
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::closed("the push consumer"));
        }
        self.client.check_open()
    }

    fn check_not_retry(&self, topic: &str) -> Result<(), Error> {
        if self.config.is_broadcasting() || topic != name::retry_topic(&self.group) {
            return Ok(());
        }
        Err(Error::argument(format!(
            "topic '{topic}' is the retry topic of the group itself, which its members always subscribe to; leave it alone"
        )))
    }

    /// Divides the queues anew and tells the brokers, in a task of its own: whoever waits may give up in the middle, and
    /// no queue may be left half given up by that.
    async fn change(self: &Arc<Self>) {
        let (done, ended) = oneshot::channel();
        let consumer = self.clone();
        self.tasks.spawn(async move {
            if !consumer.rebalance_now().await {
                // The task that keeps the balance tries again soon.
                consumer.rebalance.notify_one();
            }
            consumer.client.beat_all().await;
            // Nobody may be waiting any more.
            let _ = done.send(());
        });
        // An error means that the consumer closes, which gives up everything anyway.
        let _ = ended.await;
    }
}
