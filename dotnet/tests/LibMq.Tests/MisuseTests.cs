// What is of no use, closing from within, and objects that nobody closes or keeps.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq.Tests
{
    internal sealed class MisuseTests : World
    {
        [Test]
        public async Task TimesMustNotBeNegative()
        {
            var negative = TimeSpan.FromSeconds(-2);
            var message = new Message(Topic, "x");
            await using var consumer = await Client.CreatePullConsumerAsync(new PullConsumerOptions { Group = Name("group"), Subscriptions = { [Topic] = "*" } });
            foreach (var act in new Func<Task>[]
            {
                () => Producer.SendAsync(message, negative),
                () => Task.Run(() => Producer.Send(message, negative)),
                () => consumer.PollAsync(negative),
                () => Task.Run(() => Broker.Stop(negative)),
            })
            {
                await Check.ThrowsAsync<ArgumentOutOfRangeException>(act, "negative");
            }
            // An infinite time is a long one, and not the shortest.
            await Check.Within(Producer.SendAsync(message, Timeout.InfiniteTimeSpan), "a send");
            await Check.Within(Producer.SendAsync(message, TimeSpan.MaxValue), "a send");
            var polled = await Check.Within(consumer.PollAsync(Timeout.InfiniteTimeSpan), "a poll");
            Check.That(polled.Count > 0, "messages");
        }

        [Test]
        public async Task AnswersThatCannotBeToldAreListenerErrors()
        {
            foreach (var (answer, word) in new (Func<ConsumeResult>, string)[]
            {
                (() => ConsumeResult.LaterAt(-2), "-2"),
                (() => ConsumeResult.Suspend(TimeSpan.FromSeconds(-2)), "negative"),
            })
            {
                var (attempts, errors) = (new Inbox<MessageView>(), new Inbox<Exception>());
                var options = Options();
                options.ConsumeMode = ConsumeMode.Orderly;
                options.Settings["suspend_current_queue_time"] = "20ms";
                options.OnListenerError = (_, error) => errors.Add(error);
                await SendAsync(new[] { "x" });
                await using var consumer = await Client.CreatePushConsumerAsync(options, message =>
                {
                    attempts.Add(message);
                    return message.DeliveryAttempt == 1 ? answer() : ConsumeResult.Success;
                });
                await attempts.TakeAsync(2);
                var error = (await errors.TakeAsync(1))[0];
                Check.That(error is ArgumentOutOfRangeException && error.Message.Contains(word), error.ToString());
            }
            Check.Equal(ConsumeResult.Suspend(TimeSpan.FromMilliseconds(int.MaxValue)), ConsumeResult.Suspend(TimeSpan.MaxValue), "the longest rest");
        }

        [Test]
        public async Task NullsAndBadNumbersAreNamed()
        {
            var options = Options();
            options.Subscriptions[Topic] = null!;
            await Check.ThrowsAsync<ArgumentNullException>(() => Client.CreatePushConsumerAsync(options, _ => ConsumeResult.Success), Topic);
            await using var consumer = await Client.CreatePullConsumerAsync(new PullConsumerOptions { Group = Name("group") });
            foreach (var act in new Func<Task>[]
            {
                () => consumer.SubscribeAsync(null!),
                () => consumer.SubscribeAsync(Topic, null!),
                () => consumer.UnsubscribeAsync(null!),
                () => consumer.QueuesAsync(null!),
                () => consumer.OnQueueChangeAsync(null!, (all, assigned) => { }),
                () => consumer.SeekAsync(null!, 0),
                () => consumer.CommittedAsync(null!),
                () => consumer.PositionAsync(null!),
                () => consumer.OffsetForTimeAsync(null!, DateTimeOffset.UtcNow),
                () => consumer.AssignAsync(new MessageQueue[] { null! }),
            })
            {
                await Check.ThrowsAsync<ArgumentNullException>(act, "ull");
            }
            using var letters = Client.DeadLetters(Name("group"));
            await Check.ThrowsAsync<ArgumentOutOfRangeException>(() => letters.ReadAsync(-1), "-1");
        }

        [Test]
        public async Task ListenersWithoutATaskAreToldSo()
        {
            await SendAsync(new[] { "x" });
            var told = new Inbox<Exception>();
            foreach (var batches in new[] { false, true })
            {
                var options = Options();
                options.OnListenerError = (message, error) => told.Add(error);
                await using var consumer = batches
                    ? await Client.CreateBatchConsumerAsync(options, (messages, cancel) => null!)
                    : await Client.CreatePushConsumerAsync(options, (message, cancel) => null!);
                Check.That((await told.TakeAsync()).Message.Contains("returned null"), "why the listener failed");
            }
        }

        [Test]
        public async Task StreamsEndWithTheirConsumer()
        {
            var consumer = await Client.CreatePullConsumerAsync(new PullConsumerOptions { Group = Name("group"), Subscriptions = { [Topic] = "*" } });
            await SendAsync(new[] { "first" });
            var found = new List<string>();
            async Task ReadAsync()
            {
                await foreach (var message in consumer.MessagesAsync())
                {
                    found.Add(Text(message));
                    _ = Task.Delay(200).ContinueWith(_ => consumer.CloseAsync()); // most likely in the middle of the next poll
                }
            }
            await Check.Within(ReadAsync(), "the end of the stream");
            Check.Equal("first", string.Join(",", found), "what was read");
        }

        [Test]
        public async Task ListenersMayClose()
        {
            foreach (var what in new[] { "consumer", "client" })
            {
                await using var client = new MqClient(Broker.Address);
                var group = Name("group");
                await Producer.SendAsync(new Message(Topic, what) { Tag = what });
                PushConsumer? consumer = null;
                var made = new TaskCompletionSource<bool>();
                var listened = new Inbox<string>();
                consumer = await client.CreatePushConsumerAsync(Options(group, what), async (message, cancel) =>
                {
                    await made.Task;
                    await (what == "client" ? client.DisposeAsync() : consumer!.DisposeAsync());
                    listened.Add(Text(message));
                    return ConsumeResult.Success;
                });
                made.SetResult(true);
                Check.Equal(what, await listened.TakeAsync(), "what the listener got");
                await Check.Within(consumer.CloseAsync(), "the rest of the close");
                var again = await ConsumeAsync(group, what);
                await again.IsQuietAsync(); // the answer has counted
            }
        }

        [Test]
        public async Task ClientsThatNobodyClosesLeaveNoThreads()
        {
            await ForgetAsync();
            Collect();
            var before = Threads();
            for (var i = 0; i < 30; i++)
            {
                await ForgetAsync();
            }
            var patience = Stopwatch.StartNew();
            while (Threads() > before + 15 && patience.Elapsed < TimeSpan.FromSeconds(60))
            {
                Collect();
                await Task.Delay(20);
            }
            Check.That(Threads() <= before + 15, $"the threads of 30 clients are gone: {before} before, {Threads()} now");
        }

        [Test]
        public async Task WhatIsUsedKeepsItsClient()
        {
            var producer = MakeProducer();
            var inbox = new Inbox<MessageView>();
            await ListenAsync(inbox);
            for (var i = 0; i < 3; i++)
            {
                Collect();
                await producer.SendAsync(new Message(Topic, $"message {i}"));
                Check.Equal($"message {i}", Text(await inbox.TakeAsync()), "what the listener got");
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private async Task ForgetAsync() => await MakeProducer().SendAsync(new Message(Topic, "x"));

        [MethodImpl(MethodImplOptions.NoInlining)]
        private Producer MakeProducer() => new MqClient(Broker.Address).CreateProducer(new ProducerOptions { Group = "g" });

        [MethodImpl(MethodImplOptions.NoInlining)]
        private async Task ListenAsync(Inbox<MessageView> into) =>
            await new MqClient(Broker.Address).CreatePushConsumerAsync(Options(), message =>
            {
                into.Add(message);
                return ConsumeResult.Success;
            });

        private static int Threads()
        {
            using var process = Process.GetCurrentProcess();
            return process.Threads.Count;
        }

        private static void Collect()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
        }
    }
}
