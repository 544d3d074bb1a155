// Pending: asynchronous calls that wait for their one event.
using System;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq
{
    /// <summary>What waits for the one event of an asynchronous call.</summary>
    internal interface IPending
    {
        /// <summary>Takes the event, which is freed afterwards. Runs on the loop's thread and must be quick.</summary>
        void Complete(IntPtr happened);
    }

    /// <summary>A call that has a result, and can be cancelled.</summary>
    internal sealed class Pending<T> : TaskCompletionSource<T>, IPending
    {
        private readonly EventLoop _loop;
        private readonly Func<IntPtr, T> _take;
        private readonly Func<QueueHandle, ulong, IntPtr>? _cancelCall;
        private readonly CancellationToken _cancel;
        private CancellationTokenRegistration _registration;

        /// <param name="loop">Whose queue gets the event.</param>
        /// <param name="take">Makes the result of the event.</param>
        /// <param name="cancelCall">The library's call that gives the other one up.</param>
        /// <param name="cancel">When to give up.</param>
        internal Pending(EventLoop loop, Func<IntPtr, T> take, Func<QueueHandle, ulong, IntPtr>? cancelCall = null,
            CancellationToken cancel = default) : base(TaskCreationOptions.RunContinuationsAsynchronously)
        {
            _loop = loop;
            _take = take;
            _cancelCall = cancelCall;
            _cancel = cancel;
        }

        /// <summary>Begins the call; throws what the call itself throws.</summary>
        internal Task<T> Start<TState>(TState state, Func<TState, QueueHandle, ulong, IntPtr> call)
        {
            _cancel.ThrowIfCancellationRequested();
            var tag = _loop.Start(this, state, call);
            if (_cancel.CanBeCanceled)
            {
                _registration = _cancel.Register(() => GiveUp(tag));
                if (Task.IsCompleted)
                {
                    _registration.Dispose();
                }
            }
            return Task;
        }

        public void Complete(IntPtr happened)
        {
            var error = Native.mq_event_error(happened);
            if (error == IntPtr.Zero)
            {
                TrySetResult(_take(happened));
            }
            else if (_cancel.IsCancellationRequested && Native.mq_error_code(error) == (int)MqErrorCode.Cancelled)
            {
                TrySetCanceled(_cancel);
            }
            else
            {
                TrySetException(MqException.From(error));
            }
            _registration.Dispose(); // after the result: Start, which may be running, then sees it and does the same
        }

        private void GiveUp(ulong tag)
        {
            try
            {
                Native.Check(_cancelCall!(_loop.Queue, tag));
            }
            catch (Exception error) when (error is MqException || error is ObjectDisposedException)
            {
                // Closed meanwhile: the call ends in its own way.
            }
        }
    }
}
