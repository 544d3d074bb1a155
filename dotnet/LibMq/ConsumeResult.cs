// ConsumeResult: a listener's answer.
using System;

namespace LibMq
{
    /// <summary>A listener's answer. A listener that throws means <see cref="Later"/>.</summary>
    public readonly struct ConsumeResult
    {
        private ConsumeResult(int kind, int detail)
        {
            Kind = kind;
            Detail = detail;
        }

        /// <summary>The message is done.</summary>
        public static ConsumeResult Success => default;

        /// <summary>Deliver it again later; the broker waits longer from one attempt to the next.</summary>
        public static ConsumeResult Later => new ConsumeResult(1, 0);

        /// <summary>Deliver it again after a delay level, 1 to 18; −1 moves it to the dead letters.</summary>
        public static ConsumeResult LaterAt(int delayLevel) => delayLevel >= -1
            ? new ConsumeResult(1, delayLevel)
            : throw new ArgumentOutOfRangeException(nameof(delayLevel), delayLevel, "is no delay level; give 1 to 18, or -1 for the dead letters");

        /// <summary>
        /// Deliver it again after a pause in which its queue waits, so that no message overtakes it; for consumers with
        /// <c>consume_mode</c> orderly, to others the same as <see cref="Later"/>. Without a time: the setting
        /// <c>suspend_current_queue_time</c>, 1 second unless set.
        /// </summary>
        public static ConsumeResult Suspend(TimeSpan? time = null) =>
            new ConsumeResult(2, (int)Math.Min(int.MaxValue, Native.Milliseconds(time)));

        /// <summary>Whether the message is done.</summary>
        public bool IsSuccess => Kind == 0;

        internal int Kind { get; }

        internal int Detail { get; }
    }
}
