<?php

/** What is of a wrong kind, copies, signals in the middle, objects that go in any order, memory. */

declare(strict_types=1);

namespace LibMq\Tests;

use LibMq\ArgumentException;
use LibMq\Client;
use LibMq\ConsumeResult;
use LibMq\Message;
use LibMq\MessageQueue;
use LibMq\MessageView;
use LibMq\MqException;
use LibMq\PushConsumer;

final class MisuseTest extends World
{
    public function testWhatPhpDoesNotCheckItselfIsChecked(): void
    {
        $send = fn (mixed ...$fields) => $this->producer->send(new Message($this->topic, 'x', ...$fields));
        $consumer = $this->client->pullConsumer(self::name('group'));
        $consumer->subscribe($this->topic);
        $consumer->poll(0.0);
        $queue = $consumer->queues($this->topic)[0];
        $letters = $this->client->deadLetters('g');
        $cases = [
            'setting' => fn () => new Client('127.0.0.1:9', ['instance_name' => ['x']]),
            'subscriptions' => fn () => $this->client->pushConsumer('g', [$this->topic]),
            'expression' => fn () => $this->client->pushConsumer('g', [$this->topic => null]),
            'key' => fn () => $send(keys: [5]),
            'property' => fn () => $send(properties: ['a' => 1]),
            'list' => fn () => $this->producer->sendBatch([new Message($this->topic, 'x'), 5]),
            'list has' => fn () => $consumer->pause([5]),
            'offset number 1' => fn () => $consumer->commit([[$queue, 0], [$queue]]),
            'offset number 0' => fn () => $consumer->commit([[$queue, 'x']]),
        ];
        foreach ($cases as $word => $case) {
            self::refused(ArgumentException::class, $case, $word);
        }
        // Numbers that FFI would cut off.
        foreach ([1 << 31, -(1 << 31) - 1, 1 << 40] as $number) {
            self::refused(ArgumentException::class, fn () => $send(flag: $number), (string) $number);
            self::refused(ArgumentException::class, fn () => $send(delayLevel: $number), (string) $number);
            self::refused(ArgumentException::class, fn () => new MessageQueue('t', 'b', $number), (string) $number);
            self::refused(ArgumentException::class, fn () => $this->broker->createTopic('t', $number), (string) $number);
            self::refused(ArgumentException::class, fn () => $this->broker->faults()->dropNext('SEND_MESSAGE', $number), (string) $number);
            self::refused(ArgumentException::class, fn () => $letters->read($number), (string) $number);
            self::refused(ArgumentException::class, fn () => ConsumeResult::later($number), (string) $number);
        }
        foreach ([-1.0, NAN] as $time) {
            self::refused(ArgumentException::class, fn () => $this->producer->send(new Message($this->topic, 'x'), $time), 'timeout');
            self::refused(ArgumentException::class, fn () => $consumer->poll($time), 'timeout');
            self::refused(ArgumentException::class, fn () => $this->broker->clock()->advance($time), 'advance');
            self::refused(ArgumentException::class, fn () => $this->broker->faults()->delayNext('SEND_MESSAGE', $time), 'delay');
        }
        self::assertNotSame('', $this->producer->send(new Message($this->topic, 'x'), INF)->messageId, 'INF is long, not short');
    }

    public function testWhatClosesOrFreesIsNotCopied(): void
    {
        foreach ([$this->client, $this->consumer()] as $one) {
            self::refused(\Error::class, static fn () => clone $one, 'clone');
        }
        $producer = clone $this->producer;
        unset($producer);
        self::assertNotSame('', $this->producer->send(new Message($this->topic, 'x'))->messageId, 'a copy that went took nothing with it');
    }

    public function testAConsumerThatIsDroppedLeaves(): void
    {
        $group = self::name('group');
        $this->consumer($group)->start(static fn () => null);
        // With one member of a group a client; the first has gone with its last reference.
        $this->consumer($group)->start(static fn () => null);
        self::assertTrue(true);
    }

