<?php

/** What listeners may do, run(), stop() and close(). */

declare(strict_types=1);

namespace LibMq\Tests;

use LibMq\ArgumentException;
use LibMq\ClosedException;
use LibMq\ConsumeResult;
use LibMq\Message;
use LibMq\MessageQueue;
use LibMq\MessageView;

final class ConsumingTest extends World
{
    public function testLaterAndThrowingMeanAgain(): void
    {
        $receipt = $this->producer->send(new Message($this->topic, 'again', tag: 't'));
        $attempts = [];
        $failures = [];
        $consumer = $this->consumer(onListenerError: static function (MessageView $message, \Throwable $error) use (&$failures): void {
            $failures[] = $error->getMessage();
        });
        $consumer->start(static function (MessageView $message) use (&$attempts): ?ConsumeResult {
            $attempts[] = $message;
            return match ($message->deliveryAttempt) {
                1 => ConsumeResult::later(),
                2 => throw new \RuntimeException('the second attempt fails'),
                3 => ConsumeResult::later(1),
                default => null,
            };
        });
        self::until(static function () use (&$attempts): bool {
            return count($attempts) >= 4;
        }, 'four attempts', $consumer->poll(...));
        self::quiet($consumer, 1.5);
        self::assertSame([1, 2, 3, 4], array_map(static fn (MessageView $message): int => $message->deliveryAttempt, $attempts));
        foreach ($attempts as $message) {
            self::assertSame($receipt->messageId, $message->messageId);
            self::assertSame($this->topic, $message->topic);
            self::assertSame('t', $message->tag);
        }
        self::assertSame(['the second attempt fails'], $failures);
    }

    public function testRunUntilStop(): void
    {
        foreach (range(1, 5) as $i) {
            $this->producer->send(new Message($this->topic, "message $i"));
        }
        $group = self::name('group');
        $consumer = $this->consumer($group);
        $found = 0;
        $consumer->run(function (MessageView $message) use (&$found, $consumer): void {
            // Sending from a listener is what many programs do.
            $this->producer->send(new Message(self::name('answers'), $message->body));
            $this->producer->sendAsync(new Message(self::name('answers'), $message->body))->await();
            if (++$found === 5) {
                $consumer->stop();
            }
        });
        self::assertTrue($consumer->isClosed());
        $this->producer->send(new Message($this->topic, 'after'));
        [$message] = $this->receive($this->consumer($group), 1, 0.5);
        self::assertSame('after', $message->body, 'what was consumed was committed');
    }

    public function testRunUntilSigterm(): void
    {
        $before = static function (): void {
        };
        pcntl_signal(SIGTERM, $before);
        $this->producer->send(new Message($this->topic, 'x'));
        $consumer = $this->consumer();
        $consumer->run(static fn () => posix_kill(posix_getpid(), SIGTERM));
        self::assertTrue($consumer->isClosed());
        self::assertSame($before, pcntl_signal_get_handler(SIGTERM), "the program's own handler is back");
        pcntl_signal(SIGTERM, SIG_DFL);
    }

    public function testClosingFinishesWhatIsAtHandAndCommits(): void
    {
        foreach (range(1, 30) as $i) {
            $this->producer->send(new Message($this->topic, "message $i"));
        }
        $group = self::name('group');
        $consumer = $this->consumer($group);
        $found = [];
        $consumer->start(static function (MessageView $message) use (&$found): void {
            $found[] = $message->body;
        });
        self::until(static function () use (&$found): bool {
            return $found !== [];
        }, 'the first message', $consumer->poll(...));
        $consumer->close();
        $consumer->close();
        $atClose = count($found);
        $this->client->poll(0.2);
        self::assertCount($atClose, $found, 'nothing is called after the close');
        $again = $this->consumer($group);
        $rest = [];
        $again->start(static function (MessageView $message) use (&$rest): void {
            $rest[$message->body] = $message;
        });
        self::until(static function () use (&$rest, $found): bool {
            return count($rest + array_flip($found)) === 30;
        }, 'the rest', $again->poll(...));
        self::quiet($again, 0.5);
        $left = [];
        foreach (array_diff_key($rest, array_flip($found)) as $message) {
            $left[$message->queueId] = min($message->queueOffset, $left[$message->queueId] ?? PHP_INT_MAX);
        }
        foreach (array_intersect_key($rest, array_flip($found)) as $message) {
            // An offset is committed, so what was answered comes again behind one of its queue that was not.
            self::assertLessThan($message->queueOffset, $left[$message->queueId] ?? PHP_INT_MAX, "$message->body was not committed");
        }
    }

    public function testClosingWithinTheListener(): void
    {
        $this->producer->send(new Message($this->topic, 'last'));
        $group = self::name('group');
        $consumer = $this->consumer($group);
        $consumer->run(static function () use ($consumer): void {
            $consumer->close();
        });
        $this->client->poll(0.5); // the rest of the close
        $this->producer->send(new Message($this->topic, 'after'));
        [$message] = $this->receive($this->consumer($group), 1, 0.5);
        self::assertSame('after', $message->body, 'the answer of the listener that closed still counted');
    }

