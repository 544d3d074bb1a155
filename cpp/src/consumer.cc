// PushConsumer and MessageView: the threads that call the listener, and what it gets.

#include <condition_variable>

#include "detail.hpp"

namespace libmq {

using detail::guarded;
using detail::view;

namespace detail {

/// What a consumer's threads use; it outlives the consumer where a listener does not return.
struct ConsumerState::Shared {
  using Warned = std::function<void(std::string_view, std::string_view)>;

  Shared(BatchListener with, Warned warned)
      : listener(std::move(with)), on_warning(std::move(warned)), events(events_new()) {}

  BatchListener listener;
  Warned on_warning;
  rust::Box<Events> events;
  std::mutex mutex;
  std::condition_variable changed;
  unsigned running = 0;

  /// Takes messages and answers for them until the queue is closed.
  void work() {
    constexpr std::int64_t kForever = -1;
    for (;;) {
      rust::Vec<Event> batch;
      try {
        batch = events->poll(1, kForever);
      } catch (const rust::Error&) {
        return;
      }
      for (Event& event : batch) consume(event);
    }
  }

  void consume(Event& event) {
    if (const auto warning = event.warning(); !warning.empty()) return warn(warning[0], warning[1]);
    if (!event.has_messages()) return;
    ConsumeResult result = ConsumeResult::Later;
    try {
      result = listener(views(event.take_messages()));
    } catch (const std::exception& error) {
      log_listener_failure(error.what());
    } catch (...) {
      log_listener_failure("something that is no std::exception");
    }
    answer(event, result);
  }

  void warn(const rust::String& name, const rust::String& message) const {
    if (!on_warning) return log_warning(name, message);
    try {
      on_warning({name.data(), name.size()}, {message.data(), message.size()});
    } catch (...) {
      // Nothing depends on what a handler of warnings does.
    }
  }

