// Every way to send, and what arrives.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq.Tests
{
    internal sealed class SendingTests : World
    {
        [Test]
        public async Task WhatIsSentArrivesUnchanged()
        {
            var inbox = await ConsumeAsync();
            var body = Enumerable.Range(0, 256).Select(number => (byte)number).ToArray();
            var before = DateTimeOffset.UtcNow.AddSeconds(-1);
            var receipt = await Producer.SendAsync(new Message(Topic, body)
            {
                Tag = "größe",
                Keys = { "k1", "k2" },
                Properties = { ["región"] = "eu", ["a"] = "b=c" },
                MessageGroup = "customer 7",
            });
            Check.Equal(SendStatus.Ok, receipt.Status, "status");
            Check.Equal(Topic, receipt.Topic, "topic");
            Check.That(receipt.QueueId >= 0 && receipt.QueueId < 4 && receipt.QueueOffset == 0, "a place in a queue");

            var message = await inbox.TakeAsync();
            Check.That(message.Body.Span.SequenceEqual(body), "the same body");
            Check.Equal(Topic, message.Topic, "topic");
            Check.Equal("größe", message.Tag, "tag");
            Check.Equal("k1,k2", string.Join(",", message.Keys), "keys");
            Check.Equal("eu", message.Properties["región"], "property");
            Check.Equal("b=c", message.Properties["a"], "property");
            Check.Equal("customer 7", message.MessageGroup, "message group");
            Check.Equal(receipt.MessageId, message.MessageId, "message id");
            Check.Equal(receipt.OffsetMessageId, message.OffsetMessageId, "offset message id");
            Check.Equal(receipt.BrokerName, message.BrokerName, "broker name");
            Check.Equal(receipt.QueueId, message.QueueId, "queue");
            Check.Equal(receipt.QueueOffset, message.QueueOffset, "queue offset");
            Check.Equal(1, message.DeliveryAttempt, "delivery attempt");
            Check.That(message.BornTime > before && message.StoreTime > before && message.StoreTime < before.AddMinutes(2), "times of now");
            Check.That(message.BornHost.StartsWith("127.0.0.1:") && message.StoreHost == Broker.BrokerAddress, "hosts");
        }

        [Test]
        public async Task BlockingOnewayAndEmptyTags()
        {
            var inbox = await ConsumeAsync();
            var receipt = Producer.Send(new Message(Topic, "blocking"), TimeSpan.FromSeconds(5));
            Check.That(receipt.MessageId.Length == 32, "an id");
            await Producer.SendOnewayAsync(new Message(Topic, "oneway"));
            var found = await inbox.TakeAsync(2);
            Check.Equal("blocking oneway", string.Join(" ", found.Select(Text).OrderBy(text => text)), "texts");
            Check.That(found.All(message => message.Tag == null && message.Keys.Count == 0 && message.MessageGroup == null), "no tag, keys or group");
        }

        [Test]
        public async Task ListsGoAsOne()
        {
            var inbox = await ConsumeAsync(expression: "odd");
            var messages = Enumerable.Range(0, 10)
                .Select(number => new Message(Topic, number.ToString()) { Tag = number % 2 == 0 ? "even" : "odd", Keys = { $"k{number}" } })
                .ToList();
            var receipt = await Producer.SendAsync(messages);
            Check.Equal(10, receipt.MessageId.Split(',').Length, "ids");
            Producer.Send(messages);
            var found = await inbox.TakeAsync(10);
            Check.Equal("1133557799", string.Concat(found.Select(Text).OrderBy(text => text)), "texts");
            await Check.ThrowsAsync<MqArgumentException>(() => Producer.SendAsync(new List<Message>()));
            await Check.ThrowsAsync<MqArgumentException>(() => Producer.SendAsync(new List<Message> { new Message(Topic, "a"), new Message("other", "b") }), "topic");
        }

        [Test]
        public async Task ManyInFlightWhileGarbageIsCollected()
        {
            var inbox = await ConsumeAsync();
            using var stop = new CancellationTokenSource();
            var collecting = Task.Run(() =>
            {
                while (!stop.IsCancellationRequested)
                {
                    GC.Collect();
                    GC.WaitForPendingFinalizers();
                }
            });
            var texts = Enumerable.Range(0, 2000).Select(number => $"message {number}").ToList();
            var receipts = await Task.WhenAll(texts.Select(text => Producer.SendAsync(new Message(Topic, text))));
            Check.Equal(2000, receipts.Select(receipt => receipt.MessageId).Distinct().Count(), "ids");
            var found = (await inbox.TakeAsync(2000)).Select(Text).ToHashSet();
            stop.Cancel();
            await collecting;
            Check.That(found.SetEquals(texts), "each message once");
        }

        [Test]
        public async Task BadMessagesAreRefused()
        {
            await Check.ThrowsAsync<MqArgumentException>(() => Producer.SendAsync(new Message("", "x")), "topic");
            await Check.ThrowsAsync<MqArgumentException>(() => Producer.SendAsync(new Message("a b", "x")), "a b");
            await Check.ThrowsAsync<MqArgumentException>(() => Producer.SendAsync(new Message(new string('t', 128), "x")), "128");
            await Check.ThrowsAsync<MqArgumentException>(() => Producer.SendAsync(new Message(Topic, "")), "body");
            await Check.ThrowsAsync<MqArgumentException>(() => Producer.SendAsync(new Message(Topic, "x") { Keys = { "a b" } }), "a b");
            await Check.ThrowsAsync<MqArgumentException>(
                () => Producer.SendAsync(new Message(Topic, "x") { Properties = { ["UNIQ_KEY"] = "1" } }), "UNIQ_KEY");
            var error = await Check.ThrowsAsync<MqTooLargeException>(
                () => Producer.SendAsync(new Message(Topic, new byte[4 * 1024 * 1024 + 1])), "4194304");
            Check.Equal("TOO_LARGE", error.Name, "name");
            Check.Equal(MqErrorCode.TooLarge, error.Code, "code");
            Check.That(!error.Retryable && !error.Throttled && !error.Fatal, "nothing to try again");
            await Check.ThrowsAsync<ArgumentNullException>(() => Producer.SendAsync((Message)null!));
        }

        [Test]
        public async Task SendsCanBeCancelled()
        {
            using var done = new CancellationTokenSource();
            done.Cancel();
            await Check.ThrowsAsync<OperationCanceledException>(() => Producer.SendAsync(new Message(Topic, "x"), done.Token));

            using var silent = new SilentServer();
            await using var client = new MqClient(silent.Address);
            var producer = client.CreateProducer(new ProducerOptions { Group = "g", SendTimeout = TimeSpan.FromSeconds(100) });
            using var cancel = new CancellationTokenSource();
            var sending = producer.SendAsync(new Message(Topic, "x"), cancel.Token);
            await Check.Within(silent.Accepted, "the connection");
            cancel.Cancel();
            await Check.ThrowsAsync<OperationCanceledException>(() => Check.Within(sending, "the end of the cancelled send"));
        }
    }
}
