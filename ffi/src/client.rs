//! Clients: connections to one cluster.

use mq_binding::{Client, on_library_thread};

use crate::call::{Handle, Out, begin, call, free, handle, on, quiet, timeout};
use crate::config::mq_config;
use crate::error::mq_error;
use crate::queue::mq_queue;

/// A client of one cluster: connections, routes, threads. One per process and cluster, as a rule.
///
/// May be used from any thread, by several at once. Producers and consumers are made from it; closing it closes them.
pub struct mq_client {
    pub(crate) client: Client,
}

impl Handle for mq_client {
    type Core = Client;
    const NAME: &'static str = "client";

    fn core(&self) -> &Client {
        &self.client
    }
}

/// Makes a client from its settings (`namesrv` must be set). It connects when it is first needed, not here.
///
/// Errors: `MQ_ERR_CONFIG` for missing or bad settings and settings that are not a client's, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_client_new(
    config: *const mq_config,
    client: *mut *mut mq_client,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the result.
        let (config, out) = unsafe { (handle(config, "config")?, Out::new(client, "client")?) };
        let client = Client::new(&config.config, "CPP")?;
        out.set(Box::into_raw(Box::new(mq_client { client })));
        Ok(())
    })
}

/// Closes a client and all that was made from it, in order: consumers commit and leave their groups, sends under
/// way are completed or fail. Every asynchronous call that was accepted gets its event. Closing twice is no error.
///
/// Blocks up to `timeout_ms` milliseconds (negative or 0: 5 seconds); what is not done by then is cut.
/// Errors: `MQ_ERR_TIMEOUT` when it had to be cut (the client is closed all the same), `MQ_ERR_STATE` on a thread of the
/// library, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_client_close(client: *mut mq_client, timeout_ms: i64) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(client, |client| client.close(timeout(timeout_ms))) }
}

/// As `mq_client_close`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_client_close_async(
    client: *mut mq_client,
    timeout_ms: i64,
    queue: *mut mq_queue,
    tag: u64,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { begin(client, queue, |client, queue| client.close_async(timeout(timeout_ms), queue, tag)) }
}

/// Frees a client, after closing it as `mq_client_close` does if that was not done. NULL is allowed.
///
/// Producers and consumers made from it stay valid handles that answer `MQ_ERR_CLOSED`; free them too, in any order. In a
/// forked child nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_client_free(client: *mut mq_client) {
    // SAFETY: the header asks for a client that the caller owns, or NULL.
    unsafe {
        if let Some(client) = client.as_ref()
            && !on_library_thread()
        {
            // There is nobody to tell of an error. On a thread of the library the drop closes without waiting.
            quiet((), || drop(client.client.close(None)));
        }
        free(client);
    }
}
