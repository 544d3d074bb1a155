//! The background tasks of one client, so that closing it leaves none behind.

use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

/// Spawns tasks onto the runtime on which the client was made.
pub(crate) struct Tasks {
    runtime: Handle,
    /// `None` once closed.
    set: Mutex<Option<JoinSet<()>>>,
    /// Tasks that never end by themselves.
    loops: Mutex<Vec<AbortHandle>>,
}

impl Tasks {
    pub(crate) fn new(runtime: Handle) -> Tasks {
        Tasks { runtime, set: Mutex::new(Some(JoinSet::new())), loops: Mutex::default() }
    }

    /// Starts a task; `false` if everything was closed already.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        self.start(task).is_some()
    }

    /// Starts a task that goes on until everything is closed.
    pub(crate) fn spawn_loop(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let handle = self.start(task);
        let started = handle.is_some();
        self.loops.lock().extend(handle);
        started
    }

    /// As [`Tasks::spawn`], with a handle; `None` if everything was closed already.
    pub(crate) fn start(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        let mut set = self.set.lock();
        let set = set.as_mut()?;
        while set.try_join_next().is_some() {}
        Some(set.spawn_on(task, &self.runtime))
    }

    /// Takes no more tasks, ends the loops and waits for the others; what still runs after `limit` is ended too.
    pub(crate) async fn close(&self, limit: Duration) {
        let Some(mut set) = self.set.lock().take() else { return };
        for task in self.loops.lock().drain(..) {
            task.abort();
        }
        let deadline = Instant::now() + limit;
        while let Ok(Some(_)) = timeout_at(deadline, set.join_next()).await {}
        set.shutdown().await;
    }
}
