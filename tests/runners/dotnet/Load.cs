// Load: sending many messages with a window in flight.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using LibMq;

internal static class Load
{
    /// <summary>Sends every line of a file.</summary>
    internal static async Task<object> SendFileAsync(Producer producer, JsonElement request)
    {
        var topic = request.Text("topic");
        return await SendAllAsync(producer, Messages(), request.Number("window") ?? 1).ConfigureAwait(false);

        IEnumerable<Message> Messages()
        {
            foreach (var line in File.ReadLines(request.Text("path"), Json.Utf8))
            {
                using var document = JsonDocument.Parse(line);
                yield return document.RootElement.ToMessage(topic);
            }
        }
    }

    /// <summary>Sends the same message again and again, and measures.</summary>
    internal static async Task<object> SendLoadAsync(Producer producer, JsonElement request)
    {
        var message = new Message(request.Text("topic"), new byte[request.Number("size") ?? 0]);
        var count = request.Number("count") ?? 0;
        var clock = Stopwatch.StartNew();
        var cpu = Process.GetCurrentProcess().TotalProcessorTime;
        Dictionary<string, object?> result;
        if (request.Text("mode") == "sync")
        {
            var failed = 0;
            for (var i = 0; i < count; i++)
            {
                try
                {
                    producer.Send(message);
                }
                catch (MqException)
                {
                    failed++;
                }
            }
            result = new Dictionary<string, object?> { ["sent"] = count - failed, ["failed"] = failed };
        }
        else
        {
            result = await SendAllAsync(producer, Same(), request.Number("window") ?? 1).ConfigureAwait(false);
        }
        result["seconds"] = clock.Elapsed.TotalSeconds;
        result["cpu_seconds"] = (Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalSeconds;
        return result;

        IEnumerable<Message> Same()
        {
            for (var i = 0; i < count; i++)
            {
                yield return message;
            }
        }
    }

    private static async Task<Dictionary<string, object?>> SendAllAsync(Producer producer, IEnumerable<Message> messages, int window)
    {
        using var room = new SemaphoreSlim(window);
        var sent = 0;
        var failed = 0;
        foreach (var message in messages)
        {
            await room.WaitAsync().ConfigureAwait(false);
            _ = SendOneAsync(message);
        }
        for (var i = 0; i < window; i++)
        {
            await room.WaitAsync().ConfigureAwait(false);
        }
        return new Dictionary<string, object?> { ["sent"] = sent, ["failed"] = failed };

        async Task SendOneAsync(Message message)
        {
            try
            {
                await producer.SendAsync(message).ConfigureAwait(false);
                Interlocked.Increment(ref sent);
            }
            catch (MqException)
            {
                Interlocked.Increment(ref failed);
            }
            finally
            {
                room.Release();
            }
        }
    }
}
