// The C++ scenario runner: speaks tests/harness/README.md over stdin and stdout, with libmq's public API alone.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <ctime>
#include <deque>
#include <fstream>
#include <iostream>
#include <libmq/libmq.hpp>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

using nlohmann::json;
using namespace std::chrono_literals;

namespace {

const std::string kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string encode(std::string_view bytes) {
  std::string text;
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      group = group << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      const bool used = at + i <= bytes.size();
      text += used ? kAlphabet[group >> (18 - 6 * i) & 63U] : '=';
    }
  }
  return text;
}

std::string decode(const std::string& text) {
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char letter : text) {
    const auto value = kAlphabet.find(letter);
    if (value == std::string::npos) break;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count & 255U);
    }
  }
  return bytes;
}

std::mutex output;

void print(const json& line) {
  const std::string text = line.dump() + "\n";
  const std::lock_guard<std::mutex> guard(output);
  std::cout << text << std::flush;
}

libmq::Options options(const json& request) {
  libmq::Options all;
  const json settings = request.value("settings", json::object());
  for (const auto& [key, value] : settings.items()) all.set(key, value.get<std::string>());
  return all;
}

libmq::Message message(const json& fields, const std::string& topic) {
  libmq::Message made(topic, decode(fields.at("body").get<std::string>()));
  if (fields.contains("tag")) made.tag(fields["tag"].get<std::string>());
  for (const auto& key : fields.value("keys", json::array())) made.key(key.get<std::string>());
  const json properties = fields.value("properties", json::object());
  for (const auto& [name, value] : properties.items()) made.property(name, value.get<std::string>());
  if (fields.contains("message_group")) made.message_group(fields["message_group"].get<std::string>());
  made.delay_level(fields.value("delay_level", 0U));
  made.wait_store(fields.value("wait_store", true));
  return made;
}

libmq::Message message(const json& fields) { return message(fields, fields.at("topic").get<std::string>()); }

json plain_receipt(const libmq::SendReceipt& made) {
  static const char* const names[] = {"Ok", "FlushDiskTimeout", "FlushSlaveTimeout", "SlaveNotAvailable"};
  return {{"message_id", made.message_id},
          {"offset_message_id", made.offset_message_id},
          {"queue_id", made.queue_id},
          {"queue_offset", made.queue_offset},
          {"status", names[static_cast<int>(made.status)]}};
}

json receipt(const libmq::SendReceipt& made) { return {{"receipt", plain_receipt(made)}}; }

libmq::MessageQueue queue(const json& fields) {
  return {fields.at("topic").get<std::string>(), fields.at("broker_name").get<std::string>(),
          fields.at("queue_id").get<std::int32_t>()};
}

std::chrono::system_clock::time_point time_of(const json& millis) {
  return std::chrono::system_clock::time_point(std::chrono::milliseconds(millis.get<std::int64_t>()));
}

std::vector<libmq::MessageQueue> queues(const json& list) {
  std::vector<libmq::MessageQueue> all;
  for (const auto& fields : list) all.push_back(queue(fields));
  return all;
}

json shown(const std::vector<libmq::MessageQueue>& queues) {
  json list = json::array();
  for (const auto& one : queues)
    list.push_back({{"topic", one.topic}, {"broker_name", one.broker_name}, {"queue_id", one.queue_id}});
  return list;
}

json view(const libmq::MessageView& got) {
  const auto millis = [](auto time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  };
  json fields = {{"topic", got.topic()},
                 {"body", encode(got.body())},
                 {"keys", got.keys()},
                 {"properties", got.properties()},
                 {"message_id", got.message_id()},
                 {"offset_message_id", got.offset_message_id()},
                 {"queue_id", got.queue_id()},
                 {"queue_offset", got.queue_offset()},
                 {"broker_name", got.broker_name()},
                 {"born_timestamp", millis(got.born_time())},
                 {"store_timestamp", millis(got.store_time())},
                 {"delivery_attempt", got.delivery_attempt()}};
  if (const auto tag = got.tag()) fields["tag"] = *tag;
  if (const auto group = got.message_group()) fields["message_group"] = *group;
  return fields;
}

