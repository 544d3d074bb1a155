//! What holds a consumer up or back: slow listeners, closing, suspending, thresholds, mistakes.

use crate::prelude::*;

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

/// A listener that counts the calls and messages that it holds until it is released.
struct Crowd {
    free: tokio::sync::watch::Sender<bool>,
    held: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

impl Crowd {
    fn new() -> Arc<Crowd> {
        let free = tokio::sync::watch::Sender::new(false);
        let (held, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Crowd { free, held, most, done })
    }
}

impl Listener for Crowd {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        Box::pin(async move {
            let held = self.held.fetch_add(messages.len(), Ordering::SeqCst) + messages.len();
            self.most.fetch_max(held, Ordering::SeqCst);
            let _ = self.free.subscribe().wait_for(|free| *free).await;
            self.held.fetch_sub(messages.len(), Ordering::SeqCst);
            self.done.fetch_add(messages.len(), Ordering::SeqCst);
            ConsumeResult::Success
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_grow_with_the_load_up_to_the_limits() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let sent = send_all(&producer, &topic, 100).await.len();
    // Threads at the least and at most, batch, messages in flight: how many are held in the end.
    for (index, (min, max, batch, in_flight, wanted)) in [
        (1, 7, 1, 0, 7),
        (3, 3, 1, 0, 3),
        (9, 4, 1, 0, 4),
        (1, 20, 1, 6, 6),
        (1, 20, 8, 5, 5),
        (1, 2, 4, 0, 8),
    ]
    .into_iter()
    .enumerate()
    {
        let mut config = first(&format!("{group}_{index}"), &topic);
        (config.consume_thread_min, config.consume_thread_max) = (min, max);
        (config.consume_message_batch_max_size, config.max_in_flight) = (batch, in_flight);
        let crowd = Crowd::new();
        let consumer = within(client.push_consumer(config, crowd.clone())).await.unwrap();
        until("the limit is reached", || crowd.held.load(Ordering::SeqCst) == wanted).await;
        crowd.free.send_replace(true);
        until("all are consumed", || crowd.done.load(Ordering::SeqCst) == sent).await;
        assert!(crowd.most.load(Ordering::SeqCst) <= wanted.max(batch), "{index}");
        within(consumer.close()).await;
    }
    within(client.close()).await;
    cluster.stop().await;
}

#[tokio::test]
async fn no_more_messages_a_second_than_set() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(2).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    send_all(&producer, &topic, 12).await;
    let inbox = Inbox::good();
    let mut config = first(&group, &topic);
    config.set("max_messages_per_second", "20").unwrap();
    let began = std::time::Instant::now();
    let consumer = within(client.push_consumer(config, inbox.clone())).await.unwrap();
    until("all arrive", || inbox.count() == 12).await;
    // Eleven pauses of 50 ms, less what may be caught up; slower is no fault.
    assert!(began.elapsed() >= Duration::from_millis(400));
    within(consumer.close()).await;
    within(client.close()).await;
    cluster.stop().await;
}
