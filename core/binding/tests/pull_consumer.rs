//! Pull consumers over the embedded broker: blocking and with events, cancelled and closed while they are busy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use mq_binding::{
    Broker, Client, Config, ErrorCode, Event, Message, MessageQueue, MessageView, Outcome, PullConsumer,
    Queue, Seek,
};

const LONG: Duration = Duration::from_secs(60);

fn config(pairs: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    config
}

fn next(queue: &Queue) -> Event {
    let mut events = Vec::new();
    assert_eq!(queue.poll(&mut events, 1, LONG).unwrap(), 1, "no event came");
    events.remove(0)
}

fn outcome(queue: &Queue, wanted: u64) -> Outcome {
    match next(queue) {
        Event::Done { tag, result } if tag == wanted => result.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn puller(client: &Client, group: &str, settings: &[(&str, &str)]) -> PullConsumer {
    let mut config = config(settings);
    config.set("group", group).unwrap();
    config.set("consume_from_where", "FIRST").unwrap();
    client.pull_consumer(&config).unwrap()
}

fn poll_for(consumer: &PullConsumer, wanted: usize) -> Vec<MessageView> {
    let mut messages = Vec::new();
    while messages.len() < wanted {
        let more = consumer.poll(Some(LONG)).unwrap();
        assert!(!more.is_empty(), "no message came");
        messages.extend(more);
    }
    messages
}

struct World {
    broker: Broker,
    client: Client,
    queues: Vec<MessageQueue>,
}

/// A topic of two queues with three messages in each.
fn world() -> World {
    let broker = Broker::start(&Config::new()).unwrap();
    broker.create_topic("orders", 2).unwrap();
    let client = Client::new(&config(&[("namesrv", &broker.address().unwrap())]), "RUST").unwrap();
    let producer = client.producer(&Config::new()).unwrap();
    let queues = producer.queues("orders").unwrap();
    for queue in &queues {
        for number in 0..3 {
            let message = Message::new("orders", format!("{}/{number}", queue.queue_id));
            producer.send_to_queue(message, queue, Some(LONG)).unwrap();
        }
    }
    World { broker, client, queues }
}

impl World {
    fn end(self) {
        self.client.close(Some(LONG)).unwrap();
        self.broker.stop(Some(LONG)).unwrap();
    }
}

#[test]
fn a_subscriber_polls_commits_and_goes_on_where_it_was() {
    let world = world();
    let manual = [("auto_commit", "false")];
    let consumer = puller(&world.client, "billing", &manual);
    assert_eq!(consumer.poll(None).unwrap_err().code(), ErrorCode::State);
    consumer.subscribe("orders", "*").unwrap();
    consumer.subscribe("later", "*").unwrap();
    consumer.unsubscribe("later").unwrap();
    consumer.start(Some(LONG)).unwrap();
    assert_eq!(consumer.start(Some(LONG)).unwrap_err().code(), ErrorCode::State);
    assert_eq!(consumer.assignment().unwrap(), world.queues);
    assert_eq!(consumer.queues("orders").unwrap(), world.queues);
    assert_eq!(poll_for(&consumer, 6).len(), 6);
    consumer.commit().unwrap();
    let [first, second] = &world.queues[..] else { panic!("two queues") };
    consumer.commit_offsets(&[(first.clone(), 1)]).unwrap();
    assert_eq!(consumer.committed(first).unwrap(), Some(1));
    assert_eq!(consumer.committed(second).unwrap(), Some(3));
    consumer.close(Some(LONG)).unwrap();
    assert_eq!(consumer.poll(None).unwrap_err().code(), ErrorCode::Closed);

    let heir = puller(&world.client, "billing", &manual);
    heir.subscribe("orders", "*").unwrap();
    heir.start(Some(LONG)).unwrap();
    let bodies: Vec<_> = poll_for(&heir, 2).iter().map(MessageView::body).collect();
    assert_eq!(bodies, ["0/1", "0/2"]);
    world.end();
    assert_eq!(heir.poll(None).unwrap_err().code(), ErrorCode::Closed);
}

#[test]
fn queues_by_hand_are_sought_and_paused() {
    let world = world();
    let consumer = puller(&world.client, "audit", &[]);
    let [first, second] = &world.queues[..] else { panic!("two queues") };
    consumer.assign(std::slice::from_ref(first)).unwrap();
    consumer.start(Some(LONG)).unwrap();
    assert_eq!(poll_for(&consumer, 3).len(), 3);
    assert_eq!(consumer.position(first).unwrap(), 3);
    consumer.seek(first, Seek::Offset(2)).unwrap();
    assert_eq!(poll_for(&consumer, 1)[0].body(), "0/2");
    consumer.seek(first, Seek::Time(0)).unwrap();
    assert_eq!(poll_for(&consumer, 3)[0].body(), "0/0");
    consumer.seek(first, Seek::Begin).unwrap();
    consumer.pause(std::slice::from_ref(first)).unwrap();
    assert!(consumer.poll(Some(Duration::ZERO)).unwrap().is_empty());
    consumer.resume(std::slice::from_ref(first)).unwrap();
    assert_eq!(poll_for(&consumer, 3).len(), 3);
    consumer.seek(first, Seek::End).unwrap();
    assert!(consumer.poll(Some(Duration::ZERO)).unwrap().is_empty());
    assert_eq!(consumer.offset_for_timestamp(first, 0).unwrap(), 0);
    assert_eq!(consumer.seek(second, Seek::Begin).unwrap_err().code(), ErrorCode::State);
    consumer.filter_assigned("orders", "no-such-tag").unwrap();
    assert_eq!(consumer.filter_assigned("no spaces", "*").unwrap_err().code(), ErrorCode::Argument);
    consumer.assign(&world.queues).unwrap();
    assert!(consumer.poll(Some(Duration::from_millis(200))).unwrap().is_empty());
    world.end();
}

#[test]
fn every_asynchronous_call_has_one_event() {
    let world = world();
    let (queue, consumer) = (Queue::new(), puller(&world.client, "async", &[]));
    let [first, _] = &world.queues[..] else { panic!("two queues") };
    consumer.subscribe_async("orders", "*", &queue, 1).unwrap();
    assert!(matches!(outcome(&queue, 1), Outcome::Done));
    consumer.unsubscribe_async("orders", &queue, 2).unwrap();
    assert!(matches!(outcome(&queue, 2), Outcome::Done));
    consumer.start_async(Some(LONG), &queue, 3).unwrap();
    assert!(matches!(outcome(&queue, 3), Outcome::Started));
    consumer.assign_async(std::slice::from_ref(first), &queue, 4).unwrap();
    assert!(matches!(outcome(&queue, 4), Outcome::Done));
    let mut bodies = Vec::new();
    while bodies.len() < 3 {
        consumer.poll_async(Some(LONG), &queue, 5).unwrap();
        match outcome(&queue, 5) {
            Outcome::Polled(messages) => bodies.extend(messages.iter().map(MessageView::body)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bodies, ["0/0", "0/1", "0/2"]);

    // A poll that is given up loses nothing of what comes after.
    consumer.poll_async(Some(LONG), &queue, 6).unwrap();
    consumer.cancel(&queue, 6).unwrap();
    match next(&queue) {
        Event::Done { tag: 6, result: Err(error) } => assert_eq!(error.code(), ErrorCode::Cancelled),
        other => panic!("{other:?}"),
    }
    consumer.seek_async(first, Seek::Offset(2), &queue, 7).unwrap();
    assert!(matches!(outcome(&queue, 7), Outcome::Done));
    consumer.position_async(first, &queue, 8).unwrap();
    assert!(matches!(outcome(&queue, 8), Outcome::Offset(Some(2))));
    consumer.commit_offsets_async(&[(first.clone(), 2)], &queue, 9).unwrap();
    assert!(matches!(outcome(&queue, 9), Outcome::Done));
    consumer.committed_async(first, &queue, 10).unwrap();
    assert!(matches!(outcome(&queue, 10), Outcome::Offset(Some(2))));
    consumer.offset_for_timestamp_async(first, 0, &queue, 11).unwrap();
    assert!(matches!(outcome(&queue, 11), Outcome::Offset(Some(0))));
    consumer.queues_async("orders", &queue, 12).unwrap();
    assert!(matches!(outcome(&queue, 12), Outcome::Queues(all) if all == world.queues));
    consumer.commit_async(&queue, 13).unwrap();
    assert!(matches!(outcome(&queue, 13), Outcome::Done));

    // Closing ends a poll that waits.
    consumer.assign_async(&world.queues[1..], &queue, 14).unwrap();
    assert!(matches!(outcome(&queue, 14), Outcome::Done));
    consumer.seek(&world.queues[1], Seek::End).unwrap();
    consumer.poll_async(Some(LONG), &queue, 15).unwrap();
    consumer.close_async(Some(LONG), &queue, 16).unwrap();
    let mut ends = [next(&queue), next(&queue)];
    ends.sort_by_key(|event| if let Event::Done { tag, .. } = event { *tag } else { 0 });
    assert!(matches!(&ends[0], Event::Done { tag: 15, result: Err(e) } if e.code() == ErrorCode::Closed));
    assert!(matches!(&ends[1], Event::Done { tag: 16, result: Ok(Outcome::Closed) }));
    assert!(queue.is_empty());
    world.end();
}

#[test]
fn watched_topics_tell_of_their_queues() {
    let world = world();
    let settings = [("topic_metadata_check_interval", "20ms"), ("rebalance_interval", "20ms")];
    let (queue, consumer) = (Queue::new(), puller(&world.client, "watching", &settings));
    consumer.subscribe("orders", "*").unwrap();
    consumer.start(Some(LONG)).unwrap();
    consumer.watch_queues("orders", &queue, 99).unwrap();
    world.broker.create_topic("orders", 3).unwrap();
    loop {
        match next(&queue) {
            Event::QueueChange { watch: 99, change } => {
                assert_eq!((change.topic.as_str(), change.queues.len()), ("orders", 3));
                if change.assigned.len() == 3 {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    queue.close().unwrap();
    assert_eq!(consumer.watch_queues("orders", &queue, 100).unwrap_err().code(), ErrorCode::Closed);
    world.end();
}

#[test]
fn polls_that_are_cancelled_in_a_race_lose_and_double_nothing() {
    const COUNT: usize = 2000;
    let world = world();
    world.broker.create_topic("race", 4).unwrap();
    let producer = world.client.producer(&Config::new()).unwrap();
    let (sent, queue) = (Queue::new(), Queue::new());
    let consumer = puller(&world.client, "racing", &[("poll_batch_size", "7")]);
    consumer.subscribe("race", "*").unwrap();
    consumer.start(Some(LONG)).unwrap();
    for number in 0..COUNT {
        let message = Message::new("race", number.to_string());
        producer.send_async(message, Some(LONG), &sent, number as u64).unwrap();
    }
    let mut seen = vec![0; COUNT];
    let (mut got, mut tag) = (0, 0);
    while got < COUNT {
        tag += 1;
        consumer.poll_async(Some(LONG), &queue, tag).unwrap();
        // At once, while it is carried out, or too late.
        if tag % 3 != 0 {
            for _ in 0..tag % 50 {
                std::thread::yield_now();
            }
            consumer.cancel(&queue, tag).unwrap();
        }
        match next(&queue) {
            Event::Done { tag: done, result: Ok(Outcome::Polled(messages)) } if done == tag => {
                for message in messages {
                    let number: usize = std::str::from_utf8(&message.body()).unwrap().parse().unwrap();
                    seen[number] += 1;
                    got += 1;
                }
            }
            Event::Done { tag: done, result: Err(error) } if done == tag => {
                assert_eq!(error.code(), ErrorCode::Cancelled);
            }
            other => panic!("{other:?}"),
        }
        assert!(queue.is_empty());
    }
    assert!(seen.iter().all(|times| *times == 1));
    world.end();
}
