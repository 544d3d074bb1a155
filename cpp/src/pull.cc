// PullConsumer and DeadLetters.

#include "detail.hpp"

namespace libmq {

using detail::guarded;

namespace detail {

QueueName name(const MessageQueue& queue) {
  return {rust::String(queue.topic), rust::String(queue.broker_name), queue.queue_id};
}

rust::Vec<QueueName> names(const std::vector<MessageQueue>& queues) {
  rust::Vec<QueueName> all;
  for (const auto& queue : queues) all.push_back(name(queue));
  return all;
}

std::vector<MessageQueue> queues(const rust::Vec<QueueName>& names) {
  std::vector<MessageQueue> all;
  all.reserve(names.size());
  for (const auto& one : names) all.push_back({std::string(one.topic), std::string(one.broker_name), one.queue_id});
  return all;
}

namespace {

struct Together {
  rust::Box<Views> core;
  std::vector<ViewState> views;
};

}  // namespace

std::vector<MessageView> views(rust::Box<Views> came) {
  const auto count = came->count();
  const auto together = std::make_shared<Together>(Together{std::move(came), {}});
  together->views.reserve(count);
  std::vector<MessageView> all;
  all.reserve(count);
  for (std::size_t index = 0; index < count; ++index) {
    together->views.push_back({&together->core->view(index)});
    all.emplace_back(std::shared_ptr<const ViewState>(together, &together->views.back()));
  }
  return all;
}

/// What the thread that tells of changes uses; it outlives the consumer that is dropped in a callback.
struct PullerState::Watches {
  rust::Box<Events> events = events_new();
  std::mutex mutex;
  std::vector<PullConsumer::QueueChange> callbacks;

