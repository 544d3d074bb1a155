//! Locks of ordered queues that are lost, refused, or cannot be renewed.

use std::sync::atomic::AtomicI32;

use futures_util::future::BoxFuture;
use mq_client::{ConsumeMode, Warning, WarningCode};
use mq_protocol::body::{LockBatchBody, LockOkBody};
use tokio::sync::Semaphore;

use super::*;

/// What the server does about requests for locks.
const GRANT: i32 = 0;
const REFUSE: i32 = 1;
const BE_SILENT: i32 = 2;

/// A listener whose calls end when they may, and that keeps the warnings.
struct Patient {
    seen: Mutex<Vec<String>>,
    warnings: Mutex<Vec<Warning>>,
    free: Semaphore,
}

impl Patient {
    /// May end so many calls at once.
    fn new(free: usize) -> Arc<Patient> {
        let free = Semaphore::new(free);
        Arc::new(Patient { seen: Mutex::default(), warnings: Mutex::default(), free })
    }

    fn bodies(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Listener for Patient {
    fn consume(&self, messages: Vec<MessageView>) -> BoxFuture<'_, ConsumeResult> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(String::from_utf8(messages[0].body().to_vec()).unwrap());
            self.free.acquire().await.unwrap().forget();
            ConsumeResult::Success
        })
    }

    fn warning(&self, warning: Warning) {
        self.warnings.lock().unwrap().push(warning);
    }
}

fn orderly() -> PushConsumerConfig {
    let mut config = config();
    config.consume_mode = ConsumeMode::Orderly;
    config.lock_interval = Duration::from_millis(20);
    config.lock_max_live_time = Duration::from_millis(100);
    config.rebalance_interval = Duration::from_millis(20);
    config
}

/// A server with five messages whose answers about locks are those of `mode`.
async fn locking(mode: &Arc<AtomicI32>) -> (Arc<Shelf>, FakeServer) {
    let shelf = Shelf::new();
    for n in 0..5 {
        shelf.put("T", 0, 0, format!("m{n}").as_bytes(), "");
    }
    let (scripted, mode) = (shelf.clone(), mode.clone());
    let server = server(move |frame| match (frame.request_code(), mode.load(Ordering::SeqCst)) {
        (RequestCode::LOCK_BATCH_MQ, REFUSE) => {
            let none = serde_json::to_vec(&LockOkBody::default()).unwrap();
            Act::Answer(Frame::response(frame, ResponseCode::SUCCESS).with_body(none))
        }
        (RequestCode::LOCK_BATCH_MQ, BE_SILENT) => Act::Silence,
        _ => scripted.act(frame),
    })
    .await;
    (shelf, server)
}

#[tokio::test]
async fn nothing_is_consumed_before_the_lock_is_granted() {
    let mode = Arc::new(AtomicI32::new(REFUSE));
    let (shelf, server) = locking(&mode).await;
    let client = server.client();
    let listener = Patient::new(100);
    let consumer = within(client.push_consumer(orderly(), listener.clone())).await.unwrap();
    until("the lock is asked for again", || server.count(RequestCode::LOCK_BATCH_MQ) >= 3).await;
    assert_eq!(server.count(RequestCode::PULL_MESSAGE), 0);
    assert!(consumer.queues().is_empty());
    mode.store(GRANT, Ordering::SeqCst);
    until("all arrive", || listener.bodies() == ["m0", "m1", "m2", "m3", "m4"]).await;
    let asked: LockBatchBody =
        fastjson::from_slice(&server.frames(RequestCode::LOCK_BATCH_MQ)[0].body).unwrap();
    assert_eq!((asked.client_id.as_str(), asked.consumer_group.as_str()), (client.client_id(), "G"));
    assert_eq!(asked.mq_set, [MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 0 }]);
    within(consumer.close()).await;
    assert_eq!(server.count(RequestCode::UNLOCK_BATCH_MQ), 1);
    assert_eq!(shelf.offset("T", 0), Some(5));
    within(client.close()).await;
}

