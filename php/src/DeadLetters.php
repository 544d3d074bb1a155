<?php

/** DeadLetters: what a consumer group never accepted. */

declare(strict_types=1);

namespace LibMq;

use FFI\CData;
use LibMq\Internal\Handle;
use LibMq\Internal\Library;

/**
 * Reads a group's dead letters and sends them again. Reading starts at the oldest one and changes nothing at the broker, so that
 * another reader sees them, too.
 */
final class DeadLetters
{
    private readonly Handle $handle;

    /** @internal */
    public function __construct(private readonly Client $client, CData $clientHandle, string $group)
    {
        $ffi = Library::get();
        $this->handle = Handle::make(
            'mq_dead_letters',
            static fn (CData $out) => $ffi->mq_dead_letters_new($clientHandle, $group, strlen($group), $out),
        );
    }

    /**
     * The next ones, at most $max, with the topic that they came from; none when all are read.
     *
     * @return list<DeadLetter>
     */
    public function read(int $max): array
    {
        $ffi = Library::get();
        return $this->client->wait(
            fn (CData $queue, int $tag) => $ffi->mq_dead_letters_read_async($this->handle->get(), Library::int32($max, 'the number of letters'), $queue, $tag),
            static function (CData $event) use ($ffi): array {
                $letters = [];
                for ($i = 0, $count = $ffi->mq_event_message_count($event); $i < $count; ++$i) {
                    $letters[] = new DeadLetter($ffi->mq_message_view_clone($ffi->mq_event_message($event, $i)));
                }
                return $letters;
            },
            fn (CData $queue, int $tag) => $ffi->mq_dead_letters_cancel($this->handle->get(), $queue, $tag),
        );
    }

    /** Sends a dead letter to the topic that it came from. It stays among the dead letters. */
    public function resend(DeadLetter $letter): SendReceipt
    {
        $ffi = Library::get();
        return $this->client->wait(
            fn (CData $queue, int $tag) => $ffi->mq_dead_letters_resend_async($this->handle->get(), $letter->view(), $queue, $tag),
            static fn (CData $event) => Library::receipt($ffi->mq_event_receipt($event)),
            fn (CData $queue, int $tag) => $ffi->mq_dead_letters_cancel($this->handle->get(), $queue, $tag),
        );
    }

    /** Reads from the oldest one again. */
    public function rewind(): void
    {
        Library::check(Library::get()->mq_dead_letters_rewind($this->handle->get()));
    }
}
