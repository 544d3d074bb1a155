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
    private readonly int _suspendFirst;
    private readonly int? _laterLevel;
    private readonly TimeSpan? _suspend;
    private readonly bool _alwaysLater;
    private readonly bool _hang;
    private readonly int _delay;
    private readonly bool _quiet;
    private readonly ConcurrentDictionary<string, int> _deliveries = new ConcurrentDictionary<string, int>();
    private readonly Timer? _timer;
    private long _received;
    private long _bytes;
    private long _reported;

    internal Behaviour(string consumer, JsonElement behaviour)
    {
        _consumer = consumer;
        _laterFirst = behaviour.Number("later_first") ?? 0;
        _throwFirst = behaviour.Number("throw_first") ?? 0;
        _suspendFirst = behaviour.Number("suspend_first") ?? 0;
        _laterLevel = behaviour.Number("later_level");
        _suspend = behaviour.Number("suspend") is int pause ? TimeSpan.FromMilliseconds(pause) : (TimeSpan?)null;
        _alwaysLater = behaviour.Flag("always_later");
        _hang = behaviour.Flag("hang");
        _delay = behaviour.Number("delay") ?? 0;
        _quiet = behaviour.Flag("quiet");
        Listener = behaviour.Flag("async") ? ListenAsync : (Func<IReadOnlyList<MessageView>, CancellationToken, Task<ConsumeResult>>)Listen;
        if (_quiet)
        {
            _timer = new Timer(_ => ReportCount(), null, 200, 200);
        }
    }

    internal Func<IReadOnlyList<MessageView>, CancellationToken, Task<ConsumeResult>> Listener { get; }

    private Task<ConsumeResult> Listen(IReadOnlyList<MessageView> messages, CancellationToken cancel)
    {
        Report(messages);
        if (_hang)
        {
            Thread.Sleep(Timeout.Infinite); // a listener that is really stuck, with no token to look at
        }
        if (_delay > 0)
        {
            Thread.Sleep(_delay);
        }
        return Task.FromResult(Answer(messages[0]));
    }

    private async Task<ConsumeResult> ListenAsync(IReadOnlyList<MessageView> messages, CancellationToken cancel)
    {
        Report(messages);
        if (_hang || _delay > 0)
        {
            await Task.Delay(_hang ? Timeout.Infinite : _delay, cancel).ConfigureAwait(false);
        }
        return Answer(messages[0]);
    }

    private ConsumeResult Answer(MessageView message)
    {
        if (_laterFirst == 0 && _throwFirst == 0 && _suspendFirst == 0)
        {
            return _alwaysLater ? ConsumeResult.Later : ConsumeResult.Success;
        }
        var delivery = _deliveries.AddOrUpdate(message.MessageId, 1, (_, before) => before + 1);
        if (delivery <= _throwFirst)
        {
            throw new InvalidOperationException($"delivery {delivery} is to fail");
        }
        if (delivery <= _suspendFirst)
        {
            return ConsumeResult.Suspend(_suspend);
        }
        var later = _laterLevel is int level ? ConsumeResult.LaterAt(level) : ConsumeResult.Later;
        return delivery <= _laterFirst ? later : ConsumeResult.Success;
    }

    private void Report(IReadOnlyList<MessageView> messages)
    {
        if (_quiet)
        {
            long bytes = 0;
            foreach (var message in messages)
            {
                bytes += message.Body.Length;
            }
            Interlocked.Add(ref _bytes, bytes);
            Interlocked.Add(ref _received, messages.Count);
            return;
        }
        foreach (var message in messages)
        {
            Json.Write(new Dictionary<string, object?>
            {
                ["event"] = "message",
                ["consumer"] = _consumer,
                ["message"] = Json.View(message),
                ["batch"] = messages.Count,
            });
        }
    }

    private void ReportCount()
    {
        var received = Interlocked.Read(ref _received);
        if (Interlocked.Exchange(ref _reported, received) != received)
        {
            Json.Write(new Dictionary<string, object?>
            {
                ["event"] = "count",
                ["consumer"] = _consumer,
                ["received"] = received,
                ["bytes"] = Interlocked.Read(ref _bytes),
            });
        }
    }
}
