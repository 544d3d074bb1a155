//! The pull consumer against a broker: subscribing and assigning, polling, seeking, committing.
#![allow(clippy::unwrap_used, missing_docs)]

mod cluster;
mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::Cluster;
use futures_util::future::join_all;
use mq_client::{
    Client, ConsumeFrom, ErrorCode, Message, MessageQueue, MessageView, Producer, ProducerConfig,
    PullConsumer, PullConsumerConfig, QueueChange, Target,
};
use support::{until, until_async, within};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(10);

fn first(group: &str) -> PullConsumerConfig {
    PullConsumerConfig { consume_from_where: ConsumeFrom::First, ..PullConsumerConfig::new(group) }
}

fn by_hand(group: &str) -> PullConsumerConfig {
    PullConsumerConfig { auto_commit: false, ..first(group) }
}

/// Sends messages to each queue of the topic, `tag` on all of them.
async fn fill(producer: &Producer, topic: &str, per_queue: usize, tag: &str) -> BTreeSet<String> {
    let mut bodies = BTreeSet::new();
    for queue in within(producer.queues(topic)).await.unwrap() {
        for n in 0..per_queue {
            let body = format!("{tag}-{}-{n}", queue.queue_id);
            let message = Message::new(topic, body.clone()).tag(tag);
            within(producer.send_to_queue(message, &queue)).await.unwrap();
            bodies.insert(body);
        }
    }
    bodies
}

fn body(message: &MessageView) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

/// Polls until `count` messages came.
async fn poll(consumer: &PullConsumer, count: usize) -> Vec<MessageView> {
    let mut all = Vec::new();
    let polling = async {
        while all.len() < count {
            all.extend(consumer.poll(LONG).await.unwrap());
        }
    };
    within(polling).await;
    assert_eq!(all.len(), count);
    all
}

fn bodies(messages: &[MessageView]) -> BTreeSet<String> {
    messages.iter().map(body).collect()
}

async fn progress(client: &Client, group: &str, topic: &str) -> i64 {
    let progress = within(client.admin().consumer_progress(group, Some(topic))).await.unwrap();
    progress.offset_table.values().map(|offsets| offsets.consumer_offset.max(0)).sum()
}

