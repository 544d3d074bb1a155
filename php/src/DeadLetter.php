<?php

/** DeadLetter: one message that a group never accepted. */

declare(strict_types=1);

namespace LibMq;

use FFI\CData;
use LibMq\Internal\Handle;

/** One dead letter. */
final class DeadLetter
{
    /** The message, with the topic that it was sent to. */
    public readonly MessageView $message;

    private readonly Handle $view;

    /** @internal */
    public function __construct(CData $view)
    {
        $this->view = new Handle($view, 'mq_message_view_free');
        $this->message = MessageView::of($view);
    }

    /** @internal */
    public function view(): CData
    {
        return $this->view->get();
    }
}
