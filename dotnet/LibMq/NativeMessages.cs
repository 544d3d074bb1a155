// NativeMessages: messages in the core's form, for the length of one call.
using System;
using System.Collections.Generic;

namespace LibMq
{
    internal readonly struct NativeMessages : IDisposable
    {
        internal NativeMessages(Message message)
        {
            First = Make(message);
            All = Array.Empty<IntPtr>();
        }

        internal NativeMessages(IReadOnlyList<Message> messages)
        {
            First = IntPtr.Zero;
            All = new IntPtr[(messages ?? throw new ArgumentNullException(nameof(messages))).Count];
            try
            {
                for (var i = 0; i < All.Length; i++)
                {
                    All[i] = Make(messages[i]);
                }
            }
            catch
            {
                Dispose();
                throw;
            }
        }

        /// <summary>The one message, or zero if this is a list.</summary>
        internal IntPtr First { get; }

        internal IntPtr[] All { get; }

        public void Dispose()
        {
            Native.mq_message_free(First);
            foreach (var message in All)
            {
                Native.mq_message_free(message);
            }
        }

        private static unsafe IntPtr Make(Message message)
        {
            if (message == null)
            {
                throw new ArgumentNullException(nameof(message));
            }
            IntPtr native;
            fixed (byte* body = message.Body.Span)
            {
                Native.Check(Native.mq_message_new(message.Topic, Native.Length(message.Topic), body, (UIntPtr)message.Body.Length, out native));
            }
            try
            {
                if (message.Tag is string tag)
                {
                    Native.Check(Native.mq_message_set_tag(native, tag, Native.Length(tag)));
                }
                foreach (var key in message.Keys)
                {
                    Native.Check(Native.mq_message_add_key(native, key, Native.Length(key)));
                }
                foreach (var pair in message.Properties)
                {
                    Native.Check(Native.mq_message_set_property(native, pair.Key, Native.Length(pair.Key), pair.Value, Native.Length(pair.Value)));
                }
                if (message.MessageGroup is string group)
                {
                    Native.Check(Native.mq_message_set_group(native, group, Native.Length(group)));
                }
                if (message.DelayLevel != 0)
                {
                    Native.Check(Native.mq_message_set_delay_level(native, message.DelayLevel));
                }
                if (!message.WaitStore)
                {
                    Native.Check(Native.mq_message_set_wait_store(native, 0));
                }
                if (message.Flag != 0)
                {
                    Native.Check(Native.mq_message_set_flag(native, message.Flag));
                }
                return native;
            }
            catch
            {
                Native.mq_message_free(native);
                throw;
            }
        }
    }
}
