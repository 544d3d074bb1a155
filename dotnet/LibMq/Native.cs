// Native: the functions of mq.h that the library uses, as they are.
using System;
using System.Runtime.InteropServices;
using System.Text;
using System.Threading;

namespace LibMq
{
    /// <summary>
    /// The functions of <c>mq.h</c>. Those that return an error object are passed through <see cref="Check"/>. Texts are UTF-8 with
    /// their length in bytes, <see cref="Length"/>.
    /// </summary>
    internal static unsafe class Native
    {
        internal const int EventDone = 1;
        internal const int EventMessage = 2;
        internal const int EventLog = 3;
        internal const int EventWarning = 4;
        internal const int EventQueueChange = 5;

        private const string Library = "mq";

        static Native()
        {
            const uint Compiled = 4;
            var found = mq_abi_version();
            if (found >> 16 != Compiled >> 16 || found < Compiled)
            {
                throw new DllNotFoundException($"libmq has interface version {found}, this package needs {Compiled}: install both of one release");
            }
        }

        /// <summary>Throws if a call failed; the error object is freed.</summary>
        internal static void Check(IntPtr error)
        {
            if (error != IntPtr.Zero)
            {
                try
                {
                    throw MqException.From(error);
                }
                finally
                {
                    mq_error_free(error);
                }
            }
        }

        /// <summary>A text of the library; null for NULL.</summary>
        internal static string? Text(byte* text, UIntPtr length) =>
            text == null ? null : Encoding.UTF8.GetString(text, checked((int)length));

        /// <summary>A static text of the library.</summary>
        internal static string Text(IntPtr text) => Marshal.PtrToStringUTF8(text) ?? "";

        /// <summary>How many bytes a text has in UTF-8.</summary>
        internal static UIntPtr Length(string? text) => (UIntPtr)(text == null ? 0 : Encoding.UTF8.GetByteCount(text));

        /// <summary>A time limit as the library takes it: 0 is its default, so that a shorter time counts as one millisecond.</summary>
        internal static long Milliseconds(TimeSpan? timeout) => timeout is null ? 0 : Math.Max(1, Milliseconds(timeout, 0));

        /// <summary>A time limit in milliseconds; <paramref name="otherwise"/> if there is none.</summary>
        internal static long Milliseconds(TimeSpan? timeout, long otherwise) => timeout switch
        {
            null => otherwise,
            TimeSpan given when given == Timeout.InfiniteTimeSpan => (long)TimeSpan.MaxValue.TotalMilliseconds,
            TimeSpan given when given >= TimeSpan.Zero => (long)given.TotalMilliseconds,
            TimeSpan given => throw new ArgumentOutOfRangeException(nameof(timeout), given, "must not be negative"),
        };

        [DllImport(Library)] internal static extern uint mq_abi_version();
        [DllImport(Library)] internal static extern IntPtr mq_version();

        [DllImport(Library)] internal static extern int mq_error_code(IntPtr error);
        [DllImport(Library)] internal static extern byte* mq_error_message(IntPtr error, out UIntPtr length);
        [DllImport(Library)] internal static extern int mq_error_broker_code(IntPtr error);
        [DllImport(Library)] internal static extern int mq_error_retryable(IntPtr error);
        [DllImport(Library)] internal static extern int mq_error_throttled(IntPtr error);
        [DllImport(Library)] internal static extern int mq_error_fatal(IntPtr error);
        [DllImport(Library)] internal static extern void mq_error_free(IntPtr error);
        [DllImport(Library)] internal static extern IntPtr mq_error_code_name(int code);

        [DllImport(Library)] internal static extern ConfigHandle mq_config_new();
        [DllImport(Library)]
        internal static extern IntPtr mq_config_set(ConfigHandle config, [MarshalAs(UnmanagedType.LPUTF8Str)] string key, UIntPtr keyLength,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string value, UIntPtr valueLength);
        [DllImport(Library)] internal static extern void mq_config_free(IntPtr config);

        [DllImport(Library)] internal static extern QueueHandle mq_queue_new();
        [DllImport(Library)]
        internal static extern IntPtr mq_queue_poll(QueueHandle queue, IntPtr* events, UIntPtr max, long timeout, out UIntPtr count);
        [DllImport(Library)] internal static extern IntPtr mq_queue_close(QueueHandle queue);
        [DllImport(Library)] internal static extern void mq_queue_free(IntPtr queue);

