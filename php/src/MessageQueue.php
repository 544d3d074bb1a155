<?php

/** MessageQueue: one queue of a topic. */

declare(strict_types=1);

namespace LibMq;

use FFI;
use FFI\CData;
use LibMq\Internal\Library;

/** One queue of a topic at one broker. */
final class MessageQueue
{
    /**
     * @param string $topic      the topic
     * @param string $brokerName the broker's name
     * @param int    $queueId    its number at that broker, from 0
     */
    public function __construct(
        public readonly string $topic,
        public readonly string $brokerName,
        public readonly int $queueId,
    ) {
        Library::int32($queueId, 'the number of the queue');
    }

    /** Whether both are the same queue. */
    public function equals(self $other): bool
    {
        return $this->queueId === $other->queueId && $this->brokerName === $other->brokerName && $this->topic === $other->topic;
    }

    /** A text that names the queue, for logs and as a key. */
    public function __toString(): string
    {
        return "$this->topic/$this->brokerName/$this->queueId";
    }

    /**
     * Queues of the core, which stay.
     *
     * @internal
     *
     * @return list<MessageQueue>
     */
    public static function from(?CData $queues): array
    {
        $ffi = Library::get();
        $all = [];
        for ($i = 0, $count = $queues === null ? 0 : $ffi->mq_message_queues_count($queues); $i < $count; ++$i) {
            $all[] = new self(
                $ffi->mq_message_queues_topic($queues, $i, null) ?? '',
                $ffi->mq_message_queues_broker_name($queues, $i, null) ?? '',
                $ffi->mq_message_queues_id($queues, $i),
            );
        }
        return $all;
    }

    /**
     * Queues that a function of the core makes, which are freed.
     *
     * @internal
     *
     * @param callable(CData): ?CData $make gets the place for them
     *
     * @return list<MessageQueue>
     */
    public static function make(callable $make): array
    {
        $queues = Library::make('mq_message_queues', $make);
        try {
            return self::from($queues);
        } finally {
            Library::get()->mq_message_queues_free($queues);
        }
    }

    /**
     * Queues in the core's form, while $use runs.
     *
     * @internal
     *
     * @template T
     *
     * @param list<MessageQueue> $queues
     * @param callable(CData): T $use
     *
     * @return T
     */
    public static function with(array $queues, callable $use): mixed
    {
        $ffi = Library::get();
        $all = $ffi->mq_message_queues_new();
        try {
            foreach ($queues as $queue) {
                if (!$queue instanceof self) {
                    throw Library::error(3, 'the list has something of type ' . get_debug_type($queue) . '; give LibMq\\MessageQueue objects');
                }
                Library::check($ffi->mq_message_queues_add($all, ...$queue->parts()));
            }
            return $use($all);
        } finally {
            $ffi->mq_message_queues_free($all);
        }
    }

    /**
     * Topic, broker name and queue id as the core's functions take them.
     *
     * @internal
     *
     * @return array{string, int, string, int, int}
     */
    public function parts(): array
    {
        return [$this->topic, strlen($this->topic), $this->brokerName, strlen($this->brokerName), $this->queueId];
    }
}
