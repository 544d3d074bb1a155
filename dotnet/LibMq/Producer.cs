// Producer: sends messages.
using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq
{
    /// <summary>
    /// Sends messages; safe for use by several threads. Every send is tried again at another broker where that can help, within
    /// its time limit; after an error the message may have arrived all the same.
    /// </summary>
    public sealed class Producer : IAsyncDisposable, IDisposable
    {
        private readonly ProducerHandle _handle;
        private readonly EventLoop _loop;
        private readonly Closing _closing;

        internal Producer(MqClient client, ProducerOptions options)
        {
            using (var config = options.ToConfig())
            {
                Native.Check(Native.mq_producer_new(client.Handle, config, out _handle));
            }
            _loop = client.Loop;
            _closing = new Closing(CloseOnceAsync);
        }

        /// <summary>Sends a message. The task ends with the broker's receipt.</summary>
        /// <exception cref="MqException">Why it was not sent; see <see cref="MqException.Retryable"/>.</exception>
        /// <exception cref="OperationCanceledException">The token was cancelled first.</exception>
        public Task<SendReceipt> SendAsync(Message message, CancellationToken cancellationToken = default) =>
            SendAsync(message, null, cancellationToken);

        /// <summary>Sends a message within <paramref name="timeout"/> (null: the producer's own).</summary>
        public async Task<SendReceipt> SendAsync(Message message, TimeSpan? timeout, CancellationToken cancellationToken = default)
        {
            var pending = new PendingSend(this, cancellationToken);
            using (var native = new NativeMessages(message))
            {
                pending.Start((_handle, native.First, Native.Milliseconds(timeout)), (state, queue, tag) =>
                    Native.mq_producer_send_async(state._handle, state.First, state.Item3, queue, tag));
            }
            return await pending.Task.ConfigureAwait(false);
        }

        /// <summary>
        /// Sends a list of messages of one topic as one: all are stored, one after the other in one queue, or none.
        /// </summary>
        public async Task<SendReceipt> SendAsync(IReadOnlyList<Message> messages, CancellationToken cancellationToken = default)
        {
            var pending = new PendingSend(this, cancellationToken);
            using (var native = new NativeMessages(messages))
            {
                pending.Start((_handle, native.All), (state, queue, tag) => SendBatch(state._handle, state.All, queue, tag));
            }
            return await pending.Task.ConfigureAwait(false);
        }

        /// <summary>Sends a message and asks for no answer: the task ends when it is handed to the connection. It may get lost.</summary>
        public async Task SendOnewayAsync(Message message, CancellationToken cancellationToken = default)
        {
            var pending = new PendingSend(this, cancellationToken);
            using (var native = new NativeMessages(message))
            {
                pending.Start((_handle, native.First), (state, queue, tag) =>
                    Native.mq_producer_send_oneway_async(state._handle, state.First, queue, tag));
            }
            await pending.Task.ConfigureAwait(false);
        }

        /// <summary>Sends a message and blocks until the broker has answered, for <paramref name="timeout"/> at most.</summary>
        public SendReceipt Send(Message message, TimeSpan? timeout = null)
        {
            _closing.Check();
            using var native = new NativeMessages(message);
            Native.Check(Native.mq_producer_send(_handle, native.First, Native.Milliseconds(timeout), out var receipt));
            return SendReceipt.Take(receipt);
        }

        /// <summary>Sends a list of messages of one topic as one, blocking.</summary>
        public unsafe SendReceipt Send(IReadOnlyList<Message> messages, TimeSpan? timeout = null)
        {
            _closing.Check();
            using var native = new NativeMessages(messages);
            fixed (IntPtr* first = native.All)
            {
                Native.Check(Native.mq_producer_send_batch(_handle, first, (UIntPtr)native.All.Length, Native.Milliseconds(timeout),
                    out var receipt));
                return SendReceipt.Take(receipt);
            }
        }

        /// <summary>Waits for the sends on their way, for 5 seconds unless given, and closes. Closing twice is fine.</summary>
        public Task CloseAsync(TimeSpan? timeout = null) => _closing.CloseAsync(timeout);

        /// <inheritdoc/>
        public ValueTask DisposeAsync() => new ValueTask(CloseAsync());

        /// <summary>As <see cref="CloseAsync"/>, blocking.</summary>
        public void Dispose() => _closing.Close();

        private static unsafe IntPtr SendBatch(ProducerHandle producer, IntPtr[] messages, QueueHandle queue, ulong tag)
        {
            fixed (IntPtr* first = messages)
            {
                return Native.mq_producer_send_batch_async(producer, first, (UIntPtr)messages.Length, 0, queue, tag);
            }
        }

        private async Task CloseOnceAsync(TimeSpan? timeout)
        {
            try
            {
                await _loop.CallAsync((_handle, Native.Milliseconds(timeout)), (state, queue, tag) =>
                    Native.mq_producer_close_async(state._handle, state.Item2, queue, tag)).ConfigureAwait(false);
            }
            finally
            {
                _handle.Dispose();
            }
        }

        /// <summary>A send that waits for its event, and can be cancelled.</summary>
        private sealed class PendingSend : TaskCompletionSource<SendReceipt>, IPending
        {
            private readonly Producer _producer;
            private readonly CancellationToken _cancel;
            private CancellationTokenRegistration _registration;

            internal PendingSend(Producer producer, CancellationToken cancel) : base(TaskCreationOptions.RunContinuationsAsynchronously)
            {
                _producer = producer;
                _cancel = cancel;
            }

            internal void Start<T>(T state, Func<T, QueueHandle, ulong, IntPtr> call)
            {
                _producer._closing.Check();
                _cancel.ThrowIfCancellationRequested();
                var tag = _producer._loop.Start(this, state, call);
                if (_cancel.CanBeCanceled)
                {
                    _registration = _cancel.Register(() => Cancel(tag));
                    if (Task.IsCompleted)
                    {
                        _registration.Dispose();
                    }
                }
            }

            public void Complete(IntPtr happened)
            {
                var error = Native.mq_event_error(happened);
                if (error == IntPtr.Zero)
                {
                    TrySetResult(SendReceipt.From(Native.mq_event_receipt(happened)));
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

            private void Cancel(ulong tag)
            {
                try
                {
                    Native.Check(Native.mq_producer_cancel(_producer._handle, _producer._loop.Queue, tag));
                }
                catch (Exception error) when (error is MqException || error is ObjectDisposedException)
                {
                    // Closed meanwhile: the send ends in its own way.
                }
            }
        }
    }
}
