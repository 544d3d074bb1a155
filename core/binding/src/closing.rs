//! Closing, the same for all that is made from a client: once, within a time limit, blocking or with an event.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mq_client::Error;

use crate::client::Client;
use crate::completion::Completion;
use crate::deadline::deadline;
use crate::event::Outcome;
use crate::fork::Owned;
use crate::queue::Queue;
use crate::runtime::refuse_on_runtime_thread;

/// Something that is made from a client and closed before it, or with it.
pub(crate) trait Close: Send + Sync + 'static {
    /// For messages: "closing a producer".
    const WHAT: &'static str;

    fn client(&self) -> &Client;

    /// How long closing may take when no time is given.
    fn close_timeout(&self) -> Duration;

    /// Closes; waits while another call does it, and does nothing after that.
    ///
    /// TIMEOUT tells that something had to be cut.
    fn close_by(&self, deadline: Instant) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Closes and waits for it.
pub(crate) fn close<T: Close>(object: &Owned<T>, timeout: Option<Duration>) -> Result<(), Error> {
    let object = object.get()?;
    refuse_on_runtime_thread(T::WHAT)?;
    // Closing the client has closed what was made from it.
    let Ok(runtime) = object.client().runtime() else { return Ok(()) };
    let deadline = deadline(timeout.unwrap_or_else(|| object.close_timeout()));
    runtime.block_on(T::WHAT, object.close_by(deadline))?
}

/// Closes without waiting; the end is an event with `tag` on `queue`.
pub(crate) fn close_async<T: Close>(
    object: &Arc<Owned<T>>,
    timeout: Option<Duration>,
    queue: &Queue,
    tag: u64,
) -> Result<(), Error> {
    let inner = object.get()?;
    let completion = Completion::new(queue, tag, None)?;
    let Ok(runtime) = inner.client().runtime() else {
        completion.finish(Ok(Outcome::Closed));
        return Ok(());
    };
    let deadline = deadline(timeout.unwrap_or_else(|| inner.close_timeout()));
    let object = Arc::clone(object);
    runtime.handle().spawn(async move {
        let result = match object.get() {
            Ok(inner) => inner.close_by(deadline).await,
            Err(error) => Err(error),
        };
        completion.finish(result.map(|()| Outcome::Closed));
    });
    Ok(())
}
