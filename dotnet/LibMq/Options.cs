// Options: settings of clients, producers and consumers.
using System;
using System.Collections.Generic;
using System.Globalization;

namespace LibMq
{
    /// <summary>How the messages of a queue are consumed.</summary>
    public enum ConsumeMode
    {
        /// <summary>Side by side.</summary>
        Concurrent,

        /// <summary>One listener call a queue at a time, in the queue's order.</summary>
        Orderly,
    }

    /// <summary>Who of a group gets a message.</summary>
    public enum MessageModel
    {
        /// <summary>One member; the broker keeps the offsets.</summary>
        Clustering,

        /// <summary>Each member; it keeps its offsets in its offset directory, and what fails does not come again.</summary>
        Broadcasting,
    }

    /// <summary>Where a new group begins.</summary>
    public enum ConsumeFromWhere
    {
        /// <summary>With what is sent from now on.</summary>
        Last,

        /// <summary>With the oldest message.</summary>
        First,

        /// <summary>At the time that the setting <c>consume_timestamp</c> gives.</summary>
        Timestamp,
    }

    /// <summary>Settings of one kind of object: the usual ones as properties, all of them by name.</summary>
    public abstract class Options
    {
        /// <summary>
        /// Settings by name, as the settings page lists them; the names of the Java client are understood too. They win over the
        /// properties. An unknown name or a bad value gives an <see cref="MqConfigException"/>.
        /// </summary>
        public IDictionary<string, string> Settings { get; } = new Dictionary<string, string>();

        internal ConfigHandle ToConfig()
        {
            var all = new List<KeyValuePair<string, string>>();
            Collect((name, value) =>
            {
                if (value != null)
                {
                    all.Add(new KeyValuePair<string, string>(name, value));
                }
            });
            all.AddRange(Settings);
            return ConfigHandle.From(all);
        }

        private protected abstract void Collect(Action<string, string?> set);

        private protected static string? Text(TimeSpan? time) =>
            time is TimeSpan given ? ((long)given.TotalMilliseconds).ToString(CultureInfo.InvariantCulture) + "ms" : null;

        private protected static string? Text(int? number) => number?.ToString(CultureInfo.InvariantCulture);

        private protected static string? Text(bool? given) => given is bool value ? (value ? "true" : "false") : null;

        private protected static string? Text(Enum? choice) => choice?.ToString();
    }

    /// <summary>Settings of a client.</summary>
    public sealed class ClientOptions : Options
    {
        /// <summary>The NameServers: <c>host:port[;host:port…]</c>.</summary>
        public string? Namesrv { get; set; }

        /// <summary>The namespace that all topics and groups are in; none unless set.</summary>
        public string? Namespace { get; set; }

        /// <summary>Part of the client id that admin tools show; unique for the process and client unless set.</summary>
        public string? InstanceName { get; set; }

        /// <summary>The time for a short request to a server; 3 seconds unless set.</summary>
        public TimeSpan? RequestTimeout { get; set; }

        /// <summary>The time for connecting; 3 seconds unless set.</summary>
        public TimeSpan? ConnectTimeout { get; set; }

        private protected override void Collect(Action<string, string?> set)
        {
            set("language", "DOTNET");
            set("namesrv", Namesrv);
            set("namespace", Namespace);
            set("instance_name", InstanceName);
            set("request_timeout", Text(RequestTimeout));
            set("connect_timeout", Text(ConnectTimeout));
        }
    }

    /// <summary>Settings of a producer.</summary>
    public sealed class ProducerOptions : Options
    {
        /// <summary>The producer group.</summary>
        public string? Group { get; set; }

        /// <summary>The time for one send, retries included; 3 seconds unless set.</summary>
        public TimeSpan? SendTimeout { get; set; }

        /// <summary>How often a failed send is tried again; twice unless set.</summary>
        public int? RetryTimesWhenSendFailed { get; set; }

        /// <summary>Bodies of at least this many bytes are compressed; 4096 unless set.</summary>
        public int? CompressBodyOver { get; set; }

        /// <summary>The largest body in bytes; 4 MiB unless set.</summary>
        public int? MaxMessageSize { get; set; }

