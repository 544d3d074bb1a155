<?php

/** World: an embedded broker, a client and a topic for a test. */

declare(strict_types=1);

namespace LibMq\Tests;

use LibMq\Client;
use LibMq\ConsumeResult;
use LibMq\Message;
use LibMq\MessageView;
use LibMq\MqException;
use LibMq\Producer;
use LibMq\PushConsumer;
use LibMq\Testing\Broker;
use PHPUnit\Framework\TestCase;

/** The base of tests that need a broker; everything is stopped after each. */
abstract class World extends TestCase
{
    private const PATIENCE = 60.0;

    private static int $last = 0;

    protected ?Broker $broker = null;
    protected ?Client $client = null;
    protected ?Producer $producer = null;
    protected string $topic = '';

    protected function setUp(): void
    {
        $this->broker = new Broker(settings: ['mappedFileSizeCommitLog' => 16 << 20, 'messageDelayLevel' => trim(str_repeat('1s ', 18))]);
        $this->client = new Client($this->broker->address());
        $this->topic = self::name('topic');
        $this->broker->createTopic($this->topic, 4);
        $this->producer = $this->client->producer(self::name('senders'), ['send_timeout' => '30s']); // patient with a busy machine
    }

    protected function tearDown(): void
    {
        $this->client?->close(1.0);
        $this->producer = null;
        $this->client = null;
        $this->broker = null;
        gc_collect_cycles();
    }

    protected static function name(string $what): string
    {
        return $what . '-' . ++self::$last;
    }

    /** @param array<string, string|int> $settings */
    protected function consumer(?string $group = null, string $expression = '*', array $settings = [], ?callable $onListenerError = null): PushConsumer
    {
        return $this->client->pushConsumer(
            $group ?? self::name('group'),
            [$this->topic => $expression],
            $settings + ['consume_from_where' => 'first'],
            $onListenerError,
        );
    }

    /**
     * Starts a consumer and polls until $count messages came; gives them.
     *
     * @return list<MessageView>
     */
    protected function receive(PushConsumer $consumer, int $count, float $quiet = 0.0): array
    {
        $found = [];
        $consumer->start(static function (MessageView $message) use (&$found): void {
            $found[] = $message;
        });
        self::until(static function () use (&$found, $count): bool {
            return count($found) >= $count;
        }, "$count messages", $consumer->poll(...));
        self::quiet($consumer, $quiet);
        self::assertCount($count, $found);
        return $found;
    }

    /** Polls for a while, so that what must not come could come. */
    protected static function quiet(PushConsumer $consumer, float $seconds): void
    {
        for ($end = microtime(true) + $seconds; microtime(true) < $end;) {
            $consumer->poll(0.05);
        }
    }

    /**
     * Waits for a condition with a deadline.
     *
     * @param callable(): bool           $condition
     * @param callable(float): mixed|null $poll
     */
    protected static function until(callable $condition, string $what, ?callable $poll = null): void
    {
        $deadline = microtime(true) + self::PATIENCE;
        while (!$condition()) {
            self::assertLessThan($deadline, microtime(true), "waited for $what");
            $poll === null ? usleep(10_000) : $poll(0.05);
        }
    }

    /**
     * Expects an error of exactly this class whose message has all the words.
     *
     * @param class-string<\Throwable> $class
     */
    protected static function refused(string $class, callable $act, string ...$words): \Throwable
    {
        try {
            $act();
        } catch (\Throwable $error) {
            self::assertSame($class, $error::class, (string) $error);
            foreach ($words as $word) {
                self::assertStringContainsString($word, $error->getMessage());
            }
            return $error;
        }
        self::fail("expected $class, and nothing was thrown");
    }

    /**
     * What a forked child found out.
     *
     * @param callable(): string $act
     */
    protected static function inChild(callable $act): string
    {
        $pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        self::assertIsArray($pair);
        $child = pcntl_fork();
        if ($child === 0) {
            try {
                $answer = $act();
            } catch (\Throwable $error) {
                $answer = $error::class . ': ' . $error->getMessage();
            }
            fwrite($pair[1], $answer);
            fclose($pair[1]);
            posix_kill(posix_getpid(), SIGKILL); // without PHPUnit's own end
        }
        fclose($pair[1]);
        $answer = stream_get_contents($pair[0]);
        pcntl_waitpid($child, $status);
        return (string) $answer;
    }
}
