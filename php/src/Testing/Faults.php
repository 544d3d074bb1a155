<?php

/** Faults: what tests let an embedded broker do wrong. */

declare(strict_types=1);

namespace LibMq\Testing;

use LibMq\Internal\Handle;
use LibMq\Internal\Library;

/**
 * What a broker under test does wrong on request. Requests and answers are named as in RocketMQ; SEND_MESSAGE stands for all
 * requests that send, PULL_MESSAGE for both that pull. Faults of one request apply one after the other.
 */
final class Faults
{
    /** @internal */
    public function __construct(private readonly Handle $broker)
    {
    }

    /** The next requests are not carried out; their answer has the code $response, such as SYSTEM_BUSY. */
    public function failNext(string $request, string $response, int $times = 1): void
    {
        Library::check(Library::get()->mq_broker_fail_next($this->broker->get(), $request, strlen($request), $response, strlen($response), Library::int32($times, 'the number of times')));
    }

    /** The next requests are handled $seconds later; others go on meanwhile. */
    public function delayNext(string $request, float $seconds, int $times = 1): void
    {
        Library::check(Library::get()->mq_broker_delay_next($this->broker->get(), $request, strlen($request), Library::millis($seconds, 'the delay'), Library::int32($times, 'the number of times')));
    }

    /** The next requests are not carried out; their connections are closed. */
    public function dropNext(string $request, int $times = 1): void
    {
        Library::check(Library::get()->mq_broker_drop_next($this->broker->get(), $request, strlen($request), Library::int32($times, 'the number of times')));
    }

    /** The next requests are carried out, but not answered. */
    public function loseAnswerNext(string $request, int $times = 1): void
    {
        Library::check(Library::get()->mq_broker_lose_answer_next($this->broker->get(), $request, strlen($request), Library::int32($times, 'the number of times')));
    }

    /** Whether new connections are closed at once; open ones stay. */
    public function refuseConnections(bool $refuse = true): void
    {
        Library::check(Library::get()->mq_broker_refuse_connections($this->broker->get(), (int) $refuse));
    }

    /** Takes all faults back. */
    public function clear(): void
    {
        Library::check(Library::get()->mq_broker_clear_faults($this->broker->get()));
    }
}
