#!/usr/bin/env bash
# Installs the C package below build/ffi, and builds the scenario runner against it as a user would.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
prefix=$PWD/build/ffi/prefix

quiet() { "$@" >build/ffi/log 2>&1 || { cat build/ffi/log; exit 1; }; }
mkdir -p build/ffi
quiet cmake -S ffi -B build/ffi/package -G Ninja -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DMQ_CARGO_SELECT=
quiet cmake --build build/ffi/package
quiet cmake --install build/ffi/package
quiet cmake -S tests/runners/c -B build/ffi/runner -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix"
quiet cmake --build build/ffi/runner
