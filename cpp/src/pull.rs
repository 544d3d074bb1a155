//! Pull consumers and dead letters behind the bridge.

use mq_binding::{DeadLetters, Error, ErrorCode, MessageQueue, PullConsumer, Seek};

use crate::view::{View, Views, names};
use crate::{Events, Joined, Sent, call, duration, ffi, sent};

pub(crate) struct CorePuller(pub(crate) PullConsumer);

fn all(queues: Vec<ffi::QueueName>) -> Vec<MessageQueue> {
    queues.into_iter().map(MessageQueue::from).collect()
}

impl CorePuller {
    pub(crate) fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Joined> {
        call(|| self.0.subscribe(topic, expression))
    }

    pub(crate) fn unsubscribe(&self, topic: &str) -> Result<(), Joined> {
        call(|| self.0.unsubscribe(topic))
    }

    pub(crate) fn assign(&self, queues: Vec<ffi::QueueName>) -> Result<(), Joined> {
        call(|| self.0.assign(&all(queues)))
    }

    pub(crate) fn start(&self) -> Result<(), Joined> {
        call(|| self.0.start(None))
    }

    pub(crate) fn poll(&self, timeout: i64) -> Result<Box<Views>, Joined> {
        call(|| self.0.poll(duration(timeout)).map(|messages| Box::new(Views::from(messages))))
    }

    /// `whence`: 0 an offset, 1 the begin, 2 the end, 3 a time in milliseconds.
    pub(crate) fn seek(&self, queue: ffi::QueueName, whence: i32, value: i64) -> Result<(), Joined> {
        call(|| {
            let to = match whence {
                0 => Seek::Offset(value),
                1 => Seek::Begin,
                2 => Seek::End,
                3 => Seek::Time(value),
                _ => {
                    return Err(Error::new(
                        ErrorCode::Argument,
                        format!("there is no place of kind {whence} in a queue"),
                    ));
                }
            };
            self.0.seek(&queue.into(), to)
        })
    }

    pub(crate) fn offset_for_time(&self, queue: ffi::QueueName, millis: i64) -> Result<i64, Joined> {
        call(|| self.0.offset_for_timestamp(&queue.into(), millis))
    }

    pub(crate) fn commit(&self) -> Result<(), Joined> {
        call(|| self.0.commit())
    }

    pub(crate) fn commit_offsets(
        &self,
        queues: Vec<ffi::QueueName>,
        offsets: Vec<i64>,
    ) -> Result<(), Joined> {
        call(|| self.0.commit_offsets(&all(queues).into_iter().zip(offsets).collect::<Vec<_>>()))
    }

    /// -1 if nothing is committed.
    pub(crate) fn committed(&self, queue: ffi::QueueName) -> Result<i64, Joined> {
        call(|| Ok(self.0.committed(&queue.into())?.unwrap_or(-1)))
    }

    pub(crate) fn position(&self, queue: ffi::QueueName) -> Result<i64, Joined> {
        call(|| self.0.position(&queue.into()))
    }

    pub(crate) fn queues(&self, topic: &str) -> Result<Vec<ffi::QueueName>, Joined> {
        call(|| self.0.queues(topic).map(|queues| names(&queues)))
    }

    pub(crate) fn assignment(&self) -> Result<Vec<ffi::QueueName>, Joined> {
        call(|| self.0.assignment().map(|queues| names(&queues)))
    }

    pub(crate) fn pause(&self, queues: Vec<ffi::QueueName>) -> Result<(), Joined> {
        call(|| self.0.pause(&all(queues)))
    }

    pub(crate) fn resume(&self, queues: Vec<ffi::QueueName>) -> Result<(), Joined> {
        call(|| self.0.resume(&all(queues)))
    }

    pub(crate) fn watch(&self, topic: &str, events: &Events, tag: u64) -> Result<(), Joined> {
        call(|| self.0.watch_queues(topic, &events.0, tag))
    }

    pub(crate) fn close(&self, timeout: i64) -> Result<(), Joined> {
        call(|| self.0.close(duration(timeout)))
    }
}

pub(crate) struct CoreDeadLetters(pub(crate) DeadLetters);

impl CoreDeadLetters {
    pub(crate) fn read(&self, max: usize) -> Result<Box<Views>, Joined> {
        call(|| self.0.read(max).map(|messages| Box::new(Views::from(messages))))
    }

    pub(crate) fn rewind(&self) -> Result<(), Joined> {
        call(|| self.0.rewind())
    }

    pub(crate) fn resend(&self, letter: &View) -> Result<Box<Sent>, Joined> {
        call(|| self.0.resend(&letter.message).map(sent))
    }
}
