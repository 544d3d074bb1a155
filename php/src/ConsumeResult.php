<?php

/** ConsumeResult: a listener's answer. */

declare(strict_types=1);

namespace LibMq;

/** A listener's answer. A listener that throws means later; one that returns anything else than a ConsumeResult, success. */
final class ConsumeResult
{
    private function __construct(
        public readonly bool $isLater,
        public readonly ?int $delayLevel,
    ) {
    }

    /** The message is done. */
    public static function success(): self
    {
        return new self(false, null);
    }

    /**
     * Deliver it again later.
     *
     * @param int|null $delayLevel 1 is the shortest, -1 moves it to the dead letters; without it the broker waits longer from
     *                             one attempt to the next
     */
    public static function later(?int $delayLevel = null): self
    {
        return new self(true, $delayLevel);
    }
}
