<?php

/** Queues of one's choice, pull consumers, batches to listeners, dead letters. */

declare(strict_types=1);

namespace LibMq\Tests;

use LibMq\ArgumentException;
use LibMq\ClosedException;
use LibMq\ConsumeResult;
use LibMq\Message;
use LibMq\MessageQueue;
use LibMq\MessageView;
use LibMq\MqException;

final class PullingTest extends World
{
    public function testQueuesOfOnesChoice(): void
    {
        $queues = $this->producer->queues($this->topic);
        self::assertCount(4, $queues);
        foreach ($queues as $queue) {
            self::assertSame($queue->queueId, $this->producer->sendToQueue(new Message($this->topic, 'x'), $queue)->queueId);
            self::assertSame($queue->queueId, $this->producer->sendToQueueAsync(new Message($this->topic, 'x'), $queue)->await()->queueId);
            self::assertTrue($queue->equals(new MessageQueue($queue->topic, $queue->brokerName, $queue->queueId)));
        }
        $nowhere = new MessageQueue($this->topic, 'nobody', 0);
        self::refused(ArgumentException::class, fn () => $this->producer->sendToQueue(new Message($this->topic, 'x'), $nowhere), 'nobody');
        $other = new MessageQueue('other', $queues[0]->brokerName, 0);
        self::refused(ArgumentException::class, fn () => $this->producer->sendToQueue(new Message($this->topic, 'x'), $other), $this->topic, "'other'");
        self::refused(ArgumentException::class, fn () => $this->producer->splitBatch([]), 'empty');
    }

    public function testAPullConsumerWithPositionsOfItsOwn(): void
    {
        $queue = $this->producer->queues($this->topic)[0];
        for ($i = 0; $i < 5; ++$i) {
            $this->producer->sendToQueue(new Message($this->topic, "$i", tag: 't', keys: ['a', 'b'], flag: 7), $queue);
        }
        $consumer = $this->client->pullConsumer(self::name('group'));
        $consumer->assign([$queue]);
        $consumer->seek($queue, 'begin');
        $found = [];
        while (count($found) < 5) {
            $found = [...$found, ...$consumer->poll(1.0)];
        }
        self::assertSame(['0', '1', '2', '3', '4'], array_map(static fn (MessageView $view) => $view->body, $found));
        self::assertSame([7, 't', ['a', 'b']], [$found[0]->flag, $found[0]->tag, $found[0]->keys]);
        self::assertTrue($found[0]->queue()->equals($queue));
        self::assertSame(5, $consumer->position($queue));
        $consumer->commit();
        self::assertSame(5, $consumer->committed($queue));
        $consumer->commit([[$queue, 2]]);
        self::assertSame(2, $consumer->committed($queue));
        $consumer->seek($queue, 3);
        self::assertSame('3', $consumer->poll(5.0)[0]->body);
        self::assertSame(0, $consumer->offsetForTime($queue, microtime(true) - 60));
        $consumer->seekToTime($queue, microtime(true) - 60);
        self::assertSame('0', $consumer->poll(5.0)[0]->body);
        $consumer->pause([$queue]);
        $consumer->resume([$queue]);
        self::assertCount(1, $consumer->assignment());
        self::assertCount(4, $consumer->queues($this->topic));
        self::refused(ArgumentException::class, static fn () => $consumer->seek($queue, 'middle'), 'middle');
        self::refused(MqException::class, fn () => $consumer->subscribe($this->topic), 'assign');
        $consumer->close();
        $consumer->close();
        self::refused(ClosedException::class, static fn () => $consumer->poll(), 'closed');
    }

    public function testASubscribedPullConsumerAsAGenerator(): void
    {
        $consumer = $this->client->pullConsumer(self::name('group'), ['consume_from_where' => 'first']);
        $consumer->subscribe($this->topic, 'wanted');
        $this->producer->send(new Message($this->topic, 'no', tag: 'other'));
        $this->producer->send(new Message($this->topic, 'yes', tag: 'wanted'));
        foreach ($consumer->messages() as $message) {
            self::assertSame('yes', $message->body);
            break;
        }
        $consumer->close();
    }

    public function testBatchesToAListener(): void
    {
        for ($i = 0; $i < 20; ++$i) {
            $this->producer->send(new Message($this->topic, "$i", messageGroup: 'one'));
        }
        $sizes = [];
        $consumer = $this->consumer(settings: ['consume_message_batch_max_size' => 8]);
        $consumer->startBatches(static function (array $messages) use (&$sizes): ConsumeResult {
            $sizes[] = count($messages);
            return ConsumeResult::success();
        });
        $deadline = microtime(true) + 60;
        while (array_sum($sizes) < 20 && microtime(true) < $deadline) {
            $consumer->poll(0.1);
        }
        self::assertSame(20, array_sum($sizes));
        self::assertGreaterThan(1, max($sizes));
        self::assertLessThanOrEqual(8, max($sizes));
        self::assertNotSame([], $consumer->assignment());
    }

    public function testDeadLettersAreSentAgain(): void
    {
        $group = self::name('group');
        $consumer = $this->consumer($group, settings: ['max_reconsume_times' => 0]);
        $seen = 0;
        $consumer->start(static function () use (&$seen): ConsumeResult {
            ++$seen;
            return ConsumeResult::later();
        });
        $this->producer->send(new Message($this->topic, 'poison', keys: ['k']));
        $dead = $this->client->deadLetters($group);
        $deadline = microtime(true) + 60;
        while (($letters = $dead->read(10)) === [] && microtime(true) < $deadline) {
            $consumer->poll(0.1);
        }
        self::assertCount(1, $letters);
        self::assertSame(['poison', ['k']], [$letters[0]->message->body, $letters[0]->message->keys]);
        $consumer->close(); // else what is sent again becomes a dead letter again
        $receipt = $dead->resend($letters[0]);
        self::assertSame($this->topic, $receipt->topic);
        self::assertSame([], $dead->read(10));
        $dead->rewind();
        self::assertCount(1, $dead->read(1));
    }
}
