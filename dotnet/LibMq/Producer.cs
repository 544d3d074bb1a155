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
        private readonly MqClient _client; // which must not be collected as long as this is used
        private readonly ProducerHandle _handle;
        private readonly EventLoop _loop;
        private readonly Closing _closing;

        internal Producer(MqClient client, ProducerOptions options)
        {
            using (var config = options.ToConfig())
            {
                Native.Check(Native.mq_producer_new(client.Handle, config, out _handle));
            }
            _client = client;
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
            Task<SendReceipt> sent;
            using (var native = new NativeMessages(message))
            {
                sent = Call(SendReceipt.Of, cancellationToken).Start((_handle, native.First, Native.Milliseconds(timeout)),
                    (state, queue, tag) => Native.mq_producer_send_async(state._handle, state.First, state.Item3, queue, tag));
            }
            return await sent.ConfigureAwait(false);
        }

        /// <summary>
        /// Sends a list of messages of one topic as one: all are stored, one after the other in one queue, or none.
        /// </summary>
        public async Task<SendReceipt> SendAsync(IReadOnlyList<Message> messages, CancellationToken cancellationToken = default)
        {
            Task<SendReceipt> sent;
            using (var native = new NativeMessages(messages))
            {
                sent = Call(SendReceipt.Of, cancellationToken).Start((_handle, native.All),
                    (state, queue, tag) => SendBatch(state._handle, state.All, queue, tag));
            }
            return await sent.ConfigureAwait(false);
        }

        /// <summary>Sends a message to just this queue; it is not tried elsewhere.</summary>
        public async Task<SendReceipt> SendToQueueAsync(Message message, MessageQueue queue, TimeSpan? timeout = null,
            CancellationToken cancellationToken = default)
        {
            var to = QueueOf(message, queue);
            Task<SendReceipt> sent;
            using (var native = new NativeMessages(message))
            {
                sent = Call(SendReceipt.Of, cancellationToken).Start((_handle, native.First, to, Native.Milliseconds(timeout)),
                    (state, events, tag) => Native.mq_producer_send_to_queue_async(state._handle, state.First, state.to.BrokerName,
                        Native.Length(state.to.BrokerName), state.to.QueueId, state.Item4, events, tag));
            }
            return await sent.ConfigureAwait(false);
        }

        /// <summary>Sends a message and asks for no answer: the task ends when it is handed to the connection. It may get lost.</summary>
        public async Task SendOnewayAsync(Message message, CancellationToken cancellationToken = default)
        {
            Task sent;
            using (var native = new NativeMessages(message))
            {
                sent = Call(_ => true, cancellationToken).Start((_handle, native.First), (state, queue, tag) =>
                    Native.mq_producer_send_oneway_async(state._handle, state.First, queue, tag));
            }
            await sent.ConfigureAwait(false);
        }

        /// <summary>The queues that messages of a topic can be sent to.</summary>
        public Task<IReadOnlyList<MessageQueue>> QueuesAsync(string topic, CancellationToken cancellationToken = default) =>
            Call(happened => MessageQueue.From(Native.mq_event_queues(happened)), cancellationToken)
                .Start((_handle, topic ?? throw new ArgumentNullException(nameof(topic))), (state, queue, tag) =>
                    Native.mq_producer_queues_async(state._handle, state.Item2, Native.Length(state.Item2), queue, tag));

        /// <summary>
        /// Divides messages of one topic into lists that can be sent as one, in order; each is as long as the setting
        /// <c>max_message_size</c> allows.
        /// </summary>
        public unsafe IReadOnlyList<IReadOnlyList<Message>> SplitBatch(IReadOnlyList<Message> messages)
        {
            _closing.Check();
            using var native = new NativeMessages(messages);
            var lengths = new UIntPtr[messages.Count];
            UIntPtr count;
            fixed (IntPtr* first = native.All)
            fixed (UIntPtr* length = lengths)
            {
                Native.Check(Native.mq_producer_split_batch(_handle, first, (UIntPtr)messages.Count, length, out count));
            }
            var lists = new List<IReadOnlyList<Message>>((int)count);
            var from = 0;
            for (var i = 0; i < (int)count; from += (int)lengths[i++])
            {
                var list = new Message[(int)lengths[i]];
                for (var j = 0; j < list.Length; j++)
                {
                    list[j] = messages[from + j];
                }
                lists.Add(list);
            }
            return lists;
        }

        /// <summary>Sends a message and blocks until the broker has answered, for <paramref name="timeout"/> at most.</summary>
        public SendReceipt Send(Message message, TimeSpan? timeout = null)
        {
            _closing.Check();
            using var native = new NativeMessages(message);
            Native.Check(Native.mq_producer_send(_handle, native.First, Native.Milliseconds(timeout), out var receipt));
            return SendReceipt.Take(receipt);
        }

        /// <summary>Sends a message to just this queue, blocking.</summary>
        public SendReceipt SendToQueue(Message message, MessageQueue queue, TimeSpan? timeout = null)
        {
            _closing.Check();
            var to = QueueOf(message, queue);
            using var native = new NativeMessages(message);
            Native.Check(Native.mq_producer_send_to_queue(_handle, native.First, to.BrokerName, Native.Length(to.BrokerName), to.QueueId,
                Native.Milliseconds(timeout), out var receipt));
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

        /// <summary>The queue, if the message can go there: the library takes broker and number alone.</summary>
        private static MessageQueue QueueOf(Message message, MessageQueue queue)
        {
            _ = message ?? throw new ArgumentNullException(nameof(message));
            _ = queue ?? throw new ArgumentNullException(nameof(queue));
            return queue.Topic == message.Topic
                ? queue
                : throw new ArgumentException($"the message goes to topic '{message.Topic}', but the queue is of topic '{queue.Topic}'", nameof(queue));
        }

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

        private Pending<T> Call<T>(Func<IntPtr, T> take, CancellationToken cancellationToken)
        {
            _closing.Check();
            return new Pending<T>(_loop, take, (queue, tag) => Native.mq_producer_cancel(_handle, queue, tag), cancellationToken);
        }
    }
}
