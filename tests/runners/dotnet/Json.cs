// Json: requests read, answers written.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using LibMq;
using LibMq.Testing;

internal static class Json
{
    internal static readonly Encoding Utf8 = new UTF8Encoding(false);

    private static readonly System.IO.Stream Output = Console.OpenStandardOutput();
    private static readonly object Lock = new object();
    private static readonly JsonSerializerOptions Options =
        new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes one line; from any thread.</summary>
    internal static void Write(object value)
    {
        var bytes = JsonSerializer.SerializeToUtf8Bytes(value, Options);
        lock (Lock)
        {
            Output.Write(bytes);
            Output.WriteByte((byte)'\n');
            Output.Flush();
        }
    }

    internal static string Text(this JsonElement request, string name) => request.GetProperty(name).GetString();

    internal static string? OptionalText(this JsonElement request, string name) =>
        request.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    internal static int? Number(this JsonElement request, string name) =>
        request.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Number ? value.GetInt32() : (int?)null;

    internal static bool Flag(this JsonElement request, string name) =>
        request.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.True;

    internal static void CopySettings(this JsonElement request, IDictionary<string, string> settings)
    {
        if (request.TryGetProperty("settings", out var given) && given.ValueKind == JsonValueKind.Object)
        {
            foreach (var pair in given.EnumerateObject())
            {
                settings[pair.Name] = pair.Value.GetString();
            }
        }
    }

    internal static Message ToMessage(this JsonElement json, string? topic = null)
    {
        var message = new Message(topic ?? json.Text("topic"), json.GetProperty("body").GetBytesFromBase64())
        {
            Tag = json.OptionalText("tag"),
            MessageGroup = json.OptionalText("message_group"),
            DelayLevel = json.Number("delay_level") ?? 0,
            WaitStore = !json.TryGetProperty("wait_store", out var wait) || wait.GetBoolean(),
        };
        if (json.TryGetProperty("keys", out var keys) && keys.ValueKind == JsonValueKind.Array)
        {
            foreach (var key in keys.EnumerateArray())
            {
                message.Keys.Add(key.GetString());
            }
        }
        if (json.TryGetProperty("properties", out var properties) && properties.ValueKind == JsonValueKind.Object)
        {
            foreach (var pair in properties.EnumerateObject())
            {
                message.Properties[pair.Name] = pair.Value.GetString();
            }
        }
        return message;
    }

    internal static object Receipt(SendReceipt receipt) => Result("receipt", PlainReceipt(receipt));

    internal static object PlainReceipt(SendReceipt receipt) => new Dictionary<string, object?>
    {
        ["message_id"] = receipt.MessageId,
        ["offset_message_id"] = receipt.OffsetMessageId,
        ["queue_id"] = receipt.QueueId,
        ["queue_offset"] = receipt.QueueOffset,
        ["status"] = receipt.Status.ToString(),
    };

    internal static object Result(string name, object? value) => new Dictionary<string, object?> { [name] = value };

    internal static object Queues(IEnumerable<MessageQueue> queues) => queues.Select(queue => new Dictionary<string, object?>
    {
        ["topic"] = queue.Topic,
        ["broker_name"] = queue.BrokerName,
        ["queue_id"] = queue.QueueId,
    }).ToArray();

    internal static MessageQueue ToQueue(this JsonElement json) =>
        new MessageQueue(json.Text("topic"), json.Text("broker_name"), json.GetProperty("queue_id").GetInt32());

    internal static MessageQueue Queue(this JsonElement request) => request.GetProperty("queue").ToQueue();

    internal static IEnumerable<MessageQueue> Queues(this JsonElement request) =>
        request.GetProperty("queues").EnumerateArray().Select(queue => queue.ToQueue());

    internal static object View(MessageView message) => new Dictionary<string, object?>
    {
        ["topic"] = message.Topic,
        ["body"] = Convert.ToBase64String(message.Body.Span),
        ["tag"] = message.Tag,
        ["keys"] = message.Keys,
        ["properties"] = message.Properties,
        ["message_group"] = message.MessageGroup,
        ["message_id"] = message.MessageId,
        ["offset_message_id"] = message.OffsetMessageId,
        ["queue_id"] = message.QueueId,
        ["queue_offset"] = message.QueueOffset,
        ["broker_name"] = message.BrokerName,
        ["born_timestamp"] = message.BornTime.ToUnixTimeMilliseconds(),
        ["store_timestamp"] = message.StoreTime.ToUnixTimeMilliseconds(),
        ["delivery_attempt"] = message.DeliveryAttempt,
    };

    internal static object Broker(Broker broker) => new Dictionary<string, object?>
    {
        ["address"] = broker.Address,
        ["broker_address"] = broker.BrokerAddress,
        ["data"] = broker.DataDirectory,
    };
}
