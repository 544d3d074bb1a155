//! All of it together: the embedded broker, producers, consumers with reply tokens, the log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mq_binding::{
    Broker, Client, Config, ConsumeResult, ErrorCode, Event, LogLevel, Message, MessageView, Outcome,
    PushConsumer, Queue, ReplyToken, set_log_hook, set_log_queue,
};

const LONG: Duration = Duration::from_secs(60);

fn config(pairs: &[(&str, &str)]) -> Config {
    let mut config = Config::new();
    for (key, value) in pairs {
        config.set(key, value).unwrap();
    }
    config
}

fn client_of(broker: &Broker) -> Client {
    Client::new(&config(&[("namesrv", &broker.address().unwrap())]), "RUST").unwrap()
}

fn consumer_of(client: &Client, queue: &Queue, topic: &str, settings: &[(&str, &str)]) -> PushConsumer {
    let mut config = config(settings);
    config.set("group", topic).unwrap();
    config.set("consume_from_where", "FIRST").unwrap();
    let consumer = client.push_consumer(&config, queue, 7).unwrap();
    consumer.subscribe(topic, "*").unwrap();
    consumer
}

fn next(queue: &Queue) -> Event {
    let mut events = Vec::new();
    assert_eq!(queue.poll(&mut events, 1, LONG).unwrap(), 1, "no event came");
    events.remove(0)
}

fn next_message(queue: &Queue) -> (MessageView, ReplyToken) {
    match next(queue) {
        Event::Message { consumer: 7, mut messages, token } => (messages.remove(0), token),
        other => panic!("{other:?}"),
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn messages_go_round_and_survive_a_kill() {
    let broker = Broker::start(&Config::new()).unwrap();
    broker.create_topic("orders", 2).unwrap();
    let client = client_of(&broker);
    let producer = client.producer(&Config::new()).unwrap();
    let queue = Queue::new();
    let receipt = producer.send(Message::new("orders", "first").tag("paid").key("42"), Some(LONG)).unwrap();
    producer.send_async(Message::new("orders", "second"), Some(LONG), &queue, 1).unwrap();
    assert!(matches!(next(&queue), Event::Done { tag: 1, result: Ok(Outcome::Sent(_)) }));
    let list = vec![Message::new("orders", "third"), Message::new("orders", "fourth")];
    producer.send_batch_async(list, Some(LONG), &queue, 2).unwrap();
    assert!(matches!(next(&queue), Event::Done { tag: 2, result: Ok(Outcome::SentBatch(_)) }));

    let address = broker.address().unwrap();
    broker.kill().unwrap();
    assert_eq!(broker.create_topic("orders", 2).unwrap_err().code(), ErrorCode::State);
    broker.restart().unwrap();
    assert_eq!(broker.address().unwrap(), address);

    let consumer = consumer_of(&client, &queue, "orders", &[]);
    consumer.start(Some(LONG)).unwrap();
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let (message, token) = next_message(&queue);
        if message.body() == "first" {
            assert_eq!((message.tag(), &*message.message_id()), (Some("paid"), receipt.message_id.as_str()));
        }
        bodies.push(message.body());
        token.reply(ConsumeResult::Success).unwrap();
    }
    bodies.sort();
    assert_eq!(bodies, ["first", "fourth", "second", "third"]);
    consumer.close(Some(LONG)).unwrap();
    client.close(Some(LONG)).unwrap();
    let data_dir: PathBuf = broker.data_dir().unwrap().to_owned();
    broker.stop(Some(LONG)).unwrap();
    assert!(data_dir.exists());
    drop(broker);
    assert!(!data_dir.exists());
}

#[test]
fn unanswered_messages_are_bounded_and_come_again() {
    let broker = Broker::start(&config(&[("messageDelayLevel", "1s 1s 1s")])).unwrap();
    broker.create_topic("bounded", 1).unwrap();
    let client = client_of(&broker);
    let producer = client.producer(&Config::new()).unwrap();
    for _ in 0..3 {
        producer.send(Message::new("bounded", "x"), Some(LONG)).unwrap();
    }
    let queue = Queue::new();
    let permits = [("consume_thread_min", "1"), ("consume_thread_max", "2")];
    let consumer = consumer_of(&client, &queue, "bounded", &permits);
    consumer.start_async(Some(LONG), &queue, 3).unwrap();
    // The first messages may come before the start is reported.
    let mut tokens = Vec::new();
    let mut started = false;
    while tokens.len() < 2 || !started {
        match next(&queue) {
            Event::Done { tag: 3, result: Ok(Outcome::Started) } => started = true,
            Event::Message { token, .. } => tokens.push(token),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(queue.poll(&mut Vec::new(), 1, Duration::from_millis(200)).unwrap(), 0);
    // One is dropped, one answered by its number; both make room.
    let (second, first) = (tokens.pop().unwrap(), tokens.pop().unwrap());
    drop(first);
    let id = second.into_id();
    consumer.reply(id, ConsumeResult::LATER).unwrap();
    assert_eq!(consumer.reply(id, ConsumeResult::Success).unwrap_err().code(), ErrorCode::State);
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let (message, token) = next_message(&queue);
        attempts.push(message.delivery_attempt());
        token.reply(ConsumeResult::Success).unwrap();
    }
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2, 2]);
    consumer.close(Some(LONG)).unwrap();
    client.close(Some(LONG)).unwrap();
}

