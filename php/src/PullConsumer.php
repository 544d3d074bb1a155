<?php

/** PullConsumer: messages that the application asks for, with positions of its own. */

declare(strict_types=1);

namespace LibMq;

use FFI\CData;
use LibMq\Internal\Handle;
use LibMq\Internal\Library;

/**
 * A consumer that is asked for messages: it either subscribes topics and shares their queues with its group, or is assigned
 * queues by hand. Positions are committed from time to time (settings auto_commit, auto_commit_interval) or by commit(). Times
 * are in seconds. It joins its group with the first call that needs to.
 */
final class PullConsumer
{
    private const WHENCE = ['begin' => 1, 'end' => 2];

    private readonly Handle $handle;
    private bool $started = false;
    private bool $closed = false;

    /**
     * @internal
     *
     * @param array<string, string|int|float|bool|null> $settings
     */
    public function __construct(private readonly Client $client, CData $clientHandle, array $settings)
    {
        $ffi = Library::get();
        $this->handle = Library::withConfig($settings, static fn (CData $config): Handle => Handle::make(
            'mq_pull_consumer',
            static fn (CData $out) => $ffi->mq_pull_consumer_new($clientHandle, $config, $out),
        ));
    }

    /** Takes part in a topic's messages: '*', or tags as in 'paid || refunded'. Not together with assign(). */
    public function subscribe(string $topic, string $expression = '*'): void
    {
        Library::check(Library::get()->mq_pull_consumer_subscribe($this->handle->get(), $topic, strlen($topic), $expression, strlen($expression)));
    }

    /** Ends a subscription and leaves its queues. */
    public function unsubscribe(string $topic): void
    {
        Library::check(Library::get()->mq_pull_consumer_unsubscribe($this->handle->get(), $topic, strlen($topic)));
    }

    /**
     * Takes just these queues, in place of those before. Not together with subscribe().
     *
     * @param list<MessageQueue> $queues
     */
    public function assign(array $queues): void
    {
        MessageQueue::with($queues, fn (CData $all) => Library::check(Library::get()->mq_pull_consumer_assign($this->handle->get(), $all)));
    }

    /**
     * The next messages: those that are there, or the first that come within $timeout seconds (5 unless given), else none.
     *
     * @return list<MessageView>
     */
    public function poll(?float $timeout = null): array
    {
        $this->start();
        $milliseconds = $timeout === null ? -1 : Library::millis($timeout, 'the timeout');
        return $this->wait('poll', [$milliseconds], MessageView::all(...));
    }

    /**
     * Messages, one after the other, for as long as the consumer is open.
     *
     * @return \Generator<int, MessageView>
     */
    public function messages(): \Generator
    {
        while (!$this->closed) {
            yield from $this->poll(0.5);
        }
    }

    /**
     * Goes on at another place of an assigned queue.
     *
     * @param int|string $to an offset, 'begin' or 'end'
     */
    public function seek(MessageQueue $queue, int|string $to): void
    {
        $this->start();
        $whence = is_int($to) ? 0 : self::WHENCE[$to] ?? throw Library::error(3, "'$to' is no place in a queue; give an offset, 'begin' or 'end'");
        $this->wait('seek', [...$queue->parts(), $whence, is_int($to) ? $to : 0]);
    }

    /** Goes on with the first message that was stored at this time or later: seconds since 1970-01-01 UTC. */
    public function seekToTime(MessageQueue $queue, float $time): void
    {
        $this->start();
        $this->wait('seek', [...$queue->parts(), 3, Library::millis($time, 'the time')]);
    }

    /** The offset of the first message that was stored at this time or later: seconds since 1970-01-01 UTC. */
    public function offsetForTime(MessageQueue $queue, float $time): int
    {
        $this->start();
        return $this->wait('offset_for_timestamp', [...$queue->parts(), Library::millis($time, 'the time')], self::offset(...));
    }

    /**
     * Stops asking for messages of these queues, until resume().
     *
     * @param list<MessageQueue> $queues
     */
    public function pause(array $queues): void
    {
        MessageQueue::with($queues, fn (CData $all) => Library::check(Library::get()->mq_pull_consumer_pause($this->handle->get(), $all)));
    }

    /**
     * Asks for messages of these queues again.
     *
     * @param list<MessageQueue> $queues
     */
    public function resume(array $queues): void
    {
        MessageQueue::with($queues, fn (CData $all) => Library::check(Library::get()->mq_pull_consumer_resume($this->handle->get(), $all)));
    }

