// DeadLetters: what a consumer group never accepted.
using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq
{
    /// <summary>One dead letter, with the message as it was sent. It keeps memory of the library until it is disposed of.</summary>
    public sealed class DeadLetter : IDisposable
    {
        internal DeadLetter(IntPtr view)
        {
            Message = new MessageView(view);
            Handle = new ViewHandle(Native.mq_message_view_clone(view));
        }

        /// <summary>The message.</summary>
        public MessageView Message { get; }

        internal ViewHandle Handle { get; }

        /// <inheritdoc/>
        public void Dispose() => Handle.Dispose();
    }

    /// <summary>
    /// Reads a group's dead letters, from the oldest on, and sends them again. Reading changes nothing at the broker, so that
    /// another reader sees them, too.
    /// </summary>
    public sealed class DeadLetters : IDisposable
    {
        private readonly MqClient _client; // which must not be collected as long as this is used
        private readonly DeadLettersHandle _handle;
        private readonly EventLoop _loop;

        internal DeadLetters(MqClient client, string group)
        {
            Native.Check(Native.mq_dead_letters_new(client.Handle, group, Native.Length(group), out _handle));
            _client = client;
            _loop = client.Loop;
        }

        /// <summary>The next ones, at most <paramref name="max"/>; none when all are read.</summary>
        public Task<IReadOnlyList<DeadLetter>> ReadAsync(int max, CancellationToken cancellationToken = default) =>
            Call(Letters, cancellationToken).Start((_handle, max >= 0 ? (UIntPtr)max : throw new ArgumentOutOfRangeException(nameof(max), max, "must not be negative")), (state, queue, tag) =>
                Native.mq_dead_letters_read_async(state._handle, state.Item2, queue, tag));

        /// <summary>Reads from the oldest one again.</summary>
        public Task RewindAsync(CancellationToken cancellationToken = default) =>
            Call(_ => true, cancellationToken).Start(_handle, (handle, queue, tag) => Native.mq_dead_letters_rewind_async(handle, queue, tag));

        /// <summary>Sends a dead letter to the topic that it came from, as a new message. It stays among the dead letters.</summary>
        public Task<SendReceipt> ResendAsync(DeadLetter letter, CancellationToken cancellationToken = default) =>
            Call(SendReceipt.Of, cancellationToken).Start((_handle, (letter ?? throw new ArgumentNullException(nameof(letter))).Handle),
                (state, queue, tag) => Native.mq_dead_letters_resend_async(state._handle, state.Handle, queue, tag));

        /// <inheritdoc/>
        public void Dispose() => _handle.Dispose();

        private static IReadOnlyList<DeadLetter> Letters(IntPtr happened)
        {
            var letters = new DeadLetter[(int)Native.mq_event_message_count(happened)];
            for (var i = 0; i < letters.Length; i++)
            {
                letters[i] = new DeadLetter(Native.mq_event_message(happened, (UIntPtr)i));
            }
            return letters;
        }

        private Pending<T> Call<T>(Func<IntPtr, T> take, CancellationToken cancellationToken) =>
            new Pending<T>(_loop, take, (queue, tag) => Native.mq_dead_letters_cancel(_handle, queue, tag), cancellationToken);
    }
}
