//! Pulls that found nothing and wait for their queue (`PullRequestHoldService`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mq_protocol::Frame;
use mq_protocol::filter::TagFilter;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::server::{Peer, PeerId};

/// Longest wait, whatever a client asks: the connection would be idle by then.
const MAX_WAIT: Duration = Duration::from_secs(110);

/// A pull that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) peer: Arc<Peer>,
    pub(crate) request: Frame,
    /// What wakes it; `None` is every message.
    pub(crate) filter: Option<Arc<TagFilter>>,
}

/// All waiting pulls. One lock; connections are told outside it.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Most waiting pulls.
    max: usize,
    /// Most of one connection.
    max_per_peer: usize,
    table: Mutex<Table>,
    /// Number of waiting pulls, so that an append without any pays nothing.
    count: AtomicUsize,
    /// Told when a deadline before all others is entered.
    earlier: Notify,
}

/// Deadline and number of a waiting pull.
type Ticket = (Instant, u64);

/// The waiting pulls of a topic, by queue.
type Queues = HashMap<i32, Vec<(Ticket, Held)>>;

#[derive(Debug, Default)]
struct Table {
    queues: HashMap<Arc<str>, Queues>,
    deadlines: BTreeMap<Ticket, (Arc<str>, i32)>,
    per_peer: HashMap<PeerId, usize>,
    next: u64,
}

impl Waiting {
    pub(crate) fn new(max: usize, max_per_peer: usize) -> Waiting {
        Waiting {
            max,
            max_per_peer,
            table: Mutex::default(),
            count: AtomicUsize::new(0),
            earlier: Notify::new(),
        }
    }

    /// Whether this connection may park another pull. Only its own task parks pulls for it.
    pub(crate) fn has_room(&self, peer: PeerId) -> bool {
        self.count.load(Ordering::SeqCst) < self.max
            && self.table.lock().per_peer.get(&peer).is_none_or(|count| *count < self.max_per_peer)
    }

    /// Parks a pull.
    pub(crate) fn hold(&self, topic: &str, queue: i32, wait: Duration, held: Held) {
        let mut table = self.table.lock();
        *table.per_peer.entry(held.peer.id).or_default() += 1;
        let ticket = (Instant::now() + wait.min(MAX_WAIT), table.next);
        table.next += 1;
        let topic = match table.queues.get_key_value(topic) {
            Some((known, _)) => known.clone(),
            None => Arc::from(topic),
        };
        let queues = table.queues.entry(topic.clone()).or_default();
        queues.entry(queue).or_default().push((ticket, held));
        table.deadlines.insert(ticket, (topic, queue));
        self.count.store(table.deadlines.len(), Ordering::SeqCst);
        if table.deadlines.first_key_value().is_some_and(|(first, _)| *first == ticket) {
            self.earlier.notify_one();
        }
    }

    /// A message has arrived: wakes the pulls of its queue that want it.
    pub(crate) fn arrived(&self, topic: &str, queue: i32, tags_code: i64) {
        self.wake(topic, queue, |held| {
            held.filter.as_ref().is_none_or(|filter| filter.matches_code(tags_code))
        });
    }

    /// Wakes all pulls of a queue.
    pub(crate) fn wake_all(&self, topic: &str, queue: i32) {
        self.wake(topic, queue, |_| true);
    }

    fn wake(&self, topic: &str, queue: i32, wanted: impl Fn(&Held) -> bool) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let woken = {
            let mut table = self.table.lock();
            let Some(waiting) = table.queues.get_mut(topic).and_then(|queues| queues.get_mut(&queue)) else {
                return;
            };
            let woken: Vec<(Ticket, Held)> = waiting.extract_if(.., |(_, held)| wanted(held)).collect();
            table.forget(&woken);
            self.count.store(table.deadlines.len(), Ordering::SeqCst);
            woken
        };
        for (_, held) in woken {
            held.peer.resume(held.request);
        }
    }

    /// Drops the pulls of a connection that is gone.
    pub(crate) fn connection_closed(&self, peer: PeerId) {
        let mut table = self.table.lock();
        if !table.per_peer.contains_key(&peer) {
            return;
        }
        let all = table.queues.values_mut().flat_map(HashMap::values_mut);
        let gone: Vec<(Ticket, Held)> =
            all.flat_map(|waiting| waiting.extract_if(.., |(_, held)| held.peer.id == peer)).collect();
        table.forget(&gone);
        self.count.store(table.deadlines.len(), Ordering::SeqCst);
    }

    /// Wakes pulls at their deadlines; runs until it is dropped.
    pub(crate) async fn expire(&self) {
        loop {
            let first = self.table.lock().deadlines.first_key_value().map(|((time, _), _)| *time);
            match first {
                Some(time) => tokio::select! {
                    () = tokio::time::sleep_until(time) => self.wake_overdue(),
                    () = self.earlier.notified() => {}
                },
                None => self.earlier.notified().await,
            }
        }
    }

    fn wake_overdue(&self) {
        let overdue = {
            let mut table = self.table.lock();
            let now = Instant::now();
            let due = table.deadlines.range(..=(now, u64::MAX));
            let due: Vec<(Ticket, (Arc<str>, i32))> = due.map(|(t, at)| (*t, at.clone())).collect();
            let mut overdue = Vec::with_capacity(due.len());
            for (ticket, (topic, queue)) in due {
                let waiting = table.queues.get_mut(&topic).and_then(|queues| queues.get_mut(&queue));
                let Some(waiting) = waiting else { continue };
                if let Some(at) = waiting.iter().position(|(held, _)| *held == ticket) {
                    overdue.push(waiting.swap_remove(at));
                }
            }
            table.forget(&overdue);
            self.count.store(table.deadlines.len(), Ordering::SeqCst);
            overdue
        };
        for (_, held) in overdue {
            held.peer.resume(held.request);
        }
    }
}

impl Table {
    /// Forgets pulls that have left their queues.
    fn forget(&mut self, gone: &[(Ticket, Held)]) {
        for (ticket, held) in gone {
            if let Some((topic, queue)) = self.deadlines.remove(ticket) {
                self.drop_if_empty(&topic, queue);
            }
            if let Some(count) = self.per_peer.get_mut(&held.peer.id) {
                *count -= 1;
                if *count == 0 {
                    self.per_peer.remove(&held.peer.id);
                }
            }
        }
    }

    fn drop_if_empty(&mut self, topic: &Arc<str>, queue: i32) {
        let Some(queues) = self.queues.get_mut(topic) else { return };
        if queues.get(&queue).is_some_and(Vec::is_empty) {
            queues.remove(&queue);
        }
        if queues.is_empty() {
            self.queues.remove(topic);
        }
    }
}
