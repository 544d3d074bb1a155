// Client and Producer.

#include "detail.hpp"

namespace libmq {

using detail::guarded;

std::string version() { return std::string(detail::library_version()); }

namespace detail {

ClientState::ClientState(const Options& options)
    : core(guarded([&] { return client_new(*settings(options)); })), events(shared_events()) {}

ClientState::~ClientState() {
  if (getpid() != owner_) {
    // In a forked child the thread does not exist; there is nothing to join and nothing to close.
    if (waiting_.joinable()) waiting_.detach();
    return;
  }
  try {
    core->close(0);
  } catch (const rust::Error&) {
    // A destructor has nobody to tell; the core has logged it.
  }
  (*events)->close();
  if (!waiting_.joinable()) return;
  if (waiting_.get_id() == std::this_thread::get_id()) {
    waiting_.detach();
  } else {
    waiting_.join();
  }
}

namespace {

/// Completes calls until the queue is closed. A callback may drop the client, so nothing of it is used here.
void wait(const SharedEvents& events) {
  constexpr std::size_t kBatch = 256;
  constexpr std::int64_t kForever = -1;
  for (;;) {
    rust::Vec<Event> batch;
    try {
      batch = (*events)->poll(kBatch, kForever);
    } catch (const rust::Error&) {
      return;  // closed and empty
    }
    for (const Event& event : batch) {
      // The tag is the address that send_async gave; exactly one event brings it back.
      const std::unique_ptr<Waiter> waiter(reinterpret_cast<Waiter*>(static_cast<std::uintptr_t>(event.tag())));
      if (!waiter) continue;
      const auto failure = event.error();
      try {
        if (failure.empty()) {
          const SendReceipt made = receipt(event.sent());
          waiter->done(&made, nullptr);
        } else {
          try {
            throw_error({failure.data(), failure.size()});
          } catch (const Error& error) {
            waiter->done(nullptr, &error);
          }
        }
      } catch (...) {
        // A callback must not throw; if it does, the other calls still get their results.
      }
    }
  }
}

}  // namespace

void ClientState::start_waiting() {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (!waiting_.joinable() && getpid() == owner_) {
    waiting_ = std::thread(wait, events);
  }
}

void ClientState::close(std::chrono::milliseconds timeout) {
  guarded([&] { core->close(timeout.count()); });
}

}  // namespace detail

Client::Client(std::string namesrv, Options options)
    : state_(std::make_shared<detail::ClientState>(options.set("namesrv", std::move(namesrv)))) {}

Client::Client(Options options) : state_(std::make_shared<detail::ClientState>(options)) {}

Client& Client::operator=(Client&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Client::~Client() {
  if (!state_) return;
  try {
    close();
  } catch (const Error&) {
    // A destructor has nobody to tell.
  }
}

void Client::close(std::chrono::milliseconds timeout) { state_->close(timeout); }

Producer Client::producer(std::string group, Options options) {
  auto settings = detail::settings(options.set("group", std::move(group)));
  auto core = guarded([&] { return state_->core->producer(*settings); });
  return Producer(std::make_shared<detail::ProducerState>(detail::ProducerState{state_, std::move(core)}));
}

PullConsumer Client::pull_consumer(std::string group, Options options) {
  auto settings = detail::settings(options.set("group", std::move(group)));
  auto core = guarded([&] { return state_->core->pull_consumer(*settings); });
  return PullConsumer(std::make_shared<detail::PullerState>(state_, std::move(core)));
}

DeadLetters Client::dead_letters(std::string group) {
  auto core = guarded([&] { return state_->core->dead_letters(detail::text(group)); });
  return DeadLetters(std::make_shared<detail::DeadLettersState>(detail::DeadLettersState{state_, std::move(core)}));
}

PushConsumerBuilder Client::push_consumer(std::string group, Options options) {
  return {state_, std::move(options.set("group", std::move(group)))};
}

namespace {

rust::Box<detail::OutgoingList> list(const std::vector<Message>& messages) {
  auto all = detail::outgoing_list_new();
  for (const auto& message : messages) all->add(detail::outgoing(message));
  return all;
}

/// Starts a call whose end `done` is told; a call that is refused at once is told in the same way.
template <typename F>
void start(detail::ProducerState& state, Producer::Done done, F call) {
  state.client->start_waiting();
  auto waiter = std::make_unique<detail::Waiter>(detail::Waiter{std::move(done)});
  guarded([&] {
    call(**state.client->events, static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(waiter.get())));
  });
  // Accepted: the event that brings the tag back owns the waiter now.
  static_cast<void>(waiter.release());
}

/// A future and the callback that fulfils it.
std::pair<std::future<SendReceipt>, Producer::Done> promised() {
  auto promise = std::make_shared<std::promise<SendReceipt>>();
  auto future = promise->get_future();
  return {std::move(future), [promise](const SendReceipt* receipt, const Error*) {
            if (receipt != nullptr) {
              promise->set_value(*receipt);
            } else {
              promise->set_exception(std::current_exception());
            }
          }};
}

template <typename F>
std::future<SendReceipt> in_future(F send) {
  auto [future, done] = promised();
  try {
    send(done);
  } catch (const Error&) {
    done(nullptr, nullptr);
  }
  return std::move(future);
}

}  // namespace

SendReceipt Producer::send(const Message& message, std::optional<std::chrono::milliseconds> timeout) {
  auto sent = detail::outgoing(message);
  return guarded([&] { return detail::receipt(*state_->core->send(std::move(sent), detail::millis(timeout))); });
}

SendReceipt Producer::send(const std::vector<Message>& messages, std::optional<std::chrono::milliseconds> timeout) {
  auto all = list(messages);
  return guarded([&] { return detail::receipt(*state_->core->send_batch(std::move(all), detail::millis(timeout))); });
}

void Producer::send_async(const Message& message, Done done, std::optional<std::chrono::milliseconds> timeout) {
  auto sent = detail::outgoing(message);
  start(*state_, std::move(done), [&](const detail::Events& events, std::uint64_t tag) {
    state_->core->send_async(std::move(sent), detail::millis(timeout), events, tag);
  });
}

std::future<SendReceipt> Producer::send_async(const Message& message,
                                              std::optional<std::chrono::milliseconds> timeout) {
  return in_future([&](const Done& done) { send_async(message, done, timeout); });
}

std::future<SendReceipt> Producer::send_async(const std::vector<Message>& messages,
                                              std::optional<std::chrono::milliseconds> timeout) {
  return in_future([&](const Done& done) {
    auto all = list(messages);
    start(*state_, done, [&](const detail::Events& events, std::uint64_t tag) {
      state_->core->send_batch_async(std::move(all), detail::millis(timeout), events, tag);
    });
  });
}

std::vector<MessageQueue> Producer::queues(const std::string& topic) {
  return guarded([&] { return detail::queues(state_->core->queues(detail::text(topic))); });
}

SendReceipt Producer::send(const Message& message, const MessageQueue& queue,
                           std::optional<std::chrono::milliseconds> timeout) {
  auto sent = detail::outgoing(message);
  return guarded([&] {
    return detail::receipt(*state_->core->send_to_queue(std::move(sent), detail::name(queue), detail::millis(timeout)));
  });
}

std::future<SendReceipt> Producer::send_async(const Message& message, const MessageQueue& queue,
                                              std::optional<std::chrono::milliseconds> timeout) {
  return in_future([&](const Done& done) {
    auto sent = detail::outgoing(message);
    start(*state_, done, [&](const detail::Events& events, std::uint64_t tag) {
      state_->core->send_to_queue_async(std::move(sent), detail::name(queue), detail::millis(timeout), events, tag);
    });
  });
}

std::vector<std::vector<Message>> Producer::split_batch(const std::vector<Message>& messages) {
  auto all = list(messages);
  const auto lengths = guarded([&] { return state_->core->split_batch(std::move(all)); });
  std::vector<std::vector<Message>> lists;
  auto from = messages.begin();
  for (const auto length : lengths) {
    const auto to = from + static_cast<std::ptrdiff_t>(length);
    lists.emplace_back(from, to);
    from = to;
  }
  return lists;
}

void Producer::send_oneway(const Message& message) {
  auto sent = detail::outgoing(message);
  guarded([&] { state_->core->send_oneway(std::move(sent)); });
}

void Producer::close(std::chrono::milliseconds timeout) {
  guarded([&] { state_->core->close(timeout.count()); });
}

}  // namespace libmq
