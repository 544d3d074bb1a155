<?php

/** Callbacks of the program that throw: they end neither the calls that they came in nor what is still to come. */

declare(strict_types=1);

namespace LibMq\Tests;

use LibMq\Client;
use LibMq\ConsumeResult;
use LibMq\Log;
use LibMq\Message;
use LibMq\MessageView;

final class CallbackTest extends World
{
    private string $logged = '';
    private string|false $log = false;

    protected function setUp(): void
    {
        parent::setUp();
        $this->logged = (string) tempnam(sys_get_temp_dir(), 'mq-log');
        $this->log = ini_set('error_log', $this->logged);
    }

    protected function tearDown(): void
    {
        ini_set('error_log', (string) $this->log);
        unlink($this->logged);
        parent::tearDown();
    }

    public function testOfListenerErrors(): void
    {
        $this->producer->send(new Message($this->topic, 'one'));
        $attempts = [];
        $told = [];
        $consumer = $this->consumer(onListenerError: static function (MessageView $message, \Throwable $error) use (&$told): void {
            $told[] = $error->getMessage();
            throw new \RuntimeException('the error callback fails');
        });
        $consumer->start(static function (MessageView $message) use (&$attempts): void {
            $attempts[] = $message->deliveryAttempt;
            if ($message->deliveryAttempt < 3) {
                throw new \RuntimeException('the listener fails');
            }
        });
        self::until(static function () use (&$attempts): bool {
            return count($attempts) === 3;
        }, 'three attempts', $consumer->poll(...));
        self::assertSame([1, 2, 3], $attempts);
        self::assertSame(['the listener fails', 'the listener fails'], $told);
        self::assertSame(2, $this->timesLogged('the error callback fails'));
    }

    public function testOfWarnings(): void
    {
        foreach (['one', 'two'] as $body) {
            $this->producer->send(new Message($this->topic, $body));
        }
        $offsets = sys_get_temp_dir() . '/mq-offsets-' . getmypid();
        $warnings = [];
        $consumer = $this->client->pushConsumer(
            self::name('group'),
            [$this->topic => '*'],
            ['consume_from_where' => 'first', 'message_model' => 'broadcasting', 'offset_dir' => $offsets],
            onWarning: static function (string $name) use (&$warnings): void {
                $warnings[] = $name;
                throw new \RuntimeException('the warning callback fails');
            },
        );
        try {
            // Broadcasting does not deliver again: each refusal is a warning.
            $consumer->start(static fn () => ConsumeResult::later());
            self::until(static function () use (&$warnings): bool {
                return count($warnings) === 2;
            }, 'two warnings', $consumer->poll(...));
            self::assertSame(2, $this->timesLogged('the warning callback fails'));
        } finally {
            $consumer->close();
            foreach (glob("$offsets/*/*/*") ?: [] as $file) {
                unlink($file);
            }
            foreach (["$offsets/*/*", "$offsets/*", $offsets] as $folders) {
                array_map(rmdir(...), glob($folders) ?: []);
            }
        }
    }

    public function testOfChangedQueues(): void
    {
        $client = new Client($this->broker->address(), ['poll_name_server_interval' => '50ms']);
        $consumer = $client->pullConsumer(self::name('group'), ['topic_metadata_check_interval' => '50ms']);
        $consumer->subscribe($this->topic);
        $counts = [];
        $consumer->onQueueChange($this->topic, static function (array $all) use (&$counts): void {
            $counts[] = count($all);
            throw new \RuntimeException('the watcher fails');
        });
        foreach ([5, 6] as $count) {
            $this->broker->createTopic($this->topic, $count);
            self::until(static function () use (&$counts, $count): bool {
                return in_array($count, $counts, true);
            }, "a change to $count queues", $client->poll(...));
        }
        self::assertSame(count($counts), $this->timesLogged('the watcher fails'));
        $client->close();
    }

    public function testOfLogs(): void
    {
        $lines = [];
        Log::setHandler(static function (string $level, string $message) use (&$lines): void {
            $lines[] = $message;
            throw new \RuntimeException('the log handler fails');
        }, 'trace');
        try {
            $sends = [];
            foreach (range(1, 5) as $i) {
                $sends[] = $this->producer->sendAsync(new Message($this->topic, "message $i"));
            }
            foreach ($sends as $send) {
                self::assertNotSame('', $send->await()->messageId);
            }
            self::until(static function () use (&$lines): bool {
                return count($lines) >= 2;
            }, 'log lines', $this->client->poll(...));
        } finally {
            Log::setHandler(null);
        }
        self::assertSame(count($lines), $this->timesLogged('the log handler fails'));
    }

    /** How many lines of the error log say so. */
    private function timesLogged(string $text): int
    {
        return count(preg_grep('/' . preg_quote($text, '/') . '/', file($this->logged) ?: []) ?: []);
    }
}
