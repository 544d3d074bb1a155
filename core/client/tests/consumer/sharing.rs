//! Several members, and a broker that goes away: who gets what, and that nothing is lost.

use crate::prelude::*;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_strategy_divides_all_queues() {
    let cluster = Cluster::start().await;
    let clients = [cluster.client(), cluster.client()];
    for strategy in ["AVG", "averagely_by_circle", "MACHINE_ROOM_NEARBY", "CONSISTENT_HASH", "CONFIG"] {
        let (topic, group) = cluster.topic(8).await;
        let broker =
            within(clients[0].admin().route(&topic)).await.unwrap().broker_datas[0].broker_name.clone();
        let mut consumers = Vec::new();
        for (client, named) in clients.iter().zip(["0-4", "5-7"]) {
            let mut config = first(&group, &topic);
            config.set("allocate_strategy", strategy).unwrap();
            config.set("allocate_queues", &format!("{topic}:{broker}:{named}")).unwrap();
            consumers.push(within(client.push_consumer(config, Inbox::good())).await.unwrap());
        }
        let shares = || {
            let of_topic = |queues: Vec<MessageQueue>| queues.into_iter().filter(|q| q.topic == topic);
            consumers
                .iter()
                .map(|c| of_topic(c.queues()).map(|q| q.queue_id).collect())
                .collect::<Vec<Vec<_>>>()
        };
        let whole: Vec<i32> = (0..8).collect();
        until("each queue has one owner", || {
            let mut all = shares().concat();
            all.sort_unstable();
            all == whole
        })
        .await;
        match strategy {
            "CONFIG" => assert_eq!(shares(), [(0..5).collect::<Vec<_>>(), (5..8).collect()]),
            "CONSISTENT_HASH" => {}
            _ => assert!(shares().iter().all(|share| share.len() == 4)),
        }
        for consumer in &consumers {
            within(consumer.close()).await;
        }
    }
    for client in &clients {
        within(client.close()).await;
    }
    cluster.stop().await;
}
