//! The Rust side of the C++ wrapper: a cxx bridge whose handles are those of the binding crate.

use std::sync::Mutex;
use std::time::Duration;

use mq_binding::{
    Client, Config, ConsumeResult, Error, Event as CoreEvent, Message, MessageView, Outcome, Producer,
    PushConsumer, Queue, QueueChange, ReplyToken, SendReceipt, SendStatus, Warning,
};

mod broker;
mod pull;
mod view;

use broker::{CoreBroker, broker_start};
use pull::{CoreDeadLetters, CorePuller};
use view::{View, Views, names};

#[cxx::bridge(namespace = "libmq::detail")]
#[allow(unreachable_pub, reason = "cxx writes its items so")]
mod ffi {
    /// One queue of a topic.
    #[derive(Clone)]
    struct QueueName {
        topic: String,
        broker_name: String,
        queue_id: i32,
    }

    /// A property.
    struct Pair {
        name: String,
        value: String,
    }

    extern "Rust" {
        fn library_version() -> &'static str;

        type Settings;
        fn settings_new() -> Box<Settings>;
        fn set(self: &mut Settings, key: &str, value: &str) -> Result<()>;

        type Outgoing;
        fn outgoing_new(topic: &str, body: &[u8]) -> Box<Outgoing>;
        fn tag(self: &mut Outgoing, tag: &str);
        fn key(self: &mut Outgoing, key: &str);
        fn property(self: &mut Outgoing, name: &str, value: &str);
        fn message_group(self: &mut Outgoing, group: &str);
        fn delay_level(self: &mut Outgoing, level: u32);
        fn wait_store(self: &mut Outgoing, wait: bool);
        fn flag(self: &mut Outgoing, flag: i32);

        type OutgoingList;
        fn outgoing_list_new() -> Box<OutgoingList>;
        fn add(self: &mut OutgoingList, message: Box<Outgoing>);

        type Events;
        fn events_new() -> Box<Events>;
        fn poll(self: &Events, max: usize, timeout: i64) -> Result<Vec<Event>>;
        fn close(self: &Events);

        type Sent;
        fn message_id(self: &Sent) -> &str;
        fn offset_message_id(self: &Sent) -> &str;
        fn topic(self: &Sent) -> &str;
        fn broker_name(self: &Sent) -> &str;
        fn queue_id(self: &Sent) -> i32;
        fn queue_offset(self: &Sent) -> i64;
        fn status(self: &Sent) -> i32;

        type Event;
        fn tag(self: &Event) -> u64;
        fn error(self: &Event) -> String;
        fn sent(self: &Event) -> &Sent;
        fn has_messages(self: &Event) -> bool;
        fn take_messages(self: &mut Event) -> Box<Views>;
        fn reply(self: &Event, kind: i32, detail: i32);
        fn warning(self: &Event) -> Vec<String>;
        fn queues(self: &Event) -> Vec<QueueName>;
        fn assigned(self: &Event) -> Vec<QueueName>;

        type View;
        fn topic(self: &View) -> &str;
        fn body(self: &View) -> &[u8];
        fn tag(self: &View) -> &str;
        fn keys(self: &View) -> Vec<String>;
        fn properties(self: &View) -> Vec<Pair>;
        fn property(self: &View, name: &str) -> String;
        fn message_group(self: &View) -> &str;
        fn message_id(self: &View) -> &str;
        fn offset_message_id(self: &View) -> &str;
        fn broker_name(self: &View) -> &str;
        fn queue_id(self: &View) -> i32;
        fn queue_offset(self: &View) -> i64;
        fn born_timestamp(self: &View) -> i64;
        fn store_timestamp(self: &View) -> i64;
        fn delivery_attempt(self: &View) -> i32;
        fn flag(self: &View) -> i32;

        type Views;
        fn count(self: &Views) -> usize;
        fn view(self: &Views, index: usize) -> &View;

        type CoreClient;
        fn client_new(settings: &Settings) -> Result<Box<CoreClient>>;
        fn close(self: &CoreClient, timeout: i64) -> Result<()>;
        fn producer(self: &CoreClient, settings: &Settings) -> Result<Box<CoreProducer>>;
        fn push_consumer(
            self: &CoreClient,
            settings: &Settings,
            events: &Events,
        ) -> Result<Box<CoreConsumer>>;
        fn pull_consumer(self: &CoreClient, settings: &Settings) -> Result<Box<CorePuller>>;
        fn dead_letters(self: &CoreClient, group: &str) -> Result<Box<CoreDeadLetters>>;

        type CoreProducer;
        fn queues(self: &CoreProducer, topic: &str) -> Result<Vec<QueueName>>;
        fn send_to_queue(
            self: &CoreProducer,
            message: Box<Outgoing>,
            queue: QueueName,
            timeout: i64,
        ) -> Result<Box<Sent>>;
        fn send_to_queue_async(
            self: &CoreProducer,
            message: Box<Outgoing>,
            queue: QueueName,
            timeout: i64,
            events: &Events,
            tag: u64,
        ) -> Result<()>;
        fn split_batch(self: &CoreProducer, messages: Box<OutgoingList>) -> Result<Vec<usize>>;
        fn send(self: &CoreProducer, message: Box<Outgoing>, timeout: i64) -> Result<Box<Sent>>;
        fn send_batch(self: &CoreProducer, messages: Box<OutgoingList>, timeout: i64) -> Result<Box<Sent>>;
        fn send_oneway(self: &CoreProducer, message: Box<Outgoing>) -> Result<()>;
        fn send_async(
            self: &CoreProducer,
            message: Box<Outgoing>,
            timeout: i64,
            events: &Events,
            tag: u64,
        ) -> Result<()>;
        fn send_batch_async(
            self: &CoreProducer,
            messages: Box<OutgoingList>,
            timeout: i64,
            events: &Events,
            tag: u64,
        ) -> Result<()>;
        fn close(self: &CoreProducer, timeout: i64) -> Result<()>;

        type CoreConsumer;
        fn subscribe(self: &CoreConsumer, topic: &str, expression: &str) -> Result<()>;
        fn unsubscribe(self: &CoreConsumer, topic: &str) -> Result<()>;
        fn start(self: &CoreConsumer) -> Result<()>;
        fn suspend(self: &CoreConsumer) -> Result<()>;
        fn resume(self: &CoreConsumer) -> Result<()>;
        fn assignment(self: &CoreConsumer) -> Result<Vec<QueueName>>;
        fn close(self: &CoreConsumer, timeout: i64) -> Result<()>;
        fn listener_threw(what: &str);
        fn log_warning(name: &str, message: &str);

        type CorePuller;
        fn subscribe(self: &CorePuller, topic: &str, expression: &str) -> Result<()>;
        fn unsubscribe(self: &CorePuller, topic: &str) -> Result<()>;
        fn assign(self: &CorePuller, queues: Vec<QueueName>) -> Result<()>;
        fn start(self: &CorePuller) -> Result<()>;
        fn poll(self: &CorePuller, timeout: i64) -> Result<Box<Views>>;
        fn seek(self: &CorePuller, queue: QueueName, whence: i32, value: i64) -> Result<()>;
        fn offset_for_time(self: &CorePuller, queue: QueueName, millis: i64) -> Result<i64>;
        fn commit(self: &CorePuller) -> Result<()>;
        fn commit_offsets(self: &CorePuller, queues: Vec<QueueName>, offsets: Vec<i64>) -> Result<()>;
        fn committed(self: &CorePuller, queue: QueueName) -> Result<i64>;
        fn position(self: &CorePuller, queue: QueueName) -> Result<i64>;
        fn queues(self: &CorePuller, topic: &str) -> Result<Vec<QueueName>>;
        fn assignment(self: &CorePuller) -> Result<Vec<QueueName>>;
        fn pause(self: &CorePuller, queues: Vec<QueueName>) -> Result<()>;
        fn resume(self: &CorePuller, queues: Vec<QueueName>) -> Result<()>;
        fn watch(self: &CorePuller, topic: &str, events: &Events, tag: u64) -> Result<()>;
        fn close(self: &CorePuller, timeout: i64) -> Result<()>;

        type CoreDeadLetters;
        fn read(self: &CoreDeadLetters, max: usize) -> Result<Box<Views>>;
        fn rewind(self: &CoreDeadLetters) -> Result<()>;
        fn resend(self: &CoreDeadLetters, letter: &View) -> Result<Box<Sent>>;

        type CoreBroker;
        fn broker_start(settings: &Settings) -> Result<Box<CoreBroker>>;
        fn address(self: &CoreBroker) -> Result<String>;
        fn broker_address(self: &CoreBroker) -> Result<String>;
        fn data_dir(self: &CoreBroker) -> Result<String>;
        fn create_topic(self: &CoreBroker, name: &str, queues: i32) -> Result<()>;
        fn kill(self: &CoreBroker) -> Result<()>;
        fn restart(self: &CoreBroker) -> Result<()>;
        fn stop(self: &CoreBroker) -> Result<()>;
        fn fail_next(self: &CoreBroker, request: &str, response: &str, times: u32) -> Result<()>;
        fn delay_next(self: &CoreBroker, request: &str, millis: u64, times: u32) -> Result<()>;
        fn drop_next(self: &CoreBroker, request: &str, times: u32) -> Result<()>;
        fn lose_answer_next(self: &CoreBroker, request: &str, times: u32) -> Result<()>;
        fn refuse_connections(self: &CoreBroker, refuse: bool) -> Result<()>;
        fn clear_faults(self: &CoreBroker) -> Result<()>;
        fn advance_clock(self: &CoreBroker, millis: u64) -> Result<()>;
        fn set_clock(self: &CoreBroker, millis: i64) -> Result<()>;
        fn clock(self: &CoreBroker) -> Result<i64>;

        fn set_log(level: i32, handler: UniquePtr<LogHandler>) -> Result<()>;
    }