#[test]
fn a_consumer_that_owes_answers_is_closed_in_time_and_handles_may_be_dropped_in_any_order() {
    let broker = Broker::start(&Config::new()).unwrap();
    broker.create_topic("owed", 1).unwrap();
    let client = client_of(&broker);
    client.producer(&Config::new()).unwrap().send(Message::new("owed", "x"), Some(LONG)).unwrap();
    let queue = Queue::new();
    let consumer = consumer_of(&client, &queue, "owed", &[]);
    consumer.start(Some(LONG)).unwrap();
    let (_, token) = next_message(&queue);
    assert_eq!(consumer.close(Some(Duration::from_millis(50))).unwrap_err().code(), ErrorCode::Timeout);
    consumer.close(None).unwrap();
    token.reply(ConsumeResult::Success).unwrap();
    drop(broker);
    drop(client);
    drop(queue);
    drop(consumer);
}

#[test]
fn log_lines_reach_a_hook_or_a_queue_and_nobody_else() {
    let broker = Broker::start(&Config::new()).unwrap();
    let noise = || client_of(&broker).close(None).unwrap();
    let lines: Arc<Mutex<Vec<(LogLevel, String, String)>>> = Arc::default();
    let hooked = Arc::clone(&lines);
    let hook = move |level: LogLevel, target: &str, message: &str| {
        let changed = set_log_hook(None, LogLevel::Off).unwrap_err().code();
        assert_eq!(changed, ErrorCode::State);
        hooked.lock().unwrap().push((level, target.to_owned(), message.to_owned()));
    };
    set_log_hook(Some(Arc::new(hook)), LogLevel::Debug).unwrap();
    noise();
    set_log_hook(None, LogLevel::Off).unwrap();
    let count = lines.lock().unwrap().len();
    assert!(lines.lock().unwrap().iter().any(|(level, target, message)| {
        *level <= LogLevel::Debug && target.starts_with("mq_client") && message.contains("client made")
    }));
    noise();
    assert_eq!(lines.lock().unwrap().len(), count);

    let queue = Queue::new();
    set_log_queue(Some(&queue), LogLevel::Debug).unwrap();
    noise();
    assert!(matches!(next(&queue), Event::Log { level, .. } if level != LogLevel::Off));
    queue.close().unwrap();
    assert_eq!(set_log_queue(Some(&queue), LogLevel::Debug).unwrap_err().code(), ErrorCode::Closed);
    set_log_queue(None, LogLevel::Off).unwrap();
}

