// Wrong settings, broken brokers, closing in every order.
using System;
using System.Collections.Concurrent;
using System.Linq;
using System.Net;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using LibMq.Testing;

namespace LibMq.Tests
{
    /// <summary>Accepts connections and never answers.</summary>
    internal sealed class SilentServer : IDisposable
    {
        private readonly TcpListener _listener = new TcpListener(IPAddress.Loopback, 0);

        internal SilentServer()
        {
            _listener.Start();
            Accepted = _listener.AcceptTcpClientAsync();
        }

        internal string Address => _listener.LocalEndpoint.ToString()!;

        internal Task<TcpClient> Accepted { get; }

        public void Dispose() => _listener.Stop();
    }

    internal sealed class TroubleTests : World
    {
        [Test]
        public async Task WrongSettingsAreNamed()
        {
            var options = new ClientOptions { Namesrv = Broker.Address, Settings = { ["heartbeat_intervall"] = "1" } };
            var error = await Check.Throws<MqConfigException>(() => new MqClient(options), "heartbeat_intervall", "heartbeat");
            Check.Equal("CONFIG", error.Name, "name");
            await Check.Throws<MqConfigException>(() => new MqClient("nowhere"), "nowhere");
            await Check.Throws<MqConfigException>(() => new MqClient("127.0.0.1:99999"), "99999");
            await Check.Throws<MqConfigException>(() => new MqClient(new ClientOptions()), "namesrv");
            await Check.Throws<MqConfigException>(
                () => Client.CreateProducer(new ProducerOptions { Group = "g", Settings = { ["sendMsgTimeout"] = "soon" } }), "soon");
            await Check.Throws<MqConfigException>(
                () => Client.CreateProducer(new ProducerOptions { Group = "g", Settings = { ["sendMsgTimout"] = "1" } }), "sendMsgTimeout");
            await Check.Throws<MqConfigException>(() => new Broker(new BrokerOptions { Settings = { ["flushDiskTyp"] = "x" } }), "flushDiskType");
            await Check.Throws<ArgumentNullException>(() => new MqClient((string)null!));
        }

        [Test]
        public async Task TypedOptionsAreSettings()
        {
            var wrong = TimeSpan.FromDays(365);
            await Check.Throws<MqConfigException>(() => new MqClient(new ClientOptions { Namesrv = Broker.Address, RequestTimeout = wrong }), "request_timeout");
            await Check.Throws<MqConfigException>(() => new MqClient(new ClientOptions { Namesrv = Broker.Address, ConnectTimeout = wrong }), "connect_timeout");
            foreach (var (options, name) in new[]
            {
                (new ProducerOptions { SendTimeout = wrong }, "send_timeout"),
                (new ProducerOptions { RetryTimesWhenSendFailed = -1 }, "retry_times_when_send_failed"),
                (new ProducerOptions { CompressBodyOver = -1 }, "compress_body_over"),
                (new ProducerOptions { MaxMessageSize = 0 }, "max_message_size"),
                (new ProducerOptions { MaxInFlight = 0 }, "max_in_flight"),
            })
            {
                await Check.Throws<MqConfigException>(() => Client.CreateProducer(options), name);
            }
            foreach (var (options, name) in new[]
            {
                (new PushConsumerOptions { MessageModel = MessageModel.Broadcasting }, "offset_dir"),
                (new PushConsumerOptions { ConsumeMode = (ConsumeMode)7 }, "consume_mode"),
                (new PushConsumerOptions { ConsumeFromWhere = (ConsumeFromWhere)7 }, "consume_from_where"),
                (new PushConsumerOptions { ConsumeMessageBatchMaxSize = 0 }, "consume_message_batch_max_size"),
                (new PushConsumerOptions { MaxConcurrency = 0 }, "consume_thread_max"),
                (new PushConsumerOptions { MaxReconsumeTimes = -2 }, "max_reconsume_times"),
            })
            {
                options.Group = Name("group");
                options.Subscriptions[Topic] = "*";
                await Check.ThrowsAsync<MqConfigException>(() => Client.CreatePushConsumerAsync(options, _ => ConsumeResult.Success), name);
            }
            foreach (var (options, name) in new[]
            {
                (new PullConsumerOptions { AutoCommitInterval = wrong }, "auto_commit_interval"),
                (new PullConsumerOptions { ConsumeFromWhere = (ConsumeFromWhere)7 }, "consume_from_where"),
            })
            {
                options.Group = Name("group");
                await Check.ThrowsAsync<MqConfigException>(() => Client.CreatePullConsumerAsync(options), name);
            }
            // And those that are right: one namespace, in order, from the first message on.
            await using var client = new MqClient(new ClientOptions { Namesrv = Broker.Address, Namespace = "blue", InstanceName = "typed" });
            await using var producer = client.CreateProducer(new ProducerOptions { Group = Name("senders"), MaxInFlight = 5 });
            Broker.CreateTopic("blue%" + Topic, 1);
            await producer.SendAsync(new Message(Topic, new byte[] { 1 }));
            var inbox = new Inbox<MessageView>();
            var orderly = new PushConsumerOptions
            {
                Group = Name("group"),
                Subscriptions = { [Topic] = "*" },
                ConsumeMode = ConsumeMode.Orderly,
                MessageModel = MessageModel.Clustering,
                ConsumeFromWhere = ConsumeFromWhere.First,
                ConsumeMessageBatchMaxSize = 4,
            };
            await using var consumer = await client.CreatePushConsumerAsync(orderly, message =>
            {
                inbox.Add(message);
                return message.DeliveryAttempt < 2 ? ConsumeResult.Suspend(TimeSpan.FromMilliseconds(20)) : ConsumeResult.Success;
            });
            var messages = await inbox.TakeAsync(2);
            Check.Equal(Topic, messages[1].Topic, "the topic without its namespace");
        }

