<?php

/** Behaviour: the listener that a scenario asks for. */

declare(strict_types=1);

use LibMq\ConsumeResult;
use LibMq\MessageView;

/** A listener that reports each message and then answers as the scenario wants. */
final class Behaviour
{
    private int $received = 0;
    private int $reported = 0;
    private float $lastReport = 0.0;
    /** @var array<string, int> */
    private array $deliveries = [];

    /**
     * @param array<string, mixed> $behaviour
     * @param callable(): void     $hang returns when the consumer is closed; the one thread goes on with other work meanwhile
     */
    public function __construct(
        private readonly string $consumer,
        private readonly array $behaviour,
        private readonly mixed $hang,
    ) {
    }

    public function listen(MessageView $message): ConsumeResult
    {
        if (empty($this->behaviour['quiet'])) {
            $this->show($message);
        } else {
            ++$this->received;
            $this->report();
        }
        if (!empty($this->behaviour['hang'])) {
            ($this->hang)();
            return ConsumeResult::later(); // PHP has one thread: closing had to go on within this call
        }
        if (!empty($this->behaviour['delay'])) {
            usleep($this->behaviour['delay'] * 1000);
        }
        $throwFirst = $this->behaviour['throw_first'] ?? 0;
        $laterFirst = $this->behaviour['later_first'] ?? 0;
        if ($throwFirst > 0 || $laterFirst > 0) {
            $delivery = $this->deliveries[$message->messageId] = ($this->deliveries[$message->messageId] ?? 0) + 1;
            if ($delivery <= $throwFirst) {
                throw new RuntimeException("delivery $delivery is to fail");
            }
            if ($delivery <= $laterFirst) {
                return ConsumeResult::later();
            }
        }
        return empty($this->behaviour['always_later']) ? ConsumeResult::success() : ConsumeResult::later();
    }

    /** Tells how many messages came, if that changed and 200 ms have passed. */
    public function report(): void
    {
        $now = microtime(true);
        if ($this->received !== $this->reported && $now - $this->lastReport >= 0.2) {
            $this->reported = $this->received;
            $this->lastReport = $now;
            Runner::write(['event' => 'count', 'consumer' => $this->consumer, 'received' => $this->received]);
        }
    }

    private function show(MessageView $message): void
    {
        Runner::write([
            'event' => 'message',
            'consumer' => $this->consumer,
            'message' => [
                'topic' => $message->topic,
                'body' => base64_encode($message->body),
                'tag' => $message->tag,
                'keys' => $message->keys,
                'properties' => (object) $message->properties,
                'message_group' => $message->messageGroup,
                'message_id' => $message->messageId,
                'offset_message_id' => $message->offsetMessageId,
                'queue_id' => $message->queueId,
                'queue_offset' => $message->queueOffset,
                'broker_name' => $message->brokerName,
                'born_timestamp' => $message->bornTimestamp,
                'store_timestamp' => $message->storeTimestamp,
                'delivery_attempt' => $message->deliveryAttempt,
            ],
        ]);
    }
}
