// Options: settings of clients, producers and consumers.
using System;
using System.Collections.Generic;
using System.Globalization;

namespace LibMq
{
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
    }

    /// <summary>Settings of a client.</summary>
    public sealed class ClientOptions : Options
    {
        /// <summary>The NameServers: <c>host:port[;host:port…]</c>.</summary>
        public string? Namesrv { get; set; }

        private protected override void Collect(Action<string, string?> set)
        {
            set("language", "DOTNET");
            set("namesrv", Namesrv);
        }
    }

    /// <summary>Settings of a producer.</summary>
    public sealed class ProducerOptions : Options
    {
        /// <summary>The producer group.</summary>
        public string? Group { get; set; }

        /// <summary>The time for one send, retries included; 3 seconds unless set.</summary>
        public TimeSpan? SendTimeout { get; set; }

        private protected override void Collect(Action<string, string?> set)
        {
            set("group", Group);
            set("send_timeout", Text(SendTimeout));
        }
    }

    /// <summary>Settings of a push consumer.</summary>
    public sealed class PushConsumerOptions : Options
    {
        /// <summary>The consumer group; its members share the queues.</summary>
        public string? Group { get; set; }

        /// <summary>Topics and what to take of them: <c>*</c>, or tags as in <c>paid || refunded</c>.</summary>
        public IDictionary<string, string> Subscriptions { get; } = new Dictionary<string, string>();

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

        private protected override void Collect(Action<string, string?> set)
        {
            set("group", Group);
            set("auto_commit", AutoCommit is bool given ? (given ? "true" : "false") : null);
        }
    }
}
