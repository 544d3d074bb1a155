// Check: what tests expect, and waiting for it.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq.Tests
{
    internal static class Check
    {
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

        internal static void That(bool condition, string what)
        {
            if (!condition)
            {
                throw new InvalidOperationException($"expected: {what}");
            }
        }

        internal static void Equal<T>(T expected, T found, string what)
        {
            if (!EqualityComparer<T>.Default.Equals(expected, found))
            {
                throw new InvalidOperationException($"{what}: expected {expected}, found {found}");
            }
        }

        /// <summary>Expects an error of exactly this class whose message has all the words.</summary>
        internal static async Task<T> ThrowsAsync<T>(Func<Task> act, params string[] words) where T : Exception
        {
            try
            {
                await act();
            }
            catch (T error) when (error.GetType() == typeof(T) || typeof(T) == typeof(OperationCanceledException))
            {
                foreach (var word in words)
                {
                    That(error.Message.Contains(word), $"'{word}' in the message: {error.Message}");
                }
                return error;
            }
            throw new InvalidOperationException($"expected {typeof(T).Name}, and nothing was thrown");
        }

        internal static Task<T> Throws<T>(Action act, params string[] words) where T : Exception =>
            ThrowsAsync<T>(() => Task.Run(act), words);

        /// <summary>Waits for a task with a deadline.</summary>
        internal static async Task<T> Within<T>(Task<T> task, string what)
        {
            await Within((Task)task, what);
            return await task;
        }

        /// <summary>Waits for a task with a deadline.</summary>
        internal static async Task Within(Task task, string what)
        {
            if (await Task.WhenAny(task, Task.Delay(Patience)) != task)
            {
                throw new TimeoutException($"waited {Patience.TotalSeconds} seconds for {what}");
            }
            await task;
        }
    }

    /// <summary>What listeners received; can be waited for.</summary>
    internal sealed class Inbox<T> where T : class
    {
        private readonly ConcurrentQueue<T> _queue = new ConcurrentQueue<T>();
        private readonly SemaphoreSlim _there = new SemaphoreSlim(0);

        internal void Add(T value)
        {
            _queue.Enqueue(value);
            _there.Release();
        }

        internal async Task<T> TakeAsync()
        {
            await Check.Within(_there.WaitAsync(), "a message");
            return _queue.TryDequeue(out var value) ? value : throw new InvalidOperationException("an empty inbox");
        }

        internal async Task<List<T>> TakeAsync(int count)
        {
            var values = new List<T>();
            while (values.Count < count)
            {
                values.Add(await TakeAsync());
            }
            return values;
        }

        internal async Task<T?> TryTakeAsync(double seconds) =>
            await _there.WaitAsync(TimeSpan.FromSeconds(seconds)) && _queue.TryDequeue(out var value) ? value : null;

        internal async Task IsQuietAsync(double seconds = 1) => Check.That(await TryTakeAsync(seconds) == null, "no further message");
    }
}
