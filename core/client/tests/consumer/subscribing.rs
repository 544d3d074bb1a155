//! Subscriptions that change while the consumer runs: topics come and go, expressions are replaced.

use mq_client::PushConsumer;
use tokio::sync::Semaphore;

use crate::prelude::*;

/// Queues of a topic that the consumer has.
fn queues_of(consumer: &PushConsumer, topic: &str) -> usize {
    consumer.queues().iter().filter(|queue| queue.topic == topic).count()
}

/// What the broker thinks that the group subscribes to, without its retry topic.
async fn known(client: &Client, group: &str) -> BTreeMap<String, String> {
    let table = within(client.admin().consumer_connections(group)).await.unwrap().subscription_table;
    let own = table.into_iter().filter(|(topic, _)| !topic.starts_with("%RETRY%"));
    own.map(|(topic, data)| (topic, data.sub_string)).collect()
}

async fn send(producer: &Producer, topic: &str, tag: &str, body: &str) {
    within(producer.send(Message::new(topic, body.to_owned()).tag(tag))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_come_and_go_and_a_group_goes_on_where_it_left() {
    let cluster = Cluster::start().await;
    let dir = tempfile::tempdir().unwrap();
    for mode in ["concurrent", "orderly", "broadcasting"] {
        let (one, group) = cluster.topic(2).await;
        let (two, _) = cluster.topic(3).await;
        let client = cluster.client();
        let producer = client.producer(ProducerConfig::default()).unwrap();
        let inbox = Inbox::good();
        let mut config = first(&group, &one);
        match mode {
            "orderly" => config.consume_mode = ConsumeMode::Orderly,
            "broadcasting" => {
                config.message_model = MessageModel::Broadcasting;
                config.offset_dir = dir.path().to_str().unwrap().to_owned();
            }
            _ => {}
        }
        let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
        send(&producer, &one, "t", "one 1").await;
        until("the first topic's arrives", || inbox.count() == 1).await;

        within(consumer.subscribe(&two, "t || u")).await.unwrap();
        assert_eq!((queues_of(&consumer, &one), queues_of(&consumer, &two)), (2, 3), "{mode}");
        let both = [(one.clone(), "*".to_owned()), (two.clone(), "t || u".to_owned())].into_iter().collect();
        assert_eq!(known(&client, &group).await, both, "{mode}");
        send(&producer, &two, "other", "unwanted").await;
        send(&producer, &two, "u", "two 1").await;
        until("the second topic's arrives", || inbox.count() == 2).await;

        within(consumer.unsubscribe(&one)).await.unwrap();
        assert_eq!((queues_of(&consumer, &one), queues_of(&consumer, &two)), (0, 3), "{mode}");
        assert_eq!(known(&client, &group).await.keys().collect::<Vec<_>>(), [&two], "{mode}");
        send(&producer, &one, "t", "one 2").await;
        send(&producer, &two, "t", "two 2").await;
        until("the second topic goes on", || inbox.count() == 3).await;

        // Nothing is left but the group itself.
        within(consumer.unsubscribe(&two)).await.unwrap();
        within(consumer.unsubscribe(&two)).await.unwrap();
        assert!(consumer.queues().iter().all(|queue| queue.topic.starts_with("%RETRY%")), "{mode}");
        assert_eq!(known(&client, &group).await, BTreeMap::new(), "{mode}");
        send(&producer, &two, "t", "two 3").await;

        for (topic, expression) in [(&one, "*"), (&two, "t || u")] {
            within(consumer.subscribe(topic, expression)).await.unwrap();
        }
        until("what was sent meanwhile arrives", || inbox.count() == 5).await;
        send(&producer, &one, "t", "one 3").await;
        until("it goes on", || inbox.count() == 6).await;
        let mut bodies = inbox.bodies();
        bodies.sort();
        assert_eq!(bodies, ["one 1", "one 2", "one 3", "two 1", "two 2", "two 3"], "{mode}");
        within(consumer.close()).await;
        within(client.close()).await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_expression_holds_at_once_for_what_waits_and_for_waiting_pulls() {
    let cluster = Cluster::start().await;
    for mode in [ConsumeMode::Concurrent, ConsumeMode::Orderly] {
        let (topic, group) = cluster.topic(1).await;
        let client = cluster.client();
        let producer = client.producer(ProducerConfig::default()).unwrap();
        let gate = Arc::new(Semaphore::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let listener = {
            let (gate, seen) = (gate.clone(), seen.clone());
            move |messages: Vec<MessageView>| {
                seen.lock().unwrap().push(String::from_utf8(messages[0].body().to_vec()).unwrap());
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    ConsumeResult::Success
                }
            }
        };
        let mut config = PushConsumerConfig::new(&group).subscribe(&topic, "a || both");
        config.consume_from_where = ConsumeFrom::First;
        config.consume_mode = mode;
        (config.consume_thread_min, config.consume_thread_max) = (1, 1);
        // A pull that waits under the old expression is of no use for the time of this test.
        config.broker_suspend_max_time = Duration::from_secs(300);
        config.consumer_timeout_when_suspend = Duration::from_secs(400);
        let consumer = within(client.push_consumer(config, Arc::new(listener))).await.unwrap();
        for (tag, body) in [("a", "a1"), ("a", "a2"), ("both", "both"), ("b", "passed over"), ("a", "a3")] {
            send(&producer, &topic, tag, body).await;
        }
        let held = async || -> i32 {
            let id = client.client_id();
            let info = within(client.admin().consumer_running_info(&group, id)).await.unwrap();
            info.mq_table
                .iter()
                .filter(|(queue, _)| queue.topic == topic)
                .map(|(_, q)| q.cached_msg_count)
                .sum()
        };
        until_async("all are fetched", async || held().await == 4).await;
        assert_eq!(*seen.lock().unwrap(), ["a1"]);

        within(consumer.subscribe(&topic, "b || both")).await.unwrap();
        assert_eq!(known(&client, &group).await[&topic], "b || both");
        assert_eq!(held().await, 2, "what runs, and what both want");
        gate.add_permits(100);
        send(&producer, &topic, "a", "a4").await;
        send(&producer, &topic, "b", "b1").await;
        until("the new expression's arrives", || seen.lock().unwrap().len() >= 3).await;
        assert_eq!(*seen.lock().unwrap(), ["a1", "both", "b1"], "{mode:?}");
        within(consumer.close()).await;
        let progress = within(client.admin().consumer_progress(&group, Some(&topic))).await.unwrap();
        assert!(progress.offset_table.values().all(|o| o.broker_offset == o.consumer_offset), "{progress:?}");
        within(client.close()).await;
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_run_when_a_topic_is_left_count_as_always() {
    let cluster = quick_retries().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let inbox = Inbox::new(|message| match (&message.body()[..], message.delivery_attempt()) {
        (b"bad", 1) => ConsumeResult::Later { delay_level: Some(1) },
        _ => ConsumeResult::Success,
    });
    let listener = {
        let (gate, inbox) = (gate.clone(), inbox.clone());
        move |messages: Vec<MessageView>| {
            let (gate, result) = (gate.clone(), inbox.consume(messages));
            let result = futures_util::FutureExt::now_or_never(result).unwrap();
            async move {
                gate.acquire().await.unwrap().forget();
                result
            }
        }
    };
    let consumer = within(client.push_consumer(first(&group, &topic), Arc::new(listener))).await.unwrap();
    for body in ["good", "bad"] {
        send(&producer, &topic, "t", body).await;
    }
    until("both calls run", || inbox.count() == 2).await;
    // It does not wait for the listener.
    within(consumer.unsubscribe(&topic)).await.unwrap();
    send(&producer, &topic, "t", "later").await;
    gate.add_permits(100);
    until("what failed comes again", || inbox.count() == 3).await;
    until("its queue is given up", || queues_of(&consumer, &topic) == 0).await;
    within(consumer.subscribe(&topic, "*")).await.unwrap();
    until("the rest comes", || inbox.count() == 4).await;
    let mut bodies = inbox.bodies();
    bodies.sort();
    assert_eq!(bodies, ["bad", "bad", "good", "later"]);
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_a_topic_that_both_add_and_one_leaves() {
    let cluster = Cluster::start().await;
    let (one, group) = cluster.topic(2).await;
    let (two, _) = cluster.topic(4).await;
    let mut config = first(&group, &one);
    config.consume_mode = ConsumeMode::Orderly;
    config.rebalance_interval = Duration::from_millis(100);
    config.pull_delay_when_failed = Duration::from_millis(50);
    let (clients, inbox) = ([cluster.client(), cluster.client()], Inbox::good());
    let mut members = Vec::new();
    for client in &clients {
        members.push(within(client.push_consumer(config.clone(), inbox.clone())).await.unwrap());
    }
    for member in &members {
        within(member.subscribe(&two, "*")).await.unwrap();
    }
    let shares = |topic: &str| -> Vec<usize> { members.iter().map(|m| queues_of(m, topic)).collect() };
    until("both have a share", || shares(&one) == [1, 1] && shares(&two) == [2, 2]).await;
    let producer = clients[0].producer(ProducerConfig::default()).unwrap();
    let sent = send_all(&producer, &two, 40).await;
    until("all arrive", || inbox.count() == sent.len()).await;
    // The locks are given up with the queues: the other one has all when it is alone.
    for topic in [&one, &two] {
        within(members[0].unsubscribe(topic)).await.unwrap();
    }
    within(members[0].close()).await;
    until("the other one has all", || shares(&one) == [0, 2] && shares(&two) == [0, 4]).await;
    for client in clients {
        within(client.close()).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_said_and_changes_nothing() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let consumer = within(client.push_consumer(first(&group, &topic), Inbox::good())).await.unwrap();
    let retry = format!("%RETRY%{group}");
    for (topic, expression, said) in [
        ("", "*", "topic"),
        ("a b", "*", "'a b'"),
        (topic.as_str(), " || ", "not acceptable"),
        (retry.as_str(), "*", "retry topic of the group itself"),
    ] {
        let error = within(consumer.subscribe(topic, expression)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Argument, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let error = within(consumer.unsubscribe(&retry)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument, "{error}");
    within(consumer.unsubscribe("never-subscribed")).await.unwrap();
    assert_eq!(
        known(&client, &group).await.into_iter().collect::<Vec<_>>(),
        [(topic.clone(), "*".to_owned())]
    );
    // A topic that is made later.
    let later = format!("{topic}_later");
    within(consumer.subscribe(&later, "*")).await.unwrap();
    assert_eq!(queues_of(&consumer, &later), 0);
    within(client.admin().create_topic(&later, 1, &Target::All)).await.unwrap();
    until("its queue is taken", || queues_of(&consumer, &later) == 1).await;
    within(consumer.close()).await;
    for result in [within(consumer.subscribe(&topic, "*")).await, within(consumer.unsubscribe(&topic)).await]
    {
        assert_eq!(result.unwrap_err().code(), ErrorCode::Closed);
    }
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_namespace_holds_for_topics_that_are_added() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let mut settings = ClientConfig::new(&cluster.namesrv).unwrap();
    settings.namespace = "ns".to_owned();
    let client = Client::new(settings).unwrap();
    let (one, two) = (format!("{topic}_one"), format!("{topic}_two"));
    for name in [&one, &two] {
        within(client.admin().create_topic(name, 1, &Target::All)).await.unwrap();
    }
    let inbox = Inbox::good();
    let consumer = within(client.push_consumer(first(&group, &one), inbox.clone())).await.unwrap();
    within(consumer.subscribe(&two, "*")).await.unwrap();
    within(consumer.unsubscribe(&one)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    send(&producer, &two, "t", "x").await;
    until("it arrives", || inbox.count() == 1).await;
    let seen = inbox.seen.lock().unwrap()[0].topic().to_owned();
    assert_eq!(seen, two);
    let error = within(consumer.unsubscribe(&format!("%RETRY%{group}"))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument, "{error}");
    within(client.close()).await;
    cluster.stop().await;
}