    unsafe extern "C++" {
        include!("log_handler.hpp");

        type LogHandler;
        fn call_log_handler(handler: &LogHandler, level: i32, target: &str, message: &str);
    }
}

// SAFETY: the handler is a std::function that the C++ side calls through a const reference; libmq.hpp says that it is called
// on any thread of the library.
unsafe impl Send for ffi::LogHandler {}
// SAFETY: as above.
unsafe impl Sync for ffi::LogHandler {}

/// An error as one text that error.cc takes apart: code, name, broker code, three flags and the message, joined by 0x1F.
struct Joined(Error);

impl std::fmt::Display for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = &self.0;
        let broker = error.broker_code().map(|code| code.to_string()).unwrap_or_default();
        let flags = [error.retryable(), error.throttled(), error.fatal()].map(u8::from);
        write!(f, "{}\x1f{}\x1f{broker}\x1f", error.code().number(), error.code().name())?;
        write!(f, "{}\x1f{}\x1f{}\x1f{}", flags[0], flags[1], flags[2], error.message())
    }
}

/// Runs a call behind the panic fence.
fn call<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Joined> {
    mq_binding::fence(work).map_err(Joined)
}

/// A duration of milliseconds; below 0 stands for none given.
fn duration(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

fn library_version() -> &'static str {
    mq_binding::VERSION
}

