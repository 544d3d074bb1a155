<?php

/** Wrong settings, broken brokers, closing in every order, forked children. */

declare(strict_types=1);

namespace LibMq\Tests;

use LibMq\ArgumentException;
use LibMq\Client;
use LibMq\ClosedException;
use LibMq\ConfigException;
use LibMq\ForkedException;
use LibMq\Log;
use LibMq\Message;
use LibMq\MessageView;
use LibMq\MqException;
use LibMq\NotFoundException;
use LibMq\PendingSend;
use LibMq\Testing\Broker;
use LibMq\TimeoutException;

final class TroubleTest extends World
{
    public function testWrongSettingsAreNamed(): void
    {
        $address = $this->broker->address();
        $error = self::refused(ConfigException::class, static fn () => new Client($address, ['heartbeat_intervall' => 1]), 'heartbeat_intervall', 'heartbeat');
        self::assertInstanceOf(MqException::class, $error);
        self::assertSame('CONFIG', $error->name);
        self::refused(ConfigException::class, static fn () => new Client('nowhere'), 'nowhere');
        self::refused(ConfigException::class, static fn () => new Client('127.0.0.1:99999'), '99999');
        self::refused(ConfigException::class, static fn () => new Client(''), 'namesrv');
        self::refused(ConfigException::class, fn () => $this->client->producer('g', ['sendMsgTimeout' => 'soon']), 'soon');
        self::refused(ConfigException::class, fn () => $this->client->producer('g', ['sendMsgTimout' => 1]), 'sendMsgTimeout');
        self::refused(ConfigException::class, static fn () => new Broker(settings: ['flushDiskTyp' => 'x']), 'flushDiskType');
        self::assertNotNull($this->client->producer('g', ['sendMsgTimeout' => 1000, 'retryAnotherBrokerWhenNotStoreOK' => true]));
    }

    public function testBadNamesAreRefused(): void
    {
        foreach (['', 'with space', str_repeat('g', 256)] as $group) {
            self::refused(ArgumentException::class, fn () => $this->client->producer($group), 'group');
            self::refused(ArgumentException::class, fn () => $this->consumer($group)->start(static fn () => null), 'group');
        }
        self::refused(ArgumentException::class, fn () => $this->client->pushConsumer('g', ['a b' => '*']), 'a b');
        try {
            $this->client->pushConsumer('g', [])->start(static fn () => null);
            self::fail('a consumer without subscription started');
        } catch (MqException $error) {
            self::assertStringContainsString('subscri', $error->getMessage());
        }
    }

    public function testNobodyThere(): void
    {
        $server = stream_socket_server('tcp://127.0.0.1:0');
        self::assertIsResource($server);
        $address = (string) stream_socket_get_name($server, false);
        fclose($server);
        $nobody = new Client($address);
        try {
            $nobody->producer('g')->send(new Message($this->topic, 'x'));
            self::fail('sent to nobody');
        } catch (MqException $error) {
            self::assertSame('NETWORK', $error->name);
            self::assertTrue($error->retryable);
            self::assertStringContainsString($address, $error->getMessage());
        }

        $server = stream_socket_server('tcp://127.0.0.1:0');
        self::assertIsResource($server);
        $silent = new Client((string) stream_socket_get_name($server, false));
        $producer = $silent->producer('g');
        $error = self::refused(TimeoutException::class, fn () => $producer->send(new Message($this->topic, 'x'), 0.3));
        self::assertInstanceOf(MqException::class, $error);
        self::assertTrue($error->retryable);
        self::refused(TimeoutException::class, fn () => $producer->sendAsync(new Message($this->topic, 'x'), 0.3)->await());

        $pending = $producer->sendAsync(new Message($this->topic, 'x'), 100.0);
        $pending->cancel();
        try {
            $pending->await();
            self::fail('a cancelled send has a receipt');
        } catch (MqException $error) {
            self::assertSame('CANCELLED', $error->name);
        }
        $pending->cancel();
    }

    public function testTopicsThatAreNotThere(): void
    {
        $broker = new Broker(settings: ['autoCreateTopicEnable' => false]);
        $client = new Client($broker->address());
        self::refused(NotFoundException::class, static fn () => $client->producer('g')->send(new Message('missing', 'x')), 'missing');
    }

