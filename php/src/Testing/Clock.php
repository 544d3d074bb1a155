<?php

/** Clock: the time of an embedded broker, moved by tests. */

declare(strict_types=1);

namespace LibMq\Testing;

use LibMq\Internal\Handle;
use LibMq\Internal\Library;

/** The time of a broker under test: delays, retries and expiry follow it. */
final class Clock
{
    /** @internal */
    public function __construct(private readonly Handle $broker)
    {
    }

    /** Moves it forward; what becomes due is delivered at once. */
    public function advance(float $seconds): void
    {
        Library::check(Library::get()->mq_broker_advance_clock($this->broker->get(), Library::millis($seconds, 'the time to advance')));
    }

    /** Sets it: seconds since 1970-01-01 UTC. */
    public function set(float $time): void
    {
        Library::check(Library::get()->mq_broker_set_clock($this->broker->get(), Library::millis($time, 'the time')));
    }

    /** What it shows: seconds since 1970-01-01 UTC. */
    public function now(): float
    {
        $millis = Library::get()->new('int64_t');
        Library::check(Library::get()->mq_broker_clock($this->broker->get(), \FFI::addr($millis)));
        return $millis->cdata / 1000;
    }
}
