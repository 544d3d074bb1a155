//! The library's log, handed to the host: a callback or a queue, only when asked for.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use mq_client::{Error, ErrorCode};
use parking_lot::{Mutex, RwLock};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};

use crate::event::Event;
use crate::fork::PerProcess;
use crate::queue::Queue;

/// How important a log line is, in the order of growing detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LogLevel {
    /// No lines.
    Off = 0,
    /// Something failed that should not have.
    Error = 1,
    /// Something is wrong but is being dealt with.
    Warn = 2,
    /// What an operator wants to know.
    Info = 3,
    /// What a developer wants to know.
    Debug = 4,
    /// Every request.
    Trace = 5,
}

impl LogLevel {
    /// All levels, in the order of their numbers.
    pub const ALL: [LogLevel; 6] =
        [LogLevel::Off, LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

    /// The level of this number (0 is off, 5 is trace).
    #[must_use]
    pub fn from_number(number: i32) -> Option<LogLevel> {
        usize::try_from(number).ok().and_then(|index| LogLevel::ALL.get(index)).copied()
    }

    /// The name: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["off", "error", "warn", "info", "debug", "trace"][self as usize]
    }

    fn of(level: Level) -> LogLevel {
        match level {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG => LogLevel::Debug,
            Level::TRACE => LogLevel::Trace,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Off => LevelFilter::OFF,
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

/// Receives log lines: level, target, message. Called on whatever thread logs; must not block.
pub type LogHook = Arc<dyn Fn(LogLevel, &str, &str) + Send + Sync>;

enum Receiver {
    Hook(LogHook),
    Queue(Queue),
}

/// Read while a receiver runs, so that whoever replaces it waits for its end.
static RECEIVER: PerProcess<RwLock<Option<Receiver>>> = PerProcess::new();
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Off as u8);

thread_local! {
    static IN_RECEIVER: Cell<bool> = const { Cell::new(false) };
}

/// Hands log lines up to `level` to `hook`, in place of any receiver set before; `None` or [`LogLevel::Off`] stops that.
///
/// When this returns, the receiver before is not running and will not be called again. What the library logs while
/// `hook` runs, on its thread, is not handed over.
///
/// # Errors
/// STATE when called from within a hook, or when the host program has a `tracing` subscriber of its own, which then gets the lines.
pub fn set_log_hook(hook: Option<LogHook>, level: LogLevel) -> Result<(), Error> {
    set_receiver(hook.map(Receiver::Hook), level)
}

/// Puts log lines up to `level` on `queue`, in place of any receiver set before; `None` or [`LogLevel::Off`] stops that.
///
/// At most 1000 lines wait on a queue; what comes then is dropped and counted in the next line.
///
/// # Errors
/// As [`set_log_hook`], and CLOSED.
pub fn set_log_queue(queue: Option<&Queue>, level: LogLevel) -> Result<(), Error> {
    if let Some(queue) = queue {
        queue.check_open()?;
    }
    set_receiver(queue.cloned().map(Receiver::Queue), level)
}

fn set_receiver(receiver: Option<Receiver>, level: LogLevel) -> Result<(), Error> {
    /// Held while the receiver is changed.
    static CHANGING: PerProcess<Mutex<()>> = PerProcess::new();

    if IN_RECEIVER.get() {
        return Err(Error::new(
            ErrorCode::State,
            "the log hook cannot be changed from within itself; do it after its return",
        ));
    }
    let receiver = receiver.filter(|_| level != LogLevel::Off);
    let level = if receiver.is_some() { level } else { LogLevel::Off };
    let changing = CHANGING.get().lock();
    if receiver.is_some() {
        install()?;
    }
    let before = std::mem::replace(&mut *RECEIVER.get().write(), receiver);
    LEVEL.store(level as u8, Ordering::Relaxed);
    drop(changing);
    drop(before);
    tracing::callsite::rebuild_interest_cache();
    Ok(())
}

/// Puts our subscriber in place, once; a subscriber that the host has set stays.
fn install() -> Result<(), Error> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    tracing::subscriber::set_global_default(ToHost).map_err(|_| {
        Error::new(
            ErrorCode::State,
            "the host program has a tracing subscriber of its own; the log lines go there",
        )
    })?;
    INSTALLED.store(true, Ordering::Release);
    Ok(())
}

/// The subscriber: events of our own crates go to the receiver, spans are not kept.
struct ToHost;

impl ToHost {
    fn wants(metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
            && metadata.target().starts_with("mq_")
            && LogLevel::of(*metadata.level()) as u8 <= LEVEL.load(Ordering::Relaxed)
    }
}

impl Subscriber for ToHost {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if ToHost::wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ToHost::wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let level = LogLevel::from_number(i32::from(LEVEL.load(Ordering::Relaxed)));
        level.map(LogLevel::filter)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if IN_RECEIVER.get() || !ToHost::wants(event.metadata()) {
            return;
        }
        let Some(receiver) = RECEIVER.peek() else { return };
        let mut line = Line::default();
        event.record(&mut line);
        let (level, target) = (LogLevel::of(*event.metadata().level()), event.metadata().target());
        IN_RECEIVER.set(true);
        // A hook that panics is the host's bug; the thread that logs must survive it.
        let _ = catch_unwind(AssertUnwindSafe(|| match &*receiver.read() {
            Some(Receiver::Hook(hook)) => hook(level, target, &line.text),
            Some(Receiver::Queue(queue)) => queue.push_log(|dropped| {
                let mut message = line.text;
                if dropped > 0 {
                    let _ = write!(message, " ({dropped} lines before this one were dropped)");
                }
                Event::Log { level, target: target.to_owned(), message }
            }),
            None => {}
        }));
        IN_RECEIVER.set(false);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A log line: the message, then the other fields as ` name=value`.
#[derive(Default)]
struct Line {
    text: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        if field.name() == "message" {
            let fields = std::mem::take(&mut self.text);
            let _ = write!(self.text, "{value:?}{fields}");
        } else {
            let _ = write!(self.text, " {}={value:?}", field.name());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
