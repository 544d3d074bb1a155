// libmq for C++17: producers, push consumers and a broker for tests, for RocketMQ 4.9 and 5.x.
//
// Every class is a handle: movable, safe to use from several threads, closed by its destructor. Errors are exceptions
// derived from libmq::Error. Texts are UTF-8. Nothing runs before the first Client or testing::Broker is made.
#ifndef LIBMQ_LIBMQ_HPP
#define LIBMQ_LIBMQ_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace libmq {

/// Version of the library.
std::string version();

/// What went wrong; the numbers are those of the C ABI (MQ_ERR_*).
enum class ErrorCode : std::int32_t {
  Internal = 1,
  Config = 2,
  Argument = 3,
  Timeout = 4,
  Closed = 5,
  Network = 6,
  NotFound = 7,
  Denied = 8,
  Throttled = 9,
  TooLarge = 10,
  Forked = 11,
  Broker = 12,
  Cancelled = 13,
  State = 14,
  Unsupported = 15,
  Io = 16,
  QueueFull = 17,
};

/// Base of all errors; what() says what was wrong, with what value, and what to do.
class Error : public std::runtime_error {
 public:
  /// The fields of an error, as the core reports them.
  struct Fields {
    ErrorCode code;
    std::string name;
    std::string message;
    std::optional<std::int32_t> broker_code;
    bool retryable;
    bool throttled;
    bool fatal;
  };

  explicit Error(Fields fields) : std::runtime_error(fields.message), fields_(std::move(fields)) {}

  /// The code of the error table.
  ErrorCode code() const noexcept { return fields_.code; }
  /// The code's name, for example "TIMEOUT".
  const std::string& name() const noexcept { return fields_.name; }
  /// The broker's response code, if a broker answered.
  std::optional<std::int32_t> broker_code() const noexcept { return fields_.broker_code; }
  /// Whether the same call may succeed later.
  bool retryable() const noexcept { return fields_.retryable; }
  /// Whether the broker asked to slow down.
  bool throttled() const noexcept { return fields_.throttled; }
  /// Whether the handle cannot be used any more.
  bool fatal() const noexcept { return fields_.fatal; }

 private:
  Fields fields_;
};

/// No answer within the timeout.
class TimeoutError : public Error {
  using Error::Error;
};
/// The handle was closed.
class ClosedError : public Error {
  using Error::Error;
};
/// No such topic, or no route to it.
class NotFoundError : public Error {
  using Error::Error;
};
/// The broker refused for lack of permission.
class DeniedError : public Error {
  using Error::Error;
};
/// The broker is busy; slow down and try again.
class ThrottledError : public Error {
  using Error::Error;
};
/// The message is over the size limit.
class TooLargeError : public Error {
  using Error::Error;
};
/// A handle of the parent process was used in a forked child.
class ForkedError : public Error {
  using Error::Error;
};
/// A bad topic, group or message.
class ArgumentError : public Error {
  using Error::Error;
};
/// A bad setting.
class ConfigError : public Error {
  using Error::Error;
};

/// Settings by name, as in the table of settings; Java's names are accepted as well.
class Options {
 public:
  Options() = default;
  Options(std::initializer_list<std::pair<const std::string, std::string>> values) : values_(values) {}

  /// Sets one setting; it is checked when the options are used.
  Options& set(std::string key, std::string value) {
    values_.insert_or_assign(std::move(key), std::move(value));
    return *this;
  }
  /// All settings.
  const std::map<std::string, std::string>& values() const noexcept { return values_; }

 private:
  std::map<std::string, std::string> values_;
};

/// A message to send. Setters return the message itself, so that they chain.
class Message {
 public:
  /// A message with a body of 1 byte to 4 MiB.
  Message(std::string topic, std::string body) : topic_(std::move(topic)), body_(std::move(body)) {}