struct Settings(Config);

fn settings_new() -> Box<Settings> {
    Box::new(Settings(Config::new()))
}

impl Settings {
    fn set(&mut self, key: &str, value: &str) -> Result<(), Joined> {
        call(|| self.0.set(key, value))
    }
}

/// A message under construction; the builder takes itself by value, so it is moved out and in.
struct Outgoing(Option<Message>);

fn outgoing_new(topic: &str, body: &[u8]) -> Box<Outgoing> {
    Box::new(Outgoing(Some(Message::new(topic, body.to_vec()))))
}

impl Outgoing {
    fn change(&mut self, with: impl FnOnce(Message) -> Message) {
        self.0 = self.0.take().map(with);
    }

    fn tag(&mut self, tag: &str) {
        self.change(|message| message.tag(tag));
    }

    fn key(&mut self, key: &str) {
        self.change(|message| message.key(key));
    }

    fn property(&mut self, name: &str, value: &str) {
        self.change(|message| message.property(name, value));
    }

    fn message_group(&mut self, group: &str) {
        self.change(|message| message.message_group(group));
    }

    fn delay_level(&mut self, level: u32) {
        self.change(|message| message.delay_level(level));
    }

    fn wait_store(&mut self, wait: bool) {
        self.change(|message| message.wait_store(wait));
    }

