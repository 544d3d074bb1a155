// The embedded broker and the log handler.

#include "detail.hpp"

namespace libmq {

using detail::guarded;

namespace testing {

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
