<?php

/** Handle: something of the library that PHP owns. */

declare(strict_types=1);

namespace LibMq\Internal;

use FFI\CData;

/**
 * A pointer that is freed with the object. When a script ends, objects that hold each other go in no particular order, and
 * destructors may still use what is gone: they get a ClosedException, and never freed memory.
 *
 * @internal
 */
final class Handle
{
    use Unique;

    private ?CData $pointer;

    /** @param string $free the function that frees it */
    public function __construct(CData $pointer, private readonly string $free)
    {
        $this->pointer = $pointer;
    }

    public function __destruct()
    {
        $pointer = $this->pointer;
        $this->pointer = null;
        Library::get()->{$this->free}($pointer);
    }

    /**
     * What a function puts into its last argument.
     *
     * @param callable(CData): ?CData $make gets the place for the pointer
     */
    public static function make(string $type, callable $make): self
    {
        return new self(Library::make($type, $make), "{$type}_free");
    }

    /** The pointer, for a call. */
    public function get(): CData
    {
        return $this->pointer ?? throw Library::error(5, 'it is gone already; make a new one');
    }
}
