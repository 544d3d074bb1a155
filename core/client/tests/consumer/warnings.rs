//! What consumers warn of: members that do not agree, and subscriptions that replace others.

use crate::prelude::*;

/// A listener that keeps the warnings.
#[derive(Default)]
struct Watcher(Mutex<Vec<Warning>>);

impl Listener for Watcher {
    fn consume(&self, _: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        Box::pin(async { ConsumeResult::Success })
    }

    fn warning(&self, warning: Warning) {
        self.0.lock().unwrap().push(warning);
    }
}

impl Watcher {
    fn has(&self, code: WarningCode, part: &str) -> bool {
        self.0.lock().unwrap().iter().any(|warning| warning.code == code && warning.message.contains(part))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_want_different_messages_are_told() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let (other_topic, _) = cluster.topic(1).await;
    let settings = || {
        let mut config = ClientConfig::new(&cluster.namesrv).unwrap();
        config.heartbeat_broker_interval = Duration::from_millis(70);
        Client::new(config).unwrap()
    };
    let (clients, watchers) = ([settings(), settings()], [Arc::default(), Arc::<Watcher>::default()]);
    let mut configs = [first(&group, &topic).subscribe(&other_topic, "*"), first(&group, &topic)];
    configs[1] = configs[1].clone().subscribe(&topic, "a").subscribe(&topic, "a || b");
    let mut consumers = Vec::new();
    for ((client, watcher), config) in clients.iter().zip(&watchers).zip(&mut configs) {
        config.rebalance_interval = Duration::from_millis(50);
        consumers.push(within(client.push_consumer(config.clone(), watcher.clone())).await.unwrap());
    }
    let different =
        |part: &str| watchers.iter().any(|watcher| watcher.has(WarningCode::InconsistentSubscription, part));
    until("the expressions are compared", || different(&format!("to topic '{topic}' with"))).await;
    until("the topics are compared", || different(&format!("to topic '{other_topic}'"))).await;
    let replaced: Vec<_> =
        watchers[1].0.lock().unwrap().iter().map(|warning| warning.message.clone()).collect();
    assert!(replaced[0].contains("with '*' and then with 'a || b'"), "{replaced:?}");
    assert!(replaced[1].contains("with 'a' and then with 'a || b'"), "{replaced:?}");
    assert!(!watchers[0].has(WarningCode::DuplicateSubscription, ""));
    for client in &clients {
        within(client.close()).await;
    }
    cluster.stop().await;
}