#[tokio::test]
async fn a_lost_lock_is_told_of_and_the_queue_begins_again_where_it_was_committed() {
    let mode = Arc::new(AtomicI32::new(GRANT));
    let (_shelf, server) = locking(&mode).await;
    let client = server.client();
    let listener = Patient::new(2);
    let consumer = within(client.push_consumer(orderly(), listener.clone())).await.unwrap();
    until("the third call waits", || listener.bodies() == ["m0", "m1", "m2"]).await;
    mode.store(REFUSE, Ordering::SeqCst);
    until("it warns", || !listener.warnings.lock().unwrap().is_empty()).await;
    let warning = listener.warnings.lock().unwrap()[0].clone();
    assert_eq!(warning.code, WarningCode::QueueLockLost);
    assert!(warning.message.contains("queue 0 of topic 'T' on 'b'"), "{warning}");
    // The call that runs ends; nothing more comes, and the queue stays away, until the lock is granted again.
    listener.free.add_permits(1);
    until("the queue is away", || consumer.queues().is_empty()).await;
    assert_eq!(listener.bodies().len(), 3);
    mode.store(GRANT, Ordering::SeqCst);
    listener.free.add_permits(100);
    until("the rest arrives", || listener.bodies().last().is_some_and(|body| body == "m4")).await;
    // In order; how much comes twice depends on what was committed.
    let again = listener.bodies()[3..].to_vec();
    let all = ["m0", "m1", "m2", "m3", "m4"];
    assert_eq!(again, all[all.len() - again.len()..]);
    within(consumer.close()).await;
    within(client.close()).await;
}

#[tokio::test]
async fn a_lease_that_ran_out_stops_the_queue_until_the_broker_answers_again() {
    let mode = Arc::new(AtomicI32::new(GRANT));
    let (shelf, server) = locking(&mode).await;
    let mut settings = server.config();
    settings.request_timeout = Duration::from_millis(50);
    let client = mq_client::Client::new(settings).unwrap();
    let listener = Patient::new(1);
    let consumer = within(client.push_consumer(orderly(), listener.clone())).await.unwrap();
    until("the second call waits", || listener.bodies() == ["m0", "m1"]).await;
    mode.store(BE_SILENT, Ordering::SeqCst);
    let info = async || {
        let before = server.count(RequestCode::LOCK_BATCH_MQ);
        until("the lock is asked for", || server.count(RequestCode::LOCK_BATCH_MQ) >= before + 4).await;
    };
    info().await;
    listener.free.add_permits(100);
    info().await;
    assert_eq!(listener.bodies(), ["m0", "m1"], "the lease is over");
    mode.store(GRANT, Ordering::SeqCst);
    until("the rest arrives", || listener.bodies() == ["m0", "m1", "m2", "m3", "m4"]).await;
    assert!(listener.warnings.lock().unwrap().is_empty());
    within(consumer.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(5));
    within(client.close()).await;
}

#[tokio::test]
async fn an_offset_that_is_reset_while_a_call_runs_waits_for_its_end() {
    let mode = Arc::new(AtomicI32::new(GRANT));
    let (shelf, server) = locking(&mode).await;
    let client = server.client();
    let listener = Patient::new(3);
    let consumer = within(client.push_consumer(orderly(), listener.clone())).await.unwrap();
    until("the fourth call waits", || listener.bodies() == ["m0", "m1", "m2", "m3"]).await;
    let mut table = ResetOffsetBody::default();
    let queue = MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 0 };
    table.offset_table.insert(queue, 1);
    let reset = ResetOffsetRequest {
        topic: "T",
        group: "G",
        timestamp: 0,
        is_force: Some(true),
        queue_id: None,
        offset: None,
    };
    let request = Frame::request(RequestCode::RESET_CONSUMER_CLIENT_OFFSET, &reset);
    server.push(&request.with_body(table.to_body().unwrap()).oneway());
    until("the offset is set", || shelf.offset("T", 0) == Some(1)).await;
    let asked = server.count(RequestCode::GET_CONSUMER_LIST_BY_GROUP);
    until("queues are divided again", || server.count(RequestCode::GET_CONSUMER_LIST_BY_GROUP) > asked + 4)
        .await;
    assert_eq!(listener.bodies().len(), 4, "no second call beside the one that runs");
    listener.free.add_permits(100);
    until("it goes on there", || listener.bodies()[4..] == ["m1", "m2", "m3", "m4"]).await;
    within(consumer.close()).await;
    assert_eq!(shelf.offset("T", 0), Some(5));
    within(client.close()).await;
}
