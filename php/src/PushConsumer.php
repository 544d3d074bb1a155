<?php

/** PushConsumer: hands the messages of a group's subscriptions to a listener. */

declare(strict_types=1);

namespace LibMq;

use FFI\CData;
use LibMq\Internal\Handle;
use LibMq\Internal\Library;
use LibMq\Internal\Queue;
use LibMq\Internal\Unique;

/**
 * A member of a consumer group. Its listener runs on this thread, one message at a time, within run() or poll(); a listener
 * gets a MessageView, and may return a ConsumeResult. One that throws means later, anything else success.
 */
final class PushConsumer
{
    use Unique;

    private readonly Handle $handle;
    /** @var callable|null gets all messages of an event, or one after the other */
    private mixed $listener = null;
    private bool $batches = false;
    private bool $stopped = false;
    private bool $closed = false;
    /** The event that the listener is working on. */
    private ?CData $current = null;

    /**
     * @internal
     *
     * @param array<string, string|int|float|bool|null>       $settings
     * @param array<string, string>                           $subscriptions
     * @param (callable(MessageView, \Throwable): mixed)|null $onListenerError
     * @param (callable(string, string): mixed)|null          $onWarning
     */
    public function __construct(
        private readonly Client $client,
        CData $clientHandle,
        Queue $queue,
        int $tag,
        array $settings,
        array $subscriptions,
        private readonly mixed $onListenerError,
        private readonly mixed $onWarning,
    ) {
        $ffi = Library::get();
        $this->handle = Library::withConfig($settings, static fn (CData $config): Handle => Handle::make(
            'mq_push_consumer',
            static fn (CData $out) => $ffi->mq_push_consumer_new($clientHandle, $config, $queue->handle(), $tag, $out),
        ));
        if ($subscriptions !== [] && array_is_list($subscriptions)) {
            throw Library::error(3, "the subscriptions are a list; give them as ['topic' => '*']");
        }
        foreach ($subscriptions as $topic => $expression) {
            $topic = (string) $topic; // PHP makes numbers of array keys that look like numbers
            $expression = Library::text($expression, "the expression for topic '$topic'");
            Library::check($ffi->mq_push_consumer_subscribe($this->handle->get(), $topic, strlen($topic), $expression, strlen($expression)));
        }
    }

    public function __destruct()
    {
        if (!isset($this->handle)) {
            return;
        }
        if ($this->current !== null) {
            Library::get()->mq_event_free($this->current); // the listener called exit(): nobody will answer
        }
        try {
            $this->close();
        } catch (MqException) {
            // Nobody is there to hear of it: a forked child, or the client's queue is gone already.
        }
    }

    /**
     * Joins the group. From then on poll() hands messages to the listener.
     *
     * @param callable(MessageView): mixed $listener
     */
    public function start(callable $listener): void
    {
        $this->startWith($listener, false);
    }

    /**
     * Joins the group with a listener that gets several messages of one queue at once, as many as the setting
     * consume_message_batch_max_size allows, and answers for all of them.
     *
     * @param callable(list<MessageView>): mixed $listener
     */
    public function startBatches(callable $listener): void
    {
        $this->startWith($listener, true);
    }

    private function startWith(callable $listener, bool $batches): void
    {
        [$this->listener, $this->batches] = [$listener, $batches];
        Library::check(Library::get()->mq_push_consumer_start($this->handle->get(), 0));
    }

    /**
     * Joins the group and hands messages to the listener until stop() is called or, where pcntl is there, SIGTERM or SIGINT
     * comes; then closes. For use in a loop of one's own there are start() and poll().
     *
     * @param callable(MessageView): mixed $listener
     */
    public function run(callable $listener): void
    {
        $before = [];
        $signals = function_exists('pcntl_signal') ? [SIGTERM, SIGINT] : [];
        $async = $signals !== [] && pcntl_async_signals(true);
        foreach ($signals as $signal) {
            $before[$signal] = pcntl_signal_get_handler($signal);
            pcntl_signal($signal, function (): void {
                $this->stop();
            });
        }
        try {
            $this->start($listener);
            while (!$this->stopped && !$this->closed) {
                $this->poll(0.1); // signal handlers run between the slices
            }
        } finally {
            try {
                $this->close();
            } finally {
                foreach ($before as $signal => $handler) {
                    pcntl_signal($signal, $handler);
                }
                if ($signals !== []) {
                    pcntl_async_signals($async);
                }
            }
        }
    }

    /** Hands what has arrived to the listener, or waits up to $timeout seconds for something; as Client::poll(). */
    public function poll(float $timeout = 0.0): int
    {
        return $this->client->poll($timeout);
    }

    /** Lets run() end, after the messages at hand; from a listener or a signal handler. */
    public function stop(): void
    {
        $this->stopped = true;
    }