  static void log_listener_failure(const char* what) {
    try {
      listener_threw(what);
    } catch (const std::invalid_argument&) {
      listener_threw("an exception whose text is not UTF-8");
    }
  }
};

ConsumerState::ConsumerState(std::shared_ptr<ClientState> of, rust::Box<CoreConsumer> made,
                             std::shared_ptr<Shared> with)
    : client(std::move(of)), core(std::move(made)), shared(std::move(with)) {}

ConsumerState::~ConsumerState() {
  if (getpid() != owner_) {
    for (auto& thread : threads_) thread.detach();
    return;
  }
  try {
    close(std::chrono::seconds(10));
  } catch (const Error&) {
    // A destructor has nobody to tell.
  }
}

void ConsumerState::start(unsigned threads) {
  for (unsigned number = 0; number < std::max(1U, threads); ++number) {
    {
      const std::lock_guard<std::mutex> guard(shared->mutex);
      ++shared->running;
    }
    threads_.emplace_back([with = shared] {
      with->work();
      const std::lock_guard<std::mutex> guard(with->mutex);
      --with->running;
      with->changed.notify_all();
    });
  }
}

void ConsumerState::close(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::exception_ptr failure;
  try {
    guarded([&] { core->close(timeout.count()); });
  } catch (const Error&) {
    // Also when it took too long the threads are let go before the caller is told.
    failure = std::current_exception();
  }
  shared->events->close();
  const std::lock_guard<std::mutex> guard(mutex_);
  bool own = false;
  for (const auto& thread : threads_) own |= thread.get_id() == std::this_thread::get_id();
  bool ended = false;
  {
    std::unique_lock<std::mutex> running(shared->mutex);
    ended = shared->changed.wait_until(running, own ? std::chrono::steady_clock::now() : deadline,
                                       [&] { return shared->running == 0; });
  }
  for (auto& thread : threads_) {
    // A listener that does not return keeps its thread; what it uses lives as long as it does.
    if (ended) {
      thread.join();
    } else {
      thread.detach();
    }
  }
  threads_.clear();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace detail

namespace {

/// Refuses a listener that nobody can call before it is called in vain for each message.
void must_be_callable(bool callable) {
  if (callable) return;
  throw ArgumentError({ErrorCode::Argument, "ARGUMENT",
                       "the listener is an empty std::function; give one that can be called", std::nullopt, false,
                       false, false});
}

}  // namespace

PushConsumerBuilder& PushConsumerBuilder::subscribe(std::string topic, std::string expression) {
  subscriptions_.emplace_back(std::move(topic), std::move(expression));
  return *this;
}

PushConsumerBuilder& PushConsumerBuilder::set(std::string key, std::string value) {
  options_.set(std::move(key), std::move(value));
  return *this;
}

PushConsumerBuilder& PushConsumerBuilder::threads(unsigned count) {
  threads_ = count;
  return *this;
}

PushConsumerBuilder& PushConsumerBuilder::on_warning(std::function<void(std::string_view, std::string_view)> handler) {
  on_warning_ = std::move(handler);
  return *this;
}

PushConsumer PushConsumerBuilder::start(Listener listener) {
  must_be_callable(static_cast<bool>(listener));
  return start_batches([listener = std::move(listener)](const std::vector<MessageView>& messages) {
    for (const auto& message : messages) {
      const auto result = listener(message);
      if (result != ConsumeResult::Success) return result;  // those behind it come again, too
    }
    return ConsumeResult::Success;
  });
}

PushConsumer PushConsumerBuilder::start_batches(BatchListener listener) {
  must_be_callable(static_cast<bool>(listener));
  auto settings = detail::settings(options_);
  auto shared = std::make_shared<detail::ConsumerState::Shared>(std::move(listener), on_warning_);
  auto core = guarded([&] {
    auto made = client_->core->push_consumer(*settings, *shared->events);
    for (const auto& [topic, expression] : subscriptions_)
      made->subscribe(detail::text(topic), detail::text(expression));
    return made;
  });
  auto state = std::make_shared<detail::ConsumerState>(client_, std::move(core), std::move(shared));
  state->start(threads_);
  guarded([&] { state->core->start(); });
  return PushConsumer(std::move(state));
}

PushConsumer& PushConsumer::operator=(PushConsumer&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

PushConsumer::~PushConsumer() = default;

void PushConsumer::subscribe(const std::string& topic, const std::string& expression) {
  guarded([&] { state_->core->subscribe(detail::text(topic), detail::text(expression)); });
}

void PushConsumer::unsubscribe(const std::string& topic) {
  guarded([&] { state_->core->unsubscribe(detail::text(topic)); });
}

void PushConsumer::suspend() {
  guarded([&] { state_->core->suspend(); });
}

void PushConsumer::resume() {
  guarded([&] { state_->core->resume(); });
}

std::vector<MessageQueue> PushConsumer::assignment() const {
  return guarded([&] { return detail::queues(state_->core->assignment()); });
}

void PushConsumer::close(std::chrono::milliseconds timeout) { state_->close(timeout); }

namespace {

std::optional<std::string_view> optional(rust::Str value) {
  if (value.empty()) return {};
  return view(value);
}

std::chrono::system_clock::time_point time(std::int64_t millis) {
  return std::chrono::system_clock::time_point(std::chrono::milliseconds(millis));
}

}  // namespace

std::string_view MessageView::topic() const { return view(state_->core->topic()); }
std::string_view MessageView::body() const {
  const auto bytes = state_->core->body();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::optional<std::string_view> MessageView::tag() const { return optional(state_->core->tag()); }
std::vector<std::string> MessageView::keys() const {
  std::vector<std::string> all;
  for (const auto& key : state_->core->keys()) all.emplace_back(key);
  return all;
}
std::map<std::string, std::string> MessageView::properties() const {
  std::map<std::string, std::string> all;
  for (const auto& pair : state_->core->properties()) all.emplace(std::string(pair.name), std::string(pair.value));
  return all;
}
std::optional<std::string> MessageView::property(std::string_view name) const {
  const auto value = guarded([&] { return state_->core->property(detail::text(name)); });
  if (value.empty()) return {};
  return std::string(value);
}
std::optional<std::string_view> MessageView::message_group() const { return optional(state_->core->message_group()); }
std::string_view MessageView::message_id() const { return view(state_->core->message_id()); }
std::string_view MessageView::offset_message_id() const { return view(state_->core->offset_message_id()); }
std::string_view MessageView::broker_name() const { return view(state_->core->broker_name()); }
std::int32_t MessageView::queue_id() const { return state_->core->queue_id(); }
std::int64_t MessageView::queue_offset() const { return state_->core->queue_offset(); }
std::chrono::system_clock::time_point MessageView::born_time() const { return time(state_->core->born_timestamp()); }
std::chrono::system_clock::time_point MessageView::store_time() const { return time(state_->core->store_timestamp()); }
std::int32_t MessageView::delivery_attempt() const { return state_->core->delivery_attempt(); }
std::int32_t MessageView::flag() const { return state_->core->flag(); }

}  // namespace libmq