  /// The tag that subscriptions filter by.
  Message& tag(std::string value) & { return tag_ = std::move(value), *this; }
  Message&& tag(std::string value) && { return tag_ = std::move(value), std::move(*this); }
  /// Adds a key by which the message can be looked up.
  Message& key(std::string value) & { return keys_.push_back(std::move(value)), *this; }
  Message&& key(std::string value) && { return keys_.push_back(std::move(value)), std::move(*this); }
  /// Sets a property of the application.
  Message& property(std::string name, std::string value) & {
    return properties_.insert_or_assign(std::move(name), std::move(value)), *this;
  }
  Message&& property(std::string name, std::string value) && {
    return properties_.insert_or_assign(std::move(name), std::move(value)), std::move(*this);
  }
  /// Messages of one group go to one queue, in the order of their sending.
  Message& message_group(std::string value) & { return group_ = std::move(value), *this; }
  Message&& message_group(std::string value) && { return group_ = std::move(value), std::move(*this); }
  /// Delays the delivery by one of the broker's levels, 1 to 18; 0 is no delay.
  Message& delay_level(std::uint32_t value) & { return delay_level_ = value, *this; }
  Message&& delay_level(std::uint32_t value) && { return delay_level_ = value, std::move(*this); }
  /// Whether the receipt waits until the message is as safe as the broker is set to make it (the default).
  Message& wait_store(bool value) & { return wait_store_ = value, *this; }
  Message&& wait_store(bool value) && { return wait_store_ = value, std::move(*this); }
  /// A number of the application's own that travels with it.
  Message& flag(std::int32_t value) & { return flag_ = value, *this; }
  Message&& flag(std::int32_t value) && { return flag_ = value, std::move(*this); }

  const std::string& topic() const noexcept { return topic_; }
  const std::string& body() const noexcept { return body_; }
  const std::optional<std::string>& tag() const noexcept { return tag_; }
  const std::vector<std::string>& keys() const noexcept { return keys_; }
  const std::map<std::string, std::string>& properties() const noexcept { return properties_; }
  const std::optional<std::string>& message_group() const noexcept { return group_; }
  std::uint32_t delay_level() const noexcept { return delay_level_; }
  bool wait_store() const noexcept { return wait_store_; }
  std::int32_t flag() const noexcept { return flag_; }

 private:
  std::string topic_;
  std::string body_;
  std::optional<std::string> tag_;
  std::vector<std::string> keys_;
  std::map<std::string, std::string> properties_;
  std::optional<std::string> group_;
  std::uint32_t delay_level_ = 0;
  bool wait_store_ = true;
  std::int32_t flag_ = 0;
};

/// One queue of a topic at one broker.
struct MessageQueue {
  std::string topic;
  std::string broker_name;
  std::int32_t queue_id = 0;

  friend bool operator==(const MessageQueue& a, const MessageQueue& b) {
    return a.queue_id == b.queue_id && a.broker_name == b.broker_name && a.topic == b.topic;
  }
  friend bool operator!=(const MessageQueue& a, const MessageQueue& b) { return !(a == b); }
  friend bool operator<(const MessageQueue& a, const MessageQueue& b) {
    return std::tie(a.topic, a.broker_name, a.queue_id) < std::tie(b.topic, b.broker_name, b.queue_id);
  }
};

/// How the broker stored a message; in all four cases it is stored.
enum class SendStatus : std::int32_t { Ok = 0, FlushDiskTimeout = 1, FlushSlaveTimeout = 2, SlaveNotAvailable = 3 };

/// Where a sent message is.
struct SendReceipt {
  /// Made by the client; the same on every delivery.
  std::string message_id;
  /// Made by the broker: the place in its log.
  std::string offset_message_id;
  std::string topic;
  std::string broker_name;
  std::int32_t queue_id = 0;
  std::int64_t queue_offset = 0;
  SendStatus status = SendStatus::Ok;
};

namespace detail {
struct ClientState;
struct ProducerState;
struct ConsumerState;
struct PullerState;
struct DeadLettersState;
struct BrokerState;
struct ViewState;
}  // namespace detail

