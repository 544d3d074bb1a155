// Broker: a NameServer and a broker inside the process, for tests.
using System;

namespace LibMq.Testing
{
    /// <summary>Settings of an embedded broker.</summary>
    public sealed class BrokerOptions : Options
    {
        /// <summary>Where to keep the data; without it in a temporary directory, removed at the end.</summary>
        public string? DataDirectory { get; set; }

        private protected override void Collect(Action<string, string?> set) => set("data_dir", DataDirectory);
    }

    /// <summary>
    /// A NameServer and a broker inside this process, on free ports of the loopback interface. It accepts connections as soon
    /// as it is made. Safe for use by several threads; all calls block.
    /// </summary>
    public sealed class Broker : IDisposable
    {
        private readonly BrokerHandle _handle;

        /// <summary>Faults to provoke; they stay over a stop, a kill and a restart.</summary>
        public Faults Faults { get; }

        /// <summary>The clock that can be moved.</summary>
        public Clock Clock { get; }

        /// <summary>Starts a broker with Apache's own settings of <c>broker.conf</c>, by name, where they are given.</summary>
        public Broker(BrokerOptions? options = null)
        {
            using var config = (options ?? new BrokerOptions()).ToConfig();
            Native.Check(Native.mq_broker_start(config, out _handle));
            Faults = new Faults(this);
            Clock = new Clock(this);
        }

        /// <summary>The NameServer's <c>host:port</c>: what clients want to know.</summary>
        public unsafe string Address => Native.Text(Native.mq_broker_address(Open, out var length), length) ?? "";

        /// <summary>The broker's own <c>host:port</c>.</summary>
        public unsafe string BrokerAddress => Native.Text(Native.mq_broker_listen_address(Open, out var length), length) ?? "";

        /// <summary>Where its data is.</summary>
        public unsafe string DataDirectory => Native.Text(Native.mq_broker_data_dir(Open, out var length), length) ?? "";

        internal BrokerHandle Open => _handle.IsClosed ? throw new MqClosedException(IntPtr.Zero) : _handle;

        /// <summary>Creates a topic, or changes the number of its queues.</summary>
        public void CreateTopic(string name, int queues = 4) =>
            Native.Check(Native.mq_broker_create_topic(Open, name ?? throw new ArgumentNullException(nameof(name)), Native.Length(name), queues));

        /// <summary>Stops it in order, within 10 seconds unless given. Its data stays until it is disposed of.</summary>
        public void Stop(TimeSpan? timeout = null) => Native.Check(Native.mq_broker_stop(Open, Native.Milliseconds(timeout)));

        /// <summary>Ends it as <c>kill -9</c> would: connections are cut, nothing is flushed.</summary>
        public void Kill() => Native.Check(Native.mq_broker_kill(Open));

        /// <summary>Starts it again on the same data and, if it can, the same ports.</summary>
        public void Restart() => Native.Check(Native.mq_broker_restart(Open));

        /// <summary>Stops it if it runs, and removes its data if that is temporary.</summary>
        public void Dispose() => _handle.Dispose();
    }
}
