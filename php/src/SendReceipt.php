<?php

/** SendReceipt: what the broker says about a message that it took. */

declare(strict_types=1);

namespace LibMq;

/** What the broker says about a message, or a list of messages, that it took. */
final class SendReceipt
{
    /**
     * @internal receipts come from a Producer
     *
     * @param string      $messageId       the id that the client gave; for a list, the ids separated by commas
     * @param string      $offsetMessageId the id that the broker gave: where it stored the message
     * @param string      $topic           the topic
     * @param string      $brokerName      the broker's name
     * @param int         $queueId         the queue within the topic at that broker
     * @param int         $queueOffset     the place within the queue; for a list, that of the first message
     * @param SendStatus  $status          how safely the broker holds it
     * @param string|null $transactionId   the transaction's id, if it was part of one
     */
    public function __construct(
        public readonly string $messageId,
        public readonly string $offsetMessageId,
        public readonly string $topic,
        public readonly string $brokerName,
        public readonly int $queueId,
        public readonly int $queueOffset,
        public readonly SendStatus $status,
        public readonly ?string $transactionId,
    ) {
    }
}