/// A received message. Views returned by it live as long as it does; copies share the same bytes.
class MessageView {
 public:
  std::string_view topic() const;
  std::string_view body() const;
  std::optional<std::string_view> tag() const;
  std::vector<std::string> keys() const;
  /// The application's and the system's properties.
  std::map<std::string, std::string> properties() const;
  std::optional<std::string> property(std::string_view name) const;
  std::optional<std::string_view> message_group() const;
  std::string_view message_id() const;
  std::string_view offset_message_id() const;
  std::string_view broker_name() const;
  std::int32_t queue_id() const;
  std::int64_t queue_offset() const;
  std::chrono::system_clock::time_point born_time() const;
  std::chrono::system_clock::time_point store_time() const;
  /// 1 for the first delivery.
  std::int32_t delivery_attempt() const;
  /// The sender's own number for it.
  std::int32_t flag() const;
  /// The queue that it came from.
  MessageQueue queue() const { return {std::string(topic()), std::string(broker_name()), queue_id()}; }

  explicit MessageView(std::shared_ptr<const detail::ViewState> state) : state_(std::move(state)) {}

 private:
  friend class DeadLetters;
  std::shared_ptr<const detail::ViewState> state_;
};

/// What a listener decides: ConsumeResult::Success, ConsumeResult::Later, or one of the functions.
class ConsumeResult {
 public:
  /// The message is done.
  static const ConsumeResult Success;
  /// It comes again later; the broker waits longer from one attempt to the next.
  static const ConsumeResult Later;
  /// It comes again after a delay level, 1 to 18; -1 moves it to the dead letters.
  static constexpr ConsumeResult later(std::int32_t delay_level) { return {1, delay_level}; }
  /// It comes again after a pause in which its queue waits, so that no message overtakes it; for consumers with
  /// `consume_mode` orderly, to others the same as Later. 0: the setting `suspend_current_queue_time`.
  static constexpr ConsumeResult suspend(std::chrono::milliseconds time = {}) {
    return {2, static_cast<std::int32_t>(time.count())};
  }

  friend constexpr bool operator==(ConsumeResult a, ConsumeResult b) {
    return a.kind_ == b.kind_ && a.detail_ == b.detail_;
  }
  friend constexpr bool operator!=(ConsumeResult a, ConsumeResult b) { return !(a == b); }

 private:
  friend struct detail::ConsumerState;
  constexpr ConsumeResult(std::int32_t kind, std::int32_t detail) : kind_(kind), detail_(detail) {}
  std::int32_t kind_;
  std::int32_t detail_;
};
inline const ConsumeResult ConsumeResult::Success{0, 0};
inline const ConsumeResult ConsumeResult::Later{1, 0};

/// Called for each message, on one of the consumer's threads. Throwing means Later.
using Listener = std::function<ConsumeResult(const MessageView&)>;

/// Called for several messages of one queue at once, with one answer for all.
using BatchListener = std::function<ConsumeResult(const std::vector<MessageView>&)>;

/// Sends messages. Made by Client::producer.
class Producer {
 public:
  /// Sends and waits for the receipt. Without a timeout the setting `send_timeout` counts.
  SendReceipt send(const Message& message, std::optional<std::chrono::milliseconds> timeout = {});
  /// Sends a list of messages of one topic in one request.
  SendReceipt send(const std::vector<Message>& messages, std::optional<std::chrono::milliseconds> timeout = {});
  /// Sends without waiting; the future gets the receipt or the error.
  std::future<SendReceipt> send_async(const Message& message, std::optional<std::chrono::milliseconds> timeout = {});
  std::future<SendReceipt> send_async(const std::vector<Message>& messages,
                                      std::optional<std::chrono::milliseconds> timeout = {});
  /// Sends without waiting; `done` is called once, on a thread of the client, with a receipt or an error. It must not
  /// block.
  using Done = std::function<void(const SendReceipt*, const Error*)>;
  void send_async(const Message& message, Done done, std::optional<std::chrono::milliseconds> timeout = {});
  /// The queues that messages of a topic can be sent to.
  std::vector<MessageQueue> queues(const std::string& topic);
  /// Sends to just this queue; it is not tried elsewhere.
  SendReceipt send(const Message& message, const MessageQueue& queue,
                   std::optional<std::chrono::milliseconds> timeout = {});
  std::future<SendReceipt> send_async(const Message& message, const MessageQueue& queue,
                                      std::optional<std::chrono::milliseconds> timeout = {});
  /// Divides messages of one topic into lists that can be sent as one, in order; each is as long as the setting
  /// `max_message_size` allows.
  std::vector<std::vector<Message>> split_batch(const std::vector<Message>& messages);
  /// Sends without an answer: returns when the message is on its way.
  void send_oneway(const Message& message);
  /// Waits for sends that are under way, then refuses new ones. Closing twice is fine.
  void close(std::chrono::milliseconds timeout = std::chrono::seconds(10));

