// Behaviour: the listener that a scenario asks for.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using LibMq;

/// <summary>A listener that reports each message and then answers as the scenario wants.</summary>
internal sealed class Behaviour
{
    private readonly string _consumer;
    private readonly int _laterFirst;
    private readonly int _throwFirst;
    private readonly bool _alwaysLater;
    private readonly bool _hang;
    private readonly int _delay;
    private readonly bool _quiet;
    private readonly ConcurrentDictionary<string, int> _deliveries = new ConcurrentDictionary<string, int>();
    private readonly Timer? _timer;
    private long _received;
    private long _reported;

    internal Behaviour(string consumer, JsonElement behaviour)
    {
        _consumer = consumer;
        _laterFirst = behaviour.Number("later_first") ?? 0;
        _throwFirst = behaviour.Number("throw_first") ?? 0;
        _alwaysLater = behaviour.Flag("always_later");
        _hang = behaviour.Flag("hang");
        _delay = behaviour.Number("delay") ?? 0;
        _quiet = behaviour.Flag("quiet");
        IsAsync = behaviour.Flag("async");
        if (_quiet)
        {
            _timer = new Timer(_ => ReportCount(), null, 200, 200);
        }
    }

    internal bool IsAsync { get; }

    internal ConsumeResult Listen(MessageView message)
    {
        Report(message);
        if (_hang)
        {
            Thread.Sleep(Timeout.Infinite); // a listener that is really stuck, with no token to look at
        }
        if (_delay > 0)
        {
            Thread.Sleep(_delay);
        }
        return Answer(message);
    }

    internal async Task<ConsumeResult> ListenAsync(MessageView message, CancellationToken cancel)
    {
        Report(message);
        if (_hang || _delay > 0)
        {
            await Task.Delay(_hang ? Timeout.Infinite : _delay, cancel).ConfigureAwait(false);
        }
        return Answer(message);
    }

    private ConsumeResult Answer(MessageView message)
    {
        if (_laterFirst == 0 && _throwFirst == 0)
        {
            return _alwaysLater ? ConsumeResult.Later : ConsumeResult.Success;
        }
        var delivery = _deliveries.AddOrUpdate(message.MessageId, 1, (_, before) => before + 1);
        if (delivery <= _throwFirst)
        {
            throw new InvalidOperationException($"delivery {delivery} is to fail");
        }
        return delivery <= _laterFirst ? ConsumeResult.Later : ConsumeResult.Success;
    }

    private void Report(MessageView message)
    {
        if (_quiet)
        {
            Interlocked.Increment(ref _received);
            return;
        }
        Json.Write(new Dictionary<string, object?>
        {
            ["event"] = "message",
            ["consumer"] = _consumer,
            ["message"] = new Dictionary<string, object?>
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
            },
        });
    }

    private void ReportCount()
    {
        var received = Interlocked.Read(ref _received);
        if (Interlocked.Exchange(ref _reported, received) != received)
        {
            Json.Write(new Dictionary<string, object?> { ["event"] = "count", ["consumer"] = _consumer, ["received"] = received });
        }
    }
}