    public function testBrokersDieAndComeBack(): void
    {
        $producer = $this->client->producer('g', ['send_timeout' => '1s']);
        $acknowledged = [];
        $send = function (int $count) use ($producer, &$acknowledged): void {
            for ($i = 0; $i < $count; ++$i) {
                $body = uniqid('', true);
                try {
                    $producer->send(new Message($this->topic, $body));
                    $acknowledged[$body] = true;
                } catch (MqException $error) {
                    self::assertContains($error->name, ['NETWORK', 'TIMEOUT', 'NOT_FOUND', 'THROTTLED', 'BROKER']);
                    return;
                }
            }
        };
        $send(100);
        self::assertCount(100, $acknowledged);
        $this->broker->kill();
        $send(1);
        self::assertCount(100, $acknowledged, 'nobody acknowledged');
        $this->broker->restart();
        self::until(static function () use (&$acknowledged): bool {
            return count($acknowledged) >= 200;
        }, '100 more', static fn () => $send(20));
        foreach ($this->receive($this->consumer(), count($acknowledged)) as $message) {
            unset($acknowledged[$message->body]);
        }
        self::assertSame([], $acknowledged);
    }

    public function testClosingWhileBusyEndsEverySend(): void
    {
        $pending = [];
        for ($i = 0; $i < 1000; ++$i) {
            $pending[] = $this->producer->sendAsync(new Message($this->topic, 'busy'));
        }
        $this->client->close();
        $sent = 0;
        foreach ($pending as $send) {
            self::assertTrue($send->isDone());
            try {
                $send->await();
                ++$sent;
            } catch (ClosedException) {
            }
        }
        self::assertSame(1000, $sent, 'five seconds are enough for a thousand');
    }

    public function testUseAfterCloseIsAnError(): void
    {
        $other = $this->client->producer('g');
        $consumer = $this->consumer();
        $this->producer->close();
        $this->producer->close();
        $error = self::refused(ClosedException::class, fn () => $this->producer->send(new Message($this->topic, 'x')), 'closed');
        self::assertInstanceOf(MqException::class, $error);
        self::assertTrue($error->fatal);
        self::refused(ClosedException::class, fn () => $this->producer->sendAsync(new Message($this->topic, 'x')));
        self::refused(ClosedException::class, fn () => $this->producer->sendOneway(new Message($this->topic, 'x')));
        $this->client->close();
        $this->client->close();
        self::assertTrue($this->client->isClosed());
        self::refused(ClosedException::class, fn () => $other->send(new Message($this->topic, 'x')));
        self::refused(ClosedException::class, fn () => $other->sendAsync(new Message($this->topic, 'x')));
        self::refused(ClosedException::class, fn () => $this->client->producer('g'));
        self::refused(ClosedException::class, fn () => $this->consumer());
        self::refused(ClosedException::class, fn () => $this->client->stream());
        self::refused(ClosedException::class, static fn () => $consumer->suspend());
        self::assertSame(0, $this->client->poll(5.0));
        $other->close();
        $consumer->close();
    }

    public function testForkedChildrenGetAnError(): void
    {
        $message = new Message($this->topic, 'x');
        $this->producer->send($message);
        $pending = $this->producer->sendAsync($message);
        $consumer = $this->consumer();
        $consumer->start(static fn () => null);
        foreach (
            [
                fn () => $this->producer->send($message),
                fn () => $this->producer->sendAsync($message),
                fn () => $pending->await(),
                fn () => $this->client->poll(),
                fn () => $this->client->close(),
                fn () => $consumer->close(),
                fn () => $this->broker->createTopic('x'),
            ] as $act
        ) {
            self::assertStringStartsWith(ForkedException::class . ': ', self::inChild(static function () use ($act): string {
                $act();
                return 'no error';
            }));
        }
        $address = $this->broker->address();
        self::assertSame('Ok', self::inChild(fn (): string => (new Client($address))->producer('g')->send($message)->status->name));
        self::assertSame('done', self::inChild(function () use ($pending, $consumer): string {
            // What goes away in the child does nothing to the parent's.
            $pending = $consumer = $this->producer = $this->client = $this->broker = null;
            gc_collect_cycles();
            return 'done';
        }));
        $pending->await();
        $this->producer->send($message);
    }

