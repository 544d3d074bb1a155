//! The queue and the promise of one event per call, without any broker: nothing listens at the client's address.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use mq_binding::{Client, Config, Error, ErrorCode, Event, Message, Outcome, Producer, Queue};

const LONG: Duration = Duration::from_secs(20);

/// A client whose NameServer refuses connections, and a producer whose sends end soon.
fn lonely() -> (Client, Producer) {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = Config::new();
    config.set("namesrv", &unused.to_string()).unwrap();
    let client = Client::new(&config, "RUST").unwrap();
    let mut config = Config::new();
    config.set("sendMsgTimeout", "200ms").unwrap();
    config.set("async_send_max", "1000").unwrap();
    let producer = client.producer(&config).unwrap();
    (client, producer)
}

fn message() -> Message {
    Message::new("orders", "42 apples")
}

/// Polls until `count` completions are there.
fn completions(queue: &Queue, count: usize) -> Vec<(u64, Result<Outcome, Error>)> {
    let mut events = Vec::new();
    while events.len() < count {
        assert!(queue.poll(&mut events, 64, LONG).unwrap() > 0, "only {} of {count} events", events.len());
    }
    let done = |event| match event {
        Event::Done { tag, result } => (tag, result),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(done).collect()
}

fn is_readable(fd: RawFd) -> bool {
    // SAFETY: the queue keeps it open for as long as the test has the queue.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

#[test]
fn each_accepted_send_gets_one_event() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    for tag in 0..500 {
        producer.send_async(message(), None, &queue, tag).unwrap();
    }
    let mut done = completions(&queue, 500);
    done.sort_by_key(|(tag, _)| *tag);
    for (expected, (tag, result)) in done.into_iter().enumerate() {
        assert_eq!(tag, expected as u64);
        let code = result.unwrap_err().code();
        assert!(matches!(code, ErrorCode::Network | ErrorCode::Timeout), "{code}");
    }
    client.close(None).unwrap();
    assert!(queue.is_empty());
}

#[test]
fn sends_under_way_are_bounded_until_they_are_polled() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    for tag in 0..1000 {
        producer.send_async(message(), None, &queue, tag).unwrap();
    }
    let error = producer.send_async(message(), None, &queue, 1000).unwrap_err();
    assert_eq!(error.code(), ErrorCode::QueueFull);
    completions(&queue, 1000);
    producer.send_async(message(), None, &queue, 1001).unwrap();
    assert_eq!(completions(&queue, 1)[0].0, 1001);
    client.close(None).unwrap();
}

#[test]
fn a_full_window_refuses_or_keeps_waiting_as_it_is_set() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::new();
    config.set("namesrv", &silent.local_addr().unwrap().to_string()).unwrap();
    let client = Client::new(&config, "RUST").unwrap();
    for (wait, refused) in [("false", 3), ("true", 0)] {
        let mut config = Config::new();
        for (name, value) in [("max_in_flight", "2"), ("wait_when_full", wait), ("close_timeout", "0")] {
            config.set(name, value).unwrap();
        }
        let producer = client.producer(&config).unwrap();
        let queue = Queue::new();
        for tag in 0..5 {
            producer.send_async(message(), Some(LONG), &queue, tag).unwrap();
        }
        // The first two wait for an answer that does not come, until they are cut.
        for (tag, result) in completions(&queue, refused) {
            assert!(tag >= 2 && result.unwrap_err().code() == ErrorCode::QueueFull, "{tag}");
        }
        assert!(queue.is_empty());
        assert_eq!(producer.close(None).unwrap_err().code(), ErrorCode::Timeout);
        assert_eq!(completions(&queue, 5 - refused).len(), 5 - refused);
    }
    client.close(None).unwrap();
}

#[test]
fn a_cancelled_send_gets_one_event() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    let other = Queue::new();
    producer.send_async(message(), Some(LONG), &queue, 1).unwrap();
    producer.send_async(message(), None, &queue, 2).unwrap();
    producer.send_async(message(), None, &other, 1).unwrap();
    producer.cancel(&queue, 1).unwrap();
    producer.cancel(&queue, 99).unwrap();
    let mut done = completions(&queue, 2);
    done.sort_by_key(|(tag, _)| *tag);
    let codes: Vec<_> = done.into_iter().map(|(tag, result)| (tag, result.unwrap_err().code())).collect();
    assert_eq!(codes[0], (1, ErrorCode::Cancelled));
    assert!(codes[1].0 == 2 && codes[1].1 != ErrorCode::Cancelled);
    assert_ne!(completions(&other, 1).remove(0).1.unwrap_err().code(), ErrorCode::Cancelled);
    client.close(None).unwrap();
    assert!(queue.is_empty() && other.is_empty());
}

#[test]
fn closing_while_busy_completes_every_call() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    for tag in 0..200 {
        producer.send_async(message(), Some(LONG), &queue, tag).unwrap();
    }
    client.close_async(Some(Duration::from_millis(50)), &queue, 1000).unwrap();
    let done = completions(&queue, 201);
    let mut tags: Vec<u64> = done.iter().map(|(tag, _)| *tag).collect();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), 201);
    assert_eq!(producer.send_async(message(), None, &queue, 1).unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(producer.send(message(), None).unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(client.producer(&Config::new()).unwrap_err().code(), ErrorCode::Closed);
    producer.close(None).unwrap();
    client.close(None).unwrap();
    assert!(queue.is_empty());
}

#[test]
fn a_dropped_producer_finishes_what_it_accepted() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    producer.send_async(message(), None, &queue, 5).unwrap();
    drop(producer);
    assert_eq!(completions(&queue, 1)[0].0, 5);
    client.close(None).unwrap();
}

