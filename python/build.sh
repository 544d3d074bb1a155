#!/usr/bin/env bash
# Builds the wheel and installs it as a user would, into a fresh environment: $CARGO_TARGET_DIR/python/{wheels,venv}.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$(dirname "$PWD")/target}
[ ! -f ../.ci/env ] || source ../.ci/env
out=$CARGO_TARGET_DIR/python

maturin build --quiet --release --locked --out "$out/wheels.new"
wheel=$(echo "$out"/wheels.new/libmq-*.whl)
hash=$(unzip -vqq "$wheel" | awk '{ print $7, $8 }' | sha256sum) # names and checksums of what is in it
if [ "$(cat "$out/installed" 2>/dev/null)" != "$hash" ]; then
    rm -rf "$out/installed" "$out/venv" "$out/wheels"
    mv "$out/wheels.new" "$out/wheels"
    python3 -m venv "$out/venv"
    "$out/venv/bin/pip" install --quiet --disable-pip-version-check --no-index "$out"/wheels/libmq-*.whl
    echo "$hash" >"$out/installed"
fi
rm -rf "$out/wheels.new"
echo "python: $(basename "$out"/wheels/libmq-*.whl) is installed in $out/venv"
