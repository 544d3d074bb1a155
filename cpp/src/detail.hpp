// What the classes share behind the public header: handles of the Rust side and the translation of errors.
#ifndef LIBMQ_DETAIL_HPP
#define LIBMQ_DETAIL_HPP

#include <unistd.h>

#include <atomic>
#include <libmq/libmq.hpp>
#include <mutex>
#include <thread>

#include "mq-cpp/src/lib.rs.h"

namespace libmq::detail {

/// Throws the error whose fields the Rust side joined into one text.
[[noreturn]] void throw_error(std::string_view text);

/// The error that throw_error would throw, as a value.
std::exception_ptr make_error(std::string_view text);

/// Runs a call of the bridge and turns its failure into an error of the public header.
template <typename F>
auto guarded(F call) -> decltype(call()) {
  try {
    return call();
  } catch (const rust::Error& error) {
    throw_error(error.what());
  } catch (const std::invalid_argument&) {
    // Thrown by rust::Str and rust::String.
    throw ArgumentError({ErrorCode::Argument, "ARGUMENT",
                         "a text is not valid UTF-8; bodies may hold any bytes, names and tags may not", std::nullopt,
                         false, false, false});
  }
}

inline rust::Str text(std::string_view value) { return {value.data(), value.size()}; }
inline std::string_view view(rust::Str value) { return {value.data(), value.size()}; }

inline std::int64_t millis(std::optional<std::chrono::milliseconds> timeout) { return timeout ? timeout->count() : -1; }

rust::Box<Settings> settings(const Options& options);
rust::Box<Outgoing> outgoing(const Message& message);
SendReceipt receipt(const Sent& made);
QueueName name(const MessageQueue& queue);
rust::Vec<QueueName> names(const std::vector<MessageQueue>& queues);
std::vector<MessageQueue> queues(const rust::Vec<QueueName>& names);
std::vector<MessageView> views(rust::Box<Views> came);

/// Who waits for the end of an asynchronous call; its address is the call's tag.
struct Waiter {
  Producer::Done done;
};

/// A queue that is shared with the thread that waits there: what it calls may be the end of everything else.
using SharedEvents = std::shared_ptr<const rust::Box<Events>>;
inline SharedEvents shared_events() { return std::make_shared<const rust::Box<Events>>(events_new()); }

/// A client, its completion queue and the thread that waits there.
struct ClientState {
  explicit ClientState(const Options& options);
  ClientState(const ClientState&) = delete;
  ClientState& operator=(const ClientState&) = delete;
  ~ClientState();

  /// Starts the thread that completes asynchronous calls, once.
  void start_waiting();
  void close(std::chrono::milliseconds timeout);

  rust::Box<CoreClient> core;
  SharedEvents events;

 private:
  std::mutex mutex_;
  std::thread waiting_;
  pid_t owner_ = getpid();
};

struct ProducerState {
  std::shared_ptr<ClientState> client;
  rust::Box<CoreProducer> core;
};

/// One message of those that came together, who share one owner.
struct ViewState {
  const View* core;
};

struct DeadLettersState {
  std::shared_ptr<ClientState> client;
  rust::Box<CoreDeadLetters> core;
};

/// A pull consumer, and the thread that tells of changed queues once somebody wants to know.
struct PullerState {
  PullerState(std::shared_ptr<ClientState> of, rust::Box<CorePuller> made);
  PullerState(const PullerState&) = delete;
  PullerState& operator=(const PullerState&) = delete;
  ~PullerState();

  /// Starts the consumer with the first call that needs it.
  CorePuller& started();
  void watch(const std::string& topic, PullConsumer::QueueChange changed);
  void close(std::chrono::milliseconds timeout);

  std::shared_ptr<ClientState> client;
  rust::Box<CorePuller> core;

 private:
  struct Watches;

  std::shared_ptr<Watches> watches_;
  std::mutex mutex_;
  bool started_ = false;
  std::thread telling_;
  pid_t owner_ = getpid();
};

struct BrokerState {
  rust::Box<CoreBroker> core;
};

/// A consumer, its queue and the threads that call the listener.
struct ConsumerState {
  struct Shared;

  ConsumerState(std::shared_ptr<ClientState> of, rust::Box<CoreConsumer> made, std::shared_ptr<Shared> with);
  ConsumerState(const ConsumerState&) = delete;
  ConsumerState& operator=(const ConsumerState&) = delete;
  ~ConsumerState();

  void start(unsigned threads);
  void close(std::chrono::milliseconds timeout);

  static void answer(const Event& event, ConsumeResult result) { event.reply(result.kind_, result.detail_); }

  std::shared_ptr<ClientState> client;
  rust::Box<CoreConsumer> core;
  std::shared_ptr<Shared> shared;

 private:
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  pid_t owner_ = getpid();
};

}  // namespace libmq::detail

#endif  // LIBMQ_DETAIL_HPP
