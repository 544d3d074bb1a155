<?php

/** Broker: a NameServer and a broker inside the process, for tests. */

declare(strict_types=1);

namespace LibMq\Testing;

use FFI\CData;
use LibMq\Internal\Handle;
use LibMq\Internal\Library;

/**
 * A NameServer and a broker inside this process, on free ports of the loopback interface. It accepts connections as soon as it
 * is made, works on threads of its own, and is stopped at the latest when the object goes.
 */
final class Broker
{
    private readonly Handle $handle;

    /**
     * @param string|null                               $dataDirectory where to keep the data; without it in a temporary
     *                                                                 directory, removed at the end
     * @param array<string, string|int|float|bool|null> $settings      Apache's own names of broker.conf
     */
    public function __construct(?string $dataDirectory = null, array $settings = [])
    {
        $ffi = Library::get();
        $this->handle = Library::withConfig(
            ['data_dir' => $dataDirectory] + $settings,
            static fn (CData $config): Handle => Handle::make('mq_broker', static fn (CData $out) => $ffi->mq_broker_start($config, $out)),
        );
    }

    /** The NameServer's host:port: what clients want to know. */
    public function address(): string
    {
        return Library::get()->mq_broker_address($this->handle->get(), null) ?? '';
    }

    /** The broker's own host:port. */
    public function brokerAddress(): string
    {
        return Library::get()->mq_broker_listen_address($this->handle->get(), null) ?? '';
    }

    /** Where its data is. */
    public function dataDirectory(): string
    {
        return Library::get()->mq_broker_data_dir($this->handle->get(), null) ?? '';
    }

    /** Creates a topic, or changes the number of its queues. */
    public function createTopic(string $name, int $queues = 4): void
    {
        Library::check(Library::get()->mq_broker_create_topic($this->handle->get(), $name, strlen($name), Library::int32($queues, 'the number of queues')));
    }

    /** Stops it in order, within $timeout seconds (10 unless given). Its data stays until the object goes. */
    public function stop(?float $timeout = null): void
    {
        Library::check(Library::get()->mq_broker_stop($this->handle->get(), Library::milliseconds($timeout)));
    }

    /** Ends it as kill -9 would: connections are cut, nothing is flushed. */
    public function kill(): void
    {
        Library::check(Library::get()->mq_broker_kill($this->handle->get()));
    }

    /** Starts it again on the same data and, if it can, the same ports. */
    public function restart(): void
    {
        Library::check(Library::get()->mq_broker_restart($this->handle->get()));
    }

    /** Faults to provoke; they stay over a stop, a kill and a restart. */
    public function faults(): Faults
    {
        return new Faults($this->handle);
    }

    /** The clock that can be moved. */
    public function clock(): Clock
    {
        return new Clock($this->handle);
    }
}
