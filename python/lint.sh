#!/usr/bin/env bash
# What ruff does not see: the types of the package and of its runner, under mypy --strict.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ ! -f ../.ci/env ] || source ../.ci/env
mypy --strict --no-error-summary package/libmq
MYPYPATH=package mypy --strict --no-error-summary ../tests/runners/python/runner.py examples/*.py
