// MqException and its few kinds: every error of the library.
using System;

namespace LibMq
{
    /// <summary>The numbers of errors, the same in every language.</summary>
    public enum MqErrorCode
    {
        /// <summary>A bug in the library.</summary>
        Internal = 1,
        /// <summary>A setting is unknown or has a bad value.</summary>
        Config = 2,
        /// <summary>A topic, group or message is not acceptable.</summary>
        Argument = 3,
        /// <summary>No answer in time. What was sent may have arrived all the same.</summary>
        Timeout = 4,
        /// <summary>The client, producer, consumer or broker is closed.</summary>
        Closed = 5,
        /// <summary>No connection, or it was cut.</summary>
        Network = 6,
        /// <summary>No such topic, or no broker that serves it.</summary>
        NotFound = 7,
        /// <summary>The broker refuses: no permission.</summary>
        Denied = 8,
        /// <summary>The broker is busy: send slower.</summary>
        Throttled = 9,
        /// <summary>A body, or a list of messages, is over the limit.</summary>
        TooLarge = 10,
        /// <summary>The object was made before the process forked.</summary>
        Forked = 11,
        /// <summary>Any other refusal; <see cref="MqException.BrokerCode"/> says which.</summary>
        Broker = 12,
        /// <summary>The call was cancelled.</summary>
        Cancelled = 13,
        /// <summary>Calls came in a wrong order.</summary>
        State = 14,
        /// <summary>Not supported here.</summary>
        Unsupported = 15,
        /// <summary>Files or ports of the embedded broker.</summary>
        Io = 16,
        /// <summary>A bound of the client itself is reached: wait for what is on its way.</summary>
        QueueFull = 17,
    }

    /// <summary>An error of the library. Subclasses exist where programs tend to catch them apart.</summary>
    public class MqException : Exception
    {
        /// <summary>Reads an error object of the core, which stays; NULL is what is closed in this wrapper already.</summary>
        private protected unsafe MqException(IntPtr error)
            : base(error == IntPtr.Zero ? "it is closed; make a new one" : Native.Text(Native.mq_error_message(error, out var length), length))
        {
            Code = error == IntPtr.Zero ? MqErrorCode.Closed : (MqErrorCode)Native.mq_error_code(error);
            Name = Native.Text(Native.mq_error_code_name((int)Code));
            BrokerCode = Native.mq_error_broker_code(error) is int code && code >= 0 ? code : (int?)null;
            Retryable = Native.mq_error_retryable(error) != 0;
            Throttled = Native.mq_error_throttled(error) != 0;
            Fatal = Native.mq_error_fatal(error) != 0 || error == IntPtr.Zero;
        }

        /// <summary>Which error.</summary>
        public MqErrorCode Code { get; }

        /// <summary>The code's name as in every other language, for instance <c>NOT_FOUND</c>.</summary>
        public string Name { get; }

        /// <summary>The broker's own response code, if the broker refused.</summary>
        public int? BrokerCode { get; }

        /// <summary>Whether the same call can work later.</summary>
        public bool Retryable { get; }

        /// <summary>Whether the broker asked for less load.</summary>
        public bool Throttled { get; }

        /// <summary>Whether the object cannot be used any more.</summary>
        public bool Fatal { get; }

        /// <summary>The exception for an error object, which stays.</summary>
        internal static MqException From(IntPtr error) => (MqErrorCode)Native.mq_error_code(error) switch
        {
            MqErrorCode.Config => new MqConfigException(error),
            MqErrorCode.Argument => new MqArgumentException(error),
            MqErrorCode.Timeout => new MqTimeoutException(error),
            MqErrorCode.Closed => new MqClosedException(error),
            MqErrorCode.NotFound => new MqNotFoundException(error),
            MqErrorCode.Denied => new MqDeniedException(error),
            MqErrorCode.Throttled => new MqThrottledException(error),
            MqErrorCode.TooLarge => new MqTooLargeException(error),
            MqErrorCode.Forked => new MqForkedException(error),
            _ => new MqException(error),
        };
    }

    /// <summary>A setting is unknown or has a bad value.</summary>
    public sealed class MqConfigException : MqException { internal MqConfigException(IntPtr error) : base(error) { } }

    /// <summary>A topic, group or message is not acceptable.</summary>
    public sealed class MqArgumentException : MqException { internal MqArgumentException(IntPtr error) : base(error) { } }

    /// <summary>No answer in time. What was sent may have arrived all the same.</summary>
    public sealed class MqTimeoutException : MqException { internal MqTimeoutException(IntPtr error) : base(error) { } }

    /// <summary>The client, producer, consumer or broker is closed.</summary>
    public sealed class MqClosedException : MqException { internal MqClosedException(IntPtr error) : base(error) { } }

    /// <summary>No such topic, or no broker that serves it.</summary>
    public sealed class MqNotFoundException : MqException { internal MqNotFoundException(IntPtr error) : base(error) { } }

    /// <summary>The broker refuses: no permission.</summary>
    public sealed class MqDeniedException : MqException { internal MqDeniedException(IntPtr error) : base(error) { } }

    /// <summary>The broker is busy: send slower.</summary>
    public sealed class MqThrottledException : MqException { internal MqThrottledException(IntPtr error) : base(error) { } }

    /// <summary>A body, or a list of messages, is over the limit.</summary>
    public sealed class MqTooLargeException : MqException { internal MqTooLargeException(IntPtr error) : base(error) { } }

    /// <summary>The object was made before the process forked: make a new client in the child.</summary>
    public sealed class MqForkedException : MqException { internal MqForkedException(IntPtr error) : base(error) { } }
}
