<?php

/** MessageView: a message that arrived. */

declare(strict_types=1);

namespace LibMq;

use FFI;
use FFI\CData;
use LibMq\Internal\Library;

/** A message that arrived. It does not change and stays valid for as long as it is kept. */
final class MessageView
{
    /** The topic that it was sent to, also when this is a later attempt. */
    public readonly string $topic;
    /** The body, decompressed. */
    public readonly string $body;
    /** The tag, if it has one. */
    public readonly ?string $tag;
    /** @var list<string> the keys */
    public readonly array $keys;
    /** @var array<array-key, string> all properties, those of RocketMQ itself included */
    public readonly array $properties;
    /** The message group (sharding key), if it has one. */
    public readonly ?string $messageGroup;
    /** The id that the sender gave; the same at every attempt. */
    public readonly string $messageId;
    /** The id that the broker gave: where it is stored. */
    public readonly string $offsetMessageId;
    /** The broker's name. */
    public readonly string $brokerName;
    /** The queue within the topic at that broker. */
    public readonly int $queueId;
    /** The place within the queue. */
    public readonly int $queueOffset;
    /** When it was sent, by the sender's clock: milliseconds since 1970. */
    public readonly int $bornTimestamp;
    /** Who sent it: host:port as the broker saw it. */
    public readonly string $bornHost;
    /** When it was stored, by the broker's clock: milliseconds since 1970. */
    public readonly int $storeTimestamp;
    /** The broker that stored it: host:port. */
    public readonly string $storeHost;
    /** Which delivery this is: 1 at first. */
    public readonly int $deliveryAttempt;

    /** @internal views come from a PushConsumer */
    public function __construct(CData $view)
    {
        $ffi = Library::get();
        $length = $ffi->new('size_t') ?? throw new \LogicException('no type size_t');
        $body = $ffi->mq_message_view_body($view, FFI::addr($length));
        $this->topic = $ffi->mq_message_view_topic($view, null) ?? '';
        $this->body = $body === null ? '' : FFI::string($body, $length->cdata);
        $this->tag = $ffi->mq_message_view_tag($view, null);
        $this->messageGroup = $ffi->mq_message_view_group($view, null);
        $this->messageId = $ffi->mq_message_view_message_id($view, null) ?? '';
        $this->offsetMessageId = $ffi->mq_message_view_offset_message_id($view, null) ?? '';
        $this->brokerName = $ffi->mq_message_view_broker_name($view, null) ?? '';
        $this->queueId = $ffi->mq_message_view_queue_id($view);
        $this->queueOffset = $ffi->mq_message_view_queue_offset($view);
        $this->bornTimestamp = $ffi->mq_message_view_born_timestamp($view);
        $this->bornHost = $ffi->mq_message_view_born_host($view, null) ?? '';
        $this->storeTimestamp = $ffi->mq_message_view_store_timestamp($view);
        $this->storeHost = $ffi->mq_message_view_store_host($view, null) ?? '';
        $this->deliveryAttempt = $ffi->mq_message_view_delivery_attempt($view);
        $keys = [];
        for ($i = 0; ($key = $ffi->mq_message_view_key($view, $i, null)) !== null; ++$i) {
            $keys[] = $key;
        }
        $this->keys = $keys;
        $properties = [];
        for ($i = 0; ($name = $ffi->mq_message_view_property_name($view, $i, null)) !== null; ++$i) {
            $properties[$name] = $ffi->mq_message_view_property_value($view, $i, null) ?? '';
        }
        $this->properties = $properties;
    }
}