        [Test]
        public async Task BadNamesAreRefused()
        {
            foreach (var group in new[] { "", "with space", new string('g', 256) })
            {
                await Check.Throws<MqArgumentException>(() => Client.CreateProducer(new ProducerOptions { Group = group }), "group");
                await Check.ThrowsAsync<MqArgumentException>(() => Client.CreatePushConsumerAsync(Options(group), _ => ConsumeResult.Success), "group");
            }
            var options = Options();
            options.Subscriptions.Clear();
            await Check.ThrowsAsync<MqException>(() => Client.CreatePushConsumerAsync(options, _ => ConsumeResult.Success), "subscri");
            options.Subscriptions["a b"] = "*";
            await Check.ThrowsAsync<MqArgumentException>(() => Client.CreatePushConsumerAsync(options, _ => ConsumeResult.Success), "a b");
        }

        [Test]
        public async Task NobodyThere()
        {
            var free = new TcpListener(IPAddress.Loopback, 0);
            free.Start();
            var address = free.LocalEndpoint.ToString()!;
            free.Stop();
            await using var nobody = new MqClient(address);
            var error = await Check.ThrowsAsync<MqException>(
                () => nobody.CreateProducer(new ProducerOptions { Group = "g" }).SendAsync(new Message(Topic, "x")), address);
            Check.Equal(MqErrorCode.Network, error.Code, "code");
            Check.That(error.Retryable, "worth another try");

            using var silent = new SilentServer();
            await using var client = new MqClient(silent.Address);
            var producer = client.CreateProducer(new ProducerOptions { Group = "g" });
            var late = await Check.ThrowsAsync<MqTimeoutException>(() => producer.SendAsync(new Message(Topic, "x"), TimeSpan.FromMilliseconds(300)));
            Check.That(late.Retryable, "worth another try");
            await Check.Throws<MqTimeoutException>(() => producer.Send(new Message(Topic, "x"), TimeSpan.FromMilliseconds(300)));
        }

        [Test]
        public async Task TopicsThatAreNotThere()
        {
            using var broker = new Broker(new BrokerOptions { Settings = { ["autoCreateTopicEnable"] = "false" } });
            await using var client = new MqClient(broker.Address);
            var producer = client.CreateProducer(new ProducerOptions { Group = "g" });
            await Check.ThrowsAsync<MqNotFoundException>(() => producer.SendAsync(new Message("missing", "x")), "missing");
        }

