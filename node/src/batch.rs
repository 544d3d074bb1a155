//! Events as bytes: one buffer for many of them, which `lib/loop.js` and `lib/message.js` read.
//!
//! All numbers are little-endian. An event is kind (u8), length with this head (u32) and tag (f64), then by kind:
//! SENT status (u8), queue offset (f64), queue id (i32), texts; FAILED flags (u8), broker code (i32), texts;
//! MESSAGE token (f64), count (u32), and for each message its length (u32) and view; POLLED the same with the tag of
//! the call as the token; OFFSET an offset or -1 (f64); LOG, WARNING, QUEUES and CHANGE texts.
//! A view is queue offset, born and store timestamp (f64), queue id, reconsume times and delivery attempt (i32), texts, body.
//! Texts are their end offsets (u32 each) and then all of them together; an absent text is empty.

use mq_binding::{Error, Event, MessageQueue, MessageView, Outcome, SendReceipt, SendStatus};

const DONE: u8 = 0;
const SENT: u8 = 1;
const FAILED: u8 = 2;
const MESSAGE: u8 = 3;
const LOG: u8 = 4;
const POLLED: u8 = 5;
const OFFSET: u8 = 6;
const QUEUES: u8 = 7;
const WARNING: u8 = 8;
const CHANGE: u8 = 9;

/// Bytes after which a batch is full: what one body in use keeps alive at most, but for larger messages.
const FULL: usize = 256 * 1024;

/// A buffer that events are written into.
#[derive(Default)]
pub(crate) struct Batch(Vec<u8>);

impl Batch {
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= FULL
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(2 * FULL);
    }

    /// Adds an event; the token of messages has been turned into its number by `keep`.
    pub(crate) fn push(&mut self, event: Event, keep: impl FnOnce(mq_binding::ReplyToken) -> u64) {
        match event {
            Event::Done { tag, result: Ok(Outcome::Sent(receipt) | Outcome::SentBatch(receipt)) } => {
                self.event(SENT, tag, |batch| batch.receipt(&receipt));
            }
            Event::Done { tag, result: Ok(Outcome::Polled(messages)) } => {
                self.event(POLLED, tag, |batch| batch.messages(tag, &messages));
            }
            Event::Done { tag, result: Ok(Outcome::Offset(offset)) } => {
                self.event(OFFSET, tag, |batch| batch.signed(offset.unwrap_or(-1)));
            }
            Event::Done { tag, result: Ok(Outcome::Queues(queues)) } => {
                self.event(QUEUES, tag, |batch| batch.texts(&[&joined(&queues)]));
            }
            Event::Done { tag, result: Ok(_) } => self.event(DONE, tag, |_| {}),
            Event::Done { tag, result: Err(error) } => self.event(FAILED, tag, |batch| batch.error(&error)),
            Event::Message { consumer, messages, token } => {
                self.event(MESSAGE, consumer, |batch| batch.messages(keep(token), &messages));
            }
            Event::Warning { consumer, warning } => self.event(WARNING, consumer, |batch| {
                batch.texts(&[warning.code.name(), &warning.message]);
            }),
            Event::QueueChange { watch, change } => self.event(CHANGE, watch, |batch| {
                batch.texts(&[&change.topic, &joined(&change.queues), &joined(&change.assigned)]);
            }),
            Event::Log { level, target, message } => self.event(LOG, 0, |batch| {
                batch.texts(&[&level.name().to_ascii_uppercase(), &target, &message]);
            }),
            // What a newer core may add and this wrapper does not know.
            _ => {}
        }
    }

    fn event(&mut self, kind: u8, tag: u64, write: impl FnOnce(&mut Batch)) {
        self.0.push(kind);
        self.sized(5, |batch| {
            batch.number(tag);
            write(batch);
        });
    }

    /// A length in front of what `write` adds; `head` bytes (the length's own among them) are counted too.
    fn sized(&mut self, head: usize, write: impl FnOnce(&mut Batch)) {
        let at = self.0.len();
        self.0.extend([0; 4]);
        write(self);
        let length = head + self.0.len() - at - 4;
        self.0[at..at + 4].copy_from_slice(&truncated(length).to_le_bytes());
    }

    fn receipt(&mut self, receipt: &SendReceipt) {
        self.0.push(match receipt.status {
            SendStatus::Ok => 0,
            SendStatus::FlushDiskTimeout => 1,
            SendStatus::FlushSlaveTimeout => 2,
            SendStatus::SlaveNotAvailable => 3,
        });
        self.signed(receipt.queue_offset);
        self.i32(receipt.queue_id);
        self.texts(&[
            &receipt.message_id,
            &receipt.offset_message_id,
            &receipt.topic,
            &receipt.broker_name,
            receipt.transaction_id.as_deref().unwrap_or_default(),
        ]);
    }

    fn error(&mut self, error: &Error) {
        let flags = [error.retryable(), error.throttled(), error.fatal(), error.broker_code().is_some()];
        self.0.push(flags.iter().enumerate().map(|(bit, &set)| u8::from(set) << bit).sum());
        self.i32(error.broker_code().unwrap_or_default());
        self.texts(&[error.code().name(), error.message()]);
    }

    fn messages(&mut self, token: u64, messages: &[MessageView]) {
        self.number(token);
        self.u32(messages.len());
        for message in messages {
            self.sized(0, |batch| batch.view(message));
        }
    }

    fn view(&mut self, view: &MessageView) {
        self.signed(view.queue_offset());
        self.signed(view.born_timestamp());
        self.signed(view.store_timestamp());
        self.i32(view.queue_id());
        self.i32(view.reconsume_times());
        self.i32(view.delivery_attempt());
        let keys: Vec<&str> = view.keys().collect();
        let properties: Vec<String> =
            view.properties().map(|(name, value)| format!("{name}\u{1}{value}")).collect();
        self.texts(&[
            view.topic(),
            &view.message_id(),
            &view.offset_message_id(),
            view.broker_name(),
            view.tag().unwrap_or_default(),
            view.message_group().unwrap_or_default(),
            &keys.join(" "),
            &view.born_host().to_string(),
            &view.store_host().to_string(),
            &properties.join("\u{2}"),
        ]);
        self.0.extend_from_slice(&view.body());
    }

    fn texts(&mut self, texts: &[&str]) {
        let mut end = 0;
        for text in texts {
            end += text.len();
            self.u32(end);
        }
        for text in texts {
            self.0.extend_from_slice(text.as_bytes());
        }
    }

    fn u32(&mut self, value: usize) {
        self.0.extend(truncated(value).to_le_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.0.extend(value.to_le_bytes());
    }

    /// Tags, tokens, offsets and times stay below 2^53, where a JavaScript number is exact.
    #[allow(clippy::cast_precision_loss)]
    fn number(&mut self, value: u64) {
        self.0.extend((value as f64).to_le_bytes());
    }

    #[allow(clippy::cast_precision_loss)]
    fn signed(&mut self, value: i64) {
        self.0.extend((value as f64).to_le_bytes());
    }
}

/// Queues as one text.
fn joined(queues: &[MessageQueue]) -> String {
    let texts = queues
        .iter()
        .map(|queue| format!("{}\u{1}{}\u{1}{}", queue.topic, queue.broker_name, queue.queue_id));
    texts.collect::<Vec<_>>().join("\u{2}")
}

/// Sizes within a batch: frames are limited to 1 GiB, so they fit.
fn truncated(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}