        [DllImport(Library)] internal static extern int mq_event_kind(IntPtr happened);
        [DllImport(Library)] internal static extern ulong mq_event_tag(IntPtr happened);
        [DllImport(Library)] internal static extern IntPtr mq_event_error(IntPtr happened);
        [DllImport(Library)] internal static extern IntPtr mq_event_receipt(IntPtr happened);
        [DllImport(Library)] internal static extern UIntPtr mq_event_message_count(IntPtr happened);
        [DllImport(Library)] internal static extern IntPtr mq_event_message(IntPtr happened, UIntPtr index);
        [DllImport(Library)] internal static extern IntPtr mq_event_reply(IntPtr happened, int result, int detail);
        [DllImport(Library)] internal static extern IntPtr mq_event_queues(IntPtr happened);
        [DllImport(Library)] internal static extern IntPtr mq_event_assigned(IntPtr happened);
        [DllImport(Library)] internal static extern long mq_event_offset(IntPtr happened);
        [DllImport(Library)] internal static extern byte* mq_event_warning_name(IntPtr happened, out UIntPtr length);
        [DllImport(Library)] internal static extern byte* mq_event_warning_message(IntPtr happened, out UIntPtr length);
        [DllImport(Library)] internal static extern int mq_event_log_level(IntPtr happened);
        [DllImport(Library)] internal static extern byte* mq_event_log_target(IntPtr happened, out UIntPtr length);
        [DllImport(Library)] internal static extern byte* mq_event_log_message(IntPtr happened, out UIntPtr length);
        [DllImport(Library)] internal static extern void mq_event_free(IntPtr happened);

        [DllImport(Library)]
        internal static extern IntPtr mq_message_new([MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr topicLength, byte* body,
            UIntPtr bodyLength, out IntPtr message);
        [DllImport(Library)]
        internal static extern IntPtr mq_message_set_tag(IntPtr message, [MarshalAs(UnmanagedType.LPUTF8Str)] string tag, UIntPtr length);
        [DllImport(Library)]
        internal static extern IntPtr mq_message_add_key(IntPtr message, [MarshalAs(UnmanagedType.LPUTF8Str)] string key, UIntPtr length);
        [DllImport(Library)]
        internal static extern IntPtr mq_message_set_property(IntPtr message, [MarshalAs(UnmanagedType.LPUTF8Str)] string name,
            UIntPtr nameLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string value, UIntPtr valueLength);
        [DllImport(Library)]
        internal static extern IntPtr mq_message_set_group(IntPtr message, [MarshalAs(UnmanagedType.LPUTF8Str)] string group, UIntPtr length);
        [DllImport(Library)] internal static extern IntPtr mq_message_set_delay_level(IntPtr message, int level);
        [DllImport(Library)] internal static extern IntPtr mq_message_set_wait_store(IntPtr message, int wait);
        [DllImport(Library)] internal static extern IntPtr mq_message_set_flag(IntPtr message, int flag);
        [DllImport(Library)] internal static extern void mq_message_free(IntPtr message);

        [DllImport(Library)] internal static extern byte* mq_receipt_message_id(IntPtr receipt, out UIntPtr length);
        [DllImport(Library)] internal static extern byte* mq_receipt_offset_message_id(IntPtr receipt, out UIntPtr length);
        [DllImport(Library)] internal static extern byte* mq_receipt_topic(IntPtr receipt, out UIntPtr length);
        [DllImport(Library)] internal static extern byte* mq_receipt_broker_name(IntPtr receipt, out UIntPtr length);
        [DllImport(Library)] internal static extern int mq_receipt_queue_id(IntPtr receipt);
        [DllImport(Library)] internal static extern long mq_receipt_queue_offset(IntPtr receipt);
        [DllImport(Library)] internal static extern int mq_receipt_status(IntPtr receipt);
        [DllImport(Library)] internal static extern byte* mq_receipt_transaction_id(IntPtr receipt, out UIntPtr length);
        [DllImport(Library)] internal static extern void mq_receipt_free(IntPtr receipt);


        [DllImport(Library)] internal static extern byte* mq_message_view_packed(IntPtr view, out UIntPtr length);
        [DllImport(Library)] internal static extern IntPtr mq_message_view_clone(IntPtr view);
        [DllImport(Library)] internal static extern void mq_message_view_free(IntPtr view);

        [DllImport(Library)] internal static extern MessageQueuesHandle mq_message_queues_new();
        [DllImport(Library)]
        internal static extern IntPtr mq_message_queues_add(MessageQueuesHandle queues, [MarshalAs(UnmanagedType.LPUTF8Str)] string topic,
            UIntPtr topicLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string brokerName, UIntPtr brokerNameLength, int queueId);
        [DllImport(Library)] internal static extern UIntPtr mq_message_queues_count(IntPtr queues);
        [DllImport(Library)] internal static extern byte* mq_message_queues_topic(IntPtr queues, UIntPtr index, out UIntPtr length);
        [DllImport(Library)] internal static extern byte* mq_message_queues_broker_name(IntPtr queues, UIntPtr index, out UIntPtr length);
        [DllImport(Library)] internal static extern int mq_message_queues_id(IntPtr queues, UIntPtr index);
        [DllImport(Library)] internal static extern void mq_message_queues_free(IntPtr queues);

        [DllImport(Library)] internal static extern IntPtr mq_client_new(ConfigHandle config, out ClientHandle client);
        [DllImport(Library)] internal static extern IntPtr mq_client_close_async(ClientHandle client, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)] internal static extern void mq_client_free(IntPtr client);

