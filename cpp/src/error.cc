// Errors of the Rust side as exceptions of the public header, and the conversions that can fail.

#include "detail.hpp"

namespace libmq::detail {
namespace {

/// Takes the text up to the next separator.
std::string_view field(std::string_view& rest) {
  const auto end = rest.find('\x1f');
  const auto taken = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return taken;
}

template <typename F>
auto with_error(std::string_view text, F use) {
  std::string_view rest = text;
  Error::Fields fields{};
  fields.code = static_cast<ErrorCode>(std::stoi(std::string(field(rest))));
  fields.name = field(rest);
  if (const auto broker = field(rest); !broker.empty()) fields.broker_code = std::stoi(std::string(broker));
  fields.retryable = field(rest) == "1";
  fields.throttled = field(rest) == "1";
  fields.fatal = field(rest) == "1";
  fields.message = rest;
  switch (fields.code) {
    case ErrorCode::Timeout:
      return use(TimeoutError(std::move(fields)));
    case ErrorCode::Closed:
      return use(ClosedError(std::move(fields)));
    case ErrorCode::NotFound:
      return use(NotFoundError(std::move(fields)));
    case ErrorCode::Denied:
      return use(DeniedError(std::move(fields)));
    case ErrorCode::Throttled:
      return use(ThrottledError(std::move(fields)));
    case ErrorCode::TooLarge:
      return use(TooLargeError(std::move(fields)));
    case ErrorCode::Forked:
      return use(ForkedError(std::move(fields)));
    case ErrorCode::Argument:
      return use(ArgumentError(std::move(fields)));
    case ErrorCode::Config:
      return use(ConfigError(std::move(fields)));
    default:
      return use(Error(std::move(fields)));
  }
}

}  // namespace

void throw_error(std::string_view text) {
  with_error(text, [](auto error) { throw error; });
  std::terminate();  // not reached: the line above throws
}

std::exception_ptr make_error(std::string_view text) {
  return with_error(text, [](auto error) { return std::make_exception_ptr(std::move(error)); });
}

rust::Box<Settings> settings(const Options& options) {
  return guarded([&] {
    auto made = settings_new();
    for (const auto& [key, value] : options.values()) made->set(text(key), text(value));
    return made;
  });
}

rust::Box<Outgoing> outgoing(const Message& message) {
  return guarded([&] {
    const std::string& body = message.body();
    auto made = outgoing_new(text(message.topic()), {reinterpret_cast<const std::uint8_t*>(body.data()), body.size()});
    if (message.tag()) made->tag(text(*message.tag()));
    for (const auto& key : message.keys()) made->key(text(key));
    for (const auto& [name, value] : message.properties()) made->property(text(name), text(value));
    if (message.message_group()) made->message_group(text(*message.message_group()));
    if (message.delay_level() != 0) made->delay_level(message.delay_level());
    if (!message.wait_store()) made->wait_store(false);
    if (message.flag() != 0) made->flag(message.flag());
    return made;
  });
}

SendReceipt receipt(const Sent& made) {
  return {std::string(view(made.message_id())),
          std::string(view(made.offset_message_id())),
          std::string(view(made.topic())),
          std::string(view(made.broker_name())),
          made.queue_id(),
          made.queue_offset(),
          static_cast<SendStatus>(made.status())};
}

}  // namespace libmq::detail
