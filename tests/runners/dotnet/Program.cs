// The .NET runner of the scenario harness: reads requests from stdin, answers on stdout (tests/harness/README.md).
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using LibMq;
using LibMq.Testing;

internal static class Program
{
    private static readonly string[] Features =
    {
        "client.open", "client.close", "producer.open", "producer.close", "send", "send_list", "send_file", "send_load",
        "consumer.open", "consumer.close", "broker.start", "broker.create_topic", "broker.kill", "broker.restart", "broker.stop",
        "producer.queues", "send_split", "consumer.suspend", "consumer.resume", "consumer.subscribe", "consumer.unsubscribe", "pull", "dead_letters", "broker.fault",
        "broker.advance_clock", "log.hook", "async_listener", "concurrent",
    };

    private static readonly ConcurrentDictionary<string, MqClient> Clients = new ConcurrentDictionary<string, MqClient>();
    private static readonly ConcurrentDictionary<string, Producer> Producers = new ConcurrentDictionary<string, Producer>();
    private static readonly ConcurrentDictionary<string, PushConsumer> Consumers = new ConcurrentDictionary<string, PushConsumer>();
    private static readonly ConcurrentDictionary<string, Broker> Brokers = new ConcurrentDictionary<string, Broker>();

    private static async Task<int> Main()
    {
        using var input = new StreamReader(Console.OpenStandardInput(), Json.Utf8);
        string? line;
        while ((line = await input.ReadLineAsync().ConfigureAwait(false)) != null)
        {
            var request = JsonDocument.Parse(line).RootElement;
            var exit = request.Text("op") == "exit";
            var answer = Task.Run(() => AnswerAsync(request));
            if (exit)
            {
                await answer.ConfigureAwait(false);
                break;
            }
        }
        foreach (var client in Clients.Values)
        {
            await client.DisposeAsync().ConfigureAwait(false);
        }
        foreach (var broker in Brokers.Values)
        {
            broker.Dispose();
        }
        return 0;
    }

    private static async Task AnswerAsync(JsonElement request)
    {
        var id = request.GetProperty("id").GetInt64();
        try
        {
            var ok = await DoAsync(request).ConfigureAwait(false);
            Json.Write(new Dictionary<string, object?> { ["id"] = id, ["ok"] = ok });
        }
        catch (Exception error)
        {
            var known = error as MqException;
            Json.Write(new Dictionary<string, object?>
            {
                ["id"] = id,
                ["error"] = new Dictionary<string, object?>
                {
                    ["code"] = known?.Name ?? "INTERNAL",
                    ["message"] = known?.Message ?? error.ToString(),
                    ["retryable"] = known?.Retryable ?? false,
                    ["throttled"] = known?.Throttled ?? false,
                    ["broker_code"] = known?.BrokerCode,
                    ["class"] = error.GetType().Name,
                },
            });
        }
    }

    private static async Task<object?> DoAsync(JsonElement request)
    {
        switch (request.Text("op"))
        {
            case "hello":
                return new Dictionary<string, object?>
                {
                    ["language"] = "dotnet",
                    ["version"] = MqClient.Version,
                    ["features"] = Features,
                };
            case "client.open":
                var clientOptions = new ClientOptions { Namesrv = request.Text("namesrv") };
                request.CopySettings(clientOptions.Settings);
                Clients[request.Text("client")] = new MqClient(clientOptions);
                return null;
            case "client.close":
                await Clients[request.Text("client")].CloseAsync().ConfigureAwait(false);
                return null;
            case "producer.open":
                var producerOptions = new ProducerOptions { Group = request.Text("group") };
                request.CopySettings(producerOptions.Settings);
                Producers[request.Text("producer")] =
                    await Clients[request.Text("client")].CreateProducerAsync(producerOptions).ConfigureAwait(false);
                return null;
            case "producer.close":
                await Producers[request.Text("producer")].CloseAsync().ConfigureAwait(false);
                return null;
            case "send":
                return await SendAsync(request).ConfigureAwait(false);
            case "send_list":
                var messages = request.GetProperty("messages").EnumerateArray().Select(message => message.ToMessage()).ToList();
                var producer = Producers[request.Text("producer")];
                return Json.Receipt(request.Text("mode") == "sync"
                    ? producer.Send(messages)
                    : await producer.SendAsync(messages).ConfigureAwait(false));
            case "producer.queues":
                return Json.Result("queues",
                    Json.Queues(await Producers[request.Text("producer")].QueuesAsync(request.Text("topic")).ConfigureAwait(false)));
            case "send_split":
                var all = request.GetProperty("messages").EnumerateArray().Select(message => message.ToMessage()).ToList();
                var splitter = Producers[request.Text("producer")];
                return Json.Result("receipts", splitter.SplitBatch(all).Select(list => Json.PlainReceipt(splitter.Send(list))).ToArray());
            case "send_file":
                return await Load.SendFileAsync(Producers[request.Text("producer")], request).ConfigureAwait(false);
            case "send_load":
                return await Load.SendLoadAsync(Producers[request.Text("producer")], request).ConfigureAwait(false);
            case "consumer.open":
                await OpenConsumerAsync(request).ConfigureAwait(false);
                return null;
            case "consumer.subscribe":
                await Consumers[request.Text("consumer")].SubscribeAsync(request.Text("topic"), request.Text("expression")).ConfigureAwait(false);
                return null;
            case "consumer.unsubscribe":
                await Consumers[request.Text("consumer")].UnsubscribeAsync(request.Text("topic")).ConfigureAwait(false);
                return null;
            case "consumer.suspend":
                Consumers[request.Text("consumer")].Suspend();
                return null;
            case "consumer.resume":
                Consumers[request.Text("consumer")].Resume();
                return null;
            case "consumer.close":
                await Consumers[request.Text("consumer")].CloseAsync().ConfigureAwait(false);
                return null;
            case "broker.start":
                var brokerOptions = new BrokerOptions { DataDirectory = request.OptionalText("data") };
                request.CopySettings(brokerOptions.Settings);
                return Json.Broker(Brokers[request.Text("broker")] = new Broker(brokerOptions));
            case "broker.create_topic":
                Brokers[request.Text("broker")].CreateTopic(request.Text("topic"), request.Number("queues") ?? 4);
                return null;
            case "broker.kill":
                Brokers[request.Text("broker")].Kill();
                return null;
            case "broker.restart":
                Brokers[request.Text("broker")].Restart();
                return Json.Broker(Brokers[request.Text("broker")]);
            case "broker.stop":
                Brokers[request.Text("broker")].Stop();
                return null;
            case "broker.fault":
                Fault(Brokers[request.Text("broker")].Faults, request);
                return null;
            case "broker.refuse_connections":
                Brokers[request.Text("broker")].Faults.RefuseConnections(request.Flag("refuse"));
                return null;
            case "broker.clear_faults":
                Brokers[request.Text("broker")].Faults.Clear();
                return null;
            case "broker.advance_clock":
                var clock = Brokers[request.Text("broker")].Clock;
                clock.Advance(TimeSpan.FromMilliseconds(request.GetProperty("by").GetInt64()));
                return Json.Result("now", clock.Now.ToUnixTimeMilliseconds());
            case "dead_letters.read":
            case "dead_letters.resend":
                return await DeadLettersAsync(request).ConfigureAwait(false);
            case "log.hook":
                var level = Enum.Parse<LogLevel>(request.Text("level"), ignoreCase: true);
                MqLog.SetHandler(level, entry => Json.Write(new Dictionary<string, object?>
                {
                    ["event"] = "log",
                    ["level"] = entry.Level.ToString().ToUpperInvariant(),
                    ["message"] = entry.Message,
                }));
                return null;
            case "exit":
                return null;
            case string op when op.StartsWith("pull.", StringComparison.Ordinal):
                return await Pull.DoAsync(Clients, request).ConfigureAwait(false);
            default:
                throw new NotSupportedException($"this runner has no op '{request.Text("op")}'");
        }
    }

