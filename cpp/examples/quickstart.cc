// Sends a message, consumes it and reads it again in another group, on a broker inside this process.

#include <future>
#include <iostream>
#include <libmq/libmq.hpp>

int main() {
  libmq::testing::Broker broker;  // in production: the address of your NameServers
  broker.create_topic("orders", 4);

  libmq::Client client(broker.address());
  auto producer = client.producer("orders");
  const libmq::SendReceipt receipt = producer.send(libmq::Message("orders", "42 apples").tag("paid").key("42"));
  std::cout << "sent " << receipt.message_id << " to queue " << receipt.queue_id << "\n";

  std::promise<std::string> arrived;
  auto consumer =
      client.push_consumer("billing")
          .subscribe("orders", "paid || refunded")
          .start([&](const libmq::MessageView& message) { arrived.set_value(std::string(message.body())); });
  std::cout << "got " << arrived.get_future().get() << "\n";

  // Another group reads at its own pace, from a place of its choice, and says how far it came.
  auto audit = client.pull_consumer("audit", {{"auto_commit", "false"}});
  const libmq::MessageQueue queue{receipt.topic, receipt.broker_name, receipt.queue_id};
  audit.assign({queue});
  audit.seek(queue, receipt.queue_offset);
  for (const auto& message : audit.poll()) std::cout << "audited order " << message.keys().at(0) << "\n";
  audit.commit();
}
