// The embedded broker and the log handler.

#include "detail.hpp"

namespace libmq {

using detail::guarded;

namespace testing {

namespace {

/// A time span in milliseconds that is not negative.
std::uint64_t forward(std::chrono::milliseconds time) {
  if (time.count() >= 0) return static_cast<std::uint64_t>(time.count());
  throw ArgumentError({ErrorCode::Argument, "ARGUMENT",
                       "a delay of " + std::to_string(time.count()) + " ms is not possible; give 0 or more",
                       std::nullopt, false, false, false});
}

}  // namespace

Broker::Broker(Options options, std::string data) {
  if (!data.empty()) options.set("data_dir", std::move(data));
  auto settings = detail::settings(options);
  state_ = std::make_shared<detail::BrokerState>(
      detail::BrokerState{guarded([&] { return detail::broker_start(*settings); })});
}

Broker::~Broker() = default;

std::string Broker::address() const {
  return guarded([&] { return std::string(state_->core->address()); });
}
std::string Broker::broker_address() const {
  return guarded([&] { return std::string(state_->core->broker_address()); });
}
std::string Broker::data_dir() const {
  return guarded([&] { return std::string(state_->core->data_dir()); });
}

void Broker::create_topic(const std::string& name, int queues) {
  guarded([&] { state_->core->create_topic(detail::text(name), queues); });
}

void Broker::kill() {
  guarded([&] { state_->core->kill(); });
}

void Broker::restart() {
  guarded([&] { state_->core->restart(); });
}

void Broker::stop() {
  guarded([&] { state_->core->stop(); });
}

void Faults::fail_next(std::string_view request, std::string_view response, std::uint32_t times) {
  guarded([&] { state_->core->fail_next(detail::text(request), detail::text(response), times); });
}

void Faults::delay_next(std::string_view request, std::chrono::milliseconds delay, std::uint32_t times) {
  guarded([&] { state_->core->delay_next(detail::text(request), forward(delay), times); });
}

void Faults::drop_next(std::string_view request, std::uint32_t times) {
  guarded([&] { state_->core->drop_next(detail::text(request), times); });
}

void Faults::lose_answer_next(std::string_view request, std::uint32_t times) {
  guarded([&] { state_->core->lose_answer_next(detail::text(request), times); });
}

void Faults::refuse_connections(bool refuse) {
  guarded([&] { state_->core->refuse_connections(refuse); });
}

void Faults::clear() {
  guarded([&] { state_->core->clear_faults(); });
}

void Clock::advance(std::chrono::milliseconds time) {
  guarded([&] { state_->core->advance_clock(forward(time)); });
}

void Clock::set(std::chrono::system_clock::time_point time) {
  using std::chrono::milliseconds;
  guarded([&] { state_->core->set_clock(std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count()); });
}

std::chrono::system_clock::time_point Clock::now() const {
  std::chrono::milliseconds millis(guarded([&] { return state_->core->clock(); }));
  return std::chrono::system_clock::time_point(millis);
}

}  // namespace testing

namespace detail {

void call_log_handler(const LogHandler& handler, std::int32_t level, rust::Str target, rust::Str message) noexcept {
  try {
    handler.call(static_cast<LogLevel>(level), view(target), view(message));
  } catch (...) {
    // A log handler that throws must not stop the thread that logs.
  }
}

}  // namespace detail

void set_log_handler(LogLevel level, std::function<void(LogLevel, std::string_view, std::string_view)> handler) {
  std::unique_ptr<detail::LogHandler> held;
  if (handler) held = std::make_unique<detail::LogHandler>(detail::LogHandler{std::move(handler)});
  guarded([&] { detail::set_log(static_cast<std::int32_t>(level), std::move(held)); });
}

}  // namespace libmq
