<?php

/** ConsumeResult: a listener's answer. */

declare(strict_types=1);

namespace LibMq;

use LibMq\Internal\Library;

/** A listener's answer. A listener that throws means later; one that returns anything else than a ConsumeResult, success. */
final class ConsumeResult
{
    /** @param int $kind as in mq.h: 0 success, 1 later, 2 suspend */
    private function __construct(
        /** @internal */
        public readonly int $kind,
        /** @internal a delay level or milliseconds */
        public readonly int $detail = 0,
    ) {
    }

    /** The message is done. */
    public static function success(): self
    {
        return new self(0);
    }

    /**
     * Deliver it again later.
     *
     * @param int|null $delayLevel 1 is the shortest, -1 moves it to the dead letters; without it the broker waits longer from
     *                             one attempt to the next
     */
    public static function later(?int $delayLevel = null): self
    {
        return new self(1, $delayLevel === null ? 0 : Library::int32($delayLevel, 'the delay level', -1));
    }

    /**
     * Deliver it again after a pause in which its queue waits, so that no message overtakes it; for consumers with
     * consume_mode orderly, to others the same as later().
     *
     * @param float|null $seconds the pause; the setting suspend_current_queue_time, 1 second unless set
     */
    public static function suspend(?float $seconds = null): self
    {
        return new self(2, $seconds === null ? 0 : Library::int32(Library::milliseconds($seconds), 'the pause in milliseconds'));
    }
}
