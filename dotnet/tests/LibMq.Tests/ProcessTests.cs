// The end of a process with everything open, and the example.
using System;
using System.Diagnostics;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using LibMq.Testing;

namespace LibMq.Tests
{
    /// <summary>The child processes.</summary>
    internal static class Child
    {
        private static Broker? _broker;
        private static MqClient? _client;

        internal static async Task<int> PlayAsync(string part)
        {
            _broker = new Broker();
            _client = new MqClient(_broker.Address);
            var got = new SemaphoreSlim(0);
            var options = new PushConsumerOptions { Group = "g", Subscriptions = { ["t"] = "*" } };
            await _client.CreatePushConsumerAsync(options, async (message, cancel) =>
            {
                got.Release();
                await Task.Delay(Timeout.Infinite); // never returns, whatever happens
                return ConsumeResult.Success;
            });
            var producer = _client.CreateProducer(new ProducerOptions { Group = "senders" });
            while (!await got.WaitAsync(10))
            {
                await producer.SendAsync(new Message("t", "x"));
            }
            Console.WriteLine("open");
            switch (part)
            {
                case "return":
                    return 7; // with all open
                case "exit":
                    Environment.Exit(7);
                    return 0;
                default:
                    await Task.Delay(Timeout.Infinite);
                    return 0;
            }
        }
    }

    internal sealed class ProcessTests : IDisposable
    {
        // Brokers of processes that end without closing anything leave their data here.
        private readonly string _folder = Path.Combine(Path.GetTempPath(), $"mq-test-{Guid.NewGuid():N}");

        public ProcessTests() => Directory.CreateDirectory(_folder);

        public void Dispose() => Directory.Delete(_folder, recursive: true);

        [Test]
        public Task MainReturnsWithAllOpen() => EndsAsync("return", _ => { }, 7);

        [Test]
        public Task ExitWithAllOpen() => EndsAsync("exit", _ => { }, 7);

        [Test]
        public Task InterruptedWithAllOpen() => EndsAsync("wait", process => Kill(process, "INT"), 130);

        [Test]
        public Task TerminatedWithAllOpen() => EndsAsync("wait", process => Kill(process, "TERM"), 143);

        [Test]
        public async Task TheExampleRuns()
        {
            using var process = Start(Environment.GetEnvironmentVariable("MQ_EXAMPLE") ?? throw new InvalidOperationException("MQ_EXAMPLE is not set"));
            var output = await Check.Within(process.StandardOutput.ReadToEndAsync(), "the example's end");
            process.WaitForExit();
            Check.Equal(0, process.ExitCode, "exit code");
            Check.That(output.Contains("billed order 42: 42 apples"), $"a bill in: {output}");
            foreach (var id in new[] { 41, 42, 43 })
            {
                Check.That(output.Contains($"audited order {id} "), $"order {id} audited in: {output}");
            }
        }

        private async Task EndsAsync(string part, Action<Process> act, int code)
        {
            using var process = Start($"{typeof(Child).Assembly.Location} --child {part}");
            try
            {
                Check.Equal("open", await Check.Within(process.StandardOutput.ReadLineAsync(), "the child"), "line");
                act(process);
                await Check.Within(Task.Run(() => process.WaitForExit()), "the child's end");
                Check.Equal(code, process.ExitCode, "exit code");
            }
            finally
            {
                if (!process.HasExited)
                {
                    process.Kill();
                }
            }
        }

        private Process Start(string arguments) => Process.Start(
            new ProcessStartInfo(Process.GetCurrentProcess().MainModule.FileName, arguments)
            {
                RedirectStandardOutput = true,
                Environment = { ["TMPDIR"] = _folder },
            });

        private static void Kill(Process process, string signal)
        {
            using var kill = Process.Start("kill", $"-{signal} {process.Id}");
            kill.WaitForExit();
        }
    }
}
