// Program: runs the tests, or plays the child process that some of them need.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using System.Threading.Tasks;

namespace LibMq.Tests
{
    /// <summary>A test of a class that has some; instances are made and disposed of around each test.</summary>
    [AttributeUsage(AttributeTargets.Method)]
    internal sealed class TestAttribute : Attribute
    {
    }

    internal static class Program
    {
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

        private static async Task<int> Main(string[] arguments)
        {
            if (arguments.Length > 1 && arguments[0] == "--child")
            {
                return await Child.PlayAsync(arguments[1]);
            }
            var passed = 0;
            var failed = 0;
            foreach (var test in Tests(arguments.FirstOrDefault() ?? ""))
            {
                var name = $"{test.DeclaringType!.Name}.{test.Name}";
                try
                {
                    await RunAsync(test);
                    passed++;
                    Console.WriteLine($"  {name} ok");
                }
                catch (Exception error)
                {
                    failed++;
                    Console.WriteLine($"  {name} FAILED: {error}");
                }
            }
            Console.WriteLine($"{passed} passed, {failed} failed");
            return failed == 0 && passed > 0 ? 0 : 1;
        }

        private static IEnumerable<MethodInfo> Tests(string part) =>
            from type in typeof(Program).Assembly.GetTypes()
            from method in type.GetMethods(BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public)
            where method.GetCustomAttribute<TestAttribute>() != null && $"{type.Name}.{method.Name}".Contains(part)
            orderby type.Name, method.MetadataToken
            select method;

        private static async Task RunAsync(MethodInfo method)
        {
            // Off this thread: a test that blocks shall not keep its deadline from being seen.
            var run = Task.Run(async () =>
            {
                var instance = Activator.CreateInstance(method.DeclaringType!, BindingFlags.Instance | BindingFlags.Public | BindingFlags.DoNotWrapExceptions, null, null, null);
                try
                {
                    await (Task)method.Invoke(instance, BindingFlags.DoNotWrapExceptions, null, null, null)!;
                }
                finally
                {
                    (instance as IDisposable)?.Dispose();
                }
            });
            if (await Task.WhenAny(run, Task.Delay(Patience)) != run)
            {
                throw new TimeoutException($"not done after {Patience.TotalSeconds} seconds");
            }
            await run;
        }
    }
}
