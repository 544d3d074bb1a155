// EventLoop: one thread that takes a client's events from its queue and hands each to whom it belongs.
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Diagnostics;
using System.Threading;
using System.Threading.Tasks;

namespace LibMq
{
    /// <summary>One queue of the core and the thread that reads it, in batches. The thread does not keep the process alive.</summary>
    internal sealed class EventLoop
    {
        private const int Batch = 256;

        private readonly ConcurrentDictionary<ulong, IPending> _pending = new ConcurrentDictionary<ulong, IPending>();
        private readonly ConcurrentDictionary<ulong, PushConsumer> _consumers = new ConcurrentDictionary<ulong, PushConsumer>();
        private readonly ConcurrentDictionary<ulong, Action<IntPtr>> _watches = new ConcurrentDictionary<ulong, Action<IntPtr>>();
        private readonly Action<IntPtr>? _onLog;
        private long _lastTag;

        internal EventLoop(string name, Action<IntPtr>? onLog = null)
        {
            _onLog = onLog;
            Queue = Native.mq_queue_new();
            new Thread(Run) { IsBackground = true, Name = name }.Start();
        }

        internal QueueHandle Queue { get; }

        /// <summary>A tag that is used only once.</summary>
        internal ulong NextTag() => (ulong)Interlocked.Increment(ref _lastTag);

        /// <summary>Begins a call whose event completes <paramref name="pending"/>; throws what the call itself throws.</summary>
        internal ulong Start<T>(IPending pending, T state, Func<T, QueueHandle, ulong, IntPtr> call)
        {
            var tag = NextTag();
            _pending[tag] = pending;
            try
            {
                Native.Check(call(state, Queue, tag));
                return tag;
            }
            catch (Exception error)
            {
                _pending.TryRemove(tag, out _);
                if (error is ObjectDisposedException)
                {
                    throw new MqClosedException(IntPtr.Zero); // the client was closed at the same time
                }
                throw;
            }
        }

        /// <summary>A call that has no result but its success.</summary>
        internal Task CallAsync<T>(T state, Func<T, QueueHandle, ulong, IntPtr> call) => new Pending<bool>(this, _ => true).Start(state, call);

        internal ICollection<PushConsumer> Consumers => _consumers.Values;

        internal void Add(ulong tag, PushConsumer consumer) => _consumers[tag] = consumer;

        internal void Remove(ulong tag) => _consumers.TryRemove(tag, out _);

        /// <summary>A number for changes of queues, and what to do when they come, on the loop's thread.</summary>
        internal ulong Watch(Action<IntPtr> changed)
        {
            var tag = NextTag();
            _watches[tag] = changed;
            return tag;
        }

        /// <summary>Calls the user's code on the thread pool.</summary>
        internal static void Tell(Action tell) => ThreadPool.QueueUserWorkItem(_ => Call(tell));

        /// <summary>Calls the user's code, where an exception of it must not end the process, nor what is still to be done.</summary>
        internal static void Call(Action tell)
        {
            try
            {
                tell();
            }
            catch (Exception error)
            {
                Trace.TraceError($"libmq: a callback failed: {error}");
            }
        }

        /// <summary>Ends the thread once it has handed out what is on the queue.</summary>
        internal void Stop() => Native.Check(Native.mq_queue_close(Queue));

        private unsafe void Run()
        {
            var events = stackalloc IntPtr[Batch];
            while (true)
            {
                var error = Native.mq_queue_poll(Queue, events, (UIntPtr)Batch, -1, out var count);
                if (error != IntPtr.Zero)
                {
                    // The queue is closed and empty: the only error that a poll of our own queue can give.
                    Native.mq_error_free(error);
                    break;
                }
                for (var i = 0; i < (int)count; i++)
                {
                    Dispatch(events[i]);
                }
            }
            Queue.Dispose();
        }

        private void Dispatch(IntPtr happened)
        {
            switch (Native.mq_event_kind(happened))
            {
                case Native.EventDone:
                    if (_pending.TryRemove(Native.mq_event_tag(happened), out var pending))
                    {
                        pending.Complete(happened);
                    }
                    break;
                case Native.EventMessage when _consumers.TryGetValue(Native.mq_event_tag(happened), out var consumer):
                    consumer.Deliver(happened);
                    return; // the consumer frees it
                case Native.EventWarning when _consumers.TryGetValue(Native.mq_event_tag(happened), out var consumer):
                    consumer.Warn(happened);
                    break;
                case Native.EventQueueChange when _watches.TryGetValue(Native.mq_event_tag(happened), out var changed):
                    changed(happened);
                    break;
                case Native.EventLog:
                    _onLog?.Invoke(happened);
                    break;
            }
            Native.mq_event_free(happened);
        }
    }
}
