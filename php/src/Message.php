<?php

/** Message: what is sent. */

declare(strict_types=1);

namespace LibMq;

/**
 * A message to send. It is checked when it is sent: an illegal topic, tag or key, or a body over the limit, gives an
 * MqException that says what is wrong.
 */
final class Message
{
    /**
     * @param string                $topic        letters, digits and % | - _, at most 127 characters
     * @param string                $body         any bytes; 4 MiB at most unless producer and broker are set otherwise
     * @param string|null           $tag          what consumers can filter by
     * @param list<string>          $keys         by which it can be found at the broker; a key must not contain a space
     * @param array<string, string> $properties   the user's own; names that RocketMQ uses itself are refused
     * @param string|null           $messageGroup sharding key: messages of one group go to one queue, in order
     * @param int                   $delayLevel   delays the delivery by one of the broker's levels, 1 to 18; 0 is no delay
     * @param bool                  $waitStore    whether the receipt waits until the message is as safe as the broker is set to
     *                                            make it; false answers as soon as it is taken
     * @param int                   $flag         a number of the user's own that travels with it
     */
    public function __construct(
        public readonly string $topic,
        public readonly string $body,
        public readonly ?string $tag = null,
        public readonly array $keys = [],
        public readonly array $properties = [],
        public readonly ?string $messageGroup = null,
        public readonly int $delayLevel = 0,
        public readonly bool $waitStore = true,
        public readonly int $flag = 0,
    ) {
    }
}
