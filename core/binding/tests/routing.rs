//! Queues by name, lists that are divided, calls that are cancelled, warnings: over the embedded broker.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use mq_binding::{
    Broker, Client, Config, ErrorCode, Event, Message, MessageQueue, Outcome, Queue, WarningCode,
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

#[test]
fn messages_go_to_chosen_queues() {
    let broker = Broker::start(&Config::new()).unwrap();
    broker.create_topic("orders", 2).unwrap();
    let client = Client::new(&config(&[("namesrv", &broker.address().unwrap())]), "RUST").unwrap();
    let producer = client.producer(&config(&[("max_message_size", "1000")])).unwrap();
    let queue = Queue::new();

    let queues = producer.queues("orders").unwrap();
    assert_eq!(queues.iter().map(|queue| queue.queue_id).collect::<Vec<_>>(), [0, 1]);
    producer.queues_async("orders", &queue, 1).unwrap();
    assert!(
        matches!(next(&queue), Event::Done { tag: 1, result: Ok(Outcome::Queues(same)) } if same == queues)
    );

    let [_, second] = &queues[..] else { panic!("two queues") };
    let receipt = producer.send_to_queue(Message::new("orders", "x"), second, Some(LONG)).unwrap();
    assert_eq!(receipt.queue_id, 1);
    producer.send_to_queue_async(Message::new("orders", "x"), second, Some(LONG), &queue, 2).unwrap();
    match next(&queue) {
        Event::Done { tag: 2, result: Ok(Outcome::Sent(receipt)) } => assert_eq!(receipt.queue_id, 1),
        other => panic!("{other:?}"),
    }
    let other = MessageQueue { topic: "billing".to_owned(), ..second.clone() };
    let error = producer.send_to_queue(Message::new("orders", "x"), &other, None).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Argument);

    let lists = producer.split_batch(vec![Message::new("orders", vec![b'x'; 300]); 7]).unwrap();
    assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), 7);
    for list in lists {
        producer.send_batch(list, Some(LONG)).unwrap();
    }
    client.close(Some(LONG)).unwrap();
    assert_eq!(producer.queues("orders").unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(producer.queues_async("orders", &queue, 3).unwrap_err().code(), ErrorCode::Closed);
    broker.stop(Some(LONG)).unwrap();
}

#[test]
fn a_cancelled_call_has_one_event_and_makes_room() {
    let broker = Broker::start(&Config::new()).unwrap();
    let address = broker.address().unwrap();
    let client = Client::new(&config(&[("namesrv", &address), ("request_timeout", "60s")]), "RUST").unwrap();
    let producer = client.producer(&Config::new()).unwrap();
    let queue = Queue::new();
    broker.delay_next("GET_ROUTEINFO_BY_TOPIC", LONG, 10_000).unwrap();
    // As many as may be under way, then one more.
    let mut accepted = 0;
    let full = loop {
        match producer.queues_async("unknown", &queue, accepted % 2) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.code(), ErrorCode::QueueFull);
    producer.cancel(&Queue::new(), 0).unwrap();
    producer.cancel(&queue, 1).unwrap();
    for _ in 0..accepted / 2 {
        match next(&queue) {
            Event::Done { tag: 1, result: Err(error) } => assert_eq!(error.code(), ErrorCode::Cancelled),
            other => panic!("{other:?}"),
        }
    }
    producer.queues_async("unknown", &queue, 2).unwrap();
    // What is left ends with the client, each with its event.
    broker.clear_faults().unwrap();
    producer.cancel(&queue, 0).unwrap();
    producer.cancel(&queue, 2).unwrap();
    for _ in 0..=accepted / 2 {
        assert!(matches!(next(&queue), Event::Done { tag: 0 | 2, result: Err(_) }));
    }
    assert!(queue.is_empty());
    client.close(Some(LONG)).unwrap();
    broker.stop(Some(LONG)).unwrap();
}

#[test]
fn warnings_come_on_the_consumers_queue() {
    let broker = Broker::start(&Config::new()).unwrap();
    broker.create_topic("orders", 2).unwrap();
    let client = Client::new(&config(&[("namesrv", &broker.address().unwrap())]), "RUST").unwrap();
    let queue = Queue::new();
    let consumer = client.push_consumer(&config(&[("group", "billing")]), &queue, 7).unwrap();
    consumer.subscribe("orders", "a").unwrap();
    consumer.subscribe("orders", "b").unwrap();
    consumer.start(Some(LONG)).unwrap();
    match next(&queue) {
        Event::Warning { consumer: 7, warning } => {
            assert_eq!(warning.code, WarningCode::DuplicateSubscription)
        }
        other => panic!("{other:?}"),
    }
    let own = consumer.assignment().unwrap();
    assert_eq!(own.iter().filter(|queue| queue.topic == "orders").count(), 2);
    client.close(Some(LONG)).unwrap();
    assert!(consumer.assignment().unwrap().is_empty());
    broker.stop(Some(LONG)).unwrap();
}

#[test]
fn subscriptions_change_before_the_start_while_it_runs_and_not_after() {
    let broker = Broker::start(&Config::new()).unwrap();
    for topic in ["one", "two"] {
        broker.create_topic(topic, 2).unwrap();
    }
    let client = Client::new(&config(&[("namesrv", &broker.address().unwrap())]), "RUST").unwrap();
    let queue = Queue::new();
    let consumer = client.push_consumer(&config(&[("group", "billing")]), &queue, 7).unwrap();
    // A topic that was taken off again gives neither queues nor a warning.
    consumer.subscribe("one", "a").unwrap();
    consumer.subscribe("one", "b").unwrap();
    consumer.unsubscribe("one").unwrap();
    assert_eq!(consumer.start(Some(LONG)).unwrap_err().code(), ErrorCode::State);
    consumer.subscribe_async("one", "*", &queue, 1).unwrap();
    assert!(matches!(next(&queue), Event::Done { tag: 1, result: Ok(Outcome::Done) }));
    consumer.start(Some(LONG)).unwrap();
    let queues_of =
        |topic: &str| consumer.assignment().unwrap().iter().filter(|queue| queue.topic == topic).count();
    assert_eq!((queues_of("one"), queues_of("two"), queue.is_empty()), (2, 0, true));
    consumer.subscribe("two", "a || b").unwrap();
    consumer.unsubscribe_async("one", &queue, 2).unwrap();
    assert!(matches!(next(&queue), Event::Done { tag: 2, result: Ok(Outcome::Done) }));
    assert_eq!((queues_of("one"), queues_of("two")), (0, 2));
    consumer.subscribe_async("a b", "*", &queue, 3).unwrap();
    match next(&queue) {
        Event::Done { tag: 3, result: Err(error) } => assert_eq!(error.code(), ErrorCode::Argument),
        other => panic!("{other:?}"),
    }
    // A broker that does not answer: the call can be given up, and closing does not wait for it.
    broker.lose_answer_next("GET_CONSUMER_LIST_BY_GROUP", 100).unwrap();
    consumer.subscribe_async("one", "*", &queue, 4).unwrap();
    consumer.cancel(&queue, 4).unwrap();
    match next(&queue) {
        Event::Done { tag: 4, result: Err(error) } => assert_eq!(error.code(), ErrorCode::Cancelled),
        other => panic!("{other:?}"),
    }
    broker.clear_faults().unwrap();
    consumer.close(Some(LONG)).unwrap();
    assert_eq!(consumer.subscribe("one", "*").unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(consumer.unsubscribe("one").unwrap_err().code(), ErrorCode::Closed);
    client.close(Some(LONG)).unwrap();
    broker.stop(Some(LONG)).unwrap();
}
