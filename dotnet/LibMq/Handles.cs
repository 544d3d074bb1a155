// Handles: what the native library owns, freed once and never while a call uses it.
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace LibMq
{
    internal abstract class MqHandle : SafeHandle
    {
        protected MqHandle() : base(IntPtr.Zero, ownsHandle: true) { }

        public sealed override bool IsInvalid => handle == IntPtr.Zero;
    }

    internal sealed class ClientHandle : MqHandle
    {
        protected override bool ReleaseHandle() { Native.mq_client_free(handle); return true; }
    }

    internal sealed class ProducerHandle : MqHandle
    {
        protected override bool ReleaseHandle() { Native.mq_producer_free(handle); return true; }
    }

    internal sealed class PushConsumerHandle : MqHandle
    {
        protected override bool ReleaseHandle() { Native.mq_push_consumer_free(handle); return true; }
    }

    internal sealed class PullConsumerHandle : MqHandle
    {
        protected override bool ReleaseHandle() { Native.mq_pull_consumer_free(handle); return true; }
    }

    internal sealed class DeadLettersHandle : MqHandle
    {
        protected override bool ReleaseHandle() { Native.mq_dead_letters_free(handle); return true; }
    }

    internal sealed class MessageQueuesHandle : MqHandle
    {
        protected override bool ReleaseHandle() { Native.mq_message_queues_free(handle); return true; }
    }

    internal sealed class ViewHandle : MqHandle
    {
        internal ViewHandle(IntPtr view) => SetHandle(view);

        protected override bool ReleaseHandle() { Native.mq_message_view_free(handle); return true; }
    }

    internal sealed class QueueHandle : MqHandle
    {
        protected override bool ReleaseHandle() { Native.mq_queue_free(handle); return true; }
    }

    internal sealed class BrokerHandle : MqHandle
    {
        protected override bool ReleaseHandle() { Native.mq_broker_free(handle); return true; }
    }

    internal sealed class ConfigHandle : MqHandle
    {
        /// <summary>Settings for the core, which checks each name and value.</summary>
        internal static ConfigHandle From(IEnumerable<KeyValuePair<string, string>> settings)
        {
            var config = Native.mq_config_new();
            try
            {
                foreach (var pair in settings)
                {
                    Native.Check(Native.mq_config_set(config, pair.Key, Native.Length(pair.Key), pair.Value, Native.Length(pair.Value)));
                }
                return config;
            }
            catch
            {
                config.Dispose();
                throw;
            }
        }

        protected override bool ReleaseHandle() { Native.mq_config_free(handle); return true; }
    }
}
