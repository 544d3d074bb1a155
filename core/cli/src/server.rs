//! What long-running commands share: a runtime and the signals that end them.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Runs a future on a runtime with a thread for each core.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    runtime()?.block_on(future)
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build().map_err(|e| Failure::to("start the runtime's threads", e))
}

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn ended() -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::to("listen for signals", e));
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
