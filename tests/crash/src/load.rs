//! The load on the broker until it is killed: producers of three kinds, and consumers that commit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mq_client::{
    Client, ClientConfig, ConsumeFrom, ConsumeResult, Listener, Message, MessageView, Producer,
    ProducerConfig, PushConsumerConfig, SendReceipt,
};

use crate::Problem;
use crate::broker::{Broker, Flush};
use crate::ledger::{Kept, Ledger, body};
use crate::random::Random;

const TOPICS: [&str; 3] = ["crash-a", "crash-b", "crash-c"];
const GROUPS: [&str; 2] = ["crash-g1", "crash-g2"];

/// The random decisions of one round.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The kill comes when so many messages of this round are acknowledged.
    pub(crate) acknowledged: u64,
    pub(crate) flush: Flush,
}

/// What a round did.
pub(crate) struct Done {
    pub(crate) acknowledged: u64,
    pub(crate) unanswered: u64,
    pub(crate) consumed: u64,
}

/// What the tasks of a round share.
struct Round {
    ledger: Mutex<Ledger>,
    acknowledged: AtomicU64,
    unanswered: AtomicU64,
    consumed: AtomicU64,
    over: AtomicBool,
    enough: tokio::sync::Notify,
    wanted: u64,
}

impl Round {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, random: &mut Random, topic: &str) -> (u64, Message) {
        let id = {
            let mut ledger = self.ledger();
            ledger.next_id += 1;
            ledger.next_id
        };
        let mut message = Message::new(topic, body(id));
        if random.below(2) == 0 {
            message = message.key(format!("key-{id}")).key(format!("every-{}", id % 10));
        }
        if random.below(3) == 0 {
            message = message.tag(["red", "green", "blue"][usize::try_from(id % 3).unwrap_or(0)]);
        }
        (id, message)
    }

    fn note(&self, ids: &[u64], sent: Result<SendReceipt, mq_client::Error>) {
        let count = ids.len() as u64;
        let Ok(receipt) = sent else {
            self.unanswered.fetch_add(count, Ordering::Relaxed);
            return;
        };
        {
            let mut ledger = self.ledger();
            let queue = ledger.acknowledged.entry((receipt.topic, receipt.queue_id)).or_default();
            for (offset, id) in (receipt.queue_offset..).zip(ids) {
                queue.insert(offset, Kept { id: *id });
            }
        }
        if self.acknowledged.fetch_add(count, Ordering::Relaxed) + count >= self.wanted {
            self.enough.notify_one();
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Whether a message is acknowledged only when the disk has it; some are not, between others that are.
fn waits(random: &mut Random) -> bool {
    random.below(4) > 0
}

/// One message after the other.
async fn send_singly(round: Arc<Round>, producer: Producer, mut random: Random) {
    while !round.is_over() {
        let topic = TOPICS[usize::try_from(random.below(3)).unwrap_or(0)];
        let (id, message) = round.message(&mut random, topic);
        let sent = producer.send(message.wait_store(waits(&mut random))).await;
        round.note(&[id], sent);
    }
}

/// Many on their way at a time.
async fn send_many(round: Arc<Round>, producer: Producer, mut random: Random) {
    while !round.is_over() {
        let topic = TOPICS[usize::try_from(random.below(3)).unwrap_or(0)];
        let sending = (0..16).map(|_| {
            let (id, message) = round.message(&mut random, topic);
            let message = message.wait_store(waits(&mut random));
            let (round, producer) = (&round, &producer);
            async move { round.note(&[id], producer.send(message).await) }
        });
        futures_util::future::join_all(sending).await;
    }
}

/// Lists of up to twenty.
async fn send_batches(round: Arc<Round>, producer: Producer, mut random: Random) {
    while !round.is_over() {
        // The same for all of a list.
        let waits = waits(&mut random);
        let (ids, mut messages): (Vec<_>, Vec<_>) = (0..=random.below(20))
            .map(|_| round.message(&mut random, "crash-batch"))
            .map(|(id, message)| (id, message.wait_store(waits)))
            .unzip();
        // A list must stay below the size of one message.
        let sent = match messages.len() {
            1 => match messages.pop() {
                Some(message) => producer.send(message).await,
                None => continue,
            },
            _ => producer.send_batch(messages).await,
        };
        round.note(&ids, sent);
    }
}

/// Notes what it gets before it says so, and now and then wants a message again.
struct Consumer {
    round: Arc<Round>,
    group: &'static str,
}

impl Listener for Consumer {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        let mut ledger = self.round.ledger();
        for message in &messages {
            let key = (self.group.to_owned(), (message.topic().to_owned(), message.queue_id()));
            let after = message.queue_offset() + 1;
            let known = ledger.handed_out.entry(key).or_default();
            *known = (*known).max(after);
        }
        drop(ledger);
        self.round.consumed.fetch_add(messages.len() as u64, Ordering::Relaxed);
        Box::pin(std::future::ready(ConsumeResult::Success))
    }
}

/// Runs the load until the plan's moment, kills the broker, and ends the load.
pub(crate) fn run(broker: &Broker, plan: &Plan, ledger: &mut Ledger) -> Result<Done, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start threads: {e}"))?;
    let round = Arc::new(Round {
        ledger: Mutex::new(std::mem::take(ledger)),
        acknowledged: 0.into(),
        unanswered: 0.into(),
        consumed: 0.into(),
        over: false.into(),
        enough: tokio::sync::Notify::new(),
        wanted: plan.acknowledged,
    });
    let done = runtime.block_on(load(broker, plan, &round));
    // All tasks end with the runtime, and with them their handles.
    runtime.shutdown_timeout(Duration::from_secs(10));
    *ledger = std::mem::take(&mut *round.ledger());
    done
}

