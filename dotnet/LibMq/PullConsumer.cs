// PullConsumer: messages that the application asks for, with positions of its own.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq
{
    /// <summary>
    /// A consumer that is asked for messages: it either subscribes topics and shares their queues with its group, or is assigned
    /// queues by hand. Positions are committed from time to time (settings <c>auto_commit</c>, <c>auto_commit_interval</c>) or by
    /// <see cref="CommitAsync(CancellationToken)"/>. Safe for use by several threads, but one poll at a time.
    /// </summary>
    public sealed class PullConsumer : IAsyncDisposable, IDisposable
    {
        private readonly MqClient _client; // which must not be collected as long as this is used
        private readonly PullConsumerHandle _handle;
        private readonly EventLoop _loop;
        private readonly Closing _closing;

        private PullConsumer(MqClient client, PullConsumerOptions options)
        {
            using (var config = options.ToConfig())
            {
                Native.Check(Native.mq_pull_consumer_new(client.Handle, config, out _handle));
            }
            _client = client;
            _loop = client.Loop;
            _closing = new Closing(CloseOnceAsync);
        }

        /// <summary>The queues that this consumer has now.</summary>
        public IReadOnlyList<MessageQueue> Assignment
        {
            get
            {
                _closing.Check();
                Native.Check(Native.mq_pull_consumer_assignment(_handle, out var queues));
                return MessageQueue.Take(queues);
            }
        }

        /// <summary>Takes part in a topic's messages. Not together with <see cref="AssignAsync"/>.</summary>
        public Task SubscribeAsync(string topic, string expression = "*", CancellationToken cancellationToken = default) =>
            Call(_ => true, cancellationToken).Start((_handle, topic: Given(topic, nameof(topic)), expression: Given(expression, nameof(expression))), (state, queue, tag) =>
                Native.mq_pull_consumer_subscribe_async(state._handle, state.topic, Native.Length(state.topic), state.expression,
                    Native.Length(state.expression), queue, tag));

        /// <summary>Ends a subscription and leaves its queues.</summary>
        public Task UnsubscribeAsync(string topic, CancellationToken cancellationToken = default) =>
            Call(_ => true, cancellationToken).Start((_handle, topic: Given(topic, nameof(topic))), (state, queue, tag) =>
                Native.mq_pull_consumer_unsubscribe_async(state._handle, state.topic, Native.Length(state.topic), queue, tag));

        /// <summary>Takes just these queues, in place of those before. Not together with subscriptions.</summary>
        public async Task AssignAsync(IEnumerable<MessageQueue> queues, CancellationToken cancellationToken = default)
        {
            using var native = MessageQueue.ToNative(queues);
            await Call(_ => true, cancellationToken).Start((_handle, native), (state, queue, tag) =>
                Native.mq_pull_consumer_assign_async(state._handle, state.native, queue, tag)).ConfigureAwait(false);
        }

        /// <summary>
        /// The next messages: those that are there, or the first that come within <paramref name="timeout"/> (5 seconds unless
        /// given), else none. Cancelling loses no message.
        /// </summary>
        public Task<IReadOnlyList<MessageView>> PollAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
            Call(MessageView.All, cancellationToken).Start((_handle, Native.Milliseconds(timeout, -1)),
                (state, queue, tag) => Native.mq_pull_consumer_poll_async(state._handle, state.Item2, queue, tag));

        /// <summary>Messages, one after the other, until the consumer closes. Cancelling the token throws, as everywhere.</summary>
        public async IAsyncEnumerable<MessageView> MessagesAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
        {
            while (!_closing.HasBegun)
            {
                IReadOnlyList<MessageView> messages;
                try
                {
                    messages = await PollAsync(null, cancellationToken).ConfigureAwait(false);
                }
                catch (MqClosedException)
                {
                    break;
                }
                foreach (var message in messages)
                {
                    yield return message;
                }
            }
        }

        /// <summary>Goes on at an offset of an assigned queue.</summary>
        public Task SeekAsync(MessageQueue queue, long offset, CancellationToken cancellationToken = default) =>
            SeekAsync(queue, 0, offset, cancellationToken);

        /// <summary>Goes on at the oldest message of an assigned queue.</summary>
        public Task SeekToBeginAsync(MessageQueue queue, CancellationToken cancellationToken = default) =>
            SeekAsync(queue, 1, 0, cancellationToken);

        /// <summary>Goes on behind the newest message of an assigned queue.</summary>
        public Task SeekToEndAsync(MessageQueue queue, CancellationToken cancellationToken = default) =>
            SeekAsync(queue, 2, 0, cancellationToken);

        /// <summary>Goes on with the first message of an assigned queue that was stored at this time or later.</summary>
        public Task SeekToTimeAsync(MessageQueue queue, DateTimeOffset time, CancellationToken cancellationToken = default) =>
            SeekAsync(queue, 3, time.ToUnixTimeMilliseconds(), cancellationToken);

        /// <summary>The offset of the first message that was stored at this time or later.</summary>
        public Task<long> OffsetForTimeAsync(MessageQueue queue, DateTimeOffset time, CancellationToken cancellationToken = default) =>
            Call(Native.mq_event_offset, cancellationToken).Start((_handle, queue: Given(queue, nameof(queue)), time.ToUnixTimeMilliseconds()), (state, events, tag) =>
                Native.mq_pull_consumer_offset_for_timestamp_async(state._handle, state.queue.Topic, Native.Length(state.queue.Topic),
                    state.queue.BrokerName, Native.Length(state.queue.BrokerName), state.queue.QueueId, state.Item3, events, tag));

        /// <summary>Stops asking for messages of these queues, until <see cref="Resume"/>.</summary>
        public void Pause(IEnumerable<MessageQueue> queues)
        {
            _closing.Check();
            using var native = MessageQueue.ToNative(queues);
            Native.Check(Native.mq_pull_consumer_pause(_handle, native));
        }

        /// <summary>Asks for messages of these queues again.</summary>
        public void Resume(IEnumerable<MessageQueue> queues)
        {
            _closing.Check();
            using var native = MessageQueue.ToNative(queues);
            Native.Check(Native.mq_pull_consumer_resume(_handle, native));
        }

        /// <summary>Commits what polls have given so far: from where the group is to go on.</summary>
        public Task CommitAsync(CancellationToken cancellationToken = default) =>
            Call(_ => true, cancellationToken).Start(_handle, (handle, queue, tag) =>
                Native.mq_pull_consumer_commit_async(handle, queue, tag));

        /// <summary>Commits these offsets.</summary>
        public async Task CommitAsync(IReadOnlyDictionary<MessageQueue, long> offsets, CancellationToken cancellationToken = default)
        {
            var pairs = (offsets ?? throw new ArgumentNullException(nameof(offsets))).ToArray();
            var numbers = pairs.Select(pair => pair.Value).ToArray();
            using var native = MessageQueue.ToNative(pairs.Select(pair => pair.Key));
            await Call(_ => true, cancellationToken).Start((_handle, native, numbers), (state, queue, tag) =>
                Native.mq_pull_consumer_commit_offsets_async(state._handle, state.native, state.numbers, (UIntPtr)state.numbers.Length,
                    queue, tag)).ConfigureAwait(false);
        }

        /// <summary>The offset that the group has committed for a queue; null if none. A broker says 0 for a young queue.</summary>
        public Task<long?> CommittedAsync(MessageQueue queue, CancellationToken cancellationToken = default) =>
            Call(happened => Native.mq_event_offset(happened) is long offset && offset >= 0 ? offset : (long?)null, cancellationToken)
                .Start((_handle, queue: Given(queue, nameof(queue))), (state, events, tag) =>
                    Native.mq_pull_consumer_committed_async(state._handle, state.queue.Topic, Native.Length(state.queue.Topic),
                        state.queue.BrokerName, Native.Length(state.queue.BrokerName), state.queue.QueueId, events, tag));

        /// <summary>The offset of the next message that a poll would give of an assigned queue.</summary>
        public Task<long> PositionAsync(MessageQueue queue, CancellationToken cancellationToken = default) =>
            Call(Native.mq_event_offset, cancellationToken).Start((_handle, queue: Given(queue, nameof(queue))), (state, events, tag) =>
                Native.mq_pull_consumer_position_async(state._handle, state.queue.Topic, Native.Length(state.queue.Topic),
                    state.queue.BrokerName, Native.Length(state.queue.BrokerName), state.queue.QueueId, events, tag));

        /// <summary>The queues of a topic.</summary>
        public Task<IReadOnlyList<MessageQueue>> QueuesAsync(string topic, CancellationToken cancellationToken = default) =>
            Call(happened => MessageQueue.From(Native.mq_event_queues(happened)), cancellationToken).Start((_handle, topic: Given(topic, nameof(topic))),
                (state, queue, tag) =>
                    Native.mq_pull_consumer_queues_async(state._handle, state.topic, Native.Length(state.topic), queue, tag));

        /// <summary>
        /// Calls <paramref name="changed"/> with all queues of a topic and those of them that this consumer has, when either
        /// changes; on a thread of the thread pool.
        /// </summary>
        public Task OnQueueChangeAsync(string topic, Action<IReadOnlyList<MessageQueue>, IReadOnlyList<MessageQueue>> changed,
            CancellationToken cancellationToken = default)
        {
            var given = changed ?? throw new ArgumentNullException(nameof(changed));
            _closing.Check();
            var watch = _loop.Watch(happened =>
            {
                var all = MessageQueue.From(Native.mq_event_queues(happened));
                var assigned = MessageQueue.From(Native.mq_event_assigned(happened));
                EventLoop.Tell(() => given(all, assigned));
            });
            return Call(_ => true, cancellationToken).Start((_handle, topic: Given(topic, nameof(topic)), _loop.Queue, watch), (state, queue, tag) =>
                Native.mq_pull_consumer_watch_queues_async(state._handle, state.topic, Native.Length(state.topic), state.Queue,
                    state.watch, queue, tag));
        }

        /// <summary>Commits, leaves the group and closes, within 5 seconds unless given. Closing twice is fine.</summary>
        public Task CloseAsync(TimeSpan? timeout = null) => _closing.CloseAsync(timeout);

        /// <inheritdoc/>
        public ValueTask DisposeAsync() => new ValueTask(CloseAsync());

        /// <summary>As <see cref="CloseAsync"/>, blocking.</summary>
        public void Dispose() => _closing.Close();

        internal static async Task<PullConsumer> StartAsync(MqClient client, PullConsumerOptions options, CancellationToken cancellationToken)
        {
            var consumer = new PullConsumer(client, options);
            try
            {
                foreach (var pair in options.Subscriptions)
                {
                    await consumer.SubscribeAsync(pair.Key, pair.Value, cancellationToken).ConfigureAwait(false);
                }
                await consumer.Call(_ => true, cancellationToken).Start(consumer._handle, (handle, queue, tag) =>
                    Native.mq_pull_consumer_start_async(handle, 0, queue, tag)).ConfigureAwait(false);
                return consumer;
            }
            catch
            {
                await consumer.CloseAsync().ConfigureAwait(false);
                throw;
            }
        }

        private Task SeekAsync(MessageQueue queue, int whence, long value, CancellationToken cancellationToken) =>
            Call(_ => true, cancellationToken).Start((_handle, queue: Given(queue, nameof(queue)), whence, value), (state, events, tag) =>
                Native.mq_pull_consumer_seek_async(state._handle, state.queue.Topic, Native.Length(state.queue.Topic),
                    state.queue.BrokerName, Native.Length(state.queue.BrokerName), state.queue.QueueId, state.whence, state.value,
                    events, tag));

        private static T Given<T>(T? value, string name) where T : class => value ?? throw new ArgumentNullException(name);

        private Pending<T> Call<T>(Func<IntPtr, T> take, CancellationToken cancellationToken)
        {
            _closing.Check();
            return new Pending<T>(_loop, take, (queue, tag) => Native.mq_pull_consumer_cancel(_handle, queue, tag), cancellationToken);
        }

        private async Task CloseOnceAsync(TimeSpan? timeout)
        {
            try
            {
                await _loop.CallAsync((_handle, Native.Milliseconds(timeout)), (state, queue, tag) =>
                    Native.mq_pull_consumer_close_async(state._handle, state.Item2, queue, tag)).ConfigureAwait(false);
            }
            finally
            {
                _handle.Dispose();
            }
        }
    }
}
