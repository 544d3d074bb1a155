<?php

/** Client: the connection to one cluster. */

declare(strict_types=1);

namespace LibMq;

use FFI\CData;
use LibMq\Internal\Handle;
use LibMq\Internal\Library;
use LibMq\Internal\Queue;
use LibMq\Internal\Unique;

/**
 * A client of one cluster: connections, routes, threads. One per process and cluster, as a rule. Producers and consumers are
 * made from it, and closing it closes them. It connects when it first has to.
 *
 * All that has a result later (PendingSend, messages for a PushConsumer) arrives when this thread asks for it: in await(), run()
 * or poll(). After a fork the child needs a client of its own; the parent's gives it a ForkedException.
 */
final class Client
{
    use Unique;

    private readonly Handle $handle;
    private readonly Queue $queue;
    private bool $closed = false;
    private int $lastTag = 0;
    /** @var array<int, callable(CData): void> what to do when the event with a tag comes */
    private array $pending = [];
    /** @var array<int, \Closure(CData): void> what to do when the queues change that a watch is for */
    private array $watching = [];
    /** @var array<int, \WeakReference<PushConsumer>> */
    private array $consumers = [];
    /** @var \SplQueue<CData> events with messages that no listener has seen yet */
    private readonly \SplQueue $inbox;

    /**
     * @param string                                    $namesrv  the NameServers: host:port[;host:port…]
     * @param array<string, string|int|float|bool|null> $settings by name, as the settings page lists them; the names of the Java
     *                                                            client are understood too
     *
     * @throws ConfigException for an unknown name or a bad value
     */
    public function __construct(string $namesrv, array $settings = [])
    {
        $ffi = Library::get();
        $this->handle = Library::withConfig(
            ['language' => 'PHP', 'namesrv' => $namesrv] + $settings,
            static fn (CData $config): Handle => Handle::make('mq_client', static fn (CData $out) => $ffi->mq_client_new($config, $out)),
        );
        $this->queue = new Queue();
        $this->inbox = new \SplQueue();
    }

    public function __destruct()
    {
        try {
            if (isset($this->handle)) {
                $this->close();
            }
        } catch (MqException) {
            // Nobody is there to hear of it: a forked child, a close that was cut off, or the queue is gone already.
        }
    }

    /** The version of the native library. */
    public static function version(): string
    {
        return Library::get()->mq_version();
    }

    /**
     * Makes a producer. It connects when it first sends.
     *
     * @param string                                    $group    the producer group
     * @param array<string, string|int|float|bool|null> $settings by name
     */
    public function producer(string $group, array $settings = []): Producer
    {
        $this->checkOpen();
        return new Producer($this, $this->handle->get(), ['group' => $group] + $settings);
    }

    /**
     * Makes a consumer; PushConsumer::run() or start() joins the group.
     *
     * @param string                                    $group           the consumer group; its members share the queues
     * @param array<string, string>                     $subscriptions   topics and what to take of them: '*', or tags as in
     *                                                                   'paid || refunded'
     * @param array<string, string|int|float|bool|null> $settings        by name
     * @param (callable(MessageView, \Throwable): mixed)|null $onListenerError called for what a listener throws; error_log() unless given
     * @param (callable(string, string): mixed)|null     $onWarning       called with name and text when something about the group is
     *                                                                    wrong, such as members with other subscriptions;
     *                                                                    error_log() unless given
     */
    public function pushConsumer(
        string $group,
        array $subscriptions,
        array $settings = [],
        ?callable $onListenerError = null,
        ?callable $onWarning = null,
    ): PushConsumer {
        $this->checkOpen();
        $tag = $this->nextTag();
        $all = ['group' => $group] + $settings;
        $consumer = new PushConsumer($this, $this->handle->get(), $this->queue, $tag, $all, $subscriptions, $onListenerError, $onWarning);
        $alive = array_filter($this->consumers, static fn (\WeakReference $known): bool => $known->get()?->isClosed() === false);
        $this->consumers = $alive + [$tag => \WeakReference::create($consumer)];
        return $consumer;
    }

    /**
     * Makes a consumer that asks for its messages itself.
     *
     * @param string                                    $group    the consumer group; its members share the queues
     * @param array<string, string|int|float|bool|null> $settings by name
     */
    public function pullConsumer(string $group, array $settings = []): PullConsumer
    {
        $this->checkOpen();
        return new PullConsumer($this, $this->handle->get(), ['group' => $group] + $settings);
    }

    /** The dead letters of a consumer group: what was delivered as often as allowed and never accepted. */
    public function deadLetters(string $group): DeadLetters
    {
        $this->checkOpen();
        return new DeadLetters($this, $this->handle->get(), $group);
    }

    /**
     * Takes what has arrived, or waits up to $timeout seconds for something: ends PendingSends, calls listeners.
     *
     * @return int how many events that was
     */
    public function poll(float $timeout = 0.0): int
    {
        if ($this->closed) {
            return 0;
        }
        // With something in the inbox the queue was woken (by drive()), so that this returns at once and uses that up.
        $count = count($this->inbox);
        $count += $this->pump($count === 0 ? $timeout : 0.001);
        while (!$this->inbox->isEmpty()) {
            $event = $this->inbox->dequeue();
            $consumer = $this->consumerOf($event);
            if ($consumer === null) {
                Library::get()->mq_event_free($event);
            } else {
                $consumer->deliver($event);
            }
        }
        return $count;
    }

