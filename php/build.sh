#!/usr/bin/env bash
# Completes the Composer package with the native library (php/lib) and installs it, as a user would, into build/php.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}

cargo build --release --locked
mkdir -p php/lib
strip --strip-unneeded -o php/lib/libmq.so "$CARGO_TARGET_DIR/release/libmq.so"
cp ffi/include/mq.ffi.h LICENSE NOTICE php/lib/

rm -rf build/php
mkdir -p build/php
cat >build/php/composer.json <<'END'
{
    "repositories": [
        { "type": "path", "url": "../../php", "options": { "symlink": false } },
        { "packagist.org": false }
    ],
    "require": { "libmq/libmq": "*" },
    "minimum-stability": "dev"
}
END
cd build/php
COMPOSER_HOME=$PWD/composer COMPOSER_ALLOW_SUPERUSER=1 composer install --quiet --no-interaction --no-progress --optimize-autoloader
