<?php

/** Producer: sends messages. */

declare(strict_types=1);

namespace LibMq;

use FFI\CData;
use LibMq\Internal\Handle;
use LibMq\Internal\Library;

/**
 * Sends messages. Every send is tried again at another broker where that can help, within its time limit; after an error the
 * message may have arrived all the same. Timeouts are in seconds; null is the setting send_timeout, 3 seconds unless set.
 */
final class Producer
{
    private readonly Handle $handle;
    private bool $closed = false;

    /**
     * @internal
     *
     * @param array<string, string|int|float|bool|null> $settings
     */
    public function __construct(private readonly Client $client, CData $clientHandle, array $settings)
    {
        $ffi = Library::get();
        $this->handle = Library::withConfig($settings, static fn (CData $config): Handle => Handle::make(
            'mq_producer',
            static fn (CData $out) => $ffi->mq_producer_new($clientHandle, $config, $out),
        ));
    }

    /**
     * Sends a message and waits for the broker's receipt.
     *
     * @throws MqException why it was not sent
     */
    public function send(Message $message, ?float $timeout = null): SendReceipt
    {
        return $this->sendAsync($message, $timeout)->await();
    }

    /**
     * Sends messages of one topic as one: all are stored, one after the other in one queue, or none.
     *
     * @param list<Message> $messages
     *
     * @throws MqException why they were not sent
     */
    public function sendBatch(array $messages, ?float $timeout = null): SendReceipt
    {
        return $this->sendBatchAsync($messages, $timeout)->await();
    }

    /** Sends a message without waiting. */
    public function sendAsync(Message $message, ?float $timeout = null): PendingSend
    {
        return $this->begin([$message], fn (array $messages, CData $queue, int $tag) => Library::get()
            ->mq_producer_send_async($this->handle->get(), $messages[0], Library::milliseconds($timeout), $queue, $tag));
    }

    /**
     * Sends messages as sendBatch() does, without waiting.
     *
     * @param list<Message> $messages
     */
    public function sendBatchAsync(array $messages, ?float $timeout = null): PendingSend
    {
        return $this->begin($messages, fn (array $all, CData $queue, int $tag) => Library::get()
            ->mq_producer_send_batch_async($this->handle->get(), self::pointers($all), count($all), Library::milliseconds($timeout), $queue, $tag));
    }

    /**
     * The queues that messages of a topic can be sent to.
     *
     * @return list<MessageQueue>
     */
    public function queues(string $topic): array
    {
        return MessageQueue::make(fn (CData $out) => Library::get()->mq_producer_queues($this->handle->get(), $topic, strlen($topic), $out));
    }

    /** Sends a message to just this queue, and waits for the broker's receipt. It is not tried elsewhere. */
    public function sendToQueue(Message $message, MessageQueue $queue, ?float $timeout = null): SendReceipt
    {
        return $this->sendToQueueAsync($message, $queue, $timeout)->await();
    }

    /** Sends a message to just this queue, without waiting. */
    public function sendToQueueAsync(Message $message, MessageQueue $queue, ?float $timeout = null): PendingSend
    {
        if ($queue->topic !== $message->topic) {
            throw Library::error(3, "the message goes to topic '$message->topic', but the queue is of topic '$queue->topic'");
        }
        return $this->begin([$message], fn (array $messages, CData $events, int $tag) => Library::get()->mq_producer_send_to_queue_async(
            $this->handle->get(),
            $messages[0],
            $queue->brokerName,
            strlen($queue->brokerName),
            $queue->queueId,
            Library::milliseconds($timeout),
            $events,
            $tag,
        ));
    }

    /**
     * Divides messages of one topic into lists that sendBatch() can send, in order; each is as long as the setting
     * max_message_size allows.
     *
     * @param list<Message> $messages
     *
     * @return list<list<Message>>
     */
    public function splitBatch(array $messages): array
    {
        return $this->withMessages($messages, function (array $all) use ($messages): array {
            $ffi = Library::get();
            $lengths = $ffi->new('size_t[' . max(1, count($messages)) . ']') ?? throw new \LogicException('no type size_t');
            $count = $ffi->new('size_t') ?? throw new \LogicException('no type size_t');
            Library::check($ffi->mq_producer_split_batch($this->handle->get(), self::pointers($all), count($all), $lengths, \FFI::addr($count)));
            $lists = [];
            for ($i = 0, $from = 0; $i < $count->cdata; $from += $lengths[$i++]) {
                $lists[] = array_slice($messages, $from, $lengths[$i]);
            }
            return $lists;
        });
    }

