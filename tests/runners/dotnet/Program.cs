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
        "log.hook", "async_listener", "concurrent",
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
            case "send_file":
                return await Load.SendFileAsync(Producers[request.Text("producer")], request).ConfigureAwait(false);
            case "send_load":
                return await Load.SendLoadAsync(Producers[request.Text("producer")], request).ConfigureAwait(false);
            case "consumer.open":
                await OpenConsumerAsync(request).ConfigureAwait(false);
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
        var options = new PushConsumerOptions { Group = request.Text("group") };
        foreach (var pair in request.GetProperty("subscriptions").EnumerateObject())
        {
            options.Subscriptions[pair.Name] = pair.Value.GetString();
        }
        request.CopySettings(options.Settings);
        var behaviour = new Behaviour(name, request.GetProperty("behaviour"));
        var client = Clients[request.Text("client")];
        Consumers[name] = behaviour.IsAsync
            ? await client.CreatePushConsumerAsync(options, behaviour.ListenAsync).ConfigureAwait(false)
            : await client.CreatePushConsumerAsync(options, behaviour.Listen).ConfigureAwait(false);
    }
}
