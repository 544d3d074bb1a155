//! Clients: the handle that owns a share of the runtime and closes what was made from it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mq_client::{Error, ErrorCode};
use parking_lot::Mutex;

use crate::closing::Close;
use crate::completion::Completion;
use crate::config::Config;
use crate::dead_letters::DeadLetters;
use crate::deadline::deadline;
use crate::event::Outcome;
use crate::fork::Owned;
use crate::producer::{self, Producer};
use crate::pull_consumer::{self, PullConsumer};
use crate::push_consumer::{self, PushConsumer};
use crate::queue::Queue;
use crate::runtime::{Runtime, refuse_on_runtime_thread};

/// How long closing may take when no time is given.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one cluster. Clones share it; usable from any thread.
///
/// Dropping the last clone, with all producers and consumers made from it, closes it in the background.
#[derive(Clone, Debug)]
pub struct Client(Arc<Owned<Inner>>);

#[derive(Debug)]
struct Inner {
    client: mq_client::Client,
    /// `None` once closed.
    runtime: Mutex<Option<Runtime>>,
    children: Mutex<Children>,
    /// Whether closing is done; locked while it goes on.
    closing: tokio::sync::Mutex<bool>,
}

#[derive(Debug, Default)]
struct Children {
    producers: Vec<Weak<Owned<producer::Inner>>>,
    push_consumers: Vec<Weak<Owned<push_consumer::Inner>>>,
    pull_consumers: Vec<Weak<Owned<pull_consumer::Inner>>>,
}

/// Adds a child and forgets those that are gone.
fn remember<T>(children: &mut Vec<Weak<T>>, child: Weak<T>) {
    children.retain(|known| known.strong_count() > 0);
    children.push(child);
}

/// Closes children at the same time; tells whether none had to be cut.
async fn close_all<T: Close>(children: &[Weak<Owned<T>>], deadline: Instant) -> bool {
    let children: Vec<_> = children.iter().filter_map(Weak::upgrade).collect();
    let children = children.iter().filter_map(|child| child.get().ok());
    join_all(children.map(|child| child.close_by(deadline))).await.iter().all(Result::is_ok)
}

impl Client {
    /// A client with these settings, shown to admin tools as written in `language` unless the setting `language` says
    /// otherwise. The runtime starts if it does not run; no connection is made yet.
    ///
    /// # Errors
    /// CONFIG: a setting is missing, is not a client's or has a bad value.
    pub fn new(config: &Config, language: &str) -> Result<Client, Error> {
        let mut settings = config.client()?;
        if config.get("language").is_none() {
            settings.set("language", language)?;
        }
        let runtime = Runtime::share()?;
        let client = {
            let _inside = runtime.handle().enter();
            mq_client::Client::new(settings)?
        };
        let inner = Inner {
            client,
            runtime: Mutex::new(Some(runtime)),
            children: Mutex::default(),
            closing: tokio::sync::Mutex::new(false),
        };
        Ok(Client(Arc::new(Owned::new("the client", inner))))
    }

    /// A producer with these settings. No connection is made yet.
    ///
    /// # Errors
    /// CONFIG, ARGUMENT: a setting is not acceptable. CLOSED, FORKED.
    pub fn producer(&self, config: &Config) -> Result<Producer, Error> {
        let inner = self.0.get()?;
        let runtime = self.runtime()?;
        let settings = config.producer()?;
        let producer = {
            let _inside = runtime.handle().enter();
            inner.client.producer(settings.clone())?
        };
        let producer = Producer::new(self.clone(), producer, &settings);
        remember(&mut inner.children.lock().producers, producer.downgrade());
        Ok(producer)
    }

    /// A push consumer with these settings; its messages come on `queue` as events that name `tag`.
    ///
    /// # Errors
    /// CONFIG, ARGUMENT: a setting is not acceptable. CLOSED: the client or the queue. FORKED.
    pub fn push_consumer(&self, config: &Config, queue: &Queue, tag: u64) -> Result<PushConsumer, Error> {
        let inner = self.0.get()?;
        self.runtime()?;
        queue.check_open()?;
        let settings = config.push_consumer()?;
        settings.check()?;
        let consumer = PushConsumer::new(self.clone(), settings, queue.clone(), tag)?;
        remember(&mut inner.children.lock().push_consumers, consumer.downgrade());
        Ok(consumer)
    }

