// MessageView: a message that arrived.
using System;
using System.Collections.Generic;
using System.Text;

namespace LibMq
{
    /// <summary>A message that arrived. It does not change and stays valid for as long as it is kept.</summary>
    public sealed class MessageView
    {
        private static readonly string[] NoKeys = Array.Empty<string>();

        internal unsafe MessageView(IntPtr view)
        {
            // One crossing for all of it; mq.h describes the block.
            var packed = Native.mq_message_view_packed(view, out _);
            var lengths = (int*)(packed + 56);
            var at = packed + *(uint*)packed;
            string? Next(int index)
            {
                var length = lengths[index];
                if (length < 0)
                {
                    return null;
                }
                var text = Encoding.UTF8.GetString(at, length);
                at += length;
                return text;
            }

            QueueId = *(int*)(packed + 4);
            QueueOffset = *(long*)(packed + 8);
            BornTime = DateTimeOffset.FromUnixTimeMilliseconds(*(long*)(packed + 16));
            StoreTime = DateTimeOffset.FromUnixTimeMilliseconds(*(long*)(packed + 24));
            DeliveryAttempt = *(int*)(packed + 32) + 1;
            Flag = *(int*)(packed + 36);
            var body = (byte*)*(ulong*)(packed + 40);
            Body = new ReadOnlySpan<byte>(body, checked((int)*(ulong*)(packed + 48))).ToArray();
            Topic = Next(0) ?? "";
            Tag = Next(1);
            var keys = Next(2);
            Keys = string.IsNullOrEmpty(keys) ? NoKeys : keys.Split(' ');
            MessageGroup = Next(3);
            MessageId = Next(4) ?? "";
            OffsetMessageId = Next(5) ?? "";
            BrokerName = Next(6) ?? "";
            BornHost = Next(7) ?? "";
            StoreHost = Next(8) ?? "";
            var properties = new Dictionary<string, string>();
            foreach (var property in (Next(9) ?? "").Split(new[] { '\u0002' }, StringSplitOptions.RemoveEmptyEntries))
            {
                var border = property.IndexOf('\u0001');
                properties[border < 0 ? property : property.Substring(0, border)] = border < 0 ? "" : property.Substring(border + 1);
            }
            Properties = properties;
        }

        /// <summary>The messages of an event.</summary>
        internal static IReadOnlyList<MessageView> All(IntPtr happened)
        {
            var views = new MessageView[(int)Native.mq_event_message_count(happened)];
            for (var i = 0; i < views.Length; i++)
            {
                views[i] = new MessageView(Native.mq_event_message(happened, (UIntPtr)i));
            }
            return views;
        }

        /// <summary>The topic that it was sent to, also when this is a later attempt.</summary>
        public string Topic { get; }

        /// <summary>The body, decompressed.</summary>
        public ReadOnlyMemory<byte> Body { get; }

        /// <summary>The tag, if it has one.</summary>
        public string? Tag { get; }

        /// <summary>The keys.</summary>
        public IReadOnlyList<string> Keys { get; }

        /// <summary>All properties, those of RocketMQ itself included.</summary>
        public IReadOnlyDictionary<string, string> Properties { get; }

        /// <summary>The message group (sharding key), if it has one.</summary>
        public string? MessageGroup { get; }

        /// <summary>The id that the sender gave; the same at every attempt.</summary>
        public string MessageId { get; }

        /// <summary>The id that the broker gave: where it is stored.</summary>
        public string OffsetMessageId { get; }

        /// <summary>The broker's name.</summary>
        public string BrokerName { get; }

        /// <summary>The queue within the topic at that broker.</summary>
        public int QueueId { get; }

        /// <summary>The place within the queue.</summary>
        public long QueueOffset { get; }

        /// <summary>When it was sent, by the sender's clock.</summary>
        public DateTimeOffset BornTime { get; }

        /// <summary>Who sent it: <c>host:port</c> as the broker saw it.</summary>
        public string BornHost { get; }

        /// <summary>When it was stored, by the broker's clock.</summary>
        public DateTimeOffset StoreTime { get; }

        /// <summary>The broker that stored it: <c>host:port</c>.</summary>
        public string StoreHost { get; }

        /// <summary>Which delivery this is: 1 at first.</summary>
        public int DeliveryAttempt { get; }

        /// <summary>The sender's own number for it.</summary>
        public int Flag { get; }

        /// <summary>The queue that it came from.</summary>
        public MessageQueue Queue => new MessageQueue(Topic, BrokerName, QueueId);
    }
}
