<?php

/** The PHP runner of the scenario harness: reads requests from stdin, answers on stdout (tests/harness/README.md). */

declare(strict_types=1);

require __DIR__ . '/../../../build/php/vendor/autoload.php';
require __DIR__ . '/Runner.php';
require __DIR__ . '/Behaviour.php';

(new Runner())->serve(static fn (): bool => false);
