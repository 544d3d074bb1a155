// Push consumers: what a listener gets, what it may do, and how consumers end.

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <libmq/libmq.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <set>

using libmq::Client;
using libmq::ConsumeResult;
using libmq::Message;
using libmq::MessageView;
using libmq::testing::Broker;
using namespace std::chrono_literals;

namespace {

/// Collects what a listener got and waits for it.
class Inbox {
 public:
  void add(const MessageView& message) {
    const std::lock_guard<std::mutex> guard(mutex_);
    messages_.push_back(message);
    changed_.notify_all();
  }

  std::vector<MessageView> wait_for(std::size_t count) {
    std::unique_lock<std::mutex> guard(mutex_);
    EXPECT_TRUE(changed_.wait_for(guard, 30s, [&] { return messages_.size() >= count; })) << messages_.size();
    return messages_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<MessageView> messages_;
};

/// Retries come after a tenth of a second.
libmq::Options fast_retries() {
  std::string levels;
  for (int level = 0; level < 18; ++level) levels += level == 0 ? "1s" : " 1s";
  return {{"messageDelayLevel", levels}};
}

TEST(PushConsumer, GetsWhatWasSent) {
  Broker broker;
  broker.create_topic("orders", 4);
  Client client(broker.address());
  auto producer = client.producer("senders");
  const std::string body("\0\xff binary", 9);
  const auto receipt = producer.send(
      Message("orders", body).tag("paid").key("k1").key("k2").property("région", "eu").message_group("g"));
  producer.send(Message("orders", "other").tag("lost"));
  Inbox inbox;
  auto consumer =
      client.push_consumer("readers").subscribe("orders", "paid || refunded").start([&](const MessageView& got) {
        inbox.add(got);
      });
  const auto got = inbox.wait_for(1).front();
  consumer.close();
  EXPECT_EQ(got.topic(), "orders");
  EXPECT_EQ(got.body(), body);
  EXPECT_EQ(got.tag(), "paid");
  EXPECT_EQ(got.keys(), (std::vector<std::string>{"k1", "k2"}));
  EXPECT_EQ(got.property("région"), "eu");
  EXPECT_EQ(got.properties().at("région"), "eu");
  EXPECT_EQ(got.property("none"), std::nullopt);
  EXPECT_EQ(got.message_group(), "g");
  EXPECT_EQ(got.message_id(), receipt.message_id);
  EXPECT_EQ(got.offset_message_id(), receipt.offset_message_id);
  EXPECT_EQ(got.queue_id(), receipt.queue_id);
  EXPECT_EQ(got.queue_offset(), receipt.queue_offset);
  EXPECT_EQ(got.broker_name(), receipt.broker_name);
  EXPECT_EQ(got.delivery_attempt(), 1);
  EXPECT_LE(got.born_time(), std::chrono::system_clock::now());
  EXPECT_EQ(inbox.wait_for(1).size(), 1U);
}

TEST(PushConsumer, AMessageStaysWhenTheOthersAndTheConsumerAreGone) {
  Broker broker;
  broker.create_topic("kept", 1);
  std::vector<MessageView> kept;
  std::string id;
  {
    Client client(broker.address());
    auto producer = client.producer("senders");
    producer.send(std::vector<Message>{Message("kept", "one"), Message("kept", "two"), Message("kept", "three")});
    Inbox inbox;
    auto consumer = client.push_consumer("readers", {{"consume_message_batch_max_size", "3"}})
                        .set("consume_from_where", "FIRST")
                        .subscribe("kept", "*")
                        .start_batches([&](const std::vector<MessageView>& messages) {
                          for (const auto& message : messages)
                            if (message.body() == "three") inbox.add(message);
                          return ConsumeResult::Success;
                        });
    kept = inbox.wait_for(1);
    id = kept.front().message_id();
    consumer.close();
  }
  EXPECT_EQ(kept.front().body(), "three");
  EXPECT_EQ(kept.front().message_id(), id);
  EXPECT_EQ(kept.front().queue_offset(), 2);
  EXPECT_EQ(kept.front().offset_message_id().size(), 32U);
}

TEST(PushConsumer, LaterAndThrowingDeliverAgain) {
  Broker broker(fast_retries());
  broker.create_topic("orders", 1);
  Client client(broker.address());
  auto producer = client.producer("senders");
  producer.send(Message("orders", "later"));
  producer.send(Message("orders", "throws"));
  Inbox inbox;
  auto consumer =
      client.push_consumer("readers").subscribe("orders").start(libmq::Listener([&](const MessageView& got) {
        inbox.add(got);
        if (got.delivery_attempt() > 1) return ConsumeResult::Success;
        if (got.body() == "throws") throw std::runtime_error("as the test wants");
        return ConsumeResult::Later;
      }));
  std::map<std::string, std::set<int>> attempts;
  for (const auto& got : inbox.wait_for(4)) attempts[std::string(got.body())].insert(got.delivery_attempt());
  EXPECT_EQ(attempts["later"], (std::set<int>{1, 2}));
  EXPECT_EQ(attempts["throws"], (std::set<int>{1, 2}));
}

TEST(PushConsumer, AStuckListenerDoesNotHoldUpClosing) {
  Broker broker;
  broker.create_topic("orders", 1);
  Client client(broker.address());
  client.producer("senders").send(Message("orders", "stuck"));
  Inbox inbox;
  const auto release = std::make_shared<std::promise<void>>();
  const std::shared_future<void> released = release->get_future().share();
  auto consumer = client.push_consumer("readers").subscribe("orders").start([&inbox, released](const MessageView& got) {
    inbox.add(got);
    released.wait();
  });
  inbox.wait_for(1);
  EXPECT_THROW(consumer.close(500ms), libmq::TimeoutError);
  Inbox again;
  auto next =
      client.push_consumer("readers").subscribe("orders").start([&](const MessageView& got) { again.add(got); });
  EXPECT_EQ(again.wait_for(1).front().body(), "stuck");
  next.close();
  release->set_value();
}

TEST(PushConsumer, NeedsAListenerThatCanBeCalled) {
  Broker broker;
  Client client(broker.address());
  auto builder = client.push_consumer("group").subscribe("t");
  EXPECT_THROW(builder.start(libmq::Listener()), libmq::ArgumentError);
  EXPECT_THROW(builder.start_batches(libmq::BatchListener()), libmq::ArgumentError);
}

TEST(PushConsumer, CanBeClosedByItsOwnListener) {
  Broker broker;
  broker.create_topic("orders", 1);
  Client client(broker.address());
  client.producer("senders").send(Message("orders", "x"));
  std::promise<void> closed;
  std::shared_ptr<libmq::PushConsumer> consumer;
  std::promise<void> made;
  const auto ready = made.get_future().share();
  consumer = std::make_shared<libmq::PushConsumer>(
      client.push_consumer("readers").subscribe("orders").start([&](const MessageView&) {
        ready.wait();
        EXPECT_THROW(consumer->close(200ms), libmq::TimeoutError);
        closed.set_value();
      }));
  made.set_value();
  EXPECT_EQ(closed.get_future().wait_for(30s), std::future_status::ready);
}

TEST(PushConsumer, ChangesItsSubscriptionsWhileItRuns) {
  Broker broker;
  for (const auto* topic : {"orders", "returns"}) broker.create_topic(topic, 2);
  Client client(broker.address());
  auto producer = client.producer("senders");
  Inbox inbox;
  auto consumer =
      client.push_consumer("readers").subscribe("orders").start([&](const MessageView& got) { inbox.add(got); });
  const auto queues_of = [&](const std::string& topic) {
    std::size_t count = 0;
    for (const auto& queue : consumer.assignment()) count += queue.topic == topic ? 1U : 0U;
    return count;
  };
  consumer.subscribe("returns", "a");
  EXPECT_EQ(queues_of("returns"), 2U);
  producer.send(Message("returns", "not wanted").tag("x"));
  producer.send(Message("returns", "a").tag("a"));
  inbox.wait_for(1);
  consumer.subscribe("returns", "b || c");
  producer.send(Message("returns", "not wanted any more").tag("a"));
  producer.send(Message("returns", "b").tag("b"));
  inbox.wait_for(2);
  consumer.unsubscribe("orders");
  consumer.unsubscribe("returns");
  consumer.unsubscribe("returns");
  EXPECT_EQ(queues_of("orders") + queues_of("returns"), 0U);
  producer.send(Message("orders", "meanwhile"));
  consumer.subscribe("orders");
  std::vector<std::string> bodies;
  for (const auto& got : inbox.wait_for(3)) bodies.emplace_back(got.body());
  EXPECT_EQ(bodies, (std::vector<std::string>{"a", "b", "meanwhile"}));
  EXPECT_THROW(consumer.subscribe("a b"), libmq::ArgumentError);
  EXPECT_THROW(consumer.subscribe("orders", "\xff"), libmq::ArgumentError);
  EXPECT_THROW(consumer.unsubscribe("%RETRY%readers"), libmq::ArgumentError);
  consumer.close();
  EXPECT_THROW(consumer.subscribe("orders"), libmq::ClosedError);
  EXPECT_THROW(consumer.unsubscribe("orders"), libmq::ClosedError);
}

TEST(PushConsumer, SuspendAndResume) {
  Broker broker;
  broker.create_topic("orders", 1);
  Client client(broker.address());
  Inbox inbox;
  auto consumer =
      client.push_consumer("readers").subscribe("orders").start([&](const MessageView& got) { inbox.add(got); });
  consumer.suspend();
  client.producer("senders").send(Message("orders", "x"));
  consumer.resume();
  EXPECT_EQ(inbox.wait_for(1).front().body(), "x");
}

}  // namespace
