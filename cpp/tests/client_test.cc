// Clients, producers, the embedded broker and every kind of error.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <libmq/libmq.hpp>
#include <memory>
#include <mutex>
#include <thread>

using libmq::Client;
using libmq::ErrorCode;
using libmq::Message;
using libmq::testing::Broker;
using namespace std::chrono_literals;

namespace {

/// Runs `work`, which must throw `E` with `code` and a message that has `word`.
template <typename E, typename F>
void refused(ErrorCode code, const std::string& word, F work) {
  try {
    work();
    FAIL() << "accepted";
  } catch (const E& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

TEST(Producer, SendsInEveryWay) {
  Broker broker;
  broker.create_topic("orders", 2);
  Client client(broker.address());
  auto producer = client.producer("senders");

  const auto sync = producer.send(Message("orders", "a").tag("t").key("k").property("p", "v"));
  EXPECT_EQ(sync.status, libmq::SendStatus::Ok);
  EXPECT_EQ(sync.topic, "orders");
  EXPECT_EQ(sync.message_id.size(), 32U);
  EXPECT_EQ(sync.offset_message_id.size(), 32U);

  auto future = producer.send_async(Message("orders", "b"), 5s);
  EXPECT_NE(future.get().message_id, sync.message_id);

  std::promise<std::string> id;
  producer.send_async(Message("orders", "c"), [&](const libmq::SendReceipt* receipt, const libmq::Error* error) {
    EXPECT_EQ(error, nullptr);
    id.set_value(receipt == nullptr ? "" : receipt->message_id);
  });
  EXPECT_FALSE(id.get_future().get().empty());

  producer.send_oneway(Message("orders", "d"));
  const std::vector<Message> list = {Message("orders", "e"), Message("orders", "f")};
  EXPECT_EQ(producer.send(list).status, libmq::SendStatus::Ok);
  EXPECT_EQ(producer.send_async(list).get().status, libmq::SendStatus::Ok);
}

TEST(Producer, ManyInFlight) {
  Broker broker;
  Client client(broker.address());
  auto producer = client.producer("senders");
  producer.send(Message("load", "first"));
  std::vector<std::future<libmq::SendReceipt>> futures;
  for (int number = 0; number < 1000; ++number)
    futures.push_back(producer.send_async(Message("load", std::to_string(number))));
  for (auto& future : futures) EXPECT_EQ(future.get().status, libmq::SendStatus::Ok);
}

TEST(Errors, SettingsAreChecked) {
  refused<libmq::ConfigError>(ErrorCode::Config, "namesrv", [] { Client client(libmq::Options{{"namesrvv", "x"}}); });
  refused<libmq::ConfigError>(ErrorCode::Config, "nowhere", [] { Client client("nowhere"); });
  Client client("127.0.0.1:1");
  refused<libmq::ConfigError>(ErrorCode::Config, "soon", [&] { client.producer("g", {{"send_timeout", "soon"}}); });
  refused<libmq::ArgumentError>(ErrorCode::Argument, "group", [&] { client.producer(""); });
  refused<libmq::ArgumentError>(ErrorCode::Argument, "group", [&] {
    client.push_consumer("a b").subscribe("t").start([](const libmq::MessageView&) {});
  });
}

TEST(Errors, MessagesAreChecked) {
  Client client("127.0.0.1:1");
  auto producer = client.producer("senders");
  refused<libmq::ArgumentError>(ErrorCode::Argument, "topic", [&] { producer.send(Message("", "x")); });
  refused<libmq::ArgumentError>(ErrorCode::Argument, "a b", [&] { producer.send(Message("a b", "x")); });
  refused<libmq::ArgumentError>(ErrorCode::Argument, "body", [&] { producer.send(Message("t", "")); });
  refused<libmq::ArgumentError>(ErrorCode::Argument, "UTF-8", [&] { producer.send(Message("t", "x").tag("\xff")); });
  refused<libmq::TooLargeError>(ErrorCode::TooLarge, "4194304",
                                [&] { producer.send(Message("t", std::string(4'194'305, 'x'))); });
  refused<libmq::ArgumentError>(ErrorCode::Argument, "topic", [&] { producer.send_async(Message("", "x")).get(); });
}

TEST(Errors, NobodyListens) {
  Client client("127.0.0.1:1");
  auto producer = client.producer("senders");
  refused<libmq::Error>(ErrorCode::Network, "127.0.0.1:1", [&] { producer.send(Message("t", "x"), 2s); });
}

TEST(Errors, UseAfterClose) {
  Broker broker;
  Client client(broker.address());
  auto producer = client.producer("senders");
  auto other = client.producer("others");
  producer.close();
  producer.close();
  refused<libmq::ClosedError>(ErrorCode::Closed, "close", [&] { producer.send(Message("t", "x")); });
  refused<libmq::ClosedError>(ErrorCode::Closed, "close", [&] { producer.send_async(Message("t", "x")).get(); });
  client.close();
  client.close();
  refused<libmq::ClosedError>(ErrorCode::Closed, "close", [&] { other.send(Message("t", "x")); });
  refused<libmq::ClosedError>(ErrorCode::Closed, "close", [&] { client.producer("late"); });
}

TEST(Errors, HandlesOutliveTheirClient) {
  Broker broker;
  std::optional<libmq::Producer> producer;
  {
    Client client(broker.address());
    producer = client.producer("senders");
  }
  refused<libmq::ClosedError>(ErrorCode::Closed, "close", [&] { producer->send(Message("t", "x")); });
}

TEST(Errors, ACallbackMayDropTheClient) {
  Broker broker;
  for (int round = 0; round < 20; ++round) {
    std::promise<void> dropped;
    {
      auto client = std::make_shared<Client>(broker.address());
      auto producer = std::make_shared<libmq::Producer>(client->producer("senders"));
      auto& sender = *producer;
      sender.send_async(Message("t", "x"), [client = std::move(client), producer = std::move(producer), &dropped](
                                               const libmq::SendReceipt*, const libmq::Error*) mutable {
        producer.reset();
        client.reset();
        dropped.set_value();
      });
    }
    EXPECT_EQ(dropped.get_future().wait_for(60s), std::future_status::ready);
  }
}

TEST(Errors, ClosingWhileBusyAnswersEverySend) {
  Broker broker;
  Client client(broker.address());
  auto producer = client.producer("senders");
  producer.send(Message("load", "first"));
  std::atomic<int> started{0};
  std::atomic<int> ended{0};
  std::atomic<bool> closed{false};
  std::thread sender([&] {
    while (!closed) {
      ++started;
      try {
        producer.send_async(Message("load", "x"), [&](const libmq::SendReceipt*, const libmq::Error*) { ++ended; });
      } catch (const libmq::Error&) {
        ++ended;
      }
    }
  });
  while (ended < 1000) std::this_thread::yield();
  client.close();
  closed = true;
  sender.join();
  for (int round = 0; round < 10'000 && ended < started; ++round) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(ended, started);
}

TEST(Errors, ForkedChild) {
  Broker broker;
  Client client(broker.address());
  auto producer = client.producer("senders");
  producer.send_async(Message("t", "x")).get();
  const pid_t child = fork();
  if (child == 0) {
    int status = 1;
    try {
      producer.send(Message("t", "x"));
    } catch (const libmq::ForkedError&) {
      status = 42;
    } catch (...) {
      status = 2;
    }
    _exit(status);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 42);
  EXPECT_EQ(producer.send(Message("t", "x")).status, libmq::SendStatus::Ok);
}

TEST(Broker, KilledAndRestartedOnItsData) {
  Broker broker;
  broker.create_topic("kept", 1);
  const std::string address = broker.address();
  {
    Client client(address);
    client.producer("senders").send(Message("kept", "before"));
  }
  broker.kill();
  broker.restart();
  Client client(broker.address());
  std::promise<std::string> arrived;
  auto consumer = client.push_consumer("readers").subscribe("kept").start(
      [&](const libmq::MessageView& message) { arrived.set_value(std::string(message.body())); });
  EXPECT_EQ(arrived.get_future().get(), "before");
}

TEST(Broker, FaultsOnRequest) {
  Broker broker;
  broker.create_topic("faulty", 1);
  Client client(broker.address());
  auto producer = client.producer("senders");
  EXPECT_EQ(producer.send(Message("faulty", "x")).queue_offset, 0);
  broker.faults().fail_next("SEND_MESSAGE", "MESSAGE_ILLEGAL");
  refused<libmq::ArgumentError>(ErrorCode::Argument, "MESSAGE_ILLEGAL", [&] { producer.send(Message("faulty", "x")); });
  broker.faults().lose_answer_next("SEND_MESSAGE");
  refused<libmq::TimeoutError>(ErrorCode::Timeout, "", [&] { producer.send(Message("faulty", "x"), 300ms); });
  broker.faults().delay_next("SEND_MESSAGE", 10ms, 2);
  broker.faults().clear();
  EXPECT_EQ(producer.send(Message("faulty", "x")).queue_offset, 2);
  refused<libmq::ArgumentError>(ErrorCode::Argument, "SEND_MESAGE", [&] { broker.faults().drop_next("SEND_MESAGE"); });
  refused<libmq::ArgumentError>(ErrorCode::Argument, "-1", [&] { broker.faults().delay_next("PULL_MESSAGE", -1ms); });
}

TEST(Broker, ItsClockMoves) {
  Broker broker;
  auto clock = broker.clock();
  const auto before = clock.now();
  clock.advance(2h);
  EXPECT_GE(clock.now() - before, 2h);
  clock.set(before);
  EXPECT_LT(clock.now() - before, 1h);
}

TEST(Log, EventsReachTheHandler) {
  std::mutex mutex;
  std::vector<std::string> lines;
  libmq::set_log_handler(libmq::LogLevel::Trace, [&](libmq::LogLevel, std::string_view, std::string_view line) {
    const std::lock_guard<std::mutex> guard(mutex);
    lines.emplace_back(line);
  });
  {
    Broker broker;
    Client client(broker.address());
    client.producer("senders").send(Message("t", "x"));
  }
  libmq::set_log_handler(libmq::LogLevel::Error, {});
  EXPECT_FALSE(lines.empty());
}

}  // namespace
