<?php

/** Unique: what cannot be copied. */

declare(strict_types=1);

namespace LibMq\Internal;

/**
 * For objects that close or free something when they go: a copy would do so for the one that is still in use.
 *
 * @internal
 */
trait Unique
{
    private function __clone()
    {
    }
}
