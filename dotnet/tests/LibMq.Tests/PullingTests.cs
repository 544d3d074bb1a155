// Queues of one's choice, pull consumers, batches to listeners, dead letters.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq.Tests
{
    internal sealed class PullingTests : World
    {
        [Test]
        public async Task QueuesOfOnesChoice()
        {
            await using var producer = Client.CreateProducer(new ProducerOptions { Group = "senders" });
            var queues = await producer.QueuesAsync(Topic);
            Check.Equal(4, queues.Count, "queues");
            foreach (var queue in queues)
            {
                Check.Equal(queue.QueueId, producer.SendToQueue(new Message(Topic, "x"), queue).QueueId, "queue");
                Check.Equal(queue.QueueId, (await producer.SendToQueueAsync(new Message(Topic, "x"), queue)).QueueId, "queue");
                Check.Equal(queue, new MessageQueue(queue.Topic, queue.BrokerName, queue.QueueId), "equal queues");
            }
            await Check.ThrowsAsync<MqArgumentException>(
                () => producer.SendToQueueAsync(new Message(Topic, "x"), new MessageQueue(Topic, "nobody", 0)), "nobody");
            var other = new MessageQueue("other", queues[0].BrokerName, 0);
            await Check.ThrowsAsync<ArgumentException>(() => producer.SendToQueueAsync(new Message(Topic, "x"), other), Topic, "'other'");
            await Check.Throws<ArgumentException>(() => producer.SendToQueue(new Message(Topic, "x"), other), Topic, "'other'");
            await Check.Throws<MqArgumentException>(() => producer.SplitBatch(Array.Empty<Message>()), "empty");
        }

        [Test]
        public async Task APullConsumerWithPositionsOfItsOwn()
        {
            await using var producer = Client.CreateProducer(new ProducerOptions { Group = "senders" });
            var queue = (await producer.QueuesAsync(Topic))[0];
            for (var i = 0; i < 5; i++)
            {
                await producer.SendToQueueAsync(new Message(Topic, i.ToString()) { Tag = "t", Flag = 7, Keys = { "a", "b" } }, queue);
            }
            await using var consumer = await Client.CreatePullConsumerAsync(new PullConsumerOptions { Group = Name("group") });
            await consumer.AssignAsync(new[] { queue });
            await consumer.SeekToBeginAsync(queue);
            var found = new List<MessageView>();
            while (found.Count < 5)
            {
                found.AddRange(await consumer.PollAsync(TimeSpan.FromSeconds(1)));
            }
            Check.Equal("01234", string.Concat(found.Select(Text)), "bodies");
            Check.Equal(7, found[0].Flag, "flag");
            Check.Equal("a b", string.Join(" ", found[0].Keys), "keys");
            Check.Equal(queue, found[0].Queue, "queue");
            Check.Equal(5L, await consumer.PositionAsync(queue), "position");
            await consumer.CommitAsync();
            Check.Equal(5L, (await consumer.CommittedAsync(queue))!.Value, "committed");
            await consumer.CommitAsync(new Dictionary<MessageQueue, long> { [queue] = 2 });
            Check.Equal(2L, (await consumer.CommittedAsync(queue))!.Value, "committed");
            await consumer.SeekAsync(queue, 3);
            Check.Equal("3", Text((await consumer.PollAsync())[0]), "after seek");
            var before = DateTimeOffset.UtcNow - TimeSpan.FromMinutes(1);
            Check.Equal(0L, await consumer.OffsetForTimeAsync(queue, before), "offset for time");
            await consumer.SeekToTimeAsync(queue, before);
            Check.Equal("0", Text((await consumer.PollAsync())[0]), "after seek to time");
            consumer.Pause(new[] { queue });
            consumer.Resume(new[] { queue });
            Check.Equal(1, consumer.Assignment.Count, "assignment");
            Check.Equal(4, (await consumer.QueuesAsync(Topic)).Count, "queues of the topic");
            await Check.ThrowsAsync<MqException>(() => consumer.SubscribeAsync(Topic), "assign");
            await consumer.SeekToEndAsync(queue);
            using (var cancel = new CancellationTokenSource(200))
            {
                await Check.ThrowsAsync<OperationCanceledException>(() => consumer.PollAsync(TimeSpan.FromMinutes(1), cancel.Token));
            }
            await consumer.CloseAsync();
            await consumer.CloseAsync();
            await Check.ThrowsAsync<MqClosedException>(async () => await consumer.PollAsync());
        }

        [Test]
        public async Task ASubscribedPullConsumerAsAStream()
        {
            await using var producer = Client.CreateProducer(new ProducerOptions { Group = "senders" });
            await producer.SendAsync(new Message(Topic, "no") { Tag = "other" });
            await producer.SendAsync(new Message(Topic, "yes") { Tag = "wanted" });
            await using var consumer = await Client.CreatePullConsumerAsync(new PullConsumerOptions
            {
                Group = Name("group"),
                Subscriptions = { [Topic] = "wanted" },
                Settings = { ["consume_from_where"] = "first" },
            });
            await foreach (var message in consumer.MessagesAsync())
            {
                Check.Equal("yes", Text(message), "body");
                break;
            }
        }

        [Test]
        public async Task BatchesToAListener()
        {
            await using var producer = Client.CreateProducer(new ProducerOptions { Group = "senders" });
            for (var i = 0; i < 20; i++)
            {
                await producer.SendAsync(new Message(Topic, i.ToString()) { MessageGroup = "one" });
            }
            var sizes = new List<int>();
            var done = new TaskCompletionSource<bool>();
            var options = Options();
            options.Settings["consume_from_where"] = "first";
            options.Settings["consume_message_batch_max_size"] = "8";
            await using var consumer = await Client.CreateBatchConsumerAsync(options, (messages, _) =>
            {
                lock (sizes)
                {
                    sizes.Add(messages.Count);
                    if (sizes.Sum() >= 20)
                    {
                        done.TrySetResult(true);
                    }
                }
                return Task.FromResult(ConsumeResult.Success);
            });
            await Check.Within(done.Task, "all messages");
            Check.Equal(20, sizes.Sum(), "messages");
            Check.That(sizes.Max() > 1 && sizes.Max() <= 8, "sizes of batches");
        }

        [Test]
        public async Task DeadLettersAreSentAgain()
        {
            await using var producer = Client.CreateProducer(new ProducerOptions { Group = "senders" });
            var options = Options();
            options.Group = Name("group");
            options.MaxReconsumeTimes = 0;
            await using var consumer = await Client.CreatePushConsumerAsync(options, _ => ConsumeResult.Later);
            await producer.SendAsync(new Message(Topic, "poison") { Keys = { "k" } });
            using var dead = Client.DeadLetters(options.Group);
            IReadOnlyList<DeadLetter> letters;
            var deadline = DateTime.UtcNow + TimeSpan.FromMinutes(1);
            while ((letters = await dead.ReadAsync(10)).Count == 0 && DateTime.UtcNow < deadline)
            {
                await Task.Delay(50);
            }
            Check.Equal("poison", Text(letters.Single().Message), "body");
            await consumer.CloseAsync(); // else what is sent again becomes a dead letter again
            Check.Equal(Topic, (await dead.ResendAsync(letters[0])).Topic, "topic");
            Check.Equal(0, (await dead.ReadAsync(10)).Count, "letters behind the last");
            await dead.RewindAsync();
            Check.Equal(1, (await dead.ReadAsync(1)).Count, "letters from the first on");
        }

    }
}
