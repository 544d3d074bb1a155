//! Ordered consumers: one call a queue at a time, in order, through failures and handovers.

use crate::prelude::*;

/// Calls as they began and ended: queue, offset, whether it is the end.
#[derive(Default)]
struct Journal(Mutex<Vec<(i32, i64, bool)>>);

impl Journal {
    /// Offsets of the calls of each queue, in the order in which they began; fails if two overlap.
    fn offsets(&self) -> BTreeMap<i32, Vec<i64>> {
        let (mut offsets, mut open) = (BTreeMap::<i32, Vec<i64>>::new(), HashMap::new());
        for (queue, offset, is_end) in self.0.lock().unwrap().iter() {
            if *is_end {
                assert_eq!(open.remove(queue), Some(*offset), "queue {queue}");
            } else {
                assert_eq!(open.insert(*queue, *offset), None, "two calls for queue {queue}");
                offsets.entry(*queue).or_default().push(*offset);
            }
        }
        offsets
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|(_, _, is_end)| *is_end).count()
    }
}

/// A listener that writes the journal and takes a little while.
struct Clerk {
    journal: Arc<Journal>,
    pause: Duration,
    answer: Box<dyn Fn(&MessageView) -> ConsumeResult + Send + Sync>,
}

impl Listener for Clerk {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        Box::pin(async move {
            let message = &messages[0];
            let (queue, offset) = (message.queue_id(), message.queue_offset());
            self.journal.0.lock().unwrap().push((queue, offset, false));
            tokio::time::sleep(self.pause).await;
            self.journal.0.lock().unwrap().push((queue, offset, true));
            (self.answer)(message)
        })
    }
}

fn clerk(journal: &Arc<Journal>, answer: fn(&MessageView) -> ConsumeResult) -> Arc<Clerk> {
    let pause = Duration::from_millis(2);
    Arc::new(Clerk { journal: journal.clone(), pause, answer: Box::new(answer) })
}

