#!/usr/bin/env bash
# Runs the tests on the package that build.sh installed; arguments go to phpunit.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root/php"
exec phpunit --configuration tests/phpunit.xml "$@"