  explicit Producer(std::shared_ptr<detail::ProducerState> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<detail::ProducerState> state_;
};

/// A running consumer. Made by PushConsumerBuilder::start; its destructor closes it.
class PushConsumer {
 public:
  /// Takes part in a topic's messages, or changes its expression: "*", or tags as in "a || b". When this returns the
  /// consumer has its share of the queues. All members of the group should subscribe to the same. What was fetched for
  /// an older expression alone does not come any more, unless it failed before; what that one passed over may be left
  /// out.
  void subscribe(const std::string& topic, const std::string& expression = "*");
  /// Ends a subscription and leaves its queues: what is consumed is committed. Listeners that run go on. A topic that
  /// is not subscribed to is no error; without any the consumer stays in its group and gets what failed before.
  void unsubscribe(const std::string& topic);
  /// Stops fetching; listeners that run go on.
  void suspend();
  /// Goes on after suspend().
  void resume();
  /// The queues that this member has now.
  std::vector<MessageQueue> assignment() const;
  /// Lets running listeners end, commits and leaves the group. A listener that does not end in time is left behind,
  /// its message comes again, and TimeoutError is thrown once all else is closed. Closing twice is fine.
  void close(std::chrono::milliseconds timeout = std::chrono::seconds(10));

  explicit PushConsumer(std::shared_ptr<detail::ConsumerState> state) : state_(std::move(state)) {}
  PushConsumer(PushConsumer&&) noexcept = default;
  PushConsumer& operator=(PushConsumer&& other) noexcept;
  PushConsumer(const PushConsumer&) = delete;
  PushConsumer& operator=(const PushConsumer&) = delete;
  ~PushConsumer();

 private:
  std::shared_ptr<detail::ConsumerState> state_;
};

/// Collects what a push consumer needs.
class PushConsumerBuilder {
 public:
  /// Subscribes to a topic: "*" for all messages, or tags as in "a || b".
  PushConsumerBuilder& subscribe(std::string topic, std::string expression = "*");
  /// Sets a setting of the consumer.
  PushConsumerBuilder& set(std::string key, std::string value);
  /// How many threads call the listener (default 8).
  PushConsumerBuilder& threads(unsigned count);
  /// What to do when something about the group is wrong, such as members with other subscriptions: called with name and
  /// text, on one of the consumer's threads. Unless set, the log gets a warning.
  PushConsumerBuilder& on_warning(std::function<void(std::string_view name, std::string_view message)> handler);
  /// Starts consuming.
  PushConsumer start(Listener listener);
  /// Starts consuming with a listener that gets as many messages at once as `consume_message_batch_max_size` allows.
  PushConsumer start_batches(BatchListener listener);
  /// Starts consuming with a listener that returns bool (true: Success) or nothing (Success).
  template <typename F>
  std::enable_if_t<!std::is_same_v<std::invoke_result_t<F, const MessageView&>, ConsumeResult>, PushConsumer> start(
      F listener) {
    return start(Listener([listener = std::move(listener)](const MessageView& message) mutable -> ConsumeResult {
      if constexpr (std::is_void_v<std::invoke_result_t<F, const MessageView&>>) {
        listener(message);
        return ConsumeResult::Success;
      } else {
        return listener(message) ? ConsumeResult::Success : ConsumeResult::Later;
      }
    }));
  }