    /**
     * Takes part in a topic's messages, or changes its expression: '*', or tags as in 'paid || refunded'. When this returns
     * the consumer has its share of the queues. All members of the group should subscribe to the same. What was fetched for an
     * older expression alone does not come any more, unless it was handed out or failed before; what that one passed over may
     * be left out.
     */
    public function subscribe(string $topic, string $expression = '*'): void
    {
        $this->checkOpen();
        Library::check(Library::get()->mq_push_consumer_subscribe($this->handle->get(), $topic, strlen($topic), $expression, strlen($expression)));
    }

    /**
     * Ends a subscription and leaves its queues: what is consumed is committed. What was handed out already still comes to
     * the listener. A topic that is not subscribed to is no error; without any the consumer stays in its group and gets what
     * failed before.
     */
    public function unsubscribe(string $topic): void
    {
        $this->checkOpen();
        Library::check(Library::get()->mq_push_consumer_unsubscribe($this->handle->get(), $topic, strlen($topic)));
    }

    /** Fetches no more until resume(); what was fetched already still comes. The consumer stays in its group. */
    public function suspend(): void
    {
        $this->checkOpen();
        Library::check(Library::get()->mq_push_consumer_suspend($this->handle->get()));
    }

    /** Fetches again. */
    public function resume(): void
    {
        $this->checkOpen();
        Library::check(Library::get()->mq_push_consumer_resume($this->handle->get()));
    }

    /**
     * Fetches no more, lets the listener finish what is at hand, commits and leaves the group, within $timeout seconds (5
     * unless given); what is not answered by then is delivered again. Called by the listener itself it returns at once, the
     * listener's answer still counts, and the rest is done meanwhile. Closing twice is fine.
     */
    public function close(?float $timeout = null): void
    {
        if ($this->closed) {
            return;
        }
        $this->closed = $this->current !== null;
        $ended = false;
        try {
            $this->client->begin(
                fn (CData $queue, int $tag) => Library::get()
                    ->mq_push_consumer_close_async($this->handle->get(), Library::milliseconds($timeout), $queue, $tag),
                static function () use (&$ended): void {
                    $ended = true; // also when it was cut off after its time
                },
            );
            while (!$ended && !$this->closed) {
                $this->client->poll(0.1);
            }
        } finally {
            $this->closed = true;
        }
    }

    /**
     * Whether the listener is at work.
     *
     * @internal
     */
    public function isListening(): bool
    {
        return $this->current !== null;
    }

    /** Whether it is closed. */
    public function isClosed(): bool
    {
        return $this->closed;
    }

    /**
     * The queues that this member has now.
     *
     * @return list<MessageQueue>
     */
    public function assignment(): array
    {
        return MessageQueue::make(fn (CData $out) => Library::get()->mq_push_consumer_assignment($this->handle->get(), $out));
    }

    /**
     * Gives one event's messages to the listener and frees it.
     *
     * @internal
     */
    public function deliver(CData $event): void
    {
        $ffi = Library::get();
        $outer = $this->current; // of a listener that polls
        $this->current = $event;
        try {
            if ($ffi->mq_event_kind($event) === Library::EVENT_WARNING) {
                $this->warn($ffi->mq_event_warning_name($event, null) ?? '', $ffi->mq_event_warning_message($event, null) ?? '');
            } elseif (!$this->closed && ($result = $this->listen(MessageView::all($event))) !== null) {
                Library::check($ffi->mq_event_reply($event, $result->kind, $result->detail));
            }
        } finally {
            $this->current = $outer;
            $ffi->mq_event_free($event); // without an answer: later
        }
    }

    private function warn(string $name, string $message): void
    {
        if ($this->onWarning !== null) {
            Library::tell('the callback for warnings', $this->onWarning, $name, $message);
        } else {
            error_log("libmq: $name: $message");
        }
    }

    private static function result(mixed $answer): ConsumeResult
    {
        return $answer instanceof ConsumeResult ? $answer : ConsumeResult::success();
    }

    private function checkOpen(): void
    {
        if ($this->closed || $this->client->isClosed()) {
            throw Library::error(5, 'the consumer is closed; make a new one');
        }
    }

    /**
     * The listener's answer for all messages; without one nothing is answered.
     *
     * @param list<MessageView> $messages
     */
    private function listen(array $messages): ?ConsumeResult
    {
        try {
            if ($this->listener === null) {
                return ConsumeResult::later();
            }
            if ($this->batches) {
                return self::result(($this->listener)($messages));
            }
            $result = null;
            foreach ($messages as $message) {
                $result = $this->closed ? null : self::result(($this->listener)($message));
                if ($result?->kind !== 0) {
                    break; // what comes behind it in this delivery comes again, too
                }
            }
            return $result;
        } catch (\Throwable $error) {
            $message = $messages[0];
            if ($this->onListenerError !== null) {
                Library::tell('the callback for errors of the listener', $this->onListenerError, $message, $error);
            } else {
                error_log("libmq: the listener failed on message $message->messageId of $message->topic, which will come again: $error");
            }
            return ConsumeResult::later();
        }
    }
}
