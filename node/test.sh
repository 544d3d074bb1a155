#!/usr/bin/env bash
# Runs the tests on the installed package; node/build.sh installs it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
project=${CARGO_TARGET_DIR:-$root/target}/node/project
[ -d "$project/node_modules/@libmq/client" ] || { echo "the package is not installed; run node/build.sh first" >&2; exit 1; }

"$here/lint.sh" "$project"
# The tests lie in a user's project, so that they find the package as a user's program does.
rm -rf "$project/test" "$project/examples"
cp -r "$here/test" "$here/examples" "$project/"
cd "$project"
exec node --expose-gc --test --test-reporter=tap test/*.test.js