    public function testClosingTheClientWithinTheListener(): void
    {
        $this->producer->send(new Message($this->topic, 'last'));
        $client = new Client($this->broker->address());
        $group = self::name('group');
        $consumer = $client->pushConsumer($group, [$this->topic => '*'], ['consume_from_where' => 'first']);
        $consumer->run(static function () use ($client): void {
            $client->close();
            $client->close();
        });
        self::assertTrue($client->isClosed());
        unset($consumer, $client); // waits for the rest of the close
        $found = 0;
        $again = $this->consumer($group);
        $again->start(static function () use (&$found): void {
            ++$found;
        });
        self::quiet($again, 1.0);
        self::assertSame(0, $found, 'the answer of the listener that closed has counted');
    }

    public function testSignalsInterruptASend(): void
    {
        $this->broker->faults()->delayNext('SEND_MESSAGE', 120.0);
        $before = pcntl_async_signals(true);
        pcntl_signal(SIGALRM, static fn () => throw new \RuntimeException('alarm'));
        $start = microtime(true);
        try {
            pcntl_alarm(1);
            self::refused(\RuntimeException::class, fn () => $this->producer->send(new Message($this->topic, 'x'), 300.0), 'alarm');
            self::assertLessThan(60.0, microtime(true) - $start, 'before the answer');
        } finally {
            pcntl_signal(SIGALRM, SIG_DFL);
            pcntl_async_signals($before);
            $this->broker->faults()->clear();
            $this->broker->kill(); // so that closing has nothing to wait for
        }
    }

    public function testObjectsGoInAnyOrder(): void
    {
        // At the end PHP destroys what is in cycles by place, and places are taken again in the order in which they became free.
        $script = <<<'PHP'
            require getenv('AUTOLOAD');
            $broker = new LibMq\Testing\Broker();
            for ($i = 0; $i < 12; $i++) {
                for ($places = []; count($places) < 2 * $i; $places[] = new stdClass) {}
                while ($places !== []) array_shift($places);
                $client = new LibMq\Client($broker->address());
                $consumer = $client->pushConsumer('c', ['t' => '*']);
                $consumer->start(fn () => [$client, $consumer]);
                $late = new class($client->producer('g')) {
                    public $self;
                    function __construct(public $producer) { $this->self = $this; }
                    function __destruct() { try { $this->producer->send(new LibMq\Message('t', 'x')); } catch (LibMq\MqException) { } }
                };
            }
            echo 'end';
            PHP;
        $process = proc_open([PHP_BINARY, '-d', 'zend.enable_gc=0', '-r', $script], [1 => ['pipe', 'w']], $pipes, null, 
            ['AUTOLOAD' => __DIR__ . '/../../build/php/vendor/autoload.php'] + getenv());
        self::assertIsResource($process);
        self::assertSame('end', stream_get_contents($pipes[1]));
        self::assertSame(0, proc_close($process));
    }

    public function testMessagesLeaveNoMemoryBehind(): void
    {
        $consumer = $this->consumer();
        $found = 0;
        $consumer->start(static function (MessageView $message) use (&$found): void {
            $found += (int) ($message->properties['count'] ?? 0);
        });
        $message = new Message($this->topic, 'x', properties: ['count' => '1']);
        $sent = 0;
        $turn = function (int $count) use ($consumer, $message, &$found, &$sent): void {
            for ($i = 0; $i < $count; $i++) {
                $this->producer->send($message);
            }
            $this->producer->sendBatch([$message, $message]);
            $sent += $count + 2;
            self::until(static function () use (&$found, &$sent): bool {
                return $found === $sent;
            }, 'the messages', $consumer->poll(...));
        };
        $turn(500);
        gc_collect_cycles();
        $before = memory_get_usage();
        $turn(2000);
        gc_collect_cycles();
        self::assertLessThan(20_000, memory_get_usage() - $before, 'bytes for 2000 messages');
    }
}