    /**
     * A stream that is readable while poll() has something to do, for stream_select() or an event loop. Not to be read or closed.
     *
     * @return resource
     */
    public function stream(): mixed
    {
        $this->checkOpen();
        return $this->queue->stream();
    }

    /**
     * Closes the client and all that was made from it: consumers finish what they were handed, commit and leave their groups,
     * sends on their way get their results. What is not done within $timeout seconds (5 unless given) is cut, without an
     * error. Called by a listener it returns at once, the listener's answer still counts, and the rest is done meanwhile.
     * Closing twice is fine.
     */
    public function close(?float $timeout = null): void
    {
        if ($this->closed) {
            return;
        }
        $listening = false;
        foreach ($this->consumers as $consumer) {
            $listening = $consumer->get()?->isListening() || $listening;
            $consumer->get()?->close($timeout);
        }
        $this->closed = true;
        if ($listening) {
            // Its answer is owed, and cannot be given before this returns.
            $this->begin(
                fn (CData $queue, int $tag) => Library::get()
                    ->mq_client_close_async($this->handle->get(), Library::milliseconds($timeout), $queue, $tag),
                static fn () => null,
            );
            return;
        }
        try {
            Library::check(Library::get()->mq_client_close($this->handle->get(), Library::milliseconds($timeout)));
        } catch (TimeoutException) {
            // Cut off after its time: closed all the same.
        }
        // Every send that was accepted has its event by now.
        while ($this->pending !== [] && $this->pump(0.0) > 0) {
        }
        while (!$this->inbox->isEmpty()) {
            Library::get()->mq_event_free($this->inbox->dequeue());
        }
    }

    /** Whether it is closed. */
    public function isClosed(): bool
    {
        return $this->closed;
    }

    /**
     * Begins a call; when its event comes, $done takes it.
     *
     * @internal
     *
     * @param callable(CData, int): ?CData $call gets the queue and the tag
     * @param callable(CData): void        $done must not throw
     */
    public function begin(callable $call, callable $done): int
    {
        $tag = $this->nextTag();
        Library::check($call($this->queue->handle(), $tag));
        $this->pending[$tag] = $done;
        return $tag;
    }

    /**
     * Begins a call and waits for its event, so that signal handlers run meanwhile.
     *
     * @internal
     *
     * @template T
     *
     * @param callable(CData, int): ?CData $call   gets the queue and the tag
     * @param callable(CData): T           $take   gets the event
     * @param callable(CData, int): ?CData $cancel gets the queue and the tag, if a signal handler throws
     *
     * @return T
     */
    public function wait(callable $call, callable $take, callable $cancel): mixed
    {
        $done = false;
        $error = null;
        $result = null;
        $tag = $this->begin($call, static function (CData $event) use (&$done, &$error, &$result, $take): void {
            $done = true;
            $failed = Library::get()->mq_event_error($event);
            if ($failed !== null) {
                $error = Library::describe($failed);
            } else {
                $result = $take($event);
            }
        });
        try {
            $this->drive(static function () use (&$done): bool {
                return $done;
            });
        } finally {
            if (!$done) {
                Library::check($cancel($this->queue->handle(), $tag));
            }
        }
        return $error === null ? $result : throw $error;
    }

    /**
     * Takes events until something is done; in slices, so that signal handlers run.
     *
     * What comes for listeners meanwhile is in the inbox, of which stream() must tell: the queue is woken for it.
     *
     * @internal
     *
     * @param callable(): bool $done
     */
    public function drive(callable $done): void
    {
        try {
            while (!$done()) {
                $this->pump(0.1);
            }
        } finally {
            if (!$this->inbox->isEmpty()) {
                Library::check(Library::get()->mq_queue_wake($this->queue->handle()));
            }
        }
    }

    /**
     * A number for queue changes, and what to do when they come.
     *
     * @internal
     *
     * @param \Closure(CData): void $changed
     */
    public function watch(\Closure $changed): int
    {
        $tag = $this->nextTag();
        $this->watching[$tag] = $changed;
        return $tag;
    }

    /**
     * Takes events without calling listeners; messages stay in the inbox for poll().
     *
     * @internal
     */
    public function pump(float $timeout): int
    {
        $ffi = Library::get();
        $events = $this->queue->take($timeout);
        foreach ($events as $event) {
            $kind = $ffi->mq_event_kind($event);
            if ($kind === Library::EVENT_MESSAGE || $kind === Library::EVENT_WARNING) {
                $this->inbox->enqueue($event);
                continue;
            }
            $tag = $ffi->mq_event_tag($event);
            if ($kind === Library::EVENT_QUEUE_CHANGE) {
                ($this->watching[$tag] ?? null)?->__invoke($event);
                $ffi->mq_event_free($event);
                continue;
            }
            if (isset($this->pending[$tag])) {
                $done = $this->pending[$tag];
                unset($this->pending[$tag]);
                $done($event);
            }
            $ffi->mq_event_free($event);
        }
        Log::poll();
        return count($events);
    }

    /** @internal */
    public function queueHandle(): CData
    {
        return $this->queue->handle();
    }

    private function nextTag(): int
    {
        return ++$this->lastTag;
    }

    private function consumerOf(CData $event): ?PushConsumer
    {
        return ($this->consumers[Library::get()->mq_event_tag($event)] ?? null)?->get();
    }

    private function checkOpen(): void
    {
        if ($this->closed) {
            throw Library::error(5, 'the client is closed; make a new one');
        }
    }
}
