//! The producer against a broker: what is sent arrives, wherever it goes and whatever goes wrong on the way.
#![allow(clippy::unwrap_used, missing_docs)]

mod cluster;
mod support;

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv6Addr;
use std::time::Duration;

use cluster::Cluster;
use futures_util::future::join_all;
use mq_client::{
    Client, ClientConfig, ConsumeFrom, ErrorCode, Message, MessageView, ProducerConfig, PullConsumer,
    PullConsumerConfig, SendStatus, split_batch,
};
use mq_protocol::{RequestCode, ResponseCode};
use support::within;

const SEND: RequestCode = RequestCode::SEND_MESSAGE_V2;
const LONG: Duration = Duration::from_secs(10);

/// A consumer of all that is in a topic.
async fn reader(client: &Client, topic: &str, group: &str) -> PullConsumer {
    let mut config = PullConsumerConfig::new(group).subscribe(topic, "*");
    config.consume_from_where = ConsumeFrom::First;
    within(client.pull_consumer(config)).await.unwrap()
}

async fn read(consumer: &PullConsumer, count: usize) -> Vec<MessageView> {
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

fn body(message: &MessageView) -> String {
    String::from_utf8(message.body().to_vec()).unwrap()
}

#[tokio::test]
async fn lists_of_any_length_arrive_in_their_order() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let message = |n: usize| {
        let message = Message::new(&topic, format!("m{n}")).tag("t").key(format!("k{n}"));
        message.property("n", n.to_string())
    };
    let lists = split_batch((0..200).map(message).collect(), 4000).unwrap();
    assert!(lists.len() > 3, "{}", lists.len());
    let mut ids = Vec::new();
    for list in lists {
        let count = list.len();
        let receipt = within(producer.send_batch(list)).await.unwrap();
        assert_eq!((receipt.status, receipt.queue_offset), (SendStatus::Ok, ids.len() as i64));
        assert_eq!(receipt.offset_message_id.split(',').count(), count);
        ids.extend(receipt.message_id.split(',').map(str::to_owned));
    }
    let consumer = reader(&client, &topic, &group).await;
    let messages = read(&consumer, 200).await;
    for (n, message) in messages.iter().enumerate() {
        assert_eq!((body(message), message.tag()), (format!("m{n}"), Some("t")));
        assert_eq!((message.message_id(), message.queue_offset()), (ids[n].as_str().into(), n as i64));
        assert_eq!(message.property("n"), Some(n.to_string().as_str()));
        assert_eq!(message.keys().collect::<Vec<_>>(), [format!("k{n}")]);
    }
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn groups_keys_and_functions_choose_the_queue() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(5).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let mut places = HashMap::new();
    for n in 0..100 {
        let name = format!("group-{}", n % 7);
        let message = Message::new(&topic, format!("{n}")).message_group(&name);
        let receipt = within(producer.send(message)).await.unwrap();
        let hash = i64::from(mq_protocol::id::java_hash(&name));
        assert_eq!(i64::from(receipt.queue_id), (hash % 5).abs(), "as SelectMessageQueueByHash");
        assert_eq!(*places.entry(name).or_insert(receipt.queue_id), receipt.queue_id);
    }
    let last = |queues: &[mq_client::MessageQueue]| queues.len() - 1;
    let receipt = within(producer.send_selected(Message::new(&topic, "100"), last, LONG)).await.unwrap();
    assert_eq!(receipt.queue_id, 4);
    let queue = within(producer.queues(&topic)).await.unwrap().remove(1);
    let receipt = within(producer.send_to_queue(Message::new(&topic, "101"), &queue)).await.unwrap();
    assert_eq!(receipt.queue_id, 1);
    within(producer.send_oneway(Message::new(&topic, "102"))).await.unwrap();
    let consumer = reader(&client, &topic, &group).await;
    let messages = read(&consumer, 103).await;
    let mut latest: HashMap<&str, i32> = HashMap::new();
    for message in messages.iter().filter(|message| message.message_group().is_some()) {
        let number: i32 = body(message).parse().unwrap();
        let before = latest.insert(message.message_group().unwrap(), number);
        assert!(before.is_none_or(|before| before < number), "the order of a group is kept");
    }
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn every_compression_and_level_arrives_whole() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let text = |n: usize| format!("{n} {}", "to be or not to be ".repeat(n * 1000));
    let mut sent = Vec::new();
    for (kind, level) in [("ZLIB", 0), ("ZLIB", 9), ("LZ4", 1), ("ZSTD", 1), ("ZSTD", 19)] {
        let mut config = ProducerConfig::default();
        config.set("compressType", kind).unwrap();
        config.set("compressLevel", &level.to_string()).unwrap();
        config.set("compressMsgBodyOverHowmuch", "100").unwrap();
        let producer = client.producer(config).unwrap();
        for body in [text(1), text(10), "x".repeat(99), "y".repeat(100)] {
            within(producer.send(Message::new(&topic, body.clone()))).await.unwrap();
            sent.push(body);
        }
        within(producer.close()).await;
    }
    let consumer = reader(&client, &topic, &group).await;
    let got: Vec<_> = read(&consumer, sent.len()).await.iter().map(body).collect();
    assert_eq!(got, sent);
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_namespace_is_a_world_of_its_own() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client_of = |namespace: &str| {
        let mut config = ClientConfig::new(&cluster.namesrv).unwrap();
        config.set("namespace", namespace).unwrap();
        Client::new(config).unwrap()
    };
    let mut clients = Vec::new();
    for namespace in ["MQ_INST_1_A", "MQ_INST_2_B", ""] {
        let client = client_of(namespace);
        let producer = client.producer(ProducerConfig::new("P")).unwrap();
        let receipt = within(producer.send(Message::new(&topic, format!("of {namespace}")))).await.unwrap();
        assert_eq!(receipt.topic, topic);
        clients.push((namespace, client));
    }
    for (namespace, client) in clients {
        let consumer = reader(&client, &topic, &group).await;
        let message = read(&consumer, 1).await.remove(0);
        assert_eq!((message.topic(), body(&message)), (topic.as_str(), format!("of {namespace}")));
        let queues = consumer.assignment();
        assert!(queues.iter().all(|queue| queue.topic == topic), "{queues:?}");
        assert_eq!(within(consumer.queues(&topic)).await.unwrap(), queues);
        for queue in &queues {
            within(consumer.seek_to_begin(queue)).await.unwrap();
        }
        assert_eq!(body(&read(&consumer, 1).await[0]), format!("of {namespace}"));
        within(consumer.commit()).await.unwrap();
        within(client.close()).await;
    }
    cluster.stop().await;
}

