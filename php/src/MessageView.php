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

    /** The sender's own number for it. */
    public readonly int $flag;

    /** The properties as one text, of which few listeners want the parts. */
    private readonly string $pairs;

    /**
     * @param CData $length    a size_t to write to
     * @param CData $lengthPtr its address
     */
    private function __construct(CData $view, CData $length, CData $lengthPtr)
    {
        $ffi = Library::get();
        $packed = FFI::string($ffi->mq_message_view_packed($view, $lengthPtr), $length->cdata);
        $head = unpack('Lheader/lqueueId/qqueueOffset/qborn/qstored/lretries/lflag/Qbody/Qbytes/l10text', $packed) ?: throw new \LogicException('no view');
        $at = $head['header'];
        $texts = [];
        for ($i = 1; $i <= 10; ++$i) {
            $size = $head["text$i"];
            $texts[] = $size < 0 ? null : substr($packed, $at, $size);
            $at += max(0, $size);
        }
        [$topic, $this->tag, $keys, $this->messageGroup, $id, $offsetId, $brokerName, $bornHost, $storeHost, $pairs] = $texts;
        $this->topic = $topic ?? '';
        $this->body = $head['bytes'] === 0 ? '' : FFI::string($ffi->mq_message_view_body($view, null), $head['bytes']);
        $this->keys = ($keys ?? '') === '' ? [] : explode(' ', $keys);
        $this->messageId = $id ?? '';
        $this->offsetMessageId = $offsetId ?? '';
        $this->brokerName = $brokerName ?? '';
        $this->bornHost = $bornHost ?? '';
        $this->storeHost = $storeHost ?? '';
        $this->queueId = $head['queueId'];
        $this->queueOffset = $head['queueOffset'];
        $this->bornTimestamp = $head['born'];
        $this->storeTimestamp = $head['stored'];
        $this->flag = $head['flag'];
        $this->deliveryAttempt = $head['retries'] + 1;
        $this->pairs = $pairs ?? '';
        unset($this->properties); // __get() makes it
    }

    /** @internal the properties, when they are asked for first */
    public function __get(string $name): mixed
    {
        if ($name !== 'properties') {
            throw new \Error("a message view has no property '$name'");
        }
        $map = [];
        foreach (explode("\x02", $this->pairs) as $pair) {
            if ($pair !== '') {
                [$key, $value] = explode("\x01", $pair, 2) + [1 => ''];
                $map[$key] = $value;
            }
        }
        return $this->properties = $map;
    }

    /** @internal */
    public function __isset(string $name): bool
    {
        return $name === 'properties';
    }

    /** @internal views come from consumers */
    public static function of(CData $view): self
    {
        $length = Library::get()->new('size_t') ?? throw new \LogicException('no type size_t');
        return new self($view, $length, FFI::addr($length));
    }

    /**
     * The messages of an event.
     *
     * @internal
     *
     * @return list<MessageView>
     */
    public static function all(CData $event): array
    {
        $ffi = Library::get();
        $length = $ffi->new('size_t') ?? throw new \LogicException('no type size_t');
        $lengthPtr = FFI::addr($length);
        $views = [];
        for ($i = 0, $count = $ffi->mq_event_message_count($event); $i < $count; ++$i) {
            $views[] = new self($ffi->mq_event_message($event, $i), $length, $lengthPtr);
        }
        return $views;
    }

    /** The queue that it came from. */
    public function queue(): MessageQueue
    {
        return new MessageQueue($this->topic, $this->brokerName, $this->queueId);
    }
}
