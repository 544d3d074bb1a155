// World: an embedded broker, a client and a topic for a test.
using System;
using System.Collections.Generic;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using LibMq.Testing;

namespace LibMq.Tests
{
    /// <summary>The base of tests that need a broker; everything is stopped with it, also when the test fails.</summary>
    internal abstract class World : IDisposable
    {
        private static int _last;

        protected World()
        {
            var options = new BrokerOptions
            {
                Settings = { ["mappedFileSizeCommitLog"] = "16777216", ["messageDelayLevel"] = "1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s" },
            };
            Broker = new Broker(options);
            Client = new MqClient(Broker.Address);
            Topic = Name("topic");
            Broker.CreateTopic(Topic, 4);
            Producer = Client.CreateProducer(new ProducerOptions { Group = Name("senders"), SendTimeout = TimeSpan.FromSeconds(30) });
        }

        protected Broker Broker { get; }

        protected MqClient Client { get; }

        protected Producer Producer { get; }

        protected string Topic { get; }

        public void Dispose()
        {
            Client.Dispose();
            Broker.Dispose();
        }

        protected static string Name(string what) => $"{what}-{Interlocked.Increment(ref _last)}";

        protected static string Text(MessageView message) => Encoding.UTF8.GetString(message.Body.Span);

        protected PushConsumerOptions Options(string? group = null, string expression = "*") => new PushConsumerOptions
        {
            Group = group ?? Name("group"),
            Subscriptions = { [Topic] = expression },
            Settings = { ["consume_from_where"] = "first" },
        };

        protected async Task<Inbox<MessageView>> ConsumeAsync(string? group = null, string expression = "*")
        {
            var inbox = new Inbox<MessageView>();
            await Client.CreatePushConsumerAsync(Options(group, expression), message =>
            {
                inbox.Add(message);
                return ConsumeResult.Success;
            });
            return inbox;
        }

        protected async Task SendAsync(IEnumerable<string> texts)
        {
            foreach (var text in texts)
            {
                await Producer.SendAsync(new Message(Topic, text));
            }
        }
    }
}
