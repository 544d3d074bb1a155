// Faults and Clock: what tests do to an embedded broker.
using System;

namespace LibMq.Testing
{
    /// <summary>
    /// What a broker under test does wrong on request. Requests and answers are named as in RocketMQ; <c>SEND_MESSAGE</c> stands
    /// for all requests that send, <c>PULL_MESSAGE</c> for both that pull. Faults of one request apply one after the other.
    /// </summary>
    public sealed class Faults
    {
        private readonly Broker _broker;

        internal Faults(Broker broker) => _broker = broker;

        /// <summary>The next requests are not carried out; their answer has the code <paramref name="response"/>.</summary>
        public void FailNext(string request, string response, int times = 1) =>
            Native.Check(Native.mq_broker_fail_next(_broker.Open, Name(request), Native.Length(request), Name(response),
                Native.Length(response), Count(times)));

        /// <summary>The next requests are handled after the delay; others go on meanwhile.</summary>
        public void DelayNext(string request, TimeSpan delay, int times = 1) =>
            Native.Check(Native.mq_broker_delay_next(_broker.Open, Name(request), Native.Length(request),
                (long)delay.TotalMilliseconds, Count(times)));

        /// <summary>The next requests are not carried out; their connections are closed.</summary>
        public void DropNext(string request, int times = 1) =>
            Native.Check(Native.mq_broker_drop_next(_broker.Open, Name(request), Native.Length(request), Count(times)));

        /// <summary>The next requests are carried out, but not answered.</summary>
        public void LoseAnswerNext(string request, int times = 1) =>
            Native.Check(Native.mq_broker_lose_answer_next(_broker.Open, Name(request), Native.Length(request), Count(times)));

        /// <summary>Whether new connections are closed at once; open ones stay.</summary>
        public void RefuseConnections(bool refuse = true) =>
            Native.Check(Native.mq_broker_refuse_connections(_broker.Open, refuse ? 1 : 0));

        /// <summary>Takes all faults back.</summary>
        public void Clear() => Native.Check(Native.mq_broker_clear_faults(_broker.Open));

        private static string Name(string name) => name ?? throw new ArgumentNullException(nameof(name));

        private static uint Count(int times) =>
            times >= 0 ? (uint)times : throw new ArgumentOutOfRangeException(nameof(times), times, "must not be negative");
    }

    /// <summary>The time of a broker under test: delays, retries and expiry follow it.</summary>
    public sealed class Clock
    {
        private readonly Broker _broker;

        internal Clock(Broker broker) => _broker = broker;

        /// <summary>What it shows.</summary>
        public DateTimeOffset Now
        {
            get
            {
                Native.Check(Native.mq_broker_clock(_broker.Open, out var millis));
                return DateTimeOffset.FromUnixTimeMilliseconds(millis);
            }
        }

        /// <summary>Moves it forward; what becomes due is delivered at once.</summary>
        public void Advance(TimeSpan time) => Native.Check(Native.mq_broker_advance_clock(_broker.Open, (long)time.TotalMilliseconds));

        /// <summary>Sets it.</summary>
        public void Set(DateTimeOffset time) => Native.Check(Native.mq_broker_set_clock(_broker.Open, time.ToUnixTimeMilliseconds()));
    }
}
