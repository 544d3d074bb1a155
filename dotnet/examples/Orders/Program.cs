// Orders: sends three orders, bills those that are paid, and audits all.
//
//   dotnet run -- 127.0.0.1:9876      (without an address: against a broker inside this process)
using System;
using System.Text;
using System.Threading.Tasks;
using LibMq;
using LibMq.Testing;

internal static class Program
{
    private static async Task Main(string[] arguments)
    {
        using var broker = arguments.Length == 0 ? new Broker() : null;
        await using var client = new MqClient(broker?.Address ?? arguments[0]);

        await using var producer = await client.CreateProducerAsync(new ProducerOptions { Group = "orders" });
        foreach (var (id, tag, text) in new[] { ("41", "new", "7 pears"), ("42", "paid", "42 apples"), ("43", "refunded", "1 plum") })
        {
            var receipt = await producer.SendAsync(new Message("orders", text) { Tag = tag, Keys = { id } });
            Console.WriteLine($"sent {text}: {receipt.Status}");
        }

        var billed = new TaskCompletionSource<string>();
        await using var consumer = await client.CreatePushConsumerAsync(
            new PushConsumerOptions
            {
                Group = "billing",
                Subscriptions = { ["orders"] = "paid" },
                Settings = { ["consume_from_where"] = "first" },
            },
            async (message, cancel) =>
            {
                await Task.Yield(); // charge the customer here
                billed.TrySetResult($"billed order {message.Keys[0]}: {Encoding.UTF8.GetString(message.Body.Span)}");
                return ConsumeResult.Success;
            });
        Console.WriteLine(await billed.Task);

        // Another group reads all orders at its own pace, from the first one on, and says how far it came.
        await using var audit = await client.CreatePullConsumerAsync(new PullConsumerOptions
        {
            Group = "audit",
            Subscriptions = { ["orders"] = "*" },
            AutoCommit = false,
            Settings = { ["consume_from_where"] = "first" },
        });
        var read = 0;
        await foreach (var message in audit.MessagesAsync())
        {
            Console.WriteLine($"audited order {message.Keys[0]} of queue {message.QueueId}");
            if (++read == 3)
            {
                break;
            }
        }
        await audit.CommitAsync();
    }
}
