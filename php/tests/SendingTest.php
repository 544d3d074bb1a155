<?php

/** Every way to send, and what arrives. */

declare(strict_types=1);

namespace LibMq\Tests;

use LibMq\ArgumentException;
use LibMq\Message;
use LibMq\MessageView;
use LibMq\MqException;
use LibMq\PendingSend;
use LibMq\SendReceipt;
use LibMq\SendStatus;
use LibMq\TooLargeException;

final class SendingTest extends World
{
    public function testWhatIsSentArrivesUnchanged(): void
    {
        $body = implode('', array_map(chr(...), range(0, 255)));
        $before = (int) (microtime(true) * 1000) - 1000;
        $receipt = $this->producer->send(new Message(
            $this->topic,
            $body,
            tag: 'größe',
            keys: ['k1', 'k2'],
            properties: ['región' => 'eu', 'a' => 'b=c', '7' => 'seven'],
            messageGroup: 'customer 7',
        ));
        self::assertSame(SendStatus::Ok, $receipt->status);
        self::assertSame($this->topic, $receipt->topic);
        self::assertContains($receipt->queueId, [0, 1, 2, 3]);
        self::assertSame(0, $receipt->queueOffset);

        [$message] = $this->receive($this->consumer(), 1);
        self::assertSame($body, $message->body);
        self::assertSame($this->topic, $message->topic);
        self::assertSame('größe', $message->tag);
        self::assertSame(['k1', 'k2'], $message->keys);
        self::assertSame('eu', $message->properties['región']);
        self::assertSame('b=c', $message->properties['a']);
        self::assertSame('seven', $message->properties['7']);
        self::assertTrue(isset($message->properties) && !isset($message->properties['b']));
        self::refused(\Error::class, static fn () => $message->{'propertys'}, "no property 'propertys'");
        self::assertSame('customer 7', $message->messageGroup);
        self::assertSame($receipt->messageId, $message->messageId);
        self::assertSame($receipt->offsetMessageId, $message->offsetMessageId);
        self::assertSame($receipt->brokerName, $message->brokerName);
        self::assertSame($receipt->queueId, $message->queueId);
        self::assertSame($receipt->queueOffset, $message->queueOffset);
        self::assertSame(1, $message->deliveryAttempt);
        self::assertGreaterThan($before, $message->bornTimestamp);
        self::assertGreaterThan($before, $message->storeTimestamp);
        self::assertStringStartsWith('127.0.0.1:', $message->bornHost);
        self::assertSame($this->broker->brokerAddress(), $message->storeHost);
    }

    public function testAsynchronousAndOneway(): void
    {
        $pending = $this->producer->sendAsync(new Message($this->topic, 'async'));
        $receipt = $pending->await();
        self::assertTrue($pending->isDone());
        self::assertSame($receipt, $pending->await());
        self::assertSame(32, strlen($receipt->messageId));
        $this->producer->sendOneway(new Message($this->topic, 'oneway'));
        $found = $this->receive($this->consumer(), 2);
        $texts = array_map(static fn (MessageView $message): string => $message->body, $found);
        sort($texts);
        self::assertSame(['async', 'oneway'], $texts);
        self::assertNull($found[0]->tag);
        self::assertSame([], $found[0]->keys);
        self::assertNull($found[0]->messageGroup);
    }

    public function testListsGoAsOne(): void
    {
        $messages = [];
        for ($i = 0; $i < 10; ++$i) {
            $messages[] = new Message($this->topic, (string) $i, tag: $i % 2 === 0 ? 'even' : 'odd', keys: ["k$i"]);
        }
        self::assertCount(10, explode(',', $this->producer->sendBatch($messages)->messageId));
        self::assertInstanceOf(SendReceipt::class, $this->producer->sendBatchAsync($messages)->await());
        $texts = array_map(static fn (MessageView $message): string => $message->body, $this->receive($this->consumer(expression: 'odd'), 10, 0.5));
        sort($texts);
        self::assertSame('1133557799', implode('', $texts));
        self::refused(ArgumentException::class, fn () => $this->producer->sendBatch([]));
        self::refused(ArgumentException::class, fn () => $this->producer->sendBatch([new Message($this->topic, 'a'), new Message('other', 'b')]), 'topic');
    }

    public function testManyInFlight(): void
    {
        $expected = array_map(static fn (int $i): string => "message $i", range(1, 2000));
        $pending = array_map(fn (string $text): PendingSend => $this->producer->sendAsync(new Message($this->topic, $text)), $expected);
        $ids = array_map(static fn (PendingSend $send): string => $send->await()->messageId, $pending);
        self::assertCount(2000, array_unique($ids));
        $found = array_map(static fn (MessageView $message): string => $message->body, $this->receive($this->consumer(), 2000));
        self::assertSame([], array_diff($expected, $found));
    }

    public function testBadMessagesAreRefused(): void
    {
        $send = fn (mixed ...$fields): callable => fn () => $this->producer->send(new Message(...$fields));
        self::refused(ArgumentException::class, $send('', 'x'), 'topic');
        self::refused(ArgumentException::class, $send('a b', 'x'), 'a b');
        self::refused(ArgumentException::class, $send(str_repeat('t', 128), 'x'), '128');
        self::refused(ArgumentException::class, $send($this->topic, ''), 'body');
        self::refused(ArgumentException::class, $send($this->topic, 'x', tag: "\xff"), 'UTF-8');
        self::refused(ArgumentException::class, $send($this->topic, 'x', keys: ['a b']), 'a b');
        self::refused(ArgumentException::class, $send($this->topic, 'x', properties: ['UNIQ_KEY' => '1']), 'UNIQ_KEY');
        $error = self::refused(TooLargeException::class, $send($this->topic, str_repeat('x', 4 * 1024 * 1024 + 1)), '4194304');
        self::assertInstanceOf(MqException::class, $error);
        self::assertSame('TOO_LARGE', $error->name);
        self::assertSame(10, $error->getCode());
        self::assertFalse($error->retryable || $error->throttled || $error->fatal);
        self::assertNull($error->brokerCode);
        self::refused(\TypeError::class, $send($this->topic, null));
    }

    public function testDelayLevelsDelay(): void
    {
        $this->producer->send(new Message($this->topic, 'delayed', delayLevel: 1));
        [$message] = $this->receive($this->consumer(), 1);
        self::assertSame('delayed', $message->body);
        self::assertGreaterThanOrEqual(900, $message->storeTimestamp - $message->bornTimestamp);
    }
}
