<?php

/** PendingSend: the result of a send that is on its way. */

declare(strict_types=1);

namespace LibMq;

use FFI\CData;
use LibMq\Internal\Library;

/** The result of a send that is on its way. It arrives while this thread is in await(), or in run() or poll() of the same client. */
final class PendingSend
{
    private ?SendReceipt $receipt = null;
    private ?MqException $error = null;
    private readonly int $tag;

    /**
     * @internal
     *
     * @param callable(CData, int): ?CData $call
     * @param callable(int): void          $cancel
     */
    public function __construct(private readonly Client $client, callable $call, private readonly mixed $cancel)
    {
        $this->tag = $client->begin($call, $this->complete(...));
    }

    /** Whether the result is there; does not look for new ones. */
    public function isDone(): bool
    {
        return $this->receipt !== null || $this->error !== null;
    }

    /**
     * Waits for the result: at most as long as the send's own timeout.
     *
     * @throws MqException why it was not sent
     */
    public function await(): SendReceipt
    {
        $this->client->drive($this->isDone(...));
        return $this->receipt ?? throw $this->error ?? new \LogicException('a send that is done has a result');
    }

    /** Gives the send up: await() then throws an MqException named CANCELLED, unless it was done before. It may be stored all the same. */
    public function cancel(): void
    {
        if (!$this->isDone()) {
            ($this->cancel)($this->tag);
        }
    }

    private function complete(CData $event): void
    {
        $error = Library::get()->mq_event_error($event);
        if ($error !== null) {
            $this->error = Library::describe($error);
        } else {
            $this->receipt = Library::receipt(Library::get()->mq_event_receipt($event));
        }
    }
}
