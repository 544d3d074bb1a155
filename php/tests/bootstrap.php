<?php

/** Loads the installed package and what the tests share. */

declare(strict_types=1);

require __DIR__ . '/../../build/php/vendor/autoload.php';
require __DIR__ . '/World.php';
