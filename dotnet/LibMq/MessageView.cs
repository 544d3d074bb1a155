// MessageView: a message that arrived.
using System;
using System.Collections.Generic;

namespace LibMq
{
    /// <summary>A message that arrived. It does not change and stays valid for as long as it is kept.</summary>
    public sealed class MessageView
    {
        internal unsafe MessageView(IntPtr view)
        {
            Topic = Native.Text(Native.mq_message_view_topic(view, out var length), length) ?? "";
            var body = Native.mq_message_view_body(view, out length);
            Body = new ReadOnlySpan<byte>(body, checked((int)length)).ToArray();
            Tag = Native.Text(Native.mq_message_view_tag(view, out length), length);
            MessageGroup = Native.Text(Native.mq_message_view_group(view, out length), length);
            MessageId = Native.Text(Native.mq_message_view_message_id(view, out length), length) ?? "";
            OffsetMessageId = Native.Text(Native.mq_message_view_offset_message_id(view, out length), length) ?? "";
            BrokerName = Native.Text(Native.mq_message_view_broker_name(view, out length), length) ?? "";
            QueueId = Native.mq_message_view_queue_id(view);
            QueueOffset = Native.mq_message_view_queue_offset(view);
            BornTime = DateTimeOffset.FromUnixTimeMilliseconds(Native.mq_message_view_born_timestamp(view));
            BornHost = Native.Text(Native.mq_message_view_born_host(view, out length), length) ?? "";
            StoreTime = DateTimeOffset.FromUnixTimeMilliseconds(Native.mq_message_view_store_timestamp(view));
            StoreHost = Native.Text(Native.mq_message_view_store_host(view, out length), length) ?? "";
            DeliveryAttempt = Native.mq_message_view_delivery_attempt(view);

            var keys = (int)Native.mq_message_view_key_count(view);
            var allKeys = keys == 0 ? Array.Empty<string>() : new string[keys];
            for (var i = 0; i < keys; i++)
            {
                allKeys[i] = Native.Text(Native.mq_message_view_key(view, (UIntPtr)i, out length), length) ?? "";
            }
            Keys = allKeys;

            var count = (int)Native.mq_message_view_property_count(view);
            var properties = new Dictionary<string, string>(count);
            for (var i = 0; i < count; i++)
            {
                var name = Native.Text(Native.mq_message_view_property_name(view, (UIntPtr)i, out length), length) ?? "";
                properties[name] = Native.Text(Native.mq_message_view_property_value(view, (UIntPtr)i, out length), length) ?? "";
            }
            Properties = properties;
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
    }
}