        [Test]
        public async Task BrokersDieAndComeBack()
        {
            var producer = Client.CreateProducer(new ProducerOptions { Group = Name("senders"), SendTimeout = TimeSpan.FromSeconds(1) });
            var acknowledged = new ConcurrentDictionary<string, bool>();
            var failures = new ConcurrentBag<MqException>();
            using var stop = new CancellationTokenSource();
            var sending = Task.Run(async () =>
            {
                for (var number = 0; !stop.IsCancellationRequested; number++)
                {
                    try
                    {
                        await producer.SendAsync(new Message(Topic, number.ToString()));
                        acknowledged[number.ToString()] = true;
                    }
                    catch (MqException error)
                    {
                        failures.Add(error);
                    }
                }
            });
            await Until(() => acknowledged.Count > 100, "100 sends");
            Broker.Kill();
            await Until(() => !failures.IsEmpty, "a failure");
            Broker.Restart();
            var before = acknowledged.Count;
            await Until(() => acknowledged.Count > before + 100, "100 sends after the restart");
            stop.Cancel();
            await sending;
            var allowed = new[] { MqErrorCode.Network, MqErrorCode.Timeout, MqErrorCode.NotFound, MqErrorCode.Throttled, MqErrorCode.Broker };
            Check.That(failures.All(error => allowed.Contains(error.Code)), $"errors of a broken broker: {string.Join(", ", failures.Select(e => e.Name).Distinct())}");
            var inbox = await ConsumeAsync();
            while (!acknowledged.IsEmpty)
            {
                acknowledged.TryRemove(Text(await inbox.TakeAsync()), out _);
            }
        }