    public function testScriptsEndWithEverythingOpen(): void
    {
        $script = <<<'PHP'
            require getenv('AUTOLOAD');
            $broker = new LibMq\Testing\Broker();
            $client = new LibMq\Client($broker->address());
            $producer = $client->producer('g');
            $producer->send(new LibMq\Message('t', 'x'));
            $consumer = $client->pushConsumer('c', ['t' => '*'], ['consume_from_where' => 'first']);
            $pending = $producer->sendAsync(new LibMq\Message('t', 'x'));
            END
            PHP;
        $ends = ['' => 0, 'exit(7);' => 7, 'throw new Exception("x");' => 255, 'posix_kill(posix_getpid(), SIGINT); sleep(60);' => -SIGINT,
            '$consumer->start(fn () => exit(7)); while (true) { $client->poll(1.0); }' => 7];
        $folder = sys_get_temp_dir() . '/' . uniqid('mq-test-');
        mkdir($folder);
        foreach ($ends as $end => $expected) {
            $command = [PHP_BINARY, '-d', 'display_errors=0', '-d', 'log_errors=0', '-r', str_replace('END', $end, $script)];
            $process = proc_open($command, [], $pipes, null, 
                ['AUTOLOAD' => __DIR__ . '/../../build/php/vendor/autoload.php', 'TMPDIR' => $folder] + getenv());
            self::assertIsResource($process);
            $status = [];
            self::until(static function () use ($process, &$status): bool {
                $status = proc_get_status($process);
                return !$status['running'];
            }, "the end after: $end");
            self::assertSame($expected, $status['signaled'] ? -$status['termsig'] : $status['exitcode'], $end);
            proc_close($process);
        }
        exec('rm -r ' . escapeshellarg($folder)); // a process that is killed cleans nothing up
    }

    public function testEmbeddedBrokersKeepTheirData(): void
    {
        $this->producer->send(new Message($this->topic, 'kept'));
        $folder = $this->broker->dataDirectory();
        self::assertDirectoryExists($folder);
        $this->broker->kill();
        $this->broker->restart();
        self::assertSame('kept', $this->receive($this->consumer(), 1)[0]->body);
        $this->client->close();
        $address = $this->broker->address();
        $this->broker->stop();
        $this->broker->stop();
        self::assertFalse(@stream_socket_client("tcp://$address", timeout: 1.0), 'nobody listens');
        $this->broker = null;
        clearstatcache();
        self::assertDirectoryDoesNotExist($folder);
    }

    public function testLogLinesReachTheProgram(): void
    {
        $lines = [];
        Log::setHandler(static function (string $level, string $message, array $context) use (&$lines): void {
            $lines[] = [$level, $message, $context['target']];
        }, 'debug');
        try {
            $this->client->producer('g')->sendAsync(new Message($this->topic, 'x'))->await();
            self::until(static function () use (&$lines): bool {
                return $lines !== [];
            }, 'a log line', static fn () => Log::poll());
        } finally {
            Log::setHandler(null);
        }
        [$level, $message, $target] = $lines[0];
        self::assertContains($level, ['error', 'warning', 'info', 'debug']);
        self::assertNotSame('', $message);
        self::assertStringStartsWith('mq', $target);
        self::refused(ArgumentException::class, static fn () => Log::setHandler(static fn () => null, 'loud'), 'loud', 'warning');
    }

    public function testTheExampleRuns(): void
    {
        $autoload = realpath(__DIR__ . '/../../build/php/vendor/autoload.php');
        exec('AUTOLOAD=' . escapeshellarg((string) $autoload) . ' ' . PHP_BINARY . ' ' . escapeshellarg(__DIR__ . '/../examples/orders.php') . ' 2>&1', $output, $status);
        self::assertSame(0, $status, implode("\n", $output));
        self::assertContains('billed order 42: 42 apples', $output);
        self::assertCount(3, preg_grep('/^audited order 4[123] of queue \d$/', $output) ?: [], implode("\n", $output));
    }

    public function testFaultsOnRequest(): void
    {
        $faults = $this->broker->faults();
        $send = fn (?float $timeout = null): int => $this->producer->send(new Message($this->topic, 'x', messageGroup: 'one'), $timeout)->queueOffset;
        self::assertSame(0, $send());
        $faults->failNext('SEND_MESSAGE', 'MESSAGE_ILLEGAL');
        self::refused(ArgumentException::class, static fn () => $send(), 'MESSAGE_ILLEGAL');
        $faults->loseAnswerNext('SEND_MESSAGE');
        self::refused(TimeoutException::class, static fn () => $send(0.3), "no answer");
        $faults->delayNext('SEND_MESSAGE', 60, 5);
        $faults->dropNext('SEND_MESSAGE', 5);
        $faults->refuseConnections();
        $faults->clear();
        self::assertSame(2, $send());
        self::refused(ArgumentException::class, static fn () => $faults->dropNext('SEND_MESAGE'), 'SEND_MESAGE');
        self::refused(ArgumentException::class, static fn () => $faults->delayNext('SEND_MESSAGE', -1), '-1');
    }

    public function testTheClockMoves(): void
    {
        $clock = $this->broker->clock();
        $before = $clock->now();
        $clock->advance(7200);
        self::assertGreaterThanOrEqual($before + 7200, $clock->now());
        $clock->set($before);
        self::assertLessThan($before + 3600, $clock->now());
        self::refused(ArgumentException::class, static fn () => $clock->advance(-1), '-1');
    }
}
