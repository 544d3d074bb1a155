// MessageQueue: one queue of a topic.
using System;
using System.Collections.Generic;

namespace LibMq
{
    /// <summary>One queue of a topic at one broker.</summary>
    public sealed class MessageQueue : IEquatable<MessageQueue>
    {
        /// <summary>Names a queue.</summary>
        public MessageQueue(string topic, string brokerName, int queueId)
        {
            Topic = topic ?? throw new ArgumentNullException(nameof(topic));
            BrokerName = brokerName ?? throw new ArgumentNullException(nameof(brokerName));
            QueueId = queueId;
        }

        /// <summary>The topic.</summary>
        public string Topic { get; }

        /// <summary>The broker's name.</summary>
        public string BrokerName { get; }

        /// <summary>Its number at that broker, from 0.</summary>
        public int QueueId { get; }

        /// <inheritdoc/>
        public bool Equals(MessageQueue? other) =>
            other != null && QueueId == other.QueueId && BrokerName == other.BrokerName && Topic == other.Topic;

        /// <inheritdoc/>
        public override bool Equals(object? other) => Equals(other as MessageQueue);

        /// <inheritdoc/>
        public override int GetHashCode() => HashCode.Combine(Topic, BrokerName, QueueId);

        /// <inheritdoc/>
        public override string ToString() => $"{Topic}/{BrokerName}/{QueueId}";

        /// <summary>Queues of the library, which stay.</summary>
        internal static unsafe IReadOnlyList<MessageQueue> From(IntPtr queues)
        {
            var all = new MessageQueue[queues == IntPtr.Zero ? 0 : (int)Native.mq_message_queues_count(queues)];
            for (var i = 0; i < all.Length; i++)
            {
                var topic = Native.Text(Native.mq_message_queues_topic(queues, (UIntPtr)i, out var length), length) ?? "";
                var brokerName = Native.Text(Native.mq_message_queues_broker_name(queues, (UIntPtr)i, out length), length) ?? "";
                all[i] = new MessageQueue(topic, brokerName, Native.mq_message_queues_id(queues, (UIntPtr)i));
            }
            return all;
        }

        /// <summary>Queues of the library, which are freed.</summary>
        internal static IReadOnlyList<MessageQueue> Take(MessageQueuesHandle queues)
        {
            using (queues)
            {
                return From(queues.DangerousGetHandle());
            }
        }

        /// <summary>Queues in the library's form.</summary>
        internal static MessageQueuesHandle ToNative(IEnumerable<MessageQueue> queues)
        {
            var native = Native.mq_message_queues_new();
            try
            {
                foreach (var queue in queues ?? throw new ArgumentNullException(nameof(queues)))
                {
                    _ = queue ?? throw new ArgumentNullException(nameof(queues), "one of the queues is null");
                    Native.Check(Native.mq_message_queues_add(native, queue.Topic, Native.Length(queue.Topic), queue.BrokerName,
                        Native.Length(queue.BrokerName), queue.QueueId));
                }
                return native;
            }
            catch
            {
                native.Dispose();
                throw;
            }
        }
    }
}
