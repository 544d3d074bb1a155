// MqClient: the connection to one cluster.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq
{
    /// <summary>
    /// A client of one cluster: connections, routes, threads. One per process and cluster, as a rule; safe for use by several
    /// threads. Producers and consumers are made from it, and closing it closes them. It connects when it first has to.
    /// </summary>
    public sealed class MqClient : IAsyncDisposable, IDisposable
    {
        private readonly Closing _closing;

        /// <summary>A client of the cluster with these NameServers, <c>host:port[;host:port…]</c>.</summary>
        public MqClient(string namesrv)
            : this(new ClientOptions { Namesrv = namesrv ?? throw new ArgumentNullException(nameof(namesrv)) })
        {
        }

        /// <summary>A client with settings.</summary>
        public MqClient(ClientOptions options)
        {
            using (var config = (options ?? throw new ArgumentNullException(nameof(options))).ToConfig())
            {
                Native.Check(Native.mq_client_new(config, out var handle));
                Handle = handle;
            }
            Loop = new EventLoop("libmq client");
            _closing = new Closing(CloseOnceAsync);
        }

        /// <summary>The version of the native library.</summary>
        public static string Version => Native.Text(Native.mq_version());

        internal ClientHandle Handle { get; }

        internal EventLoop Loop { get; }

        internal void CheckOpen() => _closing.Check();

        /// <summary>Makes a producer. It connects when it first sends.</summary>
        public Producer CreateProducer(ProducerOptions options)
        {
            _closing.Check();
            return new Producer(this, options ?? throw new ArgumentNullException(nameof(options)));
        }

        /// <summary>Makes a producer. It connects when it first sends.</summary>
        public Task<Producer> CreateProducerAsync(ProducerOptions options, CancellationToken cancellationToken = default)
        {
            try
            {
                cancellationToken.ThrowIfCancellationRequested();
                return Task.FromResult(CreateProducer(options));
            }
            catch (MqException error)
            {
                return Task.FromException<Producer>(error);
            }
        }

        /// <summary>
        /// Makes a consumer, joins its group and starts to hand messages to the listener, on threads of the thread pool and
        /// several at a time. A listener that throws means <see cref="ConsumeResult.Later"/>. Its token is cancelled when the
        /// consumer closes; until the close is over the answer still counts.
        /// </summary>
        public Task<PushConsumer> CreatePushConsumerAsync(PushConsumerOptions options,
            Func<MessageView, CancellationToken, Task<ConsumeResult>> listener, CancellationToken cancellationToken = default)
        {
            var given = listener ?? throw new ArgumentNullException(nameof(listener));
            return StartAsync(options, async (messages, cancel) =>
            {
                var result = ConsumeResult.Success;
                for (var i = 0; i < messages.Count && result.IsSuccess; i++)
                {
                    var answer = given(messages[i], cancel) ?? throw new InvalidOperationException("the listener returned null, not a task");
                    result = await answer.ConfigureAwait(false);
                }
                return result;
            }, cancellationToken);
        }

        /// <summary>The same with a listener that is done when it returns.</summary>
        public Task<PushConsumer> CreatePushConsumerAsync(PushConsumerOptions options, Func<MessageView, ConsumeResult> listener,
            CancellationToken cancellationToken = default)
        {
            var given = listener ?? throw new ArgumentNullException(nameof(listener));
            return StartAsync(options, (messages, _) =>
            {
                var result = ConsumeResult.Success;
                for (var i = 0; i < messages.Count && result.IsSuccess; i++)
                {
                    result = given(messages[i]);
                }
                return Task.FromResult(result);
            }, cancellationToken);
        }

        /// <summary>
        /// The same with a listener that gets several messages of one queue at once, as many as the setting
        /// <c>consume_message_batch_max_size</c> allows, and answers for all of them.
        /// </summary>
        public Task<PushConsumer> CreateBatchConsumerAsync(PushConsumerOptions options,
            Func<IReadOnlyList<MessageView>, CancellationToken, Task<ConsumeResult>> listener, CancellationToken cancellationToken = default)
        {
            var given = listener ?? throw new ArgumentNullException(nameof(listener));
            return StartAsync(options, (messages, cancel) => given(messages, cancel), cancellationToken);
        }

        /// <summary>Makes a consumer that asks for its messages itself, subscribes and joins its group.</summary>
        public Task<PullConsumer> CreatePullConsumerAsync(PullConsumerOptions options, CancellationToken cancellationToken = default)
        {
            CheckOpen();
            return PullConsumer.StartAsync(this, options ?? throw new ArgumentNullException(nameof(options)), cancellationToken);
        }

        /// <summary>The dead letters of a consumer group: what was delivered as often as allowed and never accepted.</summary>
        public DeadLetters DeadLetters(string group)
        {
            CheckOpen();
            return new DeadLetters(this, group ?? throw new ArgumentNullException(nameof(group)));
        }

        /// <summary>
        /// Closes the client and all that was made from it: consumers commit and leave their groups, sends on their way get their
        /// results. What is not done in time (5 seconds unless given) is cut, without an error. Closing twice is fine. Called by a
        /// listener it returns at once, the answer still counts, and the rest is done meanwhile.
        /// </summary>
        public Task CloseAsync(TimeSpan? timeout = null)
        {
            var closed = _closing.CloseAsync(timeout);
            return PushConsumer.IsListening(this) ? Task.CompletedTask : closed;
        }

        /// <inheritdoc/>
        public ValueTask DisposeAsync() => new ValueTask(CloseAsync());

        /// <summary>As <see cref="CloseAsync"/>, blocking.</summary>
        public void Dispose() => Closing.Wait(() => CloseAsync());

        /// <summary>Ends the thread of a client that was never closed; its handle ends the rest. An open push consumer keeps its client.</summary>
        ~MqClient() => Loop?.Stop();

        private Task<PushConsumer> StartAsync(PushConsumerOptions options, Listener listener, CancellationToken cancellationToken) =>
            PushConsumer.StartAsync(this, options ?? throw new ArgumentNullException(nameof(options)), listener, cancellationToken);

        private async Task CloseOnceAsync(TimeSpan? timeout)
        {
            try
            {
                // Listeners may need producers to finish, and none of them starts once its consumer is closed.
                await Task.WhenAll(Loop.Consumers.Select(consumer => consumer.EndAsync(timeout))).ConfigureAwait(false);
                await Loop.CallAsync((Handle, Native.Milliseconds(timeout)),
                    (state, queue, tag) => Native.mq_client_close_async(state.Handle, state.Item2, queue, tag)).ConfigureAwait(false);
            }
            finally
            {
                Handle.Dispose();
                Loop.Stop();
                GC.SuppressFinalize(this);
            }
        }
    }
}