    fn flag(&mut self, flag: i32) {
        self.change(|mut message| {
            message.flag = flag;
            message
        });
    }

    fn into_message(self) -> Result<Message, Error> {
        self.0.ok_or_else(|| Error::new(mq_binding::ErrorCode::Internal, "a message was used twice"))
    }
}

#[derive(Default)]
struct OutgoingList(Vec<Outgoing>);

fn outgoing_list_new() -> Box<OutgoingList> {
    Box::default()
}

impl OutgoingList {
    #[allow(clippy::boxed_local, reason = "cxx passes opaque types in a box")]
    fn add(&mut self, message: Box<Outgoing>) {
        self.0.push(*message);
    }

    fn into_messages(self) -> Result<Vec<Message>, Error> {
        self.0.into_iter().map(Outgoing::into_message).collect()
    }
}

struct Events(Queue);

fn events_new() -> Box<Events> {
    Box::new(Events(Queue::new()))
}

impl Events {
    fn poll(&self, max: usize, timeout: i64) -> Result<Vec<Event>, Joined> {
        call(|| {
            let mut events = Vec::new();
            self.0.poll(&mut events, max, duration(timeout).unwrap_or(Duration::MAX))?;
            Ok(events.into_iter().map(Event::from).collect())
        })
    }

    fn close(&self) {
        self.0.destroy();
    }
}

/// An event of the queue. A log event never comes here: the log has a handler of its own.
enum Event {
    Done { tag: u64, result: Result<Sent, Error> },
    Messages { messages: Vec<MessageView>, token: Mutex<Option<ReplyToken>> },
    Warning(Warning),
    Queues { watch: u64, change: QueueChange },
    Other,
}

impl From<CoreEvent> for Event {
    fn from(event: CoreEvent) -> Event {
        match event {
            CoreEvent::Done { tag, result } => Event::Done {
                tag,
                result: result.map(|outcome| match outcome {
                    Outcome::Sent(made) | Outcome::SentBatch(made) => Sent(Some(made)),
                    _ => Sent(None),
                }),
            },
            CoreEvent::Message { messages, token, .. } => {
                Event::Messages { messages, token: Mutex::new(Some(token)) }
            }
            CoreEvent::Warning { warning, .. } => Event::Warning(warning),
            CoreEvent::QueueChange { watch, change } => Event::Queues { watch, change },
            _ => Event::Other,
        }
    }
}

impl Event {
    fn tag(&self) -> u64 {
        match self {
            Event::Done { tag, .. } => *tag,
            Event::Queues { watch, .. } => *watch,
            _ => 0,
        }
    }

    /// Name and text of a warning; empty for other events.
    fn warning(&self) -> Vec<String> {
        match self {
            Event::Warning(warning) => vec![warning.code.name().to_owned(), warning.message.clone()],
            _ => Vec::new(),
        }
    }

    fn queues(&self) -> Vec<ffi::QueueName> {
        if let Event::Queues { change, .. } = self { names(&change.queues) } else { Vec::new() }
    }

    fn assigned(&self) -> Vec<ffi::QueueName> {
        if let Event::Queues { change, .. } = self { names(&change.assigned) } else { Vec::new() }
    }

    fn error(&self) -> String {
        match self {
            Event::Done { result: Err(error), .. } => Joined(error.clone()).to_string(),
            _ => String::new(),
        }
    }

    fn sent(&self) -> &Sent {
        match self {
            Event::Done { result: Ok(sent), .. } => sent,
            _ => &Sent(None),
        }
    }

