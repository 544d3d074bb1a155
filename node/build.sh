#!/usr/bin/env bash
# Builds the npm package and installs it in a project as a user would.
#
# Leaves in ${CARGO_TARGET_DIR:-target}/node: the tarball, and `project`, where the tests and the scenario runner find the package.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
out=$CARGO_TARGET_DIR/node
platform=$(node -p 'process.platform + "-" + process.arch')

cargo build --locked --release --manifest-path "$root/Cargo.toml"

# The tarball: the sources, the notices and the binary without its symbols' names.
rm -rf "$out/package" "$out/project" "$out"/*.tgz
mkdir -p "$out/package" "$out/project"
cp -r "$here/lib" "$here/package.json" "$here/README.md" "$root/LICENSE" "$root/NOTICE" "$out/package/"
strip --strip-unneeded -o "$out/package/libmq.$platform.node" "$CARGO_TARGET_DIR/release/libmq_node.so"
(cd "$out/package" && npm pack --silent --pack-destination "$out")

# A user's project.
echo '{ "name": "project", "private": true }' >"$out/project/package.json"
(cd "$out/project" && npm install --silent --no-audit --no-fund --offline "$out"/libmq-client-*.tgz)
echo "node: $(ls "$out"/*.tgz) ($(stat -c %s "$out"/*.tgz) bytes)"
