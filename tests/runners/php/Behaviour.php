<?php

/** Behaviour: the listener that a scenario asks for. */

declare(strict_types=1);

use LibMq\ConsumeResult;
use LibMq\MessageView;

/** A listener that reports each message and then answers as the scenario wants. */
final class Behaviour
{
    private int $received = 0;
    private int $bytes = 0;
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

    /** @param list<MessageView> $messages */
    public function listen(array $messages): ConsumeResult
    {
        foreach ($messages as $message) {
            if (empty($this->behaviour['quiet'])) {
                Runner::write(['event' => 'message', 'consumer' => $this->consumer, 'message' => Runner::view($message), 'batch' => count($messages)]);
            } else {
                ++$this->received;
                $this->bytes += strlen($message->body);
                $this->report();
            }
        }
        $message = $messages[0];
        if (!empty($this->behaviour['hang'])) {
            ($this->hang)();
            return ConsumeResult::later(); // PHP has one thread: closing had to go on within this call
        }
        if (!empty($this->behaviour['delay'])) {
            usleep($this->behaviour['delay'] * 1000);
        }
        $throwFirst = $this->behaviour['throw_first'] ?? 0;
        $laterFirst = $this->behaviour['later_first'] ?? 0;
        $suspendFirst = $this->behaviour['suspend_first'] ?? 0;
        if ($throwFirst > 0 || $laterFirst > 0 || $suspendFirst > 0) {
            $delivery = $this->deliveries[$message->messageId] = ($this->deliveries[$message->messageId] ?? 0) + 1;
            if ($delivery <= $throwFirst) {
                throw new RuntimeException("delivery $delivery is to fail");
            }
            if ($delivery <= $suspendFirst) {
                return ConsumeResult::suspend(isset($this->behaviour['suspend']) ? $this->behaviour['suspend'] / 1000 : null);
            }
            if ($delivery <= $laterFirst) {
                return ConsumeResult::later($this->behaviour['later_level'] ?? null);
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
            Runner::write(['event' => 'count', 'consumer' => $this->consumer, 'received' => $this->received, 'bytes' => $this->bytes]);
        }
    }
}