    fn has_messages(&self) -> bool {
        matches!(self, Event::Messages { .. })
    }

    /// The messages, once.
    fn take_messages(&mut self) -> Box<Views> {
        let messages =
            if let Event::Messages { messages, .. } = self { std::mem::take(messages) } else { Vec::new() };
        Box::new(Views::from(messages))
    }

    /// Answers for the messages: 0 success, 1 later at a delay level (0: the broker's choice), 2 a pause of milliseconds (0: the
    /// setting).
    fn reply(&self, kind: i32, detail: i32) {
        let Event::Messages { token, .. } = self else { return };
        let token = token.lock().ok().and_then(|mut token| token.take());
        let result = match kind {
            0 => ConsumeResult::Success,
            1 => ConsumeResult::Later { delay_level: (detail != 0).then_some(detail) },
            _ => ConsumeResult::Suspend {
                duration: u64::try_from(detail).ok().filter(|millis| *millis > 0).map(Duration::from_millis),
            },
        };
        if let Some(token) = token {
            // It fails in a forked child only, which has no consumer.
            let _ = token.reply(result);
        }
    }
}

/// Where a sent message is; nowhere if the call was none that sends.
struct Sent(Option<SendReceipt>);

fn sent(made: SendReceipt) -> Box<Sent> {
    Box::new(Sent(Some(made)))
}

impl Sent {
    fn text(&self, of: impl FnOnce(&SendReceipt) -> &str) -> &str {
        self.0.as_ref().map_or("", of)
    }

    fn message_id(&self) -> &str {
        self.text(|made| &made.message_id)
    }

    fn offset_message_id(&self) -> &str {
        self.text(|made| &made.offset_message_id)
    }

    fn topic(&self) -> &str {
        self.text(|made| &made.topic)
    }

    fn broker_name(&self) -> &str {
        self.text(|made| &made.broker_name)
    }

    fn queue_id(&self) -> i32 {
        self.0.as_ref().map_or(0, |made| made.queue_id)
    }

    fn queue_offset(&self) -> i64 {
        self.0.as_ref().map_or(0, |made| made.queue_offset)
    }

    fn status(&self) -> i32 {
        self.0.as_ref().map_or(0, |made| match made.status {
            SendStatus::Ok => 0,
            SendStatus::FlushDiskTimeout => 1,
            SendStatus::FlushSlaveTimeout => 2,
            SendStatus::SlaveNotAvailable => 3,
        })
    }
}

struct CoreClient(Client);

fn client_new(settings: &Settings) -> Result<Box<CoreClient>, Joined> {
    call(|| Client::new(&settings.0, "CPP").map(|client| Box::new(CoreClient(client))))
}

impl CoreClient {
    fn close(&self, timeout: i64) -> Result<(), Joined> {
        call(|| self.0.close(duration(timeout)))
    }

    fn producer(&self, settings: &Settings) -> Result<Box<CoreProducer>, Joined> {
        call(|| self.0.producer(&settings.0).map(|producer| Box::new(CoreProducer(producer))))
    }

    fn push_consumer(&self, settings: &Settings, events: &Events) -> Result<Box<CoreConsumer>, Joined> {
        call(|| {
            self.0.push_consumer(&settings.0, &events.0, 0).map(|consumer| Box::new(CoreConsumer(consumer)))
        })
    }

    fn pull_consumer(&self, settings: &Settings) -> Result<Box<CorePuller>, Joined> {
        call(|| self.0.pull_consumer(&settings.0).map(|consumer| Box::new(CorePuller(consumer))))
    }

    fn dead_letters(&self, group: &str) -> Result<Box<CoreDeadLetters>, Joined> {
        call(|| self.0.dead_letters(group).map(|letters| Box::new(CoreDeadLetters(letters))))
    }
}

struct CoreProducer(Producer);

#[allow(clippy::boxed_local, reason = "cxx passes opaque types in a box")]
impl CoreProducer {
    fn send(&self, message: Box<Outgoing>, timeout: i64) -> Result<Box<Sent>, Joined> {
        call(|| self.0.send(message.into_message()?, duration(timeout)).map(sent))
    }

