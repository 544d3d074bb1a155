//! What brokers are told when the subscriptions of a running consumer change, and what trouble does to that.

use futures_util::FutureExt;
use mq_client::{ConsumeMode, ErrorCode};
use mq_protocol::body::{HeartbeatData, SubscriptionData};
use mq_protocol::header::UpdateConsumerOffsetRequest;

use super::*;

/// The subscriptions of the last heartbeat, without the retry topic.
fn told(server: &FakeServer) -> Vec<SubscriptionData> {
    let last = server.frames(RequestCode::HEART_BEAT).pop().unwrap();
    let data: HeartbeatData = fastjson::from_slice(&last.body).unwrap();
    let all = data.consumer_data_set.into_iter().flat_map(|group| group.subscription_data_set);
    all.filter(|own| !own.topic.starts_with("%RETRY%")).collect()
}

fn topics(server: &FakeServer) -> Vec<(String, String)> {
    told(server).into_iter().map(|own| (own.topic, own.sub_string)).collect()
}

fn pair(topic: &str, text: &str) -> (String, String) {
    (topic.to_owned(), text.to_owned())
}

#[tokio::test]
async fn brokers_are_told_at_once_and_pulls_name_the_new_version() {
    let shelf = Shelf::new();
    let scripted = shelf.clone();
    let server = server(move |frame| scripted.act(frame)).await;
    let client = server.client();
    let (seen, listener) = listener(|_| ConsumeResult::Success);
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    within(consumer.subscribe("U", "a")).await.unwrap();
    assert_eq!(topics(&server), [pair("T", "*"), pair("U", "a")]);
    let before = told(&server).pop().unwrap().sub_version;
    // The same once more is no change.
    within(consumer.subscribe("U", " a ")).await.unwrap();
    assert_eq!(told(&server).pop().unwrap().sub_version, before);
    within(consumer.subscribe("U", "b||c")).await.unwrap();
    assert_eq!(topics(&server), [pair("T", "*"), pair("U", "b||c")]);
    let after = told(&server).pop().unwrap();
    assert!(after.sub_version > before && after.tags_set.len() == 2, "{after:?}");
    shelf.put("U", 0, 0, b"new", "TAGS\u{1}c\u{2}");
    until("it arrives", || bodies(&seen) == ["new"]).await;
    let pulls = server.frames(RequestCode::PULL_MESSAGE);
    let last = pulls.iter().rev().find(|frame| frame.ext.get("topic") == Some("U")).unwrap();
    assert_eq!(last.header::<PullMessageRequest<'_>>().unwrap().sub_version, after.sub_version);

    within(consumer.unsubscribe("U")).await.unwrap();
    assert_eq!(topics(&server), [pair("T", "*")]);
    let commits = server.frames(RequestCode::UPDATE_CONSUMER_OFFSET);
    let commit = commits.iter().rev().find(|frame| frame.ext.get("topic") == Some("U")).unwrap();
    let header: UpdateConsumerOffsetRequest<'_> = commit.header().unwrap();
    assert_eq!((header.consumer_group, header.commit_offset, commit.is_oneway()), ("G", 1, false));
    let pulled = server.count(RequestCode::PULL_MESSAGE);
    until("the rest is pulled", || server.count(RequestCode::PULL_MESSAGE) > pulled + 3).await;
    let later = &server.frames(RequestCode::PULL_MESSAGE)[pulled..];
    assert!(later.iter().all(|frame| frame.ext.get("topic") == Some("T")), "{later:?}");
    within(client.close()).await;
}

#[tokio::test]
async fn locks_of_a_topic_that_is_left_are_given_up() {
    let shelf = Shelf::new();
    let scripted = shelf.clone();
    let server = server(move |frame| scripted.act(frame)).await;
    let client = server.client();
    let (_, listener) = listener(|_| ConsumeResult::Success);
    let mut config = config();
    config.consume_mode = ConsumeMode::Orderly;
    let consumer = within(client.push_consumer(config, listener)).await.unwrap();
    within(consumer.subscribe("U", "*")).await.unwrap();
    assert_eq!(server.count(RequestCode::UNLOCK_BATCH_MQ), 0);
    within(consumer.unsubscribe("U")).await.unwrap();
    let unlocks = server.frames(RequestCode::UNLOCK_BATCH_MQ);
    assert_eq!(unlocks.len(), 1);
    let body = String::from_utf8(unlocks[0].body.to_vec()).unwrap();
    assert!(body.contains("\"topic\":\"U\"") && !body.contains("\"topic\":\"T\""), "{body}");
    within(client.close()).await;
}

#[tokio::test]
async fn without_an_answer_of_a_name_server_nothing_changes() {
    let shelf = Shelf::new();
    let scripted = shelf.clone();
    let server = server(move |frame| match (frame.request_code(), frame.ext.get("topic")) {
        (RequestCode::GET_ROUTEINFO_BY_TOPIC, Some("dark")) => Act::Silence,
        _ => scripted.act(frame),
    })
    .await;
    let mut settings = server.config();
    settings.request_timeout = Duration::from_millis(200);
    let client = mq_client::Client::new(settings).unwrap();
    let (_, listener) = listener(|_| ConsumeResult::Success);
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    let error = within(consumer.subscribe("dark", "*")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    within(consumer.subscribe("U", "*")).await.unwrap();
    assert_eq!(topics(&server), [pair("T", "*"), pair("U", "*")]);
    within(client.close()).await;
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_no_queue_half_given_up() {
    let shelf = Shelf::new();
    let (scripted, silent) = (shelf.clone(), Arc::new(AtomicBool::new(false)));
    let asked = silent.clone();
    let server = server(move |frame| match frame.request_code() {
        RequestCode::UPDATE_CONSUMER_OFFSET if asked.load(Ordering::SeqCst) && !frame.is_oneway() => {
            Act::Silence
        }
        _ => scripted.act(frame),
    })
    .await;
    let mut settings = server.config();
    settings.request_timeout = Duration::from_millis(300);
    let client = mq_client::Client::new(settings).unwrap();
    let (seen, listener) = listener(|_| ConsumeResult::Success);
    let consumer = within(client.push_consumer(config(), listener)).await.unwrap();
    silent.store(true, Ordering::SeqCst);
    // The division waits for the commit when this is dropped.
    let mut leaving = Box::pin(consumer.unsubscribe("T"));
    until("the broker is asked to keep the offset", || {
        assert!(leaving.as_mut().now_or_never().is_none());
        server.frames(RequestCode::UPDATE_CONSUMER_OFFSET).iter().any(|frame| !frame.is_oneway())
    })
    .await;
    drop(leaving);
    silent.store(false, Ordering::SeqCst);
    until("the queue is given up", || consumer.queues().is_empty()).await;
    until("the broker is told", || topics(&server).is_empty()).await;
    within(consumer.subscribe("T", "*")).await.unwrap();
    shelf.put("T", 0, 0, b"x", "");
    until("it arrives", || bodies(&seen) == ["x"]).await;
    within(client.close()).await;
}

#[tokio::test]
async fn a_consumer_that_closes_meanwhile_ends_the_waiting() {
    let shelf = Shelf::new();
    let (scripted, silent) = (shelf.clone(), Arc::new(AtomicBool::new(false)));
    let asked = silent.clone();
    let server = server(move |frame| match frame.request_code() {
        RequestCode::GET_CONSUMER_LIST_BY_GROUP if asked.load(Ordering::SeqCst) => Act::Silence,
        _ => scripted.act(frame),
    })
    .await;
    let client = server.client();
    let (_, listener) = listener(|_| ConsumeResult::Success);
    let mut config = config();
    config.close_timeout = Duration::from_millis(100);
    let consumer = within(client.push_consumer(config, listener)).await.unwrap();
    let before = server.count(RequestCode::GET_CONSUMER_LIST_BY_GROUP);
    silent.store(true, Ordering::SeqCst);
    let mut subscribing = Box::pin(consumer.subscribe("U", "*"));
    until("the division waits for a broker", || {
        assert!(subscribing.as_mut().now_or_never().is_none());
        server.count(RequestCode::GET_CONSUMER_LIST_BY_GROUP) > before
    })
    .await;
    within(consumer.close()).await;
    // It was noted before the close; whoever asks again hears of it.
    within(subscribing).await.unwrap();
    assert_eq!(within(consumer.subscribe("U", "*")).await.unwrap_err().code(), ErrorCode::Closed);
    assert!(consumer.queues().is_empty());
    within(client.close()).await;
}