    /**
     * Commits what poll() has given so far, or the given offsets: from where the group is to go on.
     *
     * @param list<array{MessageQueue, int}>|null $offsets pairs of a queue and an offset
     */
    public function commit(?array $offsets = null): void
    {
        $this->start();
        if ($offsets === null) {
            $this->wait('commit');
            return;
        }
        $numbers = Library::get()->new('int64_t[' . max(1, count($offsets)) . ']') ?? throw new \LogicException('no type int64_t');
        foreach (array_values($offsets) as $i => $pair) {
            $offset = is_array($pair) && count($pair) === 2 ? array_values($pair)[1] : null;
            $numbers[$i] = is_int($offset) ? $offset : throw Library::error(3, "offset number $i is not a pair of a queue and a number; give [\$queue, \$offset]");
        }
        MessageQueue::with(array_map(static fn (array $pair) => array_values($pair)[0], array_values($offsets)), fn (CData $all) => $this->wait('commit_offsets', [$all, $numbers, count($offsets)]));
    }

    /** The offset that the group has committed for a queue; null if none. */
    public function committed(MessageQueue $queue): ?int
    {
        $this->start();
        $offset = $this->wait('committed', $queue->parts(), self::offset(...));
        return $offset < 0 ? null : $offset;
    }

    /** The offset of the next message that poll() would give of an assigned queue. */
    public function position(MessageQueue $queue): int
    {
        $this->start();
        return $this->wait('position', $queue->parts(), self::offset(...));
    }

    /**
     * The queues of a topic.
     *
     * @return list<MessageQueue>
     */
    public function queues(string $topic): array
    {
        $this->start();
        return $this->wait('queues', [$topic, strlen($topic)], static fn (CData $event) => MessageQueue::from(Library::get()->mq_event_queues($event)));
    }

    /**
     * The queues that this consumer has now.
     *
     * @return list<MessageQueue>
     */
    public function assignment(): array
    {
        return MessageQueue::make(fn (CData $out) => Library::get()->mq_pull_consumer_assignment($this->handle->get(), $out));
    }

    /**
     * Calls $changed with all queues of a topic when they change, and with those that this consumer has when its share does;
     * within poll(), await() and the like of the same client.
     *
     * @param callable(list<MessageQueue>, list<MessageQueue>): mixed $changed
     */
    public function onQueueChange(string $topic, callable $changed): void
    {
        $this->start();
        $watch = $this->client->watch(static function (CData $event) use ($changed): void {
            $ffi = Library::get();
            $queues = MessageQueue::from($ffi->mq_event_queues($event));
            Library::tell('the callback for changed queues', $changed, $queues, MessageQueue::from($ffi->mq_event_assigned($event)));
        });
        $this->wait('watch_queues', [$topic, strlen($topic), $this->client->queueHandle(), $watch]);
    }

    /** Commits, leaves the group and closes, within $timeout seconds (5 unless given). Closing twice is fine. */
    public function close(?float $timeout = null): void
    {
        if ($this->closed) {
            return;
        }
        $this->closed = true;
        try {
            Library::check(Library::get()->mq_pull_consumer_close($this->handle->get(), Library::milliseconds($timeout)));
        } catch (TimeoutException) {
            // Cut off after its time: closed all the same.
        }
    }

    /** Whether it is closed. */
    public function isClosed(): bool
    {
        return $this->closed;
    }

    private static function offset(CData $event): int
    {
        return Library::get()->mq_event_offset($event);
    }

    private function start(): void
    {
        if ($this->closed || $this->client->isClosed()) {
            throw Library::error(5, 'the consumer is closed; make a new one');
        }
        if (!$this->started) {
            $this->wait('start', [0]);
            $this->started = true;
        }
    }

    /**
     * Calls mq_pull_consumer_<name>_async and waits for its event.
     *
     * @template T
     *
     * @param list<mixed>               $arguments
     * @param (callable(CData): T)|null $take
     *
     * @return T
     */
    private function wait(string $name, array $arguments = [], ?callable $take = null): mixed
    {
        $ffi = Library::get();
        return $this->client->wait(
            fn (CData $queue, int $tag) => $ffi->{"mq_pull_consumer_{$name}_async"}($this->handle->get(), ...$arguments, ...[$queue, $tag]),
            $take ?? static fn () => null,
            fn (CData $queue, int $tag) => $ffi->mq_pull_consumer_cancel($this->handle->get(), $queue, $tag),
        );
    }
}
