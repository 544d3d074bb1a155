//! What arrives, and how: bodies, tags, namespaces, starting points, failures.

use crate::prelude::*;

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