#[tokio::test]
async fn assigned_queues_are_polled_sought_and_committed() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sent = fill(&producer, &topic, 10, "a").await;
    let consumer = within(client.pull_consumer(by_hand(&group))).await.unwrap();
    let queues = within(consumer.queues(&topic)).await.unwrap();
    assert_eq!(queues.len(), 2);
    within(consumer.assign(&queues)).await.unwrap();
    assert_eq!(consumer.assignment(), queues);
    let messages = poll(&consumer, 20).await;
    assert_eq!(bodies(&messages), sent);
    for queue in &queues {
        let offsets =
            messages.iter().filter(|m| m.queue_id() == queue.queue_id).map(MessageView::queue_offset);
        assert!(offsets.eq(0..10), "each queue in its order");
        assert_eq!(within(consumer.position(queue)).await.unwrap(), 10);
    }
    assert_eq!(within(consumer.poll(SHORT)).await.unwrap().len(), 0);

    // Nothing was committed yet; then all; then what the caller says.
    let [one, two] = queues.as_slice() else { panic!("two queues") };
    assert_eq!(within(consumer.committed(one)).await.unwrap().unwrap_or(0), 0);
    within(consumer.commit()).await.unwrap();
    assert_eq!(within(consumer.committed(one)).await.unwrap(), Some(10));
    within(consumer.commit_offsets(&BTreeMap::from([(one.clone(), 4)]))).await.unwrap();
    assert_eq!(within(consumer.committed(one)).await.unwrap(), Some(4));
    assert_eq!(within(consumer.committed(two)).await.unwrap(), Some(10));

    within(consumer.seek(one, 7)).await.unwrap();
    let messages = poll(&consumer, 3).await;
    assert!(messages.iter().map(MessageView::queue_offset).eq(7..10));
    within(consumer.seek_to_begin(two)).await.unwrap();
    let messages = poll(&consumer, 10).await;
    assert!(messages.iter().all(|message| message.queue_id() == two.queue_id));
    let stamp = messages[5].store_timestamp();
    let first_of = messages.iter().find(|m| m.store_timestamp() >= stamp).unwrap().queue_offset();
    let by_time = within(consumer.offset_for_timestamp(two, stamp)).await.unwrap();
    assert_eq!(by_time, first_of);
    within(consumer.seek(two, by_time)).await.unwrap();
    assert_eq!(poll(&consumer, (10 - by_time) as usize).await[0].queue_offset(), by_time);
    within(consumer.seek_to_begin(two)).await.unwrap();
    within(consumer.seek_to_end(two)).await.unwrap();
    within(producer.send_to_queue(Message::new(&topic, "last"), two)).await.unwrap();
    assert_eq!(body(&poll(&consumer, 1).await[0]), "last");

    // Auto-commit is off, so closing commits nothing, and the next one goes on at what was committed.
    within(consumer.close()).await;
    within(consumer.close()).await;
    let consumer = within(client.pull_consumer(by_hand(&group))).await.unwrap();
    within(consumer.assign(std::slice::from_ref(one))).await.unwrap();
    assert_eq!(within(consumer.position(one)).await.unwrap(), 4);
    assert_eq!(poll(&consumer, 6).await[0].queue_offset(), 4);
    // Assigning anew keeps the place of what stays.
    within(consumer.assign(&queues)).await.unwrap();
    assert_eq!(within(consumer.position(one)).await.unwrap(), 10);
    assert_eq!(body(&poll(&consumer, 1).await[0]), "last");
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn misuse_is_refused_with_reasons() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let consumer = within(client.pull_consumer(by_hand(&group))).await.unwrap();
    let code = |result: Result<(), mq_client::Error>| result.unwrap_err().code();
    assert_eq!(within(consumer.poll(SHORT)).await.unwrap_err().code(), ErrorCode::State);
    let queue = within(consumer.queues(&topic)).await.unwrap().remove(0);
    assert_eq!(code(within(consumer.seek(&queue, 0)).await), ErrorCode::State);
    assert_eq!(code(consumer.pause(std::slice::from_ref(&queue))), ErrorCode::State);
    assert_eq!(within(consumer.position(&queue)).await.unwrap_err().code(), ErrorCode::State);
    let offsets = BTreeMap::from([(queue.clone(), 0)]);
    assert_eq!(code(within(consumer.commit_offsets(&offsets)).await), ErrorCode::State);
    let wrong = MessageQueue { queue_id: 7, ..queue.clone() };
    assert_eq!(code(within(consumer.assign(&[wrong])).await), ErrorCode::Argument);
    let unknown = MessageQueue { topic: "no_such_topic".to_owned(), ..queue.clone() };
    assert_eq!(code(within(consumer.assign(&[unknown])).await), ErrorCode::NotFound);
    within(consumer.assign(std::slice::from_ref(&queue))).await.unwrap();
    assert_eq!(code(within(consumer.subscribe(&topic, "*")).await), ErrorCode::State);
    assert_eq!(code(within(consumer.unsubscribe(&topic)).await), ErrorCode::State);
    for bad in [-1, 1, i64::MAX] {
        assert_eq!(code(within(consumer.seek(&queue, bad)).await), ErrorCode::Argument);
    }
    let offsets = BTreeMap::from([(queue.clone(), -1)]);
    assert_eq!(code(within(consumer.commit_offsets(&offsets)).await), ErrorCode::Argument);

    // Two polls at a time; the second is refused, the first fails when the consumer closes.
    let waiting = {
        let consumer = consumer.clone();
        tokio::spawn(async move { consumer.poll(Duration::from_secs(300)).await })
    };
    tokio::task::yield_now().await;
    assert_eq!(within(consumer.poll(SHORT)).await.unwrap_err().code(), ErrorCode::State);
    // One that is given up makes room for another.
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(within(consumer.poll(SHORT)).await.unwrap().len(), 0);

    // By hand no more: now topics may be subscribed to, but queues not assigned.
    within(consumer.assign(&[])).await.unwrap();
    within(consumer.subscribe(&topic, "*")).await.unwrap();
    assert_eq!(code(within(consumer.assign(std::slice::from_ref(&queue))).await), ErrorCode::State);
    let second = within(client.pull_consumer(by_hand(&group))).await.unwrap_err();
    assert_eq!(second.code(), ErrorCode::State, "one member of a group for each client");
    let waiting = {
        let consumer = consumer.clone();
        tokio::spawn(async move { consumer.poll(Duration::from_secs(300)).await })
    };
    tokio::task::yield_now().await;
    within(consumer.close()).await;
    assert_eq!(within(waiting).await.unwrap().unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(within(consumer.poll(SHORT)).await.unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(code(within(consumer.commit()).await), ErrorCode::Closed);
    assert_eq!(code(within(consumer.seek(&queue, 0)).await), ErrorCode::Closed);
    within(client.close()).await;
    let error = within(client.pull_consumer(by_hand(&group))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Closed);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_topics_and_go_on_where_others_left() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(4).await;
    let (other, _) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let mut sent = fill(&producer, &topic, 25, "a").await;
    sent.extend(fill(&producer, &other, 10, "b").await);
    fill(&producer, &other, 5, "unwanted").await;
    let config = || {
        let config = first(&group).subscribe(&topic, "*").subscribe(&other, "b || c");
        PullConsumerConfig { poll_batch_size: 1, ..config }
    };
    let one = within(client.pull_consumer(config())).await.unwrap();
    assert_eq!(one.assignment().len(), 5);
    let mut seen = bodies(&poll(&one, 60).await);
    let second_client = cluster.client();
    let two = within(second_client.pull_consumer(config())).await.unwrap();
    until("the queues are shared", || {
        one.assignment().len() + two.assignment().len() == 5 && !one.assignment().is_empty()
    })
    .await;
    let owned: HashSet<_> = one.assignment().into_iter().chain(two.assignment()).collect();
    assert_eq!(owned.len(), 5);
    let found = Mutex::new(Vec::new());
    let collect = async |consumer: &PullConsumer| {
        while !sent.is_subset(&seen.union(&bodies(&found.lock().unwrap())).cloned().collect()) {
            let messages = consumer.poll(SHORT).await.unwrap();
            found.lock().unwrap().extend(messages);
        }
    };
    within(async { tokio::join!(collect(&one), collect(&two)) }).await;
    // What the last poll before the change gave out was not done with for sure: it comes once more.
    let found = found.into_inner().unwrap();
    assert!(found.len() <= 50 + 1, "{}", found.len());
    seen.extend(bodies(&found));
    assert_eq!(seen, sent);
    // The one that closes commits all that it gave out; the other takes its queues over.
    within(two.close()).await;
    until("one has all", || one.assignment().len() == 5).await;
    let queues = one.assignment();
    until_async("one is at the end of all", async || {
        one.poll(SHORT).await.unwrap();
        let mut total = 0;
        for queue in &queues {
            total += one.position(queue).await.unwrap();
        }
        total == 115
    })
    .await;
    within(one.close()).await;
    assert_eq!(progress(&client, &group, &topic).await, 100);
    assert_eq!(progress(&client, &group, &other).await, 15);
    let again = within(client.pull_consumer(config())).await.unwrap();
    assert_eq!(within(again.poll(SHORT)).await.unwrap().len(), 0);
    within(second_client.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn subscriptions_change_while_it_runs() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let (other, _) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    fill(&producer, &topic, 3, "a").await;
    let consumer = within(client.pull_consumer(first(&group))).await.unwrap();
    within(consumer.subscribe(&topic, "a")).await.unwrap();
    assert_eq!(poll(&consumer, 3).await.len(), 3);
    fill(&producer, &other, 2, "x").await;
    within(consumer.subscribe(&other, "*")).await.unwrap();
    assert_eq!(consumer.assignment().len(), 3);
    assert_eq!(poll(&consumer, 4).await.len(), 4);
    // Another expression: goes on where it was, with the new filter.
    within(consumer.subscribe(&topic, "b")).await.unwrap();
    fill(&producer, &topic, 1, "a").await;
    fill(&producer, &topic, 1, "b").await;
    assert_eq!(body(&poll(&consumer, 1).await[0]), "b-0-0");
    within(consumer.unsubscribe(&topic)).await.unwrap();
    assert_eq!(consumer.assignment().len(), 2);
    fill(&producer, &topic, 1, "b").await;
    fill(&producer, &other, 1, "y").await;
    assert_eq!(poll(&consumer, 2).await.iter().filter(|m| m.topic() == other).count(), 2);
    within(consumer.unsubscribe(&other)).await.unwrap();
    assert!(consumer.assignment().is_empty());
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn paused_queues_give_nothing_out_until_resumed() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let consumer = within(client.pull_consumer(first(&group).subscribe(&topic, "*"))).await.unwrap();
    let queues = consumer.assignment();
    consumer.pause(&queues[..1]).unwrap();
    fill(&producer, &topic, 5, "a").await;
    let messages = poll(&consumer, 5).await;
    assert!(messages.iter().all(|message| message.queue_id() == 1));
    assert_eq!(within(consumer.poll(SHORT)).await.unwrap().len(), 0);
    consumer.resume(&queues).unwrap();
    assert_eq!(poll(&consumer, 5).await.iter().filter(|message| message.queue_id() == 0).count(), 5);
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn offsets_are_committed_by_and_by_when_the_next_poll_came() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    fill(&producer, &topic, 10, "a").await;
    let mut config = first(&group).subscribe(&topic, "*");
    config.set("autoCommitIntervalMillis", "20").unwrap();
    config.poll_batch_size = 4;
    let consumer = within(client.pull_consumer(config)).await.unwrap();
    assert_eq!(within(consumer.poll(LONG)).await.unwrap().len(), 4);
    let queue = consumer.assignment().remove(0);
    assert_eq!(within(consumer.position(&queue)).await.unwrap(), 4);
    until_async("something is committed", async || consumer.committed(&queue).await.unwrap().is_some()).await;
    assert_eq!(within(consumer.committed(&queue)).await.unwrap(), Some(0));
    assert_eq!(within(consumer.poll(LONG)).await.unwrap().len(), 4);
    until_async("the first four are committed", async || {
        consumer.committed(&queue).await.unwrap() == Some(4)
    })
    .await;
    within(consumer.close()).await;
    assert_eq!(progress(&client, &group, &topic).await, 8);
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn changes_of_queues_are_told() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = {
        let mut config = mq_client::ClientConfig::new(&cluster.namesrv).unwrap();
        config.poll_name_server_interval = Duration::from_millis(50);
        Client::new(config).unwrap()
    };
    let mut config = first(&group).subscribe(&topic, "*");
    config.set("topicMetadataCheckIntervalMillis", "20").unwrap();
    config.rebalance_interval = Duration::from_millis(100);
    let consumer = within(client.pull_consumer(config)).await.unwrap();
    let told: Arc<Mutex<Vec<QueueChange>>> = Arc::default();
    let sink = told.clone();
    within(consumer.on_queue_change(&topic, move |change| sink.lock().unwrap().push(change.clone())))
        .await
        .unwrap();
    within(consumer.on_queue_change(&topic, |_| panic!("on purpose"))).await.unwrap();
    within(client.admin().create_topic(&topic, 3, &Target::All)).await.unwrap();
    until("it is told", || {
        let told = told.lock().unwrap();
        told.last().is_some_and(|change| change.queues.len() == 3 && change.assigned.len() == 3)
    })
    .await;
    assert_eq!(told.lock().unwrap()[0].topic, topic);
    assert_eq!(consumer.assignment().len(), 3);
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cache_is_bounded_and_all_arrives_through_it() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(4).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sends = (0..2000).map(|n| producer.send(Message::new(&topic, format!("m{n}"))));
    for receipt in within(join_all(sends)).await {
        receipt.unwrap();
    }
    let mut config = first(&group).subscribe(&topic, "*");
    config.set("pullThresholdForQueue", "40").unwrap();
    config.set("pullThresholdForAll", "100").unwrap();
    let consumer = within(client.pull_consumer(config)).await.unwrap();
    assert_eq!(bodies(&poll(&consumer, 2000).await).len(), 2000);
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn broadcasting_members_have_all_queues_and_offsets_of_their_own() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let folder = tempfile::tempdir().unwrap();
    let client_of = |name: &str| {
        let mut config = mq_client::ClientConfig::new(&cluster.namesrv).unwrap();
        config.instance_name = name.to_owned();
        Client::new(config).unwrap()
    };
    let config = || {
        let mut config = first(&group).subscribe(&topic, "*");
        config.set("messageModel", "BROADCASTING").unwrap();
        config.set("offset_dir", folder.path().to_str().unwrap()).unwrap();
        config
    };
    let mut nowhere = config();
    nowhere.offset_dir.clear();
    let client = client_of("one");
    let error = within(client.pull_consumer(nowhere)).await.unwrap_err();
    assert!(error.code() == ErrorCode::Config && error.to_string().contains("offset_dir"), "{error}");
    let other_client = client_of("two");
    let one = within(client.pull_consumer(config())).await.unwrap();
    let two = within(other_client.pull_consumer(config())).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sent = fill(&producer, &topic, 5, "a").await;
    assert_eq!(bodies(&poll(&one, 10).await), sent);
    assert_eq!(bodies(&poll(&two, 10).await), sent);
    let queue = one.assignment().remove(0);
    assert_eq!(one.assignment(), two.assignment());
    within(one.commit_offsets(&BTreeMap::from([(queue.clone(), 3)]))).await.unwrap();
    assert_eq!(within(one.committed(&queue)).await.unwrap(), Some(3));
    assert_eq!(within(two.committed(&queue)).await.unwrap(), None);
    within(one.close()).await;
    fill(&producer, &topic, 1, "b").await;
    let one = within(client.pull_consumer(config())).await.unwrap();
    assert_eq!(poll(&one, 2).await.iter().filter(|m| m.tag() == Some("b")).count(), 2);
    within(other_client.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}