        /// <summary>Messages that may be on their way at a time; 10000 unless set.</summary>
        public int? MaxInFlight { get; set; }

        private protected override void Collect(Action<string, string?> set)
        {
            set("group", Group);
            set("send_timeout", Text(SendTimeout));
            set("retry_times_when_send_failed", Text(RetryTimesWhenSendFailed));
            set("compress_body_over", Text(CompressBodyOver));
            set("max_message_size", Text(MaxMessageSize));
            set("max_in_flight", Text(MaxInFlight));
        }
    }

    /// <summary>Settings of a push consumer.</summary>
    public sealed class PushConsumerOptions : Options
    {
        /// <summary>The consumer group; its members share the queues.</summary>
        public string? Group { get; set; }

        /// <summary>Topics and what to take of them: <c>*</c>, or tags as in <c>paid || refunded</c>.</summary>
        public IDictionary<string, string> Subscriptions { get; } = new Dictionary<string, string>();

        /// <summary>Whether the order of each queue is kept; concurrent unless set.</summary>
        public ConsumeMode? ConsumeMode { get; set; }

        /// <summary>Whether one member or each gets a message; one unless set.</summary>
        public MessageModel? MessageModel { get; set; }

        /// <summary>The directory of a broadcasting member's offsets.</summary>
        public string? OffsetDir { get; set; }

        /// <summary>Where a new group begins; with what is sent from now on unless set.</summary>
        public ConsumeFromWhere? ConsumeFromWhere { get; set; }

        /// <summary>How many messages are given to a listener of lists at once; 1 unless set.</summary>
        public int? ConsumeMessageBatchMaxSize { get; set; }

        /// <summary>How many messages may be with the listener at a time; up to 64 unless set.</summary>
        public int? MaxConcurrency { get; set; }

        /// <summary>How often a message is delivered again before it goes to the dead letters; 16 unless set.</summary>
        public int? MaxReconsumeTimes { get; set; }

        /// <summary>
        /// Called for an exception of the listener, whose message is delivered again later; on the listener's thread, by
        /// several at once. Unless set, <see cref="System.Diagnostics.Trace"/> gets a line.
        /// </summary>
        public Action<MessageView, Exception>? OnListenerError { get; set; }

        /// <summary>
        /// Called with name and text when something about the group is wrong, such as members with other subscriptions; on a
        /// thread of the thread pool. Unless set, <see cref="System.Diagnostics.Trace"/> gets a line.
        /// </summary>
        public Action<string, string>? OnWarning { get; set; }

        private protected override void Collect(Action<string, string?> set)
        {
            set("group", Group);
            set("consume_mode", Text(ConsumeMode));
            set("message_model", Text(MessageModel));
            set("offset_dir", OffsetDir);
            set("consume_from_where", Text(ConsumeFromWhere));
            set("consume_message_batch_max_size", Text(ConsumeMessageBatchMaxSize));
            set("consume_thread_max", Text(MaxConcurrency));
            set("max_reconsume_times", Text(MaxReconsumeTimes));
        }
    }

    /// <summary>Settings of a pull consumer.</summary>
    public sealed class PullConsumerOptions : Options
    {
        /// <summary>The consumer group; its members share the queues.</summary>
        public string? Group { get; set; }

        /// <summary>
        /// Topics and what to take of them: <c>*</c>, or tags as in <c>paid || refunded</c>. Empty for a consumer that is
        /// assigned queues by hand.
        /// </summary>
        public IDictionary<string, string> Subscriptions { get; } = new Dictionary<string, string>();

        /// <summary>Whether positions are committed from time to time; true unless set.</summary>
        public bool? AutoCommit { get; set; }

        /// <summary>The time between two of these commits; 5 seconds unless set.</summary>
        public TimeSpan? AutoCommitInterval { get; set; }

        /// <summary>Where a new group begins; with what is sent from now on unless set.</summary>
        public ConsumeFromWhere? ConsumeFromWhere { get; set; }

        private protected override void Collect(Action<string, string?> set)
        {
            set("group", Group);
            set("auto_commit", Text(AutoCommit));
            set("auto_commit_interval", Text(AutoCommitInterval));
            set("consume_from_where", Text(ConsumeFromWhere));
        }
    }
}
