// Callbacks of the program that throw: they end neither the process nor what is still to come.
using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading.Tasks;

namespace LibMq.Tests
{
    internal sealed class CallbackTests : World
    {
        /// <summary>Keeps what is traced for people.</summary>
        private sealed class Lines : TraceListener
        {
            internal Inbox<string> All { get; } = new Inbox<string>();

            public override void Write(string? message)
            {
                // The head of a line.
            }

            public override void WriteLine(string? message) => All.Add(message ?? "");
        }

        [Test]
        public Task OfListenerErrors() => TracedAsync(async traced =>
        {
            await SendAsync(new[] { "one" });
            var attempts = new Inbox<MessageView>();
            var told = new Inbox<Exception>();
            var options = Options();
            options.OnListenerError = (message, error) =>
            {
                told.Add(error);
                throw new InvalidOperationException("the error callback fails");
            };
            await using var consumer = await Client.CreatePushConsumerAsync(options, message =>
            {
                attempts.Add(message);
                return message.DeliveryAttempt < 3 ? throw new InvalidOperationException("the listener fails") : ConsumeResult.Success;
            });
            Check.Equal("1,2,3", string.Join(",", (await attempts.TakeAsync(3)).Select(message => message.DeliveryAttempt)), "attempts");
            Check.Equal("the listener fails", (await told.TakeAsync(2))[1].Message, "what the callback is told");
            Check.That((await traced.TakeAsync(2)).All(line => line.Contains("the error callback fails")), "a traced line for each");
        });

        [Test]
        public Task OfWarnings() => TracedAsync(async traced =>
        {
            var offsets = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
            try
            {
                var warnings = new Inbox<string>();
                var options = Options();
                options.Settings["message_model"] = "broadcasting";
                options.Settings["offset_dir"] = offsets;
                options.OnWarning = (name, message) =>
                {
                    warnings.Add(name);
                    throw new InvalidOperationException("the warning callback fails");
                };
                await SendAsync(new[] { "one", "two" });
                // Broadcasting does not deliver again: each refusal is a warning.
                await using var consumer = await Client.CreatePushConsumerAsync(options, _ => ConsumeResult.Later);
                await warnings.TakeAsync(2);
                Check.That((await traced.TakeAsync(2)).All(line => line.Contains("the warning callback fails")), "a traced line for each");
            }
            finally
            {
                if (Directory.Exists(offsets))
                {
                    Directory.Delete(offsets, recursive: true);
                }
            }
        });

        [Test]
        public Task OfChangedQueues() => TracedAsync(async traced =>
        {
            await using var client = new MqClient(new ClientOptions
            {
                Namesrv = Broker.Address,
                Settings = { ["poll_name_server_interval"] = "50ms" },
            });
            await using var consumer = await client.CreatePullConsumerAsync(new PullConsumerOptions
            {
                Group = Name("group"),
                Subscriptions = { [Topic] = "*" },
                Settings = { ["topic_metadata_check_interval"] = "50ms" },
            });
            var counts = new Inbox<string>();
            await consumer.OnQueueChangeAsync(Topic, (all, assigned) =>
            {
                counts.Add(all.Count.ToString());
                throw new InvalidOperationException("the watcher fails");
            });
            foreach (var count in new[] { 5, 6 })
            {
                Broker.CreateTopic(Topic, count);
                while (await counts.TakeAsync() != count.ToString())
                {
                    // Of an earlier change, or of the share alone.
                }
            }
            Check.That((await traced.TakeAsync(2)).All(line => line.Contains("the watcher fails")), "a traced line for each");
        });

        [Test]
        public async Task OfLogs()
        {
            var lines = new Inbox<LogEntry>();
            try
            {
                MqLog.SetHandler(LogLevel.Trace, entry =>
                {
                    lines.Add(entry);
                    throw new InvalidOperationException("the log fails");
                });
                await SendAsync(new[] { "one", "two" });
                await lines.TakeAsync(2);
            }
            finally
            {
                MqLog.SetHandler(LogLevel.Off, null);
            }
        }

        private static async Task TracedAsync(Func<Inbox<string>, Task> test)
        {
            using var lines = new Lines();
            Trace.Listeners.Add(lines);
            try
            {
                await test(lines.All);
            }
            finally
            {
                Trace.Listeners.Remove(lines);
            }
        }
    }
}
