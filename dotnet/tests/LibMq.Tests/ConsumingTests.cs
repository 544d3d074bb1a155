// Listeners of both kinds, and what they may do.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq.Tests
{
    internal sealed class ConsumingTests : World
    {
        [Test]
        public async Task AsyncListenersWorkAtTheSameTime()
        {
            var inside = 0;
            var most = 0;
            var all = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            await Client.CreatePushConsumerAsync(Options(), async (message, cancel) =>
            {
                var now = Interlocked.Increment(ref inside);
                InterlockedMax(ref most, now);
                if (now == 5)
                {
                    all.TrySetResult(true);
                }
                await all.Task; // none of the five goes on before all five are here
                Interlocked.Decrement(ref inside);
                return ConsumeResult.Success;
            });
            await SendAsync(Enumerable.Range(0, 20).Select(number => number.ToString()));
            await Check.Within(all.Task, "five listeners at a time");
            Check.That(most >= 5, "at least five at a time");
        }

        [Test]
        public async Task ListenersAreBounded()
        {
            var options = Options();
            options.MaxConcurrency = 3;
            var inside = 0;
            var most = 0;
            var seen = new Inbox<MessageView>();
            await Client.CreatePushConsumerAsync(options, async (message, cancel) =>
            {
                InterlockedMax(ref most, Interlocked.Increment(ref inside));
                await Task.Delay(5, cancel);
                Interlocked.Decrement(ref inside);
                seen.Add(message);
                return ConsumeResult.Success;
            });
            await SendAsync(Enumerable.Range(0, 40).Select(number => number.ToString()));
            await seen.TakeAsync(40);
            Check.That(most <= 3, $"three at a time, not {most}");
        }

        [Test]
        public async Task LaterAndThrowingMeanAgain()
        {
            var inbox = new Inbox<MessageView>();
            var failures = new Inbox<Exception>();
            var options = Options();
            options.OnListenerError = (message, error) => failures.Add(error);
            await Client.CreatePushConsumerAsync(options, message =>
            {
                inbox.Add(message);
                return message.DeliveryAttempt switch
                {
                    1 => ConsumeResult.Later,
                    2 => throw new InvalidOperationException("the second attempt fails"),
                    3 => ConsumeResult.LaterAt(1),
                    _ => ConsumeResult.Success,
                };
            });
            var receipt = await Producer.SendAsync(new Message(Topic, "again") { Tag = "t" });
            for (var attempt = 1; attempt <= 4; attempt++)
            {
                var message = await inbox.TakeAsync();
                Check.Equal(attempt, message.DeliveryAttempt, "delivery attempt");
                Check.Equal(receipt.MessageId, message.MessageId, "message id");
                Check.Equal(Topic, message.Topic, "topic");
                Check.Equal("t", message.Tag, "tag");
            }
            Check.Equal("the second attempt fails", (await failures.TakeAsync()).Message, "error");
            await inbox.IsQuietAsync();
        }

        [Test]
        public async Task SuspendedConsumersRest()
        {
            var inbox = new Inbox<MessageView>();
            await using var consumer = await Client.CreatePushConsumerAsync(Options(), message =>
            {
                inbox.Add(message);
                return ConsumeResult.Success;
            });
            await SendAsync(new[] { "one" });
            Check.Equal("one", Text(await inbox.TakeAsync()), "text");
            consumer.Suspend();
            // A fetch that is under way still ends; two messages for each queue end all of them.
            await SendAsync(Enumerable.Range(0, 8).Select(number => $"meanwhile {number}"));
            var before = new List<string>();
            while (await inbox.TryTakeAsync(0.5) is MessageView message)
            {
                before.Add(Text(message));
            }
            await SendAsync(new[] { "late" });
            await inbox.IsQuietAsync(0.5);
            consumer.Resume();
            var after = (await inbox.TakeAsync(9 - before.Count)).Select(Text).ToList();
            Check.That(after.Contains("late") && after.Concat(before).Distinct().Count() == 9, "the rest");
        }

        [Test]
        public async Task SubscriptionsChangeWhileItRuns()
        {
            var inbox = new Inbox<MessageView>();
            var other = Name("topic");
            Broker.CreateTopic(other, 2);
            var group = Name("group");
            var consumer = await Client.CreatePushConsumerAsync(Options(group), message =>
            {
                inbox.Add(message);
                return ConsumeResult.Success;
            });
            int QueuesOf(string topic) => consumer.Assignment.Count(queue => queue.Topic == topic);
            await consumer.SubscribeAsync(other, "a");
            Check.Equal(2, QueuesOf(other), "queues of the topic that was added");
            await Producer.SendAsync(new Message(other, "not wanted") { Tag = "x" });
            await Producer.SendAsync(new Message(other, "a") { Tag = "a" });
            Check.Equal("a", Text(await inbox.TakeAsync()), "text");
            using (var cancel = new CancellationTokenSource())
            {
                await consumer.SubscribeAsync(other, "b || c", cancel.Token);
                cancel.Cancel();
                await Check.ThrowsAsync<OperationCanceledException>(() => consumer.SubscribeAsync(other, "a", cancel.Token));
            }
            await Producer.SendAsync(new Message(other, "not wanted any more") { Tag = "a" });
            await Producer.SendAsync(new Message(other, "b") { Tag = "b" });
            Check.Equal("b", Text(await inbox.TakeAsync()), "text");
            await consumer.UnsubscribeAsync(Topic);
            await consumer.UnsubscribeAsync(other);
            await consumer.UnsubscribeAsync(other);
            Check.Equal(0, QueuesOf(Topic) + QueuesOf(other), "queues of the topics that were left");
            await SendAsync(new[] { "meanwhile" });
            await consumer.SubscribeAsync(Topic);
            Check.Equal("meanwhile", Text(await inbox.TakeAsync()), "text");
            await Check.ThrowsAsync<MqArgumentException>(() => consumer.SubscribeAsync("a b"), "a b");
            await Check.ThrowsAsync<MqArgumentException>(() => consumer.UnsubscribeAsync("%RETRY%" + group), "retry topic");
            await inbox.IsQuietAsync(0.5);
            await consumer.CloseAsync();
            await Check.ThrowsAsync<MqClosedException>(() => consumer.SubscribeAsync(Topic));
            await Check.ThrowsAsync<MqClosedException>(() => consumer.UnsubscribeAsync(Topic));
        }

        [Test]
        public async Task ClosingWaitsForListenersAndCommits()
        {
            var group = Name("group");
            var started = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            var finish = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            var consumer = await Client.CreatePushConsumerAsync(Options(group), async (message, cancel) =>
            {
                using (cancel.Register(() => finish.TrySetResult(true)))
                {
                    started.TrySetResult(true);
                    await finish.Task; // ends because closing cancels the token
                }
                return ConsumeResult.Success;
            });
            await SendAsync(new[] { "first" });
            await Check.Within(started.Task, "the listener");
            await Check.Within(consumer.CloseAsync(), "the close");
            await SendAsync(new[] { "second" });
            var inbox = await ConsumeAsync(group);
            Check.Equal("second", Text(await inbox.TakeAsync()), "text");
            await inbox.IsQuietAsync();
        }

        [Test]
        public async Task StuckListenersDoNotStopTheClose()
        {
            var group = Name("group");
            using var stuck = new ManualResetEventSlim();
            var started = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            var consumer = await Client.CreatePushConsumerAsync(Options(group), message =>
            {
                started.TrySetResult(true);
                stuck.Wait();
                return ConsumeResult.Success;
            });
            await SendAsync(new[] { "stuck" });
            await Check.Within(started.Task, "the listener");
            await Check.Within(consumer.CloseAsync(TimeSpan.FromMilliseconds(200)), "the close");
            var inbox = await ConsumeAsync(group);
            Check.Equal("stuck", Text(await inbox.TakeAsync()), "text");
            stuck.Set(); // its answer comes too late and does no harm
        }

        [Test]
        public async Task NothingIsCalledAfterTheClose()
        {
            var calls = 0;
            var consumer = await Client.CreatePushConsumerAsync(Options(), message =>
            {
                Interlocked.Increment(ref calls);
                return ConsumeResult.Success;
            });
            var sending = SendAsync(Enumerable.Range(0, 500).Select(number => number.ToString()));
            await consumer.CloseAsync();
            var before = Volatile.Read(ref calls);
            await sending;
            Check.Equal(before, Volatile.Read(ref calls), "calls after the close");
        }

        private static void InterlockedMax(ref int most, int now)
        {
            int before;
            while ((before = Volatile.Read(ref most)) < now && Interlocked.CompareExchange(ref most, now, before) != before)
            {
            }
        }
    }
}
