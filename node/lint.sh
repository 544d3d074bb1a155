#!/usr/bin/env bash
# The types under `tsc --strict`, as users see them, and the syntax of every script. Needs no build.
#
#   node/lint.sh [PROJECT]     a project in which @libmq/client is installed (default: the sources)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
source "$root/.ci/env"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/node_modules/@libmq"
package=$here
[ $# -eq 0 ] || package=$1/node_modules/@libmq/client
ln -s "$package" "$work/node_modules/@libmq/client"
ln -s "$MQ_NODE_TOOLS/@types" "$MQ_NODE_TOOLS/undici-types" "$work/node_modules/"
cp "$here"/test/types.mts "$here"/test/types.cts "$work"
cat >"$work/tsconfig.json" <<'JSON'
{
  "compilerOptions": {
    "strict": true, "noEmit": true, "skipLibCheck": false, "exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true,
    "target": "es2022", "lib": ["es2023"], "module": "nodenext", "moduleResolution": "nodenext", "types": ["node"],
    "preserveSymlinks": true
  },
  "files": ["types.mts", "types.cts"]
}
JSON
tsc -p "$work/tsconfig.json"
git -C "$root" ls-files -z -- 'node/*.js' 'node/*.mjs' 'tests/runners/node/*.js' | (cd "$root" && xargs -0n1 node --check)
echo "node: types and syntax are clean"