    /** Sends a message and asks for no answer: returns when it is handed to the connection. It may get lost. */
    public function sendOneway(Message $message): void
    {
        $this->withMessages([$message], function (array $messages): void {
            Library::check(Library::get()->mq_producer_send_oneway($this->handle->get(), $messages[0]));
        });
    }

    /** Waits for the sends on their way, for $timeout seconds (5 unless given), and closes. Closing twice is fine. */
    public function close(?float $timeout = null): void
    {
        if ($this->closed) {
            return;
        }
        $this->closed = true;
        try {
            Library::check(Library::get()->mq_producer_close($this->handle->get(), Library::milliseconds($timeout)));
        } catch (TimeoutException) {
            // Cut off after its time: closed all the same.
        }
    }

    /**
     * @param list<Message>                             $messages
     * @param callable(list<CData>, CData, int): ?CData $send     gets the messages, the queue and the tag
     */
    private function begin(array $messages, callable $send): PendingSend
    {
        return $this->withMessages($messages, fn (array $all): PendingSend => new PendingSend(
            $this->client,
            static fn (CData $queue, int $tag) => $send($all, $queue, $tag),
            fn (int $tag) => Library::check(Library::get()->mq_producer_cancel($this->handle->get(), $this->client->queueHandle(), $tag)),
        ));
    }

    /**
     * Messages in the core's form, while $use runs.
     *
     * @template T
     *
     * @param list<Message>            $messages
     * @param callable(list<CData>): T $use
     *
     * @return T
     */
    private function withMessages(array $messages, callable $use): mixed
    {
        $ffi = Library::get();
        $made = [];
        try {
            foreach ($messages as $message) {
                if (!$message instanceof Message) {
                    throw Library::error(3, 'the list has something of type ' . get_debug_type($message) . '; give LibMq\\Message objects');
                }
                $made[] = $native = Library::make(
                    'mq_message',
                    static fn (CData $out) => $ffi->mq_message_new($message->topic, strlen($message->topic), $message->body, strlen($message->body), $out),
                );
                self::fill($native, $message);
            }
            return $use($made);
        } finally {
            foreach ($made as $native) {
                $ffi->mq_message_free($native);
            }
        }
    }

    /**
     * An array for the library. It is not for reading: PHP keeps memory for each pointer that is read out of such an array.
     *
     * @param list<CData> $messages
     */
    private static function pointers(array $messages): CData
    {
        $all = Library::get()->new('mq_message *[' . max(1, count($messages)) . ']') ?? throw new \LogicException('no type mq_message');
        foreach ($messages as $i => $message) {
            $all[$i] = $message;
        }
        return $all;
    }

    private static function fill(CData $native, Message $message): void
    {
        $ffi = Library::get();
        if ($message->tag !== null) {
            Library::check($ffi->mq_message_set_tag($native, $message->tag, strlen($message->tag)));
        }
        foreach ($message->keys as $key) {
            $key = Library::text($key, 'a key of the message');
            Library::check($ffi->mq_message_add_key($native, $key, strlen($key)));
        }
        foreach ($message->properties as $name => $value) {
            $name = (string) $name; // PHP makes numbers of array keys that look like numbers
            $value = Library::text($value, "property '$name' of the message");
            Library::check($ffi->mq_message_set_property($native, $name, strlen($name), $value, strlen($value)));
        }
        if ($message->messageGroup !== null) {
            Library::check($ffi->mq_message_set_group($native, $message->messageGroup, strlen($message->messageGroup)));
        }
        if ($message->delayLevel !== 0) {
            $level = Library::int32($message->delayLevel, 'the delay level');
            Library::check($ffi->mq_message_set_delay_level($native, $level));
        }
        if (!$message->waitStore) {
            Library::check($ffi->mq_message_set_wait_store($native, 0));
        }
        if ($message->flag !== 0) {
            Library::check($ffi->mq_message_set_flag($native, Library::int32($message->flag, 'the flag', -0x8000_0000)));
        }
    }
}