    private static async Task<object?> SendAsync(JsonElement request)
    {
        var producer = Producers[request.Text("producer")];
        var message = request.GetProperty("message").ToMessage();
        var timeout = request.Number("timeout") is int milliseconds ? TimeSpan.FromMilliseconds(milliseconds) : (TimeSpan?)null;
        switch (request.Text("mode"))
        {
            case "sync" when request.TryGetProperty("queue", out var to):
                return Json.Receipt(producer.SendToQueue(message, to.ToQueue(), timeout));
            case "async" when request.TryGetProperty("queue", out var to):
                return Json.Receipt(await producer.SendToQueueAsync(message, to.ToQueue(), timeout).ConfigureAwait(false));
            case "sync":
                return Json.Receipt(producer.Send(message, timeout));
            case "async":
                return Json.Receipt(await producer.SendAsync(message, timeout).ConfigureAwait(false));
            default:
                await producer.SendOnewayAsync(message).ConfigureAwait(false);
                return null;
        }
    }

    private static async Task OpenConsumerAsync(JsonElement request)
    {
        var name = request.Text("consumer");
        var options = new PushConsumerOptions
        {
            Group = request.Text("group"),
            OnWarning = (code, message) => Json.Write(new Dictionary<string, object?>
            {
                ["event"] = "warning",
                ["consumer"] = name,
                ["message"] = $"{code}: {message}",
            }),
        };
        foreach (var pair in request.GetProperty("subscriptions").EnumerateObject())
        {
            options.Subscriptions[pair.Name] = pair.Value.GetString();
        }
        request.CopySettings(options.Settings);
        var behaviour = new Behaviour(name, request.GetProperty("behaviour"));
        var client = Clients[request.Text("client")];
        Consumers[name] = await client.CreateBatchConsumerAsync(options, behaviour.Listener)
            .ConfigureAwait(false);
    }

    private static async Task<object?> DeadLettersAsync(JsonElement request)
    {
        using var dead = Clients[request.Text("client")].DeadLetters(request.Text("group"));
        var letters = await dead.ReadAsync(request.Number("max") ?? 32).ConfigureAwait(false);
        if (request.Text("op") == "dead_letters.read")
        {
            return Json.Result("messages", letters.Select(letter => Json.View(letter.Message)).ToArray());
        }
        var receipts = new List<object>();
        foreach (var letter in letters)
        {
            receipts.Add(Json.PlainReceipt(await dead.ResendAsync(letter).ConfigureAwait(false)));
        }
        return Json.Result("receipts", receipts);
    }

    private static void Fault(Faults faults, JsonElement request)
    {
        var name = request.Text("request");
        var times = request.Number("times") ?? 1;
        switch (request.Text("kind"))
        {
            case "fail":
                faults.FailNext(name, request.Text("code"), times);
                break;
            case "delay":
                faults.DelayNext(name, TimeSpan.FromMilliseconds(request.Number("delay") ?? 0), times);
                break;
            case "drop":
                faults.DropNext(name, times);
                break;
            default:
                faults.LoseAnswerNext(name, times);
                break;
        }
    }
}