fn orderly(group: &str, topic: &str) -> PushConsumerConfig {
    let mut config = first(group, topic);
    config.set("consume_mode", "orderly").unwrap();
    config.suspend_current_queue_time = Duration::from_millis(10);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_has_one_call_at_a_time_and_a_failed_message_comes_again_first() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(3).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sent = send_all(&producer, &topic, 90).await.len();
    let journal = Arc::new(Journal::default());
    // The tenth of each queue fails three times, in each way that there is.
    let listener = clerk(&journal, |message| match (message.queue_offset(), message.delivery_attempt()) {
        (10, 1) => ConsumeResult::Suspend { duration: Some(Duration::from_millis(1)) },
        (10, 2) => ConsumeResult::SUSPEND,
        (10, 3) => ConsumeResult::LATER,
        _ => ConsumeResult::Success,
    });
    let consumer = within(client.push_consumer(orderly(&group, &topic), listener)).await.unwrap();
    until("all are consumed", || journal.count() == sent + 9).await;
    let offsets = journal.offsets();
    assert_eq!(offsets.len(), 3);
    for offsets in offsets.values() {
        let count = offsets.len() as i64 - 3;
        let wanted: Vec<_> = (0..10).chain([10; 3]).chain(10..count).collect();
        assert_eq!(offsets, &wanted);
    }
    let info = within(client.admin().consumer_running_info(&group, client.client_id())).await.unwrap();
    assert_eq!(info.properties["PROP_CONSUMEORDERLY"], "true");
    assert!(info.mq_table.values().all(|queue| queue.locked && queue.last_lock_timestamp > 0), "{info:?}");
    within(consumer.close()).await;
    let progress = within(client.admin().consumer_progress(&group, Some(&topic))).await.unwrap();
    assert!(progress.offset_table.values().all(|o| o.broker_offset == o.consumer_offset), "{progress:?}");
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_kept_while_members_come_and_go() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(4).await;
    let sender = cluster.client();
    let producer = sender.producer(ProducerConfig::default()).unwrap();
    let journal = Arc::new(Journal::default());
    let clients = [cluster.client(), cluster.client(), cluster.client()];
    let mut consumers = Vec::new();
    let mut sent = 0;
    for client in &clients {
        sent += send_all(&producer, &topic, 200).await.len();
        let listener = clerk(&journal, |_| ConsumeResult::Success);
        consumers.push(within(client.push_consumer(orderly(&group, &topic), listener)).await.unwrap());
    }
    let own = |n: usize| consumers[n].queues().iter().filter(|queue| queue.topic == topic).count();
    until("all have a share", || own(0) == 2 && own(1) == 1 && own(2) == 1 || own(0) + own(1) + own(2) == 4)
        .await;
    sent += send_all(&producer, &topic, 200).await.len();
    within(consumers[0].close()).await;
    until("the two have it all", || own(1) + own(2) == 4).await;
    sent += send_all(&producer, &topic, 100).await.len();
    until("all are consumed", || journal.count() >= sent).await;
    let mut consumed = 0;
    for offsets in journal.offsets().values() {
        // Nothing twice: each owner commits before it unlocks.
        assert_eq!(offsets, &(0..offsets.len() as i64).collect::<Vec<_>>());
        consumed += offsets.len();
    }
    assert_eq!(consumed, sent);
    for client in &clients {
        within(client.close()).await;
    }
    within(sender.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_goes_on_elsewhere_only_when_its_call_has_ended() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let clients = [cluster.client(), cluster.client()];
    let producer = clients[0].producer(ProducerConfig::default()).unwrap();
    let sent = send_all(&producer, &topic, 8).await.len();
    let journal = Arc::new(Journal::default());
    let (release, held) = tokio::sync::watch::channel(false);
    let slow = {
        let journal = journal.clone();
        move |messages: Vec<MessageView>| {
            let (journal, mut held, message) = (journal.clone(), held.clone(), messages[0].clone());
            async move {
                let (queue, offset) = (message.queue_id(), message.queue_offset());
                journal.0.lock().unwrap().push((queue, offset, false));
                let _ = held.wait_for(|free| *free).await;
                journal.0.lock().unwrap().push((queue, offset, true));
                ConsumeResult::Success
            }
        }
    };
    let mut config = orderly(&group, &topic);
    // Even though the lease is short: the lock is renewed as long as the call runs.
    config.lock_interval = Duration::from_millis(20);
    config.lock_max_live_time = Duration::from_millis(200);
    config.rebalance_interval = Duration::from_millis(50);
    let one = within(clients[0].push_consumer(config.clone(), Arc::new(slow))).await.unwrap();
    until("both queues have a call", || journal.0.lock().unwrap().len() == 2).await;
    let other = clerk(&journal, |_| ConsumeResult::Success);
    let two = within(clients[1].push_consumer(config, other)).await.unwrap();
    until("one gives a queue up", || {
        journal.0.lock().unwrap().len() == 2 && two.queues().iter().all(|queue| queue.topic != topic)
    })
    .await;
    release.send(true).unwrap();
    until("all are consumed", || journal.count() == sent).await;
    until("each has one", || {
        [&one, &two].iter().all(|c| c.queues().iter().filter(|queue| queue.topic == topic).count() == 1)
    })
    .await;
    for offsets in journal.offsets().values() {
        assert_eq!(offsets, &[0, 1, 2, 3]);
    }
    for client in &clients {
        within(client.close()).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn what_fails_too_often_goes_to_the_dead_letters_and_the_queue_goes_on() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for body in ["a", "bad", "b", "worse", "c"] {
        within(producer.send(Message::new(&topic, body).tag("t"))).await.unwrap();
    }
    let inbox = Inbox::new(|message| match &message.body()[..] {
        b"bad" => ConsumeResult::SUSPEND,
        b"worse" => ConsumeResult::Later { delay_level: Some(-1) },
        _ => ConsumeResult::Success,
    });
    let mut config = orderly(&group, &topic);
    config.max_reconsume_times = 2;
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    until("the last one arrives", || inbox.bodies().last().is_some_and(|body| body == "c")).await;
    assert_eq!(inbox.bodies(), ["a", "bad", "bad", "bad", "b", "worse", "c"]);
    let dead = Inbox::good();
    let undertaker = first(&format!("{group}_dead"), &format!("%DLQ%{group}"));
    let undertaker = within(client.push_consumer(undertaker, dead.clone())).await.unwrap();
    until("the dead letters arrive", || dead.count() == 2).await;
    let bodies: HashSet<_> = dead.bodies().into_iter().collect();
    assert_eq!(bodies, ["bad".to_owned(), "worse".to_owned()].into());
    assert!(dead.seen.lock().unwrap().iter().all(|view| view.property("RETRY_TOPIC") == Some(&topic)));
    within(undertaker.close()).await;
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_outlives_a_broker_that_is_killed() {
    let mut cluster = Cluster::start().await;
    if !cluster.is_own() {
        return;
    }
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let journal = Arc::new(Journal::default());
    let listener = clerk(&journal, |_| ConsumeResult::Success);
    let mut config = orderly(&group, &topic);
    config.lock_interval = Duration::from_millis(50);
    config.lock_max_live_time = Duration::from_millis(200);
    let consumer = within(client.push_consumer(config, listener)).await.unwrap();
    let mut sent = send_all(&producer, &topic, 300).await.len();
    until("some are consumed", || journal.count() > 20).await;
    cluster.kill_and_restart().await;
    for _ in 0..20 {
        while let Err(error) = within(producer.send(Message::new(&topic, "more"))).await {
            assert!(error.retryable(), "{error}");
        }
        sent += 1;
    }
    // A send whose answer was lost may be stored although it is sent again.
    until("all are consumed", || journal.count() >= sent).await;
    within(consumer.close()).await;
    for offsets in journal.offsets().values() {
        let mut sorted = offsets.clone();
        sorted.sort_unstable();
        assert_eq!(offsets, &sorted, "what comes again comes before what follows");
    }
    within(client.close()).await;
    cluster.stop().await;
}
