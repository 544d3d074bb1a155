//! A forked child: FORKED for what the parent made, no hang, and new handles work.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use mq_binding::{Client, Config, Error, ErrorCode, Message, Queue};

/// Runs `child` in a forked process; it must end within the deadline and say yes.
fn in_child(child: impl FnOnce() -> bool) {
    // SAFETY: the child runs `child` and leaves with `_exit`; glibc's allocator works after a fork.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // A child that hangs is ended by the signal.
            // SAFETY: both calls are async-signal-safe.
            unsafe {
                libc::alarm(20);
                libc::_exit(i32::from(!child()));
            }
        }
        pid => {
            let mut status = 0;
            // SAFETY: `status` is writable.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            assert!(libc::WIFEXITED(status), "the child was ended by signal {}", libc::WTERMSIG(status));
            assert_eq!(libc::WEXITSTATUS(status), 0, "the child says no");
        }
    }
}

fn client() -> Client {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = Config::new();
    config.set("namesrv", &unused.to_string()).unwrap();
    Client::new(&config, "RUST").unwrap()
}

#[test]
fn a_child_is_refused_and_can_begin_anew() {
    let client = client();
    let producer = client.producer(&Config::new()).unwrap();
    let queue = Queue::new();
    let message = || Message::new("orders", "42 apples");
    // Threads that hold locks and wait while the fork happens.
    let poller = {
        let queue = queue.clone();
        std::thread::spawn(move || queue.poll(&mut Vec::new(), 1, Duration::MAX).map(drop))
    };
    for tag in 0..100 {
        producer.send_async(message(), None, &queue, tag).unwrap();
    }
    in_child(|| {
        let forked = |result: Result<(), Error>| matches!(result, Err(e) if e.code() == ErrorCode::Forked);
        let refused = forked(producer.send(message(), None).map(drop))
            && forked(producer.send_async(message(), None, &queue, 1))
            && forked(producer.close(None))
            && forked(client.producer(&Config::new()).map(drop))
            && forked(client.close(None))
            && forked(queue.poll(&mut Vec::new(), 1, Duration::MAX).map(drop))
            && forked(queue.fd().map(drop))
            && forked(queue.set_wakeup(None))
            && forked(queue.close());
        drop((producer.clone(), client.clone(), queue.clone()));
        queue.destroy();
        refused && begins_anew()
    });
    queue.close().unwrap();
    let _ = poller.join().unwrap();
    client.close(None).unwrap();
}

/// A client of the child's own, used and closed.
fn begins_anew() -> bool {
    let client = client();
    let mut config = Config::new();
    config.set("send_timeout", "100").unwrap();
    let producer = client.producer(&config).unwrap();
    let queue = Queue::new();
    producer.send_async(Message::new("orders", "x"), None, &queue, 7).unwrap();
    let mut events = Vec::new();
    queue.poll(&mut events, 1, Duration::from_secs(10)).unwrap() == 1 && client.close(None).is_ok()
}
