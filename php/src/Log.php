<?php

/** Log: the library's log lines, for the program's own log. */

declare(strict_types=1);

namespace LibMq;

use LibMq\Internal\Library;
use LibMq\Internal\Queue;

/** Hands the library's log lines to the program. By default the library logs nothing. */
final class Log
{
    /** The library's levels, and PSR-3's names for them. */
    private const LEVELS = [1 => 'error', 2 => 'warning', 3 => 'info', 4 => 'debug', 5 => 'debug'];
    private const NUMBERS = ['error' => 1, 'warning' => 2, 'info' => 3, 'debug' => 4, 'trace' => 5];

    private static ?Queue $queue = null;
    /** @var (callable(string, string, array{target: string}): mixed)|null */
    private static mixed $handler = null;

    /**
     * Calls $handler for each line up to $level, on this thread, while it polls, waits or closes. It is called as PSR-3's
     * log($level, $message, $context), so that `$logger->log(...)` fits. One handler a process; null stops it. What it throws
     * goes to error_log().
     *
     * @param (callable(string, string, array{target: string}): mixed)|null $handler
     * @param string                                                        $level   error, warning, info, debug or trace
     */
    public static function setHandler(?callable $handler, string $level = 'info'): void
    {
        $number = self::NUMBERS[$level] ?? throw Library::error(3, "there is no log level '$level': use " . implode(', ', array_keys(self::NUMBERS)));
        $queue = $handler === null ? null : new Queue();
        Library::check(Library::get()->mq_log_set_queue($queue?->handle(), $handler === null ? 0 : $number));
        self::$handler = $handler;
        self::$queue = $queue;
    }

    /** Hands out the lines that are waiting; Client::poll() and the like do so too. */
    public static function poll(): void
    {
        if (self::$queue === null) {
            return;
        }
        $ffi = Library::get();
        foreach (self::$queue->take(0.0) as $event) {
            $level = self::LEVELS[$ffi->mq_event_log_level($event)] ?? 'debug';
            $message = $ffi->mq_event_log_message($event, null) ?? '';
            $target = $ffi->mq_event_log_target($event, null) ?? '';
            $ffi->mq_event_free($event);
            if (self::$handler !== null) {
                Library::tell('the log handler', self::$handler, $level, $message, ['target' => $target]);
            }
        }
    }
}