    fn send_batch(&self, messages: Box<OutgoingList>, timeout: i64) -> Result<Box<Sent>, Joined> {
        call(|| self.0.send_batch(messages.into_messages()?, duration(timeout)).map(sent))
    }

    fn send_oneway(&self, message: Box<Outgoing>) -> Result<(), Joined> {
        call(|| self.0.send_oneway(message.into_message()?))
    }

    fn send_async(
        &self,
        message: Box<Outgoing>,
        timeout: i64,
        events: &Events,
        tag: u64,
    ) -> Result<(), Joined> {
        call(|| self.0.send_async(message.into_message()?, duration(timeout), &events.0, tag))
    }

    fn send_batch_async(
        &self,
        messages: Box<OutgoingList>,
        timeout: i64,
        events: &Events,
        tag: u64,
    ) -> Result<(), Joined> {
        call(|| self.0.send_batch_async(messages.into_messages()?, duration(timeout), &events.0, tag))
    }

    fn queues(&self, topic: &str) -> Result<Vec<ffi::QueueName>, Joined> {
        call(|| self.0.queues(topic).map(|queues| names(&queues)))
    }

    fn send_to_queue(
        &self,
        message: Box<Outgoing>,
        queue: ffi::QueueName,
        timeout: i64,
    ) -> Result<Box<Sent>, Joined> {
        call(|| self.0.send_to_queue(message.into_message()?, &queue.into(), duration(timeout)).map(sent))
    }

    fn send_to_queue_async(
        &self,
        message: Box<Outgoing>,
        queue: ffi::QueueName,
        timeout: i64,
        events: &Events,
        tag: u64,
    ) -> Result<(), Joined> {
        call(|| {
            let message = message.into_message()?;
            self.0.send_to_queue_async(message, &queue.into(), duration(timeout), &events.0, tag)
        })
    }

    /// The lengths of the lists that the messages are divided into.
    fn split_batch(&self, messages: Box<OutgoingList>) -> Result<Vec<usize>, Joined> {
        call(|| Ok(self.0.split_batch(messages.into_messages()?)?.iter().map(Vec::len).collect()))
    }

    fn close(&self, timeout: i64) -> Result<(), Joined> {
        call(|| self.0.close(duration(timeout)))
    }
}

struct CoreConsumer(PushConsumer);

impl CoreConsumer {
    fn subscribe(&self, topic: &str, expression: &str) -> Result<(), Joined> {
        call(|| self.0.subscribe(topic, expression))
    }

    fn unsubscribe(&self, topic: &str) -> Result<(), Joined> {
        call(|| self.0.unsubscribe(topic))
    }

    fn start(&self) -> Result<(), Joined> {
        call(|| self.0.start(None))
    }

    fn suspend(&self) -> Result<(), Joined> {
        call(|| self.0.suspend())
    }

    fn resume(&self) -> Result<(), Joined> {
        call(|| self.0.resume())
    }

    fn assignment(&self) -> Result<Vec<ffi::QueueName>, Joined> {
        call(|| self.0.assignment().map(|queues| names(&queues)))
    }

    fn close(&self, timeout: i64) -> Result<(), Joined> {
        call(|| self.0.close(duration(timeout)))
    }
}

fn log_warning(name: &str, message: &str) {
    tracing::warn!("{name}: {message}");
}

fn listener_threw(what: &str) {
    tracing::warn!("a listener threw: {what}; its message is delivered again later");
}

fn set_log(level: i32, handler: cxx::UniquePtr<ffi::LogHandler>) -> Result<(), Joined> {
    use mq_binding::{LogHook, LogLevel};
    call(|| {
        let level = LogLevel::from_number(level).unwrap_or(LogLevel::Off);
        let hook = (!handler.is_null()).then(|| {
            let hook: LogHook = std::sync::Arc::new(move |level: LogLevel, target: &str, message: &str| {
                ffi::call_log_handler(&handler, level as i32, target, message);
            });
            hook
        });
        mq_binding::set_log_hook(hook, level)
    })
}
