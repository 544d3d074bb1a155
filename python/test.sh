#!/usr/bin/env bash
# Tests the installed package with pytest: python/test.sh [PYTEST ARGUMENTS]. python/build.sh comes first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$(dirname "$PWD")/target}
venv=$CARGO_TARGET_DIR/python/venv
[ -x "$venv/bin/python" ] || { echo "the package is not installed; run python/build.sh first"; exit 1; }
[ -x "$venv/bin/mypy" ] || "$venv/bin/pip" install --quiet --disable-pip-version-check \
    --constraint ../.ci/requirements.txt mypy pytest pytest-asyncio
exec "$venv/bin/pytest" -q -p no:cacheprovider "$@"
