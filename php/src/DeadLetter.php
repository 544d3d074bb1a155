<?php

/** DeadLetter: one message that a group never accepted. */

declare(strict_types=1);

namespace LibMq;

use FFI\CData;
use LibMq\Internal\Library;

/** One dead letter. */
final class DeadLetter
{
    /** The message, with the topic that it was sent to. */
    public readonly MessageView $message;

    /** @internal */
    public function __construct(private readonly CData $view)
    {
        $this->message = new MessageView($view);
    }

    public function __destruct()
    {
        Library::get()->mq_message_view_free($this->view);
    }

    /** @internal */
    public function view(): CData
    {
        return $this->view;
    }
}