async fn load(broker: &Broker, plan: &Plan, round: &Arc<Round>) -> Result<Done, Problem> {
    let problem = |what: &str| {
        let what = what.to_owned();
        move |error: mq_client::Error| format!("{what}: {error}")
    };
    let mut config = ClientConfig::new(&broker.namesrv).map_err(problem("the client's settings"))?;
    config.set("persist_consumer_offset_interval", "50ms").map_err(problem("the client's settings"))?;
    let client = Client::new(config).map_err(problem("the client"))?;
    let mut config = ProducerConfig::new("crash-producers");
    config.set("send_timeout", "1s").map_err(problem("the producer's settings"))?;
    let producer = client.producer(config).map_err(problem("the producer"))?;
    let mut consumers = Vec::new();
    for group in GROUPS {
        let mut config = PushConsumerConfig::new(group);
        for topic in TOPICS.iter().chain(&["crash-batch"]) {
            config = config.subscribe(*topic, "*");
        }
        config.consume_from_where = ConsumeFrom::First;
        let listener = Arc::new(Consumer { round: Arc::clone(round), group });
        consumers.push(client.push_consumer(config, listener).await.map_err(problem("a consumer"))?);
    }
    let mut random = Random::new(plan.seed);
    let mut senders = Vec::new();
    // Waiting for the disk is shared, so that many at once are worth more than one.
    let singles = if plan.flush == Flush::Sync { 6 } else { 3 };
    for _ in 0..singles {
        let task = send_singly(Arc::clone(round), producer.clone(), Random::new(random.next()));
        senders.push(tokio::spawn(task));
    }
    senders.push(tokio::spawn(send_many(Arc::clone(round), producer.clone(), Random::new(random.next()))));
    senders.push(tokio::spawn(send_batches(Arc::clone(round), producer.clone(), Random::new(random.next()))));
    let waited = tokio::time::timeout(Duration::from_secs(60), round.enough.notified()).await;
    broker.kill()?;
    round.over.store(true, Ordering::Relaxed);
    if waited.is_err() {
        return Err(format!(
            "only {} messages were acknowledged in a minute",
            round.acknowledged.load(Ordering::Relaxed)
        ));
    }
    for sender in senders {
        sender.await.map_err(|e| format!("a producer: {e}"))?;
    }
    for consumer in consumers {
        consumer.close_within(Duration::from_secs(1)).await;
    }
    client.close().await;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Done {
        acknowledged: count(&round.acknowledged),
        unanswered: count(&round.unanswered),
        consumed: count(&round.consumed),
    })
}
