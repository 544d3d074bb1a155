// Closing: closes a thing once, however often and by whomever it is asked to.
using System;
using System.Threading.Tasks;

namespace LibMq
{
    internal sealed class Closing
    {
        private readonly Func<TimeSpan?, Task> _close;
        private readonly object _lock = new object();
        private Task? _closed;

        internal Closing(Func<TimeSpan?, Task> close) => _close = close;

        internal bool HasBegun => _closed != null;

        /// <summary>Throws if closing has begun.</summary>
        internal void Check()
        {
            if (HasBegun)
            {
                throw new MqClosedException(IntPtr.Zero);
            }
        }

        internal Task CloseAsync(TimeSpan? timeout)
        {
            lock (_lock)
            {
                return _closed ??= QuietlyAsync(timeout);
            }
        }

        /// <summary>Closes and waits, on any thread: what has to run meanwhile has threads of its own.</summary>
        internal void Close() => Wait(() => CloseAsync(null));

        /// <summary>Waits for a close, away from what the caller's thread may be needed for.</summary>
        internal static void Wait(Func<Task> close) => Task.Run(close).GetAwaiter().GetResult();

        private async Task QuietlyAsync(TimeSpan? timeout)
        {
            try
            {
                await _close(timeout).ConfigureAwait(false);
            }
            catch (MqException error) when (error.Code == MqErrorCode.Timeout || error.Code == MqErrorCode.Closed)
            {
                // Cut off after its time, or closed already together with its client: closed all the same.
            }
        }
    }
}
