// SendReceipt: what the broker says about a message that it took.
using System;

namespace LibMq
{
    /// <summary>How safely the broker holds a message that it took.</summary>
    public enum SendStatus
    {
        /// <summary>As the broker was set to hold it.</summary>
        Ok = 0,
        /// <summary>Stored, but not on the disk within the broker's time limit.</summary>
        FlushDiskTimeout = 1,
        /// <summary>Stored, but the copy at the other broker was not done within the broker's time limit.</summary>
        FlushSlaveTimeout = 2,
        /// <summary>Stored, but there is no other broker to copy it to.</summary>
        SlaveNotAvailable = 3,
    }

    /// <summary>What the broker says about a message, or a list of messages, that it took.</summary>
    public sealed class SendReceipt
    {
        private unsafe SendReceipt(IntPtr receipt)
        {
            MessageId = Native.Text(Native.mq_receipt_message_id(receipt, out var length), length) ?? "";
            OffsetMessageId = Native.Text(Native.mq_receipt_offset_message_id(receipt, out length), length) ?? "";
            Topic = Native.Text(Native.mq_receipt_topic(receipt, out length), length) ?? "";
            BrokerName = Native.Text(Native.mq_receipt_broker_name(receipt, out length), length) ?? "";
            QueueId = Native.mq_receipt_queue_id(receipt);
            QueueOffset = Native.mq_receipt_queue_offset(receipt);
            Status = (SendStatus)Native.mq_receipt_status(receipt);
            TransactionId = Native.Text(Native.mq_receipt_transaction_id(receipt, out length), length);
        }

        /// <summary>The id that the client gave; for a list, the ids separated by commas.</summary>
        public string MessageId { get; }

        /// <summary>The id that the broker gave: where it stored the message.</summary>
        public string OffsetMessageId { get; }

        /// <summary>The topic.</summary>
        public string Topic { get; }

        /// <summary>The broker's name.</summary>
        public string BrokerName { get; }

        /// <summary>The queue within the topic at that broker.</summary>
        public int QueueId { get; }

        /// <summary>The place within the queue; for a list, that of the first message.</summary>
        public long QueueOffset { get; }

        /// <summary>How safely the broker holds it.</summary>
        public SendStatus Status { get; }

        /// <summary>The transaction's id, if it was part of one.</summary>
        public string? TransactionId { get; }

        /// <summary>The receipt of an event.</summary>
        internal static SendReceipt Of(IntPtr happened) => new SendReceipt(Native.mq_event_receipt(happened));

        /// <summary>A receipt that is ours, and freed here.</summary>
        internal static SendReceipt Take(IntPtr receipt)
        {
            try
            {
                return new SendReceipt(receipt);
            }
            finally
            {
                Native.mq_receipt_free(receipt);
            }
        }
    }
}
