// MqLog: the library's log lines, for the program's own log.
using System;
using System.Threading;

namespace LibMq
{
    /// <summary>How important a log line is.</summary>
    public enum LogLevel
    {
        /// <summary>Nothing.</summary>
        Off = 0,
        /// <summary>Something failed that should not have.</summary>
        Error = 1,
        /// <summary>Something is wrong but is being dealt with.</summary>
        Warn = 2,
        /// <summary>What an operator wants to know.</summary>
        Info = 3,
        /// <summary>What a developer wants to know.</summary>
        Debug = 4,
        /// <summary>Every request.</summary>
        Trace = 5,
    }

    /// <summary>One log line.</summary>
    public sealed class LogEntry
    {
        internal unsafe LogEntry(IntPtr happened)
        {
            Level = (LogLevel)Native.mq_event_log_level(happened);
            Target = Native.Text(Native.mq_event_log_target(happened, out var length), length) ?? "";
            Message = Native.Text(Native.mq_event_log_message(happened, out length), length) ?? "";
        }

        /// <summary>How important it is.</summary>
        public LogLevel Level { get; }

        /// <summary>The part of the library that speaks.</summary>
        public string Target { get; }

        /// <summary>The line.</summary>
        public string Message { get; }
    }

    /// <summary>Hands the library's log lines to the program. By default the library logs nothing.</summary>
    public static class MqLog
    {
        private static readonly object Lock = new object();
        private static EventLoop? _loop;

        /// <summary>
        /// Calls <paramref name="handler"/> for each line up to <paramref name="level"/>, one at a time, on a thread of its own;
        /// null stops that. One handler a process: the last one set. What it throws is ignored.
        /// </summary>
        public static void SetHandler(LogLevel level, Action<LogEntry>? handler)
        {
            lock (Lock)
            {
                var before = _loop;
                if (handler == null || level == LogLevel.Off)
                {
                    Native.Check(Native.mq_log_set_queue(IntPtr.Zero, (int)LogLevel.Off));
                    _loop = null;
                }
                else
                {
                    _loop = new EventLoop("libmq log", happened => Call(handler, new LogEntry(happened)));
                    Native.Check(Native.mq_log_set_queue(_loop.Queue, (int)level));
                }
                before?.Stop();
            }
        }

        private static void Call(Action<LogEntry> handler, LogEntry entry)
        {
            try
            {
                handler(entry);
            }
            catch (Exception)
            {
                // A failing log must not stop the program that it tells about.
            }
        }
    }
}
