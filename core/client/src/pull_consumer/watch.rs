//! Telling the application that the queues of a topic changed.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mq_protocol::body::MessageQueue;
use parking_lot::Mutex;

use super::Inner;

/// The queues of a topic after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueChange {
    /// The topic.
    pub topic: String,
    /// All queues that can be consumed.
    pub queues: Vec<MessageQueue>,
    /// Those of them that are assigned to this consumer.
    pub assigned: Vec<MessageQueue>,
}

type Callback = Arc<dyn Fn(&QueueChange) + Send + Sync>;

#[derive(Default)]
pub(super) struct Watchers(Mutex<Vec<Watcher>>);

struct Watcher {
    /// What was told last.
    known: QueueChange,
    callback: Callback,
}

impl Watchers {
    pub(super) fn clear(&self) {
        let gone = std::mem::take(&mut *self.0.lock());
        // Outside the lock: what a callback holds may end with it.
        drop(gone);
    }
}

impl Inner {
    pub(super) fn watch(&self, topic: &str, queues: Vec<MessageQueue>, callback: Callback) {
        let assigned = self.assigned_of(topic);
        let known = QueueChange { topic: topic.to_owned(), queues, assigned };
        self.watchers.0.lock().push(Watcher { known, callback });
    }

    fn watched(&self) -> BTreeSet<String> {
        self.watchers.0.lock().iter().map(|watcher| watcher.known.topic.clone()).collect()
    }

    /// Asks for the routes of watched topics again.
    pub(super) async fn refresh_watched(&self) {
        for topic in self.watched() {
            let wrapped = self.client.wrap(&topic);
            if let Err(error) = self.client.refresh_route(&wrapped, None, self.client.short()).await {
                tracing::debug!(group = self.group, topic, %error, "route not refreshed");
            }
        }
    }

    /// Tells of what changed since the last time.
    pub(super) fn tell_changes(&self) {
        for topic in self.watched() {
            let Some((_, route)) = self.client.routes.known(&self.client.wrap(&topic)) else { continue };
            let now = QueueChange {
                queues: route.subscribe.iter().map(|queue| self.shown(queue)).collect(),
                assigned: self.assigned_of(&topic),
                topic,
            };
            let mut callbacks = Vec::new();
            for watcher in self.watchers.0.lock().iter_mut() {
                if watcher.known.topic == now.topic && watcher.known != now {
                    watcher.known.clone_from(&now);
                    callbacks.push(watcher.callback.clone());
                }
            }
            // Outside the lock, as a callback may register another.
            for callback in callbacks {
                if catch_unwind(AssertUnwindSafe(|| callback(&now))).is_err() {
                    let topic = &now.topic;
                    tracing::error!(group = self.group, topic, "the callback for queue changes panicked");
                }
            }
        }
    }

    fn assigned_of(&self, topic: &str) -> Vec<MessageQueue> {
        let topic = self.client.wrap(topic);
        let queues = self.queues.lock();
        let mut own: Vec<_> =
            queues.keys().filter(|queue| queue.topic == *topic).map(|queue| self.shown(queue)).collect();
        own.sort();
        own
    }
}