    public function testWhatIsNotAnsweredComesAgain(): void
    {
        $this->producer->send(new Message($this->topic, 'stuck'));
        $group = self::name('group');
        $script = <<<'PHP'
            [, $autoload, $address, $group, $topic] = $argv;
            require $autoload;
            $client = new LibMq\Client($address);
            $consumer = $client->pushConsumer($group, [$topic => '*'], ['consume_from_where' => 'first']);
            $consumer->run(static function (LibMq\MessageView $message): void {
                echo "got $message->body\n";
                sleep(1000);
            });
            PHP;
        $command = [PHP_BINARY, '-r', $script, __DIR__ . '/../../build/php/vendor/autoload.php', $this->broker->address(), $group, $this->topic];
        $process = proc_open($command, [1 => ['pipe', 'w']], $pipes);
        self::assertIsResource($process);
        self::assertSame("got stuck\n", fgets($pipes[1]));
        proc_terminate($process, SIGKILL);
        proc_close($process);
        [$message] = $this->receive($this->consumer($group), 1);
        self::assertSame('stuck', $message->body);
    }

    public function testSuspendedConsumersRest(): void
    {
        $found = [];
        $consumer = $this->consumer();
        $consumer->start(static function (MessageView $message) use (&$found): void {
            $found[] = $message->body;
        });
        $this->producer->send(new Message($this->topic, 'one'));
        self::until(static function () use (&$found): bool {
            return count($found) === 1;
        }, 'one message', $consumer->poll(...));
        $consumer->suspend();
        // A fetch that is under way still ends; two messages for each queue end all of them.
        foreach (range(1, 8) as $i) {
            $this->producer->send(new Message($this->topic, "meanwhile $i"));
        }
        self::quiet($consumer, 0.5);
        $before = count($found);
        $this->producer->send(new Message($this->topic, 'late'));
        self::quiet($consumer, 0.5);
        self::assertCount($before, $found, 'nothing is fetched');
        $consumer->resume();
        self::until(static function () use (&$found): bool {
            return count($found) === 10;
        }, 'the rest', $consumer->poll(...));
        self::assertContains('late', $found);
    }

    public function testSubscriptionsChangeWhileItRuns(): void
    {
        $found = [];
        $other = self::name('topic');
        $this->broker->createTopic($other, 2);
        $group = self::name('group');
        $consumer = $this->consumer($group);
        $consumer->start(static function (MessageView $message) use (&$found): void {
            $found[] = $message->body;
        });
        $queuesOf = static fn (string $topic): int => count(array_filter(
            $consumer->assignment(),
            static fn (MessageQueue $queue): bool => $queue->topic === $topic,
        ));
        $comes = static function (string ...$bodies) use (&$found, $consumer): void {
            self::until(static function () use (&$found, $bodies): bool {
                return $found === $bodies;
            }, implode(', ', $bodies), $consumer->poll(...));
        };
        $consumer->subscribe($other, 'a');
        self::assertSame(2, $queuesOf($other));
        $this->producer->send(new Message($other, 'not wanted', tag: 'x'));
        $this->producer->send(new Message($other, 'a', tag: 'a'));
        $comes('a');
        $consumer->subscribe($other, 'b || c');
        $this->producer->send(new Message($other, 'not wanted any more', tag: 'a'));
        $this->producer->send(new Message($other, 'b', tag: 'b'));
        $comes('a', 'b');
        $consumer->unsubscribe($this->topic);
        $consumer->unsubscribe($other);
        $consumer->unsubscribe($other);
        self::assertSame(0, $queuesOf($this->topic) + $queuesOf($other));
        $this->producer->send(new Message($this->topic, 'meanwhile'));
        $consumer->subscribe($this->topic);
        $comes('a', 'b', 'meanwhile');
        self::refused(ArgumentException::class, static fn () => $consumer->subscribe('a b'), 'a b');
        self::refused(ArgumentException::class, static fn () => $consumer->unsubscribe("%RETRY%$group"), 'retry topic');
        self::quiet($consumer, 0.3);
        $comes('a', 'b', 'meanwhile');
        $consumer->close();
        self::refused(ClosedException::class, fn () => $consumer->subscribe($this->topic));
        self::refused(ClosedException::class, fn () => $consumer->unsubscribe($this->topic));
    }

    public function testStreamsTellWhenToPoll(): void
    {
        $consumer = $this->consumer();
        $found = 0;
        $consumer->start(static function () use (&$found): void {
            ++$found;
        });
        $this->producer->send(new Message($this->topic, 'x'));
        $stream = $this->client->stream();
        self::until(static function () use (&$found): bool {
            return $found === 1;
        }, 'a message', static function () use ($stream, $consumer): void {
            $read = [$stream];
            $none = [];
            if (stream_select($read, $none, $none, 5) === 1) {
                $consumer->poll();
            }
        });
        $read = [$stream];
        $none = [];
        self::assertSame(0, stream_select($read, $none, $none, 0), 'nothing waits, nothing is readable');
    }

    /** A call that waits takes events from the queue, and with them what is for listeners. */
    public function testStreamsTellOfMessagesThatCameDuringACall(): void
    {
        $consumer = $this->consumer();
        $found = 0;
        $consumer->start(static function () use (&$found): void {
            ++$found;
        });
        $stream = $this->client->stream();
        $readable = static function (int $seconds) use ($stream): bool {
            $read = [$stream];
            $none = [];
            return stream_select($read, $none, $none, $seconds) === 1;
        };
        $this->producer->sendOneway(new Message($this->topic, 'x'));
        self::assertTrue($readable(60));
        $other = self::name('topic');
        $this->broker->createTopic($other);
        $this->producer->send(new Message($other, 'takes what is on the queue'));
        self::assertSame(0, $found);
        self::assertTrue($readable(0));
        self::assertSame(1, $consumer->poll(5.0));
        self::assertSame(1, $found);
        self::assertFalse($readable(0));
        $start = microtime(true);
        self::assertSame(0, $consumer->poll(0.2));
        self::assertGreaterThan(0.1, microtime(true) - $start, 'the wake-up was used up');
    }
}
