//! Messages that the scripted server keeps, so that consumers can be tested against answers no good broker gives.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use mq_protocol::body::{HeartbeatData, LockBatchBody, LockOkBody};
use mq_protocol::header::{
    OffsetResponse, PullMessageRequest, PullMessageResponse, QueryConsumerOffsetRequest, QueueRequest,
    SendMessageRequestV2, UpdateConsumerOffsetRequest,
};
use mq_protocol::message::{NewRecord, Place};
use mq_protocol::{Frame, MessageRecord, RequestCode, ResponseCode, fastjson};

use super::{Act, stored};

/// How long a pull is held that finds nothing.
const HOLD: Duration = Duration::from_millis(30);

#[derive(Default)]
pub struct Shelf {
    queues: Mutex<HashMap<(String, i32), Vec<MessageRecord>>>,
    pub offsets: Mutex<HashMap<(String, i32), i64>>,
    members: Mutex<Vec<String>>,
}

impl Shelf {
    pub fn new() -> Arc<Shelf> {
        Arc::new(Shelf::default())
    }

    /// Adds a record to a queue.
    pub fn put(&self, topic: &str, queue_id: i32, sys_flag: i32, body: &[u8], properties: &str) {
        let mut queues = self.queues.lock().unwrap();
        let queue = queues.entry((topic.to_owned(), queue_id)).or_default();
        let host: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let record = NewRecord {
            topic,
            queue_id,
            flag: 0,
            sys_flag,
            born_timestamp: 1,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            body_crc: 0,
            properties,
        };
        let queue_offset = queue.len() as i64;
        let mut bytes = BytesMut::new();
        let place = Place { queue_offset, physical_offset: 1000 + queue_offset, store_timestamp: 2 };
        record.encode(place, &mut bytes);
        queue.push(MessageRecord::take(&mut bytes.freeze()).unwrap().unwrap());
    }

    pub fn offset(&self, topic: &str, queue_id: i32) -> Option<i64> {
        self.offsets.lock().unwrap().get(&(topic.to_owned(), queue_id)).copied()
    }

    /// What a broker with these messages does.
    pub fn act(self: &Arc<Self>, frame: &Frame) -> Act {
        let ok = || Frame::response(frame, ResponseCode::SUCCESS);
        let offset = |offset: i64| Act::Answer(ok().with_header(&OffsetResponse { offset }));
        match frame.request_code() {
            RequestCode::HEART_BEAT => {
                let data: HeartbeatData = fastjson::from_slice(&frame.body).unwrap();
                let mut members = self.members.lock().unwrap();
                if !data.consumer_data_set.is_empty() && !members.contains(&data.client_id) {
                    members.push(data.client_id);
                }
                Act::Usual
            }
            RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
                let ids = self.members.lock().unwrap().clone();
                let body = mq_protocol::body::ConsumerIdList { consumer_id_list: ids };
                Act::Answer(ok().with_body(serde_json::to_vec(&body).unwrap()))
            }
            RequestCode::QUERY_CONSUMER_OFFSET => {
                let header: QueryConsumerOffsetRequest<'_> = frame.header().unwrap();
                match self.offset(header.topic, header.queue_id) {
                    Some(found) => offset(found),
                    None => Act::Answer(Frame::response(frame, ResponseCode::QUERY_NOT_FOUND)),
                }
            }
            RequestCode::UPDATE_CONSUMER_OFFSET => {
                let header: UpdateConsumerOffsetRequest<'_> = frame.header().unwrap();
                let key = (header.topic.to_owned(), header.queue_id);
                self.offsets.lock().unwrap().insert(key, header.commit_offset);
                Act::Usual
            }
            RequestCode::GET_MIN_OFFSET => offset(0),
            RequestCode::GET_MAX_OFFSET => {
                let header: QueueRequest<'_> = frame.header().unwrap();
                let key = (header.topic.to_owned(), header.queue_id);
                offset(self.queues.lock().unwrap().get(&key).map_or(0, Vec::len) as i64)
            }
            RequestCode::SEND_MESSAGE_V2 => {
                let header: SendMessageRequestV2<'_> = frame.header().unwrap();
                let properties = header.properties.unwrap_or_default();
                self.put(header.topic, header.queue_id, header.sys_flag, &frame.body, properties);
                Act::Answer(stored(frame, ResponseCode::SUCCESS))
            }
            RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => match self.pull(frame) {
                Some(answer) => Act::Answer(answer),
                None => {
                    let (shelf, frame) = (self.clone(), frame.clone());
                    Act::With(Box::new(move |sender| {
                        tokio::spawn(async move {
                            tokio::time::sleep(HOLD).await;
                            let answer = shelf.pull(&frame).unwrap_or_else(|| shelf.not_found(&frame));
                            let _ = sender.send(answer);
                        });
                    }))
                }
            },
            RequestCode::LOCK_BATCH_MQ => {
                let asked: LockBatchBody = fastjson::from_slice(&frame.body).unwrap();
                let granted = LockOkBody { lock_ok_mq_set: asked.mq_set };
                Act::Answer(ok().with_body(serde_json::to_vec(&granted).unwrap()))
            }
            _ => Act::Usual,
        }
    }

    fn pull(&self, frame: &Frame) -> Option<Frame> {
        let header: PullMessageRequest<'_> = frame.header().unwrap();
        let queues = self.queues.lock().unwrap();
        let queue = queues.get(&(header.topic.to_owned(), header.queue_id))?;
        let mut body = BytesMut::new();
        let from = usize::try_from(header.queue_offset).unwrap();
        let found = queue.iter().skip(from).take(header.max_msg_nums as usize);
        let count = found.map(|record| body.extend_from_slice(record.raw())).count();
        let next = header.queue_offset + count as i64;
        let answer = Frame::response(frame, ResponseCode::SUCCESS).with_header(&PullMessageResponse {
            suggest_which_broker_id: 0,
            next_begin_offset: next,
            min_offset: 0,
            max_offset: queue.len() as i64,
        });
        (count > 0).then(|| answer.with_body(body.freeze()))
    }

    fn not_found(&self, frame: &Frame) -> Frame {
        let header: PullMessageRequest<'_> = frame.header().unwrap();
        pull_answer(frame, ResponseCode::PULL_NOT_FOUND, header.queue_offset)
    }
}

/// An answer to a pull without messages.
pub fn pull_answer(frame: &Frame, code: ResponseCode, next: i64) -> Frame {
    Frame::response(frame, code).with_header(&PullMessageResponse {
        suggest_which_broker_id: 0,
        next_begin_offset: next,
        min_offset: 0,
        max_offset: next,
    })
}
