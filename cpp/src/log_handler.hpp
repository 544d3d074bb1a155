// The log handler that the Rust side holds and calls.
#ifndef LIBMQ_LOG_HANDLER_HPP
#define LIBMQ_LOG_HANDLER_HPP

#include <libmq/libmq.hpp>

#include "rust/cxx.h"

namespace libmq::detail {

struct LogHandler {
  std::function<void(LogLevel, std::string_view, std::string_view)> call;
};

void call_log_handler(const LogHandler& handler, std::int32_t level, rust::Str target, rust::Str message) noexcept;

}  // namespace libmq::detail

#endif  // LIBMQ_LOG_HANDLER_HPP
