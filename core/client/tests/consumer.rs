//! The push consumer against a broker: delivery, retries, sharing, starting points, trouble.
#![allow(clippy::unwrap_used, missing_docs)]

mod cluster;
mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::Cluster;
use futures_util::future::{BoxFuture, join_all};
use mq_client::{
    Client, ClientConfig, CompressType, ConsumeFrom, ConsumeResult, ErrorCode, Listener, Message,
    MessageView, Producer, ProducerConfig, PushConsumerConfig, Target,
};
use support::{until, until_async, within};

/// Keeps what arrives and answers as told.
struct Inbox {
    seen: Mutex<Vec<MessageView>>,
    answer: Box<dyn Fn(&MessageView) -> ConsumeResult + Send + Sync>,
}

impl Inbox {
    fn new(answer: impl Fn(&MessageView) -> ConsumeResult + Send + Sync + 'static) -> Arc<Inbox> {
        Arc::new(Inbox { seen: Mutex::default(), answer: Box::new(answer) })
    }

    fn good() -> Arc<Inbox> {
        Inbox::new(|_| ConsumeResult::Success)
    }

    fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn bodies(&self) -> Vec<String> {
        let text = |m: &MessageView| String::from_utf8(m.body().to_vec()).unwrap();
        self.seen.lock().unwrap().iter().map(text).collect()
    }
}

impl Listener for Inbox {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        let results: Vec<_> = messages.iter().map(|message| (self.answer)(message)).collect();
        self.seen.lock().unwrap().extend(messages);
        Box::pin(async move {
            results
                .into_iter()
                .find(|result| *result != ConsumeResult::Success)
                .unwrap_or(ConsumeResult::Success)
        })
    }
}

async fn send_all(producer: &Producer, topic: &str, count: usize) -> HashSet<String> {
    let bodies: Vec<String> = (0..count).map(|n| format!("m{n}")).collect();
    let sends = bodies.iter().map(|body| producer.send(Message::new(topic, body.clone())));
    for receipt in within(join_all(sends)).await {
        receipt.unwrap();
    }
    bodies.into_iter().collect()
}

/// A broker that delivers again after a second, whatever the number of attempts.
async fn quick_retries() -> Cluster {
    Cluster::start_with(|config| config.set("messageDelayLevel", "1s 1s 1s 1s 1s").unwrap()).await
}

