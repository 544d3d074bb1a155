// PushConsumer: hands the messages of a group's subscriptions to a listener.
using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq
{
    /// <summary>What every kind of listener becomes: one answer for all messages that came together.</summary>
    internal delegate Task<ConsumeResult> Listener(IReadOnlyList<MessageView> messages, CancellationToken cancel);

    /// <summary>
    /// A member of a consumer group that hands messages to a listener. Made by
    /// <see cref="MqClient.CreatePushConsumerAsync(PushConsumerOptions, Func{MessageView, CancellationToken, Task{ConsumeResult}}, CancellationToken)"/>.
    /// </summary>
    public sealed class PushConsumer : IAsyncDisposable, IDisposable
    {
        private static readonly AsyncLocal<PushConsumer?> Listening = new AsyncLocal<PushConsumer?>();

        private readonly MqClient _client; // which must not be collected as long as this is open
        private readonly PushConsumerHandle _handle;
        private readonly EventLoop _loop;
        private readonly ulong _tag;
        private readonly Listener _listener;
        private readonly Action<string, string> _onWarning;
        private readonly Action<MessageView, Exception> _onListenerError;
        private readonly CancellationTokenSource _cancel = new CancellationTokenSource();
        private readonly Closing _closing;
        private volatile bool _closed;

        private PushConsumer(MqClient client, PushConsumerOptions options, Listener listener)
        {
            _client = client;
            _loop = client.Loop;
            _tag = _loop.NextTag();
            _listener = listener;
            _onWarning = options.OnWarning ?? TraceWarning;
            _onListenerError = options.OnListenerError ?? TraceError;
            _closing = new Closing(CloseOnceAsync);
            using (var config = options.ToConfig())
            {
                Native.Check(Native.mq_push_consumer_new(client.Handle, config, _loop.Queue, _tag, out _handle));
            }
            foreach (var pair in options.Subscriptions)
            {
                var expression = pair.Value ?? throw new ArgumentNullException(nameof(options), $"the expression for topic '{pair.Key}' is null");
                Native.Check(Native.mq_push_consumer_subscribe(_handle, pair.Key, Native.Length(pair.Key), expression, Native.Length(expression)));
            }
        }

        /// <summary>
        /// Takes part in a topic's messages, or changes its expression: <c>*</c>, or tags as in <c>a || b</c>. When the task ends
        /// the consumer has its share of the queues. All members of the group should subscribe to the same. What was fetched for
        /// an older expression alone does not come any more, unless it failed before; what that one passed over may be
        /// left out. Cancelling ends the waiting, not the change.
        /// </summary>
        public Task SubscribeAsync(string topic, string expression = "*", CancellationToken cancellationToken = default) =>
            Call(cancellationToken).Start((_handle, topic, expression), (state, queue, tag) =>
                Native.mq_push_consumer_subscribe_async(state._handle, state.topic, Native.Length(state.topic), state.expression,
                    Native.Length(state.expression), queue, tag));

        /// <summary>
        /// Ends a subscription and leaves its queues: what is consumed is committed. Listeners that run go on. A topic that is not
        /// subscribed to is no error; without any the consumer stays in its group and gets what failed before.
        /// </summary>
        public Task UnsubscribeAsync(string topic, CancellationToken cancellationToken = default) =>
            Call(cancellationToken).Start((_handle, topic), (state, queue, tag) =>
                Native.mq_push_consumer_unsubscribe_async(state._handle, state.topic, Native.Length(state.topic), queue, tag));

        /// <summary>Fetches no more until <see cref="Resume"/>; what was fetched already still comes. The consumer stays in its group.</summary>
        public void Suspend()
        {
            _closing.Check();
            Native.Check(Native.mq_push_consumer_suspend(_handle));
        }

        /// <summary>Fetches again.</summary>
        public void Resume()
        {
            _closing.Check();
            Native.Check(Native.mq_push_consumer_resume(_handle));
        }

        /// <summary>The queues that this member has now.</summary>
        public IReadOnlyList<MessageQueue> Assignment
        {
            get
            {
                _closing.Check();
                Native.Check(Native.mq_push_consumer_assignment(_handle, out var queues));
                return MessageQueue.Take(queues);
            }
        }

        /// <summary>
        /// Cancels the listeners' tokens, waits for the answers that are owed (5 seconds unless given), commits and leaves the
        /// group. What is not answered by then is delivered again, to whoever is there. No listener starts after that.
        /// Closing twice is fine. Called by a listener it returns at once, the answer still counts, and the rest is done meanwhile.
        /// </summary>
        public Task CloseAsync(TimeSpan? timeout = null)
        {
            var closed = EndAsync(timeout);
            return Listening.Value == this ? Task.CompletedTask : closed;
        }

        /// <summary>As <see cref="CloseAsync"/>, to the end, whoever calls.</summary>
        internal Task EndAsync(TimeSpan? timeout) => _closing.CloseAsync(timeout);

        /// <inheritdoc/>
        public ValueTask DisposeAsync() => new ValueTask(CloseAsync());

        /// <summary>As <see cref="CloseAsync"/>, blocking.</summary>
        public void Dispose() => Closing.Wait(() => CloseAsync());

        /// <summary>Whether one of the client's listeners is calling.</summary>
        internal static bool IsListening(MqClient client) => Listening.Value?._client == client;

        internal static async Task<PushConsumer> StartAsync(MqClient client, PushConsumerOptions options, Listener listener,
            CancellationToken cancellationToken)
        {
            client.CheckOpen();
            cancellationToken.ThrowIfCancellationRequested();
            var consumer = new PushConsumer(client, options, listener);
            consumer._loop.Add(consumer._tag, consumer);
            try
            {
                var started = consumer._loop.CallAsync(consumer._handle, (handle, queue, tag) =>
                    Native.mq_push_consumer_start_async(handle, 0, queue, tag));
                var cancelled = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
                using (cancellationToken.Register(() => cancelled.TrySetCanceled(cancellationToken)))
                {
                    await (await Task.WhenAny(started, cancelled.Task).ConfigureAwait(false)).ConfigureAwait(false);
                }
                return consumer;
            }
            catch
            {
                await consumer.CloseAsync().ConfigureAwait(false);
                throw;
            }
        }

        /// <summary>Takes an event with messages; called by the loop, which must not wait.</summary>
        internal void Deliver(IntPtr happened) =>
            ThreadPool.QueueUserWorkItem(work => _ = work.Item1.ListenAsync(work.happened), (this, happened), preferLocal: false);

        private async Task ListenAsync(IntPtr happened)
        {
            try
            {
                var messages = MessageView.All(happened);
                var result = ConsumeResult.Later;
                try
                {
                    Listening.Value = this;
                    var answer = _listener(messages, _cancel.Token) ?? throw new InvalidOperationException("the listener returned null, not a task");
                    result = await answer.ConfigureAwait(false);
                }
                catch (OperationCanceledException) when (_cancel.IsCancellationRequested)
                {
                    // Later.
                }
                catch (Exception error)
                {
                    EventLoop.Call(() => _onListenerError(messages[0], error));
                }
                if (!_closed)
                {
                    Native.Check(Native.mq_event_reply(happened, result.Kind, result.Detail));
                }
            }
            finally
            {
                Native.mq_event_free(happened); // without an answer: later
            }
        }

        /// <summary>Tells of something wrong with the group; called by the loop, which must not wait.</summary>
        internal unsafe void Warn(IntPtr happened)
        {
            var name = Native.Text(Native.mq_event_warning_name(happened, out var length), length) ?? "";
            var message = Native.Text(Native.mq_event_warning_message(happened, out length), length) ?? "";
            EventLoop.Tell(() => _onWarning(name, message));
        }

        private Pending<bool> Call(CancellationToken cancellationToken)
        {
            _closing.Check();
            return new Pending<bool>(_loop, _ => true, (queue, tag) => Native.mq_push_consumer_cancel(_handle, queue, tag), cancellationToken);
        }

        private async Task CloseOnceAsync(TimeSpan? timeout)
        {
            try
            {
                _cancel.Cancel();
                await _loop.CallAsync((_handle, Native.Milliseconds(timeout)), (state, queue, tag) =>
                    Native.mq_push_consumer_close_async(state._handle, state.Item2, queue, tag)).ConfigureAwait(false);
            }
            finally
            {
                _closed = true;
                _loop.Remove(_tag);
                _handle.Dispose();
            }
        }

        private static void TraceWarning(string name, string message) => Trace.TraceWarning($"libmq: {name}: {message}");

        private static void TraceError(MessageView message, Exception error) =>
            Trace.TraceError($"libmq: the listener failed on message {message.MessageId} of {message.Topic}, which will come again: {error}");
    }
}