json views(const std::vector<libmq::MessageView>& all) {
  json list = json::array();
  for (const auto& one : all) list.push_back(view(one));
  return list;
}

std::vector<libmq::Message> messages(const json& request) {
  std::vector<libmq::Message> all;
  for (const auto& fields : request.at("messages")) all.push_back(message(fields));
  return all;
}

json describe(const libmq::Error& error, const char* name) {
  json fields = {{"code", error.name()},           {"message", error.what()}, {"retryable", error.retryable()},
                 {"throttled", error.throttled()}, {"class", name},           {"broker_code", nullptr}};
  if (error.broker_code()) fields["broker_code"] = *error.broker_code();
  return {{"error", fields}};
}

/// The answer to a request: what `work` returns, or the error that it throws.
template <typename F>
json attempt(F work) {
  try {
    return {{"ok", work()}};
  } catch (const libmq::TimeoutError& error) {
    return describe(error, "TimeoutError");
  } catch (const libmq::ClosedError& error) {
    return describe(error, "ClosedError");
  } catch (const libmq::ArgumentError& error) {
    return describe(error, "ArgumentError");
  } catch (const libmq::ConfigError& error) {
    return describe(error, "ConfigError");
  } catch (const libmq::Error& error) {
    return describe(error, "Error");
  } catch (const std::exception& error) {
    return {{"error", {{"code", "RUNNER"}, {"message", error.what()}}}};
  }
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

/// Sends with at most `window` messages in flight and counts how they end.
class Window {
 public:
  Window(libmq::Producer producer, std::size_t size) : producer_(std::move(producer)), size_(size) {}

  void send(const libmq::Message& sent) {
    {
      std::unique_lock<std::mutex> guard(state_->mutex);
      state_->changed.wait(guard, [&] { return state_->flying < size_; });
      ++state_->flying;
    }
    const auto done = [state = state_](bool good) {
      const std::lock_guard<std::mutex> guard(state->mutex);
      --state->flying;
      ++(good ? state->sent : state->failed);
      state->changed.notify_all();
    };
    try {
      producer_.send_async(sent,
                           [done](const libmq::SendReceipt* made, const libmq::Error*) { done(made != nullptr); });
    } catch (const libmq::Error&) {
      done(false);
    }
  }

  json finish() {
    std::unique_lock<std::mutex> guard(state_->mutex);
    state_->changed.wait(guard, [&] { return state_->flying == 0; });
    return {{"sent", state_->sent}, {"failed", state_->failed}};
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t flying = 0;
    std::uint64_t sent = 0;
    std::uint64_t failed = 0;
  };

  libmq::Producer producer_;
  std::size_t size_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// A listener that behaves as the harness asks.
struct Behaviour {
  json wanted;
  std::string consumer;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, int> seen;
  bool quiet = false;
  std::uint64_t received = 0;
  std::uint64_t bytes = 0;
  std::uint64_t reported = 0;
  bool closed = false;

  libmq::ConsumeResult operator()(const std::vector<libmq::MessageView>& all) {
    int before = 0;
    if (quiet) {
      std::uint64_t size = 0;
      for (const auto& got : all) size += got.body().size();
      const std::lock_guard<std::mutex> guard(mutex);
      received += all.size();
      bytes += size;
    } else {
      for (const auto& got : all)
        print({{"event", "message"}, {"consumer", consumer}, {"message", view(got)}, {"batch", all.size()}});
      const std::lock_guard<std::mutex> guard(mutex);
      before = seen[std::string(all.front().message_id())]++;
    }
    if (wanted.value("hang", false)) {
      std::unique_lock<std::mutex> guard(mutex);
      changed.wait(guard, [&] { return closed; });
    }
    if (const int delay = wanted.value("delay", 0)) std::this_thread::sleep_for(std::chrono::milliseconds(delay));
    if (before < wanted.value("throw_first", 0)) throw std::runtime_error("as the scenario asks");
    if (before < wanted.value("suspend_first", 0))
      return libmq::ConsumeResult::suspend(std::chrono::milliseconds(wanted.value("suspend", 0)));
    const bool later = wanted.value("always_later", false) || before < wanted.value("later_first", 0);
    if (later && wanted.contains("later_level")) return libmq::ConsumeResult::later(wanted["later_level"]);
    return later ? libmq::ConsumeResult::Later : libmq::ConsumeResult::Success;
  }

  /// Reports the count of a quiet consumer until it is closed.
  void report() {
    std::unique_lock<std::mutex> guard(mutex);
    while (!closed) {
      changed.wait_for(guard, 200ms);
      if (received != reported) {
        reported = received;
        print({{"event", "count"}, {"consumer", consumer}, {"received", received}, {"bytes", bytes}});
      }
    }
  }

  void end() {
    const std::lock_guard<std::mutex> guard(mutex);
    closed = true;
    changed.notify_all();
  }
};

struct Consumer {
  std::shared_ptr<Behaviour> behaviour;
  libmq::PushConsumer consumer;
  std::thread reporter;

  void close() {
    std::exception_ptr failure;
    try {
      consumer.close(2s);
    } catch (const libmq::Error&) {
      failure = std::current_exception();
    }
    behaviour->end();
    if (reporter.joinable()) reporter.join();
    if (failure) std::rethrow_exception(failure);
  }
};

class Runner {
 public:
  json answer(const json& request) {
    const std::string op = request.at("op");
    if (op == "hello") {
      return {{"language", "cpp"}, {"version", libmq::version()}, {"features", {"fork", "concurrent"}}};
    }
    if (op == "client.open") {
      put(clients_, request.at("client"),
          std::make_shared<libmq::Client>(request.at("namesrv").get<std::string>(), options(request)));
    } else if (op == "client.close") {
      get(clients_, request.at("client"))->close();
    } else if (op == "producer.open") {
      const auto client = get(clients_, request.at("client"));
      put(producers_, request.at("producer"), client->producer(request.at("group"), options(request)));
    } else if (op == "producer.close") {
      get(producers_, request.at("producer")).close();
    } else if (op == "send") {
      return send(request);
    } else if (op == "send_list") {
      return send_list(request);
    } else if (op == "send_file") {
      return send_file(request);
    } else if (op == "send_load") {
      return send_load(request);
    } else if (op == "consumer.open") {
      open_consumer(request);
    } else if (op == "producer.queues") {
      return {{"queues", shown(get(producers_, request.at("producer")).queues(request.at("topic")))}};
    } else if (op == "send_split") {
      libmq::Producer producer = get(producers_, request.at("producer"));
      json all = json::array();
      for (const auto& list : producer.split_batch(messages(request)))
        all.push_back(plain_receipt(producer.send(list)));
      return {{"receipts", all}};
    } else if (op == "consumer.subscribe") {
      get(consumers_, request.at("consumer"))->consumer.subscribe(request.at("topic"), request.at("expression"));
    } else if (op == "consumer.unsubscribe") {
      get(consumers_, request.at("consumer"))->consumer.unsubscribe(request.at("topic"));
    } else if (op == "consumer.suspend") {
      get(consumers_, request.at("consumer"))->consumer.suspend();
    } else if (op == "consumer.resume") {
      get(consumers_, request.at("consumer"))->consumer.resume();
    } else if (op.rfind("pull.", 0) == 0) {
      return pull(op.substr(5), request);
    } else if (op == "dead_letters.read") {
      auto dead = get(clients_, request.at("client"))->dead_letters(request.at("group"));
      return {{"messages", views(dead.read(request.at("max")))}};
    } else if (op == "dead_letters.resend") {
      auto dead = get(clients_, request.at("client"))->dead_letters(request.at("group"));
      json all = json::array();
      for (const auto& letter : dead.read(request.at("max"))) all.push_back(plain_receipt(dead.resend(letter)));
      return {{"receipts", all}};
    } else if (op == "broker.fault") {
      fault(get(brokers_, request.at("broker"))->faults(), request);
    } else if (op == "broker.refuse_connections") {
      get(brokers_, request.at("broker"))->faults().refuse_connections(request.at("refuse"));
    } else if (op == "broker.clear_faults") {
      get(brokers_, request.at("broker"))->faults().clear();
    } else if (op == "broker.advance_clock") {
      auto clock = get(brokers_, request.at("broker"))->clock();
      clock.advance(std::chrono::milliseconds(request.at("by").get<std::int64_t>()));
      const auto now = clock.now().time_since_epoch();
      return {{"now", std::chrono::duration_cast<std::chrono::milliseconds>(now).count()}};
    } else if (op == "consumer.close") {
      get(consumers_, request.at("consumer"))->close();
    } else if (op == "broker.start") {
      libmq::testing::Broker broker(options(request), request.value("data", ""));
      const auto made = std::make_shared<libmq::testing::Broker>(std::move(broker));
      put(brokers_, request.at("broker"), made);
      return place(*made);
    } else if (op == "broker.create_topic") {
      get(brokers_, request.at("broker"))->create_topic(request.at("topic"), request.at("queues"));
    } else if (op == "broker.kill") {
      get(brokers_, request.at("broker"))->kill();
    } else if (op == "broker.restart") {
      const auto broker = get(brokers_, request.at("broker"));
      broker->restart();
      return place(*broker);
    } else if (op == "broker.stop") {
      get(brokers_, request.at("broker"))->stop();
    } else if (op == "log.hook") {
      static const std::map<std::string, int> levels = {
          {"ERROR", 1}, {"WARN", 2}, {"INFO", 3}, {"DEBUG", 4}, {"TRACE", 5}};
      const auto level = static_cast<libmq::LogLevel>(levels.at(request.at("level")));
      libmq::set_log_handler(level, [](libmq::LogLevel at, std::string_view target, std::string_view text) {
        static const char* const names[] = {"", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
        print({{"event", "log"}, {"level", names[static_cast<int>(at)]}, {"target", target}, {"message", text}});
      });
    } else if (op == "fork") {
      return fork_and_send(request);
    } else {
      throw std::runtime_error("the C++ runner does not know the request '" + op + "'");
    }
    return json::object();
  }

  void close() {
    for (auto& [name, consumer] : consumers_) attempt([made = consumer] { return made->close(), json::object(); });
    consumers_.clear();
    pullers_.clear();
    producers_.clear();
    clients_.clear();
    brokers_.clear();
  }

 private:
  template <typename T>
  void put(std::map<std::string, T>& map, const std::string& name, T value) {
    const std::lock_guard<std::mutex> guard(mutex_);
    map.insert_or_assign(name, std::move(value));
  }

  template <typename T>
  T get(std::map<std::string, T>& map, const std::string& name) {
    const std::lock_guard<std::mutex> guard(mutex_);
    return map.at(name);
  }

  static std::optional<std::chrono::milliseconds> timeout(const json& request) {
    if (!request.contains("timeout")) return {};
    return std::chrono::milliseconds(request["timeout"].get<int>());
  }

  static json place(const libmq::testing::Broker& broker) {
    return {{"address", broker.address()}, {"broker_address", broker.broker_address()}, {"data", broker.data_dir()}};
  }

  json send(const json& request) {
    libmq::Producer producer = get(producers_, request.at("producer"));
    const libmq::Message sent = message(request.at("message"));
    const std::string mode = request.at("mode");
    if (mode == "oneway") {
      producer.send_oneway(sent);
      return json::object();
    }
    if (request.contains("queue")) {
      const auto to = queue(request["queue"]);
      if (mode == "async") return receipt(producer.send_async(sent, to, timeout(request)).get());
      return receipt(producer.send(sent, to, timeout(request)));
    }
    if (mode == "async") return receipt(producer.send_async(sent, timeout(request)).get());
    return receipt(producer.send(sent, timeout(request)));
  }

  json send_list(const json& request) {
    libmq::Producer producer = get(producers_, request.at("producer"));
    const auto list = messages(request);
    if (request.at("mode") == "async") return receipt(producer.send_async(list).get());
    return receipt(producer.send(list));
  }

  json send_file(const json& request) {
    Window window(get(producers_, request.at("producer")), request.at("window"));
    std::ifstream file(request.at("path").get<std::string>());
    const std::string topic = request.at("topic");
    for (std::string line; std::getline(file, line);) window.send(message(json::parse(line), topic));
    return window.finish();
  }

  json send_load(const json& request) {
    libmq::Producer producer = get(producers_, request.at("producer"));
    const std::uint64_t count = request.at("count");
    const libmq::Message sent(request.at("topic"), std::string(request.at("size").get<std::size_t>(), 'x'));
    const auto start = std::chrono::steady_clock::now();
    const double cpu = cpu_seconds();
    json done;
    if (request.at("mode") == "sync") {
      std::uint64_t good = 0;
      for (std::uint64_t number = 0; number < count; ++number) {
        try {
          producer.send(sent);
          ++good;
        } catch (const libmq::Error&) {
          continue;
        }
      }
      done = {{"sent", good}, {"failed", count - good}};
    } else {
      Window window(producer, request.value("window", 64));
      for (std::uint64_t number = 0; number < count; ++number) window.send(sent);
      done = window.finish();
    }
    done["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    done["cpu_seconds"] = cpu_seconds() - cpu;
    return done;
  }

  void open_consumer(const json& request) {
    const auto client = get(clients_, request.at("client"));
    const auto behaviour = std::make_shared<Behaviour>();
    behaviour->wanted = request.value("behaviour", json::object());
    behaviour->quiet = behaviour->wanted.value("quiet", false);
    behaviour->consumer = request.at("consumer");
    auto builder = client->push_consumer(request.at("group"), options(request));
    for (const auto& [topic, expression] : request.at("subscriptions").items()) {
      builder.subscribe(topic, expression.get<std::string>());
    }
    builder.on_warning([name = behaviour->consumer](std::string_view code, std::string_view text) {
      print({{"event", "warning"}, {"consumer", name}, {"message", std::string(code) + ": " + std::string(text)}});
    });
    auto consumer =
        builder.start_batches([behaviour](const std::vector<libmq::MessageView>& all) { return (*behaviour)(all); });
    const auto made = std::make_shared<Consumer>(Consumer{behaviour, std::move(consumer), {}});
    if (behaviour->quiet) made->reporter = std::thread([behaviour] { behaviour->report(); });
    put(consumers_, request.at("consumer"), made);
  }

  json pull(const std::string& op, const json& request) {
    const std::string name = request.at("consumer");
    if (op == "open") {
      auto made = get(clients_, request.at("client"))->pull_consumer(request.at("group"), options(request));
      const json subscriptions = request.value("subscriptions", json::object());
      for (const auto& [topic, expression] : subscriptions.items()) {
        made.subscribe(topic, expression.get<std::string>());
        made.on_queue_change(topic, [name](const auto&, const auto& assigned) {
          print({{"event", "queues"}, {"consumer", name}, {"queues", shown(assigned)}});
        });
      }
      put(pullers_, name, made);
      return json::object();
    }
    auto consumer = get(pullers_, name);
    if (op == "assign") {
      consumer.assign(queues(request.at("queues")));
    } else if (op == "queues") {
      return {{"queues", shown(consumer.queues(request.at("topic")))}};
    } else if (op == "assignment") {
      return {{"queues", shown(consumer.assignment())}};
    } else if (op == "poll") {
      return {{"messages", views(consumer.poll(timeout(request)))}};
    } else if (op == "seek") {
      const auto& to = request.at("to");
      if (to.is_number()) {
        consumer.seek(queue(request.at("queue")), to.get<std::int64_t>());
      } else if (to.is_object()) {
        consumer.seek_to_time(queue(request.at("queue")), time_of(to.at("time")));
      } else if (to == "begin") {
        consumer.seek_to_begin(queue(request.at("queue")));
      } else {
        consumer.seek_to_end(queue(request.at("queue")));
      }
    } else if (op == "offset_for_time") {
      return {{"offset", consumer.offset_for_time(queue(request.at("queue")), time_of(request.at("timestamp")))}};
    } else if (op == "pause") {
      consumer.pause(queues(request.at("queues")));
    } else if (op == "resume") {
      consumer.resume(queues(request.at("queues")));
    } else if (op == "commit" && request.contains("offsets")) {
      std::map<libmq::MessageQueue, std::int64_t> offsets;
      for (const auto& one : request["offsets"]) offsets[queue(one.at("queue"))] = one.at("offset");
      consumer.commit(offsets);
    } else if (op == "commit") {
      consumer.commit();
    } else if (op == "committed") {
      const auto offset = consumer.committed(queue(request.at("queue")));
      return {{"offset", offset ? json(*offset) : json(nullptr)}};
    } else if (op == "position") {
      return {{"offset", consumer.position(queue(request.at("queue")))}};
    } else if (op == "close") {
      consumer.close();
    } else {
      throw std::runtime_error("the C++ runner does not know the request 'pull." + op + "'");
    }
    return json::object();
  }

  static void fault(libmq::testing::Faults faults, const json& request) {
    const std::string name = request.at("request");
    const std::string kind = request.at("kind");
    const std::uint32_t times = request.at("times");
    if (kind == "fail") {
      faults.fail_next(name, request.at("code").get<std::string>(), times);
    } else if (kind == "delay") {
      faults.delay_next(name, std::chrono::milliseconds(request.at("delay").get<int>()), times);
    } else if (kind == "drop") {
      faults.drop_next(name, times);
    } else {
      faults.lose_answer_next(name, times);
    }
  }

  json fork_and_send(const json& request) {
    int ends[2];
    if (pipe(ends) != 0) throw std::runtime_error("no pipe");
    const pid_t child = fork();
    if (child == 0) {
      const std::string line =
          attempt([&] {
            return send({{"producer", request.at("producer")}, {"message", request.at("message")}, {"mode", "sync"}});
          }).dump();
      const auto written = write(ends[1], line.data(), line.size());
      _exit(written == static_cast<ssize_t>(line.size()) ? 0 : 1);
    }
    close_end(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(n));
    close_end(ends[0]);
    waitpid(child, nullptr, 0);
    return {{"child", json::parse(text)}};
  }

  static void close_end(int fd) { ::close(fd); }

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<libmq::Client>> clients_;
  std::map<std::string, libmq::Producer> producers_;
  std::map<std::string, std::shared_ptr<Consumer>> consumers_;
  std::map<std::string, libmq::PullConsumer> pullers_;
  std::map<std::string, std::shared_ptr<libmq::testing::Broker>> brokers_;
};

}  // namespace

/// A request that is answered on a thread of its own, which is joined at the end of this.
class Working {
 public:
  template <class Work>
  explicit Working(Work work)
      : thread_([this, work] {
          work();
          ended_ = true;
        }) {}
  Working(const Working&) = delete;
  Working& operator=(const Working&) = delete;
  ~Working() { thread_.join(); }

  bool ended() const { return ended_; }

 private:
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

int main() {
  Runner runner;
  std::list<Working> working;
  for (std::string line; std::getline(std::cin, line);) {
    const json request = json::parse(line);
    if (request.at("op") == "exit") break;
    // A thread that has ended keeps its stack until it is joined.
    working.remove_if([](const Working& one) { return one.ended(); });
    // Each request on a thread of its own: a load may run while the client is closed.
    working.emplace_back([&runner, request] {
      json answer = attempt([&] { return runner.answer(request); });
      answer["id"] = request.at("id");
      print(answer);
    });
  }
  working.clear();
  runner.close();
}
