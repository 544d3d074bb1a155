<?php

/** Library: the native library, loaded once, and conversions between its world and PHP's. */

declare(strict_types=1);

namespace LibMq\Internal;

use FFI;
use FFI\CData;
use LibMq\MqException;
use LibMq\SendReceipt;
use LibMq\SendStatus;

/**
 * All calls into libmq go through here. The library never calls into PHP: what happens meanwhile waits on queues.
 *
 * @internal
 */
final class Library
{
    public const EVENT_DONE = 1;
    public const EVENT_MESSAGE = 2;
    public const EVENT_LOG = 3;
    public const EVENT_WARNING = 4;
    public const EVENT_QUEUE_CHANGE = 5;

    /** The interface version that lib/mq.ffi.h describes: high 16 bits major, low 16 bits minor. */
    private const ABI_VERSION = 4;

    /** Seconds; what is longer is taken as this. */
    private const LONGEST = 1e11;

    private static ?FFI $ffi = null;

    /** The library's functions, loaded at the first use. */
    public static function get(): FFI
    {
        return self::$ffi ??= self::load();
    }

    /** Throws if a call failed; the error object is freed. */
    public static function check(?CData $error): void
    {
        if ($error !== null) {
            $exception = self::describe($error);
            self::get()->mq_error_free($error);
            throw $exception;
        }
    }

    /** The exception for an error object, which stays. */
    public static function describe(CData $error): MqException
    {
        $ffi = self::get();
        $code = $ffi->mq_error_code($error);
        $brokerCode = $ffi->mq_error_broker_code($error);
        $class = MqException::classFor($code);
        return new $class(
            $ffi->mq_error_message($error, null),
            $code,
            $ffi->mq_error_name($error),
            $brokerCode < 0 ? null : $brokerCode,
            $ffi->mq_error_retryable($error) !== 0,
            $ffi->mq_error_throttled($error) !== 0,
            $ffi->mq_error_fatal($error) !== 0,
        );
    }

    /** The error for a code that this package finds by itself. */
    public static function error(int $code, string $message): MqException
    {
        $class = MqException::classFor($code);
        return new $class($message, $code, self::get()->mq_error_code_name($code), fatal: $code === 5);
    }

    /** A text that stands where PHP itself does not check it, in an array. */
    public static function text(mixed $value, string $what): string
    {
        return is_string($value) ? $value : throw self::error(3, "$what is of type " . get_debug_type($value) . '; give a string');
    }

    /**
     * Calls the program's own code, where what it throws must not end what is still to be done.
     *
     * @param string $what for error_log()
     */
    public static function tell(string $what, callable $callback, mixed ...$arguments): void
    {
        try {
            $callback(...$arguments);
        } catch (\Throwable $error) {
            error_log("libmq: $what failed: $error");
        }
    }

    /** A time limit in milliseconds as the library takes it: 0 is its default, so that a shorter time counts as one millisecond. */
    public static function milliseconds(?float $seconds): int
    {
        return $seconds === null ? 0 : max(1, self::millis($seconds, 'the timeout'));
    }

    /** Milliseconds of a length of time, or of a time since 1970. */
    public static function millis(float $seconds, string $what): int
    {
        // Not the other way round: NAN is neither.
        return $seconds >= 0 ? (int) round(min($seconds, self::LONGEST) * 1000) : throw self::error(3, "$what is $seconds seconds; give 0 or more");
    }

    /** A number that is given to the library with 32 bits; FFI would cut it off. */
    public static function int32(int $value, string $what, int $least = 0): int
    {
        return $value >= $least && $value <= 0x7FFF_FFFF ? $value : throw self::error(3, "$what is $value; give $least to 2147483647");
    }

    /**
     * Makes something that a function puts into its last argument.
     *
     * @param callable(CData): ?CData $make gets the place for the pointer
     */
    public static function make(string $type, callable $make): CData
    {
        $place = self::get()->new("$type *") ?? throw new \LogicException("no type $type");
        self::check($make(FFI::addr($place)));
        return $place;
    }

    /**
     * Settings for the core, which checks each name and value, while $use runs.
     *
     * @template T
     *
     * @param array<string, string|int|float|bool|null> $settings null leaves a setting out
     * @param callable(CData): T                        $use
     *
     * @return T
     */
    public static function withConfig(array $settings, callable $use): mixed
    {
        $ffi = self::get();
        $config = $ffi->mq_config_new();
        try {
            foreach ($settings as $name => $value) {
                if ($value !== null) {
                    $name = (string) $name; // PHP makes numbers of array keys that look like numbers
                    if (!is_scalar($value)) {
                        throw self::error(3, "setting '$name' is of type " . get_debug_type($value) . '; give a string, a number or a boolean');
                    }
                    $text = is_bool($value) ? ($value ? 'true' : 'false') : (string) $value;
                    self::check($ffi->mq_config_set($config, $name, strlen($name), $text, strlen($text)));
                }
            }
            return $use($config);
        } finally {
            $ffi->mq_config_free($config);
        }
    }

    /** The receipt in a form of PHP's own; the native one stays. */
    public static function receipt(CData $receipt): SendReceipt
    {
        $ffi = self::get();
        return new SendReceipt(
            $ffi->mq_receipt_message_id($receipt, null) ?? '',
            $ffi->mq_receipt_offset_message_id($receipt, null) ?? '',
            $ffi->mq_receipt_topic($receipt, null) ?? '',
            $ffi->mq_receipt_broker_name($receipt, null) ?? '',
            $ffi->mq_receipt_queue_id($receipt),
            $ffi->mq_receipt_queue_offset($receipt),
            SendStatus::from($ffi->mq_receipt_status($receipt)),
            $ffi->mq_receipt_transaction_id($receipt, null),
        );
    }

    private static function load(): FFI
    {
        $folder = dirname(__DIR__, 2) . '/lib';
        $declarations = file_get_contents("$folder/mq.ffi.h");
        if ($declarations === false) {
            throw new \RuntimeException("$folder/mq.ffi.h is missing: install the package libmq/libmq again");
        }
        // PHP gives its strings to parameters of type char alone.
        $declarations = str_replace('const uint8_t *body', 'const char *body', $declarations);
        $given = getenv('LIBMQ_LIBRARY');
        $path = is_string($given) && $given !== '' ? $given : "$folder/libmq.so";
        if ($given === false && !is_file($path)) {
            $path = 'libmq.so.0';
        }
        try {
            $ffi = FFI::cdef($declarations, $path);
        } catch (\FFI\Exception $error) {
            $hint = 'set LIBMQ_LIBRARY to the path of libmq.so, and ffi.enable=true where PHP runs as a server';
            throw new \RuntimeException("cannot load $path: {$error->getMessage()}; $hint", 0, $error);
        }
        $version = $ffi->mq_abi_version();
        if ($version >> 16 !== self::ABI_VERSION >> 16 || $version < self::ABI_VERSION) {
            $wanted = self::ABI_VERSION;
            throw new \RuntimeException("$path has interface version $version, this package needs $wanted: install both of one release");
        }
        return $ffi;
    }
}