#[tokio::test]
async fn all_of_it_works_over_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // This machine has no IPv6.
        return;
    }
    let cluster = Cluster::start_with(|config| config.bind_address = Ipv6Addr::LOCALHOST.into()).await;
    if !cluster.is_own() {
        return;
    }
    assert!(cluster.namesrv.starts_with("[::1]:"), "{}", cluster.namesrv);
    let (topic, group) = cluster.topic(1).await;
    // Without this the client names itself by the machine's own address.
    let mut config = ClientConfig::new(&cluster.namesrv).unwrap();
    config.set("clientIP", "::1").unwrap();
    let client = Client::new(config).unwrap();
    assert!(client.client_id().starts_with("::1@"), "{}", client.client_id());
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sent = within(producer.send(Message::new(&topic, "one").key("k"))).await.unwrap();
    assert_eq!((sent.message_id.len(), sent.offset_message_id.len()), (56, 56));
    let list = (0..3).map(|n| Message::new(&topic, n.to_string())).collect();
    assert_eq!(within(producer.send_batch(list)).await.unwrap().queue_offset, 1);
    let consumer = reader(&client, &topic, &group).await;
    let read = read(&consumer, 4).await;
    assert_eq!(read.iter().map(body).collect::<Vec<_>>(), ["one", "0", "1", "2"]);
    for message in &read {
        assert!(message.born_host().ip() == Ipv6Addr::LOCALHOST && message.store_host().is_ipv6());
    }
    assert_eq!(read[0].message_id(), sent.message_id);
    assert_eq!(read[0].offset_message_id(), sent.offset_message_id);
    // The id carries the address of the broker that is asked for the message.
    let looked_up = within(client.admin().query_by_id(&sent.offset_message_id)).await.unwrap();
    assert_eq!(body(&looked_up), "one");
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn what_the_broker_does_wrong_is_mended_or_told() {
    let cluster = Cluster::start().await;
    if !cluster.is_own() {
        return;
    }
    let (topic, group) = cluster.topic(2).await;
    let faults = cluster.broker().faults();
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let message = |text: &str| Message::new(&topic, text.to_owned());
    let mut expected = BTreeSet::new();
    // Codes that Apache's client sends again after, and a cut connection.
    for code in [ResponseCode::SYSTEM_BUSY, ResponseCode::SYSTEM_ERROR, ResponseCode::SERVICE_NOT_AVAILABLE] {
        faults.fail_next(SEND, code, 2);
        let text = format!("after {code}");
        within(producer.send(message(&text))).await.unwrap();
        expected.insert(text);
    }
    faults.drop_connection_next(SEND, 1);
    within(producer.send(message("after a cut"))).await.unwrap();
    expected.insert("after a cut".to_owned());
    // More often than it is tried.
    faults.fail_next(SEND, ResponseCode::SYSTEM_BUSY, 3);
    let error = within(producer.send(message("never"))).await.unwrap_err();
    assert!(error.throttled() && error.to_string().contains("3 attempts"), "{error}");
    // Codes that are told at once, and codes of the user's own choice.
    faults.fail_next(SEND, ResponseCode::MESSAGE_ILLEGAL, 1);
    let error = within(producer.send(message("never"))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);
    let mut config = ProducerConfig::default();
    config.set("retryResponseCodes", &ResponseCode::MESSAGE_ILLEGAL.0.to_string()).unwrap();
    let stubborn = client.producer(config).unwrap();
    faults.fail_next(SEND, ResponseCode::MESSAGE_ILLEGAL, 1);
    within(stubborn.send(message("stubborn"))).await.unwrap();
    expected.insert("stubborn".to_owned());
    faults.fail_next(SEND, ResponseCode::SYSTEM_BUSY, 1);
    assert!(within(stubborn.send(message("never"))).await.unwrap_err().throttled());
    // A queue by hand or by group is not left for another, so the order stays.
    faults.fail_next(SEND, ResponseCode::SYSTEM_BUSY, 1);
    assert!(within(producer.send(message("never").message_group("g"))).await.is_err());
    // An answer that is lost: the time limit holds in total, and the message may be there all the same.
    faults.lose_answer_next(SEND, 1);
    let limit = Duration::from_millis(300);
    let error = within(producer.send_with_timeout(message("lost answer"), limit)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    expected.insert("lost answer".to_owned());
    faults.clear();
    let consumer = reader(&client, &topic, &group).await;
    let got: BTreeSet<_> = read(&consumer, expected.len()).await.iter().map(body).collect();
    assert_eq!(got, expected);
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_of_sends_holds_back_and_loses_nothing() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(4).await;
    let client = cluster.client();
    let mut config = ProducerConfig::default();
    config.set("backPressureForAsyncSendNum", "16").unwrap();
    config.set("backPressureForAsyncSendSize", "2000").unwrap();
    config.send_timeout = Duration::from_secs(25);
    let producer = client.producer(config).unwrap();
    let sends = (0..500).map(|n| producer.send(Message::new(&topic, format!("{n:0200}"))));
    for receipt in within(join_all(sends)).await {
        assert_eq!(receipt.unwrap().status, SendStatus::Ok);
    }
    let consumer = reader(&client, &topic, &group).await;
    let got: BTreeSet<_> = read(&consumer, 500).await.iter().map(body).collect();
    assert_eq!(got.len(), 500);
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_broker_dies_sends_go_on_at_the_other() {
    let first = Cluster::start().await;
    if !first.is_own() {
        return;
    }
    let namesrv = first.namesrv.clone();
    let second = Cluster::start_with(|config| {
        config.set("namesrvAddr", &namesrv).unwrap();
        config.set("brokerName", "broker-b").unwrap();
    })
    .await;
    let client = {
        let mut config = ClientConfig::new(&namesrv).unwrap();
        config.set("pollNameServerInterval", "100ms").unwrap();
        Client::new(config).unwrap()
    };
    let (topic, group) = first.topic(2).await;
    let config = ProducerConfig { send_timeout: Duration::from_secs(20), ..ProducerConfig::default() };
    let producer = client.producer(config).unwrap();
    support::until_async("both brokers have the topic", async || {
        let _ = client.admin().create_topic(&topic, 2, &mq_client::Target::All).await;
        client.admin().route(&topic).await.is_ok_and(|route| route.queue_datas.len() == 2)
    })
    .await;
    support::until_async("the producer knows", async || producer.queues(&topic).await.unwrap().len() == 4)
        .await;
    let consumer = reader(&client, &topic, &group).await;
    let mut sent = BTreeSet::new();
    let mut brokers = BTreeSet::new();
    for n in 0..20 {
        let receipt = within(producer.send(Message::new(&topic, format!("before {n}")))).await.unwrap();
        brokers.insert(receipt.broker_name);
        sent.insert(format!("before {n}"));
    }
    assert_eq!(brokers.len(), 2);
    let got: BTreeSet<_> = read(&consumer, 20).await.iter().map(body).collect();
    assert_eq!(got, sent);
    let doomed = tokio::task::spawn_blocking(move || second.kill());
    let mut late = BTreeSet::new();
    for n in 0..50 {
        let receipt = within(producer.send(Message::new(&topic, format!("after {n}")))).await.unwrap();
        if &*receipt.broker_name == "broker-a" {
            late.insert(format!("after {n}"));
        }
    }
    within(doomed).await.unwrap();
    assert!(!late.is_empty());
    let mut got = BTreeSet::new();
    let polling = async {
        while !late.is_subset(&got) {
            got.extend(consumer.poll(LONG).await.unwrap().iter().map(body));
        }
    };
    within(polling).await;
    within(client.close()).await;
    first.stop().await;
}

#[tokio::test]
async fn the_second_port_and_new_namespaces_reach_the_broker() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let mut config = ClientConfig::new(&cluster.namesrv).unwrap();
    // Ours opens no second port beside one that it chose itself; Apache's broker always has one.
    config.set("vipChannelEnabled", if cluster.is_own() { "false" } else { "true" }).unwrap();
    config.set("namespaceV2", "ns-2").unwrap();
    let client = Client::new(config).unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    within(producer.send(Message::new(&topic, "by the second port"))).await.unwrap();
    let consumer = reader(&client, &topic, &group).await;
    assert_eq!(body(&read(&consumer, 1).await[0]), "by the second port");
    within(client.close()).await;
    cluster.stop().await;
}