        [Test]
        public async Task ClosingWhileBusyEndsEverySend()
        {
            using var go = new SemaphoreSlim(0);
            var sends = Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
            {
                for (var number = 0; ; number++)
                {
                    if (number == 20)
                    {
                        go.Release();
                    }
                    try
                    {
                        await Producer.SendAsync(new Message(Topic, "busy"));
                    }
                    catch (MqClosedException)
                    {
                        return;
                    }
                }
            })).ToArray();
            await go.WaitAsync();
            await Check.Within(Client.CloseAsync(), "the close");
            await Check.Within(Task.WhenAll(sends), "the end of every sender");
        }

        [Test]
        public async Task UseAfterCloseIsAnError()
        {
            var other = Client.CreateProducer(new ProducerOptions { Group = "g" });
            var consumer = await Client.CreatePushConsumerAsync(Options(), _ => ConsumeResult.Success);
            await Producer.CloseAsync();
            await Producer.CloseAsync();
            Producer.Dispose();
            var error = await Check.ThrowsAsync<MqClosedException>(() => Producer.SendAsync(new Message(Topic, "x")), "closed");
            Check.That(error.Fatal && error.Code == MqErrorCode.Closed && error.Name == "CLOSED", "fatal");
            await Check.Throws<MqClosedException>(() => Producer.Send(new Message(Topic, "x")));
            await Client.CloseAsync();
            await Client.DisposeAsync();
            await Check.ThrowsAsync<MqClosedException>(() => other.SendAsync(new Message(Topic, "x")));
            await Check.Throws<MqClosedException>(() => other.Send(new Message(Topic, "x")));
            await Check.Throws<MqClosedException>(() => Client.CreateProducer(new ProducerOptions { Group = "g" }));
            await Check.ThrowsAsync<MqClosedException>(() => Client.CreatePushConsumerAsync(Options(), _ => ConsumeResult.Success));
            await Check.Throws<MqClosedException>(() => consumer.Suspend());
            await other.CloseAsync();
            await consumer.CloseAsync();
        }

        [Test]
        public async Task ClosingAtTheSameTimeFromManySides()
        {
            var consumers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Client.CreatePushConsumerAsync(Options(), __ => ConsumeResult.Success)));
            var closes = consumers.SelectMany(consumer => new[] { consumer.CloseAsync(), consumer.CloseAsync() })
                .Append(Client.CloseAsync()).Append(Client.CloseAsync()).Append(Producer.CloseAsync());
            await Check.Within(Task.WhenAll(closes), "all closes");
        }

        [Test]
        public async Task EmbeddedBrokersKeepTheirData()
        {
            await SendAsync(new[] { "kept" });
            Check.That(System.IO.Directory.Exists(Broker.DataDirectory), "a data directory");
            Broker.Kill();
            Broker.Restart();
            var inbox = await ConsumeAsync();
            Check.Equal("kept", Text(await inbox.TakeAsync()), "text");
            var folder = Broker.DataDirectory;
            Client.Dispose();
            Broker.Stop();
            Broker.Stop();
            Broker.Dispose();
            Check.That(!System.IO.Directory.Exists(folder), "no data directory any more");
            await Check.Throws<MqClosedException>(() => Broker.CreateTopic("x"));
        }

        [Test]
        public async Task LogLinesReachTheProgram()
        {
            var lines = new Inbox<LogEntry>();
            MqLog.SetHandler(LogLevel.Debug, lines.Add);
            try
            {
                await SendAsync(new[] { "x" });
                var line = await lines.TakeAsync();
                Check.That(line.Message.Length > 0 && line.Target.StartsWith("mq") && line.Level >= LogLevel.Error && line.Level <= LogLevel.Debug, "a log line");
            }
            finally
            {
                MqLog.SetHandler(LogLevel.Off, null);
            }
            MqLog.SetHandler(LogLevel.Debug, _ => throw new InvalidOperationException("a failing log"));
            await SendAsync(new[] { "y" });
            MqLog.SetHandler(LogLevel.Debug, null);
        }

        private static async Task Until(Func<bool> condition, string what)
        {
            var deadline = DateTime.UtcNow.AddSeconds(60);
            while (!condition())
            {
                Check.That(DateTime.UtcNow < deadline, what);
                await Task.Delay(10);
            }
        }

        [Test]
        public async Task FaultsOnRequest()
        {
            await using var producer = Client.CreateProducer(new ProducerOptions { Group = "senders" });
            Task<SendReceipt> Send(TimeSpan? timeout = null) =>
                producer.SendAsync(new Message(Topic, "x") { MessageGroup = "one" }, timeout);
            Check.Equal(0L, (await Send()).QueueOffset, "offset");
            Broker.Faults.FailNext("SEND_MESSAGE", "MESSAGE_ILLEGAL");
            await Check.ThrowsAsync<MqArgumentException>(() => Send(), "MESSAGE_ILLEGAL");
            Broker.Faults.LoseAnswerNext("SEND_MESSAGE");
            await Check.ThrowsAsync<MqTimeoutException>(() => Send(TimeSpan.FromMilliseconds(300)), "no answer");
            Broker.Faults.DelayNext("SEND_MESSAGE", TimeSpan.FromMinutes(1), 5);
            Broker.Faults.DropNext("SEND_MESSAGE", 5);
            Broker.Faults.RefuseConnections();
            Broker.Faults.Clear();
            Check.Equal(2L, (await Send()).QueueOffset, "offset");
            await Check.Throws<MqArgumentException>(() => Broker.Faults.DropNext("SEND_MESAGE"), "SEND_MESAGE");
            await Check.Throws<ArgumentOutOfRangeException>(() => Broker.Faults.DropNext("SEND_MESSAGE", -1), "times");
        }

        [Test]
        public async Task TheClockMoves()
        {
            var before = Broker.Clock.Now;
            Broker.Clock.Advance(TimeSpan.FromHours(2));
            Check.That(Broker.Clock.Now - before >= TimeSpan.FromHours(2), "moved");
            Broker.Clock.Set(before);
            Check.That(Broker.Clock.Now - before < TimeSpan.FromHours(1), "set back");
            await Check.Throws<MqArgumentException>(() => Broker.Clock.Advance(TimeSpan.FromSeconds(-1)), "-1000");
        }
    }
}
