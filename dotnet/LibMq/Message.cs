// Message: what is sent.
using System;
using System.Collections.Generic;
using System.Text;

namespace LibMq
{
    /// <summary>
    /// A message to send. It is checked when it is sent: an illegal topic, tag or key, or a body over the limit, gives an
    /// <see cref="MqException"/> that says what is wrong. Do not change a message, nor the bytes of its body, while a send of it runs.
    /// </summary>
    public sealed class Message
    {
        private List<string>? _keys;
        private Dictionary<string, string>? _properties;

        /// <summary>A message with a body of bytes, which are not copied here.</summary>
        public Message(string topic, ReadOnlyMemory<byte> body)
        {
            Topic = topic ?? throw new ArgumentNullException(nameof(topic));
            Body = body;
        }

        /// <summary>A message with a body of bytes, which are not copied here.</summary>
        public Message(string topic, byte[] body)
            : this(topic, new ReadOnlyMemory<byte>(body ?? throw new ArgumentNullException(nameof(body))))
        {
        }

        /// <summary>A message with a text, sent as UTF-8.</summary>
        public Message(string topic, string text)
            : this(topic, Encoding.UTF8.GetBytes(text ?? throw new ArgumentNullException(nameof(text))))
        {
        }

        /// <summary>The topic: letters, digits, <c>% | - _</c>; at most 127 characters.</summary>
        public string Topic { get; }

        /// <summary>The body; 4 MiB at most unless producer and broker are set otherwise.</summary>
        public ReadOnlyMemory<byte> Body { get; }

        /// <summary>The tag that consumers can filter by.</summary>
        public string? Tag { get; set; }

        /// <summary>The keys by which the message can be found at the broker. A key must not contain a space.</summary>
        public List<string> Keys => _keys ??= new List<string>();

        /// <summary>The user's properties. Names that RocketMQ uses itself are refused.</summary>
        public Dictionary<string, string> Properties => _properties ??= new Dictionary<string, string>();

        /// <summary>The message group (sharding key): messages of one group go to one queue, in order.</summary>
        public string? MessageGroup { get; set; }

        /// <summary>Delays the delivery by one of the broker's levels, 1 to 18 (1 s, 5 s, 10 s … 2 h unless set otherwise); 0 is no delay.</summary>
        public int DelayLevel { get; set; }

        /// <summary>
        /// Whether the receipt waits until the message is as safe as the broker is set to make it (the default), or comes as soon as
        /// the broker has it.
        /// </summary>
        public bool WaitStore { get; set; } = true;

        /// <summary>A number of the user's own that travels with it.</summary>
        public int Flag { get; set; }
    }
}