#[test]
fn settings_of_the_broker_have_apaches_names_and_short_ones() {
    let error = Config::new().set("flushDiskTyp", "SYNC_FLUSH").unwrap_err();
    assert!(error.to_string().contains("did you mean 'flushDiskType'?"), "{error}");
    let error = Config::new().set("flushDiskType", "NEVER").unwrap_err();
    assert!(error.to_string().contains("NEVER"), "{error}");
    let error = Broker::start(&config(&[("group", "orders")])).unwrap_err();
    assert!(error.to_string().contains("'group' is not a setting of the broker"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let settings = config(&[
        ("data_dir", path.to_str().unwrap()),
        ("flush_disk_type", "SYNC_FLUSH"),
        ("brokerName", "b1"),
    ]);
    assert_eq!(settings.get("storePathRootDir"), path.to_str());
    let broker = Broker::start(&settings).unwrap();
    assert_eq!(Broker::start(&settings).unwrap_err().code(), ErrorCode::Io);
    broker.stop(Some(LONG)).unwrap();
    drop(broker);
    assert!(path.exists());
}

#[test]
fn faults_and_the_clock_reach_the_broker_and_outlive_a_restart() {
    let broker = Broker::start(&Config::new()).unwrap();
    broker.create_topic("later", 1).unwrap();
    assert_eq!(broker.fail_next("SEND", "SYSTEM_BUSY", 1).unwrap_err().code(), ErrorCode::Argument);
    assert_eq!(broker.fail_next("SEND_MESSAGE", "BUSY", 1).unwrap_err().code(), ErrorCode::Argument);
    let client = client_of(&broker);
    let producer = client.producer(&config(&[("retry_times_when_send_failed", "0")])).unwrap();
    broker.fail_next("SEND_MESSAGE", "NO_PERMISSION", 1).unwrap();
    broker.stop(Some(LONG)).unwrap();
    broker.restart().unwrap();
    let error = producer.send(Message::new("later", "x"), Some(LONG)).unwrap_err();
    assert_eq!(error.broker_code(), Some(16), "{error}");

    let queue = Queue::new();
    let consumer = consumer_of(&client, &queue, "later", &[]);
    consumer.start(Some(LONG)).unwrap();
    // Level 18 is two hours.
    producer.send(Message::new("later", "in two hours").delay_level(18), Some(LONG)).unwrap();
    let before = broker.clock().unwrap();
    broker.advance_clock(Duration::from_secs(2 * 3600)).unwrap();
    assert!(broker.clock().unwrap() >= before + 2 * 3_600_000);
    let (message, token) = next_message(&queue);
    assert_eq!(message.body(), "in two hours");
    token.reply(ConsumeResult::Success).unwrap();
    broker.delay_next("15", Duration::from_millis(1), 1).unwrap();
    broker.lose_answer_next("SEND_MESSAGE", 1).unwrap();
    broker.drop_next("SEND_MESSAGE", 1).unwrap();
    broker.refuse_connections(true).unwrap();
    broker.clear_faults().unwrap();
    producer.send(Message::new("later", "after"), Some(LONG)).unwrap();
    let (message, token) = next_message(&queue);
    assert_eq!(message.body(), "after");
    token.reply(ConsumeResult::Success).unwrap();
    consumer.close(Some(LONG)).unwrap();
    client.close(Some(LONG)).unwrap();
    broker.stop(Some(LONG)).unwrap();
}

#[test]
fn dead_letters_are_read_and_sent_again() {
    let broker = Broker::start(&Config::new()).unwrap();
    broker.create_topic("dying", 1).unwrap();
    let client = client_of(&broker);
    let producer = client.producer(&Config::new()).unwrap();
    let queue = Queue::new();
    let consumer = consumer_of(&client, &queue, "dying", &[]);
    consumer.start(Some(LONG)).unwrap();
    let letters = client.dead_letters("dying").unwrap();
    assert!(letters.read(10).unwrap().is_empty());
    producer.send(Message::new("dying", "x").tag("t"), Some(LONG)).unwrap();
    let (_, token) = next_message(&queue);
    token.reply(ConsumeResult::Later { delay_level: Some(-1) }).unwrap();
    let mut found = None;
    wait_until("a dead letter comes", || {
        found = letters.read(10).unwrap().pop();
        found.is_some()
    });
    let letter = found.unwrap();
    assert_eq!((letter.origin_topic(), letter.tag()), (Some("dying"), Some("t")));
    letters.rewind().unwrap();
    let events = Queue::new();
    letters.read_async(10, &events, 1).unwrap();
    match next(&events) {
        Event::Done { tag: 1, result: Ok(Outcome::Polled(again)) } => assert_eq!(again.len(), 1),
        other => panic!("{other:?}"),
    }
    letters.resend_async(&letter, &events, 2).unwrap();
    assert!(matches!(next(&events), Event::Done { tag: 2, result: Ok(Outcome::Sent(_)) }));
    let (message, token) = next_message(&queue);
    assert_eq!((message.body(), message.origin_topic()), (letter.body(), None));
    token.reply(ConsumeResult::Success).unwrap();
    client.close(Some(LONG)).unwrap();
    assert_eq!(letters.read(10).unwrap_err().code(), ErrorCode::Closed);
    broker.stop(Some(LONG)).unwrap();
}

#[test]
fn what_nobody_polled_is_taken_back_by_the_close_and_given_to_the_next_member_as_new() {
    let broker = Broker::start(&Config::new()).unwrap();
    broker.create_topic("unread", 2).unwrap();
    let client = client_of(&broker);
    let producer = client.producer(&Config::new()).unwrap();
    for n in 0..20 {
        producer.send(Message::new("unread", format!("{n}")), Some(LONG)).unwrap();
    }
    for mode in ["orderly", "concurrent"] {
        let queue = Queue::new();
        let consumer = consumer_of(&client, &queue, "unread", &[("consume_mode", mode)]);
        consumer.start(Some(LONG)).unwrap();
        // One was polled and is answered, the others wait.
        let (_, token) = next_message(&queue);
        wait_until("more messages wait", || !queue.is_empty());
        token.reply(ConsumeResult::Success).unwrap();
        consumer.close(Some(LONG)).unwrap();
        assert!(queue.is_empty());
    }
    let queue = Queue::new();
    let consumer = consumer_of(&client, &queue, "unread", &[]);
    consumer.start(Some(LONG)).unwrap();
    for _ in 0..18 {
        let (message, token) = next_message(&queue);
        assert_eq!(message.delivery_attempt(), 1);
        token.reply(ConsumeResult::Success).unwrap();
    }
    client.close(Some(LONG)).unwrap();
    broker.stop(Some(LONG)).unwrap();
}
