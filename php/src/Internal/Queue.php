<?php

/** Queue: a queue of the core's events. */

declare(strict_types=1);

namespace LibMq\Internal;

use FFI;
use FFI\CData;

/**
 * Owns a queue. In a forked child the library does nothing with it.
 *
 * @internal
 */
final class Queue
{
    private const BATCH = 256;

    private readonly Handle $handle;
    private readonly CData $events;
    private readonly CData $count;
    /** @var resource|null */
    private mixed $stream = null;

    public function __construct()
    {
        $ffi = Library::get();
        $this->handle = new Handle($ffi->mq_queue_new(), 'mq_queue_free');
        $this->events = $ffi->new('mq_event *[' . self::BATCH . ']') ?? throw new \LogicException('no type mq_event');
        $this->count = $ffi->new('size_t') ?? throw new \LogicException('no type size_t');
    }

    /** For calls of the library. */
    public function handle(): CData
    {
        return $this->handle->get();
    }

    /**
     * Takes the events that are there, a batch at most, or waits up to $timeout seconds for the first. The caller frees them.
     *
     * @return list<CData>
     */
    public function take(float $timeout): array
    {
        $milliseconds = $timeout > 0 ? Library::milliseconds($timeout) : 0;
        Library::check(Library::get()->mq_queue_poll($this->handle->get(), $this->events, self::BATCH, $milliseconds, FFI::addr($this->count)));
        $events = [];
        for ($i = 0, $count = $this->count->cdata; $i < $count; ++$i) {
            $events[] = $this->events[$i];
        }
        return $events;
    }

    /**
     * A stream that is readable while events are waiting. Not to be read or closed.
     *
     * @return resource
     */
    public function stream(): mixed
    {
        if ($this->stream === null) {
            $fd = Library::get()->new('int32_t') ?? throw new \LogicException('no type int32_t');
            Library::check(Library::get()->mq_queue_fd($this->handle->get(), FFI::addr($fd)));
            $stream = fopen('php://fd/' . $fd->cdata, 'r');
            $this->stream = $stream === false ? throw new \RuntimeException('the queue cannot be opened as a stream') : $stream;
        }
        return $this->stream;
    }
}