  PushConsumerBuilder(std::shared_ptr<detail::ClientState> client, Options options)
      : client_(std::move(client)), options_(std::move(options)) {}

 private:
  std::shared_ptr<detail::ClientState> client_;
  Options options_;
  std::vector<std::pair<std::string, std::string>> subscriptions_;
  std::function<void(std::string_view, std::string_view)> on_warning_;
  unsigned threads_ = 8;
};

/// A consumer that is asked for messages: it either subscribes topics and shares their queues with its group, or is
/// assigned queues by hand. Positions are committed from time to time (settings `auto_commit`, `auto_commit_interval`)
/// or by commit(). Made by Client::pull_consumer. May be used by several threads, but one poll at a time.
class PullConsumer {
 public:
  /// Takes part in a topic's messages: "*", or tags as in "a || b". Not together with assign().
  void subscribe(const std::string& topic, const std::string& expression = "*");
  /// Ends a subscription and leaves its queues.
  void unsubscribe(const std::string& topic);
  /// Takes just these queues, in place of those before. Not together with subscribe().
  void assign(const std::vector<MessageQueue>& queues);
  /// The next messages: those that are there, or the first that come within `timeout` (5 s unless given), else none.
  std::vector<MessageView> poll(std::optional<std::chrono::milliseconds> timeout = {});
  /// Goes on at an offset of an assigned queue.
  void seek(const MessageQueue& queue, std::int64_t offset);
  /// Goes on at the oldest message.
  void seek_to_begin(const MessageQueue& queue);
  /// Goes on behind the newest message.
  void seek_to_end(const MessageQueue& queue);
  /// Goes on with the first message that was stored at this time or later.
  void seek_to_time(const MessageQueue& queue, std::chrono::system_clock::time_point time);
  /// The offset of the first message that was stored at this time or later.
  std::int64_t offset_for_time(const MessageQueue& queue, std::chrono::system_clock::time_point time);
  /// Stops asking for messages of these queues, until resume().
  void pause(const std::vector<MessageQueue>& queues);
  /// Asks for messages of these queues again.
  void resume(const std::vector<MessageQueue>& queues);
  /// Commits what polls have given so far: from where the group is to go on.
  void commit();
  /// Commits these offsets.
  void commit(const std::map<MessageQueue, std::int64_t>& offsets);
  /// The offset that the group has committed for a queue, if any; brokers say 0 for a young queue.
  std::optional<std::int64_t> committed(const MessageQueue& queue);
  /// The offset of the next message that a poll would give of an assigned queue.
  std::int64_t position(const MessageQueue& queue);
  /// The queues of a topic.
  std::vector<MessageQueue> queues(const std::string& topic);
  /// The queues that this consumer has now.
  std::vector<MessageQueue> assignment() const;
  /// Calls `changed` with all queues of a topic and those of them that this consumer has, when either changes; on a
  /// thread of the consumer. It must not throw and not close the consumer.
  using QueueChange =
      std::function<void(const std::vector<MessageQueue>& all, const std::vector<MessageQueue>& assigned)>;
  void on_queue_change(const std::string& topic, QueueChange changed);
  /// Commits, leaves the group and closes. Closing twice is fine.
  void close(std::chrono::milliseconds timeout = std::chrono::seconds(10));

  explicit PullConsumer(std::shared_ptr<detail::PullerState> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<detail::PullerState> state_;
};

/// Reads a group's dead letters, from the oldest on, and sends them again. Reading changes nothing at the broker.
class DeadLetters {
 public:
  /// The next ones, at most `max`, with the topic that they came from; none when all are read.
  std::vector<MessageView> read(std::size_t max);
  /// Reads from the oldest one again.
  void rewind();
  /// Sends a dead letter to the topic that it came from, as a new message. It stays among the dead letters.
  SendReceipt resend(const MessageView& letter);

  explicit DeadLetters(std::shared_ptr<detail::DeadLettersState> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<detail::DeadLettersState> state_;
};

/// One per process and cluster, as a rule. Closing it closes everything made from it.
class Client {
 public:
  /// Addresses of NameServers: "host:port", several joined with ";". Nothing is connected yet.
  explicit Client(std::string namesrv, Options options = {});
  explicit Client(Options options);

