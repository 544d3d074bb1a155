// Queues of one's choice, pull consumers, batches to listeners, dead letters.

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <libmq/libmq.hpp>
#include <memory>
#include <mutex>
#include <thread>

using libmq::Client;
using libmq::ConsumeResult;
using libmq::Message;
using libmq::MessageView;
using libmq::testing::Broker;
using namespace std::chrono_literals;

namespace {

TEST(Queues, OfOnesChoice) {
  Broker broker;
  broker.create_topic("chosen", 3);
  Client client(broker.address());
  auto producer = client.producer("senders");
  const auto queues = producer.queues("chosen");
  ASSERT_EQ(queues.size(), 3U);
  for (const auto& queue : queues) {
    EXPECT_EQ(producer.send(Message("chosen", "x"), queue).queue_id, queue.queue_id);
    EXPECT_EQ(producer.send_async(Message("chosen", "x"), queue).get().queue_id, queue.queue_id);
  }
  EXPECT_THROW(producer.send(Message("chosen", "x"), {"chosen", "nobody", 0}), libmq::ArgumentError);
  EXPECT_THROW(producer.split_batch({}), libmq::ArgumentError);
  EXPECT_EQ(producer.split_batch({Message("chosen", "a"), Message("chosen", "b")}).size(), 1U);
}

TEST(PullConsumer, HasPositionsOfItsOwn) {
  Broker broker;
  broker.create_topic("pulled", 1);
  Client client(broker.address());
  auto producer = client.producer("senders");
  for (int number = 0; number < 5; ++number)
    producer.send(Message("pulled", std::to_string(number)).tag("t").key("a").key("b").flag(7));
  auto consumer = client.pull_consumer("pullers");
  const auto queue = consumer.queues("pulled").at(0);
  consumer.assign({queue});
  consumer.seek_to_begin(queue);
  std::vector<MessageView> found;
  while (found.size() < 5) {
    for (const auto& got : consumer.poll(1s)) found.push_back(got);
  }
  EXPECT_EQ(found[4].body(), "4");
  EXPECT_EQ(found[0].flag(), 7);
  EXPECT_EQ(found[0].keys(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(found[0].queue(), queue);
  EXPECT_EQ(consumer.position(queue), 5);
  consumer.commit();
  EXPECT_EQ(consumer.committed(queue), 5);
  consumer.commit({{queue, 2}});
  EXPECT_EQ(consumer.committed(queue), 2);
  consumer.seek(queue, 3);
  EXPECT_EQ(consumer.poll(5s).at(0).body(), "3");
  const auto before = std::chrono::system_clock::now() - 1min;
  EXPECT_EQ(consumer.offset_for_time(queue, before), 0);
  consumer.seek_to_time(queue, before);
  EXPECT_EQ(consumer.poll(5s).at(0).body(), "0");
  consumer.seek_to_end(queue);
  consumer.pause({queue});
  consumer.resume({queue});
  EXPECT_EQ(consumer.assignment().size(), 1U);
  EXPECT_TRUE(consumer.poll(10ms).empty());
  EXPECT_THROW(consumer.subscribe("pulled"), libmq::Error);
  consumer.close();
  consumer.close();
  EXPECT_THROW(consumer.poll(10ms), libmq::ClosedError);
}

TEST(PullConsumer, MayBeDroppedByItsOwnCallback) {
  Broker broker;
  broker.create_topic("growing", 1);
  Client client(broker.address(), {{"poll_name_server_interval", "50ms"}});
  auto consumer = std::make_shared<libmq::PullConsumer>(
      client.pull_consumer("droppers", {{"topic_metadata_check_interval", "50ms"}}));
  consumer->subscribe("growing");
  std::promise<void> dropped;
  consumer->on_queue_change("growing", [&](const auto&, const auto&) {
    if (!consumer) return;
    consumer.reset();
    dropped.set_value();
  });
  broker.create_topic("growing", 2);
  EXPECT_EQ(dropped.get_future().wait_for(60s), std::future_status::ready);
}

TEST(PushConsumer, TakesBatches) {
  Broker broker;
  broker.create_topic("batched", 1);
  Client client(broker.address());
  auto producer = client.producer("senders");
  for (int number = 0; number < 20; ++number) producer.send(Message("batched", std::to_string(number)));
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::size_t> sizes;
  std::size_t total = 0;
  auto consumer = client.push_consumer("readers")
                      .subscribe("batched")
                      .set("consume_from_where", "first")
                      .set("consume_message_batch_max_size", "8")
                      .start_batches([&](const std::vector<MessageView>& messages) {
                        const std::lock_guard<std::mutex> guard(mutex);
                        sizes.push_back(messages.size());
                        total += messages.size();
                        changed.notify_all();
                        return ConsumeResult::Success;
                      });
  std::unique_lock<std::mutex> guard(mutex);
  ASSERT_TRUE(changed.wait_for(guard, 60s, [&] { return total >= 20; }));
  guard.unlock();
  EXPECT_GE(consumer.assignment().size(), 1U);  // and the queue of retries
  consumer.close();
  EXPECT_EQ(total, 20U);
  EXPECT_GT(*std::max_element(sizes.begin(), sizes.end()), 1U);
  EXPECT_LE(*std::max_element(sizes.begin(), sizes.end()), 8U);
}

TEST(DeadLetters, AreSentAgain) {
  Broker broker;
  broker.create_topic("poisoned", 1);
  Client client(broker.address());
  auto producer = client.producer("senders");
  auto consumer =
      client.push_consumer("sick").subscribe("poisoned").set("max_reconsume_times", "0").start([](const MessageView&) {
        return ConsumeResult::Later;
      });
  producer.send(Message("poisoned", "poison").key("k"));
  auto dead = client.dead_letters("sick");
  std::vector<MessageView> letters;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while ((letters = dead.read(10)).empty() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(50ms);
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(letters[0].body(), "poison");
  consumer.close();  // else what is sent again becomes a dead letter again
  EXPECT_EQ(dead.resend(letters[0]).topic, "poisoned");
  EXPECT_TRUE(dead.read(10).empty());
  dead.rewind();
  EXPECT_EQ(dead.read(1).size(), 1U);
}

}  // namespace