fn first(group: &str, topic: &str) -> PushConsumerConfig {
    let mut config = PushConsumerConfig::new(group).subscribe(topic, "*");
    config.consume_from_where = ConsumeFrom::First;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_whole_and_offsets_are_committed_at_close() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(4).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let receipt = within(producer.send(
        Message::new(&topic, "first").tag("t").key("k1").key("k2").property("p", "é").message_group("g"),
    ))
    .await
    .unwrap();
    let mut sent = send_all(&producer, &topic, 500).await;
    sent.insert("first".to_owned());

    let inbox = Inbox::good();
    let consumer = within(client.push_consumer(first(&group, &topic), inbox.clone())).await.unwrap();
    assert_eq!(consumer.queues().iter().filter(|queue| queue.topic == topic).count(), 4);
    until("all arrive", || inbox.count() == sent.len()).await;
    assert_eq!(inbox.bodies().into_iter().collect::<HashSet<_>>(), sent);
    {
        let seen = inbox.seen.lock().unwrap();
        let view = seen.iter().find(|view| view.body() == "first").unwrap();
        assert_eq!((view.topic(), view.tag(), view.property("p")), (topic.as_str(), Some("t"), Some("é")));
        assert_eq!(view.keys().collect::<Vec<_>>(), ["k1", "k2"]);
        assert_eq!(view.message_id(), receipt.message_id);
        assert_eq!(view.offset_message_id(), receipt.offset_message_id);
        assert_eq!((view.queue_id(), view.queue_offset()), (receipt.queue_id, receipt.queue_offset));
        assert_eq!((view.delivery_attempt(), view.message_group()), (1, Some("g")));
        assert_eq!(view.broker_name(), &*receipt.broker_name);
        assert!(view.born_timestamp() > 1_700_000_000_000 && view.store_timestamp() > 1_700_000_000_000);
    }
    within(consumer.close()).await;
    let progress = within(client.admin().consumer_progress(&group, Some(&topic))).await.unwrap();
    assert_eq!(progress.offset_table.len(), 4);
    assert!(progress.offset_table.values().all(|o| o.broker_offset == o.consumer_offset), "{progress:?}");
    // The next member goes on where the first ended.
    let again = Inbox::good();
    let consumer = within(client.push_consumer(first(&group, &topic), again.clone())).await.unwrap();
    within(producer.send(Message::new(&topic, "last"))).await.unwrap();
    until("the new one arrives", || again.count() > 0).await;
    assert_eq!(again.bodies(), ["last"]);
    within(consumer.close()).await;
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn last_begins_at_the_end_of_an_old_topic_and_nothing_sent_after_the_start_is_missed() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    send_all(&producer, &topic, 10).await;
    let inbox = Inbox::good();
    let config = PushConsumerConfig::new(&group).subscribe(&topic, "*");
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    let mut bodies = HashSet::new();
    for n in 0..4 {
        bodies.insert(format!("new{n}"));
        within(producer.send(Message::new(&topic, format!("new{n}")))).await.unwrap();
    }
    until("the new ones arrive", || {
        inbox.bodies().iter().filter(|body| body.starts_with("new")).count() == 4
    })
    .await;
    // A broker lets a new group begin at 0 of a queue whose messages are all in memory still, whatever the
    // client wishes; so the ten may come as well, but no others.
    let extra: Vec<_> = inbox.bodies().into_iter().filter(|body| !bodies.contains(body)).collect();
    assert!(extra.is_empty() || extra.len() == 10, "{extra:?}");
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn only_wanted_tags_arrive_and_a_shared_hash_deceives_nobody() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for tag in ["Aa", "BB", "c", "Aa", "d"] {
        within(producer.send(Message::new(&topic, tag).tag(tag))).await.unwrap();
    }
    within(producer.send(Message::new(&topic, "none"))).await.unwrap();
    let inbox = Inbox::good();
    let mut config = PushConsumerConfig::new(&group).subscribe(&topic, "Aa || c");
    config.consume_from_where = ConsumeFrom::First;
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    until("three arrive", || inbox.count() >= 3).await;
    within(producer.send(Message::new(&topic, "BB").tag("BB"))).await.unwrap();
    within(producer.send(Message::new(&topic, "end").tag("c"))).await.unwrap();
    until("the last arrives", || inbox.bodies().contains(&"end".to_owned())).await;
    let mut bodies = inbox.bodies();
    bodies.sort();
    assert_eq!(bodies, ["Aa", "Aa", "c", "end"]);
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_group_share_its_queues_and_lose_nothing() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(6).await;
    let sender = cluster.client();
    let producer = sender.producer(ProducerConfig::default()).unwrap();
    let inboxes = [Inbox::good(), Inbox::good(), Inbox::good()];
    let clients = [cluster.client(), cluster.client(), cluster.client()];
    let mut consumers = Vec::new();
    let mut sent = send_all(&producer, &topic, 50).await;
    for (client, inbox) in clients.iter().zip(&inboxes) {
        consumers.push(within(client.push_consumer(first(&group, &topic), inbox.clone())).await.unwrap());
        for n in 0..50 {
            let body = format!("r{}-{n}", consumers.len());
            within(producer.send(Message::new(&topic, body.clone()))).await.unwrap();
            sent.insert(body);
        }
    }
    let share = |n: usize| consumers[n].queues().iter().filter(|queue| queue.topic == topic).count();
    until("each has a third", || (0..3).all(|n| share(n) == 2)).await;
    let before: Vec<_> = inboxes.iter().map(|inbox| inbox.count()).collect();
    for n in 0..60 {
        let body = format!("shared{n}");
        within(producer.send(Message::new(&topic, body.clone()))).await.unwrap();
        sent.insert(body);
    }
    let all = || inboxes.iter().flat_map(|inbox| inbox.bodies()).collect::<HashSet<_>>();
    until("all arrive", || all() == sent).await;
    for (inbox, before) in inboxes.iter().zip(before) {
        assert!(inbox.count() > before, "each member gets some");
    }
    // With the queues at rest nothing comes twice.
    let shared = inboxes.iter().flat_map(|inbox| inbox.bodies()).filter(|body| body.starts_with("shared"));
    assert_eq!(shared.count(), 60);
    // One leaves, its queues go to the others.
    within(consumers[0].close()).await;
    within(clients[0].close()).await;
    until("the two have it all", || share(1) + share(2) == 6).await;
    let rest = send_all(&producer, &topic, 50).await;
    sent.extend(rest);
    until("all arrive", || all().is_superset(&sent)).await;
    for client in &clients {
        within(client.close()).await;
    }
    within(sender.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_refused_message_comes_again_and_ends_among_the_dead_letters() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let inbox = Inbox::new(|message| match &message.body()[..] {
        b"once" if message.reconsume_times() == 0 => ConsumeResult::Later { delay_level: Some(1) },
        b"never" => ConsumeResult::Later { delay_level: Some(1) },
        _ => ConsumeResult::Success,
    });
    let mut config = first(&group, &topic);
    config.max_reconsume_times = 1;
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    let dead = Inbox::good();
    let other = format!("{group}_dead");
    let dead_config = first(&other, &format!("%DLQ%{group}"));
    let undertaker = within(client.push_consumer(dead_config, dead.clone())).await.unwrap();
    for body in ["good", "once", "never"] {
        within(producer.send(Message::new(&topic, body).tag("t").key("k"))).await.unwrap();
    }
    until("the dead letter arrives", || dead.count() == 1).await;
    until("the retry arrives", || inbox.count() == 5).await;
    let attempts: BTreeMap<String, Vec<i32>> = {
        let mut attempts = BTreeMap::<String, Vec<i32>>::new();
        for view in inbox.seen.lock().unwrap().iter() {
            assert_eq!((view.topic(), view.tag()), (topic.as_str(), Some("t")));
            let body = String::from_utf8(view.body().to_vec()).unwrap();
            attempts.entry(body).or_default().push(view.delivery_attempt());
        }
        attempts
    };
    assert_eq!(attempts["good"], [1]);
    assert_eq!(attempts["once"], [1, 2]);
    assert_eq!(attempts["never"], [1, 2]);
    assert_eq!(dead.bodies(), ["never"]);
    within(undertaker.close()).await;
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn listeners_that_panic_or_never_return_hold_up_nobody() {
    let cluster = quick_retries().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let done = Arc::new(Mutex::new(HashMap::<String, i32>::new()));
    let kept = done.clone();
    let listener = move |messages: Vec<MessageView>| {
        let kept = kept.clone();
        let message = messages[0].clone();
        let body = String::from_utf8(message.body().to_vec()).unwrap();
        let attempt = message.delivery_attempt();
        assert!(body != "panics before its future" || attempt > 1, "as scripted");
        async move {
            assert!(body != "panics" || attempt > 1, "as scripted");
            if body == "hangs" && attempt == 1 {
                std::future::pending::<()>().await;
            }
            kept.lock().unwrap().insert(body, attempt);
            ConsumeResult::Success
        }
    };
    let mut config = first(&group, &topic);
    config.consume_timeout = Duration::from_millis(100);
    config.consume_thread_min = 1;
    config.consume_thread_max = 1;
    let consumer = within(client.push_consumer(config, Arc::new(listener))).await.unwrap();
    for body in ["panics", "panics before its future", "hangs", "good"] {
        within(producer.send(Message::new(&topic, body))).await.unwrap();
    }
    until("the good one arrives", || done.lock().unwrap().contains_key("good")).await;
    until("all have come again", || done.lock().unwrap().len() == 4).await;
    assert_eq!(done.lock().unwrap()["hangs"], 2);
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn closing_while_busy_waits_for_the_listener_but_not_for_ever() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let (release, held) = tokio::sync::watch::channel(false);
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = {
        let (begun, ended) = (begun.clone(), ended.clone());
        move |_: Vec<MessageView>| {
            let (begun, ended, mut held) = (begun.clone(), ended.clone(), held.clone());
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ = held.wait_for(|free| *free).await;
                ended.fetch_add(1, Ordering::SeqCst);
                ConsumeResult::Success
            }
        }
    };
    let listener = Arc::new(listener);
    let consumer = within(client.push_consumer(first(&group, &topic), listener.clone())).await.unwrap();
    within(producer.send(Message::new(&topic, "x"))).await.unwrap();
    until("the listener is busy", || begun.load(Ordering::SeqCst) == 1).await;
    let closing = tokio::spawn({
        let consumer = consumer.clone();
        async move { consumer.close().await }
    });
    release.send(true).unwrap();
    within(closing).await.unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    let progress = within(client.admin().consumer_progress(&group, Some(&topic))).await.unwrap();
    assert!(progress.offset_table.values().all(|o| o.consumer_offset == 1), "{progress:?}");

    // The second time nobody releases it: closing ends all the same, and the message stays uncommitted.
    release.send(false).unwrap();
    let mut config = first(&group, &topic);
    config.close_timeout = Duration::from_millis(50);
    let consumer = within(client.push_consumer(config, listener)).await.unwrap();
    within(producer.send(Message::new(&topic, "y"))).await.unwrap();
    until("the listener is busy", || begun.load(Ordering::SeqCst) == 2).await;
    within(consumer.close()).await;
    let progress = within(client.admin().consumer_progress(&group, Some(&topic))).await.unwrap();
    assert!(progress.offset_table.values().all(|o| o.consumer_offset == 1), "{progress:?}");
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn large_lists_and_compressed_bodies_come_as_they_were() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let mut bodies = HashSet::new();
    for (kind, letter) in [(CompressType::Zlib, 'z'), (CompressType::Lz4, 'l'), (CompressType::Zstd, 's')] {
        let config = ProducerConfig { compress_type: kind, ..ProducerConfig::default() };
        let producer = client.producer(config).unwrap();
        let body = letter.to_string().repeat(100_000);
        within(producer.send(Message::new(&topic, body.clone()))).await.unwrap();
        bodies.insert(body);
    }
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let list: Vec<_> = (0..100).map(|n| Message::new(&topic, format!("b{n}")).tag("t")).collect();
    bodies.extend((0..100).map(|n| format!("b{n}")));
    let receipt = within(producer.send_batch(list)).await.unwrap();
    within(producer.send_oneway(Message::new(&topic, "oneway"))).await.unwrap();
    bodies.insert("oneway".to_owned());
    let inbox = Inbox::good();
    let mut config = first(&group, &topic);
    config.consume_message_batch_max_size = 16;
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    until("all arrive", || inbox.count() == bodies.len()).await;
    assert_eq!(inbox.bodies().into_iter().collect::<HashSet<_>>(), bodies);
    let ids: HashSet<String> =
        inbox.seen.lock().unwrap().iter().map(|view| view.message_id().into_owned()).collect();
    assert!(receipt.message_id.split(',').all(|id| ids.contains(id)));
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn suspended_consumers_pull_nothing_and_small_caches_still_let_all_through() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let inbox = Inbox::good();
    let mut config = first(&group, &topic);
    config.pull_threshold_for_queue = 3;
    config.pull_batch_size = 2;
    config.consume_concurrently_max_span = 2;
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    let sent = send_all(&producer, &topic, 200).await;
    until("all arrive", || inbox.count() == sent.len()).await;
    consumer.suspend();
    assert!(consumer.is_suspended());
    consumer.resume();
    within(producer.send(Message::new(&topic, "more"))).await.unwrap();
    until("it goes on", || inbox.bodies().contains(&"more".to_owned())).await;
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_namespace_is_added_on_the_way_out_and_removed_on_the_way_in() {
    let cluster = quick_retries().await;
    let (name, group) = cluster.topic(1).await;
    let topic = format!("{name}_inside");
    let mut settings = ClientConfig::new(&cluster.namesrv).unwrap();
    settings.namespace = "ns".to_owned();
    let client = Client::new(settings).unwrap();
    within(client.admin().create_topic(&topic, 1, &Target::All)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let inbox = Inbox::new(|message| match message.delivery_attempt() {
        1 => ConsumeResult::LATER,
        _ => ConsumeResult::Success,
    });
    let consumer = within(client.push_consumer(first(&group, &topic), inbox.clone())).await.unwrap();
    let receipt = within(producer.send(Message::new(&topic, "x"))).await.unwrap();
    assert_eq!(receipt.topic, topic);
    until("it comes twice", || inbox.count() == 2).await;
    assert!(inbox.seen.lock().unwrap().iter().all(|view| view.topic() == topic));
    within(consumer.close()).await;
    let outside = cluster.client();
    let topics = within(outside.admin().topics(None)).await.unwrap();
    assert!(topics.contains(&format!("ns%{topic}")) && !topics.contains(&topic), "{topics:?}");
    assert!(topics.contains(&format!("%RETRY%ns%{group}")), "{topics:?}");
    within(outside.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_group_begins_at_the_time_it_wants() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    within(producer.send(Message::new(&topic, "old"))).await.unwrap();
    let queue = within(producer.queues(&topic)).await.unwrap().remove(0);
    let admin = client.admin();
    assert_eq!(within(admin.min_offset(&queue)).await.unwrap(), 0);
    assert_eq!(within(admin.max_offset(&queue)).await.unwrap(), 1);
    assert_eq!(within(admin.offset_by_time(&queue, 0)).await.unwrap(), 0);
    let inbox = Inbox::good();
    let mut config = PushConsumerConfig::new(&group).subscribe(&topic, "*");
    config.set("consume_from_where", "CONSUME_FROM_TIMESTAMP").unwrap();
    config.set("consumeTimestamp", "20200131235900").unwrap();
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    until("it arrives", || inbox.count() == 1).await;
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_broker_is_killed_in_the_middle() {
    let mut cluster = Cluster::start().await;
    if !cluster.is_own() {
        return;
    }
    let (topic, group) = cluster.topic(4).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let inbox = Inbox::good();
    let consumer = within(client.push_consumer(first(&group, &topic), inbox.clone())).await.unwrap();
    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    let sending = {
        let (producer, topic, acknowledged) = (producer.clone(), topic.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for n in 0..2000 {
                let body = format!("m{n}");
                // While the broker is away a send fails after its attempts; the application tries again.
                while let Err(error) = producer.send(Message::new(&topic, body.clone())).await {
                    assert!(error.retryable(), "{error}");
                }
                acknowledged.lock().unwrap().insert(body);
            }
        })
    };
    until("some are sent", || acknowledged.lock().unwrap().len() > 300).await;
    cluster.kill_and_restart().await;
    within(sending).await.unwrap();
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert_eq!(acknowledged.len(), 2000);
    until("all arrive", || inbox.bodies().into_iter().collect::<HashSet<_>>().is_superset(&acknowledged))
        .await;
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn mistakes_at_the_start_are_told() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let start = async |config: PushConsumerConfig| {
        within(client.push_consumer(config, Inbox::good())).await.map_err(|error| error.code())
    };
    let none = start(PushConsumerConfig::new(&group)).await;
    assert_eq!(none.unwrap_err(), ErrorCode::Config);
    let filter = start(PushConsumerConfig::new(&group).subscribe(&topic, "||")).await;
    assert_eq!(filter.unwrap_err(), ErrorCode::Argument);
    let name = start(PushConsumerConfig::new("a b").subscribe(&topic, "*")).await;
    assert_eq!(name.unwrap_err(), ErrorCode::Argument);
    let good = start(first(&group, &topic)).await.unwrap();
    let twice = start(first(&group, &topic)).await;
    assert_eq!(twice.unwrap_err(), ErrorCode::State);
    within(good.close()).await;
    within(client.close()).await;
    let late = start(first(&group, &topic)).await;
    assert_eq!(late.unwrap_err(), ErrorCode::Closed);

    let nowhere = ClientConfig::new("127.0.0.1:1").unwrap();
    let nowhere =
        Client::new(ClientConfig { request_timeout: Duration::from_millis(200), ..nowhere }).unwrap();
    let error = within(nowhere.push_consumer(first(&group, &topic), Inbox::good())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Network);
    within(nowhere.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn admin_sees_topics_messages_and_groups() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(3).await;
    let client = cluster.client();
    let admin = client.admin();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let receipt = within(producer.send(Message::new(&topic, "find me").key("needle"))).await.unwrap();

    assert!(within(admin.topics(None)).await.unwrap().contains(&topic));
    let route = within(admin.route(&topic)).await.unwrap();
    assert_eq!(route.queue_datas[0].write_queue_nums, 3);
    let status = within(admin.topic_status(&topic)).await.unwrap();
    assert_eq!(status.offset_table.values().map(|o| o.max_offset).sum::<i64>(), 1);
    let info = within(admin.cluster()).await.unwrap();
    let address = info.broker_addr_table.values().next().unwrap().broker_addrs[&0].clone();
    let runtime = within(admin.broker_status(&address)).await.unwrap();
    assert!(runtime.contains_key("brokerVersionDesc"), "{runtime:?}");

    let view = within(admin.query_by_id(&receipt.offset_message_id)).await.unwrap();
    assert_eq!(view.body(), "find me");
    assert_eq!(view.message_id(), receipt.message_id);
    until_async("the index has the key", async || {
        within(admin.query_by_key(&topic, "needle", 10, 0, i64::MAX)).await.unwrap().len() == 1
    })
    .await;
    assert!(within(admin.query_by_key(&topic, "hay", 10, 0, i64::MAX)).await.unwrap().is_empty());
    let found = within(admin.query_by_unique_id(&topic, &receipt.message_id)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(within(admin.query_by_id("nonsense")).await.unwrap_err().code(), ErrorCode::Argument);

    let inbox = Inbox::good();
    let consumer = within(client.push_consumer(first(&group, &topic), inbox.clone())).await.unwrap();
    until("it arrives", || inbox.count() == 1).await;
    until_async("the retry topic is known", async || {
        within(admin.consumer_connections(&group)).await.is_ok()
    })
    .await;
    let members = within(admin.consumer_connections(&group)).await.unwrap();
    assert_eq!(members.connection_set.len(), 1);
    assert!(members.subscription_table.contains_key(&topic));
    let state = within(admin.consumer_running_info(&group, client.client_id())).await.unwrap();
    assert_eq!(state.properties["PROP_CONSUME_TYPE"], "CONSUME_PASSIVELY");
    assert_eq!(state.mq_table.keys().filter(|queue| queue.topic == topic).count(), 3);
    assert!(within(admin.groups_of_topic(&topic)).await.unwrap().contains(&group));

    // Back to the beginning: the message comes once more.
    match within(admin.reset_offset(&group, &topic, 0, true)).await {
        Ok(offsets) => {
            assert_eq!(offsets.len(), 3);
            until("it comes again", || inbox.count() == 2).await;
        }
        Err(error) => assert!(cluster.is_own() && error.code() == ErrorCode::Unsupported, "{error}"),
    }
    within(consumer.close()).await;

    within(admin.delete_topic(&topic, &Target::All)).await.unwrap();
    assert_eq!(within(admin.route(&topic)).await.unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(within(admin.topic_status("no_such")).await.unwrap_err().code(), ErrorCode::NotFound);
    within(client.close()).await;
    cluster.stop().await;
}
