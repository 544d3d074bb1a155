//! Administration of what the consumers of these tests use.

use crate::prelude::*;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_brings_messages_again_each_time() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(4).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    within(producer.send(Message::new(&topic, "x"))).await.unwrap();
    for mode in [ConsumeMode::Concurrent, ConsumeMode::Orderly] {
        let (group, inbox) = (format!("{group}{mode:?}"), Inbox::good());
        let mut config = first(&group, &topic);
        config.consume_mode = mode;
        let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
        for round in 1..6 {
            until("it comes again", || inbox.count() >= round).await;
            within(client.admin().reset_offset(&group, &topic, 0, true)).await.unwrap();
        }
        within(consumer.close()).await;
    }
    within(client.close()).await;
    cluster.stop().await;
}
