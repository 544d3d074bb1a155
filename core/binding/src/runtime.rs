//! The one runtime of the process: started with the first client or broker, ended with the last.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mq_client::{Error, ErrorCode};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};

use crate::fork::PerProcess;

/// How long the end of the runtime waits for its threads.
const SHUTDOWN: Duration = Duration::from_secs(2);
/// Worker threads at most, unless `MQ_WORKER_THREADS` says otherwise.
const WORKERS: usize = 4;

static CURRENT: PerProcess<Mutex<Weak<Shared>>> = PerProcess::new();

#[derive(Debug)]
struct Shared {
    /// Present until the drop.
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if on_library_thread() {
            // Waiting for one's own thread would never end.
            runtime.shutdown_background();
        } else {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }
}

/// A share of the runtime, which lives as long as one share does.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    handle: Handle,
    _shared: Arc<Shared>,
}

impl Runtime {
    /// The runtime of this process, started if there is none.
    pub(crate) fn share() -> Result<Runtime, Error> {
        let mut current = CURRENT.get().lock();
        let shared = match current.upgrade() {
            Some(shared) => shared,
            None => {
                let shared = Arc::new(Shared { runtime: Some(start()?) });
                *current = Arc::downgrade(&shared);
                shared
            }
        };
        drop(current);
        let Some(runtime) = &shared.runtime else {
            return Err(Error::new(ErrorCode::Internal, "the runtime has ended"));
        };
        Ok(Runtime { handle: runtime.handle().clone(), _shared: shared })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for `future` on a thread of the host.
    pub(crate) fn block_on<F: Future>(&self, what: &str, future: F) -> Result<F::Output, Error> {
        refuse_on_runtime_thread(what)?;
        Ok(self.handle.block_on(future))
    }
}

/// Whether this thread belongs to the library (or to another tokio runtime), where blocking would stall or deadlock it.
#[must_use]
pub fn on_library_thread() -> bool {
    Handle::try_current().is_ok()
}

pub(crate) fn refuse_on_runtime_thread(what: &str) -> Result<(), Error> {
    if !on_library_thread() {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::State,
        format!(
            "{what} would block a thread of the library; use the asynchronous form, or call it on a thread of your own"
        ),
    ))
}

fn start() -> Result<tokio::runtime::Runtime, Error> {
    let workers = match std::env::var("MQ_WORKER_THREADS") {
        Ok(text) => match text.trim().parse::<usize>() {
            Ok(workers @ 1..=1024) => workers,
            _ => {
                return Err(Error::new(
                    ErrorCode::Config,
                    format!("MQ_WORKER_THREADS is '{text}'; it must be a number from 1 to 1024"),
                ));
            }
        },
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS),
    };
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("mq-worker")
        .on_thread_start(leave_signals_to_the_host)
        .enable_all()
        .build()
        .map_err(|e| Error::new(ErrorCode::Internal, format!("the library's threads cannot be started: {e}")))
}

/// Blocks the signals that a program handles, on a thread of ours: the host's own threads get them, whose waits they
/// are meant to interrupt. Signals of faults, of debuggers and of other runtimes are left alone.
fn leave_signals_to_the_host() {
    const SIGNALS: [libc::c_int; 12] = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGTSTP,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGWINCH,
    ];
    // SAFETY: the set is initialized by `sigemptyset` before it is used, and lives until the last call returns. They fail only
    // for numbers that are no signals.
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        for signal in SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}