    /// A pull consumer with these settings. No connection is made yet: that is [`PullConsumer::start`].
    ///
    /// # Errors
    /// CONFIG, ARGUMENT: a setting is not acceptable. CLOSED, FORKED.
    pub fn pull_consumer(&self, config: &Config) -> Result<PullConsumer, Error> {
        let inner = self.0.get()?;
        self.runtime()?;
        let settings = config.pull_consumer()?;
        settings.check()?;
        let consumer = PullConsumer::new(self.clone(), settings);
        remember(&mut inner.children.lock().pull_consumers, consumer.downgrade());
        Ok(consumer)
    }

    /// The dead letters of a consumer group. No connection is made yet.
    ///
    /// # Errors
    /// ARGUMENT: the group's name is not acceptable. CLOSED, FORKED.
    pub fn dead_letters(&self, group: &str) -> Result<DeadLetters, Error> {
        let inner = self.0.get()?;
        let runtime = self.runtime()?;
        let _inside = runtime.handle().enter();
        Ok(DeadLetters::new(self.clone(), inner.client.dead_letters(group)?))
    }

    /// Closes the client and all that was made from it: consumers, then producers, then connections. Blocks up to
    /// `timeout` (5 s if none is given). Later calls do nothing.
    ///
    /// # Errors
    /// TIMEOUT: something had to be cut; the client is closed all the same. STATE on a runtime thread, FORKED.
    pub fn close(&self, timeout: Option<Duration>) -> Result<(), Error> {
        let inner = self.0.get()?;
        refuse_on_runtime_thread("closing a client")?;
        let Ok(runtime) = self.runtime() else { return Ok(()) };
        let deadline = deadline(timeout.unwrap_or(CLOSE_TIMEOUT));
        let result = runtime.block_on("closing a client", inner.close_by(deadline))?;
        drop(inner.runtime.lock().take());
        // The last share ends the runtime, here and now.
        drop(runtime);
        result
    }

    /// As [`Client::close`] without blocking; the end is an event with `tag` on `queue`.
    ///
    /// # Errors
    /// CLOSED: the queue is. FORKED.
    pub fn close_async(&self, timeout: Option<Duration>, queue: &Queue, tag: u64) -> Result<(), Error> {
        self.0.get()?;
        let completion = Completion::new(queue, tag, None)?;
        let client = self.clone();
        // Not a task: the end of the runtime must not be waited for on its own threads.
        in_background("mq-close", move || completion.finish(client.close(timeout).map(|()| Outcome::Closed)))
    }

    /// A share of the runtime for one call.
    pub(crate) fn runtime(&self) -> Result<Runtime, Error> {
        self.0
            .get()?
            .runtime
            .lock()
            .clone()
            .ok_or_else(|| Error::new(ErrorCode::Closed, "the client is closed; make a new one"))
    }

    pub(crate) fn inner(&self) -> Result<&mq_client::Client, Error> {
        Ok(&self.0.get()?.client)
    }
}

impl Inner {
    async fn close_by(&self, deadline: Instant) -> Result<(), Error> {
        let late =
            || Error::new(ErrorCode::Timeout, "closing the client took too long; what was under way was cut");
        let Ok(mut closed) = tokio::time::timeout_at(deadline.into(), self.closing.lock()).await else {
            return Err(late());
        };
        if *closed {
            return Ok(());
        }
        let children = std::mem::take(&mut *self.children.lock());
        let (pushed, pulled) = tokio::join!(
            close_all(&children.push_consumers, deadline),
            close_all(&children.pull_consumers, deadline),
        );
        let sent = close_all(&children.producers, deadline).await;
        let in_time = tokio::time::timeout_at(deadline.into(), self.client.close()).await.is_ok();
        *closed = true;
        if in_time && pushed && pulled && sent { Ok(()) } else { Err(late()) }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.get_mut().take() else { return };
        let client = self.client.clone();
        let closing = in_background("mq-close", move || {
            let close = async { tokio::time::timeout(CLOSE_TIMEOUT, client.close()).await };
            // On a thread of its own, so it can block; that it took too long has nobody to be told to.
            let _ = runtime.block_on("closing a client", close);
        });
        if let Err(error) = closing {
            tracing::warn!(%error, "a client was dropped without being closed");
        }
    }
}

/// Runs `work` on a thread of its own.
pub(crate) fn in_background(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|e| {
        Error::new(
            ErrorCode::Internal,
            format!("a thread cannot be started: {e}; raise the limit of threads"),
        )
    })
}
