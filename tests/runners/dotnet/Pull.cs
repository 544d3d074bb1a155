// Pull: the requests about pull consumers.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using System.Threading.Tasks;
using LibMq;

internal static class Pull
{
    private static readonly ConcurrentDictionary<string, PullConsumer> Consumers = new ConcurrentDictionary<string, PullConsumer>();

    internal static async Task<object?> DoAsync(ConcurrentDictionary<string, MqClient> clients, JsonElement request)
    {
        var name = request.Text("consumer");
        if (request.Text("op") == "pull.open")
        {
            Consumers[name] = await OpenAsync(clients[request.Text("client")], name, request).ConfigureAwait(false);
            return null;
        }
        var consumer = Consumers[name];
        switch (request.Text("op"))
        {
            case "pull.assign":
                await consumer.AssignAsync(request.Queues()).ConfigureAwait(false);
                return null;
            case "pull.queues":
                return Json.Result("queues", Json.Queues(await consumer.QueuesAsync(request.Text("topic")).ConfigureAwait(false)));
            case "pull.assignment":
                return Json.Result("queues", Json.Queues(consumer.Assignment));
            case "pull.poll":
                var messages = await consumer.PollAsync(TimeSpan.FromMilliseconds(request.Number("timeout") ?? 0)).ConfigureAwait(false);
                return Json.Result("messages", messages.Select(Json.View).ToArray());
            case "pull.seek":
                await SeekAsync(consumer, request).ConfigureAwait(false);
                return null;
            case "pull.offset_for_time":
                var time = DateTimeOffset.FromUnixTimeMilliseconds(request.GetProperty("timestamp").GetInt64());
                return Json.Result("offset", await consumer.OffsetForTimeAsync(request.Queue(), time).ConfigureAwait(false));
            case "pull.pause":
                consumer.Pause(request.Queues());
                return null;
            case "pull.resume":
                consumer.Resume(request.Queues());
                return null;
            case "pull.commit" when request.TryGetProperty("offsets", out var offsets):
                await consumer.CommitAsync(offsets.EnumerateArray()
                    .ToDictionary(one => one.Queue(), one => one.GetProperty("offset").GetInt64())).ConfigureAwait(false);
                return null;
            case "pull.commit":
                await consumer.CommitAsync().ConfigureAwait(false);
                return null;
            case "pull.committed":
                return Json.Result("offset", await consumer.CommittedAsync(request.Queue()).ConfigureAwait(false));
            case "pull.position":
                return Json.Result("offset", await consumer.PositionAsync(request.Queue()).ConfigureAwait(false));
            case "pull.close":
                await consumer.CloseAsync().ConfigureAwait(false);
                return null;
            default:
                throw new NotSupportedException($"this runner has no op '{request.Text("op")}'");
        }
    }

    private static async Task<PullConsumer> OpenAsync(MqClient client, string name, JsonElement request)
    {
        var options = new PullConsumerOptions { Group = request.Text("group") };
        request.CopySettings(options.Settings);
        if (request.TryGetProperty("subscriptions", out var subscriptions))
        {
            foreach (var pair in subscriptions.EnumerateObject())
            {
                options.Subscriptions[pair.Name] = pair.Value.GetString();
            }
        }
        var consumer = await client.CreatePullConsumerAsync(options).ConfigureAwait(false);
        foreach (var topic in options.Subscriptions.Keys)
        {
            await consumer.OnQueueChangeAsync(topic, (all, assigned) => Json.Write(new Dictionary<string, object?>
            {
                ["event"] = "queues",
                ["consumer"] = name,
                ["queues"] = Json.Queues(assigned),
            })).ConfigureAwait(false);
        }
        return consumer;
    }

    private static Task SeekAsync(PullConsumer consumer, JsonElement request)
    {
        var to = request.GetProperty("to");
        if (to.ValueKind == JsonValueKind.Number)
        {
            return consumer.SeekAsync(request.Queue(), to.GetInt64());
        }
        if (to.ValueKind == JsonValueKind.Object)
        {
            var time = DateTimeOffset.FromUnixTimeMilliseconds(to.GetProperty("time").GetInt64());
            return consumer.SeekToTimeAsync(request.Queue(), time);
        }
        return to.GetString() == "begin" ? consumer.SeekToBeginAsync(request.Queue()) : consumer.SeekToEndAsync(request.Queue());
    }
}