        [DllImport(Library)]
        internal static extern IntPtr mq_producer_new(ClientHandle client, ConfigHandle config, out ProducerHandle producer);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_send(ProducerHandle producer, IntPtr message, long timeout, out IntPtr receipt);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_send_async(ProducerHandle producer, IntPtr message, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_send_oneway_async(ProducerHandle producer, IntPtr message, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_send_batch(ProducerHandle producer, IntPtr* messages, UIntPtr count, long timeout, out IntPtr receipt);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_send_batch_async(ProducerHandle producer, IntPtr* messages, UIntPtr count, long timeout,
            QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_send_to_queue(ProducerHandle producer, IntPtr message,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string brokerName, UIntPtr length, int queueId, long timeout, out IntPtr receipt);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_send_to_queue_async(ProducerHandle producer, IntPtr message,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string brokerName, UIntPtr length, int queueId, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_queues_async(ProducerHandle producer, [MarshalAs(UnmanagedType.LPUTF8Str)] string topic,
            UIntPtr length, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_split_batch(ProducerHandle producer, IntPtr* messages, UIntPtr count, UIntPtr* lengths,
            out UIntPtr lists);
        [DllImport(Library)] internal static extern IntPtr mq_producer_cancel(ProducerHandle producer, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_producer_close_async(ProducerHandle producer, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)] internal static extern void mq_producer_free(IntPtr producer);

        [DllImport(Library)]
        internal static extern IntPtr mq_push_consumer_new(ClientHandle client, ConfigHandle config, QueueHandle queue, ulong tag,
            out PushConsumerHandle consumer);
        [DllImport(Library)]
        internal static extern IntPtr mq_push_consumer_subscribe(PushConsumerHandle consumer, [MarshalAs(UnmanagedType.LPUTF8Str)] string topic,
            UIntPtr topicLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string expression, UIntPtr expressionLength);
        [DllImport(Library)]
        internal static extern IntPtr mq_push_consumer_subscribe_async(PushConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr topicLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string expression,
            UIntPtr expressionLength, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_push_consumer_unsubscribe_async(PushConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr length, QueueHandle queue, ulong tag);
        [DllImport(Library)] internal static extern IntPtr mq_push_consumer_cancel(PushConsumerHandle consumer, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_push_consumer_start_async(PushConsumerHandle consumer, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)] internal static extern IntPtr mq_push_consumer_suspend(PushConsumerHandle consumer);
        [DllImport(Library)] internal static extern IntPtr mq_push_consumer_resume(PushConsumerHandle consumer);
        [DllImport(Library)]
        internal static extern IntPtr mq_push_consumer_close_async(PushConsumerHandle consumer, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_push_consumer_assignment(PushConsumerHandle consumer, out MessageQueuesHandle queues);
        [DllImport(Library)] internal static extern void mq_push_consumer_free(IntPtr consumer);

        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_new(ClientHandle client, ConfigHandle config, out PullConsumerHandle consumer);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_subscribe_async(PullConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr topicLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string expression,
            UIntPtr expressionLength, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_unsubscribe_async(PullConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr length, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_assign_async(PullConsumerHandle consumer, MessageQueuesHandle queues,
            QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_start_async(PullConsumerHandle consumer, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_poll_async(PullConsumerHandle consumer, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_seek_async(PullConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr topicLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string brokerName,
            UIntPtr brokerNameLength, int queueId, int whence, long value, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_offset_for_timestamp_async(PullConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr topicLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string brokerName,
            UIntPtr brokerNameLength, int queueId, long millis, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_commit_async(PullConsumerHandle consumer, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_commit_offsets_async(PullConsumerHandle consumer, MessageQueuesHandle queues,
            long[] offsets, UIntPtr count, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_committed_async(PullConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr topicLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string brokerName,
            UIntPtr brokerNameLength, int queueId, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_position_async(PullConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr topicLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string brokerName,
            UIntPtr brokerNameLength, int queueId, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_queues_async(PullConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr length, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_watch_queues_async(PullConsumerHandle consumer,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string topic, UIntPtr length, QueueHandle events, ulong watch, QueueHandle queue, ulong tag);
        [DllImport(Library)] internal static extern IntPtr mq_pull_consumer_pause(PullConsumerHandle consumer, MessageQueuesHandle queues);
        [DllImport(Library)] internal static extern IntPtr mq_pull_consumer_resume(PullConsumerHandle consumer, MessageQueuesHandle queues);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_assignment(PullConsumerHandle consumer, out MessageQueuesHandle queues);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_cancel(PullConsumerHandle consumer, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_pull_consumer_close_async(PullConsumerHandle consumer, long timeout, QueueHandle queue, ulong tag);
        [DllImport(Library)] internal static extern void mq_pull_consumer_free(IntPtr consumer);

        [DllImport(Library)]
        internal static extern IntPtr mq_dead_letters_new(ClientHandle client, [MarshalAs(UnmanagedType.LPUTF8Str)] string group,
            UIntPtr length, out DeadLettersHandle letters);
        [DllImport(Library)]
        internal static extern IntPtr mq_dead_letters_read_async(DeadLettersHandle letters, UIntPtr max, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_dead_letters_rewind_async(DeadLettersHandle letters, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_dead_letters_resend_async(DeadLettersHandle letters, ViewHandle view, QueueHandle queue, ulong tag);
        [DllImport(Library)]
        internal static extern IntPtr mq_dead_letters_cancel(DeadLettersHandle letters, QueueHandle queue, ulong tag);
        [DllImport(Library)] internal static extern void mq_dead_letters_free(IntPtr letters);

        [DllImport(Library)] internal static extern IntPtr mq_log_set_queue(QueueHandle queue, int level);
        [DllImport(Library)] internal static extern IntPtr mq_log_set_queue(IntPtr none, int level);

        [DllImport(Library)] internal static extern IntPtr mq_broker_start(ConfigHandle config, out BrokerHandle broker);
        [DllImport(Library)] internal static extern byte* mq_broker_address(BrokerHandle broker, out UIntPtr length);
        [DllImport(Library)] internal static extern byte* mq_broker_listen_address(BrokerHandle broker, out UIntPtr length);
        [DllImport(Library)] internal static extern byte* mq_broker_data_dir(BrokerHandle broker, out UIntPtr length);
        [DllImport(Library)]
        internal static extern IntPtr mq_broker_create_topic(BrokerHandle broker, [MarshalAs(UnmanagedType.LPUTF8Str)] string name,
            UIntPtr length, int queues);
        [DllImport(Library)] internal static extern IntPtr mq_broker_stop(BrokerHandle broker, long timeout);
        [DllImport(Library)] internal static extern IntPtr mq_broker_kill(BrokerHandle broker);
        [DllImport(Library)] internal static extern IntPtr mq_broker_restart(BrokerHandle broker);
        [DllImport(Library)] internal static extern void mq_broker_free(IntPtr broker);
        [DllImport(Library)]
        internal static extern IntPtr mq_broker_fail_next(BrokerHandle broker, [MarshalAs(UnmanagedType.LPUTF8Str)] string request,
            UIntPtr requestLength, [MarshalAs(UnmanagedType.LPUTF8Str)] string response, UIntPtr responseLength, uint times);
        [DllImport(Library)]
        internal static extern IntPtr mq_broker_delay_next(BrokerHandle broker, [MarshalAs(UnmanagedType.LPUTF8Str)] string request,
            UIntPtr length, long delay, uint times);
        [DllImport(Library)]
        internal static extern IntPtr mq_broker_drop_next(BrokerHandle broker, [MarshalAs(UnmanagedType.LPUTF8Str)] string request,
            UIntPtr length, uint times);
        [DllImport(Library)]
        internal static extern IntPtr mq_broker_lose_answer_next(BrokerHandle broker,
            [MarshalAs(UnmanagedType.LPUTF8Str)] string request, UIntPtr length, uint times);
        [DllImport(Library)] internal static extern IntPtr mq_broker_refuse_connections(BrokerHandle broker, int refuse);
        [DllImport(Library)] internal static extern IntPtr mq_broker_clear_faults(BrokerHandle broker);
        [DllImport(Library)] internal static extern IntPtr mq_broker_advance_clock(BrokerHandle broker, long millis);
        [DllImport(Library)] internal static extern IntPtr mq_broker_set_clock(BrokerHandle broker, long millis);
        [DllImport(Library)] internal static extern IntPtr mq_broker_clock(BrokerHandle broker, out long millis);
    }
}