  Producer producer(std::string group, Options options = {});
  PushConsumerBuilder push_consumer(std::string group, Options options = {});
  /// Makes a consumer that asks for its messages itself; it joins its group when it subscribes.
  PullConsumer pull_consumer(std::string group, Options options = {});
  /// The dead letters of a consumer group: what was delivered as often as allowed and never accepted.
  DeadLetters dead_letters(std::string group);
  void close(std::chrono::milliseconds timeout = std::chrono::seconds(10));

  Client(Client&&) noexcept = default;
  Client& operator=(Client&& other) noexcept;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

 private:
  std::shared_ptr<detail::ClientState> state_;
};

/// How important a log event is.
enum class LogLevel : std::int32_t { Error = 1, Warn = 2, Info = 3, Debug = 4, Trace = 5 };

/// Sends the library's log events from `level` up to `handler`, called on threads of the library; an empty one ends it.
void set_log_handler(LogLevel level,
                     std::function<void(LogLevel, std::string_view target, std::string_view message)> handler);

namespace testing {

/// What a broker under test does wrong on request. Requests and answers are named as in RocketMQ (`SEND_MESSAGE` stands
/// for all requests that send, `PULL_MESSAGE` for both that pull); faults of one request apply one after the other.
class Faults {
 public:
  /// The next `times` requests are not carried out; their answer has the code `response`, such as `SYSTEM_BUSY`.
  void fail_next(std::string_view request, std::string_view response, std::uint32_t times = 1);
  /// The next `times` requests are handled after `delay`; others go on meanwhile.
  void delay_next(std::string_view request, std::chrono::milliseconds delay, std::uint32_t times = 1);
  /// The next `times` requests are not carried out; their connections are closed.
  void drop_next(std::string_view request, std::uint32_t times = 1);
  /// The next `times` requests are carried out, but not answered.
  void lose_answer_next(std::string_view request, std::uint32_t times = 1);
  /// Whether new connections are closed at once; open ones stay.
  void refuse_connections(bool refuse = true);
  /// Takes all faults back.
  void clear();

 private:
  friend class Broker;
  explicit Faults(std::shared_ptr<detail::BrokerState> state) : state_(std::move(state)) {}
  std::shared_ptr<detail::BrokerState> state_;
};

/// The time of a broker under test: delays, retries and expiry follow it.
class Clock {
 public:
  /// Moves it forward; what becomes due is delivered at once.
  void advance(std::chrono::milliseconds time);
  /// Sets it.
  void set(std::chrono::system_clock::time_point time);
  /// What it shows.
  std::chrono::system_clock::time_point now() const;

 private:
  friend class Broker;
  explicit Clock(std::shared_ptr<detail::BrokerState> state) : state_(std::move(state)) {}
  std::shared_ptr<detail::BrokerState> state_;
};

/// A NameServer and broker inside this process, on free loopback ports.
class Broker {
 public:
  /// Starts on `data`, or on a temporary folder that stop() removes.
  explicit Broker(Options options = {}, std::string data = {});

  /// Address of its NameServer, for Client.
  std::string address() const;
  std::string broker_address() const;
  std::string data_dir() const;
  void create_topic(const std::string& name, int queues = 4);
  /// Ends it as kill -9 would: nothing is flushed, connections are cut.
  void kill();
  /// Starts it again on the same data and ports.
  void restart();
  void stop();
  /// Faults to provoke; they stay over a stop, a kill and a restart.
  Faults faults() const { return Faults(state_); }
  /// The clock that can be moved.
  Clock clock() const { return Clock(state_); }

  Broker(Broker&&) noexcept = default;
  Broker& operator=(Broker&&) noexcept = default;
  Broker(const Broker&) = delete;
  Broker& operator=(const Broker&) = delete;
  ~Broker();

 private:
  std::shared_ptr<detail::BrokerState> state_;
};

}  // namespace testing
}  // namespace libmq

#endif  // LIBMQ_LIBMQ_HPP
