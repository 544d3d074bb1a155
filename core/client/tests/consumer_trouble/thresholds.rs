//! How much a consumer holds while its listener does not get on.

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::*;

/// A listener that holds the messages from an offset on until it is released.
struct Held {
    seen: Seen,
    from: i64,
    to: i64,
    free: watch::Sender<bool>,
}

impl Listener for Held {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        let mut free = self.free.subscribe();
        let is_held = (self.from..self.to).contains(&messages[0].queue_offset());
        Box::pin(async move {
            if is_held {
                let _ = free.wait_for(|free| *free).await;
            }
            self.seen.lock().unwrap().extend(messages);
            ConsumeResult::Success
        })
    }
}

const ALL: (i64, i64) = (0, i64::MAX);
const FIRST: (i64, i64) = (0, 1);

/// The largest offset that is pulled while messages of `held` do not get on; then all of them have to arrive.
async fn furthest(held: (i64, i64), size: usize, change: impl Fn(&mut PushConsumerConfig)) -> i64 {
    let shelf = Shelf::new();
    let body = vec![b'x'; size];
    for _ in 0..20 {
        shelf.put("T", 0, 0, &body, "");
    }
    let scripted = shelf.clone();
    let server = server(move |frame| scripted.act(frame)).await;
    let mut settings = server.config();
    settings.heartbeat_broker_interval = Duration::from_millis(20);
    let client = mq_client::Client::new(settings).unwrap();
    let (seen, free) = (Seen::default(), watch::Sender::new(false));
    let listener = Arc::new(Held { seen: seen.clone(), from: held.0, to: held.1, free });
    let mut config = config();
    config.pull_batch_size = 1;
    config.consume_thread_min = 1;
    config.consume_thread_max = 2;
    change(&mut config);
    let consumer = within(client.push_consumer(config, listener.clone())).await.unwrap();
    let furthest = || {
        let pulls = server.frames(RequestCode::PULL_MESSAGE);
        let offset = |frame: &Frame| frame.header::<PullMessageRequest<'_>>().unwrap().queue_offset;
        pulls.iter().map(offset).max().unwrap_or(-1)
    };
    // Far more time than a pull of this server takes.
    let mut stands = (-1, 0);
    until("it pulls no more", || {
        let now = (furthest(), server.count(RequestCode::HEART_BEAT));
        if now.0 != stands.0 {
            stands = now;
        }
        now.1 >= stands.1 + 5
    })
    .await;
    let furthest = stands.0;
    listener.free.send_replace(true);
    until("all arrive", || seen.lock().unwrap().len() == 20).await;
    within(consumer.close()).await;
    within(client.close()).await;
    furthest
}

#[tokio::test]
async fn thresholds_of_queues_and_topics_hold_by_count_and_size() {
    assert_eq!(furthest(ALL, 10, |config| config.pull_threshold_for_queue = 4).await, 3);
    assert_eq!(furthest(ALL, 10, |config| config.pull_threshold_for_topic = 5).await, 4);
    let third = 400 * 1024;
    assert_eq!(furthest(ALL, third, |config| config.pull_threshold_size_for_queue = 1).await, 2);
    assert_eq!(furthest(ALL, third, |config| config.pull_threshold_size_for_topic = 1).await, 2);
    assert_eq!(furthest(ALL, third, |config| config.pull_threshold_size_total = 1).await, 2);
}

#[tokio::test]
async fn the_span_holds_concurrent_consumers_and_not_ordered_ones() {
    assert_eq!(furthest(FIRST, 10, |config| config.consume_concurrently_max_span = 6).await, 7);
    let orderly = |config: &mut PushConsumerConfig| {
        config.consume_concurrently_max_span = 6;
        config.consume_mode = mq_client::ConsumeMode::Orderly;
    };
    assert_eq!(furthest(FIRST, 10, orderly).await, 20, "the end of the queue");
}

#[tokio::test]
async fn no_more_is_asked_for_while_suspended() {
    let shelf = Shelf::new();
    let scripted = shelf.clone();
    let server = server(move |frame| match scripted.act(frame) {
        // At once, so that no pull waits here while the consumer is suspended.
        Act::With(_) => {
            let header: PullMessageRequest<'_> = frame.header().unwrap();
            Act::Answer(pull_answer(frame, ResponseCode::PULL_NOT_FOUND, header.queue_offset))
        }
        act => act,
    })
    .await;
    let mut settings = server.config();
    settings.heartbeat_broker_interval = Duration::from_millis(20);
    let client = mq_client::Client::new(settings).unwrap();
    let (seen, listener) = listener(|_| ConsumeResult::Success);
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    let pulls = || server.count(RequestCode::PULL_MESSAGE);
    let a_while = async || {
        let beats = server.count(RequestCode::HEART_BEAT);
        until("time passes", || server.count(RequestCode::HEART_BEAT) >= beats + 5).await;
    };
    until("it pulls", || pulls() > 1).await;
    consumer.suspend();
    a_while().await;
    let before = pulls();
    shelf.put("T", 0, 0, b"x", "");
    a_while().await;
    assert_eq!(pulls(), before);
    assert!(seen.lock().unwrap().is_empty() && consumer.is_suspended());
    consumer.resume();
    until("it arrives", || seen.lock().unwrap().len() == 1).await;
    within(consumer.close()).await;
    within(client.close()).await;
}

#[tokio::test]
async fn a_queue_is_not_pulled_again_before_the_interval_is_over() {
    let pulls_of = async |interval: Duration, wanted: usize| {
        let shelf = Shelf::new();
        for _ in 0..5 {
            shelf.put("T", 0, 0, b"x", "");
        }
        let server = server(move |frame| shelf.act(frame)).await;
        let mut settings = server.config();
        settings.heartbeat_broker_interval = Duration::from_millis(20);
        let client = mq_client::Client::new(settings).unwrap();
        let (seen, listener) = listener(|_| ConsumeResult::Success);
        let mut config = config();
        config.pull_batch_size = 1;
        config.pull_interval = interval;
        let consumer = within(client.push_consumer(config, listener)).await.unwrap();
        until("they arrive", || seen.lock().unwrap().len() == wanted).await;
        let beats = server.count(RequestCode::HEART_BEAT);
        until("time passes", || server.count(RequestCode::HEART_BEAT) >= beats + 5).await;
        let pulls = server.count(RequestCode::PULL_MESSAGE);
        // Also a long interval does not hold up the end.
        within(consumer.close()).await;
        within(client.close()).await;
        pulls
    };
    assert_eq!(pulls_of(Duration::from_secs(60), 1).await, 1);
    assert!(pulls_of(Duration::from_millis(1), 5).await > 5, "the last one waits for more");
}