#[test]
fn a_blocking_send_fails_in_time_and_is_refused_on_runtime_threads() {
    let (client, producer) = lonely();
    let code = producer.send(message(), Some(Duration::from_millis(100))).unwrap_err().code();
    assert!(matches!(code, ErrorCode::Network | ErrorCode::Timeout), "{code}");
    let host = tokio::runtime::Builder::new_current_thread().build().unwrap();
    host.block_on(async {
        assert_eq!(producer.send(message(), None).unwrap_err().code(), ErrorCode::State);
        assert_eq!(client.close(None).unwrap_err().code(), ErrorCode::State);
        let queue = Queue::new();
        let mut events = Vec::new();
        assert_eq!(queue.poll(&mut events, 1, LONG).unwrap_err().code(), ErrorCode::State);
        assert_eq!(queue.poll(&mut events, 1, Duration::ZERO).unwrap(), 0);
    });
    client.close(None).unwrap();
}

#[test]
fn the_descriptor_is_readable_while_events_wait() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    let fd = queue.fd().unwrap();
    assert_eq!(fd, queue.fd().unwrap());
    assert!(!is_readable(fd));
    producer.send_async(message(), None, &queue, 1).unwrap();
    producer.send_async(message(), None, &queue, 2).unwrap();
    let mut events = Vec::new();
    while events.is_empty() {
        queue.poll(&mut events, 1, LONG).unwrap();
    }
    while queue.is_empty() {
        std::thread::yield_now();
    }
    assert!(is_readable(fd));
    assert_eq!(queue.poll(&mut events, 64, LONG).unwrap(), 1);
    assert!(!is_readable(fd));
    queue.close().unwrap();
    assert!(is_readable(fd));
    client.close(None).unwrap();
}

#[test]
fn the_callback_runs_on_empty_to_non_empty_and_never_after_it_was_taken_away() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    let (sender, calls) = mpsc::channel();
    let sender = Mutex::new(sender);
    queue.set_wakeup(Some(Box::new(move || sender.lock().unwrap().send(()).unwrap()))).unwrap();
    assert!(calls.try_recv().is_err());
    producer.send_async(message(), None, &queue, 1).unwrap();
    calls.recv_timeout(LONG).unwrap();
    completions(&queue, 1);
    // Set on a queue that is not empty: called at once.
    producer.send_async(message(), None, &queue, 2).unwrap();
    calls.recv_timeout(LONG).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    queue.set_wakeup(Some(Box::new(move || _ = counter.fetch_add(1, Ordering::SeqCst)))).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 1);
    queue.set_wakeup(None).unwrap();
    assert_eq!(Arc::strong_count(&count), 1, "the callback is dropped");
    completions(&queue, 1);
    producer.send_async(message(), None, &queue, 3).unwrap();
    completions(&queue, 1);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    client.close(None).unwrap();
}

#[test]
fn a_callback_may_poll_but_not_change_itself_and_may_panic() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    let (sender, seen) = mpsc::channel();
    let (inner, sender) = (queue.clone(), Mutex::new(sender));
    let callback = move || {
        let mut events = Vec::new();
        inner.poll(&mut events, 64, Duration::ZERO).unwrap();
        let refused = inner.set_wakeup(None).unwrap_err().code();
        sender.lock().unwrap().send((events.len(), refused)).unwrap();
        panic!("a bug of the host");
    };
    queue.set_wakeup(Some(Box::new(callback))).unwrap();
    for tag in 0..3 {
        producer.send_async(message(), None, &queue, tag).unwrap();
        assert_eq!(seen.recv_timeout(LONG).unwrap(), (1, ErrorCode::State));
    }
    queue.destroy();
    client.close(None).unwrap();
}

#[test]
fn a_closed_queue_gives_what_waits_and_takes_nothing() {
    let (client, producer) = lonely();
    let queue = Queue::new();
    producer.send_async(message(), None, &queue, 1).unwrap();
    while queue.is_empty() {
        std::thread::yield_now();
    }
    let waiting = queue.clone();
    queue.close().unwrap();
    queue.close().unwrap();
    let mut events = Vec::new();
    assert_eq!(waiting.poll(&mut events, 64, LONG).unwrap(), 1);
    assert_eq!(waiting.poll(&mut events, 64, LONG).unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(producer.send_async(message(), None, &queue, 2).unwrap_err().code(), ErrorCode::Closed);
    client.close(None).unwrap();
}

#[test]
fn a_wake_makes_the_descriptor_readable_until_the_next_poll() {
    let queue = Queue::new();
    queue.wake().unwrap();
    assert!(is_readable(queue.fd().unwrap()), "also when the descriptor is made later");
    let mut events = Vec::new();
    for timeout in [Duration::ZERO, LONG] {
        queue.wake().unwrap();
        assert!(is_readable(queue.fd().unwrap()));
        assert_eq!(queue.poll(&mut events, 1, timeout).unwrap(), 0);
        assert!(!is_readable(queue.fd().unwrap()));
    }
}

#[test]
fn waiting_polls_end_by_wake_close_and_time() {
    let queue = Queue::new();
    let mut events = Vec::new();
    assert_eq!(queue.poll(&mut events, 1, Duration::from_millis(20)).unwrap(), 0);
    queue.wake().unwrap();
    assert_eq!(queue.poll(&mut events, 1, Duration::MAX).unwrap(), 0);
    let poller = {
        let queue = queue.clone();
        std::thread::spawn(move || queue.poll(&mut Vec::new(), 1, Duration::MAX).map_err(|e| e.code()))
    };
    queue.close().unwrap();
    assert_eq!(poller.join().unwrap(), Err(ErrorCode::Closed));
}
