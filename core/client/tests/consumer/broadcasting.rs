//! Broadcasting consumers: each member gets everything, offsets are in a file, and nothing is tried again.

use crate::prelude::*;

/// A listener that fails for some and keeps the warnings.
#[derive(Default)]
struct Careless {
    seen: Mutex<Vec<String>>,
    warnings: Mutex<Vec<Warning>>,
}

impl Listener for Careless {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        let body = String::from_utf8(messages[0].body().to_vec()).unwrap();
        let result = if body == "bad" { ConsumeResult::LATER } else { ConsumeResult::Success };
        self.seen.lock().unwrap().push(body);
        Box::pin(async move { result })
    }

    fn warning(&self, warning: Warning) {
        self.warnings.lock().unwrap().push(warning);
    }
}

fn broadcasting(group: &str, topic: &str, dir: &std::path::Path) -> PushConsumerConfig {
    let mut config = first(group, topic);
    config.set("messageModel", "BROADCASTING").unwrap();
    config.offset_dir = dir.to_str().unwrap().to_owned();
    config
}

fn named(cluster: &Cluster, name: &str) -> Client {
    let mut config = ClientConfig::new(&cluster.namesrv).unwrap();
    config.instance_name = name.to_owned();
    config.client_ip = "10.1.2.3".to_owned();
    Client::new(config).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_gets_everything_once_and_goes_on_after_a_restart() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(3).await;
    let dir = tempfile::tempdir().unwrap();
    let sender = cluster.client();
    let producer = sender.producer(ProducerConfig::default()).unwrap();
    let clients = [named(&cluster, "one"), named(&cluster, "two")];
    let inboxes = [Inbox::good(), Inbox::good()];
    let mut consumers = Vec::new();
    for (client, inbox) in clients.iter().zip(&inboxes) {
        let config = broadcasting(&group, &topic, dir.path());
        consumers.push(within(client.push_consumer(config, inbox.clone())).await.unwrap());
    }
    let sent = send_all(&producer, &topic, 60).await;
    for inbox in &inboxes {
        until("all arrive", || inbox.count() == sent.len()).await;
        assert_eq!(inbox.bodies().into_iter().collect::<HashSet<_>>(), sent);
    }
    assert!(consumers.iter().all(|consumer| consumer.queues().len() == 3), "all queues, no retry topic");
    for client in &clients {
        within(client.close()).await;
    }
    let file = dir.path().join("10.1.2.3@one").join(&group).join("offsets.json");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches(&format!("\"topic\":\"{topic}\"")).count(), 3, "{text}");
    // The broker keeps nothing of a broadcasting group.
    let progress = within(sender.admin().consumer_progress(&group, Some(&topic))).await;
    assert!(progress.map_or(true, |p| p.offset_table.values().all(|o| o.consumer_offset <= 0)));

    within(producer.send(Message::new(&topic, "new"))).await.unwrap();
    let (client, inbox) = (named(&cluster, "one"), Inbox::good());
    let config = broadcasting(&group, &topic, dir.path());
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    until("the new one arrives", || inbox.count() > 0).await;
    assert_eq!(inbox.bodies(), ["new"]);
    within(consumer.close()).await;
    within(client.close()).await;
    within(sender.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn what_fails_is_dropped_with_a_warning() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let dir = tempfile::tempdir().unwrap();
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for body in ["good", "bad", "end"] {
        within(producer.send(Message::new(&topic, body))).await.unwrap();
    }
    for mode in [ConsumeMode::Concurrent, ConsumeMode::Orderly] {
        let listener = Arc::new(Careless::default());
        let mut config = broadcasting(&format!("{group}{mode:?}"), &topic, dir.path());
        config.consume_mode = mode;
        config.max_reconsume_times = 0;
        let consumer = within(client.push_consumer(config, listener.clone())).await.unwrap();
        until("all arrive", || listener.seen.lock().unwrap().len() == 3).await;
        until("it warns", || !listener.warnings.lock().unwrap().is_empty()).await;
        within(consumer.close()).await;
        let warnings = listener.warnings.lock().unwrap().clone();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].code, WarningCode::MessageDropped);
        assert!(warnings[0].message.contains(&format!("of topic '{topic}'")), "{}", warnings[0]);
        assert_eq!(listener.seen.lock().unwrap().len(), 3);
    }
    let topics = within(client.admin().topics(None)).await.unwrap();
    assert!(!topics.iter().any(|name| name.contains("%DLQ%") && name.contains(&group)), "{topics:?}");
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn the_directory_is_named_by_the_user() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let config = broadcasting(&group, &topic, std::path::Path::new(""));
    let error = within(client.push_consumer(config, Inbox::good())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Config);
    assert!(error.to_string().contains("'offset_dir' is empty"), "{error}");
    within(client.close()).await;
    cluster.stop().await;
}
