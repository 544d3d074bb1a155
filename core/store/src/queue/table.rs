//! All queues by topic and queue id.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::Queue;

/// The queues of one topic, sorted by id.
#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    queues: RwLock<Vec<Arc<Queue>>>,
}

impl Topic {
    fn get(&self, id: i32) -> Option<Arc<Queue>> {
        let queues = self.queues.read();
        let at = queues.binary_search_by_key(&id, |queue| queue.id).ok()?;
        queues.get(at).cloned()
    }
}

/// All queues. Once made, a queue stays, so that its numbering never starts again.
#[derive(Debug, Default)]
pub(crate) struct QueueTable {
    topics: RwLock<HashMap<Arc<str>, Arc<Topic>, RandomState>>,
}

impl QueueTable {
    /// The queue of a topic with this id.
    pub(crate) fn get(&self, topic: &str, id: i32) -> Option<Arc<Queue>> {
        let topics = self.topics.read();
        topics.get(topic)?.get(id)
    }

    /// The queue of a topic with this id, made if there is none.
    pub(crate) fn get_or_create(&self, topic: &str, id: i32) -> Arc<Queue> {
        if let Some(queue) = self.get(topic, id) {
            return queue;
        }
        let topic = {
            let mut topics = self.topics.write();
            if let Some(topic) = topics.get(topic) {
                Arc::clone(topic)
            } else {
                let name: Arc<str> = topic.into();
                let topic = Arc::new(Topic { name: Arc::clone(&name), queues: RwLock::default() });
                topics.insert(name, Arc::clone(&topic));
                topic
            }
        };
        let mut queues = topic.queues.write();
        match queues.binary_search_by_key(&id, |queue| queue.id) {
            Ok(at) => queues.get(at).cloned(),
            Err(at) => {
                queues.insert(at, Arc::new(Queue::new(Arc::clone(&topic.name), id)));
                queues.get(at).cloned()
            }
        }
        .unwrap_or_else(|| Arc::new(Queue::new(Arc::clone(&topic.name), id)))
    }

    /// The queues of a topic, by id.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<Arc<Queue>> {
        let topic = self.topics.read().get(topic).cloned();
        topic.map(|topic| topic.queues.read().clone()).unwrap_or_default()
    }

    /// All queues.
    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        let topics: Vec<_> = self.topics.read().values().cloned().collect();
        topics.iter().flat_map(|topic| topic.queues.read().clone()).collect()
    }
}
