//! The embedded broker: NameServer and broker inside this process, for tests and small installations.

use std::ffi::c_char;
use std::ptr;
use std::sync::Mutex;

use mq_binding::{Broker, on_library_thread};

use crate::call::{CText, Handle, Out, absent, call, free, on, quiet, text, timeout};
use crate::config::{config_or_default, mq_config};
use crate::error::mq_error;

/// A NameServer and a broker inside this process. May be used from any thread, by several at once.
///
/// All calls block. They fail with `MQ_ERR_STATE` on threads of the library and `MQ_ERR_FORKED` in a forked child.
pub struct mq_broker {
    pub(crate) broker: Broker,
    /// Every text that was lent; an address stays readable after a restart that changed it.
    lent: Mutex<Vec<CText>>,
}

impl Handle for mq_broker {
    type Core = Broker;
    const NAME: &'static str = "broker";

    fn core(&self) -> &Broker {
        &self.broker
    }
}

/// A text of a broker, lent until the broker is freed.
///
/// # Safety
/// As the header asks: a live broker or NULL, a length that can be written or NULL.
unsafe fn lend(
    broker: *const mq_broker,
    len: *mut usize,
    text: impl FnOnce(&Broker) -> Result<String, mq_binding::Error>,
) -> *const c_char {
    quiet(ptr::null(), || {
        // SAFETY: as the caller promises.
        let broker = unsafe { broker.as_ref() };
        let Some((broker, Ok(text))) = broker.map(|broker| (broker, text(&broker.broker))) else {
            // SAFETY: as the caller promises.
            return unsafe { absent(len) };
        };
        let mut lent = broker.lent.lock().unwrap_or_else(|poison| poison.into_inner());
        let same = lent.iter().position(|known| known.as_str() == text);
        let index = same.unwrap_or_else(|| {
            lent.push(CText::new(text));
            lent.len() - 1
        });
        // SAFETY: as the caller promises. The text's own bytes do not move when the list grows.
        lent.get(index).map_or(ptr::null(), |text| unsafe { text.lend(len) })
    })
}

/// Starts a broker and waits until it accepts: on 127.0.0.1, on free ports, with a temporary data directory.
///
/// `config` may be NULL. Settings: `data_dir` (a directory to keep data in; without it a temporary one, removed when the
/// broker is stopped or freed), `listen_port` and `namesrv_port` (0, the default, is any free port), and Apache's own
/// `broker.conf` keys (`flushDiskType`, `autoCreateTopicEnable`, `defaultTopicQueueNums` …).
///
/// Errors: `MQ_ERR_CONFIG`, `MQ_ERR_IO` (directory or port), `MQ_ERR_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_start(
    config: *const mq_config,
    broker: *mut *mut mq_broker,
) -> *mut mq_error {
    call(|| {
        // SAFETY: the header asks for live handles or NULL and a place for the result.
        let (config, out) = unsafe { (config_or_default(config), Out::new(broker, "broker")?) };
        let broker = Broker::start(&config)?;
        out.set(Box::into_raw(Box::new(mq_broker { broker, lent: Mutex::default() })));
        Ok(())
    })
}

/// The `host:port` of its NameServer, which a client wants as `namesrv`. `len` (may be NULL) takes the length; a NUL
/// follows. Valid until the broker is freed, though after `mq_broker_restart` perhaps not the current one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_address(broker: *const mq_broker, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live broker or NULL, and a length that can be written or NULL.
    unsafe { lend(broker, len, |broker| broker.address()) }
}

/// The `host:port` of the broker itself. As `mq_broker_address`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_listen_address(
    broker: *const mq_broker,
    len: *mut usize,
) -> *const c_char {
    // SAFETY: the header asks for a live broker or NULL, and a length that can be written or NULL.
    unsafe { lend(broker, len, |broker| broker.broker_address()) }
}

/// The directory that holds its data. As `mq_broker_address`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_data_dir(broker: *const mq_broker, len: *mut usize) -> *const c_char {
    // SAFETY: the header asks for a live broker or NULL, and a length that can be written or NULL.
    unsafe { lend(broker, len, |broker| broker.data_dir().map(|path| path.to_string_lossy().into_owned())) }
}

/// Creates a topic with `queues` queues (1 or more), or changes their number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_create_topic(
    broker: *mut mq_broker,
    name: *const c_char,
    name_len: usize,
    queues: i32,
) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL and a text with its length.
    unsafe { on(broker, |broker| broker.create_topic(text(name, name_len, "the topic")?, queues)) }
}

/// Stops a broker cleanly, up to `timeout_ms` milliseconds (negative or 0: 10 seconds). A temporary directory stays until
/// the broker is freed. Stopping twice is no error. Errors: `MQ_ERR_TIMEOUT`, `MQ_ERR_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_stop(broker: *mut mq_broker, timeout_ms: i64) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(broker, |broker| broker.stop(timeout(timeout_ms))) }
}

/// Ends a broker as `kill -9` would: connections are cut, nothing is flushed, the mark of an unclean stop stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_kill(broker: *mut mq_broker) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(broker, |broker| broker.kill()) }
}

/// Starts a stopped or killed broker again, on the same data and, unless others took them, the same ports. One that runs
/// is stopped first. Errors as `mq_broker_start`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_restart(broker: *mut mq_broker) -> *mut mq_error {
    // SAFETY: the header asks for live handles or NULL.
    unsafe { on(broker, |broker| broker.restart()) }
}

/// Frees a broker, after stopping it if that was not done; a temporary directory is removed. NULL is allowed. In a forked
/// child nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_broker_free(broker: *mut mq_broker) {
    // SAFETY: the header asks for a broker that the caller owns, or NULL.
    unsafe {
        if let Some(broker) = broker.as_ref()
            && !on_library_thread()
        {
            // There is nobody to tell of an error. On a thread of the library the drop stops without waiting.
            quiet((), || drop(broker.broker.stop(None)));
        }
        free(broker);
    }
}
