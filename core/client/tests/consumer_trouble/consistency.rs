//! Members of the group that agree, and then do not.

use futures_util::future::BoxFuture;
use mq_client::{Warning, WarningCode};
use mq_protocol::body::{ConnectionInfo, ConsumerConnections, HeartbeatData};

use super::*;

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

#[tokio::test]
async fn a_difference_is_told_once_and_agreement_never() {
    let (shelf, known) = (Shelf::new(), Arc::new(Mutex::new(ConsumerConnections::default())));
    let (scripted, kept) = (shelf.clone(), known.clone());
    let server = server(move |frame| match frame.request_code() {
        RequestCode::HEART_BEAT => {
            let mut data: HeartbeatData = fastjson::from_slice(&frame.body).unwrap();
            if let Some(group) = data.consumer_data_set.pop() {
                let mut known = kept.lock().unwrap();
                known.connection_set = vec![ConnectionInfo::default(); 2];
                known.consume_type = group.consume_type;
                known.consume_from_where = group.consume_from_where;
                let entries = group.subscription_data_set.into_iter().map(|data| (data.topic.clone(), data));
                known.subscription_table = entries.collect();
            }
            scripted.act(frame)
        }
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
            let own = String::from_utf8(match scripted.act(frame) {
                Act::Answer(answer) => answer.body.to_vec(),
                _ => unreachable!("the shelf answers"),
            });
            let two = own.unwrap().replace("[", "[\"zzz\",");
            Act::Answer(Frame::response(frame, ResponseCode::SUCCESS).with_body(two))
        }
        RequestCode::GET_CONSUMER_CONNECTION_LIST => {
            let body = serde_json::to_vec(&*kept.lock().unwrap()).unwrap();
            Act::Answer(Frame::response(frame, ResponseCode::SUCCESS).with_body(body))
        }
        _ => scripted.act(frame),
    })
    .await;
    known.lock().unwrap().message_model = "CLUSTERING".to_owned();
    let client = server.client();
    let watcher = Arc::new(Watcher::default());
    let mut config = config();
    config.rebalance_interval = Duration::from_millis(20);
    let consumer = within(client.push_consumer(config, watcher.clone())).await.unwrap();
    let compared = || server.count(RequestCode::GET_CONSUMER_CONNECTION_LIST);
    until("they are compared", || compared() >= 3).await;
    assert_eq!(*watcher.0.lock().unwrap(), []);
    known.lock().unwrap().message_model = "BROADCASTING".to_owned();
    let before = compared();
    until("they are compared again and again", || compared() >= before + 4).await;
    let warnings = watcher.0.lock().unwrap().clone();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].code, WarningCode::InconsistentGroup);
    assert!(warnings[0].message.contains("has message model BROADCASTING, this one CLUSTERING"));
    within(consumer.close()).await;
    within(client.close()).await;
}
