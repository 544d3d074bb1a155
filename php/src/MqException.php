<?php

/** MqException: every error of the library. */

declare(strict_types=1);

namespace LibMq;

/** An error of the library. Subclasses exist where programs tend to catch them apart. */
class MqException extends \RuntimeException
{
    /**
     * @internal
     *
     * @param string   $message    what was wrong, with what value, and what to do about it
     * @param int      $code       the number, the same in every language
     * @param string   $name       the number's name, for instance NOT_FOUND
     * @param int|null $brokerCode the broker's own response code, if the broker refused
     * @param bool     $retryable  whether the same call can work later
     * @param bool     $throttled  whether the broker asked for less load
     * @param bool     $fatal      whether the object cannot be used any more
     */
    final public function __construct(
        string $message,
        int $code,
        public readonly string $name,
        public readonly ?int $brokerCode = null,
        public readonly bool $retryable = false,
        public readonly bool $throttled = false,
        public readonly bool $fatal = false,
    ) {
        parent::__construct($message, $code);
    }

    /**
     * The class for a code of the core.
     *
     * @internal
     *
     * @return class-string<self>
     */
    public static function classFor(int $code): string
    {
        return match ($code) {
            2 => ConfigException::class,
            3 => ArgumentException::class,
            4 => TimeoutException::class,
            5 => ClosedException::class,
            7 => NotFoundException::class,
            8 => DeniedException::class,
            9 => ThrottledException::class,
            10 => TooLargeException::class,
            11 => ForkedException::class,
            default => self::class,
        };
    }
}
