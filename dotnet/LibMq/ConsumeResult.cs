// ConsumeResult: a listener's answer.
namespace LibMq
{
    /// <summary>A listener's answer. A listener that throws means <see cref="Later"/>.</summary>
    public readonly struct ConsumeResult
    {
        private ConsumeResult(bool isLater, int delayLevel)
        {
            IsLater = isLater;
            DelayLevel = delayLevel;
        }

        /// <summary>The message is done.</summary>
        public static ConsumeResult Success => default;

        /// <summary>Deliver it again later; the broker waits longer from one attempt to the next.</summary>
        public static ConsumeResult Later => new ConsumeResult(true, 0);

        /// <summary>Deliver it again after a delay level, 1 to 18; −1 moves it to the dead letters.</summary>
        public static ConsumeResult LaterAt(int delayLevel) => new ConsumeResult(true, delayLevel);

        /// <summary>Whether the message is to be delivered again.</summary>
        public bool IsLater { get; }

        /// <summary>The delay level asked for; 0 lets the broker choose.</summary>
        public int DelayLevel { get; }
    }
}