  /// Tells of changes until the queue is closed.
  void tell() {
    constexpr std::int64_t kForever = -1;
    for (;;) {
      rust::Vec<Event> batch;
      try {
        batch = events->poll(1, kForever);
      } catch (const rust::Error&) {
        return;  // closed and empty
      }
      for (const Event& event : batch) {
        PullConsumer::QueueChange changed;
        {
          const std::lock_guard<std::mutex> guard(mutex);
          changed = callbacks.at(static_cast<std::size_t>(event.tag()));
        }
        try {
          changed(queues(event.queues()), queues(event.assigned()));
        } catch (...) {
          // A callback must not throw; if it does, the next change is told all the same.
        }
      }
    }
  }
};

PullerState::PullerState(std::shared_ptr<ClientState> of, rust::Box<CorePuller> made)
    : client(std::move(of)), core(std::move(made)), watches_(std::make_shared<Watches>()) {}

PullerState::~PullerState() {
  if (getpid() == owner_) {
    try {
      close(std::chrono::seconds(10));
    } catch (const Error&) {
      // A destructor has nobody to tell.
    }
  }
  // In a forked child the thread does not exist; dropped in a callback, this runs on it.
  if (telling_.joinable()) telling_.detach();
}

CorePuller& PullerState::started() {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (!started_) {
    core->start();
    started_ = true;
  }
  return *core;
}

void PullerState::watch(const std::string& topic, PullConsumer::QueueChange changed) {
  auto& consumer = started();
  const std::lock_guard<std::mutex> guard(mutex_);
  std::uint64_t tag = 0;
  {
    const std::lock_guard<std::mutex> callbacks(watches_->mutex);
    tag = watches_->callbacks.size();
    watches_->callbacks.push_back(std::move(changed));
  }
  consumer.watch(text(topic), *watches_->events, tag);
  if (!telling_.joinable()) telling_ = std::thread([with = watches_] { with->tell(); });
}

void PullerState::close(std::chrono::milliseconds timeout) {
  std::exception_ptr failure;
  try {
    guarded([&] { core->close(timeout.count()); });
  } catch (const Error&) {
    failure = std::current_exception();
  }
  watches_->events->close();
  std::thread ending;
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (telling_.get_id() != std::this_thread::get_id()) ending = std::move(telling_);
  }
  if (ending.joinable()) ending.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace detail

namespace {

std::int64_t millis(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

enum Whence : std::int32_t { kOffset = 0, kBegin = 1, kEnd = 2, kTime = 3 };

}  // namespace

void PullConsumer::subscribe(const std::string& topic, const std::string& expression) {
  guarded([&] { state_->core->subscribe(detail::text(topic), detail::text(expression)); });
}

void PullConsumer::unsubscribe(const std::string& topic) {
  guarded([&] { state_->core->unsubscribe(detail::text(topic)); });
}

void PullConsumer::assign(const std::vector<MessageQueue>& queues) {
  guarded([&] { state_->core->assign(detail::names(queues)); });
}

std::vector<MessageView> PullConsumer::poll(std::optional<std::chrono::milliseconds> timeout) {
  return guarded([&] { return detail::views(state_->started().poll(detail::millis(timeout))); });
}

void PullConsumer::seek(const MessageQueue& queue, std::int64_t offset) {
  guarded([&] { state_->started().seek(detail::name(queue), kOffset, offset); });
}

void PullConsumer::seek_to_begin(const MessageQueue& queue) {
  guarded([&] { state_->started().seek(detail::name(queue), kBegin, 0); });
}

void PullConsumer::seek_to_end(const MessageQueue& queue) {
  guarded([&] { state_->started().seek(detail::name(queue), kEnd, 0); });
}

void PullConsumer::seek_to_time(const MessageQueue& queue, std::chrono::system_clock::time_point time) {
  guarded([&] { state_->started().seek(detail::name(queue), kTime, millis(time)); });
}

std::int64_t PullConsumer::offset_for_time(const MessageQueue& queue, std::chrono::system_clock::time_point time) {
  return guarded([&] { return state_->started().offset_for_time(detail::name(queue), millis(time)); });
}

void PullConsumer::pause(const std::vector<MessageQueue>& queues) {
  guarded([&] { state_->core->pause(detail::names(queues)); });
}

void PullConsumer::resume(const std::vector<MessageQueue>& queues) {
  guarded([&] { state_->core->resume(detail::names(queues)); });
}

void PullConsumer::commit() {
  guarded([&] { state_->started().commit(); });
}

void PullConsumer::commit(const std::map<MessageQueue, std::int64_t>& offsets) {
  rust::Vec<detail::QueueName> queues;
  rust::Vec<std::int64_t> numbers;
  for (const auto& [queue, offset] : offsets) {
    queues.push_back(detail::name(queue));
    numbers.push_back(offset);
  }
  guarded([&] { state_->started().commit_offsets(std::move(queues), std::move(numbers)); });
}

std::optional<std::int64_t> PullConsumer::committed(const MessageQueue& queue) {
  const auto offset = guarded([&] { return state_->started().committed(detail::name(queue)); });
  if (offset < 0) return {};
  return offset;
}

std::int64_t PullConsumer::position(const MessageQueue& queue) {
  return guarded([&] { return state_->started().position(detail::name(queue)); });
}

std::vector<MessageQueue> PullConsumer::queues(const std::string& topic) {
  return guarded([&] { return detail::queues(state_->started().queues(detail::text(topic))); });
}

std::vector<MessageQueue> PullConsumer::assignment() const {
  return guarded([&] { return detail::queues(state_->core->assignment()); });
}

void PullConsumer::on_queue_change(const std::string& topic, QueueChange changed) {
  guarded([&] { state_->watch(topic, std::move(changed)); });
}

void PullConsumer::close(std::chrono::milliseconds timeout) { state_->close(timeout); }

std::vector<MessageView> DeadLetters::read(std::size_t max) {
  return guarded([&] { return detail::views(state_->core->read(max)); });
}

void DeadLetters::rewind() {
  guarded([&] { state_->core->rewind(); });
}

SendReceipt DeadLetters::resend(const MessageView& letter) {
  return guarded([&] { return detail::receipt(*state_->core->resend(*letter.state_->core)); });
}

}  // namespace libmq
