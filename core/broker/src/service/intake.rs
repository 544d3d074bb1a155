//! The one way into the store: delay levels are applied, refusals of the store become answers
//! (`HookUtils.handleScheduleMessage`, `SendMessageProcessor.handlePutMessageResult`).

use bytes::Bytes;
use mq_protocol::ResponseCode;
use mq_protocol::message::{NewRecord, sys_flag};
use mq_protocol::name::SCHEDULE_TOPIC;
use mq_protocol::property::{key, pairs, push_pair};
use mq_store::{AppendError, Appended, FlushStatus, Store};

use crate::server::Refusal;

/// Takes messages into the store.
#[derive(Debug)]
pub(crate) struct Intake {
    store: Store,
    max_level: i32,
    /// Whether senders wait for the disk.
    pub(crate) sync_flush: bool,
}

/// A message on its way into the store.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) record: &'a NewRecord<'a>,
    /// What the record's properties say.
    pub(crate) delay_level: i32,
    /// Given if it is answered only when it is on the disk: bytes that may be kept until then; the body is written from there
    /// if it is a part of them.
    pub(crate) waits: Option<&'a Bytes>,
}

impl Intake {
    pub(crate) fn new(store: Store, max_level: i32, sync_flush: bool) -> Intake {
        Intake { store, max_level, sync_flush }
    }

    /// Stores a message; one with a delay level goes to the delayed messages first.
    ///
    /// `text` is a buffer.
    pub(crate) fn put(&self, incoming: &Incoming<'_>, text: &mut String) -> Result<Appended, Refusal> {
        let Incoming { record, delay_level, waits } = *incoming;
        let append = |record: &NewRecord<'_>| {
            let appended = match waits {
                Some(whole) => self.store.append_until_flushed(record, whole),
                None => self.store.append(record),
            };
            appended.map_err(refusal)
        };
        let half = record.sys_flag & sys_flag::TRANSACTION_ROLLBACK;
        let delays = delay_level > 0 && (half == 0 || half == sys_flag::TRANSACTION_COMMIT);
        if !delays {
            return append(record);
        }
        let level = delay_level.min(self.max_level);
        text.clear();
        for (name, value) in pairs(record.properties) {
            // A level wins over a time of delivery.
            if !matches!(
                name,
                key::TIMER_DELAY_SEC
                    | key::TIMER_DELAY_MS
                    | key::TIMER_DELIVER_MS
                    | key::REAL_TOPIC
                    | key::REAL_QID
                    | key::DELAY
            ) {
                push_pair(text, name, value);
            }
        }
        push_pair(text, key::DELAY, itoa::Buffer::new().format(level));
        push_pair(text, key::REAL_TOPIC, record.topic);
        push_pair(text, key::REAL_QID, itoa::Buffer::new().format(record.queue_id));
        let delayed = NewRecord { topic: SCHEDULE_TOPIC, queue_id: level - 1, properties: text, ..*record };
        append(&delayed)
    }

    /// Stores the messages of a batch, one after the other in the log; `waits` is as of [`Incoming`].
    pub(crate) fn put_batch(
        &self,
        records: &[NewRecord<'_>],
        waits: Option<&Bytes>,
    ) -> Result<Vec<Appended>, Refusal> {
        let appended = match waits {
            Some(whole) => self.store.append_batch_until_flushed(records, whole),
            None => self.store.append_batch(records),
        };
        appended.map_err(refusal)
    }

    /// Waits until the log is on the disk up to `end`; the code is that of the sender's answer.
    pub(crate) fn flushed(&self, end: u64) -> impl Future<Output = ResponseCode> + Send + 'static {
        let flushed = self.store.flushed(end);
        async move {
            match flushed.await {
                FlushStatus::Flushed => ResponseCode::SUCCESS,
                FlushStatus::Timeout | FlushStatus::Failed => ResponseCode::FLUSH_DISK_TIMEOUT,
            }
        }
    }
}

/// What a sender is told when the store does not take its message.
pub(crate) fn refusal(error: AppendError) -> Refusal {
    let code = match error {
        AppendError::Busy(_) | AppendError::PageCache { .. } => ResponseCode::SYSTEM_BUSY,
        AppendError::NoSpace(_)
        | AppendError::DiskFull(_)
        | AppendError::Queues(_)
        | AppendError::Failed(_)
        | AppendError::Closed => ResponseCode::SERVICE_NOT_AVAILABLE,
        _ => ResponseCode::MESSAGE_ILLEGAL,
    };
    match error {
        AppendError::Busy(_) => Refusal::new(
            code,
            format!("[PC_SYNCHRONIZED]broker busy, start flow control for a while: {error}"),
        ),
        // Refused at once, or after a wait (`DefaultMessageStore.isOSPageCacheBusy`, `BrokerFastFailure`).
        AppendError::PageCache { waited: 0, .. } => {
            Refusal::new(code, "[PC_SYNCHRONIZED]broker busy, start flow control for a while")
        }
        AppendError::PageCache { waited, waiting, .. } => Refusal::new(
            code,
            format!(
                "[PCBUSY_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: {waited}ms, \
                 size of queue: {waiting}"
            ),
        ),
        error => Refusal::new(code, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_disk_is_said_in_apaches_words() {
        let busy = |waited| refusal(AppendError::PageCache { held: 1500, waited, waiting: 7 });
        assert_eq!(busy(0).code, ResponseCode::SYSTEM_BUSY);
        assert_eq!(busy(0).remark, "[PC_SYNCHRONIZED]broker busy, start flow control for a while");
        assert_eq!(busy(1010).code, ResponseCode::SYSTEM_BUSY);
        assert_eq!(
            busy(1010).remark,
            "[PCBUSY_CLEAN_QUEUE]broker busy, start flow control for a while, period in queue: 1010ms, \
             size of queue: 7"
        );
    }

    #[test]
    fn a_store_that_cannot_take_messages_now_says_so_and_why() {
        let why = || "no space left on device".into();
        for (error, words) in [
            (AppendError::NoSpace(why()), "cannot grow (no space left on device)"),
            (AppendError::DiskFull(90), "diskSpaceWarningLevelRatio (90 %)"),
            (AppendError::Queues(why()), "no space left on device"),
            (AppendError::Failed(why()), "no space left on device"),
            (AppendError::Closed, "closed"),
        ] {
            let refusal = refusal(error);
            assert_eq!(refusal.code, ResponseCode::SERVICE_NOT_AVAILABLE, "{}", refusal.remark);
            assert!(refusal.remark.contains(words), "{}", refusal.remark);
        }
        let refusal = refusal(AppendError::QueueId(-1));
        assert_eq!(
            (refusal.code, &*refusal.remark),
            (ResponseCode::MESSAGE_ILLEGAL, "queue id -1 is negative")
        );
    }
}
